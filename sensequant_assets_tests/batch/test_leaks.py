"""Claims about the leak probes on a market, as they are asked of a batch."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensequant_assets.batch.leaks import probe
from sensequant_assets.core import hurdles, lattice, providers, samples
from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.features import FEATURE_NAMES, causal_features
from sensequant_assets.core.judging.leaks import Finding, summary
from sensequant_assets.core.labels import forward_returns
from sensequant_assets.core.parameters import Scope, StudentParameters, TeacherParameters
from sensequant_assets.core.pool import PoolRows
from sensequant_assets.market import market as market_module
from sensequant_assets.market.market import Market
from sensequant_assets.settings import MarketSettings
from sensequant_assets_tests.running import sample_bars, write_universe

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
WINDOWS = ("2009-01-01", "2009-06-30")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> MarketSettings:
    directory = tmp_path_factory.mktemp("leaks")
    bars = sample_bars(directory / "bars", SYMBOLS)
    return MarketSettings(
        universe=write_universe(directory / "four.csv", SYMBOLS), bars=str(bars), end=date(2010, 6, 25)
    )


def found_in(settings: MarketSettings, scope: Scope, **teacher: Any) -> dict[str, Finding]:
    parameters = TeacherParameters(scope=scope, n_estimators=10, min_child_samples=4, **teacher)
    market = Market.open(settings, parameters, StudentParameters(scope=scope, min_child_samples=4))
    return {one.name: one for one in probe(market, WINDOWS, 5)}


@pytest.mark.parametrize("scope", ["symbol", "pool"])
@pytest.mark.parametrize("stopping", [0, 5])
def test_a_market_without_leaks_passes_every_error_probe(settings: MarketSettings, scope: Scope, stopping: int) -> None:
    found = found_in(settings, scope, early_stopping_rounds=stopping)

    assert len(found) == (8 if scope == "symbol" else 9)
    for one in found.values():
        assert one.passed or one.severity == "warning", one.message
        assert one.evidence["rows"] > 300


@pytest.mark.parametrize(("label", "columns"), [("volatility_neutral", 1), ("cross_sectional", 0)])
def test_a_market_of_other_labels_passes_every_error_probe(settings: MarketSettings, label: str, columns: int) -> None:
    found = found_in(settings.model_copy(update={"label": label}), "symbol")

    for one in found.values():
        assert one.passed or one.severity == "warning", one.message
    # What volatility makes of the horizon is known at the bar, as features are.
    assert found["features_know_no_future"].evidence["features"] == len(FEATURE_NAMES) + columns


def test_a_label_whose_volatility_is_not_known_at_the_bar_is_an_error(
    settings: MarketSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hurdles.trailing_volatility
    monkeypatch.setattr(hurdles, "trailing_volatility", lambda close: np.append(known(close)[1:], np.nan))
    found = found_in(settings.model_copy(update={"label": "volatility_neutral"}), "symbol")
    assert found["features_know_no_future"].message.startswith("hurdle changes with bars that come later.")


def test_a_comparison_with_all_moments_of_the_universe_is_an_error(
    settings: MarketSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hurdles, "_numbered", lambda begins, ends: np.zeros(len(begins), np.int64))
    found = found_in(settings.model_copy(update={"label": "cross_sectional"}), "symbol")
    assert not found["labels_keep_their_horizon"].passed


def leaky_features(bars: Bars, listed_since: date | None) -> Floats:
    table = causal_features(bars, listed_since)
    table[:, 0] = np.append(table[1:, 0], np.nan)
    return table


def longer_returns(close: Floats, horizon: int) -> Floats:
    return forward_returns(close, horizon + 1)


def unpurged(rows: PoolRows, folds: int) -> list[tuple[Any, Any]]:
    left_out = [np.flatnonzero(np.isin(rows.time, each)) for each in np.array_split(np.unique(rows.time), folds)]
    return [(np.setdiff1d(np.arange(len(rows.time)), each), each) for each in left_out]


def with_test_rows(*arguments: Any) -> lattice.WindowRows:
    rows = window_rows(*arguments)
    return replace(rows, train=np.concatenate([rows.train, rows.test[:30]]))


def stopping_by_test_rows(*arguments: Any) -> lattice.WindowRows:
    rows = window_rows(*arguments)
    return replace(rows, valid=rows.test)


window_rows = lattice.window_rows

LEAKS: list[tuple[str, list[tuple[object, str]], Callable[..., Any]]] = [
    ("features_know_no_future", [(providers, "causal_features")], leaky_features),
    ("labels_keep_their_horizon", [(samples, "forward_returns")], longer_returns),
    ("folds_share_no_bar", [(PoolRows, "folds")], unpurged),
    ("test_rows_share_no_bar", [(m, "window_rows") for m in (market_module, lattice)], with_test_rows),
    ("pool_has_no_test_row", [(m, "window_rows") for m in (market_module, lattice)], with_test_rows),
    ("early_stopping_sees_no_test_row", [(m, "window_rows") for m in (market_module, lattice)], stopping_by_test_rows),
]


@pytest.mark.parametrize(("name", "places", "planted"), LEAKS, ids=[each[0] for each in LEAKS])
def test_a_leak_in_the_code_that_trains_is_an_error_of_its_probe(
    settings: MarketSettings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    places: list[tuple[object, str]],
    planted: Callable[..., Any],
) -> None:
    for place, function in places:
        monkeypatch.setattr(place, function, planted)

    found = found_in(settings, "pool")

    assert not found[name].passed
    assert found[name].severity == "error"
    assert any(said.startswith(f"Leak probe {name}, error: ") for said in summary(list(found.values())))


def test_a_leaking_feature_is_called_by_its_name(settings: MarketSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "causal_features", leaky_features)
    assert found_in(settings, "symbol")["features_know_no_future"].message.startswith(f"{FEATURE_NAMES[0]} changes ")


def test_a_symbol_without_bars_and_one_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    bars = sample_bars(tmp_path / "bars", ("AAPL", "IBM"))
    (bars / "AAA.csv").write_text("date,open,high,low,close,volume\n")
    intraday = [
        f"{date(2009, 1, 5) + timedelta(days=day)} {9 + hour:02d}:15:00,10,11,9,{10 + hour % 2},100"
        for day in range(120)
        for hour in range(7)
    ]
    (bars / "BBB.csv").write_text("\n".join(["date,open,high,low,close,volume", *intraday]))
    universe = write_universe(tmp_path / "mixed.csv", ("AAA", "BBB", "AAPL", "IBM"))

    found = found_in(MarketSettings(universe=universe, bars=str(bars), horizon=3, end=date(2010, 6, 25)), "symbol")

    features = found["features_know_no_future"]
    assert features.passed, features.message
    assert (features.evidence["symbols"], features.evidence["features"]) == (2, len(FEATURE_NAMES))
    assert all(one.passed or one.severity == "warning" for one in found.values())


def test_a_market_without_usable_bars_says_that_nothing_was_looked_at(tmp_path: Path) -> None:
    settings = MarketSettings(
        universe=write_universe(tmp_path / "none.csv", ("NONE",)), bars=str(tmp_path), end=date(2010, 6, 25)
    )
    market = Market.open(settings, TeacherParameters(), StudentParameters())
    assert summary(probe(market, WINDOWS, 5)) == ["No symbol has rows in which to look for leaks."]
