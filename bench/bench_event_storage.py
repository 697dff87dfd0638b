"""Print the cost of storing Dagster events: stock and pooled SQLite, one by one and in batches.

Run: python bench/bench_event_storage.py [--lattice]
`--lattice` adds whole runs: two assets over 96 symbols and 8 windows with no training.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage

from sensequant_assets.storage.sqlite import PooledSqliteEventLogStorage

RUN = "00000000-0000-0000-0000-000000000001"
SYMBOLS = [f"S{i:02d}" for i in range(96)]
WINDOWS = [f"2022-{i:02d}-01" for i in range(1, 9)]


def entry(type_: dg.DagsterEventType, data: Any) -> EventLogEntry:
    """Wrap event data as Dagster's log does."""
    event = DagsterEvent(type_.value, "bench", event_specific_data=data, step_key="models")
    return EventLogEntry(  # type: ignore[no-untyped-call]  # Dagster leaves it untyped
        error_info=None, level=10, user_message="", run_id=RUN, timestamp=time.time(), job_name="bench",
        step_key="models", dagster_event=event,
    )  # fmt: skip


def materializations(count: int) -> list[EventLogEntry]:
    """Make events like those of trained windows."""
    return [
        entry(
            dg.DagsterEventType.ASSET_MATERIALIZATION,
            StepMaterializationData(
                dg.AssetMaterialization(
                    "teacher_models",
                    partition=f"{SYMBOLS[i % 96]}|{WINDOWS[0]}",
                    metadata={"rank_ic": 0.05, "rows": i, "status": "trained"},
                    tags={
                        "dagster/partition/symbol": SYMBOLS[i % 96],
                        "dagster/partition/window": WINDOWS[0],
                    },
                )
            ),
        )
        for i in range(count)
    ]


def planned(count: int) -> list[EventLogEntry]:
    """Make events like those of a run's start."""
    return [
        entry(
            dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
            AssetMaterializationPlannedData(dg.AssetKey("teacher_models"), partition=f"{SYMBOLS[i % 96]}|{WINDOWS[0]}"),
        )
        for i in range(count)
    ]


def cost(store: Callable[[], object], events: int) -> str:
    """Give milliseconds an event, wall and CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    store()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return f"{1000 * wall / events:8.2f} {1000 * cpu / events:8.2f}"


def _one_by_one(storage: SqliteEventLogStorage, events: list[EventLogEntry]) -> None:
    for event in events:
        storage.store_event(event)


def events_table() -> None:
    """Print milliseconds an event for both classes."""
    print(f"{'':34}{'wall ms':>8} {'CPU ms':>8}  an event")
    for name, cls, singles in [
        ("stock", SqliteEventLogStorage, 100),
        ("pooled", PooledSqliteEventLogStorage, 1000),
    ]:
        with tempfile.TemporaryDirectory() as directory:
            storage = cls(directory)
            storage.store_event_batch(planned(2))
            for what, events in [
                ("planned", planned(singles)),
                ("materialization", materializations(singles)),
            ]:
                one_by_one = cost(partial(_one_by_one, storage, events), len(events))
                print(f"{name:8}{what:16}{'single':10}{one_by_one}")
            for what, events in [("planned", planned(500)), ("materialization", materializations(500))]:
                together = cost(partial(storage.store_event_batch, events), len(events))
                print(f"{name:8}{what:16}{'batch 500':10}{together}")
            storage.dispose()


RUN_LATTICE = """
import sys, time
import dagster as dg
symbols, windows = [f"S{i:02d}" for i in range(96)], [f"2022-{i:02d}-01" for i in range(1, 9)]
lattice = dg.MultiPartitionsDefinition(
    {"symbol": dg.StaticPartitionsDefinition(symbols), "window": dg.StaticPartitionsDefinition(windows)}
)

@dg.multi_asset(
    specs=[dg.AssetSpec(n, partitions_def=lattice, skippable=True) for n in ("teacher_models", "student_models")],
    can_subset=True, backfill_policy=dg.BackfillPolicy.single_run(),
)
def models(context: dg.AssetExecutionContext):
    for asset in ("teacher_models", "student_models"):
        for key in context.partition_keys:
            context.log_event(dg.AssetMaterialization(asset, partition=key, metadata={"rank_ic": 0.05}))
    yield from ()

instance = dg.DagsterInstance.get()
wall, cpu = time.perf_counter(), time.process_time()
dg.materialize([models], instance=instance, tags={
    "dagster/asset_partition_range_start": f"{symbols[0]}|{windows[0]}",
    "dagster/asset_partition_range_end": f"{symbols[-1]}|{windows[-1]}",
})
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
done = {k: len(instance.get_materialized_partitions(dg.AssetKey(k))) for k in ("teacher_models", "student_models")}
assert done == {"teacher_models": 768, "student_models": 768}, done
print(f"{wall:8.1f} {cpu:8.1f}")
"""


def lattice_table() -> None:
    """Print seconds for whole runs, each in a process and a home of its own."""
    pooled = "event_log_storage: {module: sensequant_assets.storage.sqlite, class: PooledSqliteEventLogStorage}\n"
    print(f"\n{'1536 planned, 1536 materialized':34}{'wall s':>8} {'CPU s':>8}  a run")
    for name, config in [("stock", ""), ("pooled", pooled)]:
        for batch in ("0", "500"):
            with tempfile.TemporaryDirectory() as home:
                Path(home, "dagster.yaml").write_text(config + "telemetry: {enabled: false}\n")
                environment = {**os.environ, "DAGSTER_HOME": home, "DAGSTER_EVENT_BATCH_SIZE": batch}
                run = subprocess.run(
                    [sys.executable, "-c", RUN_LATTICE],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                print(f"{name:24}{'batch ' + batch:10}{run.stdout.rstrip() or run.stderr[-2000:]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lattice", action="store_true", help="also run two assets over 96 x 8 partitions")
    arguments = parser.parse_args()
    events_table()
    if arguments.lattice:
        lattice_table()
