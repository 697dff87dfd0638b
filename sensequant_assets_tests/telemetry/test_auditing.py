"""Claims about rows that are compared with the shards that told them."""

from pathlib import Path

import duckdb
import pytest

from sensequant_assets.telemetry.auditing import audit
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, W2, journal_of, verdict, window, write_run


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    """Two batches, one of two runs, and a verdict of no run."""
    store = TelemetryStore(tmp_path / "telemetry")
    write_run(store, [window("A", W1, "trained", 1, metrics={"test_auc": 0.5}), window("B", W1, "failed", 2)])
    write_run(store, [window("B", W1, "trained", 60, attempt=2)], run="r2", starts=50)
    write_run(store, [window("A", W2, "trained", 3)], batch="other", starts=200)
    with journal_of(store, run_id="") as journal:
        journal.append(verdict(passed=True, trained=2, failed=0, failure_rate=0.0))
        journal.append(Event(kind="notified", message="told", data={"id": "x"}))
    store.ingest()
    return store


def edit(store: TelemetryStore, sql: str) -> None:
    with duckdb.connect(store.database) as connection:
        connection.execute(sql)


def test_rows_that_nobody_changed_are_those_of_the_shards(store: TelemetryStore) -> None:
    found = audit(store, "b")
    assert (found.differences, found.missing, found.remarks) == ([], (), [])
    assert found.shards == 3
    assert (found.rows["window_runs"], found.rows["runs"], found.rows["events"]) == (3, 2, 1)
    assert not audit(store, "other").differences


@pytest.mark.parametrize(
    ("sql", "where", "what"),
    [
        (
            "UPDATE window_runs SET outcome = 'failed' WHERE symbol = 'A' AND batch_id = 'b'",
            "symbol A",
            "column outcome",
        ),
        (
            "UPDATE window_runs SET metrics = '{\"test_auc\":0.6}' WHERE symbol = 'A' AND batch_id = 'b'",
            "symbol A",
            '{"test_auc":0.6}',
        ),
        ("UPDATE verdicts SET passed = false", "check_name max_failure_rate", "column passed"),
        ("UPDATE batches SET max_failure_rate = 0.9 WHERE batch_id = 'b'", "batch_id b", "column max_failure_rate"),
        ("UPDATE runs SET wall_s = 1 WHERE run_id = 'r2' AND batch_id = 'b'", "run_id r2", "column wall_s"),
        ("UPDATE planned_windows SET run_id = 'r9' WHERE symbol = 'B'", "symbol B", "column run_id"),
        ("UPDATE events SET message = 'tolt'", "shard_offset", "telemetry.duckdb has tolt, the shards have told"),
        ("DELETE FROM window_runs WHERE symbol = 'B' AND attempt = 2", "attempt 2", "is missing in telemetry.duckdb"),
        (
            "INSERT INTO verdicts BY NAME SELECT * REPLACE ('nobody' AS run_id) FROM verdicts",
            "run_id nobody",
            "no shard tells it",
        ),
    ],
)
def test_what_was_changed_is_named_by_table_key_and_column(
    store: TelemetryStore, sql: str, where: str, what: str
) -> None:
    edit(store, sql)
    (found,) = audit(store, "b").differences
    assert where in found
    assert what in found
    assert sql.replace("INTO ", "").replace("FROM ", "").split()[1] in found
    assert not audit(store, "other").differences


def test_a_shard_that_is_gone_leaves_nothing_to_compare_with(store: TelemetryStore) -> None:
    (gone,) = (store.archive / "b").glob("b.r2.*")
    gone.unlink()
    found = audit(store, "b")
    assert found.missing == [gone.name.removesuffix(".zst")]
    assert not found.rows


def test_a_shard_that_its_writer_never_closed_is_compared_too(store: TelemetryStore) -> None:
    journal = write_run(store, [window("C", W1, "trained", 400)], batch="killed", status=None, starts=300)
    store.ingest()
    del journal
    edit(store, "UPDATE window_runs SET attempt = 3 WHERE batch_id = 'killed'")
    assert any("attempt 3" in line and "no shard" in line for line in audit(store, "killed").differences)
