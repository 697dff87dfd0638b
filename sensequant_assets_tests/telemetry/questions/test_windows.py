"""Claims about what is asked of the windows of a batch."""

from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.batches import batch_summary
from sensequant_assets.telemetry.questions.windows import (
    attempts,
    constant_windows,
    ended_by_second,
    latest_teacher_batch,
    missing_pairs,
    outcomes,
    untried_windows,
)
from sensequant_assets.telemetry.records import Event, Plan
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, W2, after, window, write_lattice, write_run
from sensequant_assets_tests.telling import journal_of as journal


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_the_latest_attempt_speaks_for_its_window(store: TelemetryStore) -> None:
    write_lattice(store)
    assert outcomes(store, "b", "teacher") == {
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
    assert missing_pairs(store, "b", "teacher") == [("E", W1), ("E", W2)]


def test_the_latest_teacher_batch_is_the_last_that_attempted_one_of_the_pairs(store: TelemetryStore) -> None:
    for second, (batch, symbol, outcome) in enumerate(
        [("old", "A", "trained"), ("new", "A", "reused"), ("newer", "B", "trained"), ("newest", "A", "skipped")]
    ):
        with journal(store, batch_id=batch) as run:
            run.append(window(symbol, W1, outcome, second))
    assert latest_teacher_batch(store, [("A", W1), ("Z", W2)]) == "new"
    assert latest_teacher_batch(store, [("A", W2)]) is None


def test_windows_that_ended_are_counted_by_the_second(store: TelemetryStore) -> None:
    rows = [window(symbol, W1, "trained", second) for symbol, second in zip("ABC", (1.25, 1.75, 4.0), strict=True)]
    write_run(store, rows, plan={"teacher": [(symbol, W1) for symbol in "ABCD"]})
    assert ended_by_second(store, "b") == [
        {"second": after(1), "windows": 2},
        {"second": after(4), "windows": 1},
    ]


def test_every_planned_window_has_the_metrics_of_its_latest_attempt(store: TelemetryStore) -> None:
    first = window("A", W1, "trained", 1, metrics={"auc": 0.5}, trees_fingerprint="old")
    again = window("A", W1, "trained", 2, attempt=2, metrics={"auc": 0.75, "loss": None}, trees_fingerprint="new")
    write_run(store, [first, again], plan={"teacher": [("A", W1), ("B", W1)]})
    trained, missing = attempts(store, "b", ["auc", "loss"])
    assert (trained["outcome"], trained["auc"], trained["loss"], trained["trees_fingerprint"]) == (
        "trained", 0.75, None, "new",
    )  # fmt: skip
    assert (missing["symbol"], missing["outcome"], missing["auc"], missing["test_rows"]) == (
        "B", "not_attempted", None, None,
    )  # fmt: skip


def test_models_that_know_nothing_are_those_of_the_latest_attempts(store: TelemetryStore) -> None:
    rows = [
        window("A", W1, "trained", 1, attempt=1, constant=True, train_rows=50),
        window("A", W1, "trained", 2, attempt=2, constant=False, train_rows=116),
        window("B", W2, "reused", 3, constant=True, train_rows=81),
        window("B", W1, "trained", 4, constant=True, train_rows=80),
        window("C", W1, "failed", 5),
        window("B", W1, "trained", 6, model="student", constant=True, train_rows=80),
    ]
    write_run(store, rows)
    found = constant_windows(store, "b", "teacher", 5)
    assert [(row["symbol"], row["window"], row["train_rows"]) for row in found] == [("B", W1, 80), ("B", W2, 81)]
    assert len(constant_windows(store, "b", "teacher", 1)) == 1
    assert [row["constant"] for row in batch_summary(store, "b")] == [2, 1]
    assert [row["constant"] for row in attempts(store, "b", []) if row["model"] == "teacher"] == [
        False, True, True, None,
    ]  # fmt: skip


def test_windows_that_nobody_tried_are_told_with_why(store: TelemetryStore) -> None:
    both = {"teacher": [("A", W1)], "student": [("A", W1)]}
    with journal(store, run_id="") as plan:
        plan.append_many(Plan(model=model, windows=[(s, W1) for s in "ABCD"]) for model in both)
    write_run(store, [window("A", W1, "failed")], run="r1", plan=both, status="failed")
    with journal(store, run_id="r1") as blocked:
        blocked.append(Event(kind="blocked"))
    write_run(store, [], run="r2", plan={"teacher": [("B", W1)], "student": [("B", W1)]}, status=None).close()
    write_run(store, [], run="r3", plan={"teacher": [("C", W1)]}, status="failed")
    untried = {model: [(row["symbol"], row["window"], row["why"]) for row in untried_windows(store, "b", model)]
               for model in both}  # fmt: skip
    left = [("B", W1, "killed run"), ("C", W1, "broken off run"), ("D", W1, "no run came to it")]
    assert untried["teacher"] == left
    assert untried["student"] == [("A", W1, "too many failed teachers"), left[0], ("C", W1, left[2][2]), left[2]]
