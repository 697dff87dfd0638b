"""Claims about mirrored markets, and the band that models trained on them give."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.judging.leaks import some_bars
from sensequant_assets.core.judging.noise import (
    FEWEST_WINDOWS,
    WIDER,
    Band,
    Noise,
    WindowScore,
    mirrored,
    noise_lines,
)
from sensequant_assets_tests.making import bars_of, random_walk

BARS = replace(random_walk(400, 3, drift=0.01), open=random_walk(400, 3, drift=0.01).open * 1.004)


def moves(bars: Bars) -> Floats:
    return np.diff(np.log(bars.close))


def test_a_mirrored_market_keeps_the_size_of_every_move_and_its_volume_and_turns_half_of_them_round() -> None:
    twin = mirrored(BARS, 1)
    assert np.abs(moves(twin)) == pytest.approx(np.abs(moves(BARS)))
    turned = np.sign(moves(twin)) != np.sign(moves(BARS))
    assert 0.4 < turned.mean() < 0.6
    assert (twin.volume == BARS.volume).all()
    assert (twin.time == BARS.time).all()
    # A drift of a hundredth a bar is four in all.
    assert abs(moves(BARS).sum()) > 3
    assert abs(moves(twin).sum()) < 1.2


def test_a_mirrored_bar_is_a_bar_whose_high_is_as_far_up_as_its_low_was_down() -> None:
    twin = mirrored(BARS, 1)
    assert (twin.high >= np.maximum(twin.open, twin.close)).all()
    assert (twin.low <= np.minimum(twin.open, twin.close)).all()
    turned = np.flatnonzero(np.sign(moves(twin)) != np.sign(moves(BARS))) + 1
    up = np.log(twin.high[turned] / twin.close[turned - 1])
    assert up == pytest.approx(-np.log(BARS.low[turned] / BARS.close[turned - 1]))


def test_all_symbols_of_a_time_share_its_coin_and_later_bars_change_none() -> None:
    other = replace(random_walk(400, 9), symbol="BBB")
    mine, theirs = (np.sign(moves(mirrored(one, 5))) * np.sign(moves(one)) for one in (BARS, other))
    assert (mine == theirs).all()
    assert (mirrored(some_bars(BARS, slice(300)), 5).close == mirrored(BARS, 5).close[:300]).all()
    assert (mirrored(BARS, 5).close != mirrored(BARS, 6).close).any()
    assert len(mirrored(Bars.empty("AAA"), 5)) == 0


def test_what_moves_know_of_those_before_them_is_gone_in_the_twin() -> None:
    rng = np.random.default_rng(4)
    steps = rng.normal(0, 0.02, 3000)
    for place in range(1, len(steps)):
        steps[place] += 0.5 * steps[place - 1]
    trending = bars_of(100 * np.exp(np.cumsum(steps)))

    def known(bars: Bars) -> float:
        return float(np.corrcoef(moves(bars)[1:], moves(bars)[:-1])[0, 1])

    assert known(trending) > 0.4
    assert abs(known(mirrored(trending, 2))) < 0.06


def overlapping(rng: np.random.Generator, rows: int, horizon: int) -> Floats:
    steps = rng.normal(size=rows + horizon)
    return np.convolve(steps, np.ones(horizon), "valid")[1:]


def test_a_slow_score_of_overlapping_labels_strays_as_far_as_its_window_says() -> None:
    rng = np.random.default_rng(8)
    found = []
    for _ in range(400):
        ahead = overlapping(rng, 200, 7)
        said = overlapping(rng, 200, 15)
        score = WindowScore.of((ahead > 0).astype(float), said, ahead, np.arange(200), 7)
        found.append((score.deviations["auc"], score.deviations["rank_ic"], (score.auc - 0.5) * math.sqrt(12 * 50)))
    auc, rank_ic, plain = np.std(found, axis=0)
    assert 0.85 < auc < 1.1
    assert 0.85 < rank_ic < 1.1
    # As if rows were independent, chance were more than twice as wide as said.
    assert plain > 2


def test_a_window_of_one_class_or_of_a_constant_has_no_deviation_and_is_not_counted() -> None:
    ahead, rows = np.linspace(-1, 1, 30), np.arange(30)
    one_class = WindowScore.of(np.ones(30), ahead, ahead, rows, 7)
    constant = WindowScore.of((ahead > 0).astype(float), np.full(30, 0.4), ahead, rows, 7)
    empty = WindowScore.of(ahead[:0], ahead[:0], ahead[:0], rows[:0], 7)
    assert math.isnan(one_class.deviations["auc"])
    assert math.isnan(constant.deviations["auc"])
    band = Band(-2.0, 2.0, 500)
    assert band.outside([one_class, constant, empty], "auc").windows == 0
    assert math.isnan(band.outside([], "auc").share)
    assert all(math.isnan(end) for end in band.of(constant, "auc"))


def test_a_band_is_of_each_windows_own_width_and_counts_both_sides() -> None:
    def scored(auc: float, rows: int, design_effect: float = 1.0) -> WindowScore:
        return WindowScore(auc, 0.0, rows // 2, rows // 2, design_effect)

    band = Band(-1.0, 2.0, 768)
    # Of 14 against 14 the standard deviation is 0.111, four times as wide with a design effect of 16.
    assert band.of(scored(0.6, 28), "auc") == pytest.approx((0.389, 0.722), abs=1e-3)
    assert band.of(scored(0.6, 28, 16.0), "auc") == pytest.approx((0.056, 1.0), abs=1e-3)
    assert band.of(scored(0.6, 101), "rank_ic") == pytest.approx((-0.1005, 0.201), abs=1e-3)
    found = band.outside([scored(0.73, 28), scored(0.71, 28), scored(0.38, 28), scored(0.73, 28, 4.0)], "auc")
    assert (found.windows, found.above, found.below, found.share) == (4, 1, 1, 0.5)


def test_the_band_is_somewhat_wider_than_all_but_a_twentieth_of_the_twins_windows_and_stands_on_enough() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 2000).tolist()
    noise = Noise.of({"teacher": {"auc": [*values, math.nan], "rank_ic": values[: FEWEST_WINDOWS - 1]}}, 4)
    assert noise is not None
    band = noise.band("teacher")
    assert band is not None
    assert band.windows == 2000
    low, high = np.quantile(values, [0.025, 0.975])
    assert band.high - band.low == pytest.approx(WIDER * (high - low))
    assert band.high + band.low == pytest.approx(high + low)
    assert noise.band("teacher", "rank_ic") is None
    assert noise.band("student") is None
    assert Noise.of({"teacher": {"auc": []}}, 4) is None


def test_what_is_said_of_windows_names_how_many_there_are_and_what_the_band_stands_on() -> None:
    noise = Noise({"teacher": {"auc": Band(-2.0, 2.0, 768)}}, 4)
    inside, above = WindowScore(0.5, 0.0, 50, 50, 1.0), WindowScore(0.9, 0.0, 50, 50, 1.0)
    outside = noise.outside({"teacher": [inside, inside, inside, above], "student": [inside]})
    first, last = noise_lines(noise, outside)
    assert first == "Noise band, AUC of a window: 1 of 4 teachers outside (25.0%; 1 above, 0 below)."
    assert "768 windows of the noise twin" in last
    assert noise.as_json("teacher", outside) == {
        "windows": 4,
        "windows_outside_band": 1,
        "windows_above_band": 1,
        "band_low_sd": -2.0,
        "band_high_sd": 2.0,
        "band_windows": 768,
        "band_twins": 4,
    }
    assert noise.as_json("base_rate", outside) == {}


def test_what_a_record_keeps_of_a_window_is_read_and_what_it_lacks_is_unknown() -> None:
    told = {"test_auc": 0.6, "test_base_rate": 0.25, "test_rank_ic": 0.1, "test_design_effect": 2.0}
    assert WindowScore.of_metrics(told, 80) == WindowScore(0.6, 0.1, 20, 60, 2.0)
    found = WindowScore.of_metrics({"test_auc": 0.6, "test_base_rate": 0.25, "test_rank_ic": None}, 80)
    assert found is not None
    assert math.isnan(found.rank_ic)
    assert math.isnan(found.sd("auc"))
    for lacking in (told | {"test_auc": None}, {"test_base_rate": 0.25}, {}):
        assert WindowScore.of_metrics(lacking, 80) is None
    assert WindowScore.of_metrics(told, 0) is None
