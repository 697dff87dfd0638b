"""Claims about one lesson, and the teacher and the student that come of it."""

import math
from dataclasses import replace
from datetime import date, timedelta

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.student import train_student
from sensequant_assets.core.training import TREE_METRICS, Lesson, TrainedModel, distil, teach
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import FIRST_DAY, QUICK_STUDENT, QUICK_TEACHER, lesson_of, random_walk, taught_of

BARS = random_walk(360, 3)
CODE = "code"


def trained_teacher(lesson: Lesson | None = None) -> TrainedModel:
    return teach(lesson or lesson_of(BARS), QUICK_TEACHER, CODE)


def distilled(lesson: Lesson, teacher: TrainedModel) -> TrainedModel:
    return distil(lesson, taught_of(teacher), QUICK_STUDENT, CODE)


def with_changed_bars(bars: Bars, first: int) -> Bars:
    """The bars with every price and volume from a position on changed."""
    factor = np.where(np.arange(len(bars)) < first, 1.0, 1.3)
    return replace(bars, **{name: getattr(bars, name) * factor for name in ("open", "high", "low", "close", "volume")})


# The window of `lesson_of` is positions 60 to 179, its test span 180 to 299; labels look 7 bars ahead.


def test_a_lesson_cuts_train_validation_and_test_with_a_purge_between():
    lesson = lesson_of(BARS)
    # Labels of 60 to 172 end inside the window: 113 rows. A fifth of them, 22, is held: 151 to 172. Labels of rows up
    # to 143 end before 151: 84 rows.
    assert (lesson.rows.train[0], lesson.rows.train[-1]) == (60, 143)
    assert (lesson.rows.valid[0], lesson.rows.valid[-1]) == (151, 172)
    assert (lesson.rows.test[0], lesson.rows.test[-1]) == (180, 299)
    assert lesson.row_counts == {"train": 84, "valid": 22, "test": 120}


def test_the_effective_end_is_the_day_of_the_last_training_row():
    assert lesson_of(BARS).effective_end == FIRST_DAY + timedelta(days=143)
    assert trained_teacher().effective_end == date(
        2022, 5, 24
    )  # 31 + 28 + 31 + 30 = 120 days to the first of May, and 23


@pytest.mark.parametrize("position", [12, 60, 100, 143, 150, 172, 179])
def test_data_of_the_window_and_of_its_lookback_are_in_the_fingerprint(position):
    one = lesson_of(BARS).fingerprints(QUICK_TEACHER, CODE)
    two = lesson_of(with_changed_bars(BARS, position)).fingerprints(QUICK_TEACHER, CODE)
    assert one.data != two.data
    assert (one.parameters, one.code) == (two.parameters, two.code)


@pytest.mark.parametrize("position", [180, 181, 250, 307])
def test_bars_after_the_window_are_not_in_the_fingerprint_but_in_what_it_is_tested_on(position):
    one, two = lesson_of(BARS), lesson_of(with_changed_bars(BARS, position))
    assert one.fingerprints(QUICK_TEACHER, CODE) == two.fingerprints(QUICK_TEACHER, CODE)
    if position < 306:  # the last test row, 299, looks 7 bars ahead
        assert one.tested_on != two.tested_on
    else:
        assert one.tested_on == two.tested_on


def test_another_judge_is_not_in_the_fingerprint_but_in_what_it_is_tested_on():
    one, two = lesson_of(BARS), replace(lesson_of(BARS), judging="another")
    assert one.fingerprints(QUICK_TEACHER, CODE) == two.fingerprints(QUICK_TEACHER, CODE)
    assert one.tested_on != two.tested_on
    assert trained_teacher(two).tested_on == two.tested_on


@pytest.mark.parametrize("count", [187, 200, 306, 307, 320, 360])
def test_new_bars_do_not_change_what_a_closed_window_is_made_from(count):
    bars = random_walk(360, 3)
    young = Bars(
        bars.symbol, *(getattr(bars, name)[:count] for name in ("time", "open", "high", "low", "close", "volume"))
    )
    assert lesson_of(young).fingerprints(QUICK_TEACHER, CODE) == lesson_of(bars).fingerprints(QUICK_TEACHER, CODE)
    assert (lesson_of(young).tested_on == lesson_of(bars).tested_on) == (count >= 307)


@pytest.mark.parametrize(
    "change", [{"num_leaves": 8}, {"seed": 8}, {"n_estimators": 13}, {"folds": 4}, {"early_stopping_rounds": 1}]
)
def test_a_changed_parameter_changes_the_fingerprint_of_parameters_only(change):
    lesson = lesson_of(BARS)
    one = lesson.fingerprints(QUICK_TEACHER, CODE)
    two = lesson.fingerprints(QUICK_TEACHER.model_copy(update=change), CODE)
    assert one.parameters != two.parameters
    assert (one.data, one.code) == (two.data, two.code)


