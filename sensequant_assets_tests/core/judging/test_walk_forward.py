"""Claims about what forecasts are worth, by hand on two dates of three symbols, and on markets with a known answer."""

from math import log

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.walk_forward import (
    METRICS,
    Forecast,
    Judgement,
    Rows,
    Score,
    judge_forecasts,
)

RAW = np.array([0.9, 0.6, 0.2, 0.8, 0.4, 0.3])
AHEAD = np.array([0.03, 0.01, -0.02, -0.01, 0.02, 0.0])
LABEL = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


def rows_of(label: Floats, ahead: Floats, symbols: int, *, rate: float = 0.25, horizon: int = 1) -> Rows:
    """Rows of so many symbols a day, day by day."""
    days = len(label) // symbols
    start = np.datetime64("2024-01-01", "s")
    return Rows(
        time=np.repeat(start + np.arange(days) * np.timedelta64(1, "D"), symbols),
        symbol=np.tile(np.arange(symbols), days),
        window=np.zeros(len(label), dtype=np.int64),
        label=label,
        forward_return=ahead,
        training_rate=np.full(len(label), rate),
        horizon=horizon,
    )


def judged(*forecasts: Forecast, rows: Rows | None = None, cost_bp: float = 25) -> Judgement:
    return judge_forecasts(rows or rows_of(LABEL, AHEAD, 3), forecasts, cost_bp=cost_bp)


@pytest.fixture(scope="module")
def score() -> Score:
    (found,) = judged(Forecast("teacher", RAW, RAW)).scores
    return found


LOG_LOSS = -(log(0.9) + log(0.4) + log(0.8) + log(0.2) + log(0.4) + log(0.7)) / 6
BY_HAND = {
    # .9 lies above all four zeros, .4 above two of them.
    "auc": 6 / 8,
    # 1 on the first date; on the second 1 - 6 * (4 + 1 + 1) / (3 * 8).
    "rank_ic": (1 - 0.5) / 2,
    "icir": 0.25 / 0.75,
    # The symbols' own: 1, -1 and 1.
    "time_series_ic": 1 / 3,
    "log_loss": LOG_LOSS,
    "log_loss_over_base_rate": LOG_LOSS + (2 * log(0.25) + 4 * log(0.75)) / 6,
    "brier": (0.01 + 0.36 + 0.04 + 0.64 + 0.36 + 0.09) / 6,
    "brier_over_base_rate": 1.5 / 6 - (2 * 0.5625 + 4 * 0.0625) / 6,
    "ece": (0.1 + 0.6 + 0.2 + 0.8 + 0.6 + 0.3) / 6,
    "accuracy": 3 / 6,
    # The training rate says 0, and four of six are.
    "majority_accuracy": 4 / 6,
    "accuracy_over_majority": -1 / 6,
    "called": 3 / 6,
    "precision": 1 / 3,
    # The first symbol on both dates, above a mean of .02 / 3 and of .01 / 3.
    "top_return": ((0.03 - 0.02 / 3) + (-0.01 - 0.01 / 3)) / 2,
    "turnover": 0.0,
    # Of the second date alone: what is bought on the first one replaces nothing that is known.
    "top_return_net": -0.01 - 0.01 / 3,
}


@pytest.mark.parametrize("metric", BY_HAND)
def test_a_metric_is_what_a_hand_computes(score: Score, metric: str) -> None:
    assert score[metric].value == pytest.approx(BY_HAND[metric], abs=1e-12)


def test_a_score_has_its_rows_and_dates_and_no_interval_of_two_dates(score: Score) -> None:
    assert (score.rows, score.dates, score.blocks) == (6, 2, 1)
    assert all(np.isnan([score[metric].low, score[metric].high]).all() for metric in METRICS)


