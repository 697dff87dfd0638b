"""Claims about labels."""

import numpy as np
import pytest

from sensequant_assets.core.labels import forward_returns, labels_above


@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_the_last_horizon_rows_have_no_label_yet(horizon):
    labels = labels_above(forward_returns(np.linspace(100.0, 200.0, 10), horizon), 0.0)
    assert np.isnan(labels[-horizon:]).all()
    assert labels[:-horizon].tolist() == [1.0] * (10 - horizon)


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_a_history_no_longer_than_the_horizon_has_no_label_at_all(count):
    assert np.isnan(forward_returns(np.full(count, 5.0), 7)).tolist() == [True] * count


def test_the_forward_return_is_simple_and_over_the_horizon():
    # From 80 to 100 is 25 %, from 50 to 60 is 20 %; one bar ahead it would be -37.5 % and 100 %.
    assert forward_returns(np.array([80.0, 50.0, 100.0, 60.0]), 2)[:2].tolist() == [0.25, pytest.approx(0.2)]


def test_a_return_equal_to_the_threshold_is_not_above_it():
    returns = np.array([0.25, 0.2500001, 0.2499999, np.nan, -0.5])
    np.testing.assert_array_equal(labels_above(returns, 0.25), [0.0, 1.0, 0.0, np.nan, 0.0])


def test_a_negative_threshold_asks_whether_the_loss_is_smaller():
    assert labels_above(np.array([-0.06, -0.05, -0.04]), -0.05).tolist() == [0.0, 0.0, 1.0]


def test_without_a_hurdle_there_is_no_label():
    found = labels_above(np.array([0.1, 0.1, 0.1, np.nan]), np.array([0.05, 0.2, np.nan, 0.0]))
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan, np.nan])
