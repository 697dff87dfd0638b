"""Claims about what a symbol's own bars show."""

from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.bars import PRICES, Bars
from sensequant_assets_tests.core.quality.market import day_of_bar, found, market, rules
from sensequant_assets_tests.making import random_walk, with_bad_rows


def changed(bars: Bars, rows: slice, **values: float) -> Bars:
    columns = {name: getattr(bars, name).copy() for name in values}
    for name, value in values.items():
        columns[name][rows] = value
    return replace(bars, **columns)


def flat(bars: Bars, rows: slice, volume: float = 0.0) -> Bars:
    price = float(bars.close[rows.start])
    return changed(bars, rows, **dict.fromkeys(PRICES, price), volume=volume)


def intraday(sessions: int = 30, bars: int = 75) -> Bars:
    walk = random_walk(sessions * bars, 3)
    number = np.arange(len(walk))
    days = np.datetime64("2024-01-01", "D") + number // bars
    return replace(
        walk, time=days.astype("datetime64[s]") + (9 * 3600 + 300 * (number % bars)).astype("timedelta64[s]")
    )


def test_flat_bars_without_volume_are_one_finding_of_a_symbol():
    bars = market()
    bars[2] = flat(flat(bars[2], slice(50, 51)), slice(350, 352))
    (one,) = found(bars)
    assert (one.symbol, one.rule, one.severity, one.rows) == ("S02", "flat", "warning", 3)
    # Days 43 to 100 and 343 to 399 read them.
    assert one.windows == (day_of_bar(0), day_of_bar(100), day_of_bar(300))


def test_a_flat_bar_in_which_something_is_traded_is_none():
    bars = market()
    bars[2] = flat(bars[2], slice(50, 51), volume=7.0)
    assert rules(bars) == []


@pytest.mark.parametrize(("count", "expected"), [(4, []), (5, [("S02", "repeated")])])
def test_five_times_the_same_bar_is_repeated(count, expected):
    bars = market()
    bars[2] = flat(bars[2], slice(50, 50 + count), volume=7.0)
    assert rules(bars) == expected


def test_forty_times_the_same_close_is_constant():
    bars = market()
    close = 100.0
    quiet = changed(bars[2], slice(50, 90), open=close, close=close, high=101.0, low=99.0)
    bars[2] = replace(quiet, high=quiet.high + 0.01 * np.arange(400))
    assert {one.rule for one in found(bars) if one.symbol == "S02"} == {"constant", "mock"} - {"mock"}


def test_one_volume_day_after_day_is_made_by_a_formula():
    bars = market()
    bars[2] = changed(bars[2], slice(50, 70), volume=1e6)
    assert rules(bars) == [("S02", "mock")]
    bars[2] = changed(random_walk(400, 2, symbol="S02"), slice(50, 69), volume=1e6)
    assert rules(bars) == []


def test_highs_that_are_a_ratio_of_closes_are_made_by_a_formula():
    bars = market()
    bars[2] = replace(bars[2], high=np.maximum(bars[2].open, bars[2].close * 1.1), low=bars[2].low)
    assert rules(bars) == [("S02", "mock")]


def test_the_same_bars_under_two_names_are_one_symbols():
    bars = market()
    bars[2] = replace(bars[7], symbol="S02")
    (one,) = found(bars)
    assert (one.symbol, one.rule) == ("S07", "wrong_instrument")
    assert "S07 and S02 have the same 60 newest closes" in one.message


def test_rows_that_are_put_aside_are_findings_with_file_row_and_windows():
    bars = market()
    bars[2] = with_bad_rows(bars[2], 150, 151, 399)
    (one,) = found(bars)
    assert (one.symbol, one.rule, one.severity, one.rows) == ("S02", "ohlc", "error", 3)
    assert (one.file, one.row) == ("S02.csv", 152)
    assert (one.first.isoformat(), one.last.isoformat()) == (day_of_bar(150), day_of_bar(399))
    assert one.message == "S02.csv, row 152 and 2 more: S02: high is below open or close (high is 1)."
    # Days 143 to 201; behind the last bar no row reads a bad one.
    assert one.windows == (day_of_bar(100), day_of_bar(200))


def test_the_newest_row_without_numbers_is_not_filled_yet():
    bars = with_bad_rows(market()[2], 399)
    (bad,) = bars.delivery.bad
    unfilled = replace(bad, rule="not_a_number", why="open is not a number (open is nan)")
    (one,) = found([replace(bars, delivery=replace(bars.delivery, bad=(unfilled,)))])
    assert (one.rule, one.severity, one.windows) == ("partial_last_day", "warning", ())
    assert one.message.endswith("It is left out.")


def test_sessions_of_intraday_bars_are_judged_as_days():
    whole = intraday()
    assert rules([whole]) == []
    last = len(whole) - 40
    cut = replace(whole, **{name: getattr(whole, name)[:last] for name in ("time", *PRICES, "volume")})
    (one,) = found([cut])
    assert (one.rule, one.rows, one.evidence["usual"]) == ("partial_last_day", 35, 75)
    split = replace(
        whole, **{name: np.where(np.arange(2250) < 750, 5.0, 1.0) * getattr(whole, name) for name in PRICES}
    )
    (one,) = found([split])
    assert (one.rule, one.first.isoformat()) == ("corporate_action", "2024-01-11")


def test_few_flat_intraday_bars_are_no_finding_and_half_a_session_is():
    assert rules([flat(intraday(), slice(100, 136))]) == []
    assert rules([flat(intraday(), slice(100, 137))]) == [("AAA", "flat")]


def test_no_bars_show_nothing():
    assert rules([Bars.empty("AAA")]) == []
    assert rules([]) == []
