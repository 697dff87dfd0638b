"""Claims about bars beside the listing of their symbol."""

from datetime import date, timedelta
from typing import Any

import pytest

from sensequant_assets.core.bars import Bars, before
from sensequant_assets.core.quality.findings import findings_of
from sensequant_assets.core.quality.listings import LATE, after_delisting
from sensequant_assets.core.quality.outline import outline
from sensequant_assets.core.quality.rules import Finding
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import build_windows
from sensequant_assets_tests.core.quality.market import market as walks
from sensequant_assets_tests.making import FIRST_DAY

WINDOWS = build_windows(FIRST_DAY, FIRST_DAY + timedelta(days=360), 90)
BARS = {one.symbol: one for one in walks(5)}
DAYS = [day.item() for day in BARS["S01"].time.astype("datetime64[D]")]


def since(bars: Bars, first: int) -> Bars:
    """The bars from a position on."""
    names = ("time", "open", "high", "low", "close", "volume")
    return Bars(bars.symbol, *(getattr(bars, name)[first:] for name in names))


def told(changed: Bars, **listing: Any) -> list[Finding]:
    """What is found in a market of which one symbol has other bars, and its listing is known."""
    outlines = [outline(one, 7) for one in (BARS | {changed.symbol: changed}).values()]
    rows = {changed.symbol: Listing(changed.symbol, **listing)}
    return findings_of(outlines, Sessions.of(outlines, None), WINDOWS, listings=rows)


def test_bars_before_the_listing_are_a_finding_of_their_days_and_windows():
    (one,) = told(BARS["S01"], listing_date=DAYS[100])
    assert (one.symbol, one.rule, one.severity) == ("S01", "listing", "warning")
    assert (one.first, one.last, one.rows) == (DAYS[0], DAYS[99], 100)
    assert (
        "100 days with bars from 2022-01-01 to 2022-04-10 lie before its listing on 2022-04-11, and count"
        in one.message
    )
    assert one.windows == ("2022-01-01", "2022-04-01")
    (hidden,) = told(BARS["S01"], trading_start_date=DAYS[100])
    assert "and are left out" in hidden.message


@pytest.mark.parametrize("late", [LATE, LATE + 1])
def test_a_first_bar_long_after_the_listing_is_a_finding(late):
    found = told(since(BARS["S01"], 50 + late), listing_date=DAYS[50])
    if late == LATE:
        assert found == []
        return
    (one,) = found
    assert (one.first, one.last, one.rows) == (DAYS[50], DAYS[50 + LATE], LATE + 1)
    assert (
        f"its first bar is of {DAYS[51 + LATE]}; the universe has 21 sessions from {DAYS[50]} till then" in one.message
    )


def test_what_the_universe_has_no_bars_of_no_symbol_is_late_for():
    assert told(BARS["S01"], listing_date=date(1996, 1, 1)) == []
    assert told(since(BARS["S01"], 200)) == []


def test_bars_end_with_a_delisting_and_are_not_stale():
    ended = before(BARS["S01"], DAYS[301])
    assert [one.rule for one in told(ended)] == ["stale"]
    assert told(ended, delisting_date=DAYS[300]) == []
    assert [one.rule for one in told(ended, delisting_date=DAYS[-1])] == ["stale"]


def test_bars_after_a_delisting_are_a_finding():
    one = after_delisting("S01", BARS["S01"].time[301:303], DAYS[300])
    assert (one.first, one.last, one.rows, one.rule) == (DAYS[301], DAYS[302], 2, "listing")
    assert "2 bars from 2022-10-29 to 2022-10-30 lie after its delisting on 2022-10-28, and are left out" in one.message
