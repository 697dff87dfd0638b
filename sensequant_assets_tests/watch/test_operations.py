"""Claims about what sensors decide, with the time given and nothing run."""

from datetime import UTC, datetime, timedelta

import pytest

from sensequant_assets.core.outcome import evaluate_batch
from sensequant_assets.watch.intake import BatchState, Found, IntakeCursor, evaluate_intake
from sensequant_assets.watch.retries import Failure, evaluate_retries
from sensequant_assets.watch.stalls import Running, evaluate_stalls

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
KEYS = [("AAPL", "2009-01-01")]


def never_look() -> Found:
    raise AssertionError("it looked")


def failure(batch: str, symbol: str, attempt: int, minute: int = 0) -> Failure:
    return Failure(batch, symbol, "2009-01-01", attempt, NOON + timedelta(minutes=minute))


def counts(
    trained: int = 0, reused: int = 0, skipped: int = 0, failed: int = 0, not_attempted: int = 0
) -> dict[str, int]:
    return {
        "trained": trained, "reused": reused, "skipped": skipped, "failed": failed, "not_attempted": not_attempted
    }  # fmt: skip


def test_unchanged_bars_are_not_looked_at() -> None:
    cursor = IntakeCursor("same", 1)
    intake = evaluate_intake(cursor, "same", BatchState.NONE, never_look, lambda _: False, 3)
    assert (intake.keys, intake.problems, intake.cursor) == ((), (), cursor)


def test_while_a_batch_is_under_way_nothing_is_looked_at_and_the_cursor_stays() -> None:
    cursor = IntakeCursor("old", 1, "bars-1", 1)
    intake = evaluate_intake(cursor, "new", BatchState.RUNNING, never_look, lambda _: False, 3)
    assert (intake.keys, intake.problems, intake.cursor) == ((), (), cursor)
    assert "bars-1 is under way" in intake.reason


def test_a_batch_that_is_done_leaves_the_cursor() -> None:
    intake = evaluate_intake(IntakeCursor("same", 1, "bars-1", 1), "same", BatchState.DONE, never_look, bool, 3)
    assert intake.cursor == IntakeCursor("same", 1, None, 1)


def test_pairs_go_before_problems_and_problems_are_told_after() -> None:
    found = Found(KEYS, ("a.csv is cut",))
    first = evaluate_intake(IntakeCursor(), "new", BatchState.NONE, lambda: found, lambda _: False, 3)
    assert (first.keys, first.problems) == (KEYS, ())
    second = evaluate_intake(first.cursor, "new", BatchState.DONE, never_look, lambda _: False, 3)
    assert (second.keys, second.problems) == ((), ("a.csv is cut",))
    third = evaluate_intake(first.cursor, "new", BatchState.DONE, never_look, lambda _: True, 3)
    assert (third.keys, third.problems) == ((), ())
    assert third.reason.endswith("Still not taken: a.csv is cut")
    # Once told, telemetry need not be asked again.
    assert third.cursor.told


def test_a_cursor_survives_its_text_and_one_that_nobody_can_read_starts_anew() -> None:
    cursor = IntakeCursor("content", 3, "bars-1", 2, ("a.csv is cut",), True)
    assert IntakeCursor.parse(cursor.text()) == cursor
    for text in (None, "", "no json", "[]", '{"other": 1}'):
        assert IntakeCursor.parse(text) == IntakeCursor()


@pytest.mark.parametrize(("made", "minutes"), [(1, 2), (2, 4), (3, 8)])
def test_the_wait_doubles_with_each_attempt(made: int, minutes: int) -> None:
    failures = [failure("b", "AAPL", made, 1), failure("b", "IBM", made, 5)]
    (retry,) = evaluate_retries(failures, {}, limit=10, backoff_s=120)
    # From the last of the failures on.
    assert retry.due == NOON + timedelta(minutes=5 + minutes)
    assert (retry.attempt, retry.keys) == (made + 1, [("AAPL", "2009-01-01"), ("IBM", "2009-01-01")])


@pytest.mark.parametrize(("limit", "made", "retried"), [(3, 2, True), (3, 3, False), (1, 1, False), (0, 1, False)])
def test_the_limit_counts_the_first_attempt(limit: int, made: int, retried: bool) -> None:
    assert bool(evaluate_retries([failure("b", "AAPL", made)], {}, limit=limit, backoff_s=1)) is retried


def test_a_run_that_died_without_a_row_was_an_attempt() -> None:
    (retry,) = evaluate_retries([failure("b", "AAPL", 1)], {"b": 2}, limit=3, backoff_s=1)
    assert retry.attempt == 3
    assert not evaluate_retries([failure("b", "AAPL", 1)], {"b": 3}, limit=3, backoff_s=1)


def test_each_batch_is_tried_again_by_itself() -> None:
    retries = evaluate_retries([failure("b", "AAPL", 1), failure("c", "IBM", 2)], {}, limit=3, backoff_s=1)
    assert [(retry.batch_id, retry.attempt) for retry in retries] == [("b", 2), ("c", 3)]


def test_a_batch_is_stalled_from_the_limit_on() -> None:
    running = [Running("at", NOON - timedelta(minutes=30)), Running("before", NOON - timedelta(minutes=29, seconds=59))]
    assert evaluate_stalls(running, NOON, timedelta(minutes=30)) == running[:1]


def test_skips_never_count_for_a_batch() -> None:
    verdict = evaluate_batch("teacher", counts(trained=80, reused=5, skipped=900, failed=15), 0.15)
    assert verdict.failure_rate == 0.15
    assert verdict.passed
    assert not evaluate_batch("teacher", counts(trained=79, reused=5, skipped=900, failed=16), 0.15).passed


def test_students_that_nobody_tried_are_blamed_on_their_teachers_where_those_failed() -> None:
    teachers = evaluate_batch("teacher", counts(trained=1, failed=1), 0.15)
    blocked = evaluate_batch("student", counts(not_attempted=2), 0.15, teachers=teachers)
    assert blocked.exceeded
    assert "too many teachers failed" in blocked.blocked
    partly = evaluate_batch("student", counts(trained=1, not_attempted=1), 0.15, teachers=teachers)
    assert not partly.blocked
    assert partly.passed
