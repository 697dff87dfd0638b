"""The settings of a profile: every combination of the values that are asked for, checked before one is trained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

from pydantic import BaseModel, ConfigDict

from sensequant_assets.core.parameters import LightGBMValue, StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import parameter_named, parse_overrides, read_student, read_teacher

AS_SET = "as set"
"""Name of the only setting of a profile without a grid."""


class Setting(BaseModel):
    """Parameters that are profiled together.

    Attributes
    ----------
    values
        What the grid gives them, by name; a student's begins with `student_`.
    teacher, student
        All of them.
    """

    model_config = ConfigDict(frozen=True)

    values: Mapping[str, str]
    teacher: TeacherParameters
    student: StudentParameters

    @property
    def name(self) -> str:
        """What sets it apart from the others of its grid."""
        return " ".join(f"{name}={value}" for name, value in self.values.items()) or AS_SET

    @property
    def lightgbm(self) -> dict[str, Mapping[str, LightGBMValue]]:
        """What LightGBM is asked for, by model, under its own names."""
        return {"teacher": self.teacher.lightgbm(), "student": self.student.lightgbm()}


def settings_of(grid: Sequence[str], params: Sequence[str] = (), device: str | None = None) -> list[Setting]:
    """Every combination of values, the last name changing first.

    Parameters
    ----------
    grid
        `num_leaves=63,127` for the teacher, `student_max_depth=3,4` for the student: a name each.
    params
        What is the same in all of them, as of `parse_overrides`.
    device
        Where teachers are trained; as the environment says unless given.

    Raises
    ------
    UsageError
        A name or value that there is not, or one given twice: names it.
    """
    axes = _axes(grid)
    for_teacher, for_student = parse_overrides(params)
    fixed = {"teacher": dict(for_teacher), "student": dict(for_student)}
    if device is not None:
        fixed["teacher"]["device_type"] = device
    for (model, field), name in zip(axes, _names(axes), strict=True):
        if field in fixed[model]:
            raise UsageError(f"{name} is in --grid and is also set by an option. Leave one of them out.")
    found = []
    for chosen in product(*axes.values()):
        given = {model: dict(own) for model, own in fixed.items()}
        for (model, field), value in zip(axes, chosen, strict=True):
            given[model][field] = value
        teacher = read_teacher(given["teacher"])
        student = read_student(given["student"], teacher.scope)
        # Without the environment they are read from: these are what a record of them is read into.
        found.append(
            Setting(
                values=dict(zip(_names(axes), chosen, strict=True)),
                teacher=TeacherParameters(**teacher.model_dump()),
                student=StudentParameters(**student.model_dump()),
            )
        )
    _refuse_equal(found)
    return found


def _refuse_equal(settings: Sequence[Setting]) -> None:
    for place, one in enumerate(settings):
        for other in settings[:place]:
            if (one.teacher, one.student) == (other.teacher, other.student):
                raise UsageError(f"{other.name} and {one.name} are the same parameters. Leave one of them out.")


def _axes(grid: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    axes: dict[tuple[str, str], list[str]] = {}
    for text in grid:
        name, _, listed = text.partition("=")
        values = [value.strip() for value in listed.split(",") if value.strip()]
        if not values:
            raise UsageError(f"--grid {text} has no values; write for example --grid num_leaves=63,127,255.")
        key = parameter_named(name, "--grid")
        if key in axes:
            raise UsageError(f"--grid has {name.strip()} twice. Give all of its values in one: name=value,value.")
        value, times = Counter(values).most_common(1)[0]
        if times > 1:
            raise UsageError(f"--grid {text} has the value {value} twice. Leave one of them out.")
        axes[key] = values
    return axes


def _names(axes: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    return [field if model == "teacher" else f"student_{field}" for model, field in axes]
