"""The pooled SQLite event log stores what Dagster's own class stores."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType as Type
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage

from sensequant_assets.errors import UsageError
from sensequant_assets.storage.sqlite import PooledSqliteEventLogStorage, unsupported_reason
from sensequant_assets_tests.storage.sample_events import (
    STUDENT,
    TEACHER,
    check_evaluated,
    check_planned,
    entry,
    materialized,
    planned,
    whole_run,
)

fork = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
needs_fork = pytest.mark.skipif(fork is None, reason="this system has no fork")

# Columns that hold the time of writing: compared as present or absent.
CLOCK_COLUMNS = {
    "create_timestamp",
    "migration_completed",
    "wipe_timestamp",
    "asset_details",
    "last_updated_timestamp",
}


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[PooledSqliteEventLogStorage]:
    storage = PooledSqliteEventLogStorage(str(tmp_path / "pooled"))
    yield storage
    storage.dispose()


def rows_of_every_table(directory: Path) -> dict[str, dict[str, list[tuple[Any, ...]]]]:
    """Shard name -> table name -> rows in the order of their ids."""
    shards = {}
    for file in sorted(directory.glob("*.db")):
        connection = sqlite3.connect(file)
        connection.row_factory = sqlite3.Row
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        shards[file.name] = {
            table: [
                tuple((row[c] is not None) if c in CLOCK_COLUMNS else row[c] for c in row.keys())  # noqa: SIM118
                for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")
            ]
            for table in sorted(tables)
        }
        connection.close()
    return shards


def stored(storage: SqliteEventLogStorage, run_id: str) -> list[EventLogEntry]:
    return [record.event_log_entry for record in storage.get_records_for_run(run_id).records]


def use(storage: SqliteEventLogStorage) -> list[object]:
    """Call what Dagster calls, and return everything that was read on the way."""
    read: list[object] = []

    def query() -> None:
        check = dg.AssetCheckKey(STUDENT, "max_failure_rate")
        for run_id in ("run-1", "run-2"):
            read.append(storage.get_records_for_run(run_id).records)
            read.append(storage.get_records_for_run(run_id, of_type=Type.RUN_START, limit=1).records)
            read.append(storage.get_stats_for_run(run_id))
            read.append(storage.get_asset_partitions_for_run(run_id))
        for key in (TEACHER, STUDENT):
            read.append(storage.fetch_materializations(key, limit=100))
            read.append(storage.fetch_observations(key, limit=100))
            read.append(storage.get_materialized_partitions(key))
            for type_ in (Type.ASSET_MATERIALIZATION, Type.ASSET_MATERIALIZATION_PLANNED):
                read.append(storage.get_latest_storage_id_by_partition(key, type_))
            read.append(
                storage.get_latest_tags_by_partition(
                    key, Type.ASSET_MATERIALIZATION, ["dagster/partition/symbol", "dagster/data_version"]
                )
            )
        read.append(storage.fetch_run_status_changes(Type.RUN_SUCCESS, limit=10))
        read.append(
            [(r.run_id, r.status, r.event, r.id) for r in storage.get_asset_check_execution_history(check, limit=10)]
        )
        read.append(
            [(record.asset_entry.asset_key, record.asset_entry.last_run_id) for record in storage.get_asset_records()]
        )
        read.append(storage.get_dynamic_partitions("symbols"))
        read.append(sorted(storage.get_all_run_ids()))

    storage.add_dynamic_partitions("symbols", ["TCS", "INFY", "M&M"])
    for event in whole_run("run-1"):
        storage.store_event(event)
    query()
    storage.store_event_batch([planned("run-2", key, "TCS", second=100) for key in (STUDENT, TEACHER)])
    for event in whole_run("run-2", second=200):
        storage.store_event(event)
    storage.delete_dynamic_partition("symbols", "INFY")
    query()
    storage.wipe_asset(STUDENT)
    query()
    storage.store_event(materialized("run-3", STUDENT, "TCS", second=4_000_000_000))
    storage.delete_events("run-1")
    query()
    return read


def test_every_row_and_every_answer_is_the_stock_class_s(tmp_path: Path) -> None:
    stock, pooled = (cls(str(tmp_path / cls.__name__)) for cls in (SqliteEventLogStorage, PooledSqliteEventLogStorage))
    assert use(pooled) == use(stock)
    pooled.dispose()
    ours = rows_of_every_table(tmp_path / "PooledSqliteEventLogStorage")
    assert ours == rows_of_every_table(tmp_path / "SqliteEventLogStorage")
    # Left of run-2: 4 planned teachers, 2 trained, 1 observed, 5 of checks, 4 of its status; and 1 of run-3.
    assert len(ours["index.db"]["event_logs"]) == 17
    # Two teachers and an observation of run-2, run-3's student, and two students that Dagster's wipe leaves.
    assert len(ours["index.db"]["asset_event_tags"]) == 2 * 3 + 1 + 3 + 2 * 3

    for storage in (stock, pooled):
        storage.wipe()
    assert rows_of_every_table(tmp_path / "PooledSqliteEventLogStorage") == rows_of_every_table(
        tmp_path / "SqliteEventLogStorage"
    )
    assert pooled.get_all_run_ids() == []


def test_a_batch_stores_the_rows_of_its_single_events(tmp_path: Path) -> None:
    batched, single = (PooledSqliteEventLogStorage(str(tmp_path / name)) for name in ("batched", "single"))
    events = whole_run("run-1") + whole_run("run-2", second=50)
    batched.store_event_batch(events)
    for event in events:
        single.store_event(event)
    for storage in (batched, single):
        storage.dispose()
    assert rows_of_every_table(tmp_path / "batched") == rows_of_every_table(tmp_path / "single")


def test_a_batch_that_fails_leaves_nothing_behind(storage: PooledSqliteEventLogStorage) -> None:
    twice_planned = [check_planned("run-1", TEACHER, "max_failure_rate")] * 2
    storage.store_event_batch(twice_planned)
    with pytest.raises(DagsterInvariantViolationError):
        storage.store_event_batch(
            [
                materialized("run-1", TEACHER, "TCS"),
                check_evaluated("run-1", TEACHER, "max_failure_rate", passed=True),
            ]
        )
    assert stored(storage, "run-1") == twice_planned
    assert storage.get_materialized_partitions(TEACHER) == set()


KILLED_WRITER = """
import sys
from sensequant_assets.storage.sqlite import PooledSqliteEventLogStorage
from sensequant_assets_tests.storage.sample_events import TEACHER, materialized
storage = PooledSqliteEventLogStorage(sys.argv[1])
i = 0
while True:
    storage.store_event(materialized("run-1", TEACHER, f"S{i}"))
    print(f"S{i}", flush=True)
    i += 1
