"""Claims about what choosing costs, by hand."""

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import resample
from sensequant_assets.core.judging.selection import overfitting, ratio, sharpe

PHI = NormalDist().cdf


def test_sharpe_ratios_are_those_of_bailey_and_lopez_de_prado_by_hand() -> None:
    # Mean .01 and deviation .02; no skew, and a kurtosis of 1, which is .2 without the bias of eight values.
    daily = np.tile([-0.01, 0.03], 4)
    found = sharpe(daily, resample(8, 1), trials=10, others=[0.0, 0.1 * sqrt(2)])
    assert found.ratio.value == pytest.approx(0.5)
    assert (found.periods, found.trials) == (8, 10)
    error = sqrt(1 + (0.2 - 1) / 4 * 0.25)
    assert found.probabilistic == pytest.approx(PHI(0.5 * sqrt(7) / error), abs=1e-9)
    # The best of ten with a deviation of .1: .42278 of the quantile of .9, and .57722 of that of 1 - 1 / 10e.
    luck = 0.1 * (0.4227843 * 1.2815516 + 0.5772157 * 1.7893080)
    assert found.spread == pytest.approx(0.1)
    assert found.deflated == pytest.approx(PHI((0.5 - luck) * sqrt(7) / error), abs=1e-5)


def test_the_more_were_tried_the_less_the_same_ratio_is_worth() -> None:
    daily = np.random.default_rng(1).normal(0.002, 0.02, 400)
    drawn = resample(400, 4)
    few, many = (sharpe(daily, drawn, trials, [0.0, 0.1]) for trials in (2, 200))
    assert few.probabilistic == many.probabilistic > few.deflated > many.deflated
    assert few.ratio.low < few.ratio.value < few.ratio.high
    # Every fourth date: returns over four dates that do not overlap.
    assert few.periods == 100


def test_periods_that_overlap_are_not_counted_as_more() -> None:
    rng = np.random.default_rng(2)
    steps = rng.normal(0.001, 0.01, 1200)
    overlapping = np.convolve(steps, np.ones(5), "valid")
    found = sharpe(overlapping, resample(len(overlapping), 5), 1, [])
    alone = sharpe(steps[:-4].reshape(-1, 4).sum(axis=1), resample(299, 1), 1, [])
    assert found.periods == 239
    assert found.probabilistic == pytest.approx(alone.probabilistic, abs=0.1)
    assert np.isnan(found.deflated)


@pytest.mark.parametrize("daily", [np.full(50, 0.01), np.full(50, np.nan), np.append(np.full(49, np.nan), 0.3)])
def test_a_series_that_does_not_vary_has_no_ratio(daily: Floats) -> None:
    found = sharpe(daily, resample(50, 1), 3, [0.1, 0.2])
    assert np.isnan([found.ratio.value, found.probabilistic, found.deflated]).all()
    assert np.isnan(ratio(daily))


def blocks(means: list[float]) -> Floats:
    """Four periods a block about its mean."""
    return np.concatenate([mean + np.array([-0.01, 0.01, -0.01, 0.01]) for mean in means])


def test_overfitting_is_the_share_of_the_splits_whose_winner_loses_by_hand() -> None:
    # Eight blocks of 1 and two of -3, beside the same turned round. With both or none of the two on the side that
    # chooses, its winner loses: 56 + 56 of 252 ways; with one of them on each side it wins.
    one = blocks([1, 1, 1, -3, 1, 1, 1, 1, -3, 1])
    found = overfitting([one, -one], 1)
    assert found is not None
    assert (found.trials, found.periods, found.splits) == (2, 40, 252)
    assert found.probability == pytest.approx(112 / 252)


def test_who_is_always_best_is_never_overfitted_and_who_makes_good_what_it_lost_always_is() -> None:
    best = overfitting([blocks([1] * 10), blocks([0] * 10), blocks([-1] * 10)], 1)
    zero = blocks([1, 2, 3, 4, 5, 6, 7, 8, 9, -45])
    worst = overfitting([zero, -zero], 1)
    assert best is not None
    assert worst is not None
    assert (best.probability, worst.probability) == (0.0, 1.0)


def test_one_trial_or_few_periods_are_no_choice() -> None:
    daily = np.random.default_rng(3).normal(size=200)
    assert overfitting([daily], 1) is None
    assert overfitting([daily, -daily], 6) is None
    # The periods are those that all of them have.
    assert overfitting([daily, np.where(np.arange(200) < 170, np.nan, daily)], 1) is None
