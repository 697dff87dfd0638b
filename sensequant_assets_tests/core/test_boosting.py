"""Claims about one booster."""

import re
import subprocess
import sys
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.boosting import (
    Trees,
    check_parameters,
    effective_parameters,
    fit,
    trees_fingerprint,
    trees_of,
)
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import QUICK_STUDENT, QUICK_TEACHER

ALONE = """
import sys, threading
from sensequant_assets.core.boosting import training_alone
seen = []
with training_alone():
    import lightgbm
    try:
        import pandas
    except ModuleNotFoundError:
        seen.append("hidden")
    other = threading.Thread(target=lambda: seen.append(__import__("pandas").__name__))
    other.start()
    other.join()
    import pandas
import sklearn
print(*seen, lightgbm.compat.SKLEARN_INSTALLED, pandas.__name__, sklearn.__name__)
"""

NAMES = ("first", "second", "third")


def table(seed: int = 0, rows: int = 100) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 3))
    return features, (features[:, 0] + rng.normal(size=rows) > 0).astype(float)


def fitted(parameters: TeacherParameters = QUICK_TEACHER, **options: Any) -> lgb.Booster:
    return fit(*table(), parameters.lightgbm(), feature_names=NAMES, **options)


def test_parameters_are_read_back_from_the_model_text():
    asked = TeacherParameters(
        scope="symbol", num_leaves=31, learning_rate=0.25, n_estimators=10, subsample=0.7, seed=11
    )
    effective = effective_parameters(fitted(asked).model_to_string())
    assert effective["num_leaves"] == "31"
    assert effective["learning_rate"] == "0.25"
    assert effective["num_iterations"] == "10"
    assert effective["bagging_fraction"] == "0.7"
    assert effective["bagging_freq"] == "1"
    assert effective["seed"] == "11"
    assert effective["objective"] == "binary"
    check_parameters(asked.lightgbm(), effective)


def test_a_parameter_that_the_booster_has_otherwise_is_a_mismatch_that_names_both_values():
    effective = effective_parameters(fitted().model_to_string())
    with pytest.raises(WindowError) as caught:
        check_parameters(QUICK_TEACHER.model_copy(update={"num_leaves": 31, "seed": 8}).lightgbm(), effective)
    assert caught.value.kind is FailureKind.PARAMETER_MISMATCH
    assert str(caught.value) == (
        "LightGBM did not take the parameters: num_leaves was asked as 31 and is 7; seed was asked as 8 and is 7."
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        # Smoothing needs two rows a leaf, so LightGBM raises the minimum without a word.
        ({"path_smooth": 1.0, "min_data_in_leaf": 1}, "min_data_in_leaf was asked as 1 and is 2"),
        # On one machine nothing is there to be parallel with.
        ({"tree_learner": "data"}, "tree_learner was asked as data and is serial"),
    ],
)
def test_a_value_that_lightgbm_corrects_without_a_word_is_a_mismatch(asked, message):
    asked = QUICK_TEACHER.lightgbm() | asked
    booster = fit(*table(), asked, feature_names=NAMES)
    with pytest.raises(WindowError, match=message):
        check_parameters(asked, effective_parameters(booster.model_to_string()))


def test_a_parameter_that_lightgbm_does_not_know_is_a_mismatch():
    asked = QUICK_TEACHER.lightgbm() | {"num_leafs": 31}
    booster = fit(*table(), asked, feature_names=NAMES)
    with pytest.raises(WindowError, match="num_leafs was asked as 31 and is not there"):
        check_parameters(asked, effective_parameters(booster.model_to_string()))


@pytest.mark.parametrize("rate", [0.1234567, 0.1 + 0.2, 1 / 3, 0.001])
def test_a_number_of_more_digits_than_lightgbm_writes_is_no_mismatch(rate):
    asked = QUICK_TEACHER.model_copy(update={"learning_rate": rate})
    check_parameters(asked.lightgbm(), effective_parameters(fitted(asked).model_to_string()))


def test_a_number_that_differs_in_the_digits_lightgbm_writes_is_a_mismatch():
    effective = effective_parameters(fitted().model_to_string()) | {"learning_rate": "0.100001"}
    with pytest.raises(WindowError, match=r"learning_rate was asked as 0\.1 and is 0\.100001"):
        check_parameters(QUICK_TEACHER.lightgbm(), effective)


def test_the_fingerprint_of_trees_does_not_read_the_parameters():
    text = fitted().model_to_string()
    quieter = text.replace("[verbosity: -1]", "[verbosity: 1]")
    assert quieter != text
    assert trees_fingerprint(quieter) == trees_fingerprint(text)


def test_the_fingerprint_of_trees_changes_with_a_leaf():
    text = fitted().model_to_string()
    leaf = re.search(r"leaf_value=(\S)", text).start(1)
    assert trees_fingerprint(text[:leaf] + "7" + text[leaf:]) != trees_fingerprint(text)


def grown(**parameters: object) -> Trees:
    asked = TeacherParameters(scope="symbol", n_estimators=30, learning_rate=0.1, **parameters).lightgbm()
    return trees_of(fit(*table(), asked, feature_names=NAMES).model_to_string())