"""


def test_an_event_that_was_stored_survives_kill_9(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        head = [writer.stdout.readline() for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
        reported = {line.decode().strip() for line in [*head, *writer.stdout] if line.endswith(b"\n")}
    assert writer.returncode == -signal.SIGKILL
    assert len(reported) >= 200

    reopened = SqliteEventLogStorage(str(tmp_path))
    in_run = {e.get_dagster_event().partition.split("|")[0] for e in stored(reopened, "run-1")}
    in_index = {key.split("|")[0] for key in reopened.get_materialized_partitions(TEACHER)}
    assert reported <= in_run
    assert reported <= in_index


def write_one_run(directory: str, run_id: str, together: Any) -> None:
    together.wait(60)
    storage = PooledSqliteEventLogStorage(directory)
    storage.store_event_batch([planned(run_id, TEACHER, f"S{i}") for i in range(50)])
    for i in range(50):
        storage.store_event(materialized(run_id, TEACHER, f"{run_id}-{i}"))
    storage.store_event(entry(run_id, Type.RUN_SUCCESS))


def schema(file: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], tuple[Any, ...]]:
    """Tables and indexes, Dagster's version of them, and how the file is written."""
    connection = sqlite3.connect(file)
    try:
        return (
            connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall(),
            connection.execute("SELECT * FROM alembic_version").fetchall(),
            connection.execute("PRAGMA journal_mode").fetchone(),
        )
    finally:
        connection.close()


def test_the_file_of_a_run_is_what_the_stock_class_makes(tmp_path: Path) -> None:
    stock, pooled = (
        kind(str(tmp_path / kind.__name__)) for kind in (SqliteEventLogStorage, PooledSqliteEventLogStorage)
    )
    for storage in (stock, pooled):
        for run_id in ("run-1", "run-2"):
            storage.store_event(entry(run_id, Type.RUN_SUCCESS))
        storage.dispose()
    expected = schema(Path(stock.path_for_shard("run-1")))
    assert expected[1]
    assert expected[2] == ("wal",)
    for shard in ("run-1", "run-2", "index"):
        assert schema(Path(pooled.path_for_shard(shard))) == expected, shard
    assert sorted(pooled.get_all_run_ids()) == ["run-1", "run-2"]


