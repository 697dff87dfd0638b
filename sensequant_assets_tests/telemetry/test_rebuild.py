"""The database is made anew of what is kept: row for row, and whatever became of the old one."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from sensequant_assets.errors import BusyError
from sensequant_assets.telemetry.archive import kept
from sensequant_assets.telemetry.records import (
    BarOutcome,
    CheckVerdict,
    Evaluation,
    Event,
    Measurement,
    Prediction,
    Trial,
)
from sensequant_assets.telemetry.store import DamagedError, TelemetryStore
from sensequant_assets_tests.running import Home
from sensequant_assets_tests.telling import W1, W2, window, write_run

TABLES = (
    "batches",
    "runs",
    "planned_windows",
    "window_runs",
    "verdicts",
    "trials",
    "evaluations",
    "predictions",
    "outcomes",
    "profiles",
    "events",
    "shards",
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches that have ended, taken in a piece at a time."""
    store = TelemetryStore(tmp_path_factory.mktemp("ended"))
    write_ended(store)
    return store.directory


@pytest.fixture
def store(ended: Path, tmp_path: Path) -> TelemetryStore:
    """The batches that have ended, and one that is still being written."""
    store = TelemetryStore(tmp_path / "telemetry")
    fill(store, ended)
    return store


def fill(store: TelemetryStore, ended: Path) -> None:
    shutil.copytree(ended, store.directory)
    write_run(store, [window("A", W1, "trained", 5000)], batch="living", status=None, starts=5000)
    store.ingest()


def write_ended(store: TelemetryStore) -> None:
    for number, batch in enumerate(("z", "a", "two words")):
        for run in ("r2", "r1"):
            ended = "failed" if run == "r2" else "trained"
            journal = write_run(
                store,
                [
                    window(f"S{n}", start, ended, number * 1000 + n, attempt=n % 2)
                    for n in range(9)
                    for start in (W1, W2)
                ],
                batch=batch,
                run=run,
                status=None,
                starts=number * 1000 + (0 if run == "r2" else 100),
                settings={"told by": run},
            )
            journal.append(Event(level="error", kind="traceback", message=f"{batch} {run}", data={"n": 1}))
            store.ingest()
            journal.append(
                CheckVerdict(
                    model="teacher", passed=run == "r1", failure_rate=0.5, max_failure_rate=0.15,
                    trained=1, reused=0, skipped=0, failed=1, not_attempted=0,
                )
            )  # fmt: skip
            journal.append(Trial(evaluation=run, score="teacher", auc=0.5, metrics={"brier": 0.25}))
            journal.append(Evaluation(evaluation=run, subject_fingerprint="s", findings={"head": {"rows": 7}}))
            time = np.datetime64("2022-01-03", "s")
            journal.append(Prediction(symbol=run, time=time, model="champion", trees_fingerprint="t", p_raw=0.5))
            journal.append(BarOutcome(universe="five", symbol=run, time=time, asks="{}", ret=0.25, label=1))
            journal.append(Measurement(profile=run, setting=1, turn=1, wall_s=0.5, effective={"teacher": {}}))
            (shard,) = store.shards.glob("*.jsonl")
            with shard.open("ab") as broken:
                broken.write(b"{half a line\n")
            journal.close()
            store.ingest()


def contents(store: TelemetryStore) -> dict[str, list[dict[str, Any]]]:
    with store.session():
        return {name: store.query(f"FROM {name} ORDER BY ALL").to_pylist() for name in TABLES}


def test_a_lost_database_is_told_and_rebuilt_row_for_row(store: TelemetryStore) -> None:
    before = contents(store)
    assert all(before.values())
    store.database.unlink()
    for ask in (TelemetryStore(store.directory).ingest, store.require, lambda: store.query("FROM batches")):
        with pytest.raises(DamagedError, match=r"telemetry\.duckdb holds nothing.*`sensequant telemetry rebuild`"):
            ask()
    steps: list[tuple[int, int]] = []
    rebuilt = store.rebuild(lambda done, total: steps.append((done, total)))
    assert contents(store) == before
    assert (rebuilt.copied, rebuilt.lost, rebuilt.aside) == (0, [], [])
    assert rebuilt.shards == 7
    assert steps[-1][0] == steps[-1][1] > 0
    assert contents(TelemetryStore(store.directory)) == before


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.write_bytes(b"a block of something else " * 20_000)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip_the_header(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:12288] = bytes(8192)
    path.write_bytes(data)


