"""The store takes in every record once, and answers truly while runs write."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.ingest import IngestReport
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import BatchStart, CheckVerdict, Event, Plan, RunEnd
from sensequant_assets.telemetry.render import render
from sensequant_assets.telemetry.schema import SCHEMA_VERSION
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, W1, W2, window

TABLE_NAMES = ["batches", "runs", "planned_windows", "window_runs", "verdicts", "events", "shards"]


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def journal(store: TelemetryStore, batch_id: str = "b", run_id: str = "r1", at: datetime = NOON) -> Journal:
    return Journal(store.shards, batch_id=batch_id, run_id=run_id, clock=lambda: at)


def contents(store: TelemetryStore) -> list[object]:
    return [store.query(f"FROM {name} ORDER BY ALL").to_pylist() for name in TABLE_NAMES]


def write_lattice(store: TelemetryStore) -> None:
    """Ten planned teachers: 3 trained, 1 reused, 2 failed, 2 skipped, 2 never attempted, over 12 seconds."""
    with journal(store) as first:
        first.append(BatchStart(source="cli", universe="five"))
        first.append(Plan(model="teacher", windows=[(s, w) for s in "ABCDE" for w in (W1, W2)]))
        first.append_many(
            [
                window("A", W1, "failed", 1, attempt=1, failure_kind="timeout"),
                window("A", W1, "trained", 5, attempt=2),
                window("B", W1, "trained", 2),
                window("C", W1, "reused", 3),
                window("D", W1, "skipped", 31, reason="pre_listing"),
                window("A", W2, "trained", 4),
                window("B", W2, "failed", 6),
                window("C", W2, "skipped", 41, reason="no_bars"),
                window("D", W2, "trained", 7),
            ],
        )
        first.append(RunEnd(status="succeeded"))
    # The same attempt number, ended later and in another run: it is B's last word.
    with journal(store, run_id="r2") as second:
        second.append(window("B", W1, "failed", 12))
        second.append(RunEnd(status="failed"))


def test_a_fresh_directory_answers_with_no_rows(store: TelemetryStore) -> None:
    assert store.query("SELECT * FROM window_status").num_rows == 0
    assert store.latest_batch() is None
    assert store.verdict("b", "teacher") is None
    assert store.latest_teacher_batch([]) is None


def test_the_latest_attempt_speaks_for_its_window(store: TelemetryStore) -> None:
    write_lattice(store)
    assert store.outcomes("b", "teacher") == {
        ("A", W1): "trained",
        ("A", W2): "trained",
        ("B", W1): "failed",
        ("B", W2): "failed",
        ("C", W1): "reused",
        ("C", W2): "skipped",
        ("D", W1): "skipped",
        ("D", W2): "trained",
        ("E", W1): "not_attempted",
        ("E", W2): "not_attempted",
    }
    assert store.missing_pairs("b") == [("teacher", "E", W1), ("teacher", "E", W2)]


def test_the_failure_rate_leaves_out_skipped_and_not_attempted_windows(store: TelemetryStore) -> None:
    write_lattice(store)
    (summary,) = store.batch_summary("b")
    assert summary == {
        "batch_id": "b",
        "model": "teacher",
        "planned": 10,
        "trained": 3,
        "reused": 1,
        "skipped": 2,
        "failed": 2,
        "not_attempted": 2,
        "attempted": 6,
        "failure_rate": pytest.approx(2 / 6),
        # A's first attempt began at noon but is not its last; the first of the last attempts is C's.
        "started_at": NOON + timedelta(seconds=2),
        "ended_at": NOON + timedelta(seconds=12),
        "windows_per_s": pytest.approx(6 / 10),
    }


def test_nothing_attempted_has_no_failure_rate(store: TelemetryStore) -> None:
    with journal(store) as run:
        run.append(Plan(model="student", windows=[("A", W1), ("B", W1)]))
        run.append(window("A", W1, "skipped", model="student"))
    (summary,) = store.batch_summary("b")
    assert (summary["attempted"], summary["failure_rate"], summary["not_attempted"]) == (0, None, 1)


def test_runs_of_one_batch_are_merged(store: TelemetryStore) -> None:
    for number, status in enumerate(["succeeded", "failed", "succeeded"]):
        start = NOON + timedelta(minutes=number)
        with journal(store, run_id=f"r{number}", at=start) as run:
            settings = {"workers": 2} if number == 0 else None
            run.append(BatchStart(source="ui", started_at=start, pid=100 + number, settings=settings))
            # Every plan repeats one pair of its neighbour: planned counts pairs, not lines.
            symbols = "ABCD"[number : number + 2]
            run.append(Plan(model="teacher", windows=[(symbol, W1) for symbol in symbols]))
            ended = start + timedelta(minutes=10 - 4 * number)
            run.append(RunEnd(status=status, ended_at=ended, wall_s=1.5))
        store.ingest()
    (batch,) = store.query("FROM batches").to_pylist()
    assert batch["started_at"] == NOON
    assert batch["ended_at"] == NOON + timedelta(minutes=10)
    assert batch["last_event_at"] == NOON + timedelta(minutes=2)
    assert (batch["status"], batch["source"], batch["settings"]) == ("failed", "ui", '{"workers":2}')
    assert (batch["planned_teachers"], batch["planned_students"]) == (4, 0)
    assert store.query("SELECT pid FROM runs ORDER BY pid").column("pid").to_pylist() == [100, 101, 102]


def test_a_run_is_running_while_its_writer_lives_and_interrupted_after(store: TelemetryStore) -> None:
    def statuses() -> list[object]:
        return [store.query(f"SELECT status FROM {name}").to_pylist()[0]["status"] for name in ("runs", "batches")]

    run = journal(store)
    run.append(BatchStart())
    assert statuses() == ["running", "running"]
    run.close()
    assert statuses() == ["interrupted", "interrupted"]
    with journal(store) as again:
        again.append(RunEnd(status="succeeded"))
    assert statuses() == ["succeeded", "succeeded"]


def test_a_second_ingest_changes_nothing(store: TelemetryStore) -> None:
    write_lattice(store)
    assert store.ingest() == IngestReport(rows=14, shards=2, broken_lines=0)
    before = contents(store)
    assert TelemetryStore(store.directory).ingest() == IngestReport()
    assert contents(store) == before


def test_a_complete_shard_is_removed_and_a_copy_left_by_a_crash_is_not_taken_twice(store: TelemetryStore) -> None:
    write_lattice(store)
    copies = {path: path.read_bytes() for path in store.shards.iterdir()}
    store.ingest()
    before = contents(store)
    assert list(store.shards.iterdir()) == []
    for path, data in copies.items():
        path.write_bytes(data)
    assert store.ingest().rows == 0
    assert contents(store) == before
    assert list(store.shards.iterdir()) == []


def test_a_torn_last_line_waits_for_its_end(store: TelemetryStore) -> None:
    store.shards.mkdir(parents=True)
    shard = store.shards / "b.r.1.jsonl"
    envelope = '"batch_id":"b","run_id":"r","at":"2025-03-01T12:00:00+00:00"'
    first, second = (f'{{"record":"event",{envelope},"message":"{text}"}}\n' for text in ("one", "two"))
    shard.write_text(first + second[:40])
    assert store.ingest() == IngestReport(rows=1, shards=1)
    assert store.ingest() == IngestReport()
    with shard.open("a") as file:
        file.write(second[40:])
    assert store.ingest() == IngestReport(rows=1, shards=1)
    assert store.query("SELECT message FROM events ORDER BY ALL").column(0).to_pylist() == ["one", "two"]


BROKEN = {
    "not JSON": '{"record":"event","batch_id":',
    "no object": "[1, 2]",
    "unknown kind": '{"record":"gossip","batch_id":"b","run_id":"r1","at":"2025-03-01T12:00:00Z"}',
    "no time": '{"record":"event","batch_id":"b","run_id":"r1","at":"soon"}',
    "no symbol": '{"record":"window_run","batch_id":"b","run_id":"r1","at":"2025-03-01T12:00:00Z","model":"teacher"}',
    "unknown outcome": '{"record":"window_run","batch_id":"b","run_id":"r1","at":"2025-03-01T12:00:00Z",'
    '"model":"teacher","symbol":"A","window_start":"2022-01-01","outcome":"perhaps"}',
    "half a pair": '{"record":"plan","batch_id":"b","run_id":"r1","at":"2025-03-01T12:00:00Z",'
    '"model":"teacher","windows":[["A","2022-01-01"],["B"]]}',
    "bytes": "\x00\x00\udcff",
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_line_is_counted_and_stops_no_other(store: TelemetryStore, line: str) -> None:
    with journal(store) as run:
        run.append(window("A", W1, "trained"))
        (shard,) = store.shards.iterdir()
        with shard.open("ab") as file:
            file.write(line.encode(errors="surrogateescape") + b"\n")
        run.append(window("B", W1, "trained"))
    assert store.ingest() == IngestReport(rows=2, shards=1, broken_lines=1)
    assert set(store.outcomes("b", "teacher")) == {("A", W1), ("B", W1)}
    (event,) = store.query("FROM events").to_pylist()
    assert (event["level"], event["kind"], event["batch_id"]) == ("error", "broken_line", "b")
    assert shard.name in event["message"]
    assert store.query("SELECT broken_lines FROM shards").to_pylist() == [{"broken_lines": 1}]


def line(record: str, second: int = 0, **fields: Any) -> bytes:
    """A line of the journal as another version may have written it."""
    at = (NOON + timedelta(seconds=second)).isoformat()
    return json.dumps({"record": record, "batch_id": "b", "run_id": "r1", "at": at, **fields}).encode() + b"\n"


def test_a_field_that_no_record_has_is_counted_and_told_once_a_shard_and_the_rest_is_taken(
    store: TelemetryStore,
) -> None:
    store.shards.mkdir(parents=True)
    first, second = store.shards / "b.r1.1.jsonl", store.shards / "b.r1.2.jsonl"
    about: dict[str, Any] = {"model": "teacher", "symbol": "A", "outcome": "trained"}
    first.write_bytes(
        line("window_run", 5, window_start=W1, colour="red", **about)
        + line("window_run", 3, window_start=W2, colour=None, **about)
        + line("event", kind="blocked", message="kept", batch="b")
    )
    second.write_bytes(line("window_run", window_start=W1, colour="red", **about | {"symbol": "B"}))
    report = store.ingest()
    assert (report.rows, report.broken_lines) == (4, 0)
    assert report.unknown_fields == {"window_run.colour": 3, "event.batch": 1}
    with first.open("ab") as file:
        file.write(line("window_run", window_start=W1, colour="red", shape="round", **about | {"symbol": "C"}))
    assert store.ingest().unknown_fields == {"window_run.colour": 1, "window_run.shape": 1}
    assert set(store.outcomes("b", "teacher")) == {("A", W1), ("A", W2), ("B", W1), ("C", W1)}
    told = store.query(
        "SELECT shard, data->>'name' AS name, level, batch_id, run_id, happened_at, message FROM events "
        "WHERE kind = 'unknown_field' ORDER BY ALL"
    ).to_pylist()
    assert [(row["shard"], row["name"]) for row in told] == [
        (first.name, "event.batch"),
        (first.name, "window_run.colour"),
        (first.name, "window_run.shape"),
        (second.name, "window_run.colour"),
    ]
    assert {(row["level"], row["batch_id"], row["run_id"]) for row in told} == {("warning", "b", "r1")}
    assert told[1]["happened_at"] == NOON + timedelta(seconds=3)
    assert told[1]["message"].startswith("Field colour of records of kind window_run has no place in this version")


def test_the_fields_of_todays_records_are_all_known(store: TelemetryStore) -> None:
    write_lattice(store)
    assert store.ingest().unknown_fields == {}


def test_a_broken_line_does_not_count_for_its_unknown_fields(store: TelemetryStore) -> None:
    store.shards.mkdir(parents=True)
    (store.shards / "b.r1.1.jsonl").write_bytes(line("window_run", colour="red"))
    report = store.ingest()
    assert (report.rows, report.broken_lines, report.unknown_fields) == (0, 1, {})


def test_a_plan_larger_than_one_read_is_taken_whole(store: TelemetryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensequant_assets.telemetry.ingest._CHUNK_BYTES", 5000)
    with journal(store) as run:
        run.append(Plan(model="teacher", windows=[(f"S{n}", W1) for n in range(500)]))
        run.append_many([window(f"S{n}", W1, "trained", n) for n in range(499)])
    assert store.ingest() == IngestReport(rows=500, shards=1)
    assert store.missing_pairs("b") == [("teacher", "S499", W1)]


def test_all_fields_of_a_window_arrive(store: TelemetryStore) -> None:
    with journal(store) as run:
        run.append(
            window(
                "M&M",
                W1,
                "trained",
                1,
                window_end=date(2022, 6, 30),
                train_rows=107,
                metrics={"auc": 0.625, "nan": float("nan")},
                parameters=None,
                error_message="a\x00b\n'\"",
                early_life=True,
                open=False,
                model_path="models/M&M.txt",
            )
        )
    (row,) = store.query("FROM window_runs").to_pylist()
    assert row["metrics"] == '{"auc":0.625,"nan":null}'
    assert row["parameters"] is None
    assert row["error_message"] == "a\x00b\n'\""
    assert (row["attempt"], row["train_rows"], row["early_life"], row["open"]) == (1, 107, True, False)
    assert row["window_end"].isoformat() == "2022-06-30"
    assert row["ended_at"] == NOON + timedelta(seconds=1)


def verdict(passed: bool, trained: int, failed: int, failure_rate: float | None = None) -> CheckVerdict:
    counts: dict[str, Any] = {"trained": trained, "reused": 0, "skipped": 1, "failed": failed, "not_attempted": 0}
    return CheckVerdict(model="teacher", passed=passed, failure_rate=failure_rate, max_failure_rate=0.15, **counts)


def test_the_runs_verdicts_stand_for_the_batch_until_it_has_its_own(store: TelemetryStore) -> None:
    with journal(store, run_id="r1") as one, journal(store, run_id="r2") as two:
        one.append(verdict(False, trained=6, failed=2))
        two.append(verdict(True, trained=12, failed=0))
    together = store.verdict("b", "teacher")
    assert together is not None
    assert together["passed"] is False
    assert (together["trained"], together["failed"], together["skipped"]) == (18, 2, 2)
    assert together["failure_rate"] == pytest.approx(0.1)
    with journal(store, run_id="", at=NOON + timedelta(hours=1)) as whole_batch:
        whole_batch.append(verdict(True, 18, 2, failure_rate=0.1))
    whole = store.verdict("b", "teacher")
    assert whole is not None
    assert (whole["passed"], whole["run_id"], whole["failure_rate"]) == (True, "", 0.1)


def test_the_last_verdict_of_a_run_stays_whichever_shard_is_read_last(store: TelemetryStore) -> None:
    with journal(store, at=NOON + timedelta(hours=1)) as late:
        late.append(verdict(True, 8, 0))
    store.ingest()
    with journal(store) as early:
        early.append(verdict(False, 7, 1))
    found = store.verdict("b", "teacher")
    assert found is not None
    assert found["passed"] is True


def test_the_latest_teacher_batch_is_the_last_that_attempted_one_of_the_pairs(store: TelemetryStore) -> None:
    for second, (batch, symbol, outcome) in enumerate(
        [("old", "A", "trained"), ("new", "A", "reused"), ("newer", "B", "trained"), ("newest", "A", "skipped")]
    ):
        with journal(store, batch_id=batch) as run:
            run.append(window(symbol, W1, outcome, second))
    assert store.latest_teacher_batch([("A", W1), ("Z", W2)]) == "new"
    assert store.latest_teacher_batch([("A", W2)]) is None


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
        assert store.query("FROM events").num_rows == 0
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
    assert store.query("FROM events").num_rows == 1


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
from sensequant_assets.telemetry import store
store._CHUNK_BYTES = 2000
print(flush=True)
store.TelemetryStore(Path(sys.argv[1])).ingest()
"""
    for pause in (0.05, 0.2, 0.5):
        with python(script, store.directory) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(pause)
            process.kill()
        store.query("SELECT count(*) FROM events", fresh=False)
    store.ingest()
    assert store.query("SELECT count(*) AS n, count(DISTINCT message) AS m FROM events").to_pylist() == [
        {"n": 800, "m": 800}
    ]
    assert store.query("SELECT count(*) AS n FROM window_runs").to_pylist() == [{"n": 800}]


