"""Claims about settings that do nothing, against real LightGBM."""

import numpy as np
import pytest

from sensequant_assets.core.boosting import fit, trees_fingerprint
from sensequant_assets.core.idle import idle_settings
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import BoosterParameters, StudentParameters, TeacherParameters

TEACHER, STUDENT = (
    TeacherParameters(scope="symbol", num_leaves=4, max_depth=2),
    StudentParameters(scope="symbol", num_leaves=4, max_depth=2),
)
"""Parameters that all bind on `ROWS`."""
ROWS = 116


def said(
    teacher: TeacherParameters = TEACHER, student: StudentParameters = STUDENT, rows: int = ROWS, **recipe: object
) -> list[str]:
    return [str(one) for one in idle_settings(teacher, student, Recipe.model_validate(recipe), rows)]


def with_(parameters: TeacherParameters, **changed: object) -> TeacherParameters:
    return TeacherParameters.model_validate(parameters.model_dump() | changed)


def trees(parameters: BoosterParameters, seed: int, rows: int = ROWS) -> str:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 25))
    label = (features[:, 0] + rng.normal(size=rows) > 0).astype(float)
    names = tuple(f"f{number}" for number in range(25))
    return trees_fingerprint(fit(features, label, parameters.lightgbm(), feature_names=names).model_to_string())


def test_settings_that_bind_are_not_named():
    assert said() == []


