"""Claims about splits: what is trained on shares no bar with what it is judged on."""

import numpy as np
import pytest

from sensequant_assets.core.splits import Positions, purged_folds, purged_tail


def gappy(seed: int) -> tuple[Positions, int]:
    """Increasing positions with random gaps, and a random horizon."""
    rng = np.random.default_rng(seed)
    rows = np.cumsum(rng.choice([1, 1, 1, 2, 9], size=rng.integers(1, 80))) + rng.integers(0, 40)
    return rows, int(rng.integers(1, 15))


def spans(rows: Positions, horizon: int) -> set[int]:
    """Every bar that the labels of these rows read."""
    return {bar for row in rows.tolist() for bar in range(row, row + horizon + 1)}


@pytest.mark.parametrize("seed", range(40))
def test_no_training_row_of_a_tail_split_reads_a_bar_that_a_test_row_reads(seed):
    rows, horizon = gappy(seed)
    split = purged_tail(rows, horizon, fraction=0.25)
    assert not spans(split.train, horizon) & spans(split.test, horizon)
    # Nothing but the purged rows is missing, and the test rows are the last quarter.
    held = len(rows) // 4
    assert split.test.tolist() == rows[len(rows) - held :].tolist()
    first = split.test[0] if held else np.inf
    assert split.train.tolist() == [row for row in rows.tolist() if row + horizon < first]


@pytest.mark.parametrize("folds", [2, 3, 5, 20])
@pytest.mark.parametrize("seed", range(20))
def test_no_training_row_of_a_fold_reads_a_bar_that_a_test_row_reads(seed, folds):
    rows, horizon = gappy(seed)
    for split in purged_folds(rows, horizon, folds):
        tested = spans(split.test, horizon)
        assert not spans(split.train, horizon) & tested
        # The gap of bars between two test rows is no place to train in either.
        assert not ((split.train > split.test[0]) & (split.train < split.test[-1])).any()


@pytest.mark.parametrize("folds", [2, 3, 5, 20])
@pytest.mark.parametrize("seed", range(20))
def test_the_tests_of_folds_are_the_rows_each_once_and_in_order(seed, folds):
    rows, horizon = gappy(seed)
    tests = [split.test for split in purged_folds(rows, horizon, folds)]
    assert np.concatenate(tests).tolist() == rows.tolist()
    assert max(map(len, tests)) - min(map(len, tests)) <= 1 or len(rows) < folds


def test_a_row_whose_label_ends_on_the_first_test_row_is_purged():
    # Row 6 reads bars 6, 7 and 8, and bar 8 is tested; row 5 reads up to bar 7.
    split = purged_tail(np.arange(10), horizon=2, fraction=0.2)
    assert (split.train[-1], split.test.tolist()) == (5, [8, 9])


def test_a_row_right_after_the_test_labels_is_kept():
    # Of twelve rows in three folds the middle one tests 4 to 7, whose labels read up to bar 9.
    middle = purged_folds(np.arange(12), horizon=2, folds=3)[1]
    assert middle.train.tolist() == [0, 1, 10, 11]


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(10, 0.0, 0), (4, 0.2, 0), (5, 0.2, 1), (9, 0.34, 3), (0, 0.5, 0)]
)
def test_the_held_share_is_rounded_down(count, fraction, held):
    split = purged_tail(np.arange(count), horizon=1, fraction=fraction)
    assert len(split.test) == held
    if not held:
        assert len(split.train) == count
