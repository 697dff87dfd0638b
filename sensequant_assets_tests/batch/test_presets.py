"""Claims about presets: what is written is read as the same parameters, and nothing else is taken for one."""

from pathlib import Path

import pytest

from sensequant_assets.batch.presets import preset_path, read_preset, write_preset
from sensequant_assets.batch.space import Candidate, read_space
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import read_settings, read_student, read_teacher
from sensequant_assets_tests.running import leave


@pytest.mark.parametrize("student_scope", ["pool", "symbol"])
def test_a_preset_is_read_as_the_parameters_that_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student_scope: str
) -> None:
    leave(monkeypatch, tmp_path)
    point = Candidate(
        read_settings({"label": "cross_sectional", "features": "standard"}),
        TeacherParameters(scope="pool", learning_rate=0.1234567890123, pool_history="3"),
        StudentParameters(scope="pool" if student_scope == "pool" else "symbol", num_leaves=9),
    )
    axes = read_space(["learning_rate=0.01:0.3", "SENSEQUANT_LABEL=threshold|cross_sectional"], "pool")
    write_preset(preset_path(tmp_path, "mine"), point, axes, ["Line\nbreaks are none."])
    found = read_preset(tmp_path, "mine")
    teacher = read_teacher(found.teacher)
    assert teacher.model_dump() == point.teacher.model_dump()
    assert read_student(found.student, teacher.scope).model_dump() == point.student.model_dump()
    assert found.settings == {"label": "cross_sectional"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("TEACHER_NUM_LEAVES=", "no preset sets TEACHER_NUM_LEAVES"),
        ("SENSEQUANT_DATA_DIR=/elsewhere", "no preset sets SENSEQUANT_DATA_DIR"),
        ("TEACHER_LEAVES=3", "no preset sets TEACHER_LEAVES"),
    ],
)
def test_a_file_that_sets_other_things_is_no_preset(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.env").write_text(text)
    with pytest.raises(UsageError, match=why):
        read_preset(tmp_path, "mine")


def test_a_preset_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="makes the first"):
        read_preset(tmp_path, "mine")
    (tmp_path / "other.env").write_text("TEACHER_NUM_LEAVES=3\n")
    with pytest.raises(UsageError, match="There are: other"):
        read_preset(tmp_path, "mine")
    with pytest.raises(UsageError, match="no name of a preset"):
        preset_path(tmp_path, "../mine")
