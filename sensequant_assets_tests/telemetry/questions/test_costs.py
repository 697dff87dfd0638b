"""Claims about what is asked of the costs of a batch."""

from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.costs import batch_costs, dearest
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, W2, journal_of, window, write_run

NAMES = ("model", "models", "wall_s", "cpu_s", "peak_mb", "device_s", "joules")


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    """A batch of two teachers, a skip and a student, beside a pool."""
    store = TelemetryStore(tmp_path / "telemetry")
    rows = [
        window("A", W1, "trained", duration_s=2.0, cpu_s=1.5, peak_mb=200.0, device_s=2.0, joules=30.0, train_rows=90),
        window("A", W2, "failed", duration_s=3.0, cpu_s=1.0, peak_mb=260.0),
        window("B", W1, "skipped", duration_s=9.0, cpu_s=9.0),
        window("A", W1, "trained", model="student", duration_s=0.5, cpu_s=0.5, peak_mb=261.0),
    ]
    write_run(store, rows)
    data = {"model": "pool", "status": "trained", "rows": 470, "seconds": 4.0, "cpu_s": 3.0, "peak_mb": 240.5}
    with journal_of(store, run_id="r2") as journal:
        journal.append(Event(kind="pool", window_start=rows[0].window_start, data=data))
        # A pool of a version that told no more than this.
        journal.append(Event(kind="pool", data={"model": "shared_student", "status": "reused", "seconds": 0.1}))
    return store


def test_a_batch_costs_what_its_models_and_runs_did_and_what_nobody_told_is_null(store: TelemetryStore) -> None:
    assert [tuple(row[name] for name in NAMES) for row in batch_costs(store, "b")] == [
        ("pool", 1, 4.0, 3.0, 240.5, None, None),
        ("shared_student", 1, 0.1, None, None, None, None),
        ("teacher", 2, 5.0, 2.5, 260.0, 2.0, 30.0),
        ("student", 1, 0.5, 0.5, 261.0, None, None),
        ("all", None, 100.0, 7.0, 261.0, 2.0, 30.0),
    ]


def test_the_models_that_cost_most_are_those_that_held_a_worker_longest_and_no_skip_is_among_them(
    store: TelemetryStore,
) -> None:
    found = [(row["model"], row["symbol"], str(row["window_start"]), row["rows"]) for row in dearest(store, "b", 3)]
    assert found == [("pool", None, W1, 470), ("teacher", "A", W2, None), ("teacher", "A", W1, 90)]