@pytest.mark.parametrize(
    ("asked", "leaves", "depth"),
    [
        ({"num_leaves": 2, "max_depth": 9, "min_child_samples": 2}, 2, 1),
        ({"num_leaves": 31, "max_depth": 2, "min_child_samples": 2}, 4, 2),
        # A hundred rows of which no leaf takes less than 45, and no bag is full.
        ({"num_leaves": 31, "max_depth": 9, "min_child_samples": 45, "subsample": 1}, 2, 1),
    ],
)
def test_the_largest_tree_is_what_parameters_and_rows_allow(asked, leaves, depth):
    found = grown(**asked)
    assert (found.count, found.largest_leaves, found.largest_depth, found.constant) == (30, leaves, depth, False)


def test_depth_and_leaves_are_those_that_lightgbm_tells():
    asked = TeacherParameters(
        scope="symbol", num_leaves=31, max_depth=12, n_estimators=30, min_child_samples=3
    ).lightgbm()
    booster = fit(*table(), asked, feature_names=NAMES)
    told = booster.trees_to_dataframe()
    found = trees_of(booster.model_to_string())
    assert found.largest_leaves == told[told["left_child"].isna()].groupby("tree_index").size().max()
    assert found.largest_depth == told["node_depth"].max() - 1
    assert found.largest_depth > 4


def test_a_model_without_a_split_is_a_constant():
    found = grown(min_child_samples=60)
    assert found == Trees(count=1, largest_leaves=1, largest_depth=0, constant=True)


def test_a_model_whose_only_split_is_into_leaves_of_one_value_is_a_constant():
    # Soft targets that differ by rounding alone let a tree split, by a gain of rounding.
    features, _ = table()
    target = np.full(100, 0.3) + np.where(features[:, 0] > 0, 0, 5e-17)
    asked = QUICK_STUDENT.lightgbm()
    texts = [
        fit(features, soft, asked, feature_names=NAMES).model_to_string()
        for soft in (target, (features[:, 1] > 0).astype(float))
    ]
    assert [trees_of(text).constant for text in texts] == [True, False]
    split = texts[1].replace("\nleaf_value=", "\nleaf_value=0.5 0.5\nold=")
    assert trees_of(split).constant
    assert trees_of(split).largest_leaves > 1


def test_threads_leave_the_trees_as_they_are():
    features, label = table()
    texts = [
        fit(features, label, QUICK_TEACHER.lightgbm() | {"num_threads": n}, feature_names=NAMES).model_to_string()
        for n in (1, 2)
    ]
    assert texts[0] != texts[1]
    assert trees_fingerprint(texts[0]) == trees_fingerprint(texts[1])


def test_the_same_booster_as_lightgbms_own_training_loop():
    features, label = table()
    own = lgb.train(QUICK_TEACHER.lightgbm(), lgb.Dataset(features, label, feature_name=list(NAMES)))
    assert trees_fingerprint(fitted().model_to_string()) == trees_fingerprint(own.model_to_string())


def test_an_expired_deadline_ends_the_window_with_the_rounds_it_had():
    asked = iter([False, False, False, True])
    with pytest.raises(WindowError, match="Time was up after 3 of 12 boosting rounds") as caught:
        fitted(expired=lambda: next(asked))
    assert caught.value.kind is FailureKind.TIMEOUT


def test_early_stopping_stops_at_the_best_round():
    features, label = table()
    unlike = table(1)[0], 1 - table(1)[1]  # the opposite is true there, so that every round makes it worse
    parameters = QUICK_TEACHER.model_copy(update={"n_estimators": 100}).lightgbm()
    booster = fit(
        features, label, parameters, feature_names=NAMES, validation=unlike, early_stopping_rounds=4,
    )  # fmt: skip
    assert booster.best_iteration == 1
    assert booster.num_trees() == 5
    assert booster.model_to_string().count("\nTree=") == 1
    np.testing.assert_array_equal(booster.predict(features), booster.predict(features, num_iteration=1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("rounds", "patience"), [(60, 5), (60, 200), (12, 12)])
def test_early_stopping_saves_what_lightgbms_own_loop_saves(seed, rounds, patience):
    features, label = table(seed)
    validation = table(seed + 100, rows=40)
    parameters = QUICK_TEACHER.model_copy(update={"n_estimators": rounds, "seed": seed}).lightgbm()
    booster = fit(
        features, label, parameters, feature_names=NAMES, validation=validation, early_stopping_rounds=patience
    )
    train = lgb.Dataset(features, label, feature_name=list(NAMES))
    own = lgb.train(
        parameters, train, valid_sets=[train.create_valid(*validation)],
        callbacks=[lgb.early_stopping(patience, verbose=False)],
    )  # fmt: skip
    assert trees_fingerprint(booster.model_to_string()) == trees_fingerprint(own.model_to_string())
    assert booster.best_iteration == own.best_iteration
    np.testing.assert_array_equal(booster.predict(features), own.predict(features))


def test_early_stopping_that_never_triggers_saves_the_best_round():
    features, label = table()
    unlike = table(1)[0], 1 - table(1)[1]  # the opposite is true there, so that every round makes it worse
    parameters = QUICK_TEACHER.model_copy(update={"n_estimators": 20}).lightgbm()
    booster = fit(features, label, parameters, feature_names=NAMES, validation=unlike, early_stopping_rounds=50)
    assert booster.num_trees() == 20
    assert booster.model_to_string().count("\nTree=") == 1


def test_without_early_stopping_validation_rows_change_nothing():
    validated = fitted(validation=(table(1)[0], 1 - table(1)[1]))
    assert validated.num_trees() == 12
    assert validated.model_to_string() == fitted().model_to_string()


def test_training_hides_what_it_does_not_need_from_lightgbm_and_from_nobody_else():
    said = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True).stdout
    assert said == "hidden pandas False pandas sklearn\n"
