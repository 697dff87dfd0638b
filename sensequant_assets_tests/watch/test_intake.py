"""Claims about what changed bars ask for, with nothing read and nothing run."""

from dataclasses import replace

import pytest

from sensequant_assets.watch.intake import BatchState, Found, IntakeCursor, evaluate_intake, must_look

KEYS = [("AAPL", "2009-01-01")]
CUT = Found(KEYS, ["a.csv is cut"])


@pytest.mark.parametrize(
    ("content", "state", "looks"),
    [
        ("same", BatchState.NONE, False),
        ("same", BatchState.DONE, False),
        ("same", BatchState.BROKEN_OFF, True),
        ("same", BatchState.RUNNING, False),
        ("new", BatchState.NONE, True),
        ("new", BatchState.DONE, True),
        ("new", BatchState.BROKEN_OFF, True),
        ("new", BatchState.RUNNING, False),
    ],
)
def test_bars_are_looked_at_if_they_changed_or_their_batch_broke_off_and_none_is_under_way(
    content: str, state: BatchState, looks: bool
) -> None:
    assert must_look(IntakeCursor("same", 1, "bars-1", 1), content, state) is looks


def test_unchanged_bars_ask_for_nothing() -> None:
    cursor = IntakeCursor("same", 1)
    intake = evaluate_intake(cursor, "same", BatchState.NONE, None, 3)
    assert (intake.keys, intake.problems, intake.cursor) == ((), (), cursor)
    assert intake.reason == "The bars are those that were taken last."


def test_while_a_batch_is_under_way_the_cursor_stays() -> None:
    cursor = IntakeCursor("old", 1, "bars-1", 1)
    intake = evaluate_intake(cursor, "new", BatchState.RUNNING, None, 3)
    assert (intake.keys, intake.problems, intake.cursor) == ((), (), cursor)
    assert "bars-1 is under way" in intake.reason


def test_a_batch_that_is_done_leaves_the_cursor() -> None:
    intake = evaluate_intake(IntakeCursor("same", 1, "bars-1", 1), "same", BatchState.DONE, None, 3)
    assert intake.cursor == IntakeCursor("same", 1, None, 1)


def test_pairs_go_before_problems_and_problems_are_told_after() -> None:
    first = evaluate_intake(IntakeCursor(), "new", BatchState.NONE, CUT, 3)
    assert (first.keys, first.problems) == (KEYS, ())
    second = evaluate_intake(first.cursor, "new", BatchState.DONE, None, 3)
    assert (second.keys, second.problems) == ((), ("a.csv is cut",))
    third = second.after_telling()
    assert (third.keys, third.problems) == ((), ())
    assert third.reason.endswith("Still not taken: a.csv is cut")
    # Once told, telemetry need not be asked again.
    fourth = evaluate_intake(third.cursor, "new", BatchState.NONE, None, 3)
    assert fourth == replace(third, reason="The bars are those that were taken last. Still not taken: a.csv is cut")


def test_each_change_and_each_attempt_is_a_batch_of_its_own_and_a_second_look_at_it_is_not() -> None:
    first = evaluate_intake(IntakeCursor(), "new", BatchState.NONE, CUT, 3)
    assert evaluate_intake(IntakeCursor(), "new", BatchState.NONE, CUT, 3) == first
    again = evaluate_intake(first.cursor, "new", BatchState.BROKEN_OFF, CUT, 3)
    other = evaluate_intake(first.cursor, "other", BatchState.DONE, CUT, 3)
    back = evaluate_intake(other.cursor, "new", BatchState.DONE, CUT, 3)
    assert len({one.cursor.batch for one in (first, again, other, back)}) == 4
    assert [one.cursor.attempt for one in (first, again, other, back)] == [1, 2, 1, 1]


def test_a_batch_that_breaks_off_is_asked_for_up_to_the_limit_and_then_told() -> None:
    intake = evaluate_intake(IntakeCursor(), "new", BatchState.NONE, Found(KEYS), 2)
    intake = evaluate_intake(intake.cursor, "new", BatchState.BROKEN_OFF, Found(KEYS), 2)
    assert intake.keys == KEYS
    batch = intake.cursor.batch
    intake = evaluate_intake(intake.cursor, "new", BatchState.BROKEN_OFF, Found(KEYS), 2)
    assert (intake.keys, intake.cursor.batch) == ((), None)
    (problem,) = intake.problems
    assert problem.startswith(f"Batch {batch} broke off, as did the 1 before it for these bars.")
    # Other bars are another change, whose attempts are counted anew.
    assert evaluate_intake(intake.cursor, "newer", BatchState.NONE, Found(KEYS), 2).keys == KEYS


def test_many_problems_are_told_once_each_and_cut() -> None:
    problems = [f"{number}.csv is cut" for number in range(12)]
    intake = evaluate_intake(IntakeCursor(), "new", BatchState.NONE, Found(problems=problems[:1] + problems), 3)
    assert intake.problems == (*problems[:10], "And 2 more.")
    intake = evaluate_intake(IntakeCursor(), "new", BatchState.NONE, Found(problems=problems[:10]), 3)
    assert intake.problems == tuple(problems[:10])


def test_a_cursor_survives_its_text_and_one_that_nobody_can_read_starts_anew() -> None:
    cursor = IntakeCursor("content", 3, "bars-1", 2, ("a.csv is cut",), True)
    assert IntakeCursor.parse(cursor.text()) == cursor
    for text in (None, "", "no json", "[]", '{"other": 1}'):
        assert IntakeCursor.parse(text) == IntakeCursor()
