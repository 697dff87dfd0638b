"""Claims about a market as it was known on an earlier day."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.core.renames import Rename, Renames
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market.as_of import listed_on, named_on
from sensequant_assets.market.market import Market
from sensequant_assets.settings import Settings, read_market, read_settings
from sensequant_assets_tests.core.quality.market import market as walks
from sensequant_assets_tests.making import FIRST_DAY, QUICK_STUDENT, QUICK_TEACHER, random_walk
from sensequant_assets_tests.market.test_market import Shelf
from sensequant_assets_tests.running import leave

D = FIRST_DAY + timedelta(days=249)
LATER = D + timedelta(days=1)


def universe_of(*listings: Listing) -> Universe:
    return Universe("u", listings)


def test_renames_and_delistings_after_the_day_are_undone_and_others_are_not():
    renames = Renames([Rename(LATER, "LTIM", "LTM"), Rename(D, "AB", "AC")])
    known = universe_of(Listing("AC"), Listing("LTM", delisting_date=LATER), Listing("Z", delisting_date=D))
    assert named_on(D, known, renames).listings == (Listing("AC"), Listing("LTIM"), Listing("Z", delisting_date=D))
    assert named_on(LATER, known, renames) == known


def test_a_name_that_another_symbol_has_is_not_given_back():
    renames = Renames([Rename(LATER, "LTIM", "LTM")])
    both = universe_of(Listing("LTIM", listing_date=LATER), Listing("LTM"))
    assert named_on(D, both, renames) == both


def test_symbols_listed_later_are_absent_unless_there_are_bars_of_them():
    shelf = Shelf(
        B=random_walk(0, 0, symbol="B"),
        C=random_walk(20, 0, symbol="C"),
        E=WindowError(FailureKind.CORRUPT_BARS, "torn"),
    )
    known = universe_of(
        Listing("A", listing_date=D), Listing("B", listing_date=LATER), Listing("C", listing_date=LATER),
        Listing("D", trading_start_date=LATER), Listing("E", listing_date=LATER), Listing("F"),
    )  # fmt: skip
    found = listed_on(D, known, shelf)
    assert (found.symbols, found.later, found.as_of) == (("A", "C", "E", "F"), ("B", "D"), D)
    assert shelf.asked == ["B", "C", "E"]


def test_a_day_on_which_nothing_was_listed_is_refused():
    with pytest.raises(UsageError, match=r"No symbol of universe u was listed on 2022-09-07\. Give a later day"):
        listed_on(D, universe_of(Listing("A", trading_start_date=LATER)), Shelf())


Written = Callable[..., Settings]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes five walks, whose first one is called OLD up to D, in one of two states: as of D, or of 150 days later."""
    leave(monkeypatch, tmp_path)

    def write(state: str, **market: object) -> Settings:
        now = state == "now"
        frames = []
        for bars in walks(5):
            rows = len(bars) if now else 250
            columns = {name: getattr(bars, name)[:rows] for name in ("time", "open", "high", "low", "close", "volume")}
            name = bars.symbol
            if name == "S00":
                name = "NEW" if now else "OLD"
            if name == "S01" and now:
                columns["close"][-1] = columns["high"][-1] * 2  # a row that is none
            frames.append(pd.DataFrame(columns).assign(symbol=name))
        young = random_walk(150, 9, symbol="YOUNG", first_day=LATER)
        columns = {name: getattr(young, name) for name in ("time", "open", "high", "low", "close", "volume")}
        frames += [pd.DataFrame(columns).assign(symbol="YOUNG")] if now else []
        directory = tmp_path / state
        directory.mkdir()
        pd.concat(frames).to_csv(directory / "bars.csv", index=False)
        changes, universe = directory / "changes.csv", directory / "u.csv"
        changes.write_text(f"OLD,NEW,{LATER}\n" if now else "X,Y,2020-01-01\n")
        listed = "".join(f"S{n:02d},2022-01-01,\n" for n in range(1, 4))
        gone = str(LATER + timedelta(days=30)) if now else ""
        own = f"NEW,2022-01-01,\nYOUNG,{LATER},\n" if now else "OLD,2022-01-01,\n"
        universe.write_text(f"symbol,listing_date,delisting_date\n{listed}{own}S04,2022-01-01,{gone}\n")
        actions = directory / "actions.csv"
        later = f"S02,{LATER + timedelta(days=9)},2\nNEW,2022-03-01,4\n" if now else "OLD,2022-03-01,4\n"
        actions.write_text(f"symbol,ex_date,factor\nS03,2022-05-05,5\n{later}")
        return read_settings(
            {
                "universe": universe, "bars": str(directory / "bars.csv"), "symbol_changes": str(changes),
                "corporate_actions": str(actions), "start": FIRST_DAY, "end": FIRST_DAY + timedelta(days=360),
                "window_days": 90, "threshold": 0.0, **market,
            }
        )  # fmt: skip

    return write


@pytest.mark.parametrize("label", ["threshold", "cross_sectional"])
def test_a_market_as_of_a_day_is_that_of_the_day_to_the_last_row(written: Written, label: str):
    then = Market.open(written("then", label=label), QUICK_TEACHER, QUICK_STUDENT)
    now = Market.open(written("now", label=label, as_of=D), QUICK_TEACHER, QUICK_STUDENT)
    assert now.universe.symbols == then.universe.symbols == ("OLD", "S01", "S02", "S03", "S04")
    for symbol in then.universe.symbols:
        mine, theirs = now.plan(symbol), then.plan(symbol)
        assert mine.pairs == theirs.pairs
        assert mine.samples.fingerprint == theirs.samples.fingerprint
        for pair in theirs.pairs:
            if pair.eligible:
                assert now.lesson(pair, "").data == then.lesson(pair, "").data
                assert now.lesson(pair, "").tested_on == then.lesson(pair, "").tested_on
    assert [(one.symbol, one.rule) for one in now.findings] == [(one.symbol, one.rule) for one in then.findings]
    assert now.notes[:2] == [
        "All is as it was known on 2022-09-07: what was told, listed or renamed later is left out.",
        "Symbols that were not listed yet are left out: YOUNG.",
    ]


def test_without_the_day_all_is_as_it_is_known_today(written: Written):
    now = Market.open(written("now"), QUICK_TEACHER, QUICK_STUDENT)
    assert now.universe.symbols == ("NEW", "S01", "S02", "S03", "S04", "YOUNG")
    assert now.bars("NEW").time[-1] == np.datetime64(FIRST_DAY + timedelta(days=399))
    assert not any("known on" in note for note in now.notes)


def test_an_end_that_rolls_ends_with_the_day():
    assert read_market({"end": "today", "as_of": "2024-03-01"}).until == date(2024, 3, 1)
    assert read_market({"end": "2025-01-01", "as_of": "2024-03-01"}).until == date(2025, 1, 1)
    assert read_market({"as_of": None}).as_of is None
    with pytest.raises(UsageError, match=r"SENSEQUANT_AS_OF=20240301 is not allowed: it must be a date like"):
        read_market({"as_of": "20240301"})
