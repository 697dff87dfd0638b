"""A layout is made once, and older ones are brought to it with their rows."""

from pathlib import Path

import duckdb
import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.questions.batches import batch_ids
from sensequant_assets.telemetry.questions.failures import failed_pairs
from sensequant_assets.telemetry.questions.verdicts import verdict_on
from sensequant_assets.telemetry.questions.windows import outcomes
from sensequant_assets.telemetry.schema import SCHEMA_VERSION
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, verdict, window, write_run
from sensequant_assets_tests.telling import journal_of as journal


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


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
    assert outcomes(store, "old", "teacher")["A", W1] == "failed"
    assert store.query("SELECT version FROM schema_version").to_pylist() == [{"version": SCHEMA_VERSION}]
    with journal(store) as run:
        run.append(window("A", W1, "trained", model_path="models/A.txt"))
        run.append(verdict(True, 1, 0))
    assert store.query("SELECT model_path FROM window_runs ORDER BY batch_id").to_pylist() == [
        {"model_path": "models/A.txt"},
        {"model_path": None},
    ]
    assert verdict_on(store, "b", "teacher") is not None


def test_a_migrated_layout_equals_a_new_one(store: TelemetryStore, tmp_path: Path) -> None:
    version_1(store.database)
    columns = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() ORDER BY ALL"
    assert store.query(columns).to_pylist() == TelemetryStore(tmp_path / "new").query(columns).to_pylist()


def test_a_newer_layout_is_refused(store: TelemetryStore) -> None:
    store.ingest()
    with duckdb.connect(store.database) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    message = rf"telemetry\.duckdb has layout version 99, this code knows {SCHEMA_VERSION}"
    with pytest.raises(UsageError, match=message):
        TelemetryStore(store.directory).query("FROM batches")
    with pytest.raises(UsageError, match=message):
        TelemetryStore(store.directory).ingest()


def test_rows_of_an_older_layout_are_ordered_by_the_clock_and_come_before_what_is_written_from_then_on(
    store: TelemetryStore,
) -> None:
    version_1(store.database)
    with duckdb.connect(store.database) as connection:
        for batch, day, outcome in (("june", "2025-06-01", "failed"), ("may", "2025-05-01", "trained")):
            connection.execute(
                "INSERT INTO batches (batch_id, status, started_at) VALUES (?, 'succeeded', ?)", [batch, day]
            )
            connection.execute(
                "INSERT INTO window_runs (batch_id, run_id, model, universe, symbol, window_start, outcome, attempt, "
                "ended_at) VALUES (?, 'r', 'teacher', 'five', 'A', ?, ?, 1, ?)",
                [batch, W1, outcome, day],
            )
    store.require()
    assert batch_ids(store) == ["june", "may", "old"]
    assert failed_pairs(store, "five", ["teacher"]) == {("A", W1)}
    # Its clock is three months back.
    write_run(store, [window("A", W1, "trained")], batch="march")
    assert batch_ids(store) == ["march", "june", "may", "old"]
    assert failed_pairs(store, "five", ["teacher"]) == set()
