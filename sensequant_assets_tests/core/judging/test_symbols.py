"""Claims about symbols: which of many have skill once all are considered, and whether an AUC persists."""

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging import metrics
from sensequant_assets.core.judging.symbols import BySymbol, discoveries, judge_symbols, persistence
from sensequant_assets.core.judging.walk_forward import Forecast, Rows, judge_forecasts


def rows_of(symbols: int, days: int, seed: int, *, windows: int = 1, horizon: int = 3) -> Rows:
    """Overlapping returns that nothing knows, their signs as labels."""
    rng = np.random.default_rng(seed)
    daily = np.cumsum(rng.normal(size=(days + horizon, symbols)), axis=0)
    ahead = (daily[horizon:] - daily[:-horizon]).ravel()
    return Rows(
        time=np.repeat(np.datetime64("2024-01-01", "s") + np.arange(days) * np.timedelta64(1, "D"), symbols),
        symbol=np.tile(np.arange(symbols), days),
        window=np.repeat(np.arange(days) * windows // days, symbols),
        label=(ahead > 0).astype(np.float64),
        forward_return=ahead,
        training_rate=np.full(days * symbols, 0.5),
        horizon=horizon,
    )


def judged(rows: Rows, raw: Floats) -> BySymbol:
    forecast = Forecast("teacher", raw, None)
    return judge_symbols(rows, forecast, judge_forecasts(rows, [forecast], cost_bp=0))


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    # The example of their paper (1995): fifteen p-values; the fourth is the last below its rank of 15 times .05.
    p = np.array([
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
        1.0,
    ])  # fmt: skip
    assert discoveries(p).tolist() == [True] * 4 + [False] * 11
    # Bonferroni would leave three; what is not tested counts as no hypothesis.
    assert (p <= 0.05 / 15).sum() == 3
    assert discoveries(np.append(p, np.nan)).tolist() == [True] * 4 + [False] * 12
    assert not discoveries(np.array([np.nan, np.nan])).any()


def test_of_many_symbols_without_skill_hardly_one_stays_and_a_planted_one_does() -> None:
    rows = rows_of(60, 200, 1)
    raw = np.random.default_rng(2).normal(size=len(rows))
    noise = judged(rows, raw)
    p = np.array([each.ic.p for each in noise.skills])
    assert noise.judged == 60
    # One at a time, some are below .05 by luck.
    assert 0 < (p < 0.05).mean() < 0.15
    assert len(noise.stay) == 0
    planted = judged(rows, np.where(rows.symbol == 7, rows.forward_return + 3 * raw, raw))
    assert [each.symbol for each in planted.stay] == [7]
    assert planted.stay[0].auc.low > 0.5
    assert planted.stay[0].ic.estimate.low > 0


def test_a_symbol_has_the_auc_and_the_rows_of_its_own() -> None:
    rows = rows_of(4, 80, 3)
    raw = np.random.default_rng(4).normal(size=len(rows)).round(1)
    # Two thirds of the last symbol's rows say nothing.
    raw[(rows.symbol == 3) & (rows.time > rows.time[26 * 4])] = np.nan
    found = judged(rows, raw)
    for each in found.skills:
        own = (rows.symbol == each.symbol) & ~np.isnan(raw)
        assert each.auc.value == pytest.approx(metrics.auc(rows.label[own], raw[own]))
        assert each.ic.estimate.value == pytest.approx(metrics.rank_ic(raw[own], rows.forward_return[own]))
        assert each.rows == each.dates == own.sum()
        # Of three blocks one draw or another lacks a class.
        assert each.symbol == 3 or each.auc.low < each.auc.value < each.auc.high
    assert [each.blocks for each in found.skills] == [8, 8, 8, 3]
    told = found.as_json(["A", "B", "C", "D"])
    assert [row["symbol"] for row in told["by_symbol"]] == ["A", "B", "C", "D"]
    assert told["by_symbol"][3]["auc"]["value"] == found.skills[3].auc.value


def test_the_interval_of_a_symbols_auc_covers_what_nobody_can_know() -> None:
    rows = rows_of(150, 150, 5)
    found = judged(rows, np.random.default_rng(6).normal(size=len(rows)))
    covered = np.mean([each.auc.low <= 0.5 <= each.auc.high for each in found.skills])
    assert 0.9 <= covered <= 1.0


def test_a_symbol_of_one_class_or_few_dates_has_no_answer_and_its_neighbours_have() -> None:
    rows = rows_of(3, 60, 7)
    label = np.where(rows.symbol == 0, 1.0, rows.label)
    rows = Rows(rows.time, rows.symbol, rows.window, label, rows.forward_return, rows.training_rate, rows.horizon)
    raw = np.random.default_rng(8).normal(size=len(rows))
    raw[(rows.symbol == 1) & (rows.time > rows.time[10 * 3])] = np.nan
    one, few, other = judged(rows, raw).skills
    assert np.isnan(one.auc.value)
    assert np.isfinite(one.ic.p)
    assert (few.blocks, np.isnan(few.ic.p), np.isnan(few.auc.low)) == (1, True, True)
    assert np.isfinite([other.auc.low, other.ic.p]).all()


def test_an_auc_that_stays_with_its_symbol_is_told_from_luck() -> None:
    rows = rows_of(40, 400, 9, windows=8)
    noise = np.random.default_rng(10).normal(size=len(rows))
    luck = persistence(rows, noise)
    assert (luck.pairs, luck.symbols) == (40 * 7, 40)
    assert luck.correlation.low < 0 < luck.correlation.high
    # Half of the symbols are known in all windows, and what all have in a window alike is no persistence.
    knows = np.where(rows.symbol < 20, rows.forward_return, 0.0) + noise
    assert persistence(rows, knows).correlation.low > 0.3
    together = np.where(rows.window % 2 == 0, rows.forward_return, 0.0) + noise
    assert abs(persistence(rows, together).correlation.value) < 0.25


def test_one_window_has_no_next() -> None:
    rows = rows_of(5, 40, 11)
    found = persistence(rows, np.random.default_rng(12).normal(size=len(rows)))
    assert (found.pairs, found.symbols) == (0, 0)
    assert np.isnan(found.correlation.value)
