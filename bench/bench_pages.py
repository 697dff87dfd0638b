"""What Dagster's pages cost as partitions grow: the questions that the UI asks of a lattice whose models are all there.

    python bench/bench_pages.py [--symbols 960,9600] [--windows 8] [--block-size 100]

No model is trained: the events of a batch are written as its run would have written them. Every question is asked
twice, of a web server of its own that nobody has asked before; the second answer is what a page costs that looks again.
With a block size the partitions are blocks of so many symbols, and their events have the tables of these.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from bench_event_storage import entry
from dagster._core.events import StepMaterializationData
from ui_backfill import inherited_environment

ASSETS = ("teacher_models", "student_models")
AT_ONCE = 1000
START = date(2020, 1, 1)

GRID = """{ assetNodeOrError(assetKey: {path: ["teacher_models"]}) { ... on AssetNode {
    partitionKeysByDimension { name partitionKeys }
    assetPartitionStatuses { ... on MultiPartitionStatuses { primaryDimensionName ranges {
        primaryDimStartKey primaryDimEndKey secondaryDim { ... on DefaultPartitionStatuses {
            materializedPartitions failedPartitions materializingPartitions } } } } } } } }"""
COUNTS = """{ assetNodes { assetKey { path } partitionStats {
    numMaterialized numPartitions numFailed numMaterializing } } }"""
CHOICE = """{ assetNodeOrError(assetKey: {path: ["student_models"]}) { ... on AssetNode {
    partitionKeysByDimension { name partitionKeys } } } }"""
PAIR = """{ assetOrError(assetKey: {path: ["teacher_models"]}) { ... on Asset {
    assetMaterializations(limit: 1, partitions: ["%s"]) { runId partition timestamp } } } }"""
RUNS = "{ runsOrError(limit: 25) { ... on Runs { results { runId status } } } }"


def fill(home: Path, universe: str, symbols: list[str], windows: list[str], block_size: int) -> float:
    """Write a materialization of every partition and model; gives the seconds that it took."""
    from sensequant_assets.defs.home import open_instance
    from sensequant_assets.defs.partitions import Order, add_symbols, symbol_partitions

    order = Order(symbols, windows, block_size)

    started = time.perf_counter()
    with open_instance(home, capture_output=False) as instance:
        add_symbols(instance, symbol_partitions(universe), symbols, block_size)
        for asset in ASSETS:
            events = [
                entry(
                    dg.DagsterEventType.ASSET_MATERIALIZATION,
                    StepMaterializationData(
                        dg.AssetMaterialization(
                            dg.AssetKey(asset),
                            partition=dg.MultiPartitionKey(
                                {"block" if block_size else "symbol": name, "window": window}
                            ),
                            metadata={"test_auc": 0.5123, "model": f"models/{universe}/{name}/{window}"}
                            if not block_size
                            else {"pairs": pairs_table(order.members(name))},
                        )
                    ),
                )
                for name in order.names
                for window in windows
            ]
            for first in range(0, len(events), AT_ONCE):
                instance.event_log_storage.store_event_batch(events[first : first + AT_ONCE])
    return time.perf_counter() - started


def pairs_table(symbols: Sequence[str]) -> dg.TableMetadataValue:
    """The pairs of a block as its event shows them."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"symbol": symbol, "outcome": "trained", "test_auc": "0.5123", "why": ""})
            for symbol in symbols
        ]
    )


@contextmanager
def web_server(variables: dict[str, str], log: Path) -> Iterator[tuple[int, int]]:
    """Port and process of a web server with its own code server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [program, "-h", "127.0.0.1", "-p", str(port), "-m", "sensequant_assets.definitions"],
            env={**inherited_environment(), **variables},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while True:
            if process.poll() is not None:
                sys.exit(log.read_text())
            with suppress(OSError):
                ask(port, "{ version }")
                break
            time.sleep(0.2)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def ask(port: int, query: str) -> tuple[float, int]:
    """Seconds and bytes of an answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    started = time.perf_counter()
    # The scheme stands right above.
    with urllib.request.urlopen(request, timeout=600) as response:  # noqa: S310
        answer = response.read()
    told: dict[str, Any] = json.loads(answer)
    if "errors" in told:
        sys.exit(str(told["errors"])[:2000])
    return time.perf_counter() - started, len(answer)


def pages(symbols: int, windows: int, block_size: int) -> None:
    """Print what each question costs of a lattice."""
    names = [f"S{number:05d}" for number in range(symbols)]
    keys = [str(START + timedelta(days=180 * number)) for number in range(windows)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        universe = Path(scratch, f"walk{symbols}.csv")
        universe.write_text("symbol\n" + "\n".join(names) + "\n")
        variables = {
            "SENSEQUANT_DATA_DIR": f"{scratch}/data",
            "SENSEQUANT_UNIVERSE": str(universe),
            "SENSEQUANT_START": str(START),
            "SENSEQUANT_END": str(START + timedelta(days=180 * windows)),
            "DAGSTER_HOME": f"{scratch}/data/dagster",
            **({"SENSEQUANT_PARTITION_BY": "block", "SENSEQUANT_BLOCK_SIZE": str(block_size)} if block_size else {}),
        }
        os.environ.update(variables)
        from sensequant_assets.defs.home import prepare_home
        from sensequant_assets.defs.partitions import Order
        from sensequant_assets.settings import read_settings

        home = prepare_home(read_settings())
        wrote = fill(home, universe.stem, names, keys, block_size)
        size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
        label = f"{symbols} x {windows}"
        partitions = -(-symbols // (block_size or 1)) * windows
        print(f"{label:>12} {partitions:9,} partitions: events written in {wrote:.0f} s, {size / 2**20:.0f} MiB")
        with web_server(variables, Path(scratch, "web.log")) as (port, pid):
            questions = {
                "grid of an asset": GRID,
                "counts of all assets": COUNTS,
                "choice of partitions": CHOICE,
                "one partition": PAIR % f"{Order(names, keys, block_size).names[-1]}|{keys[-1]}",
                "runs": RUNS,
            }
            for what, query in questions.items():
                (first, size), (second, _) = ask(port, query), ask(port, query)
                print(
                    f"{label:>12} {what:22} {first:7.2f} s, again {second:7.2f} s  {size / 1024:9.0f} KiB", flush=True
                )
            status = Path(f"/proc/{pid}/status").read_text()
            peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
            print(f"{label:>12} {'web server at its peak':22} {int(peak) / 1024:7.0f} MB", flush=True)


def main() -> None:
    """Ask of each size in turn."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--symbols", default="960,9600", help="separated by commas")
    arguments.add_argument("--windows", type=int, default=8)
    arguments.add_argument("--block-size", type=int, default=0, help="symbols a partition; 0: a partition a pair")
    given = arguments.parse_args()
    for symbols in given.symbols.split(","):
        pages(int(symbols), given.windows, given.block_size)


if __name__ == "__main__":
    main()
