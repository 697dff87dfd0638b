"""Claims about live predictions: what is known of them, and when nothing is."""

from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.judging.bootstrap import UNKNOWN, Estimate
from sensequant_assets.core.judging.monitoring import (
    FEWEST_DATES,
    NOTHING,
    calibrated,
    degraded,
    drift,
    reward,
    stability,
)
from sensequant_assets.core.judging.walk_forward import Score

RNG = np.random.default_rng(5)
TRAINING = RNG.normal(size=(2000, 2))
USUAL = np.array([stability(TRAINING, TRAINING[start : start + 100]) for start in range(0, 2000, 100)])
EVIDENCE = Estimate(0.15, 0.12, 0.18)
RANK_IC, BRIER = Estimate(0.14, 0.1, 0.18), Estimate(-0.01, -0.02, 0.0)


def live(rank_ic: Estimate = RANK_IC, brier: Estimate = BRIER) -> Score:
    found = {"rank_ic": rank_ic, "brier_over_base_rate": brier, "ece": Estimate(0.01, 0.0, 0.02)}
    return Score("live", 100 * FEWEST_DATES, FEWEST_DATES, 3, found)


def test_features_like_those_of_training_have_not_drifted_and_a_shifted_one_is_named() -> None:
    recent = RNG.normal(size=(100, 2))
    assert drift(["a", "b"], TRAINING, recent, 20, USUAL).passed
    found = drift(["a", "b"], TRAINING, recent + np.array([0.0, 2.0]), 20, USUAL)
    assert not found.passed
    assert found.numbers["drifted"] == ["b"]
    assert "1 of 2 features drifted (100 rows of 20 dates against 2,000 training rows); b has" in found.said


def test_what_training_itself_did_is_no_drift() -> None:
    wild = np.concatenate([TRAINING + np.array([3.0 * (number % 2), 0.0]) for number in range(4)])
    usual = np.array([stability(wild, wild[start : start + 2000]) for start in range(0, 8000, 2000)])
    recent = RNG.normal(size=(500, 2)) + np.array([3.0, 0.0])
    assert not drift(["a", "b"], wild, recent, 20, np.empty((0, 2))).passed
    assert drift(["a", "b"], wild, recent, 20, usual).passed


@pytest.mark.parametrize(
    ("error", "passed"), [(Estimate(0.01, -0.01, 0.03), True), (Estimate(0.03, 0.01, 0.05), False), (UNKNOWN, None)]
)
def test_probabilities_are_calibrated_if_their_error_may_be_none(error: Estimate, passed: bool | None) -> None:
    assert calibrated(error, live()).passed is passed


def test_predictions_that_surely_rank_worse_than_at_promotion_are_degraded() -> None:
    assert degraded(live(), EVIDENCE).passed
    worse = degraded(live(rank_ic=Estimate(0.05, 0.0, 0.1)), EVIDENCE)
    assert worse.passed is False
    assert "surely below; at promotion it was +0.150 [+0.120, +0.180]" in worse.said
    assert degraded(live(rank_ic=Estimate(0.05, 0.0, 0.1)), UNKNOWN).passed


def test_predictions_that_surely_cost_more_than_the_rolling_rate_are_degraded() -> None:
    assert degraded(live(brier=Estimate(0.02, 0.01, 0.03)), UNKNOWN).passed is False


def test_of_few_dates_nothing_is_said() -> None:
    few = replace(live(), dates=FEWEST_DATES - 1)
    for found in (degraded(few, EVIDENCE), calibrated(Estimate(0.5, 0.4, 0.6), few), degraded(NOTHING, EVIDENCE)):
        assert found.passed is None
        assert f"{FEWEST_DATES} are needed" in found.said


def test_a_side_earns_what_it_holds_and_what_it_has_sold() -> None:
    said = np.array([0.9, 0.5, 0.1, 0.2, 0.8])
    ahead = np.array([-0.02, 0.5, 0.03, -0.01, 0.02])
    moment = np.array([0, 0, 0, 1, 1])
    assert reward(said, ahead, moment).tolist() == [-0.02, 0.0, -0.03, 0.01, 0.02]