@needs_fork
def test_eight_processes_write_at_once_and_every_event_is_there_once(tmp_path: Path) -> None:
    assert fork
    runs = [f"run-{i}" for i in range(8)]
    # All of them find no database and make it.
    together = fork.Barrier(len(runs))
    writers = [fork.Process(target=write_one_run, args=(str(tmp_path), run_id, together)) for run_id in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 8

    storage = SqliteEventLogStorage(str(tmp_path))
    for run_id in runs:
        assert len(stored(storage, run_id)) == 101
    materializations = storage.fetch_materializations(TEACHER, limit=1000).records
    assert len(materializations) == 400
    assert len(storage.get_materialized_partitions(TEACHER)) == 400


def test_threads_that_nest_connections_in_opposite_orders_do_not_wait_for_each_other(
    storage: PooledSqliteEventLogStorage,
) -> None:
    storage.store_event(materialized("run-1", TEACHER, "TCS"))
    done = []

    def nest(outer: Callable[[], Any], inner: Callable[[], Any]) -> None:
        for _ in range(50):
            with outer(), inner():
                storage.store_event(materialized("run-1", TEACHER, "TCS"))
        done.append(True)

    def run() -> Any:
        return storage.run_connection("run-1")

    threads = [
        threading.Thread(target=nest, args=pair, daemon=True)
        for pair in ((run, storage.index_connection), (storage.index_connection, run))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done == [True, True]
    assert len(stored(storage, "run-1")) == 101


@needs_fork
def test_a_forked_child_writes_over_connections_of_its_own(storage: PooledSqliteEventLogStorage) -> None:
    assert fork
    storage.store_event(materialized("run-1", TEACHER, "before"))
    with storage._pool.lock:  # a fork in the middle of another thread's work must not leave the child waiting
        child = fork.Process(target=storage.store_event, args=(materialized("run-1", TEACHER, "child"),))
        worker = threading.Thread(target=child.start)
        worker.start()
        worker.join()
    child.join(20)
    assert child.exitcode == 0
    storage.store_event(materialized("run-1", TEACHER, "after"))
    partitions = [e.get_dagster_event().partition for e in stored(storage, "run-1")]
    assert partitions == [f"{s}|2022-01-01" for s in ("before", "child", "after")]


def log_and_wait(directory: str, run_id: str, seen: Any) -> None:
    """Store three events, staying alive and connected until the watcher has seen them."""
    storage = PooledSqliteEventLogStorage(directory)
    for second in range(3):
        storage.store_event(entry(run_id, None, second=second))
        time.sleep(0.1)
    seen.wait(10)
    storage.store_event(entry(run_id, Type.RUN_SUCCESS, second=3))


@needs_fork
@pytest.mark.parametrize("reader_class", [SqliteEventLogStorage, PooledSqliteEventLogStorage])
def test_a_watcher_sees_events_while_the_writer_holds_the_file_open(
    tmp_path: Path, reader_class: type[SqliteEventLogStorage]
) -> None:
    assert fork
    reader = reader_class(str(tmp_path))
    reader.store_event(entry("run-1", None, second=-1))
    seen, ended, seconds = fork.Event(), threading.Event(), []

    def on_event(event: EventLogEntry, _cursor: str) -> None:
        seconds.append(event.timestamp - 1_700_000_000)
        if len(seconds) == 4:
            seen.set()
        if event.dagster_event_type == Type.RUN_SUCCESS:
            ended.set()

    writer = fork.Process(target=log_and_wait, args=(str(tmp_path), "run-1", seen))
    writer.start()
    reader.watch("run-1", None, on_event)
    assert seen.wait(10)
    assert ended.wait(10)
    reader.end_watch("run-1", on_event)
    writer.join(10)
    reader.dispose()
    assert seconds == [-1, 0, 1, 2, 3]


def test_nothing_is_left_beside_the_file_of_a_run_that_ended(
    storage: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    *events, last = whole_run("run-1")
    storage.store_event_batch(events)
    assert (tmp_path / "pooled" / "run-1.db-wal").exists()
    storage.store_event(last)
    stored(storage, "run-1")
    assert [file.name for file in (tmp_path / "pooled").glob("run-1*")] == ["run-1.db"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed in /proc on Linux only")
def test_open_files_stay_bounded_over_many_runs(storage: PooledSqliteEventLogStorage, tmp_path: Path) -> None:
    for i in range(20):
        storage.store_event(materialized(f"run-{i}", TEACHER, "TCS"))
    targets = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    ours = [target for target in targets if target.startswith(str(tmp_path))]
    assert 3 <= len(ours) <= 3 * 9  # the database, its log and its shared memory, of eight runs and the index


def test_a_file_that_another_process_deleted_is_made_anew(storage: PooledSqliteEventLogStorage, tmp_path: Path) -> None:
    storage.store_event(materialized("run-1", TEACHER, "TCS"))
    other = SqliteEventLogStorage(str(tmp_path / "pooled"))
    other.wipe()
    event = materialized("run-1", TEACHER, "INFY")
    storage.store_event(event)
    assert stored(other, "run-1") == [event]
    assert storage.get_materialized_partitions(TEACHER) == {"INFY|2022-01-01"}


def materialize_four_partitions(instance: dg.DagsterInstance) -> Sequence[str]:
    """Materialize two assets over 2 x 2 partitions; return the types of the run's events."""
    lattice = dg.MultiPartitionsDefinition(
        {
            "symbol": dg.StaticPartitionsDefinition(["INFY", "TCS"]),
            "window": dg.StaticPartitionsDefinition(["2022-01-01", "2022-06-30"]),
        }
    )

    @dg.multi_asset(
        specs=[dg.AssetSpec(key, partitions_def=lattice, skippable=True) for key in (TEACHER, STUDENT)],
        check_specs=[dg.AssetCheckSpec("max_failure_rate", asset=TEACHER)],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def models(context: dg.AssetExecutionContext) -> Any:
        for key in (TEACHER, STUDENT):
            for partition in context.partition_keys:
                context.log_event(dg.AssetMaterialization(key, partition=partition))
        yield dg.AssetCheckResult(asset_key=TEACHER, check_name="max_failure_rate", passed=True)

    result = dg.materialize(
        [models],
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": "INFY|2022-01-01",
            "dagster/asset_partition_range_end": "TCS|2022-06-30",
        },
    )
    assert result.success
    return [
        record.event_log_entry.dagster_event_type.value if record.event_log_entry.dagster_event_type else "log"
        for record in instance.get_records_for_run(result.run_id).records
    ]


@pytest.mark.parametrize("batch_size", ["0", "3"])
def test_a_run_of_an_instance_of_dagster_yaml_logs_what_a_stock_instance_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: str
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
    types = {}
    for name, config in {
        "stock": "",
        "pooled": "event_log_storage: {module: sensequant_assets.storage.sqlite, class: PooledSqliteEventLogStorage}",
    }.items():
        home = tmp_path / name
        home.mkdir()
        (home / "dagster.yaml").write_text(config + "\ntelemetry: {enabled: false}\n")
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with dg.DagsterInstance.get() as instance:
            types[name] = materialize_four_partitions(instance)
            assert len(instance.get_materialized_partitions(STUDENT)) == 4
            assert isinstance(instance.event_log_storage, SqliteEventLogStorage)
            assert hasattr(instance.event_log_storage, "_pool") == (name == "pooled")
    assert types["pooled"] == types["stock"]
    assert types["pooled"].count("ASSET_MATERIALIZATION_PLANNED") == 8
    assert [file.name for file in (tmp_path / "pooled" / "history" / "runs").glob("*-wal")] == []


def change_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    def _connect(self: object, shard: str, timeout: float) -> None: ...

    monkeypatch.setattr(SqliteEventLogStorage, "_connect", _connect)


def remove_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SqliteEventLogStorage, "_initdb")


def mirror_something_new(monkeypatch: pytest.MonkeyPatch) -> None:
    def store_event(self: Any, event: EventLogEntry) -> None:
        self.mirror_event(event)

    monkeypatch.setattr(SqliteEventLogStorage, "store_event", store_event)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (change_signature, r"_connect takes \(self, shard, timeout\)"),
        (remove_method, "_initdb is gone"),
        (mirror_something_new, "store_event is rewritten around .*mirror_event"),
    ],
)
def test_a_dagster_that_changed_gets_its_own_class_and_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
    complaint: str,
) -> None:
    assert unsupported_reason() is None
    PooledSqliteEventLogStorage(str(tmp_path)).dispose()
    change(monkeypatch)
    with pytest.warns(UserWarning, match=f"changed SqliteEventLogStorage: {complaint}"):
        storage = PooledSqliteEventLogStorage.from_config_value(None, {"base_dir": str(tmp_path)})
    assert type(storage) is SqliteEventLogStorage


def test_without_a_place_to_store_events_the_error_names_both_ways_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(UsageError, match=r"no base_dir and DAGSTER_HOME is not set"):
        PooledSqliteEventLogStorage.from_config_value(None, {})
