"""Claims about which rows are bars, and how they are adjusted."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from sensequant_assets.core.bars import PRICES, BadRow, Bars, RawBars, before, refuse_too_many, told, validated
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import FIRST_DAY, random_walk, with_bad_rows

VALUES = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100.0}


def raw(count: int = 5, **numbers: float | list[float]) -> RawBars:
    """Bars of consecutive days that break no rule, on the odd lines of a file; `numbers` replace or add columns."""
    whole = {
        name: np.broadcast_to(np.asarray(value, np.float64), count).copy() for name, value in (VALUES | numbers).items()
    }
    days = (np.datetime64("2024-01-01", "D") + np.arange(count)).astype("datetime64[s]")
    return RawBars("TCS", "tcs.csv", 2 * np.arange(count) + 1, days, whole, lambda name, at: f"{name} at {at}")


def checked(bars: RawBars) -> Bars:
    return validated(bars, until=np.datetime64("2024-02-01", "s"))


def refusal(bars: RawBars) -> str:
    """Why rows of these bars are put aside; all others are kept."""
    found = checked(bars)
    delivery = found.delivery
    assert delivery.read == len(bars.rows) == len(found) + delivery.repeated + len(delivery.bad)
    assert sorted([*delivery.row, *(one.row for one in delivery.bad)]) == bars.rows.tolist()
    return told(delivery.bad)


@pytest.mark.parametrize("column", [*PRICES, "volume", "adj_close"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_a_number(column, value):
    bars = raw(adj_close=5.5)
    bars.numbers[column][3] = value
    assert refusal(bars) == f"tcs.csv, row 7: TCS: {column} is not a number ({column} at 3)."


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("open", 0.0, "open is not positive"),
        ("low", -0.5, "low is not positive"),
        ("adj_close", 0.0, "adj_close is not positive"),
        ("volume", -1.0, "volume is negative"),
        ("high", 10.9, "high is below open or close"),  # the close is 11
        ("low", 10.1, "low is above open or close"),  # the open is 10
    ],
)
def test_a_broken_row_is_named_by_file_row_symbol_rule_and_what_the_file_says(column, value, rule):
    bars = raw(adj_close=5.5)
    bars.numbers[column][2] = value
    assert refusal(bars) == f"tcs.csv, row 5: TCS: {rule} ({column} at 2)."


@pytest.mark.parametrize(
    ("day", "rule"),
    [
        ("NaT", "time is not a date or time"),
        ("0001-01-01", "time is before 1900-01-02"),
        ("1900-01-01T23:59:59", "time is before 1900-01-02"),
        ("2024-02-01T00:00:01", "time is in the future"),
        ("9999-12-31", "time is in the future"),
        ("2023-12-31", "rows are not sorted by time"),
        ("2024-01-09", "rows are not sorted by time"),
    ],
)
def test_a_time_that_is_none_or_is_out_of_place_is_put_aside(day, rule):
    bars = raw()
    bars.time[2] = np.datetime64(day)
    assert refusal(bars) == f"tcs.csv, row 5: TCS: {rule} (time at 2)."


@pytest.mark.parametrize("column", [*PRICES, "adj_close"])
@pytest.mark.parametrize(
    ("value", "rule"),
    [(1e308, "above 1e+15"), (1.1e15, "above 1e+15"), (0.9e-12, "below 1e-12"), (1e-320, "below 1e-12")],
)
def test_a_number_that_no_price_can_be_is_refused(column, value, rule):
    bars = raw(adj_close=5.5)
    bars.numbers[column][2] = value
    assert refusal(bars) == f"tcs.csv, row 5: TCS: {column} is {rule} ({column} at 2)."


@pytest.mark.parametrize("value", [2.0**53, 1e300])
def test_a_volume_in_which_one_share_does_not_count_is_refused(value):
    bars = raw()
    bars.numbers["volume"][2] = value
    assert refusal(bars) == "tcs.csv, row 5: TCS: volume is not below 9.0072e+15 (volume at 2)."
    bars.numbers["volume"][2] = 2.0**53 - 1
    assert checked(bars).volume[2] == 2**53 - 1


def test_prices_at_the_bounds_are_prices():
    least, greatest = (
        raw(open=1e-12, high=1e-12, low=1e-12, close=1e-12),
        raw(open=1e15, high=1e15, low=1e15, close=1e15),
    )
    assert checked(least).close[0] == 1e-12
    assert checked(greatest).close[0] == 1e15


@pytest.mark.parametrize(("adj_close", "rule"), [(1.1e-12, "below 1e-12"), (1e14, "above 1e+12")])
def test_an_adjustment_that_no_split_can_make_is_refused(adj_close, rule):
    bars = raw(adj_close=5.5)
    bars.numbers["adj_close"][2] = adj_close
    assert refusal(bars) == f"tcs.csv, row 5: TCS: adj_close / close is {rule} (adj_close at 2)."


@pytest.mark.parametrize(
    ("numbers", "rule"),
    [
        # Each number is sound, and so is their ratio of a billion or a billionth.
        ({"high": 1e7, "adj_close": 1.1e10}, "adjusted high is above 1e+15 (high"),
        ({"low": 1e-4, "adj_close": 1.1e-8}, "adjusted low is below 1e-12 (low"),
        ({"volume": 1e10, "adj_close": 1.1e-8}, "adjusted volume is not below 9.0072e+15 (volume"),
    ],
)
def test_bars_are_checked_again_once_they_are_adjusted(numbers, rule):
    bars = raw(adj_close=11.0)
    for column, value in numbers.items():
        bars.numbers[column][2] = value
    assert refusal(bars) == f"tcs.csv, row 5: TCS: {rule} at 2)."


def test_a_negative_zero_is_no_volume_and_has_no_sign():
    assert not np.signbit(checked(raw(volume=-0.0)).volume).any()


def test_the_first_of_several_broken_rows_is_named_and_the_others_are_counted():
    bars = raw(volume=[100.0, -1.0, 100.0, -2.0, -3.0])
    assert refusal(bars) == "tcs.csv, row 3 and 2 more: TCS: volume is negative (volume at 1)."


@pytest.mark.parametrize("bars", [checked(raw(0)), checked(raw(0, adj_close=5.5)), Bars.empty("TCS")])
def test_no_rows_are_no_bars(bars):
    assert bars.symbol == "TCS"
    assert len(bars) == 0
    assert bars.first_day is None
    assert not bars.intraday


def test_adj_close_scales_prices_and_divides_volume():
    # 5.5 / 11 is one half: a share was split in two.
    bars = checked(raw(1, adj_close=5.5))
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (5.0, 6.0, 4.5, 5.5)
    assert bars.volume[0] == 200.0


def test_without_adj_close_bars_stay_as_they_are():
    bars = checked(raw(1))
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]) == (10.0, 12.0, 9.0, 11.0, 100.0)


def test_a_high_or_low_that_rounding_left_just_inside_the_body_is_moved_to_its_edge():
    assert checked(raw(1, high=11.0 - 1e-6)).high[0] == 11.0
    assert checked(raw(1, low=10.0 + 1e-6)).low[0] == 10.0
    assert "high is below" in refusal(raw(1, high=11.0 - 1e-4))
    assert "low is above" in refusal(raw(1, low=10.0 + 1e-4))


def test_a_bar_that_stands_there_twice_in_the_same_numbers_is_taken_once():
    bars = raw()
    bars.time[3] = bars.time[2]
    found = checked(bars)
    assert found.delivery.row.tolist() == [1, 3, 5, 9]
    assert (found.delivery.read, found.delivery.repeated, found.delivery.bad) == (5, 1, ())


def test_of_two_rows_that_tell_a_time_differently_neither_is_a_bar():
    bars = raw(close=[11.0, 11.0, 11.0, 10.5, 11.0])
    bars.time[3] = bars.time[2]
    found = checked(bars)
    assert found.delivery.row.tolist() == [1, 3, 9]
    assert [(one.rule, one.row, one.time) for one in found.delivery.bad] == [
        ("duplicate", row, np.datetime64("2024-01-03")) for row in (5, 7)
    ]
    assert told(found.delivery.bad) == "tcs.csv, row 5 and 1 more: TCS: the same time stands there twice (time at 2)."


def test_a_row_without_a_time_of_its_own_stands_after_the_sound_row_before_it():
    bars = raw(volume=[100.0, -1.0, 100.0, 100.0, 100.0])
    bars.time[2] = np.datetime64("2025-01-01")  # in the future
    negative, future = checked(bars).delivery.bad
    assert (negative.time, negative.after) == (np.datetime64("2024-01-02"), np.datetime64("2024-01-01"))
    assert (np.isnat(future.time), future.after) == (True, np.datetime64("2024-01-01"))
    bars.time[0] = np.datetime64("NaT")
    assert np.isnat(checked(bars).delivery.bad[0].after)


def test_the_fewest_rows_are_out_of_place():
    bars = raw(20)
    bars.time[4] = np.datetime64("2023-12-31")
    bars.time[9] = np.datetime64("2024-01-31")
    assert [one.row for one in checked(bars).delivery.bad] == [9, 19]


def test_a_symbol_is_refused_whole_when_more_than_one_row_in_ten_is_bad():
    at_the_limit, beyond = raw(20, volume=[-1.0] * 2 + [1.0] * 18), raw(20, volume=[-1.0] * 3 + [1.0] * 17)
    assert len(refuse_too_many(checked(at_the_limit))) == 18
    with pytest.raises(WindowError, match="row 1 and 2 more: TCS: volume is negative") as caught:
        refuse_too_many(checked(beyond))
    assert caught.value.kind is FailureKind.CORRUPT_BARS


def test_bars_from_before_a_day_are_those_of_a_source_that_ends_there():
    whole, day = with_bad_rows(random_walk(12, 0), 3, 9), FIRST_DAY + timedelta(days=6)
    part = before(whole, day)
    ends_there = with_bad_rows(random_walk(6, 0), 3)
    assert part.time.tolist() == ends_there.time.tolist()
    assert part.delivery.bad == ends_there.delivery.bad
    assert part.delivery.row.tolist() == ends_there.delivery.row.tolist()
    assert part.delivery.read == ends_there.delivery.read == len(part) + 1
    assert before(whole, FIRST_DAY + timedelta(days=12)) is whole
    assert len(before(whole, FIRST_DAY)) == 0


def test_a_bad_row_without_a_day_is_of_the_days_after_the_last_sound_row_before_it():
    sound = random_walk(12, 0)
    row = BadRow("AAA", "AAA.csv", 7, "time", "time is not a date", np.datetime64("NaT", "s"), sound.time[5])
    whole = replace(sound, delivery=replace(sound.delivery, bad=(row,)))
    assert before(whole, FIRST_DAY + timedelta(days=6)).delivery.bad == (row,)
    assert before(whole, FIRST_DAY + timedelta(days=5)).delivery.bad == ()
