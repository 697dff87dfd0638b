"""Claims about parameters and their LightGBM names."""

import pytest
from pydantic import ValidationError

from sensequant_assets.core.parameters import CPU, Device, StudentParameters, TeacherParameters


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


@pytest.mark.parametrize("device", [CPU, Device("gpu", 1, 2), Device("cuda", 0, 3)])
def test_a_placed_teacher_is_trained_there_and_its_text_says_where(device):
    auto = TeacherParameters(scope="symbol", device_type="auto", gpu_device_ids="all")
    placed = auto.on(device).lightgbm()
    assert Device.of({name: str(value) for name, value in placed.items()}) == device
    assert auto.trained_as({name: str(value) for name, value in placed.items()}).lightgbm() == placed


def test_auto_that_nobody_has_placed_is_the_cpu():
    assert TeacherParameters(device_type="auto").lightgbm() == TeacherParameters().lightgbm()


def test_which_of_several_devices_trains_makes_no_model_another_one():
    one, other = TeacherParameters(device_type="gpu"), TeacherParameters(device_type="gpu", gpu_device_ids="0,1")
    assert one.made_with == other.made_with
    assert one.made_with != TeacherParameters().made_with


@pytest.mark.parametrize(
    "wrong",
    [{"num_leaves": 1}, {"num_leaves": 1025}, {"max_depth": 0}, {"learning_rate": 0.0}, {"n_estimators": 9},
     {"gpu_device_ids": "0,"}, {"gpu_device_ids": "8"}, {"gpu_device_ids": "0, 1"}, {"auto_gpu_from": -1},
     {"subsample": 0.0}, {"subsample": 1.01}, {"folds": 1}, {"seed": -1}, {"device_type": "tpu"}, {"num_leafs": 31}],
)  # fmt: skip
def test_a_value_out_of_bounds_or_an_unknown_name_is_refused(wrong):
    with pytest.raises(ValidationError):
        TeacherParameters(**wrong)


def test_early_stopping_is_off_by_default():
    assert TeacherParameters(scope="symbol").early_stopping_rounds == 0


def test_a_student_of_its_symbol_has_the_pools_parameters_where_it_is_shared_and_few_rounds_where_it_corrects():
    student = StudentParameters(scope="symbol")

    assert student.shared == StudentParameters(scope="pool")
    assert (student.correction.n_estimators, student.correction.num_leaves) == (10, 7)


def test_what_is_set_of_a_student_of_its_symbol_binds_in_the_shared_one_and_in_the_correction():
    student = StudentParameters(scope="symbol", num_leaves=5, n_estimators=80, own_rounds=3)

    assert student.shared == StudentParameters(scope="pool", num_leaves=5, n_estimators=80, own_rounds=3)
    assert (student.correction.n_estimators, student.correction.num_leaves) == (3, 5)
    # As a record of a run keeps it, in which everything is given.
    assert StudentParameters(**student.model_dump()).shared == student.shared


def test_a_shared_student_is_its_own():
    student = StudentParameters(scope="pool", num_leaves=5)

    assert student.shared is student