@pytest.mark.parametrize(
    "change", [{"horizon": 8}, {"threshold": 0.05}, {"validation_fraction": 0.1}, {"validation_fraction": 0.0}]
)
def test_a_changed_recipe_changes_the_fingerprints(change):
    recipe = Recipe(threshold=0.0)
    one = lesson_of(BARS, recipe=recipe).fingerprints(QUICK_TEACHER, CODE)
    assert one != lesson_of(BARS, recipe=recipe.model_copy(update=change)).fingerprints(QUICK_TEACHER, CODE)


@pytest.mark.parametrize("change", [{"horizon": 8}, {"validation_fraction": 0.3}])
def test_the_horizon_and_the_validation_tail_are_parameters_as_well(change):
    lesson = lesson_of(BARS)
    other = replace(lesson, recipe=lesson.recipe.model_copy(update=change))
    one, two = (each.fingerprints(QUICK_TEACHER, CODE) for each in (lesson, other))
    assert two.data == one.data
    assert two.parameters != one.parameters


def test_another_split_of_the_same_rows_is_other_data():
    lesson = lesson_of(BARS)
    rows = np.concatenate([lesson.rows.train, lesson.rows.valid])
    moved = replace(lesson, rows=replace(lesson.rows, train=rows[:80], valid=rows[80:]))
    one, two = (each.fingerprints(QUICK_TEACHER, CODE) for each in (lesson, moved))
    assert two.data != one.data
    assert two.parameters == one.parameters


def test_more_rows_are_other_data_and_the_same_parameters():
    one, two = (lesson_of(BARS, days=days).fingerprints(QUICK_TEACHER, CODE) for days in (120, 121))
    assert one.data != two.data
    assert one.parameters == two.parameters


def test_a_recipe_that_only_says_which_windows_are_attempted_leaves_the_fingerprints():
    recipe = Recipe(threshold=0.0, min_samples=50, open_windows="skip")
    plain = lesson_of(BARS).fingerprints(QUICK_TEACHER, CODE)
    assert lesson_of(BARS, recipe=recipe).fingerprints(QUICK_TEACHER, CODE) == plain


def test_changed_code_changes_the_fingerprint():
    lesson = lesson_of(BARS)
    assert lesson.fingerprints(QUICK_TEACHER, "a") != lesson.fingerprints(QUICK_TEACHER, "b")


def test_soft_targets_are_part_of_a_students_data():
    lesson = lesson_of(BARS)
    taught = taught_of(teach(lesson, QUICK_TEACHER, CODE))
    other = replace(taught, soft_targets=np.append(taught.soft_targets[:-1], 0.91))
    one, two = (lesson.fingerprints(QUICK_STUDENT, CODE, each) for each in (taught, other))
    assert one.data != two.data
    assert one.data != lesson.fingerprints(QUICK_STUDENT, CODE).data
    assert one.parameters == two.parameters


def test_its_teachers_parameters_are_part_of_a_students():
    lesson = lesson_of(BARS)
    taught = taught_of(teach(lesson, QUICK_TEACHER, CODE))
    one, two = (
        lesson.fingerprints(QUICK_STUDENT, CODE, each) for each in (taught, replace(taught, parameters="others"))
    )
    assert (one.data, one.code) == (two.data, two.code)
    assert one.parameters != two.parameters


def test_equal_fingerprints_mean_equal_trees():
    one, two = trained_teacher(lesson_of(BARS)), trained_teacher(lesson_of(with_changed_bars(BARS, 180)))
    assert one.fingerprints == two.fingerprints
    assert one.text == two.text
    assert one.trees_fingerprint == two.trees_fingerprint
    assert one.metrics["test_auc"] != two.metrics["test_auc"]


def test_a_teacher_is_judged_out_of_fold_on_its_tail_and_on_the_next_window():
    lesson, teacher = lesson_of(BARS), trained_teacher()
    label = lesson.samples.label
    spans = {"oof": lesson.rows.train, "valid": lesson.rows.valid, "test": lesson.rows.test}
    for span, rows in spans.items():
        assert teacher.metrics[f"{span}_base_rate"] == pytest.approx(label[rows].mean())
        assert 0 < teacher.metrics[f"{span}_brier"] < 1
    assert teacher.unseen.shape == (22 + 120,)
    brier = ((teacher.unseen[22:] - label[lesson.rows.test]) ** 2).mean()
    assert teacher.metrics["test_brier"] == pytest.approx(brier)
    assert teacher.metrics["valid_brier"] == pytest.approx(
        ((teacher.unseen[:22] - label[lesson.rows.valid]) ** 2).mean()
    )
    assert teacher.soft_targets.shape == (84,)


def test_the_text_is_the_model_that_was_judged():
    lesson, teacher = lesson_of(BARS), trained_teacher()
    loaded = lgb.Booster(model_str=teacher.text)
    np.testing.assert_array_equal(lesson.unseen(loaded), teacher.unseen)
    assert lesson.scores(lesson.unseen(loaded)).items() <= teacher.metrics.items()
    assert teacher.parameters["num_leaves"] == "7"


