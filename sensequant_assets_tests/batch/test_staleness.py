"""Claims about which pairs are stale, on real bars and real models."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Run
from sensequant_assets.batch.staleness import Cause, Staleness, stale_pairs
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import MODELS, StudentParameters, TeacherParameters
from sensequant_assets.errors import FailureKind
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.failures import data_that_failed
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.operating import (
    END,
    STUDENT,
    SYMBOLS,
    TEACHER,
    WINDOWS,
    history,
    new_days,
    office_settings,
)
from sensequant_assets_tests.running import corrupt, how_it_runs, spoil

PAIRS = [(symbol, window) for symbol in SYMBOLS for window in WINDOWS[:2]]
OPEN = WINDOWS[1]


@dataclass(frozen=True)
class Shop:
    """A trained market whose bars a test may change."""

    directory: Path
    teacher: TeacherParameters = TEACHER
    student: StudentParameters = STUDENT

    @property
    def bars(self) -> Path:
        return self.directory / "bars"

    @property
    def settings(self) -> dict[str, object]:
        return {"data_dir": self.directory / "data", "universe": self.directory / "four.csv", "end": END}

    @property
    def market(self) -> Market:
        # A test that has changed the bars asks for the market that they make.
        bars = (self.bars / "IBM.csv").exists()
        settings = self.settings if bars else office_settings(self.directory)
        return Market.open(read_settings(settings | {"bars": str(self.bars)}), self.teacher, self.student)

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.directory / "data" / "models", "four")

    @property
    def telemetry(self) -> TelemetryStore:
        return TelemetryStore(self.directory / "data" / "telemetry")

    def train(self, market: Market, batch: str) -> None:
        journal = Journal(self.telemetry.shards, batch_id=batch, run_id=batch, clock=utc_now)
        run = Run(
            market=market,
            keys=market.keys(),
            models=MODELS,
            store=self.store,
            journal=journal,
            identity=Identity(batch, batch),
            teacher=self.teacher,
            student=self.student,
            options=how_it_runs(max_failure_rate=0.5),
        )
        told: list[Outcome] = []
        assert len(list(run.carry_out(lambda _, outcomes: told.extend(outcomes)))) == len(MODELS)

    def stale(self, market: Market, **changed: object) -> Staleness:
        asked = {"code": code(), **changed}
        return stale_pairs(market, self.store, self.teacher, self.student, **asked)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.train(shop.market, "first")
    return shop.directory


@pytest.fixture
def shop(original: Path, tmp_path: Path) -> Shop:
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return Shop(tmp_path)


def test_pairs_that_were_never_trained_are_stale_if_they_are_eligible(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    stale = shop.stale(shop.market)
    assert list(stale.pairs) == PAIRS
    assert set(stale.pairs.values()) == {frozenset({Cause.UNTRAINED})}


def test_after_training_nothing_is_stale(shop: Shop) -> None:
    assert shop.stale(shop.market) == Staleness()


def test_new_bars_make_only_the_open_windows_of_their_symbols_stale(shop: Shop) -> None:
    new_days(SYMBOLS[:2]).to_csv(shop.bars / "n.csv", index=False)
    stale = shop.stale(shop.market)
    assert stale.pairs == {(symbol, OPEN): frozenset({Cause.DATA}) for symbol in SYMBOLS[:2]}
    assert stale.by(Cause.DATA) == [(symbol, OPEN) for symbol in SYMBOLS[:2]]
    assert stale.by(Cause.CODE, Cause.UNTRAINED) == []


def test_bars_of_the_next_window_leave_a_closed_one_current_though_it_is_tested_on_them(shop: Shop) -> None:
    new_days(["IBM"], 40).to_csv(shop.bars / "n.csv", index=False)
    # Forty days reach into the third window, so that the second one closes and the third one opens.
    assert shop.stale(shop.market).by(Cause.DATA, Cause.UNTRAINED) == [("IBM", OPEN)]


def test_a_corrected_bar_makes_the_windows_that_read_it_stale(shop: Shop) -> None:
    market = shop.market
    table = history("MSFT")
    table = table[table["date"] <= "2009-11-16"]
    first = table.index[table["date"] >= "2009-02-02"][0]
    table.loc[first, "volume"] *= 2
    table.to_csv(shop.bars / "MSFT.csv", index=False)
    # Volume features look back fewer bars than lie between this day and the second window.
    assert ("MSFT", WINDOWS[0]) in shop.stale(market).by(Cause.DATA)
    assert all(symbol == "MSFT" for symbol, _ in shop.stale(market).pairs)


def test_other_parameters_of_the_student_leave_the_teachers_current(shop: Shop) -> None:
    other = replace(shop, student=StudentParameters(scope="symbol", n_estimators=6))
    stale = other.stale(other.market)
    assert list(stale.pairs) == PAIRS
    assert set(stale.pairs.values()) == {frozenset({Cause.PARAMETERS})}


def test_other_code_makes_everything_stale_for_that_cause_alone(shop: Shop) -> None:
    stale = shop.stale(shop.market, code="another")
    assert list(stale.pairs) == PAIRS
    assert set(stale.pairs.values()) == {frozenset({Cause.CODE})}


def test_a_lost_student_makes_its_pair_stale(shop: Shop) -> None:
    shop.store.path("student", "IBM", OPEN).unlink()
    assert shop.stale(shop.market).pairs == {("IBM", OPEN): frozenset({Cause.UNTRAINED})}


def test_a_symbol_whose_bars_cannot_be_read_is_told_apart_and_costs_no_other(shop: Shop) -> None:
    corrupt(shop.bars / "IBM.csv", line=50)
    new_days(["AAPL"]).to_csv(shop.bars / "n.csv", index=False)
    stale = shop.stale(shop.market)
    assert list(stale.pairs) == [("AAPL", OPEN)]
    assert stale.unreadable["IBM"].kind is FailureKind.CORRUPT_BARS


def test_a_pair_that_reads_a_bad_row_is_not_stale_and_the_others_of_its_symbol_are_as_they_were(shop: Shop) -> None:
    table = pd.read_csv(shop.bars / "IBM.csv")
    line = 2 + int((table["date"] < WINDOWS[0]).sum()) + 20
    spoil(shop.bars / "IBM.csv", line)
    market = shop.market
    stale = shop.stale(market)
    assert list(stale.pairs) == []
    assert f"IBM.csv, row {line}: IBM: close is not positive" in str(stale.unreadable["IBM"])
    assert [bool(pair.spoiled) for pair in market.plan("IBM").pairs][:2] == [True, False]


def test_only_the_symbols_that_are_asked_for_are_looked_at(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert list(shop.stale(shop.market, symbols=["IBM"]).pairs) == [("IBM", window) for window in WINDOWS[:2]]


def test_a_permanent_failure_is_not_stale_before_its_data_change(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    market = shop.market
    flat = history("GOOG")
    flat = flat[flat["date"] <= "2009-11-16"]
    # All labels are 0 where no price moves.
    flat.loc[flat["date"] >= "2009-01-01", ["open", "high", "low", "close", "adj_close"]] = 100.0
    flat.to_csv(shop.bars / "GOOG.csv", index=False)
    shop.train(market, "first")
    failed = data_that_failed(shop.telemetry, "four")
    assert set(failed) == {("teacher", "GOOG", window) for window in WINDOWS[:2]}
    assert shop.stale(market).by(Cause.UNTRAINED) == [("GOOG", window) for window in WINDOWS[:2]]
    assert shop.stale(market, failed=failed) == Staleness()

    again = shop.market
    pd.concat([flat, flat.tail(1).assign(date="2009-11-17")]).to_csv(shop.bars / "GOOG.csv", index=False)
    assert list(shop.stale(again, failed=failed).pairs) == [("GOOG", OPEN)]
