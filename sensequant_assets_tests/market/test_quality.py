"""Claims about what the rules on bars are asked of a market."""

import numpy as np
import pytest

from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market.quality import sessions_of
from sensequant_assets_tests.core.quality.market import market as walks
from sensequant_assets_tests.core.quality.market import scaled
from sensequant_assets_tests.market.test_market import Shelf, market_of


def test_findings_read_each_symbol_of_the_universe_once_whoever_asked_before() -> None:
    bars = {one.symbol: one for one in walks(4)}
    shelf = Shelf(**bars)
    market = market_of(shelf)
    market.plan("S01")
    assert market.findings == []
    assert market.findings == []
    assert sorted(shelf.asked) == sorted(bars)


def test_a_symbol_whose_bars_cannot_be_taken_is_a_finding_in_every_window() -> None:
    bars = {one.symbol: one for one in walks(4)}
    market = market_of(Shelf(**bars | {"S01": WindowError(FailureKind.CORRUPT_BARS, "b.csv, row 7: S01: torn.")}))
    (one,) = market.findings
    assert (one.symbol, one.rule, one.message) == ("S01", "unreadable", "b.csv, row 7: S01: torn.")
    assert one.windows == market.window_keys


def test_files_that_are_left_out_are_findings_of_all() -> None:
    shelf = Shelf(**{one.symbol: one for one in walks(4)})
    shelf.left_out = ("n.csv cannot be read: it is cut.",)
    (one,) = market_of(shelf).findings
    assert (one.symbol, one.rule, one.severity) == ("*", "unreadable", "error")
    assert one.message == "n.csv cannot be read: it is cut."


def test_findings_are_sorted_by_symbol_and_what_is_about_all_stands_last() -> None:
    bars = {one.symbol: scaled(one, slice(250, 255), 100.0) for one in walks(4)}
    assert [one.symbol for one in market_of(Shelf(**bars)).findings] == ["S00", "S01", "S02", "S03", "*"]


def test_a_calendar_names_the_sessions_between_two_days() -> None:
    days = sessions_of("XNYS", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))
    assert days.astype(str).tolist() == ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]


def test_an_unknown_calendar_is_named() -> None:
    with pytest.raises(UsageError, match="There is no calendar NOWHERE from 2024-07-01 to 2024-07-08"):
        sessions_of("NOWHERE", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))


def test_without_the_package_a_calendar_is_refused_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensequant_assets.market.quality.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'sensequant-assets\[calendars\]'"):
        sessions_of("XNYS", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))
