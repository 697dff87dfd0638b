"""Claims about what the check said."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.verdicts import is_judged, models_judged, verdict_on, whole_verdicts
from sensequant_assets.telemetry.records import BatchStart
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, verdict
from sensequant_assets_tests.telling import journal_of as journal


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_the_runs_verdicts_stand_for_the_batch_until_it_has_its_own(store: TelemetryStore) -> None:
    with journal(store, run_id="r1") as one, journal(store, run_id="r2") as two:
        one.append(verdict(False, trained=6, failed=2))
        two.append(verdict(True, trained=12, failed=0))
    together = verdict_on(store, "b", "teacher")
    assert together is not None
    assert together["passed"] is False
    assert (together["trained"], together["failed"], together["skipped"]) == (18, 2, 2)
    assert together["failure_rate"] == pytest.approx(0.1)
    with journal(store, run_id="", at=NOON + timedelta(hours=1)) as whole_batch:
        whole_batch.append(verdict(True, 18, 2, failure_rate=0.1))
    whole = verdict_on(store, "b", "teacher")
    assert whole is not None
    assert (whole["passed"], whole["run_id"], whole["failure_rate"]) == (True, "", 0.1)


def test_a_model_is_judged_by_its_runs_and_by_the_whole_batch_apart(store: TelemetryStore) -> None:
    assert verdict_on(store, "b", "teacher") is None
    with journal(store, run_id="r1") as run:
        run.append(verdict(False, trained=6, failed=2))
    assert (models_judged(store, "b"), whole_verdicts(store, "b")) == ({"teacher"}, {})
    with journal(store, run_id="") as whole:
        whole.append(verdict(True, 6, 0))
        whole.append(replace(verdict(False, 0, 3), model="student"))
    assert models_judged(store, "b") == {"teacher"}
    assert whole_verdicts(store, "b") == {"teacher": True, "student": False}


def test_a_verdict_that_is_kept_from_passing_by_what_nobody_tried_has_not_exceeded_its_limit(
    store: TelemetryStore,
) -> None:
    def exceeded(run: str, failed: int) -> object:
        with journal(store, run_id=run) as told:
            told.append(replace(verdict(False, trained=20 - failed, failed=failed), not_attempted=2))
        found = verdict_on(store, "b", "teacher")
        assert found is not None
        assert found["passed"] is False
        return found["exceeded"]

    # Exactly the limit, and one more; a run's counts before those of the whole batch.
    assert [exceeded("r1", 3), exceeded("r2", 4), exceeded("", 3)] == [False, True, False]


def test_a_batch_of_several_runs_is_judged_by_a_verdict_on_all_of_them_alone(store: TelemetryStore) -> None:
    assert not is_judged(store, "b", "teacher")
    with journal(store, run_id="r1") as run:
        run.append(BatchStart(source="cli"))
        run.append(verdict(True, trained=6, failed=0))
    assert is_judged(store, "b", "teacher")
    assert not is_judged(store, "b", "student")
    with journal(store, run_id="r2") as run:
        run.append(BatchStart(source="cli"))
    assert not is_judged(store, "b", "teacher")
    with journal(store, run_id="") as whole:
        whole.append(verdict(True, 6, 0))
    assert is_judged(store, "b", "teacher")
