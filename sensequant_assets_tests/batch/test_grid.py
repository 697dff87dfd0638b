"""Claims about the settings of a grid, which is checked before anything is trained."""

from pathlib import Path

import pytest

from sensequant_assets.batch.grid import AS_SET, Setting, settings_of
from sensequant_assets.errors import UsageError
from sensequant_assets_tests.running import leave


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, tmp_path)


def test_every_combination_is_a_setting_and_the_last_name_changes_first() -> None:
    found = settings_of(["num_leaves=63,127", "student_max_depth=3, 4"], ["TEACHER_N_ESTIMATORS=10"])
    assert [setting.name for setting in found] == [
        "num_leaves=63 student_max_depth=3",
        "num_leaves=63 student_max_depth=4",
        "num_leaves=127 student_max_depth=3",
        "num_leaves=127 student_max_depth=4",
    ]
    assert [(each.teacher.num_leaves, each.student.max_depth) for each in found] == [
        (63, 3),
        (63, 4),
        (127, 3),
        (127, 4),
    ]
    assert {setting.teacher.n_estimators for setting in found} == {10}


def test_without_a_grid_there_is_one_setting_the_parameters_as_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_NUM_LEAVES", "31")
    (found,) = settings_of([], device="gpu")
    assert (found.name, found.teacher.num_leaves, found.teacher.device_type) == (AS_SET, 31, "gpu")


def test_a_setting_has_the_defaults_of_its_own_scope() -> None:
    symbol, pool = settings_of(["scope=symbol,pool"])
    assert (symbol.teacher.num_leaves, pool.teacher.num_leaves) == (127, 15)
    assert (symbol.student.scope, pool.student.scope) == ("symbol", "pool")


def test_a_setting_is_read_back_as_it_was_written() -> None:
    for setting in settings_of(["num_leaves=7,9"]):
        assert Setting.model_validate_json(setting.model_dump_json()) == setting


@pytest.mark.parametrize(
    ("grid", "params", "culprit"),
    [
        (["num_leaves=63,1"], [], "TEACHER_NUM_LEAVES=1 is not allowed: it must be a whole number in [2, 1024]"),
        (["student_max_depth=0"], [], "STUDENT_MAX_DEPTH=0 is not allowed"),
        (["num_leafs=7"], [], "--grid num_leafs is no parameter. Did you mean NUM_LEAVES?"),
        (["num_leaves"], [], "--grid num_leaves has no values"),
        (["num_leaves=7", "TEACHER_NUM_LEAVES=9"], [], "--grid has TEACHER_NUM_LEAVES twice"),
        (["num_leaves=7,9,7"], [], "has the value 7 twice"),
        (["num_leaves=7,07"], [], "num_leaves=7 and num_leaves=07 are the same parameters"),
        (["num_leaves=7,9"], ["TEACHER_NUM_LEAVES=8"], "num_leaves is in --grid and is also set"),
    ],
)
def test_a_value_or_name_that_there_is_not_is_refused_by_name(grid: list[str], params: list[str], culprit: str) -> None:
    with pytest.raises(UsageError) as told:
        settings_of(grid, params)
    assert culprit in str(told.value)


def test_a_device_that_is_in_the_grid_is_set_by_no_option() -> None:
    with pytest.raises(UsageError, match="device_type is in --grid and is also set"):
        settings_of(["device_type=cpu,gpu"], device="cpu")
