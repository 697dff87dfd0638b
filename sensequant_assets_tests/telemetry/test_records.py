"""A field of a record is spelled once, and is a key of the line and a column of its table."""

import json
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import (
    RECORDS,
    BarOutcome,
    BatchStart,
    CheckVerdict,
    Evaluation,
    Event,
    Measurement,
    Plan,
    Prediction,
    Record,
    RunEnd,
    Trial,
    WindowRun,
)
from sensequant_assets.telemetry.schema import COLUMNS
from sensequant_assets.telemetry.store import TelemetryStore

TIME = datetime(2025, 3, 1, 12, 0, 1, tzinfo=UTC)
STORED_IN = {
    BatchStart.record: ("batches", "runs"),
    WindowRun.record: ("window_runs",),
    CheckVerdict.record: ("verdicts",),
    Event.record: ("events",),
    RunEnd.record: ("runs",),
    Trial.record: ("trials",),
    Evaluation.record: ("evaluations",),
    Prediction.record: ("predictions",),
    BarOutcome.record: ("outcomes",),
    Measurement.record: ("profiles",),
}
GIVEN = {"VARCHAR": "text", "INTEGER": 7, "DOUBLE": 0.5, "BOOLEAN": True, "JSON": {"a": 1}}
GIVEN |= {"DATE": date(2022, 1, 1), "TIMESTAMPTZ": TIME, "TIMESTAMP": np.datetime64("2022-01-01T15:30:00", "s")}
NAMED = {"model": "student", "outcome": "reused", "status": "failed"}
NAMED_OF = {Prediction.record: {"model": "champion"}}


def full(record: type[Record]) -> Record:
    """A record with a value in every field."""
    values: dict[str, Any] = {column.name: GIVEN[column.type] for column in COLUMNS[record.record]}
    named = NAMED | NAMED_OF.get(record.record, {})
    return record(**values | {name: value for name, value in named.items() if name in values})


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


@pytest.mark.parametrize("record", [record for record in RECORDS if record is not Plan])
def test_every_field_of_a_record_arrives_in_its_tables(store: TelemetryStore, record: type[Record]) -> None:
    told = full(record)
    with Journal(store.shards, batch_id="b", run_id="r", clock=lambda: TIME) as journal:
        journal.append(told)
    assert store.ingest().broken_lines == 0
    found: dict[str, Any] = {}
    for table in STORED_IN[record.record]:
        found |= store.query(f"FROM {table}").to_pylist()[0]
    for column in COLUMNS[record.record]:
        value = json.loads(found[column.name]) if column.type == "JSON" else found[column.name]
        assert value == getattr(told, column.name), column.name


@pytest.mark.parametrize("record", RECORDS)
def test_a_line_without_what_a_record_must_have_is_broken(store: TelemetryStore, record: type[Record]) -> None:
    needed = [field.name for field in fields(record) if field.default is MISSING]
    values: dict[str, Any] = {
        "model": "teacher",
        "symbol": "A",
        "window_start": "2022-01-01",
        "outcome": "failed",
        "passed": True,
    }
    values |= {"windows": [["A", "2022-01-01"]], "status": "failed", "evaluation": "e", "score": "teacher"}
    values |= {"time": "2022-01-01T15:30:00", "trees_fingerprint": "t", "universe": "five", "asks": "label", "ret": 0.5}
    values |= {"profile": "p", "setting": 1, "turn": 1}
    values |= NAMED_OF.get(record.record, {})
    line: dict[str, Any] = {"record": record.record, "batch_id": "b", "run_id": "r", "at": TIME.isoformat()}
    line |= {name: values[name] for name in needed}
    without = [{name: value for name, value in line.items() if name != left_out} for left_out in needed]
    store.shards.mkdir(parents=True)
    (store.shards / "b.r.1.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [line, *without]))
    report = store.ingest()
    assert (report.rows, report.broken_lines) == (1, len(needed))
