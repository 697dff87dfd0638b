"""Claims about intervals over dates."""

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import Resampling, resample
from sensequant_assets.core.judging.sums import mean_of_dates

HORIZON = 7


def overlapping(rng: np.random.Generator, dates: int) -> Floats:
    """Daily values of mean 0 that share what they look ahead to, as daily rank ICs of overlapping labels do."""
    return np.convolve(rng.normal(size=dates + HORIZON - 1), np.ones(HORIZON) / np.sqrt(HORIZON), "valid")


@pytest.mark.parametrize("dates", [126, 504])
def test_an_interval_of_overlapping_labels_covers_the_truth_as_often_as_it_says(dates: int) -> None:
    rng, tries = np.random.default_rng(dates), 400
    drawn = resample(dates, HORIZON, draws=300)
    assert drawn.block == 21
    covered = bare = 0
    for _ in range(tries):
        values = overlapping(rng, dates)
        found = drawn.estimate(mean_of_dates(values))
        covered += found.low <= 0 <= found.high
        low, high = np.quantile(drawn.weights @ values / dates, [0.025, 0.975])
        bare += low <= 0 <= high
    assert 0.92 <= covered / tries <= 0.98
    # Without the widening it promises what it does not keep.
    assert bare < covered


def test_every_draw_has_as_many_dates_as_there_are_in_whole_blocks_that_go_round() -> None:
    drawn = resample(100, 5, draws=50)
    assert (drawn.block, drawn.blocks) == (15, 6)
    assert set(drawn.weights.sum(axis=1)) == {100.0}
    assert np.array_equal(drawn.weights, resample(100, 5, draws=50).weights)
    # Each date is drawn as often as any other: none stands at an edge.
    assert drawn.weights.mean(axis=0).std() < 0.3


def test_what_persists_longer_than_the_labels_overlap_is_drawn_in_longer_blocks() -> None:
    rng = np.random.default_rng(3)
    slow = np.convolve(rng.normal(size=900), np.ones(60), "valid")
    assert resample(800, 2, [slow[:800]], draws=2).block > 20
    assert resample(800, 2, [rng.normal(size=800)], draws=2).block <= 10
    assert resample(800, 2, [np.full(800, 0.1), np.full(800, np.nan)], draws=2).block == 6


@pytest.mark.parametrize("dates", [0, 1, 5, 41])
def test_fewer_dates_than_two_blocks_have_a_value_and_no_interval(dates: int) -> None:
    values = np.arange(dates, dtype=np.float64)
    found = resample(dates, HORIZON).estimate(mean_of_dates(values))
    assert np.isnan([found.low, found.high]).all()
    assert found.value == (dates - 1) / 2 if dates else np.isnan(found.value)


def test_an_interval_lies_about_the_exact_value_where_the_statistic_is_only_near_it() -> None:
    values = np.random.default_rng(5).normal(size=210)
    drawn = resample(210, HORIZON)
    near, exact = drawn.estimate(mean_of_dates(values)), drawn.estimate(mean_of_dates(values), 0.25)
    assert exact.value == 0.25
    assert exact.low - exact.value == pytest.approx(near.low - near.value)
    assert exact.high - exact.value == pytest.approx(near.high - near.value)


def test_percentiles_are_widened_by_students_quantile_for_so_many_blocks_and_by_the_overlap_that_blocks_cut() -> None:
    drawn = Resampling(210, 21, 7, np.ones((1, 210)))
    # Quantile .975 of t with 9 degrees of freedom over that of the normal; 10 blocks; 48 / 441 of the variance.
    assert drawn.widening == pytest.approx(2.262157 / 1.959964 * np.sqrt(10 / 9) / np.sqrt(1 - 48 / 441), abs=1e-6)
    assert Resampling(2100, 21, 1, np.ones((1, 2100))).widening == pytest.approx(1.0171, abs=1e-3)
