"""Claims about how far rows are from training rows."""

import numpy as np
import pytest

from sensequant_assets.core.scoring.distance import FARTHEST, MOST_ROWS, reference_of

ROWS = np.random.default_rng(0).normal(size=(120, 5)) * [1, 10, 100, 0.1, 3] + [0, 5, 0, 7, -2]


def plainly(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The index as FreqAI defines it, of standardised features, by the book."""
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    one, other = (rows - centre) / spread, (asked - centre) / spread
    apart = np.linalg.norm(one[:, None] - one[None], axis=2)
    mean = apart[~np.eye(len(one), dtype=bool)].mean()
    nearest: np.ndarray = np.linalg.norm(other[:, None] - one[None], axis=2).min(axis=1) / mean
    return nearest


def test_the_distance_is_that_to_the_nearest_training_row_over_the_mean_one_between_two():
    asked = np.random.default_rng(1).normal(size=(30, 5)) * 20
    np.testing.assert_allclose(reference_of(ROWS).distance(asked), plainly(ROWS, asked), rtol=1e-12)


def test_a_training_row_has_no_distance_and_its_neighbour_hardly_any():
    reference = reference_of(ROWS)
    assert (reference.distance(ROWS) == 0).all()
    assert (reference.distance(ROWS + 1e-9 * ROWS.std(axis=0)) < 1e-8).all()


def test_a_row_of_another_world_is_out_of_range_and_a_new_one_of_the_same_is_not():
    reference = reference_of(ROWS)
    new = np.random.default_rng(2).normal(size=(500, 5)) * [1, 10, 100, 0.1, 3] + [0, 5, 0, 7, -2]
    assert (reference.distance(new) > FARTHEST).mean() < 0.05
    crash = ROWS.mean(axis=0) - 6 * ROWS.std(axis=0)
    assert reference.distance(crash[None])[0] > FARTHEST


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_do_not_matter(scale):
    asked = ROWS[:7] * 1.3
    one, other = reference_of(ROWS).distance(asked), reference_of(ROWS * scale).distance(asked * scale)
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_feature_that_never_varies_is_left_out():
    constant = np.full((len(ROWS), 1), 0.1 + 0.2)
    with_it = reference_of(np.hstack([ROWS, constant]))
    asked = np.hstack([ROWS[:5] + 1, constant[:5] + 400])
    np.testing.assert_array_equal(with_it.distance(asked), reference_of(ROWS).distance(ROWS[:5] + 1))


def test_a_missing_feature_leaves_the_distance_unknown_and_an_infinite_one_makes_it_infinite():
    asked = ROWS[:3].copy()
    asked[0, 2], asked[1, 2] = np.nan, -np.inf
    np.testing.assert_array_equal(reference_of(ROWS).distance(asked), [np.nan, np.inf, 0])


@pytest.mark.parametrize("rows", [ROWS[:1], np.repeat(ROWS[:1], 9, axis=0)], ids=["one row", "equal rows"])
def test_rows_without_a_span_leave_every_distance_unknown(rows):
    assert np.isnan(reference_of(rows).distance(ROWS[:4])).all()


def test_a_long_reference_keeps_rows_at_even_steps_and_the_deviations_of_all():
    rows = np.random.default_rng(3).normal(size=(MOST_ROWS * 3 + 1, 2))
    reference = reference_of(rows)
    assert len(reference.rows) == MOST_ROWS
    assert len(np.unique(reference.rows, axis=0)) == MOST_ROWS
    np.testing.assert_array_equal(reference.spread, rows.std(axis=0))
    ends = (rows[[0, -1]] - rows.mean(axis=0)) / rows.std(axis=0)
    np.testing.assert_array_equal(reference.rows[[0, -1]], ends)
    assert reference_of(rows).rows.tobytes() == reference.rows.tobytes()
