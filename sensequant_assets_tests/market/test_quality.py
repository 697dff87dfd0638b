"""Claims about what the rules on bars are asked of a market."""

from datetime import timedelta

import numpy as np
import pytest

from sensequant_assets.core.lattice import Recipe, SkipReason
from sensequant_assets.core.quality.adjustment import Action
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.core.windows import build_windows
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.market.quality import BarRules, sessions_of
from sensequant_assets_tests.core.quality.market import market as walks
from sensequant_assets_tests.core.quality.market import scaled, without
from sensequant_assets_tests.making import FIRST_DAY, QUICK_STUDENT, QUICK_TEACHER
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


def stepped() -> Shelf:
    """Twelve walks; S03 has an unadjusted split in the third of four windows of 90 days, S05 a hole in the second."""
    bars = {one.symbol: one for one in walks(12)}
    bars["S03"] = scaled(bars["S03"], slice(250, None), 0.2, 5.0)
    bars["S05"] = without(bars["S05"], *range(130, 140))
    return Shelf(**bars)


def market_with(rules: BarRules) -> Market:
    shelf = stepped()
    windows = build_windows(FIRST_DAY, FIRST_DAY + timedelta(days=360), 90)
    universe = Universe("u", tuple(Listing(symbol) for symbol in sorted(shelf.found)))
    return Market(universe, windows, shelf, Recipe(threshold=0.0), QUICK_TEACHER, QUICK_STUDENT, rules)


@pytest.mark.parametrize(
    ("rules", "skipped", "failing"),
    [
        (BarRules(), [], []),
        (BarRules(on_hole="skip"), [("S05", 1), ("S05", 2)], []),
        (BarRules(on_corporate_action="fail"), [], [("S03", 2), ("S03", 3)]),
        (BarRules(on_hole="fail", on_corporate_action="skip"), [("S03", 2), ("S03", 3)], [("S05", 1), ("S05", 2)]),
    ],
)
def test_windows_that_read_what_is_found_are_flagged_skipped_or_fail_as_asked(rules, skipped, failing) -> None:
    market = market_with(rules)
    pairs = {
        (symbol, n): pair for symbol in market.universe.symbols for n, pair in enumerate(market.plan(symbol).pairs)
    }
    # The first 50 bars of a history have no features: its first window has too few rows.
    assert [key for key, pair in pairs.items() if pair.reason is SkipReason.SUSPECT_BARS] == skipped
    assert [key for key, pair in pairs.items() if pair.eligible and pair.spoiled] == failing
    for key in skipped:
        assert pairs[key].detail.endswith("is skip.")
    for key in failing:
        with pytest.raises(WindowError, match="is fail") as caught:
            market.lesson(pairs[key])
        assert caught.value.kind is FailureKind.CORRUPT_BARS


def test_a_detected_split_is_taken_out_and_recorded_and_no_longer_a_finding() -> None:
    market = market_with(BarRules(adjust="detected"))
    (record, *others) = market.findings
    assert (record.symbol, record.rule, round(record.evidence["factor"], 6)) == ("S03", "adjusted", 5.0)
    assert [(one.symbol, one.rule) for one in others] == [("S05", "hole")]
    bars, whole = market.bars("S03"), {one.symbol: one for one in walks(12)}["S03"]
    np.testing.assert_allclose(bars.close * 5, whole.close)
    samples = market.plan("S03").samples
    assert isinstance(samples, Samples)
    np.testing.assert_allclose(samples.forward_return[240:249], whole.close[247:256] / whole.close[240:249] - 1)


def test_given_actions_adjust_before_anything_is_judged() -> None:
    day = FIRST_DAY + timedelta(days=250)
    market = market_with(BarRules(actions={"S03": [Action(day, 5.0, "a.csv, line 2.")]}))
    assert [(one.symbol, one.rule) for one in market.findings] == [("S03", "adjusted"), ("S05", "hole")]


def test_findings_are_at_hand_only_once_the_universe_has_been_read() -> None:
    market = market_with(BarRules())
    market.plan("S03")
    assert market.findings_at_hand(["S03"]) == ()
    assert market.coverage_at_hand is None
    for symbol in market.universe.symbols:
        market.plan(symbol)
    assert [one.rule for one in market.findings_at_hand(["S03"])] == ["corporate_action"]
    covered = market.coverage_at_hand
    assert covered is not None
    assert {symbol: one.missing for symbol, one in covered.symbols.items() if one.missing} == {"S05": 10}


def test_a_calendar_names_the_sessions_between_two_days() -> None:
    days = sessions_of("XNYS", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))
    assert days.astype(str).tolist() == ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]


def test_an_unknown_calendar_is_named() -> None:
    with pytest.raises(UsageError, match="There is no calendar NOWHERE;"):
        sessions_of("NOWHERE", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))


def test_without_the_package_a_calendar_is_refused_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensequant_assets.market.quality.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'sensequant-assets\[calendars\]'"):
        sessions_of("XNYS", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))