def version_1(database: Path) -> None:
    """A file of the first layout with one failed window."""
    database.parent.mkdir(parents=True)
    with duckdb.connect(database) as connection:
        connection.execute(Path(__file__).with_name("version_1.sql").read_text())
        connection.execute("INSERT INTO batches (batch_id, status) VALUES ('old', 'succeeded')")
        connection.execute(
            "INSERT INTO window_runs (batch_id, run_id, model, symbol, window_start, outcome, attempt, ended_at) "
            "VALUES ('old', 'r', 'teacher', 'A', '2022-01-01', 'failed', 1, '2025-01-01 00:00:00+00')"
        )


def test_an_older_layout_is_migrated_with_its_rows(store: TelemetryStore) -> None:
    version_1(store.database)
    assert store.outcomes("old", "teacher")["A", W1] == "failed"
    assert store.query("SELECT version FROM schema_version").to_pylist() == [{"version": SCHEMA_VERSION}]
    with journal(store) as run:
        run.append(window("A", W1, "trained", model_path="models/A.txt"))
        run.append(verdict(True, 1, 0))
    assert store.query("SELECT model_path FROM window_runs ORDER BY batch_id").to_pylist() == [
        {"model_path": "models/A.txt"},
        {"model_path": None},
    ]
    assert store.verdict("b", "teacher") is not None