def test_the_defaults_ask_for_larger_trees_than_a_window_gives():
    assert said(TeacherParameters(scope="symbol"), StudentParameters(scope="symbol")) == [
        "TEACHER_NUM_LEAVES=127 does nothing: 116 rows with TEACHER_MIN_CHILD_SAMPLES=20 make about 5 leaves.",
        "TEACHER_MAX_DEPTH=9 does nothing: a tree of about 5 leaves is no deeper.",
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("least", [5, 10, 20])
@pytest.mark.parametrize("learning_rate", [0.01, 0.3])
def test_leaves_that_are_said_to_do_nothing_change_no_tree(seed, least, learning_rate):
    asked = TeacherParameters(
        scope="symbol",
        num_leaves=127,
        max_depth=20,
        min_child_samples=least,
        learning_rate=learning_rate,
        n_estimators=150,
    )
    (leaves, *_) = said(asked)
    assert leaves.startswith("TEACHER_NUM_LEAVES=127 does nothing")
    smaller = with_(asked, num_leaves=2 * (ROWS // least))
    assert not any(one.startswith("TEACHER_NUM_LEAVES") for one in said(smaller))
    assert trees(asked, seed) == trees(smaller, seed)
    assert trees(with_(asked, num_leaves=2), seed) != trees(asked, seed)


@pytest.mark.parametrize("seed", range(6))
def test_more_leaves_than_a_depth_has_change_no_tree(seed):
    asked = with_(TEACHER, num_leaves=9, max_depth=3, min_child_samples=2, n_estimators=50)
    assert said(asked) == ["TEACHER_NUM_LEAVES=9 does nothing: a tree of TEACHER_MAX_DEPTH=3 has 8 leaves at most."]
    bound = with_(asked, num_leaves=8)
    assert said(bound) == []
    assert trees(asked, seed) == trees(bound, seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_depth_that_the_leaves_cannot_reach_changes_no_tree(seed):
    asked = with_(TEACHER, num_leaves=4, max_depth=20, min_child_samples=2, n_estimators=50)
    assert said(asked) == ["TEACHER_MAX_DEPTH=20 does nothing: a tree of at most 4 leaves is no deeper."]
    assert said(with_(asked, max_depth=3)) == [
        "TEACHER_MAX_DEPTH=3 does nothing: a tree of at most 4 leaves is no deeper."
    ]
    assert said(with_(asked, max_depth=2)) == []
    assert trees(asked, seed) == trees(with_(asked, max_depth=3), seed)


def test_without_rows_nothing_is_said_of_trees():
    assert said(TeacherParameters(scope="symbol"), rows=0) == []


@pytest.mark.parametrize(
    ("device", "fields"),
    [
        ("cpu", {"gpu_platform_id": 1, "gpu_device_id": 2, "gpu_device_ids": "0,1", "gpu_use_dp": True}),
        ("cpu", {"gpu_device_id": 2, "auto_gpu_from": 1}),
        ("cuda", {"gpu_platform_id": 1, "gpu_use_dp": True}),
        ("cuda", {"auto_gpu_from": 1}),
        ("gpu", {"auto_gpu_from": 1}),
    ],
)
def test_settings_of_another_device_mislead(device, fields):
    teacher = with_(TEACHER, device_type=device, **({"gpu_device_id": 2} | fields))
    found = idle_settings(teacher, STUDENT, Recipe(), ROWS)
    assert [one.name for one in found] == [f"TEACHER_{name.upper()}" for name in fields]
    assert all(one.misleading and one.why == f"TEACHER_DEVICE_TYPE is {device}" for one in found)
    assert str(found[-1]).startswith(f"TEACHER_{list(fields)[-1].upper()}=")
    assert " does nothing: " in str(found[-1])


@pytest.mark.parametrize("fields", [{"device_type": "gpu"}, {"device_type": "auto", "auto_gpu_from": 1}])
def test_a_gpu_takes_all_of_its_settings(fields):
    assert said(with_(TEACHER, gpu_platform_id=1, gpu_device_id=1, gpu_use_dp=True, **fields)) == []


def test_one_device_does_nothing_beside_several():
    several = with_(TEACHER, device_type="gpu", gpu_device_id=1, gpu_device_ids="0,1")
    assert said(several) == ["TEACHER_GPU_DEVICE_ID=1 does nothing: TEACHER_GPU_DEVICE_IDS is 0,1."]


def test_early_stopping_needs_rows_to_stop_by_and_the_tail_somebody_who_stops():
    assert said(with_(TEACHER, early_stopping_rounds=5), validation_fraction=0) == [
        "TEACHER_EARLY_STOPPING_ROUNDS=5 does nothing: SENSEQUANT_VALIDATION_FRACTION is 0 and leaves no row to stop "
        "early by."
    ]
    assert said(with_(TEACHER, early_stopping_rounds=5), validation_fraction=0.3) == []
    assert said(validation_fraction=0.3) == [
        "SENSEQUANT_VALIDATION_FRACTION=0.3 does nothing: without TEACHER_EARLY_STOPPING_ROUNDS a teacher trains on "
        "all rows."
    ]


def test_a_number_that_the_label_does_not_ask_for_misleads():
    assert (
        said(threshold=0.03) == said(label="volatility_neutral", deviations=1.0) == said(label="cross_sectional") == []
    )
    assert said(label="cross_sectional", threshold=0.03, deviations=1.0) == [
        "SENSEQUANT_THRESHOLD=0.03 does nothing: SENSEQUANT_LABEL is cross_sectional.",
        "SENSEQUANT_DEVIATIONS=1.0 does nothing: SENSEQUANT_LABEL is cross_sectional.",
    ]
    (found,) = idle_settings(TEACHER, STUDENT, Recipe(deviations=1.0), ROWS)
    assert found.misleading
    assert found.name == "SENSEQUANT_DEVIATIONS"


def test_a_minimum_below_what_parameters_need_does_nothing():
    assert said(min_samples=79) == ["SENSEQUANT_MIN_SAMPLES=79 does nothing: the parameters need 80 rows."]
    assert said(min_samples=81) == []


@pytest.mark.parametrize("subsample", [0.8, 1.0])
def test_a_seed_draws_nothing_where_every_tree_sees_everything(subsample):
    student = STUDENT.model_copy(update={"seed": 8, "subsample": subsample})
    idle = ["STUDENT_SEED=8 does nothing: every tree sees all rows and all features."] if subsample == 1 else []
    assert said(student=student) == idle
    same = trees(student, 0) == trees(student.model_copy(update={"seed": 9}), 0)
    assert same == (subsample == 1)


def test_settings_of_pools_are_named_where_there_is_none():
    teacher = TEACHER.model_copy(update={"pool_history": "2", "early_life": "separate"})
    student = STUDENT.model_copy(update={"own_rounds": 20})
    of_history = "TEACHER_POOL_HISTORY=2 does nothing: TEACHER_SCOPE is symbol, and there is no pool."
    of_young = "TEACHER_EARLY_LIFE=separate does nothing: TEACHER_SCOPE is symbol, and there is no pool."
    of_rounds = "STUDENT_OWN_ROUNDS=20 does nothing: only a student of STUDENT_SCOPE=symbol corrects that of a pool."

    assert said(teacher, student) == [of_history, of_young, of_rounds]
    pooled = TeacherParameters(scope="pool", pool_history="2", early_life="separate")
    assert said(pooled, student, rows=9000) == []
    assert said(pooled, StudentParameters(scope="pool", own_rounds=20), rows=9000) == [of_rounds]
