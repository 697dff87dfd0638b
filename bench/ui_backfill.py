"""A backfill of the whole lattice as a person launches it: `sensequant dev`, and one request of the UI.

    python bench/ui_backfill.py DATA_DIRECTORY

The market comes from the environment. Counted from the request to the end of the last run; of that, Dagster's daemon
sleeps for some seconds before it looks for new backfills.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["teacher_models"]}) {
    ... on AssetNode { partitionKeysByDimension { name partitionKeys } } } }"""
LAUNCH = """mutation($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RUNS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs(limit: 1000) { status creationTime startTime endTime } } } }"""
ASSETS = ("teacher_models", "student_models")


@dataclass
class UiBackfill:
    """What a backfill took.

    Attributes
    ----------
    wall_s
        From the request to the end of the last run.
    tick_s
        Of that, until the first run was made.
    runs, failed_runs
        How many.
    """

    wall_s: float
    tick_s: float
    runs: int
    failed_runs: int


def inherited_environment() -> dict[str, str]:
    """The environment, but for what would make each process compile the package anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def ui_backfill(data: Path) -> UiBackfill:
    """Start the UI on an empty data directory, backfill all pairs, and stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data.mkdir(parents=True, exist_ok=True)
    log = data / "dev.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("sensequant")), "dev", "--port", str(port)],
            env={**inherited_environment(), "SENSEQUANT_DATA_DIR": str(data)},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ask(query: str, **variables: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        # The scheme stands right above.
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)["data"]

    def symbols_and_windows() -> dict[str, list[str]]:
        while True:
            if process.poll() is not None:
                sys.exit(log.read_text())
            with suppress(OSError, KeyError, TypeError):
                found = ask(PARTITIONS)["assetNodeOrError"]["partitionKeysByDimension"]
                return {dimension["name"]: dimension["partitionKeys"] for dimension in found}
            time.sleep(0.5)

    try:
        lattice = symbols_and_windows()
        # The daemon, which comes up beside the web server, is to have nothing else to do.
        time.sleep(15)
        keys = [f"{symbol}|{window}" for symbol in lattice["symbol"] for window in lattice["window"]]
        selection = [{"path": [asset]} for asset in ASSETS]
        asked = time.time()
        launched = ask(LAUNCH, backfill={"partitionNames": keys, "assetSelection": selection, "tags": []})
        backfill = launched["launchPartitionBackfill"]["backfillId"]
        while True:
            found = ask(RUNS, id=backfill)["partitionBackfillOrError"]
            runs = found["runs"]
            # The daemon notes a backfill's end at a later tick than that of its last run.
            if found["status"] != "REQUESTED" or (
                runs and sum(run["endTime"] is not None for run in runs) == len(runs) == len(lattice["window"])
            ):
                break
            time.sleep(1)
        return UiBackfill(
            wall_s=max(run["endTime"] for run in runs) - asked,
            tick_s=min(run["creationTime"] for run in runs) - asked,
            runs=len(runs),
            failed_runs=sum(run["status"] != "SUCCESS" for run in runs),
        )
    finally:
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    print(json.dumps(asdict(ui_backfill(Path(sys.argv[1])))))