def test_the_reliability_table_has_the_bins_that_have_rows(score: Score) -> None:
    assert [(one.low, one.high, one.rows) for one in score.reliability] == [
        (low, round(low + 0.1, 1), 1) for low in (0.2, 0.3, 0.4, 0.6, 0.8, 0.9)
    ]
    assert [one.happened for one in score.reliability] == [0, 0, 1, 0, 0, 1]
    assert [one.said for one in score.reliability] == sorted(RAW)


def test_fidelity_is_against_the_teacher_on_rows_of_both_with_chance_taken_out() -> None:
    student = np.array([0.7, 0.5, 0.1, 0.2, 0.6, 0.3])
    _, found = judged(Forecast("teacher", RAW, RAW), Forecast("student", student, student, follows="teacher")).scores
    assert found["fidelity_kappa"].value == pytest.approx(8 / 14)
    assert found["fidelity_spearman"].value == pytest.approx(1 - 6 * 14 / (6 * 35))
    assert found["fidelity_spearman_by_date"].value == pytest.approx((1 - 0.5) / 2)
    silent = np.where(np.arange(6) < 3, RAW, np.nan)
    _, half = judged(
        Forecast("teacher", silent, silent), Forecast("student", student, student, follows="teacher")
    ).scores
    assert half["fidelity_spearman_by_date"].value == pytest.approx(1.0)
    assert half.rows == 6


def test_losses_are_of_the_served_probability_and_ranks_of_the_raw_one() -> None:
    served = np.full(6, 0.25)
    (found,) = judged(Forecast("teacher", RAW, served)).scores
    assert found["auc"].value == BY_HAND["auc"]
    assert found["rank_ic"].value == pytest.approx(BY_HAND["rank_ic"])
    assert found["brier_over_base_rate"].value == found["log_loss_over_base_rate"].value == 0.0
    assert np.isnan(found["precision"].value)


def test_an_order_that_is_no_probability_has_ranks_and_no_losses() -> None:
    (found,) = judged(Forecast("minus_return_5", -AHEAD)).scores
    assert found["rank_ic"].value == pytest.approx(-1.0)
    for metric in ("log_loss", "brier", "ece", "accuracy", "precision"):
        assert np.isnan(found[metric].value)
    assert found.reliability == ()


def test_what_says_the_same_of_every_row_ranks_none() -> None:
    (found,) = judged(Forecast("base_rate", np.full(6, 0.25), np.full(6, 0.25))).scores
    for metric in ("auc", "rank_ic", "icir", "time_series_ic", "top_return", "turnover", "top_return_net"):
        assert np.isnan(found[metric].value), metric
    assert found["log_loss_over_base_rate"].value == 0.0


def test_a_forecast_that_says_nothing_is_empty_and_leaves_its_neighbours_alone(score: Score) -> None:
    mute, other = judged(Forecast("persistence", np.full(6, np.nan)), Forecast("teacher", RAW, RAW)).scores
    assert (mute.rows, mute.dates, mute.blocks) == (0, 0, 0)
    assert all(value is None for name, value in mute.as_json().items() if name in METRICS)
    # As JSON, because no number is not equal to itself.
    assert other.as_json()["auc"] == score.as_json()["auc"]


def test_two_symbols_are_no_cross_section() -> None:
    rows = rows_of(LABEL, AHEAD, 2)
    (found,) = judged(Forecast("teacher", RAW, RAW), rows=rows).scores
    assert np.isnan(found["rank_ic"].value)
    assert np.isnan(found["top_return"].value)
    assert found["auc"].value == BY_HAND["auc"]


def test_costs_are_taken_of_the_share_of_the_top_decile_that_a_horizon_later_is_replaced() -> None:
    # Two of twenty are held: on the second day one of them is another, on the third both.
    first, second, third = (np.zeros(20) for _ in range(3))
    first[[0, 1]], second[[0, 2]], third[[3, 4]] = (2, 1), (2, 1), (2, 1)
    rows = rows_of(np.zeros(60), np.zeros(60), 20)
    (found,) = judged(Forecast("teacher", np.concatenate([first, second, third])), rows=rows, cost_bp=100).scores
    assert found["turnover"].value == pytest.approx((0.5 + 1.0) / 2)
    assert found["top_return_net"].value == pytest.approx(-0.01 * 0.75)


