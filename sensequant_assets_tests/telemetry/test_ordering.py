"""Claims about the times that order records: whatever is done to the clock and to the file, what is later is later."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from sensequant_assets.telemetry import ordering
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.ordering import OrderedTimes
from sensequant_assets.telemetry.questions.batches import batch_ids, ended_batches, latest_batch_of, runs_of_batch
from sensequant_assets.telemetry.questions.failures import failed_pairs, permanent_failures
from sensequant_assets.telemetry.questions.windows import latest_teacher_batch
from sensequant_assets.telemetry.records import BatchStart, Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, W1, after, journal_of, verdict, window, write_run

HOUR = 3600


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.order"


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def times_at(file: Path, second: float = 0) -> OrderedTimes:
    return OrderedTimes(file, lambda: after(second))


def start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had been started a moment ago."""
    began = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    monkeypatch.setattr(ordering, "_machine", lambda: f"{began}")
    monkeypatch.setattr(
        ordering, "_since_start_us", lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 - began
    )


# Of one machine -----------------------------------------------------------------------------------------------------


def test_a_writer_that_begins_with_the_clock_an_hour_back_is_later_than_one_that_still_writes(file: Path) -> None:
    long = times_at(file, HOUR)
    given = [long.next() for _ in range(1000)]
    # A thousand records take longer than this to be written: each more than the microsecond between two times.
    time.sleep(0.001)
    short = times_at(file, 0)
    for writer in (short, long, short, long):
        # A record takes longer than this to be written.
        time.sleep(0.001)
        given.append(writer.next())
    assert all(earlier < later for earlier, later in pairwise(given))
    assert after(HOUR) <= given[0] < given[-1] < after(HOUR + 60)


def test_eight_processes_at_once_begin_one_after_the_other(file: Path) -> None:
    script = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sensequant_assets.telemetry.ordering import OrderedTimes
sys.stdin.readline()
for _ in range(50):
    times = OrderedTimes(Path(sys.argv[1]), lambda: datetime.now(UTC))
    print(*[times.next().isoformat() for _ in range(5)])
    times.close()
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [child.communicate(timeout=60)[0].splitlines() for child in children]
    first = [line.split()[0] for lines in told for line in lines]
    assert len(first) == len(set(first)) == 400
    for lines in told:
        given = [datetime.fromisoformat(cell) for line in lines for cell in line.split()]
        assert all(earlier < later for earlier, later in pairwise(given))
    latest = max(datetime.fromisoformat(lines[-1].split()[-1]) for lines in told)
    assert times_at(file).next() > latest


def test_times_cost_no_look_at_the_file(file: Path) -> None:
    times = times_at(file)
    file.unlink()
    assert [times.next() < times.next() for _ in range(768)] == [True] * 768
    assert not file.exists()


# Of a machine that is started anew, and of a file that is not whole -------------------------------------------------


def test_after_a_start_of_the_machine_times_go_on_though_the_clock_is_an_hour_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = times_at(file, HOUR)
    last = [before.next() for _ in range(100)][-1]
    before.close()
    start_anew(monkeypatch)
    assert times_at(file, 0).next() > last