@pytest.mark.parametrize("rounds", [0, 3])
def test_the_trees_that_are_counted_are_the_trees_that_are_saved(rounds):
    parameters = QUICK_TEACHER.model_copy(update={"early_stopping_rounds": rounds, "n_estimators": 200})
    teacher = teach(lesson_of(BARS), parameters, CODE)
    saved = lgb.Booster(model_str=teacher.text).num_trees()
    assert teacher.metrics["trees"] == saved
    assert (saved == 200) == (rounds == 0)


def test_a_lesson_without_a_next_window_has_missing_test_scores():
    teacher = trained_teacher(lesson_of(random_walk(180, 3)))
    assert teacher.rows == {"train": 84, "valid": 22, "test": 0}
    assert math.isnan(teacher.metrics["test_auc"])
    assert not math.isnan(teacher.metrics["valid_brier"])


def test_without_validation_rows_their_scores_are_missing():
    teacher = trained_teacher(lesson_of(BARS, recipe=Recipe(threshold=0.0, validation_fraction=0.0)))
    assert teacher.rows == {"train": 113, "valid": 0, "test": 120}
    assert not [name for name in teacher.metrics if name.startswith("valid_")]


def test_a_student_is_judged_on_rows_that_neither_has_seen():
    lesson, teacher = lesson_of(BARS), trained_teacher()
    student = distilled(lesson, teacher)
    assert student.metrics["fidelity_mae"] == pytest.approx(np.abs(student.unseen - teacher.unseen).mean())
    assert student.metrics["trees"] == 5
    assert student.taught_by == QUICK_TEACHER.model_dump()
    assert (teacher.asked, teacher.taught_by) == (QUICK_TEACHER.model_dump(), {})
    assert student.rows == teacher.rows
    assert student.fingerprints.data != teacher.fingerprints.data
    assert len(student.soft_targets) == 0
    assert not [name for name in student.metrics if name.startswith("oof_")]


def test_a_student_is_trained_on_the_soft_targets():
    lesson, teacher = lesson_of(BARS), trained_teacher()
    alone = train_student(lesson.samples, lesson.rows.train, teacher.soft_targets, QUICK_STUDENT)
    assert distilled(lesson, teacher).text == alone.model_to_string()


HALF = np.full(84, 0.5)
UNSEEN = np.full(142, 0.5)


def with_one(probabilities: np.ndarray, value: float) -> np.ndarray:
    changed = probabilities.copy()
    changed[3] = value
    return changed


@pytest.mark.parametrize(
    ("soft_targets", "unseen"),
    [
        (np.empty(0), UNSEEN), (HALF[1:], UNSEEN), (HALF, UNSEEN[1:]), (np.full(84, np.nan), UNSEEN),
        *((with_one(HALF, value), UNSEEN) for value in (np.nan, -0.1, 1.1, np.inf)),
        (HALF, with_one(UNSEEN, np.nan)),
    ],
)  # fmt: skip
def test_a_student_does_not_learn_from_what_no_teacher_of_these_rows_can_have_said(soft_targets, unseen):
    lesson = lesson_of(BARS)
    taught = replace(taught_of(trained_teacher(lesson)), soft_targets=soft_targets, unseen=unseen)
    with pytest.raises(
        WindowError, match=r"The teacher of AAA\|2022-03-02 left \d+ .* Train the teacher again"
    ) as caught:
        distil(lesson, taught, QUICK_STUDENT, CODE)
    assert caught.value.kind is FailureKind.CORRUPT_MODEL


def test_a_student_does_not_learn_from_a_teacher_of_other_data_of_as_many_rows():
    lesson = lesson_of(BARS)
    other = trained_teacher(lesson_of(with_changed_bars(BARS, 100)))
    assert other.rows == lesson.row_counts
    with pytest.raises(WindowError, match=r"The teacher of AAA\|2022-03-02 was made from other data") as caught:
        distil(lesson, taught_of(other), QUICK_STUDENT, CODE)
    assert caught.value.kind is FailureKind.MISSING_TEACHER


def test_a_student_of_a_teacher_that_knows_nothing_is_a_constant_and_says_so():
    lesson, teacher = lesson_of(BARS), trained_teacher()
    nothing = replace(taught_of(teacher), soft_targets=np.full(84, 0.3))
    student = distil(lesson, nothing, QUICK_STUDENT, CODE)
    assert student.constant
    assert student.metrics["largest_tree_leaves"] <= 2
    assert student.unseen == pytest.approx([0.3] * 142)
    assert not teacher.constant
    assert not distilled(lesson, teacher).constant


def test_the_largest_tree_is_a_metric():
    teacher = trained_teacher()
    told = lgb.Booster(model_str=teacher.text).trees_to_dataframe()
    assert teacher.metrics["largest_tree_leaves"] == told[told["left_child"].isna()].groupby("tree_index").size().max()
    assert teacher.metrics["largest_tree_depth"] == told["node_depth"].max() - 1
    assert set(TREE_METRICS) < set(teacher.metrics)


def test_an_expired_deadline_is_a_timeout():
    with pytest.raises(WindowError) as caught:
        teach(lesson_of(BARS), QUICK_TEACHER, CODE, expired=lambda: True)
    assert caught.value.kind is FailureKind.TIMEOUT
