"""Claims about rows of a file as one history."""

from typing import Any

import numpy as np
import pytest

from sensequant_assets.core.bars import RawBars
from sensequant_assets.sources.rows import EMPTY, NOT_FILLED, REPEATED, as_one_history

NAN = np.nan


def raw(days: list[int], closes: list[float], volumes: list[float] | None = None) -> RawBars:
    close = np.array(closes, dtype=float)
    numbers = dict.fromkeys(("open", "high", "low", "close"), close)
    volume = np.full(len(days), 100.0) if volumes is None else np.array(volumes, dtype=float)
    time = np.datetime64("2024-01-01", "s") + np.array(days).astype("timedelta64[D]")
    return RawBars("TCS", "a.csv", np.arange(len(days)) + 2, time, {**numbers, "volume": volume}, _quote)


def _quote(name: str, at: int) -> str:
    return f"{name} at {at}"


def history(given: RawBars) -> tuple[list[int], list[tuple[str, int]]]:
    """Rows that are left, and what is said."""
    found, notes = as_one_history(given, lambda name, at: bool(np.isnan(given.numbers[name][at])))
    return found.rows.tolist(), [(note.text, note.count) for note in notes]


def test_rows_in_order_are_left_as_they_are():
    given = raw([0, 1, 2], [1, 2, 3])
    assert as_one_history(given, _never)[0] is given


def test_newest_first_is_turned_round_and_each_row_keeps_its_place_in_the_file():
    given = raw([2, 1, 0], [3, 2, 1])
    found, notes = as_one_history(given, _never)
    assert found.time.tolist() == sorted(given.time.tolist())
    assert (found.rows.tolist(), notes) == ([4, 3, 2], [])
    assert found.quote("close", 0) == "close at 2"


@pytest.mark.parametrize(
    ("days", "closes", "rows"),
    [
        ([0, 1, 1, 2], [1, 2, 2, 3], [2, 3, 5]),
        ([0, 1, 2, 1, 2, 3], [1, 2, 3, 2, 3, 4], [2, 3, 4, 7]),
        ([2, 2, 1, 0], [3, 3, 2, 1], [5, 4, 2]),
    ],
)
def test_rows_that_repeat_another_are_taken_once_and_counted(days, closes, rows):
    assert history(raw(days, closes)) == (rows, [(REPEATED, len(days) - len(rows))])


@pytest.mark.parametrize(("days", "closes"), [([0, 1, 1], [1, 2, 3]), ([0, 2, 1], [1, 2, 3]), ([0, 0], [1, NAN])])
def test_rows_in_no_order_or_that_contradict_each_other_are_left_to_the_rules(days, closes):
    assert history(raw(days, closes)) == ([2 + number for number in range(len(days))], [])


def test_last_rows_without_prices_are_left_out_and_said_wherever_they_stand():
    assert history(raw([0, 1, 2, 3], [1, 2, NAN, NAN])) == ([2, 3], [(NOT_FILLED, 2)])
    assert history(raw([3, 2, 1], [NAN, 2, 1])) == ([4, 3], [(NOT_FILLED, 1)])


def test_a_row_without_any_number_is_no_bar_and_one_with_a_volume_is_left_to_the_rules():
    assert history(raw([0, 1, 2], [1, NAN, 3], [9, NAN, 9])) == ([2, 4], [(EMPTY, 1)])
    assert history(raw([0, 1, 2], [1, NAN, 3], [9, 8, 9])) == ([2, 3, 4], [])


def test_cells_that_are_no_numbers_are_not_taken_for_empty_ones():
    given = raw([0, 1], [1, NAN])
    assert len(as_one_history(given, _never)[0].time) == 2


def _never(*_: Any) -> bool:
    return False