def test_after_a_start_of_the_machine_times_begin_at_the_clock_if_that_is_later(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_at(file).next()
    start_anew(monkeypatch)
    assert timedelta() <= times_at(file, HOUR).next() - after(HOUR) < timedelta(seconds=30)


def cut(file: Path) -> None:
    os.truncate(file, 20)


def flip(file: Path) -> None:
    line = bytearray(file.read_bytes())
    line[45] ^= 1
    file.write_bytes(line)


def garbage(file: Path) -> None:
    file.write_bytes(os.urandom(5000))


def empty(file: Path) -> None:
    file.write_bytes(b"")


def not_utf8(file: Path) -> None:
    file.write_bytes(b"\xff\xfe 1 2 3\n")


@pytest.mark.parametrize("damage", [cut, flip, garbage, empty, not_utf8, Path.unlink], ids=lambda each: each.__name__)
def test_a_damaged_file_is_made_anew_from_the_clock(file: Path, damage: Callable[[Path], None]) -> None:
    times_at(file, -HOUR).next()
    damage(file)
    assert timedelta() <= times_at(file).next() - NOON < timedelta(seconds=30)
    # And it holds again.
    given = times_at(file).next()
    assert times_at(file, -HOUR).next() > given


@pytest.mark.parametrize("damage", [cut, flip, garbage, empty, not_utf8, Path.unlink], ids=lambda each: each.__name__)
def test_a_damaged_file_is_made_anew_from_the_rows_before_a_run_begins(
    store: TelemetryStore, damage: Callable[[Path], None]
) -> None:
    write_run(store, [window("A", W1, "failed", HOUR)], batch="before", starts=HOUR)
    store.ingest()
    damage(store.directory / "telemetry.order")
    store.require()
    write_run(store, [window("A", W1, "trained")], batch="after", starts=0)
    assert batch_ids(store) == ["after", "before"]
    assert failed_pairs(store, "five", ["teacher"]) == set()


def directory(file: Path) -> None:
    file.mkdir()


def pipe(file: Path) -> None:
    os.mkfifo(file)


def link(file: Path) -> None:
    file.with_name("theirs").write_text("what is theirs\n" * 9)
    file.symlink_to("theirs")


@pytest.mark.parametrize("obstacle", [directory, pipe, link], ids=lambda each: each.__name__)
def test_what_stands_in_the_place_of_the_file_keeps_no_record_back(
    store: TelemetryStore, obstacle: Callable[[Path], None]
) -> None:
    store.shards.mkdir(parents=True)
    obstacle(store.directory / "telemetry.order")
    with journal_of(store) as run:
        run.append_many([Event(message="1"), Event(message="2")])
    assert store.query("SELECT message FROM events ORDER BY shard_offset").to_pylist() == [
        {"message": "1"},
        {"message": "2"},
    ]
    if obstacle is link:
        assert (store.directory / "theirs").read_text() == "what is theirs\n" * 9


def test_a_process_that_is_stopped_while_it_holds_the_file_keeps_no_record_back(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "_WAIT_S", 0.05)
    store.shards.mkdir(parents=True)
    with (store.directory / "telemetry.order").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        with journal_of(store) as run:
            run.append(Event(message="1"))
        assert time.monotonic() - began < 5
    assert store.query("SELECT message FROM events").to_pylist() == [{"message": "1"}]


# Of what is asked ---------------------------------------------------------------------------------------------------


def test_every_question_for_the_last_one_is_answered_by_the_order_of_writing(store: TelemetryStore) -> None:
    """The clock is put an hour back between two batches of a universe, and again within the second."""
    teacher = [window("A", W1, "failed", 2 * HOUR + 1), window("B", W1, "trained", 2 * HOUR + 2)]
    write_run(store, teacher, batch="older", starts=2 * HOUR, ends=2 * HOUR + 3, backfill_id="older")
    with journal_of(store, "older", "", after(2 * HOUR + 4)) as whole:
        whole.append(verdict(False, 1, 1))
    again = [window("A", W1, "trained", HOUR + 1), window("B", W1, "failed", HOUR + 2)]
    write_run(store, again, batch="newer", run="r9", starts=HOUR, ends=HOUR + 3, backfill_id="newer")
    write_run(store, [window("B", W1, "failed", 1)], batch="newer", run="r1", starts=0, ends=2)
    assert batch_ids(store) == ["newer", "older"]
    assert latest_batch_of(store, "five", "teacher") == "newer"
    assert latest_teacher_batch(store, [("A", W1)]) == "newer"
    assert failed_pairs(store, "five", ["teacher"]) == {("B", W1)}
    assert [(entry.symbol, entry.last_batch, entry.batches) for entry in permanent_failures(store, 1)] == [
        ("B", "newer", 1)
    ]
    assert [run["run_id"] for run in runs_of_batch(store, "newer")] == ["r9", "r1"]
    # The second try at B, by r1, is its last word though it ended an hour before the first.
    (last,) = store.rows("SELECT run_id FROM last_attempts WHERE batch_id = 'newer' AND symbol = 'B'")
    assert last["run_id"] == "r1"
    # The batch that was judged before is not judged again, and does not supersede the newer one.
    assert [(batch.batch_id, batch.superseded) for batch in ended_batches(store, "five", NOON)] == [("newer", False)]


def test_rows_keep_their_order_when_the_database_is_made_anew(store: TelemetryStore) -> None:
    for number, batch in enumerate(("first", "second", "third")):
        for run in ("r1", "r2"):
            row = window("A", W1, "trained", -number * HOUR, error_message=f"{batch} {run}")
            write_run(store, [row], batch=batch, run=run, starts=-number * HOUR, settings={"told by": run})
        with journal_of(store, batch, "", after(-number * HOUR)) as whole:
            whole.append(verdict(True, 1, 0))
        store.ingest()
    asked = [f"FROM {table} ORDER BY ALL" for table in ("batches", "runs", "window_runs", "verdicts")]
    before = [store.query(sql).to_pylist() for sql in asked]
    store.database.unlink()
    store.rebuild()
    assert [store.query(sql).to_pylist() for sql in asked] == before
    assert batch_ids(store) == ["third", "second", "first"]


def test_a_batch_that_is_told_of_later_than_it_began_is_no_newer_for_that(store: TelemetryStore) -> None:
    write_run(store, [window("A", W1, "trained", 1)], batch="newest")
    with journal_of(store, "died", "r1", at=after(HOUR)) as told:
        told.append(BatchStart(started_at=after(-60)))
    assert batch_ids(store) == ["newest", "died"]
    write_run(store, [window("A", W1, "trained", 1)], batch="died", run="r2", starts=2 * HOUR)
    assert batch_ids(store) == ["newest", "died"]
    assert [run["run_id"] for run in runs_of_batch(store, "died")] == ["r1", "r2"]


def test_lines_of_an_older_journal_are_ordered_by_the_clock(store: TelemetryStore) -> None:
    for batch, second in (("later", HOUR), ("earlier", 0)):
        write_run(store, [window("A", W1, "trained", second)], batch=batch, starts=second)
    for shard in store.shards.glob("*.jsonl"):
        lines = shard.read_bytes().split(b"\n")
        shard.write_bytes(b"\n".join(line.replace(b'"ordered_at"', b'"unknown"') for line in lines))
    assert batch_ids(store) == ["later", "earlier"]
    rows = store.rows("SELECT batch_id, ordered_at = ended_at AS same FROM pair_status")
    assert rows == [{"batch_id": "later", "same": True}]


def test_a_journal_that_goes_on_after_its_close_goes_on_in_time(store: TelemetryStore) -> None:
    now = after(HOUR)
    with Journal(store.shards, batch_id="b", run_id="r1", clock=lambda: now) as journal:
        for second in (HOUR, 0, -HOUR):
            now = after(second)
            journal.append(window("A", W1, "trained", second))
            journal.close()
    (row,) = store.rows("SELECT ended_at FROM window_runs")
    assert row["ended_at"] == after(-HOUR)
