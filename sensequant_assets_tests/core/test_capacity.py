"""Claims about how many rows parameters need, against real LightGBM."""

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.capacity import floor_of, rows_to_split, smallest_fold
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.splits import purged_folds
from sensequant_assets.core.teacher import train_teacher
from sensequant_assets_tests.making import random_walk, samples_of

ROUNDS = 200
STUDENT = StudentParameters(scope="symbol")


def share_of_splits(rows: int, parameters: TeacherParameters) -> float:
    """Share of rounds in which a tree splits, on rows that a feature separates."""
    rng = np.random.default_rng(rows)
    features = rng.normal(size=(rows, 25))
    label = (features[:, 0] > np.median(features[:, 0])).astype(float)
    asked = parameters.lightgbm() | {"learning_rate": 0.001}
    booster = lgb.Booster(asked, lgb.Dataset(features, label, params=asked))
    return sum(not booster.update() for _ in range(ROUNDS)) / ROUNDS


GRID = [
    TeacherParameters(scope="symbol", min_child_samples=least, subsample=subsample)
    for least in (1, 2, 5, 10, 20, 50)
    for subsample in (0.3, 0.5, 0.7, 0.8, 1.0)
]


def _named(parameters: TeacherParameters) -> str:
    return f"{parameters.min_child_samples}/{parameters.subsample:g}"


@pytest.mark.parametrize("parameters", GRID, ids=_named)
def test_on_so_many_rows_half_of_the_trees_can_split(parameters):
    # LightGBM's coins are a linear congruence: over 200 rounds their share strays from the binomial's by some 5 %.
    assert share_of_splits(rows_to_split(parameters), parameters) >= 0.45


# LightGBM refuses a data set of which a bag would have no row.
@pytest.mark.parametrize("parameters", [one for one in GRID if one.min_child_samples > 2], ids=_named)
def test_with_fewer_rows_than_two_leaves_take_no_tree_can_split(parameters):
    assert share_of_splits(2 * parameters.min_child_samples - 1, parameters) == 0


@pytest.mark.parametrize("least", [2, 5, 10, 20, 50])
def test_without_bagging_one_row_decides(least):
    parameters = TeacherParameters(scope="symbol", min_child_samples=least, subsample=1)
    assert share_of_splits(rows_to_split(parameters), parameters) > 0.9
    assert share_of_splits(rows_to_split(parameters) - 1, parameters) == 0


@pytest.mark.parametrize("least", [20, 50])
def test_a_tenth_of_the_rows_less_and_few_trees_can_split(least):
    parameters = TeacherParameters(scope="symbol", min_child_samples=least, subsample=0.8)
    assert share_of_splits(int(0.9 * rows_to_split(parameters)), parameters) < 0.3


def test_quotients_that_are_whole_but_for_rounding_are_whole():
    assert 42 / 0.7 > 60
    assert rows_to_split(TeacherParameters(scope="symbol", min_child_samples=21, subsample=0.7)) == 60
    assert rows_to_split(TeacherParameters(scope="symbol", min_child_samples=20, subsample=0.8)) == 50
    assert rows_to_split(TeacherParameters(scope="symbol", min_child_samples=20, subsample=0.81)) == 50  # 49.4


@pytest.mark.parametrize("folds", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("horizon", [1, 7, 30])
@pytest.mark.parametrize(("least", "subsample"), [(1, 0.8), (5, 1.0), (20, 0.8), (40, 0.5)])
def test_from_the_floor_on_every_fold_has_enough_rows_and_below_it_one_has_not(folds, horizon, least, subsample):
    teacher = TeacherParameters(scope="symbol", min_child_samples=least, subsample=subsample, folds=folds)
    needed = rows_to_split(teacher)
    floor = floor_of(teacher, StudentParameters(scope="symbol", min_child_samples=1), horizon, 1).rows
    for rows in range(floor, floor + 40):
        assert min(len(fold.train) for fold in purged_folds(np.arange(rows), horizon, folds)) >= needed
    assert smallest_fold(floor - 1, horizon, folds) < needed


def test_gaps_between_rows_leave_a_fold_more():
    rng = np.random.default_rng(3)
    for _ in range(100):
        rows = np.sort(rng.choice(300, 80, replace=False))
        assert min(len(fold.train) for fold in purged_folds(rows, 7, 5)) >= smallest_fold(80, 7, 5) == 50


@pytest.mark.parametrize("folds", [2, 5, 8])
@pytest.mark.parametrize("least", [10, 20, 30])
def test_at_the_floor_every_fold_of_a_teacher_learns(folds, least):
    parameters = TeacherParameters(
        scope="symbol", min_child_samples=least, subsample=0.8, folds=folds, n_estimators=40, learning_rate=0.1
    )
    rows = np.arange(60, 60 + floor_of(parameters, STUDENT, 7, 20).rows)
    samples = samples_of(random_walk(rows[-1] + 20, 0))
    soft = train_teacher(samples, rows, rows[:0], parameters, horizon=7).soft_targets
    for fold in purged_folds(rows, 7, folds):
        assert len(set(soft[np.isin(rows, fold.test)])) > 1


def test_without_bagging_one_row_less_leaves_a_fold_that_knows_nothing():
    parameters = TeacherParameters(
        scope="symbol", min_child_samples=20, subsample=1.0, n_estimators=40, learning_rate=0.1
    )
    rows = np.arange(60, 60 + floor_of(parameters, STUDENT, 7, 20).rows - 1)
    samples = samples_of(random_walk(rows[-1] + 20, 0))
    soft = train_teacher(samples, rows, rows[:0], parameters, horizon=7).soft_targets
    known = [len(set(soft[np.isin(rows, fold.test)])) for fold in purged_folds(rows, 7, parameters.folds)]
    assert min(known) == 1
    assert soft[np.isin(rows, purged_folds(rows, 7, parameters.folds)[known.index(1)].test)][0] == pytest.approx(
        samples.label[rows].mean()
    )


def test_the_floor_is_that_of_who_needs_most_and_says_who():
    teacher = TeacherParameters(scope="symbol")
    asked = floor_of(teacher, STUDENT, 7, 200)
    assert (asked.rows, asked.why) == (200, "")
    of_student = floor_of(teacher, STUDENT.model_copy(update={"min_child_samples": 60, "subsample": 0.5}), 7, 20)
    assert of_student.rows == 240
    assert of_student.why == "student trees split from 240 rows on (min_child_samples 60 at subsample 0.5)"
    assert of_student.way_out.startswith("Lower STUDENT_MIN_CHILD_SAMPLES")
    of_teacher = floor_of(teacher, STUDENT, 7, 20)
    assert of_teacher.rows == 80
    assert of_teacher.way_out.startswith("Lower TEACHER_MIN_CHILD_SAMPLES")
    assert floor_of(TeacherParameters(scope="symbol", min_child_samples=10), STUDENT, 7, 20).rows == 49
    assert floor_of(teacher, STUDENT, 14, 20).rows > 80
