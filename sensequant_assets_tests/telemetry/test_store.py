"""The store opens, ingests and answers, while runs write and others read."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sensequant_assets.errors import BusyError, UsageError
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import within
from sensequant_assets_tests.telling import NOON, W1, window, write_run
from sensequant_assets_tests.telling import journal_of as journal


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_a_fresh_directory_answers_with_no_rows(store: TelemetryStore) -> None:
    assert store.query("SELECT * FROM window_status").num_rows == 0


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events (shard, shard_offset) VALUES ('x', 1)",
        "DELETE FROM events",
        "DROP TABLE events",
        "ATTACH ':memory:' AS other",
        "COPY events TO 'out.csv'",
        "CREATE TABLE other (x INTEGER)",
        "SET enable_external_access = true",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "EXPLAIN ANALYZE DELETE FROM events",
        "SELECT * FROM sql",
        "SELEC 1",
        "SELECT no_such_column FROM events",
    ],
)
def test_a_query_only_reads_telemetry(store: TelemetryStore, sql: str) -> None:
    with journal(store) as run:
        run.append(Event(message="kept"))
    with pytest.raises(UsageError):
        store.query(sql)
    assert store.query("SELECT message FROM events").to_pylist() == [{"message": "kept"}]


@pytest.mark.parametrize("sql", ["DELETE FROM events", "COPY events TO 'out.csv'", "ATTACH 'other.duckdb'"])
def test_a_connection_only_reads_telemetry(store: TelemetryStore, sql: str) -> None:
    with pytest.raises(UsageError, match="Telemetry cannot answer"), store.connect() as connection:
        connection.execute(sql)


def test_a_query_takes_parameters_and_describes(store: TelemetryStore) -> None:
    assert store.query("SELECT ? + 1 AS two", [1]).to_pylist() == [{"two": 2}]
    assert store.query("SELECT $x AS x", {"x": "a"}).to_pylist() == [{"x": "a"}]
    assert "shard_offset" in store.query("DESCRIBE events").column("column_name").to_pylist()


def test_a_question_that_takes_long_holds_up_no_run_and_no_other_reader(store: TelemetryStore) -> None:
    with store.connect() as connection:
        with journal(store) as run:
            run.append(Event(message="meanwhile"))
        assert store.ingest(wait_s=0).busy
        told: list[str] = []
        assert TelemetryStore(store.directory, told.append).query("FROM events").num_rows == 0
        assert len(told) == 1
        assert "As of an earlier state" in told[0]
        assert "bytes of 1 shard wait to be taken in" in told[0]
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
    assert store.query("FROM events").num_rows == 1


def test_who_decides_by_an_answer_gets_all_rows_or_an_error(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensequant_assets.telemetry.store._WAIT_S", 0.3)
    other = TelemetryStore(store.directory)
    with store.connect():
        with journal(store) as run:
            run.append(Event(message="meanwhile"))
        with pytest.raises(BusyError, match="stayed in use"):
            other.query("FROM events")
        with pytest.raises(BusyError, match="stayed in use"), other.session():
            pass
    assert other.query("FROM events").num_rows == 1


def test_readers_that_leave_no_moment_between_them_let_an_ingest_in(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensequant_assets.telemetry.store._OLDER_WAIT_S", 0.01)
    store.ingest()
    ended = threading.Event()

    def read_again_and_again() -> None:
        mine = TelemetryStore(store.directory, lambda _said: None)
        while not ended.is_set():
            with mine.connect():
                time.sleep(0.3)

    # Each comes while another is there.
    with ThreadPoolExecutor(6) as readers:
        reading = [readers.submit(read_again_and_again) for _ in range(6)]
        try:
            for number in range(3):
                with journal(store) as run:
                    run.append(Event(message=str(number)))
                assert not store.ingest(wait_s=4).busy
        finally:
            ended.set()
    for one in reading:
        one.result()


def test_an_ingest_that_waits_keeps_a_reader_out_for_a_while_and_no_longer(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensequant_assets.telemetry.store._STAND_BACK_S", 0.2)
    store.ingest()
    with journal(store) as run:
        run.append(Event(message="meanwhile"))
    with ThreadPoolExecutor(1) as pool:
        with store.connect() as connection:
            waiting = pool.submit(TelemetryStore(store.directory).ingest, 20)
            assert connection.execute("SELECT count(*) FROM events").fetchall() == [(1,)]
            with journal(store) as run:
                run.append(Event(message="later"))
            assert TelemetryStore(store.directory, lambda _said: None).query("FROM events").num_rows == 1
            assert not waiting.done()
        assert waiting.result().rows == 1


def test_a_copy_answers_as_it_was_and_holds_up_no_ingest(
    store: TelemetryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with store.copy():
        with journal(store) as run:
            run.append(Event(message="meanwhile"))
        assert store.query("FROM events").num_rows == 0
        assert store.ingest(wait_s=0).rows == 1
        assert store.query("FROM events").num_rows == 0
    with pytest.raises(UsageError, match="no_such_column"), store.copy():
        store.query("SELECT no_such_column FROM events")
    assert store.query("FROM events").num_rows == 1
    assert not list(temporary.iterdir())


def test_a_session_answers_from_one_state(store: TelemetryStore) -> None:
    with journal(store) as run, store.session():
        run.append(Event(message="meanwhile"))
        with store.session():
            assert store.rows("FROM events") == []
        assert store.rows("SELECT count(*) AS n FROM events") == [{"n": 0}]
    (row,) = store.rows("SELECT message, happened_at FROM events")
    assert row == {"message": "meanwhile", "happened_at": NOON}


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


WRITER = """
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import Event, WindowRun
with Journal(Path(sys.argv[1]) / "shards", batch_id="b", run_id=sys.argv[2], clock=lambda: datetime.now(UTC)) as run:
    for number in range(400):
        name = f"{sys.argv[2]}-{number}"
        run.append(WindowRun(model="teacher", symbol=name, window_start=date(2022, 1, 1), outcome="trained"))
        run.append(Event(message=name))
