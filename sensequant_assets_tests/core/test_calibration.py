"""Claims about what is served of what a model says."""

import numpy as np
import pytest

from sensequant_assets.core.calibration import Calibration, calibrated


def odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def said_and_labels(*groups: tuple[float, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Groups of (probability said, labels of 1, labels of 0)."""
    said = np.concatenate([np.full(ones + zeros, probability) for probability, ones, zeros in groups])
    label = np.concatenate([np.r_[np.ones(ones), np.zeros(zeros)] for _, ones, zeros in groups])
    return said, label


def test_two_groups_are_served_their_own_rates() -> None:
    # Of a line through two points both are on it: 0.2 comes true 3 times of 10, 0.8 6 times of 10.
    said, label = said_and_labels((0.2, 3, 7), (0.8, 6, 4))

    line = calibrated(said, label)

    assert line.serve(np.array([0.2, 0.8])) == pytest.approx([0.3, 0.6], abs=1e-8)
    assert line.slope == pytest.approx((odds(0.6) - odds(0.3)) / (odds(0.8) - odds(0.2)))
    assert not line.nothing_learned


def test_what_is_right_as_often_as_it_says_is_served_as_it_is() -> None:
    line = calibrated(*said_and_labels((0.25, 1, 3), (0.5, 2, 2), (0.75, 3, 1)))

    assert line.slope == pytest.approx(1)
    assert line.intercept == pytest.approx(0, abs=1e-9)


def test_what_is_wrong_more_often_than_not_serves_the_base_rate_and_is_not_turned_round() -> None:
    line = calibrated(*said_and_labels((0.3, 6, 4), (0.7, 3, 7)))

    assert line.nothing_learned
    assert line.serve(np.array([0.3, 0.7])) == pytest.approx([9 / 20, 9 / 20])


def test_one_probability_for_all_serves_the_base_rate() -> None:
    line = calibrated(*said_and_labels((0.4, 3, 1)))

    assert line.nothing_learned
    assert line.serve(np.array([0.4, 0.9])) == pytest.approx([0.75, 0.75])


def test_served_probabilities_keep_the_order_of_what_is_said() -> None:
    said = np.linspace(0.01, 0.99, 50)

    assert (np.diff(Calibration(0.1, -0.7).serve(said)) > 0).all()
