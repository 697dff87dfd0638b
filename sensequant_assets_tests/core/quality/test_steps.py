"""Claims about steps over night: splits, units, other companies' bars, and what is only news."""

from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.bars import Delivery
from sensequant_assets_tests.core.quality.market import day_of_bar, found, market, rules, scaled


@pytest.mark.parametrize("factor", [1.35, 2.0, 5.0, 10.0, 0.2])
def test_a_step_that_stays_is_a_corporate_action_of_its_factor(factor):
    bars = market()
    bars[3] = scaled(bars[3], slice(250, None), 1 / factor, factor)
    (one,) = found(bars)
    assert (one.symbol, one.rule, one.severity) == ("S03", "corporate_action", "error")
    assert one.first.isoformat() == one.last.isoformat() == day_of_bar(250)
    assert one.evidence["factor"] == pytest.approx(factor)
    # Labels of the seven bars before it and features of the fifty after it: days 243 to 299.
    assert one.windows == (day_of_bar(200),)


def test_windows_on_both_sides_read_a_step_at_their_border():
    bars = market()
    bars[3] = scaled(bars[3], slice(200, None), 0.5)
    assert found(bars)[0].windows == (day_of_bar(100), day_of_bar(200))


@pytest.mark.parametrize("symbols", [1, 12])
def test_a_small_step_is_weak_and_only_a_warning(symbols):
    bars = market(symbols)
    bars[0] = scaled(calm(bars[0]), slice(250, None), 1 / 1.25, 1.25)
    (one,) = found(bars)
    assert (one.rule, one.severity) == ("corporate_action", "warning")


def calm(bars):
    """The bars with a third of their moves."""
    names = ("open", "high", "low", "close")
    return replace(bars, **{name: 100 * (getattr(bars, name) / 100) ** (1 / 3) for name in names})


def test_a_night_of_the_whole_market_is_no_corporate_action():
    assert rules([scaled(one, slice(250, None), 0.7) for one in market()]) == []


def test_a_step_that_does_not_stay_is_none():
    bars = market()
    bars[3] = scaled(bars[3], slice(250, 252), 0.6)
    assert rules(bars) == []


def test_a_night_of_news_has_many_times_the_usual_turnover_and_is_none():
    bars = market()
    news = scaled(scaled(bars[3], slice(250, None), 0.6), slice(250, 251), 1.0, 60.0)
    bars[3] = news
    assert rules(bars) == []


@pytest.mark.parametrize("bars_long", [1, 8, 59])
@pytest.mark.parametrize("factor", [100.0, 10.0, 0.01])
def test_a_power_of_ten_that_comes_back_is_another_unit(factor, bars_long):
    bars = market()
    bars[3] = scaled(bars[3], slice(250, 250 + bars_long), factor)
    (one,) = found(bars)
    assert (one.rule, one.severity, one.rows) == ("unit", "error", bars_long)
    assert (one.first.isoformat(), one.last.isoformat()) == (day_of_bar(250), day_of_bar(249 + bars_long))


@pytest.mark.parametrize(("factor", "rule"), [(100.0, "unit"), (0.001, "unit"), (83.0, "wrong_instrument")])
def test_what_no_split_does_for_good_is_another_unit_or_instrument(factor, rule):
    bars = market()
    bars[3] = scaled(bars[3], slice(250, None), factor)
    assert rules(bars) == [("S03", rule)]


def test_bars_at_another_level_for_a_while_are_of_another_instrument():
    bars = market()
    bars[3] = scaled(bars[3], slice(250, 270), 2.7)
    (one,) = found(bars)
    assert (one.rule, one.rows) == ("wrong_instrument", 20)
    assert "back after 20 bars" in one.message


def test_a_step_where_one_file_ends_and_another_begins_is_a_seam_and_named_by_file_and_row():
    bars = market()
    stepped = scaled(bars[3], slice(250, None), 0.5)
    origin = np.repeat(np.array([0, 1], np.int32), [250, 150])
    rows = np.concatenate([np.arange(250), np.arange(150)]) + 2
    bars[3] = replace(stepped, delivery=Delivery(("old.csv", "new.csv"), origin, rows, 400))
    (one,) = found(bars)
    assert (one.rule, one.file, one.row) == ("seam", "new.csv", 2)
    assert one.message.startswith("new.csv, row 2: S03: it opens on ")


def test_with_a_file_a_day_a_split_is_no_seam():
    bars = market()
    stepped = scaled(bars[3], slice(250, None), 0.5)
    files = tuple(f"{number}.csv" for number in range(400))
    bars[3] = replace(stepped, delivery=Delivery(files, np.arange(400, dtype=np.int32), np.full(400, 2), 400))
    assert rules(bars) == [("S03", "corporate_action")]
