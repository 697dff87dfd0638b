"""Claims about when it is certain that too many windows of a model fail."""

import random
from collections.abc import Sequence
from datetime import date

import pytest

from sensequant_assets.batch.budget import Budget
from sensequant_assets.core.lattice import Pair, SkipReason
from sensequant_assets.core.outcome import Outcome, Status, judge
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import FailureKind

PAIR = Pair("AAA", Window(date(2022, 1, 1), date(2022, 6, 30)), date(2022, 1, 1))
TRAINED = Outcome("teacher", PAIR, Status.TRAINED)
SKIPPED = Outcome("teacher", PAIR, Status.SKIPPED, reason=SkipReason.NO_BARS)
SLOW = Outcome("teacher", PAIR, Status.FAILED, failure=FailureKind.TIMEOUT)
BROKEN = Outcome("teacher", PAIR, Status.FAILED, failure=FailureKind.CODE_ERROR)


def taken(outcomes: Sequence[Outcome], planned: int, limit: float) -> tuple[int, Budget]:
    """How many outcomes come back until no further window is begun, and the budget then."""
    budget = Budget("teacher", planned, lambda: limit)
    for count, outcome in enumerate(outcomes, start=1):
        if budget.take(outcome):
            return count, budget
    return len(outcomes), budget


def test_a_run_stops_with_the_first_failure_that_nothing_can_make_good() -> None:
    # 15 of 100 pass, 16 do not, however the others end.
    assert taken([BROKEN] * 15, 100, 0.15)[1].spent == ""
    count, budget = taken([*[BROKEN] * 12, TRAINED, *[SLOW] * 6], 100, 0.15)
    assert (count, budget.attempted, budget.possible) == (17, 17, 100)
    assert budget.spent == (
        "Stopped early: 16 of 17 teachers failed, and even if the other 83 succeed, 16.0% of 100 fail, "
        "where 15.0% may. Used up by code_error 12, timeout 4."
    )


def test_a_skipped_window_makes_the_budget_smaller() -> None:
    assert taken([BROKEN], 7, 0.15)[1].spent == ""
    spent = taken([BROKEN, SKIPPED], 7, 0.15)[1].spent
    assert spent.endswith("16.7% of 6 fail, where 15.0% may. Used up by code_error 1.")


def test_the_event_of_the_end_names_the_causes_in_numbers_and_comes_once() -> None:
    budget = Budget("student", 3, lambda: 0.0)
    event = budget.take(SLOW)
    assert event
    assert (event.kind, event.level, event.message) == ("stopped_early", "error", budget.spent)
    assert event.data == {
        "model": "student", "failed": 1, "attempted": 1, "possible": 3, "max_failure_rate": 0.0,
        "causes": {"timeout": 1},
    }  # fmt: skip
    assert budget.take(SLOW) is None


def test_the_last_window_stops_nothing() -> None:
    assert taken([TRAINED, BROKEN], 2, 0.0)[1].spent == ""


def test_nobody_is_asked_for_the_limit_before_a_window_failed() -> None:
    def limit() -> float:
        raise AssertionError

    budget = Budget("teacher", 9, limit)
    assert [budget.take(outcome) for outcome in (TRAINED, SKIPPED, TRAINED)] == [None] * 3


def test_a_limit_that_sinks_ends_a_run_and_one_that_rises_lets_it_go_on() -> None:
    limit = 0.5
    budget = Budget("teacher", 10, lambda: limit)
    assert [budget.take(BROKEN) for _ in range(5)] == [None] * 5
    limit = 0.6
    assert budget.take(BROKEN) is None
    limit = 0.59
    assert budget.take(TRAINED)


@pytest.mark.parametrize("seed", range(20))
def test_the_verdict_of_a_run_that_stops_is_that_of_the_whole_run(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311  # nothing is kept secret
    share, limit = draw.choice([0.02, 0.1, 0.15, 0.2, 0.6]), draw.choice([0.0, 0.1, 0.15, 0.5])
    # Windows of a symbol fail together, and half of them alone.
    whole: list[Outcome] = []
    for _ in range(25):
        together = draw.random() < share / 2
        fails = [together or draw.random() < share / 2 for _ in range(8)]
        whole += [draw.choice([BROKEN, SLOW] if fail else [*[TRAINED] * 4, SKIPPED]) for fail in fails]
    count, budget = taken(whole, len(whole), limit)
    statuses = [outcome.status for outcome in whole]
    told, all_of_them = (
        judge("teacher", some, planned=200, max_failure_rate=limit) for some in (statuses[:count], statuses)
    )
    assert told.exceeded == all_of_them.exceeded
    assert told.passed == all_of_them.passed
    assert bool(budget.spent) == (count < len(whole))
    # Not a window too many: with one less, the rest could have made it pass.
    if budget.spent:
        before, left = judge("teacher", statuses[: count - 1], planned=200, max_failure_rate=limit), 200 - count + 1
        assert before.failed / (before.attempted + left) <= limit
