"""Claims about the market of a batch."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.lattice import Recipe, SkipReason
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.core.windows import build_windows
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market import market as market_module
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings
from sensequant_assets.sources.notes import Note
from sensequant_assets_tests.making import FIRST_DAY, QUICK_STUDENT, QUICK_TEACHER, random_walk


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


def market_of(shelf: Shelf, *listings: Listing) -> Market:
    rows = listings or tuple(Listing(symbol) for symbol in sorted(shelf.found))
    windows = build_windows(FIRST_DAY, FIRST_DAY + timedelta(days=360), 90)
    return Market(Universe("u", rows), windows, shelf, Recipe(threshold=0.0), QUICK_TEACHER, QUICK_STUDENT)


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
