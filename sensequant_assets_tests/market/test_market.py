"""Claims about the market of a batch."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.lattice import Recipe, SkipReason
from sensequant_assets.core.renames import Rename, Renames
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.core.windows import build_windows
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market import market as market_module
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings
from sensequant_assets.sources.notes import Note
from sensequant_assets_tests.making import (
    FIRST_DAY,
    QUICK_STUDENT,
    QUICK_TEACHER,
    bars_of,
    random_walk,
    with_columns,
)

ABOVE_ZERO = Recipe(threshold=0.0)
COMPARED = Recipe(label="cross_sectional")
NEUTRAL = Recipe(label="volatility_neutral")


class Shelf:
    """Bars by symbol, or the error that asking for them raises; counts the asking."""

    left_out: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    def __init__(self, **found: Bars | Exception) -> None:
        self.found = found
        self.asked: list[str] = []

    def bars(self, listing: Listing) -> Bars:
        self.asked.append(listing.symbol)
        found = self.found[listing.symbol]
        if isinstance(found, Exception):
            raise found
        return found


def market_of(shelf: Shelf, *listings: Listing, recipe: Recipe = ABOVE_ZERO) -> Market:
    rows = listings or tuple(Listing(symbol) for symbol in sorted(shelf.found))
    windows = build_windows(FIRST_DAY, FIRST_DAY + timedelta(days=360), 90)
    return Market(Universe("u", rows), windows, shelf, recipe, QUICK_TEACHER, QUICK_STUDENT)


def test_a_plan_has_the_samples_and_one_pair_a_window():
    market = market_of(Shelf(A=random_walk(400, 0, symbol="A")))
    plan = market.plan("A")
    assert isinstance(plan.samples, Samples)
    assert [pair.window.key for pair in plan.pairs] == ["2022-01-01", "2022-04-01", "2022-06-30", "2022-09-28"]
    assert market.pair("A", "2022-06-30") == plan.pairs[2]


def test_corrupt_bars_of_one_symbol_leave_the_others():
    error = WindowError(FailureKind.CORRUPT_BARS, "row 7")
    market = market_of(Shelf(A=error, B=random_walk(400, 0, symbol="B")))
    assert market.plan("A").samples is error
    assert all(pair.eligible for pair in market.plan("A").pairs)
    assert isinstance(market.plan("B").samples, Samples)


def test_a_market_tells_what_any_source_has_left_out():
    shelf = Shelf(A=random_walk(400, 0, symbol="A"))
    shelf.left_out = ("box 7 is torn",)
    assert market_of(shelf).left_out == ("box 7 is torn",)


def test_what_is_said_of_reading_is_said_once_for_all_and_of_its_symbol():
    shelf = Shelf(A=random_walk(400, 0, symbol="A"), B=random_walk(400, 1, symbol="B"))
    shelf.notes = (Note("Rows that are torn", "A", "box 7", 2), Note("Rows that are torn", "B", "box 8", 1))
    market = market_of(shelf)
    assert market.notes == ["Rows that are torn: 3 in box 7, box 8."]
    assert market.warnings("A") == ["Rows that are torn: 2 in box 7."]


def test_a_universe_that_the_sample_has_nothing_of_is_wrong_usage(tmp_path):
    (tmp_path / "mine.csv").write_text("symbol\nTCS\n")
    settings = read_settings({"universe": tmp_path / "mine.csv"})
    with pytest.raises(UsageError, match=r"No symbol of universe mine is in the embedded sample, .*--bars"):
        Market.open(settings, QUICK_TEACHER, QUICK_STUDENT)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ConnectionResetError("peer"), FailureKind.SOURCE_UNAVAILABLE),
        (TimeoutError("slow"), FailureKind.TIMEOUT),
        (MemoryError(), FailureKind.RESOURCE),
        (KeyError("Close"), FailureKind.CODE_ERROR),
    ],
)
def test_whatever_a_source_raises_costs_only_its_symbol(raised, kind):
    market = market_of(Shelf(A=raised, B=random_walk(400, 0, symbol="B")))
    samples = market.plan("A").samples
    assert isinstance(samples, WindowError)
    assert samples.kind is kind
    assert type(raised).__name__ in str(samples)
    assert samples.__cause__ is raised
    assert all(pair.eligible for pair in market.plan("A").pairs)


def test_a_symbol_is_read_once_however_many_threads_ask():
    shelf = Shelf(A=random_walk(400, 0, symbol="A"), B=random_walk(400, 1, symbol="B"))
    market = market_of(shelf)
    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(market.plan, ["A", "B"] * 20))
    assert sorted(shelf.asked) == ["A", "B"]
    assert plans[0] is plans[38]


def test_the_symbol_asked_for_longest_ago_is_forgotten_first(monkeypatch):
    shelf = Shelf(**{name: random_walk(60, 0, symbol=name) for name in "ABC"})
    market = market_of(shelf)
    # Room for two symbols of 60 bars with 25 features of 8 bytes.
    monkeypatch.setattr(market_module, "KEPT_BYTES", 2 * 60 * 25 * 8)
    for name in "ABACAB":
        market.plan(name)
    assert shelf.asked == ["A", "B", "C", "B"]


def test_a_rectangle_of_keys_goes_symbol_by_symbol():
    market = market_of(Shelf(A=random_walk(0, 0), B=random_walk(0, 0)))
    assert market.keys(windows=["2022-01-01", "2022-04-01"]) == [
        ("A", "2022-01-01"), ("A", "2022-04-01"), ("B", "2022-01-01"), ("B", "2022-04-01"),
    ]  # fmt: skip
    assert len(market.keys()) == 8
    assert market.keys(symbols=["B"], windows=["2022-04-01"]) == [("B", "2022-04-01")]


def test_an_unknown_window_is_refused_with_those_there_are():
    market = market_of(Shelf(A=random_walk(0, 0)))
    expected = "There is no window 2022-02-01. The windows start on 2022-01-01, 2022-04-01, 2022-06-30, 2022-09-28."
    with pytest.raises(UsageError, match=expected):
        market.pair("A", "2022-02-01")
    with pytest.raises(UsageError, match=expected):
        market.select_windows(["2022-04-01", "2022-02-01"])
    assert market.select_windows(["2022-09-28", "2022-04-01"]) == ("2022-04-01", "2022-09-28")


def test_an_unknown_symbol_is_refused():
    with pytest.raises(UsageError, match="has no symbol Z"):
        market_of(Shelf(A=random_walk(0, 0))).plan("Z")


def test_bars_from_before_the_listing_are_a_warning():
    shelf = Shelf(A=random_walk(90, 0, symbol="A"))
    late = date(2022, 2, 1)
    assert market_of(shelf, Listing("A", listing_date=late)).warnings("A") == [
        "A is listed on 2022-02-01 and has bars from 2022-01-01; the bars count."
    ]
    assert market_of(shelf, Listing("A", listing_date=FIRST_DAY)).warnings("A") == []
    assert market_of(shelf, Listing("A", listing_date=late, trading_start_date=late)).warnings("A") == []
    assert market_of(shelf, Listing("A")).warnings("A") == []


def test_the_market_that_settings_name_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.csv").write_text("symbol\nFB\nNOBODY\n")
    settings = read_settings({"universe": "two.csv", "start": "2012-01-01", "end": "2013-01-01"})
    market = Market.open(settings, QUICK_TEACHER, QUICK_STUDENT)
    assert market.universe.name == "two"
    assert market.window_keys == ("2012-01-01", "2012-06-29")  # the third piece is six days
    # Facebook trades from 18 May 2012, fifty bars of warm-up before its first window ends are not there.
    assert [pair.reason for pair in market.plan("FB").pairs] == [SkipReason.INSUFFICIENT_BARS, None]
    assert {pair.reason for pair in market.plan("NOBODY").pairs} == {SkipReason.NO_BARS}


def walks(*symbols: str) -> dict[str, Bars | Exception]:
    return {symbol: random_walk(400, seed, symbol=symbol) for seed, symbol in enumerate(symbols)}


def made_from(market: Market, symbol: str) -> list[str]:
    """What the teachers of a symbol would be made from, window by window."""
    return [market.lesson(pair).data for pair in market.plan(symbol).pairs if pair.eligible]


def with_other_bars(shelf: Shelf, symbol: str, after: int) -> Shelf:
    bars = shelf.found[symbol]
    assert isinstance(bars, Bars)
    factor = np.where(np.arange(len(bars)) > after, 1.5, 1.0)
    return Shelf(**shelf.found | {symbol: with_columns(bars, {"close": bars.close * factor, "high": bars.high * 1.6})})


@pytest.mark.parametrize(("recipe", "others_change"), [(ABOVE_ZERO, False), (NEUTRAL, False), (COMPARED, True)])
def test_other_bars_of_one_symbol_change_what_others_learn_from_where_labels_compare_them(recipe, others_change):
    shelf = Shelf(**walks("A", "B", "C", "D"))
    before = market_of(shelf, recipe=recipe)
    after = market_of(with_other_bars(shelf, "B", after=300), recipe=recipe)
    # The third window ends at bar 270 and the fourth at bar 360; the first has too few rows after warm-up.
    same = [x == y for x, y in zip(made_from(before, "A"), made_from(after, "A"), strict=True)]
    assert same == [True, True, not others_change]


def test_a_symbol_whose_bars_fail_is_in_no_comparison_and_costs_no_other():
    error = WindowError(FailureKind.CORRUPT_BARS, "row 7")
    whole = market_of(Shelf(**walks("A", "B", "C", "D")), recipe=COMPARED)
    one_less = market_of(Shelf(**walks("A", "B", "C", "D") | {"E": error}), recipe=COMPARED)
    assert one_less.plan("E").samples is error
    assert made_from(one_less, "A") == made_from(whole, "A")


def test_bars_that_change_while_the_universe_is_compared_cost_their_symbol_one_attempt():
    shelf = Shelf(**walks("A", "B", "C", "D"))
    market = market_of(shelf, recipe=COMPARED)
    assert market.unlabelled == ""
    shelf.found["B"] = random_walk(401, 1, symbol="B")
    samples = market.plan("B").samples
    assert isinstance(samples, WindowError)
    assert (samples.kind, str(samples)) == (
        FailureKind.SOURCE_UNAVAILABLE,
        "The bars of B changed while those of the universe were compared. Try again.",
    )
    assert isinstance(market.plan("C").samples, Samples)


def test_what_a_comparison_leaves_without_a_label_is_said_and_skips_its_windows_with_a_reason():
    market = market_of(Shelf(**walks("A", "B") | {"C": random_walk(200, 9, symbol="C")}), recipe=COMPARED)
    assert market.unlabelled.startswith("Of 979 forward returns 193 equal the median of their moment and 400 are of ")
    last = market.plan("A").pairs[-1]
    assert last.reason is SkipReason.INSUFFICIENT_BARS
    assert "90 of its forward returns have no label." in last.detail


def test_a_price_that_stands_still_is_a_warning_where_labels_ask_for_its_volatility():
    still = bars_of(np.concatenate([random_walk(100, 0).close, np.full(50, 90.0)]), symbol="A")
    assert market_of(Shelf(A=still)).warnings("A") == []
    assert market_of(Shelf(A=still), recipe=NEUTRAL).warnings("A") == [
        "A has 30 bars without a label: its price stood still before them."
    ]


def test_labels_of_one_symbol_read_no_other():
    shelf = Shelf(**walks("A", "B", "C"))
    for recipe in (ABOVE_ZERO, NEUTRAL):
        market_of(shelf, recipe=recipe).plan("A")
    assert shelf.asked == ["A", "A"]
    market_of(shelf, recipe=COMPARED).plan("A")
    assert shelf.asked[2:] == ["A", "A", "B", "C"]


def test_bars_after_a_delisting_are_left_out_found_and_said_and_windows_end_with_it() -> None:
    last = FIRST_DAY + timedelta(days=299)
    bars = {name: random_walk(400, seed, symbol=name) for seed, name in enumerate("ABCD")}
    rows = [Listing("A", delisting_date=last), *map(Listing, "BCD")]
    market = market_of(Shelf(**bars), *rows)
    assert market.bars("A").time[-1] == np.datetime64(last)
    assert "A was delisted on 2022-10-27, and window 2022-09-28 ends there." in market.pair("A", "2022-09-28").detail
    (found,) = market.findings
    assert (found.symbol, found.rule, found.rows) == ("A", "listing", 100)


def test_symbols_that_were_one_companys_and_are_both_listed_are_said() -> None:
    shelf = Shelf(A=random_walk(60, 0, symbol="A"), B=random_walk(60, 1, symbol="B"))
    windows = build_windows(FIRST_DAY, FIRST_DAY + timedelta(days=360), 90)
    both = Universe("u", (Listing("A"), Listing("B")))
    renames = Renames([Rename(date(2023, 1, 1), "B", "A")])
    market = Market(both, windows, shelf, ABOVE_ZERO, QUICK_TEACHER, QUICK_STUDENT, renames=renames)
    assert market.notes == [
        "Symbols of the universe that were one company's, and are taken for two because it has both: B and A."
    ]
    assert not market.aliases
