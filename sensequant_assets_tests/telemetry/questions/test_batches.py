"""Claims about what is asked of batches and their runs."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.questions.batches import (
    Basis,
    EndedBatch,
    Running,
    batch,
    batch_basis,
    batch_ids,
    batch_summary,
    ended_batches,
    latest_batch_of,
    run_statuses,
    running_batches,
    runs_of_batch,
)
from sensequant_assets.telemetry.records import BatchStart, Plan, RunEnd, WindowRun
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.notes import note
from sensequant_assets_tests.telling import NOON, W1, after, verdict, window, write_lattice, write_run
from sensequant_assets_tests.telling import journal_of as journal


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_the_failure_rate_leaves_out_skipped_and_not_attempted_windows(store: TelemetryStore) -> None:
    write_lattice(store)
    (summary,) = batch_summary(store, "b")
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
        "constant": 0,
        "failure_rate": pytest.approx(2 / 6),
        # A's first attempt began at noon but is not its last; the first of the last attempts is C's.
        "started_at": NOON + timedelta(seconds=2),
        "ended_at": NOON + timedelta(seconds=12),
        "windows_per_s": pytest.approx(6 / 10),
    }


def test_a_batch_of_an_earlier_day_is_not_the_latest_of_its_universe(store: TelemetryStore) -> None:
    windows = [window("A", W1, "trained", 1)]
    write_run(store, windows, batch="today", settings={"as_of": None})
    write_run(store, windows, batch="past", settings={"as_of": "2020-01-01"})
    assert latest_batch_of(store, "five", "teacher") == "today"


def test_nothing_attempted_has_no_failure_rate(store: TelemetryStore) -> None:
    with journal(store) as run:
        run.append(Plan(model="student", windows=[("A", W1), ("B", W1)]))
        run.append(window("A", W1, "skipped", model="student"))
    (summary,) = batch_summary(store, "b")
    assert (summary["attempted"], summary["failure_rate"], summary["not_attempted"]) == (0, None, 1)


def test_the_batch_that_started_last_is_named_first(store: TelemetryStore) -> None:
    assert batch_ids(store) == []
    for name, starts in [("first", 1.0), ("middle", 5.0), ("last", 9.0)]:
        write_run(store, [window("A", W1, "trained", 20)], batch=name, starts=starts)
    assert batch_ids(store) == ["last", "middle", "first"]


def test_a_batch_tells_what_it_was_run_with_and_how_far_its_runs_are(store: TelemetryStore) -> None:
    about: dict[str, Any] = {"settings": {"horizon": 7}, "parameters": {"teacher": {"folds": 5}}}
    write_run(store, [window("A", W1, "trained")], **about)
    open_journal = write_run(store, [window("B", W1, "trained")], run="r2", status=None)
    found = batch(store, "b")
    assert (found["runs"], found["runs_ended"], found["judged"]) == (2, 1, False)
    assert (found["settings"], found["parameters"], found["versions"]) == (*about.values(), {})
    assert batch_basis(store, "b") == Basis(about["settings"], about["parameters"], 0.15)
    open_journal.close()
    with journal(store, run_id="") as whole:
        whole.append(verdict(True, 2, 0))
    found = batch(store, "b")
    assert (found["runs"], found["runs_ended"], found["judged"]) == (2, 2, True)


def test_an_unknown_batch_has_no_basis_and_is_named_where_it_is_needed(store: TelemetryStore) -> None:
    assert batch_basis(store, "gone") is None
    with pytest.raises(UsageError, match="has no batch gone"):
        batch(store, "gone")


def test_the_latest_batch_of_a_model_is_the_last_of_its_universe_that_planned_it(store: TelemetryStore) -> None:
    teacher, student = window("A", W1, "trained", 20), window("A", W1, "trained", 20, model="student")
    write_run(store, [teacher, student], batch="both", starts=1)
    write_run(store, [teacher], batch="teachers", starts=2)
    write_run(store, [teacher, student], batch="elsewhere", starts=3, universe="other")
    assert latest_batch_of(store, "five", "teacher") == "teachers"
    assert latest_batch_of(store, "five", "student") == "both"
    assert latest_batch_of(store, "nowhere", "student") is None


def test_a_run_counts_the_windows_whose_last_attempt_is_its_own(store: TelemetryStore) -> None:
    write_run(store, [window("A", W1, "failed"), window("B", W1, "trained")], run="first", starts=0)
    with journal(store, run_id="first") as check:
        check.append(verdict(False, 1, 1))
    write_run(store, [window("A", W1, "trained", 9, attempt=2)], run="again", starts=5)
    found = [(run["run_id"], run["windows"], run["exceeded"]) for run in runs_of_batch(store, "b")]
    assert found == [("first", 1, "teacher"), ("again", 1, None)]
    assert run_statuses(store, ["first", "again", "silent"]) == {"first": "succeeded", "again": "succeeded"}


def test_only_batches_of_several_runs_that_nobody_judged_since_their_end_have_ended(store: TelemetryStore) -> None:
    def ended(name: str, ends: float, runs: int = 2, **fields: Any) -> None:
        for run in range(runs):
            write_run(store, [window("A", W1, "trained")], batch=name, run=f"{name}{run}", ends=ends, **fields)

    def judged(name: str, second: float, run: str = "") -> None:
        with journal(store, name, run, after(second)) as check:
            check.append(verdict(True, 1, 0))

    ended("old", 10)
    ended("whole", 80)
    judged("whole", 81)
    judged("again", 84)
    ended("again", 85)
    ended("backfill", 90, runs=1, backfill_id="backfill")
    ended("one", 95, runs=1)
    ended("elsewhere", 95, universe="other")
    ended("two", 100)
    write_run(store, [], batch="running", status=None)
    write_run(store, [], batch="running", run="r2")
    found = ended_batches(store, "five", after(10))
    assert [each.batch_id for each in found] == ["again", "backfill", "two"]
    assert found[0] == EndedBatch("again", runs=2, max_failure_rate=0.15, superseded=False, unspoken=False)
    judged("two", 101, "two0")
    assert [each.superseded for each in ended_batches(store, "five", after(10))] == [True, True, False]


def test_a_note_of_a_sensor_is_no_sign_of_life_and_a_window_is(store: TelemetryStore) -> None:
    now = NOON
    with Journal(store.shards, batch_id="slow", run_id="r1", clock=lambda: now) as journal:
        journal.append(BatchStart(started_at=NOON))
        note(store, "stalled", "slow:1", "It does not move.", batch_id="slow")
        assert running_batches(store) == [Running("slow", NOON)]
        now = NOON + timedelta(minutes=5)
        journal.append(
            WindowRun(model="teacher", symbol="AAPL", window_start=now.date(), outcome="trained", ended_at=now)
        )
        assert running_batches(store) == [Running("slow", now)]
        journal.append(RunEnd(status="succeeded"))
    assert running_batches(store) == []
