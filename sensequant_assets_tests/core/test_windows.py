"""Claims about how a span is cut into windows."""

from datetime import date, timedelta
from itertools import pairwise

import pytest

from sensequant_assets.core.windows import Window, build_windows
from sensequant_assets.errors import UsageError

START = date(2022, 1, 1)


def test_the_span_of_the_nse_universe_gives_eight_windows():
    # 2022-01-01 to 2025-12-10 is 365 + 365 + 366 + 343 = 1439 days: seven of 180, and 179 left.
    windows = build_windows(START, date(2025, 12, 10), 180)
    assert [window.key for window in windows] == [
        "2022-01-01", "2022-06-30", "2022-12-27", "2023-06-25", "2023-12-22", "2024-06-19", "2024-12-16", "2025-06-14",
    ]  # fmt: skip
    assert windows[-1].end == date(2025, 12, 10)


@pytest.mark.parametrize(("days", "expected"), [(180, 1), (186, 1), (187, 2), (360, 2), (361, 2), (367, 3)])
def test_a_last_piece_under_seven_days_is_dropped(days, expected):
    assert len(build_windows(START, START + timedelta(days=days), 180)) == expected


def test_windows_are_contiguous_and_half_open():
    windows = build_windows(START, date(2024, 1, 1), 45)
    assert all(one.end == following.start for one, following in pairwise(windows))
    assert windows[0] == Window(START, date(2022, 2, 15))


@pytest.mark.parametrize("end", [START, START + timedelta(days=6), START - timedelta(days=400)])
def test_a_span_in_which_no_window_fits_is_refused(end):
    with pytest.raises(UsageError, match="No window fits"):
        build_windows(START, end, 180)


def test_a_span_of_seven_days_is_a_window():
    assert build_windows(START, START + timedelta(days=7), 180) == (Window(START, date(2022, 1, 8)),)


@pytest.mark.parametrize(("days", "expected"), [(3, 1), (5, 1), (6, 2), (8, 2), (9, 3)])
def test_of_windows_under_seven_days_the_last_piece_is_kept_if_it_is_whole(days, expected):
    assert len(build_windows(START, START + timedelta(days=days), 3)) == expected


@pytest.mark.parametrize("days", [0, -1])
def test_a_window_shorter_than_a_day_is_refused(days):
    with pytest.raises(UsageError, match=f"A window of {days} days is too short; use at least 1"):
        build_windows(START, date(2024, 1, 1), days)
