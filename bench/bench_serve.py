"""How long answers of `sensequant serve` take: the whole universe, asked again and again on the loopback.

    python bench/bench_serve.py DATA_DIRECTORY [--requests 1000] [--unproven]

DATA_DIRECTORY is one in which a champion was promoted, or with `--unproven` one with a batch. A client in a process of
its own asks for predictions of the newest bars, and for those of as many rows of given features; one question at a
time, and four at once.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import urllib3


def asked(what: Callable[[], None], requests: int, at_once: int) -> str:
    """Milliseconds of an answer, and answers a second."""

    def timed(_: int) -> float:
        begun = time.perf_counter()
        what()
        return time.perf_counter() - begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(at_once) as threads:
        seconds = list(threads.map(timed, range(requests)))
    rate = requests / (time.perf_counter() - begun)
    median, most = np.quantile(seconds, [0.5, 0.99]) * 1000
    return (
        f"{median:7.1f} ms median, {most:7.1f} ms p99, {max(seconds) * 1000:7.1f} ms most of {requests}, "
        f"{at_once} at once: {rate:.0f} a second"
    )


def bench(url: str, requests: int) -> None:
    """Print how long both questions take; an answer that is none breaks it off."""
    http = urllib3.PoolManager(retries=False, maxsize=8)
    champion = http.request("GET", f"{url}/champion").json()
    symbols, columns = champion["symbols"], len(champion["feature_names"])
    rows = np.random.default_rng(0).normal(scale=0.02, size=(len(symbols), columns)).tolist()
    given = json.dumps({"symbols": symbols, "features": rows}).encode()

    def newest() -> None:
        answer = http.request("GET", f"{url}/predict")
        told = answer.json()
        if answer.status != 200 or len(told["predictions"]) + len(told["missing"]) < len(symbols):
            raise SystemExit(f"no answer: {answer.status} {answer.data[:200]!r}")

    def of_given() -> None:
        answer = http.request("POST", f"{url}/predict", body=given, headers={"Content-Type": "application/json"})
        if answer.status != 200:
            raise SystemExit(f"no answer: {answer.status} {answer.data[:200]!r}")

    print(f"{len(symbols)} symbols, {champion['serving']}")
    for at_once in (1, 4):
        print(f"  newest bars    {asked(newest, requests, at_once)}")
        print(f"  given features {asked(of_given, requests, at_once)}")


def main() -> None:
    """Start the service, ask it, and end it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data")
    arguments.add_argument("--requests", type=int, default=1000)
    arguments.add_argument("--unproven", action="store_true")
    given = arguments.parse_args()
    command = [sys.executable, "-m", "sensequant_assets.cli", "serve", "--port", "0", "--json"]
    command += ["--unproven"] if given.unproven else []
    begun = time.perf_counter()
    environment = os.environ | {"SENSEQUANT_DATA_DIR": given.data}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as service:
        try:
            assert service.stdout is not None  # noqa: S101
            said = service.stdout.readline()
            if said:
                print(f"ready after {time.perf_counter() - begun:.1f} s")
                bench(json.loads(said)["url"], given.requests)
        finally:
            service.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
