"""Claims about which bars there are, by symbol and month. Walks have a bar on each day from 2022-01-01 on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.core.quality.outline import Days, outline
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.universe import Listing
from sensequant_assets_tests.core.quality.market import market, without
from sensequant_assets_tests.core.test_sessions import FIRST_SESSION, intraday_walk
from sensequant_assets_tests.making import FIRST_DAY

LAST = FIRST_DAY + timedelta(days=90)


def coverage(bars: Sequence[Bars], *more: Listing, exchange: Days | None = None, end: date = LAST) -> Coverage:
    outlines = {one.symbol: outline(one, 7) for one in bars}
    listings = {one.symbol: Listing(one.symbol) for one in bars} | {one.symbol: one for one in more}
    return Coverage.of(list(listings.values()), outlines, Sessions.of([*outlines.values()], exchange), FIRST_DAY, end)


def test_each_month_counts_bars_and_sessions_that_have_one():
    bars = market()
    bars[4] = without(bars[4], 3, 4, *range(31, 59))
    found = coverage(bars)
    assert (found.months, found.sessions) == (("2022-01", "2022-02", "2022-03"), (31, 28, 31))
    own = found.symbols["S04"]
    assert (own.bars, own.days, own.sessions, own.missing) == ((29, 0, 31), (29, 0, 31), (31, 28, 31), 30)
    assert found.symbols["S05"].missing == 0
    assert Coverage.read(found.as_json()) == found


def test_no_session_is_asked_for_before_a_listing_and_a_symbol_without_bars_lacks_them_all():
    found = coverage(market(), Listing("S03", listing_date=date(2022, 2, 10)), Listing("GONE"))
    assert found.symbols["S03"].sessions == (0, 19, 31)
    assert found.symbols["S03"].bars == (31, 28, 31)
    assert found.symbols["GONE"].days == (0, 0, 0)
    assert (found.symbols["GONE"].missing, found.empty) == (90, ["GONE"])


def test_no_session_is_asked_for_after_a_delisting():
    found = coverage(market(), Listing("S03", delisting_date=date(2022, 2, 10)))
    assert found.symbols["S03"].sessions == (31, 10, 0)


def test_a_bar_on_a_day_that_most_lack_is_a_bar_and_no_session():
    special = market()[0]
    found = coverage([special, *(without(one, 10) for one in market()[1:])])
    assert (found.symbols["S00"].bars[0], found.symbols["S00"].days[0], found.sessions[0]) == (31, 30, 30)


def test_where_too_few_trade_to_judge_by_them_sessions_are_those_of_the_calendar_or_else_any_days_with_bars():
    alone = [without(market(1)[0], 10)]
    every = np.datetime64(FIRST_DAY, "D") + np.arange(400)
    assert coverage(alone).sessions[0] == 30
    found = coverage(alone, exchange=every)
    assert (found.sessions[0], found.symbols["S00"].days[0]) == (31, 30)


def test_a_day_of_the_calendar_that_all_lack_is_a_session():
    every = np.datetime64(FIRST_DAY, "D") + np.arange(400)
    assert coverage([without(one, 10) for one in market()], exchange=every).sessions[0] == 31


def test_intraday_bars_are_counted_and_their_days_are_sessions():
    bars = intraday_walk(5, 1)
    found = coverage([bars], end=FIRST_SESSION + timedelta(days=20))
    own = found.symbols[bars.symbol]
    assert (sum(own.bars), sum(own.days), sum(own.sessions)) == (len(bars), 5, 5)


def test_without_any_bar_there_is_no_session():
    found = coverage([], Listing("A"))
    assert (found.sessions, found.empty) == ((0, 0, 0), ["A"])


def test_a_month_whose_bars_differ_has_another_digest_and_one_without_any_has_none():
    bars = market()
    before = coverage(bars).symbols["S04"].digests
    assert len(set(before)) == len(before) == 3
    bars[4] = replace(bars[4], close=np.where(np.arange(len(bars[4])) == 40, bars[4].close * 1.001, bars[4].close))
    after = coverage(bars).symbols["S04"].digests
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    assert coverage(market(), Listing("GONE")).symbols["GONE"].digests == ("", "", "")