"""


INGESTER = """
import sys
from pathlib import Path
from sensequant_assets.telemetry.store import TelemetryStore
while not Path(sys.argv[2]).exists():
    TelemetryStore(Path(sys.argv[1])).ingest()
"""


READER = """
import sys
from pathlib import Path
from sensequant_assets.telemetry.store import TelemetryStore
store, seen = TelemetryStore(Path(sys.argv[1])), 0
while not Path(sys.argv[2]).exists():
    row = store.query("SELECT count(*) AS n, (SELECT count(*) FROM events) AS events FROM window_runs").to_pylist()[0]
    assert row["n"] >= seen and row["n"] - row["events"] in (0, 1, 2, 3), (row, seen)
    seen = row["n"]
"""


def test_writers_ingests_and_readers_in_processes_of_their_own_take_every_row_once(
    store: TelemetryStore, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    others = [python(script, store.directory, done) for script in (INGESTER, INGESTER, READER, READER)]
    finish([python(WRITER, store.directory, f"r{number}") for number in range(3)])
    done.touch()
    finish(others)
    store.ingest()
    (counts,) = store.query(
        """
        SELECT (SELECT count(*) FROM window_runs) AS windows, (SELECT count(*) FROM events) AS events,
               (SELECT count(DISTINCT message) FROM events) AS messages,
               (SELECT sum(broken_lines) FROM shards) AS broken
        """
    ).to_pylist()
    assert counts == {"windows": 1200, "events": 1200, "messages": 1200, "broken": 0}


def test_an_ingest_killed_at_any_moment_neither_loses_nor_doubles(store: TelemetryStore, tmp_path: Path) -> None:
    finish([python(WRITER, store.directory, f"r{number}") for number in range(2)])
    script = """
import sys
from pathlib import Path
from sensequant_assets.telemetry import ingest, store
ingest._CHUNK_BYTES = 2000
print(flush=True)
store.TelemetryStore(Path(sys.argv[1])).ingest()
"""
    for pause in (0.05, 0.2, 0.5):
        with python(script, store.directory) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.kill()
        store.query("SELECT count(*) FROM events")
    store.ingest()
    assert store.query("SELECT count(*) AS n, count(DISTINCT message) AS m FROM events").to_pylist() == [
        {"n": 800, "m": 800}
    ]
    assert store.query("SELECT count(*) AS n FROM window_runs").to_pylist() == [{"n": 800}]


@pytest.mark.parametrize("stranger", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_among_the_shards_is_passed_over_without_waiting(
    store: TelemetryStore, stranger: Callable[[Path], None]
) -> None:
    write_run(store, [window("A", W1, "trained")])
    stranger(store.shards / "a.jsonl")
    with within(10):
        assert store.query("SELECT count(*) AS rows FROM window_runs").to_pylist() == [{"rows": 1}]


@pytest.mark.parametrize("stranger", [os.mkfifo, Path.mkdir])
def test_a_database_that_is_no_file_is_named_without_waiting(
    store: TelemetryStore, stranger: Callable[[Path], None]
) -> None:
    store.directory.mkdir()
    stranger(store.database)
    with (
        within(10),
        pytest.raises(UsageError, match=r"telemetry\.duckdb is no regular file\. `sensequant"),
    ):
        store.query("SELECT 1")


STRANGERS = [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")]


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("name", ["telemetry.lock", "telemetry.next.lock"])
def test_a_lock_that_is_no_regular_file_is_named_without_waiting(
    store: TelemetryStore, name: str, stranger: Callable[[Path], None]
) -> None:
    store.directory.mkdir()
    stranger(store.directory / name)
    with within(10), pytest.raises(UsageError) as caught:
        store.query("SELECT 1")
    assert str(caught.value).startswith(f"{store.directory / name} cannot be locked: ")
    assert str(caught.value).endswith(". Remove it; it is made anew.")


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_log_of_the_database_that_is_no_regular_file_is_named_and_put_aside(
    store: TelemetryStore, stranger: Callable[[Path], None]
) -> None:
    with journal(store) as run:
        run.append(Event(message="kept"))
    store.ingest()
    log = store.directory / "telemetry.duckdb.wal"
    stranger(log)
    with (
        within(10),
        pytest.raises(UsageError, match=r"its log, .*\.wal, is no regular file\. `sensequant telemetry reb"),
    ):
        TelemetryStore(store.directory).query("FROM events")
    assert store.rebuild().aside == [store.directory / "telemetry.duckdb.wal.damaged-1"]
    assert store.query("SELECT message FROM events").to_pylist() == [{"message": "kept"}]
