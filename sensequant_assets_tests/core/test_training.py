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
from sensequant_assets.core.training import Lesson, TrainedModel, distil, teach
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import FIRST_DAY, QUICK_STUDENT, QUICK_TEACHER, lesson_of, random_walk

BARS = random_walk(360, 3)
CODE = "code"


def taught(lesson: Lesson | None = None) -> TrainedModel:
    return teach(lesson or lesson_of(BARS), QUICK_TEACHER, CODE)


def distilled(lesson: Lesson, teacher: TrainedModel) -> TrainedModel:
    return distil(lesson, teacher.soft_targets, teacher.unseen, QUICK_STUDENT, CODE)


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
    assert taught().effective_end == date(2022, 5, 24)  # 31 + 28 + 31 + 30 = 120 days to the first of May, and 23


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
    assert taught(two).tested_on == two.tested_on


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


def test_the_horizon_and_the_split_of_equal_rows_are_parameters_as_well():
    lesson = lesson_of(BARS)
    longer = replace(lesson, recipe=lesson.recipe.model_copy(update={"horizon": 8}))
    rows = np.concatenate([lesson.rows.train, lesson.rows.valid])
    moved = replace(lesson, rows=replace(lesson.rows, train=rows[:80], valid=rows[80:]))
    one = lesson.fingerprints(QUICK_TEACHER, CODE)
    for other in (longer, moved):
        two = other.fingerprints(QUICK_TEACHER, CODE)
        assert two.data == one.data
        assert two.parameters != one.parameters


def test_a_recipe_that_only_says_which_windows_are_attempted_leaves_the_fingerprints():
    recipe = Recipe(threshold=0.0, min_samples=50, open_windows="skip")
    plain = lesson_of(BARS).fingerprints(QUICK_TEACHER, CODE)
    assert lesson_of(BARS, recipe=recipe).fingerprints(QUICK_TEACHER, CODE) == plain


def test_changed_code_changes_the_fingerprint():
    lesson = lesson_of(BARS)
    assert lesson.fingerprints(QUICK_TEACHER, "a") != lesson.fingerprints(QUICK_TEACHER, "b")


def test_soft_targets_are_part_of_a_students_data():
    lesson = lesson_of(BARS)
    soft = np.linspace(0.1, 0.9, 84)
    one, two = (lesson.fingerprints(QUICK_STUDENT, CODE, targets) for targets in (soft, np.append(soft[:-1], 0.91)))
    assert one.data != two.data
    assert one.data != lesson.fingerprints(QUICK_STUDENT, CODE).data


def test_equal_fingerprints_mean_equal_trees():
    one, two = taught(lesson_of(BARS)), taught(lesson_of(with_changed_bars(BARS, 180)))
    assert one.fingerprints == two.fingerprints
    assert one.text == two.text
    assert one.trees_fingerprint == two.trees_fingerprint
    assert one.metrics["test_auc"] != two.metrics["test_auc"]


def test_a_teacher_is_judged_out_of_fold_on_its_tail_and_on_the_next_window():
    lesson, teacher = lesson_of(BARS), taught()
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
    lesson, teacher = lesson_of(BARS), taught()
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
    teacher = taught(lesson_of(random_walk(180, 3)))
    assert teacher.rows == {"train": 84, "valid": 22, "test": 0}
    assert math.isnan(teacher.metrics["test_auc"])
    assert not math.isnan(teacher.metrics["valid_brier"])


def test_without_validation_rows_their_scores_are_missing():
    teacher = taught(lesson_of(BARS, recipe=Recipe(threshold=0.0, validation_fraction=0.0)))
    assert teacher.rows == {"train": 113, "valid": 0, "test": 120}
    assert math.isnan(teacher.metrics["valid_log_loss"])


def test_a_student_is_judged_on_rows_that_neither_has_seen():
    lesson, teacher = lesson_of(BARS), taught()
    student = distilled(lesson, teacher)
    assert student.metrics["fidelity_mae"] == pytest.approx(np.abs(student.unseen - teacher.unseen).mean())
    assert student.metrics["trees"] == 5
    assert student.rows == teacher.rows
    assert student.fingerprints.data != teacher.fingerprints.data
    assert len(student.soft_targets) == 0
    assert not [name for name in student.metrics if name.startswith("oof_")]


def test_a_student_is_trained_on_the_soft_targets():
    lesson, teacher = lesson_of(BARS), taught()
    alone = train_student(lesson.samples, lesson.rows.train, teacher.soft_targets, QUICK_STUDENT)
    assert distilled(lesson, teacher).text == alone.model_to_string()


@pytest.mark.parametrize(
    ("soft_targets", "unseen"),
    [(np.empty(0), np.full(142, 0.5)), (np.full(83, 0.5), np.full(142, 0.5)), (np.full(84, 0.5), np.full(141, 0.5))],
)
def test_a_student_whose_teacher_is_of_other_rows_fails(soft_targets, unseen):
    with pytest.raises(WindowError, match=r"The teacher of AAA\|2022-03-02 was made from other rows") as caught:
        distil(lesson_of(BARS), soft_targets, unseen, QUICK_STUDENT, CODE)
    assert caught.value.kind is FailureKind.MISSING_TEACHER


def test_an_expired_deadline_is_a_timeout():
    with pytest.raises(WindowError) as caught:
        teach(lesson_of(BARS), QUICK_TEACHER, CODE, expired=lambda: True)
    assert caught.value.kind is FailureKind.TIMEOUT