def flip_every_block(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(12288 + 5000, len(data), 262144):
        data[place] ^= 255
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_programs(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + bytes(20_000))


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [cut, overwrite, zero, flip_the_header, flip_every_block, empty, another_programs, directory, fifo]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_database_says_at_once_what_it_is_and_is_rebuilt_row_for_row(
    store: TelemetryStore, damage: Callable[[Path], None]
) -> None:
    before = contents(store)
    damage(store.database)
    for ask in (
        TelemetryStore(store.directory).ingest,
        store.require,
        lambda: store.query("FROM batches"),
    ):
        began = time.monotonic()
        with pytest.raises(DamagedError, match=r"telemetry\.duckdb (is|holds) .*`sensequant telemetry rebuild`"):
            ask()
        assert time.monotonic() - began < 10
    rebuilt = store.rebuild()
    assert contents(store) == before
    if damage is not empty:
        assert rebuilt.aside == [store.directory / "telemetry.duckdb.damaged-1"]
        assert rebuilt.aside[0].exists()
    assert sorted(each.name for each in store.directory.iterdir() if each not in rebuilt.aside) == [
        "archive",
        "shards",
        "telemetry.duckdb",
        "telemetry.lock",
        "telemetry.next.lock",
        "telemetry.order",
    ]


def test_a_second_damaged_database_does_not_take_the_place_of_the_first(store: TelemetryStore) -> None:
    for number in (1, 2):
        overwrite(store.database)
        assert [file.name for file in store.rebuild().aside] == [f"telemetry.duckdb.damaged-{number}"]


def test_a_log_of_the_old_database_is_not_replayed_into_the_new_one(store: TelemetryStore) -> None:
    before = contents(store)
    cut(store.database)
    log = store.database.with_name("telemetry.duckdb.wal")
    log.write_bytes(b"rows of the old one")
    aside = store.rebuild().aside
    assert [file.name for file in aside] == ["telemetry.duckdb.damaged-1", "telemetry.duckdb.damaged-1.wal"]
    assert contents(store) == before


def test_a_rebuild_of_a_healthy_database_changes_no_row_and_leaves_nothing_aside(store: TelemetryStore) -> None:
    before = contents(store)
    assert store.rebuild().aside == []
    assert contents(store) == before


def test_rows_whose_shards_are_not_kept_are_taken_from_the_old_database(store: TelemetryStore) -> None:
    before = contents(store)
    # A batch from before shards were kept, and a half of another.
    gone = [file for file in kept(store.archive) if file.name.startswith("z.") or ".r2." in file.name]
    for file in gone:
        file.unlink()
    rebuilt = store.rebuild()
    assert rebuilt.copied > 0
    assert contents(store) == before


def test_what_can_still_be_read_of_a_damaged_database_is_taken(store: TelemetryStore) -> None:
    before = contents(store)
    for file in kept(store.archive):
        file.unlink()
    # The layout and the pages of small tables stay; what lies in the last block cannot be read.
    data = bytearray(store.database.read_bytes())
    data[-262144 // 2] ^= 255
    store.database.write_bytes(data)
    rebuilt = store.rebuild()
    after_it = contents(store)
    for name in TABLES:
        assert [row for row in after_it[name] if row not in before[name]] == [], name
    assert rebuilt.aside or after_it == before


def test_a_kept_shard_that_cannot_be_read_is_named_and_the_others_are_taken(store: TelemetryStore) -> None:
    broken = min(kept(store.archive))
    broken.write_bytes(broken.read_bytes()[:50])
    store.database.unlink()
    rebuilt = store.rebuild()
    assert rebuilt.lost == [broken]
    assert broken.exists()
    assert rebuilt.shards == 6


def test_a_stub_left_by_a_full_disk_is_made_a_database_while_nothing_was_taken_in(tmp_path: Path) -> None:
    for size in (0, 1, 4096, 10_000, 12_288):
        store = TelemetryStore(tmp_path / str(size))
        store.directory.mkdir()
        store.database.write_bytes(bytes(size))
        write_run(store, [window("A", W1, "trained")])
        assert store.query("FROM window_runs").num_rows == 1


def test_a_database_without_tables_is_given_them(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path)
    duckdb.connect(store.database).close()
    write_run(store, [window("A", W1, "trained")])
    assert store.query("FROM window_runs").num_rows == 1


def test_a_rebuild_that_is_killed_leaves_the_old_database_as_it_was(store: TelemetryStore) -> None:
    before = contents(store)
    script = """
import os, sys
from pathlib import Path
from sensequant_assets.telemetry.store import TelemetryStore
TelemetryStore(Path(sys.argv[1])).rebuild(lambda *_: os._exit(9))
"""
    assert subprocess.run([sys.executable, "-c", script, store.directory], check=False).returncode == 9
    assert contents(store) == before
    assert store.rebuild().aside == []
    assert contents(store) == before


def test_a_database_in_use_by_another_program_is_not_called_damaged(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensequant_assets.telemetry.store._WAIT_S", 0.3)
    held = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, store.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BusyError, match="stayed in use"):
            store.rebuild()
        other.communicate(b"")
    assert store.query("FROM batches").num_rows == 4


# Through the door -----------------------------------------------------------------------------------------------------


@pytest.mark.daemon
@pytest.mark.parametrize("damage", [cut, overwrite, fifo], ids=lambda damage: damage.__name__)
def test_every_command_names_a_damaged_database_and_the_way_back_and_trains_nothing(
    ended: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    home = Home(tmp_path)
    fill(home.telemetry, ended)
    before = contents(home.telemetry)
    damage(home.telemetry.database)
    for command in (
        ("progress",),
        ("report",),
        ("failures",),
        ("query", "FROM batches"),
        ("backfill", "--symbols", "IBM"),
        ("backfill", "--select", "failed"),
    ):
        finished = home.run(*command)
        assert (finished.code, finished.out) == (2, ""), command
        (said,) = finished.err.splitlines()
        assert said.startswith(f"sensequant: {home.telemetry.database} is "), command
        assert "`sensequant telemetry rebuild`" in said
    assert home.models() == []
    rebuilt = home.run("telemetry", "rebuild")
    assert (rebuilt.code, rebuilt.err) == (0, "")
    assert "records of 7 shards" in rebuilt.out
    assert "telemetry.duckdb.damaged-1" in rebuilt.out
    # Its writer, this process, lives.
    assert contents(home.telemetry) == before