def test_a_migrated_layout_equals_a_new_one(store: TelemetryStore, tmp_path: Path) -> None:
    version_1(store.database)
    columns = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() ORDER BY ALL"
    assert store.query(columns).to_pylist() == TelemetryStore(tmp_path / "new").query(columns).to_pylist()


@pytest.mark.parametrize("fresh", [True, False])
def test_a_newer_layout_is_refused(store: TelemetryStore, fresh: bool) -> None:
    store.ingest()
    with duckdb.connect(store.database) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    message = rf"telemetry\.duckdb has layout version 99, this code knows {SCHEMA_VERSION}"
    with pytest.raises(UsageError, match=message):
        TelemetryStore(store.directory).query("FROM batches", fresh=fresh)
    with pytest.raises(UsageError, match=message):
        TelemetryStore(store.directory).ingest()


def test_a_file_that_is_no_database_is_named(store: TelemetryStore) -> None:
    store.directory.mkdir()
    store.database.write_text("not a database" * 1000)
    with pytest.raises(UsageError, match=r"telemetry\.duckdb cannot be opened"):
        store.ingest()


def test_an_answer_renders_as_table_json_and_csv(store: TelemetryStore) -> None:
    table = store.query(
        """
        SELECT 'M&M' AS symbol, DATE '2022-01-01' AS window_start, TIMESTAMPTZ '2025-03-01 12:00:00+00' AS ended_at,
               sum(2) AS failed, NULL AS reason, '[bold]x' AS message
        """
    )
    assert render(table, "csv") == (
        "symbol,window_start,ended_at,failed,reason,message\nM&M,2022-01-01,2025-03-01T12:00:00+00:00,2,,[bold]x"
    )
    assert render(table, "json") == (
        '[\n  {\n    "symbol": "M&M",\n    "window_start": "2022-01-01",\n'
        '    "ended_at": "2025-03-01T12:00:00+00:00",\n    "failed": 2,\n    "reason": null,\n'
        '    "message": "[bold]x"\n  }\n]'
    )
    assert render(table, "table").splitlines()[-1].split() == ["M&M", W1, "2025-03-01T12:00:00+00:00", "2", "[bold]x"]


def test_a_table_of_any_width_is_not_cut(store: TelemetryStore) -> None:
    text = render(store.query("SELECT repeat('x', 5000) AS long, 1 AS last"), "table")
    assert "x" * 5000 in text
    assert render(store.query("SELECT 1 AS one WHERE false"), "json") == "[]"


def test_an_event_of_no_batch_makes_no_batch(store: TelemetryStore) -> None:
    with journal(store, batch_id="", run_id="") as found:
        found.append(Event(kind="problem", message="bars", data={"id": "1"}))
    assert store.latest_batch() is None
    assert store.query("SELECT batch_id, kind, message FROM events").to_pylist() == [
        {"batch_id": "", "kind": "problem", "message": "bars"}
    ]
