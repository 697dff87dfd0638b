"""Claims about parameters and their LightGBM names."""

import pytest
from pydantic import ValidationError

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters


def test_a_teacher_says_its_parameters_under_lightgbms_own_names():
    said = TeacherParameters(
        scope="symbol", n_estimators=77, min_child_samples=3, subsample=0.5, colsample_bytree=0.6
    ).lightgbm()
    expected = {"num_iterations": 77, "min_data_in_leaf": 3, "bagging_fraction": 0.5, "feature_fraction": 0.6}
    assert expected.items() <= said.items()
    assert said["objective"] == "binary"


def test_a_share_of_rows_comes_with_the_frequency_without_which_lightgbm_ignores_it():
    assert TeacherParameters(scope="symbol").lightgbm()["bagging_freq"] == 1


@pytest.mark.parametrize("parameters", [TeacherParameters(scope="symbol"), StudentParameters(scope="symbol")])
def test_every_booster_is_deterministic_on_one_thread(parameters):
    said = parameters.lightgbm()
    assert (said["deterministic"], said["force_row_wise"], said["num_threads"]) == (True, True, 1)


def test_a_student_takes_probabilities_as_labels_and_is_far_smaller():
    teacher, student = TeacherParameters(scope="symbol"), StudentParameters(scope="symbol")
    assert student.lightgbm()["objective"] == "cross_entropy"
    assert student.num_leaves * 10 < teacher.num_leaves
    assert student.n_estimators * 10 <= teacher.n_estimators


def test_a_gpu_teacher_names_its_device_and_builds_histograms_by_column():
    said = TeacherParameters(
        scope="symbol", device_type="gpu", gpu_platform_id=1, gpu_device_id=2, gpu_use_dp=True
    ).lightgbm()
    assert {"device_type": "gpu", "gpu_platform_id": 1, "gpu_device_id": 2, "gpu_use_dp": True}.items() <= said.items()
    assert said["force_col_wise"] is True
    assert "force_row_wise" not in said
    assert "gpu_platform_id" not in TeacherParameters(scope="symbol").lightgbm()


@pytest.mark.parametrize(
    "wrong",
    [{"num_leaves": 1}, {"num_leaves": 1025}, {"max_depth": 0}, {"learning_rate": 0.0}, {"n_estimators": 9},
     {"subsample": 0.0}, {"subsample": 1.01}, {"folds": 1}, {"seed": -1}, {"device_type": "tpu"}, {"num_leafs": 31}],
)  # fmt: skip
def test_a_value_out_of_bounds_or_an_unknown_name_is_refused(wrong):
    with pytest.raises(ValidationError):
        TeacherParameters(**wrong)


def test_early_stopping_is_off_by_default():
    assert TeacherParameters(scope="symbol").early_stopping_rounds == 0
