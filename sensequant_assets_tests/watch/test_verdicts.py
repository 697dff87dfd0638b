"""Claims about the verdict on all runs of a batch together."""

from typing import Any

from sensequant_assets.telemetry.questions.batches import EndedBatch
from sensequant_assets.watch.verdicts import judge_whole

BATCH = EndedBatch("b", runs=2, max_failure_rate=0.15, superseded=False, unspoken=False)


def counts(model: str, **given: int) -> dict[str, Any]:
    """A row of `batch_summary`."""
    return {"model": model, "trained": 0, "reused": 0, "skipped": 0, "failed": 0, "not_attempted": 0, **given}


def test_each_model_is_judged_by_the_limit_of_its_batch() -> None:
    rows = [counts("teacher", trained=80, reused=5, skipped=900, failed=15), counts("student", trained=84, failed=16)]
    verdicts = judge_whole(BATCH, rows)
    assert list(verdicts) == ["teacher", "student"]
    assert [verdict.passed for verdict in verdicts.values()] == [True, False]
    assert {verdict.max_failure_rate for verdict in verdicts.values()} == {0.15}


def test_students_that_nobody_tried_are_blamed_on_their_teachers_where_those_failed() -> None:
    untried = counts("student", not_attempted=2)
    blocked = judge_whole(BATCH, [counts("teacher", trained=1, failed=1), untried])["student"]
    assert blocked.exceeded
    assert "too many teachers failed in this batch" in blocked.blocked
    unblamed = judge_whole(BATCH, [counts("teacher", trained=2), untried])["student"]
    assert not unblamed.exceeded
    assert not unblamed.blocked
    assert not unblamed.passed
    tried = judge_whole(BATCH, [counts("teacher", trained=1, failed=1), counts("student", trained=1)])["student"]
    assert not tried.blocked
    assert tried.passed


def test_students_alone_are_judged_alone() -> None:
    (verdict,) = judge_whole(BATCH, [counts("student", trained=2)]).values()
    assert verdict.passed
