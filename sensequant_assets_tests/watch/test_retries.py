"""Claims about what is tried again and when, with the time given and nothing run."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sensequant_assets.core.lattice import Key
from sensequant_assets.telemetry.questions.batches import Basis
from sensequant_assets.telemetry.questions.failures import Failure
from sensequant_assets.watch.retries import DiedRun, FailedBatch, Retries, RetryRule, evaluate_retries

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
WINDOW = "2009-01-01"
HERE = Basis({"universe": "four"}, {"teacher": {"n_estimators": 13}}, 0.4)
RULE = RetryRule(HERE.market, limit=10, backoff_s=120)


def failed(batch: str, made: int = 1, *, minutes: Sequence[int] = (0,), basis: Basis | None = HERE) -> FailedBatch:
    """A batch whose windows failed at these minutes after noon, in the how manieth attempt."""
    symbols = ("AAPL", "IBM", "MSFT")
    failures = [
        Failure(batch, symbol, WINDOW, made, NOON + timedelta(minutes=minute))
        for symbol, minute in zip(symbols, minutes, strict=False)
    ]
    return FailedBatch(batch, failures, 1, basis)


def died(run: str, attempt: int = 1, *, batch: str = "b", minute: int = 0, basis: Basis | None = HERE) -> DiedRun:
    """A run of two pairs that was found dead so many minutes after noon."""
    keys: list[Key] = [("AAPL", WINDOW), ("IBM", WINDOW)]
    return DiedRun(run, batch, keys, attempt, NOON + timedelta(minutes=minute), basis)


def of_batches(*batches: FailedBatch, rule: RetryRule = RULE, now: datetime = LATER) -> Retries:
    return evaluate_retries([], batches, rule, now)


def of_runs(*runs: DiedRun, rule: RetryRule = RULE, now: datetime = LATER) -> Retries:
    return evaluate_retries(runs, [], rule, now)


@pytest.mark.parametrize(("made", "minutes"), [(1, 2), (2, 4), (3, 8)])
def test_the_wait_after_failures_doubles_with_each_attempt(made: int, minutes: int) -> None:
    (retry,) = of_batches(failed("b", made, minutes=(1, 5))).now
    # From the last of the failures on.
    assert retry.due == NOON + timedelta(minutes=5 + minutes)
    assert (retry.attempt, retry.keys) == (made + 1, [("AAPL", WINDOW), ("IBM", WINDOW)])


@pytest.mark.parametrize(("made", "minutes"), [(1, 2), (2, 4), (3, 8)])
def test_the_wait_after_a_killed_run_doubles_with_each_attempt(made: int, minutes: int) -> None:
    (retry,) = of_runs(died("r", made, minute=5)).now
    assert retry.due == NOON + timedelta(minutes=5 + minutes)
    assert (retry.attempt, retry.keys, retry.repeats) == (made + 1, [("AAPL", WINDOW), ("IBM", WINDOW)], "r")


def test_nothing_is_tried_again_before_it_is_due_and_all_of_it_from_then_on() -> None:
    due = NOON + timedelta(minutes=2)
    for evaluate in (
        lambda now: of_batches(failed("b"), now=now),
        lambda now: of_runs(died("r"), now=now),
    ):
        early, on_time = evaluate(due - timedelta(seconds=1)), evaluate(due)
        assert ([*early.now], [one.due for one in early.later]) == ([], [due])
        assert ([one.due for one in on_time.now], [*on_time.later]) == ([due], [])


@pytest.mark.parametrize(("limit", "made", "retried"), [(3, 2, True), (3, 3, False), (1, 1, False), (0, 1, False)])
def test_the_limit_counts_the_first_attempt(limit: int, made: int, retried: bool) -> None:
    rule = replace(RULE, limit=limit)
    assert bool(of_batches(failed("b", made), rule=rule).now) is retried
    assert bool(of_runs(died("r", made), rule=rule).now) is retried


def test_a_run_that_died_without_a_row_was_an_attempt() -> None:
    rule = replace(RULE, limit=3)
    (retry,) = of_batches(replace(failed("b"), attempts=2), rule=rule).now
    assert retry.attempt == 3
    assert not of_batches(replace(failed("b"), attempts=3), rule=rule).now


def test_windows_of_another_market_are_left_alone() -> None:
    there = replace(HERE, market={"universe": "five"})
    assert of_batches(failed("b", basis=there)) == Retries([], [])
    assert of_runs(died("r", basis=there)) == Retries([], [])


def test_a_run_that_died_before_its_first_record_is_repeated() -> None:
    (retry,) = of_runs(died("r", basis=None)).now
    assert (retry.repeats, retry.basis) == ("r", None)


def test_a_run_of_a_lattice_that_is_no_more_is_not_repeated() -> None:
    assert of_runs(replace(died("r"), keys=[])) == Retries([], [])


def test_each_batch_is_tried_again_by_itself_with_what_it_was_run_with() -> None:
    other = replace(HERE, max_failure_rate=0.1)
    found = of_batches(failed("b", 1), failed("c", 2, basis=other)).now
    assert [(one.batch_id, one.attempt, one.basis) for one in found] == [("b", 2, HERE), ("c", 3, other)]


def test_failures_of_a_batch_wait_for_its_killed_run() -> None:
    soon = NOON + timedelta(minutes=3)
    found = evaluate_retries([died("r", minute=2)], [failed("b"), failed("c")], RULE, soon)
    assert [(one.batch_id, one.repeats) for one in found.now] == [("c", None)]
    assert [(one.batch_id, one.repeats) for one in found.later] == [("b", "r")]
    # One that is not repeated holds up nothing.
    found = evaluate_retries([died("r", 10)], [failed("b")], RULE, soon)
    assert [(one.batch_id, one.repeats) for one in found.now] == [("b", None)]


def test_each_killed_run_of_a_batch_is_repeated() -> None:
    found = of_runs(died("r1", 1), died("r2", 3, minute=1)).now
    assert [(one.repeats, one.attempt) for one in found] == [("r1", 2), ("r2", 4)]


def test_a_person_is_told_what_is_tried_again_and_why() -> None:
    (retry,), (repeat,) = of_batches(failed("b")).now, of_runs(died("r", 2)).now
    assert (retry.culprit, repeat.culprit) == ("b", "r")
    assert retry.message == "Batch b: attempt 2 at 1 windows, which can pass now."
    assert repeat.message == "Batch b: attempt 3 at 2 windows, because run r was killed."


def test_what_waits_is_named_with_its_time_and_a_batch_with_its_last() -> None:
    found = evaluate_retries([died("r2", minute=9), died("r1", minute=3)], [failed("c", minutes=(1,))], RULE, NOON)
    assert found.reason == "Waits to try again: batch c at 12:03:00 UTC, batch b at 12:11:00 UTC."
    assert of_batches().reason == "No failure of a batch can pass next time."


def test_a_repeat_is_awaited_until_nobody_has_made_it_for_too_long() -> None:
    patience = timedelta(seconds=90)
    due = NOON + timedelta(minutes=2)
    for now, awaited in ((NOON, {"b"}), (due, {"b"}), (due + patience, set())):
        assert of_runs(died("r"), now=now).awaited(now, patience) == awaited
    # The last of them counts, and what is past its limit does not.
    both = of_runs(died("r"), died("s", minute=1), died("t", 10, batch="c"), now=due + patience)
    assert both.awaited(due + patience, patience) == {"b"}
