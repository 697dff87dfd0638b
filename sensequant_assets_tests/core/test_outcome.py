"""Claims about when a batch has failed."""

from dataclasses import replace
from math import isnan
from typing import Any

import pytest

from sensequant_assets.core.outcome import COUNTED, Status, Verdict, judge


def verdict(limit: float = 0.15, not_attempted: int = 0, blocked: str = "", **counts: int) -> Verdict:
    statuses = [Status(name) for name, count in counts.items() for _ in range(count)]
    planned = len(statuses) + not_attempted
    return judge("teacher", iter(statuses), planned=planned, max_failure_rate=limit, blocked=blocked)


def test_exactly_the_limit_passes():
    found = verdict(trained=80, reused=5, failed=15)
    assert (found.failure_rate, found.exceeded, found.passed) == (0.15, False, True)


def test_one_more_than_the_limit_exceeds_it():
    found = verdict(trained=80, reused=4, failed=16)
    assert (found.failure_rate, found.exceeded, found.passed) == (0.16, True, False)


@pytest.mark.parametrize(("failed", "of", "limit"), [(3, 20, 0.15), (7, 100, 0.07), (29, 100, 0.29), (1, 3, 1 / 3)])
def test_no_rounding_lets_the_limit_itself_fail(failed, of, limit):
    assert verdict(limit, trained=of - failed, failed=failed).passed


def test_a_constant_counts_as_what_it_is_and_is_counted_beside():
    told = [Status.TRAINED, Status.TRAINED, Status.REUSED, Status.SKIPPED]
    found = judge("student", told, planned=4, max_failure_rate=0.0, constant=2)
    assert (found.trained, found.reused, found.constant, found.models) == (2, 1, 2, 3)
    assert found.passed
    assert Verdict.of("student", found.counts | {"constant": 2}, 0.0) == found
    assert Verdict.of("student", found.counts, 0.0).constant == 0


@pytest.mark.parametrize(("constant", "mostly"), [(0, False), (5, False), (6, True), (10, True)])
def test_a_batch_knows_nothing_when_more_than_half_of_its_models_are_constant(constant: int, mostly: bool):
    assert replace(verdict(trained=6, reused=4, failed=1), constant=constant).mostly_constant is mostly
    assert not verdict(failed=3).mostly_constant


def test_skips_never_count():
    # 2 of 10 failed; with the 90 skipped it would be 2 of 100.
    found = verdict(trained=8, failed=2, skipped=90)
    assert (found.failure_rate, found.attempted, found.skipped, found.exceeded) == (0.2, 10, 90, True)


def test_reused_windows_count_as_attempted():
    assert verdict(reused=9, failed=1).failure_rate == 0.1


@pytest.mark.parametrize("counts", [{}, {"skipped": 5}, {"not_attempted": 5}])
def test_nothing_attempted_is_neither_a_pass_nor_a_failure(counts):
    found = verdict(**counts)
    assert (found.attempted, found.failure_rate, found.exceeded, found.passed) == (0, None, False, False)


def test_what_was_planned_and_has_no_outcome_is_not_attempted():
    found = verdict(trained=3, skipped=2, failed=1, not_attempted=4)
    assert (found.not_attempted, found.attempted, found.eligible, found.failure_rate) == (4, 4, 8, 0.25)


def test_what_nobody_tried_is_no_pass_and_exceeds_nothing():
    assert verdict(trained=3).passed
    found = verdict(trained=3, not_attempted=1)
    assert (found.failure_rate, found.exceeded, found.passed) == (0.0, False, False)


def test_a_limit_of_zero_bears_no_failure_and_a_limit_of_one_all():
    assert not verdict(0.0, trained=999, failed=1).passed
    assert verdict(0.0, trained=1).passed
    assert verdict(1.0, failed=5).passed


def test_what_something_else_forbade_is_exceeded():
    found = verdict(blocked="the teachers failed", not_attempted=8)
    assert (found.exceeded, found.passed, found.blocked) == (True, False, "the teachers failed")


def test_counts_are_judged_as_outcomes_are() -> None:
    counts: dict[str, Any] = {"trained": 80, "reused": 5, "skipped": 900, "failed": 15, "not_attempted": 2}
    assert Verdict.of("teacher", counts | {"model": "teacher", "started_at": None}, 0.15) == verdict(**counts)
    assert verdict(**counts).counts == counts
    assert verdict(**counts).planned == 1002


def test_a_limit_that_nobody_knows_is_never_exceeded() -> None:
    found = Verdict.of("teacher", dict.fromkeys(COUNTED, 0) | {"failed": 9}, None)
    assert (isnan(found.max_failure_rate), found.exceeded, found.failure_rate) == (True, False, 1.0)
