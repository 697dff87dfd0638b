"""Claims about which days are sessions, and what a hole is."""

import numpy as np
import pytest

from sensequant_assets_tests.core.quality.market import day_of_bar, found, market, rules, without


def test_a_day_that_most_symbols_have_is_missing_where_one_lacks_it():
    bars = market()
    bars[4] = without(bars[4], 150, *range(300, 320))
    holes = found(bars)
    assert [(one.symbol, one.rule, one.severity, one.rows) for one in holes] == [
        ("S04", "hole", "warning", 1),
        ("S04", "hole", "warning", 20),
    ]
    assert [one.first.isoformat() for one in holes] == [day_of_bar(150), day_of_bar(300)]
    assert [one.windows for one in holes] == [
        (day_of_bar(100), day_of_bar(200)),  # the fiftieth row after it is of day 200
        (day_of_bar(200), day_of_bar(300)),
    ]


def test_a_day_that_nobody_or_a_minority_has_is_a_holiday():
    bars = [without(one, 150, 151, 152) for one in market()]
    bars[2:6] = [without(one, 200) for one in bars[2:6]]
    special = market()[0]  # trades on the days that all others do not
    assert rules([without(special, 200), *bars[1:2], *[without(one, 200) for one in bars[6:]], *bars[2:6]]) == []


def test_days_before_the_first_bar_and_after_the_last_are_no_holes():
    bars = market()
    bars[4] = without(bars[4], *range(100), *range(395, 400))
    assert rules(bars) == []


def test_a_long_silence_of_all_is_a_hole_of_all():
    (one,) = found([without(each, *range(300, 320)) for each in market()])
    assert (one.symbol, one.rule, one.first.isoformat(), one.last.isoformat()) == (
        "*", "hole", day_of_bar(300), day_of_bar(319),
    )  # fmt: skip


@pytest.mark.parametrize(("missing", "holes"), [(10, 1), (9, 0)])
def test_one_symbol_alone_has_a_hole_after_ten_days_of_silence(missing, holes):
    alone = found([without(market(1)[0], *range(300, 300 + missing))])
    assert [(one.symbol, one.rule) for one in alone] == [("S00", "hole")] * holes


def test_a_named_calendar_shows_the_day_that_all_lack_and_no_bar_breaks_it():
    bars = [without(one, 150) for one in market()]
    every = bars[0].time[0].astype("datetime64[D]") + np.arange(400)
    # It does not know day 77, on which all have a bar.
    calendar = np.delete(every, 77)
    (one,) = found(bars, calendar)
    assert (one.symbol, one.rule, one.rows, one.first.isoformat()) == ("*", "hole", 1, day_of_bar(150))
    alone = found([without(market(1)[0], 150)], calendar)
    assert [(each.symbol, each.rule, each.first.isoformat()) for each in alone] == [("S00", "hole", day_of_bar(150))]


def test_a_symbol_that_ends_ten_sessions_before_the_others_is_stale():
    bars = market()
    bars[4], bars[5] = without(bars[4], *range(389, 400)), without(bars[5], *range(390, 400))
    (one,) = found(bars)
    assert (one.symbol, one.rule, one.rows, one.last.isoformat()) == ("S04", "stale", 11, day_of_bar(388))


def test_the_newest_day_that_few_have_is_not_delivered_yet():
    bars = market()
    (one,) = found([*bars[:3], *(without(each, 399) for each in bars[3:])])
    assert (one.symbol, one.rule, one.first.isoformat()) == ("*", "partial_last_day", day_of_bar(399))
    assert rules([*bars[:6], *(without(each, 399) for each in bars[6:])]) == []