def test_symbols_that_tie_for_the_last_places_of_the_decile_share_them() -> None:
    raw = np.zeros(20)
    raw[0], raw[[1, 2, 3, 4]] = 2.0, 1.0
    ahead = np.zeros(20)
    ahead[0], ahead[1] = 0.4, 0.8
    (found,) = judged(Forecast("teacher", raw), rows=rows_of(np.zeros(20), ahead, 20)).scores
    # Half of the decile is the first symbol, an eighth each of the four that tie.
    assert found["top_return"].value == pytest.approx(0.4 / 2 + 0.8 / 8 - 1.2 / 20)


def market(edge: float, seed: int) -> tuple[Rows, Floats]:
    """Twenty symbols over 400 days, a score, and labels over seven days that know it to a degree."""
    rng, days, symbols, horizon = np.random.default_rng(seed), 400, 20, 7
    daily = rng.normal(0, 0.02, (days + horizon, symbols))
    signal = rng.normal(size=(days, symbols))
    total = np.cumsum(daily, axis=0)
    ahead = (total[horizon:] - total[:-horizon]) + edge * 0.05 * signal
    label = (ahead > 0.02).astype(np.float64)
    return rows_of(label.ravel(), ahead.ravel(), symbols, rate=0.35, horizon=horizon), signal.ravel()


def test_an_edge_is_found_and_noise_is_not() -> None:
    rows, signal = market(0.0, 1)
    noise = judged(Forecast("teacher", signal), rows=rows)
    assert (noise.block_length, noise.blocks, noise.dates) == (21, 19, 400)
    (found,) = noise.scores
    assert found["rank_ic"].low < 0 < found["rank_ic"].high
    assert found["auc"].low < 0.5 < found["auc"].high
    rows, signal = market(0.2, 1)
    (found,) = judged(Forecast("teacher", signal), rows=rows).scores
    assert 0 < found["rank_ic"].low < found["rank_ic"].value < found["rank_ic"].high < 0.4
    assert found["auc"].low > 0.5
    assert found["top_return"].low > 0
    for metric in ("auc", "rank_ic", "icir", "time_series_ic", "top_return", "turnover", "top_return_net"):
        assert found[metric].low < found[metric].value < found[metric].high, metric


def test_the_bars_of_a_day_are_resampled_together() -> None:
    rows, signal = market(0.0, 2)
    # Ten bars a day: a horizon of seven ends within one.
    start = np.datetime64("2024-01-01", "s")
    minutes = np.repeat(np.arange(400), 20)
    time = start + (minutes // 10) * np.timedelta64(1, "D") + (minutes % 10) * np.timedelta64(5, "m")
    intraday = Rows(time, rows.symbol, rows.window, rows.label, rows.forward_return, rows.training_rate, rows.horizon)
    found = judged(Forecast("teacher", signal), rows=intraday)
    assert (found.dates, found.block_length) == (40, 3)
    assert found.scores[0]["rank_ic"].value == pytest.approx(
        judged(Forecast("teacher", signal), rows=rows).scores[0]["rank_ic"].value
    )


def test_the_json_of_a_score_begins_with_what_is_asked_first_and_has_every_metric(score: Score) -> None:
    told = score.as_json()
    assert list(told)[:13] == [
        "score", "rows", "dates", "blocks", "auc", "auc_low", "auc_high", "rank_ic", "rank_ic_low", "rank_ic_high",
        "log_loss", "brier", "ece",
    ]  # fmt: skip
    assert {f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")} <= set(told)
    assert told["auc"] == BY_HAND["auc"]
    assert told["auc_low"] is None
