"""Ingest takes in every record once, and tells what it could not take."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.telemetry.ingest import IngestReport
from sensequant_assets.telemetry.questions.batches import batch_ids
from sensequant_assets.telemetry.questions.verdicts import verdict_on
from sensequant_assets.telemetry.questions.windows import missing_pairs, outcomes
from sensequant_assets.telemetry.records import BatchStart, Event, Plan, RunEnd
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, W1, W2, verdict, window, write_lattice, write_run
from sensequant_assets_tests.telling import journal_of as journal

TABLE_NAMES = ["batches", "runs", "planned_windows", "window_runs", "verdicts", "events", "shards"]


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def contents(store: TelemetryStore) -> list[object]:
    return [store.query(f"FROM {name} ORDER BY ALL").to_pylist() for name in TABLE_NAMES]


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
    assert set(outcomes(store, "b", "teacher")) == {("A", W1), ("B", W1)}
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
    assert set(outcomes(store, "b", "teacher")) == {("A", W1), ("A", W2), ("B", W1), ("C", W1)}
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
    assert missing_pairs(store, "b", "teacher") == [("S499", W1)]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("order", [("", "r1"), ("r1", "")])
def test_the_plan_of_a_whole_backfill_leaves_that_of_a_run_its_own(
    store: TelemetryStore, order: tuple[str, str], apart: bool
) -> None:
    plans = {"": [("A", W1), ("B", W1)], "r1": [("A", W1)]}
    for second, run in enumerate(order):
        with journal(store, run_id=run, at=NOON + timedelta(seconds=second)) as found:
            found.append(Plan(model="teacher", windows=plans[run]))
        if apart:
            store.ingest()
    planned = store.query("SELECT symbol, run_id FROM planned_windows ORDER BY symbol").to_pylist()
    assert planned == [{"symbol": "A", "run_id": "r1"}, {"symbol": "B", "run_id": ""}]


def test_a_batch_is_not_interrupted_once_another_run_has_taken_up_what_a_killed_one_left(store: TelemetryStore) -> None:
    def status(run: str, *ended: str, plan: Mapping[str, Sequence[tuple[str, str]]]) -> str:
        write_run(store, [], run=run, plan=plan, status=ended[0] if ended else None).close()
        (row,) = store.query("SELECT status FROM batches").to_pylist()
        return str(row["status"])

    both, one = {"teacher": [("A", W1), ("B", W1)]}, {"teacher": [("A", W1)]}
    assert status("before-its-plan", plan={}) == "interrupted"
    assert status("killed", plan=both) == "interrupted"
    assert status("part", "succeeded", plan=one) == "interrupted"
    assert status("repeat", "succeeded", plan=both) == "succeeded"
    # Nobody has come to what the whole backfill planned beside.
    with journal(store, run_id="") as plan:
        plan.append(Plan(model="teacher", windows=[("C", W1)]))
    assert status("other", "succeeded", plan=one) == "interrupted"


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


def test_the_last_verdict_of_a_run_stays_whichever_shard_is_read_last(store: TelemetryStore) -> None:
    with journal(store) as early:
        early.append(verdict(False, 7, 1))
    (shard,) = store.shards.iterdir()
    aside = shard.rename(store.directory / shard.name)
    with journal(store) as late:
        late.append(verdict(True, 8, 0))
    store.ingest()
    aside.rename(shard)
    store.ingest()
    found = verdict_on(store, "b", "teacher")
    assert found is not None
    assert found["passed"] is True


def test_an_event_of_no_batch_makes_no_batch(store: TelemetryStore) -> None:
    with journal(store, batch_id="", run_id="") as found:
        found.append(Event(kind="problem", message="bars", data={"id": "1"}))
    assert batch_ids(store) == []
    assert store.query("SELECT batch_id, kind, message FROM events").to_pylist() == [
        {"batch_id": "", "kind": "problem", "message": "bars"}
    ]
