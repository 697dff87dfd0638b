"""What tuning searches: parameters, features and labels, each with the values that it may take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from sensequant_assets.core.parameters import Scope, StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import (
    MarketSettings,
    Settings,
    describe_bounds,
    parameter_named,
    read_market,
    read_student,
    read_teacher,
    variable_of_setting,
)

Value = int | float | str

LABELS = ("label", "threshold", "deviations", "horizon", "features")
"""Settings beside the parameters that may be tuned: what labels ask, and what rows hold."""

MACHINE = TeacherParameters.PLACING | {
    name for name in TeacherParameters.model_fields if name.startswith(("device_", "gpu_"))
}
"""Parameters that say where trees are built, and not which."""

FIXED = {"seed", "scope", *MACHINE}
"""Parameters that may not: to choose a seed is to choose luck, and the others are decisions of their own."""

DEFAULT: Mapping[Scope, Sequence[str]] = {
    "pool": (
        "TEACHER_NUM_LEAVES=7:63:log", "TEACHER_MAX_DEPTH=3:8", "TEACHER_LEARNING_RATE=0.01:0.2:log",
        "TEACHER_N_ESTIMATORS=20:200:log", "TEACHER_MIN_CHILD_SAMPLES=20:400:log", "TEACHER_COLSAMPLE_BYTREE=0.4:1",
        "STUDENT_NUM_LEAVES=7:31:log", "STUDENT_N_ESTIMATORS=20:150:log",
    ),
    "symbol": (
        "TEACHER_NUM_LEAVES=3:31:log", "TEACHER_MAX_DEPTH=2:8", "TEACHER_LEARNING_RATE=0.005:0.1:log",
        "TEACHER_N_ESTIMATORS=50:500:log", "TEACHER_MIN_CHILD_SAMPLES=5:20:log", "TEACHER_COLSAMPLE_BYTREE=0.4:1",
        "STUDENT_NUM_LEAVES=3:15:log", "STUDENT_N_ESTIMATORS=20:100:log",
    ),
}  # fmt: skip
"""Where nobody names a space: around the defaults of each scope, within what small windows can bear."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One of the things that are tuned.

    Attributes
    ----------
    name
        Its variable, such as `TEACHER_NUM_LEAVES`.
    owner, field
        `teacher`, `student` or `settings`, and the field of it.
    whole
        Whether it takes whole numbers alone.
    low, high, log
        Least and most, both included, and whether it is searched by ratios; of choices 0.
    choices
        The values that it may take; empty where it has a range.
    """

    name: str
    owner: str
    field: str
    whole: bool = False
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        return str(value) in self.choices if self.choices else self.low <= float(value) <= self.high

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name}={'|'.join(self.choices)}"
        return f"{self.name}={self.low:g}:{self.high:g}{':log' * self.log}"


def read_space(texts: Iterable[str], scope: Scope) -> tuple[Axis, ...]:
    """The axes that texts name, by default those of the scope.

    Parameters
    ----------
    texts
        `TEACHER_NUM_LEAVES=15:255:log`, `STUDENT_MAX_DEPTH=2:4`, `SENSEQUANT_LABEL=threshold|cross_sectional`; a name
        without prefix is the teacher's.
    scope
        Of the teacher.

    Raises
    ------
    UsageError
        A name that cannot be tuned or stands there twice, or values that are none or out of its bounds.
    """
    axes = tuple(map(_axis, texts)) or tuple(map(_axis, DEFAULT[scope]))
    names = [axis.name for axis in axes]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{twice[0]} stands in the space twice. Leave one of them out.")
    return axes


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of a space, with all that it is tried with.

    Attributes
    ----------
    settings, teacher, student
        Market and parameters.
    """

    settings: Settings
    teacher: TeacherParameters
    student: StudentParameters

    def of(self, axis: Axis) -> Value:
        """What it has on an axis."""
        value: Value = getattr(getattr(self, axis.owner), axis.field)
        return str(value) if axis.choices else value

    def at(self, values: Mapping[Axis, Value], params: tuple[Mapping[str, str], Mapping[str, str]]) -> "Candidate":
        """The same at other values; `params` are what options say of teacher and student."""
        found: dict[str, dict[str, Any]] = {"teacher": {**params[0]}, "student": {**params[1]}, "settings": {}}
        for axis, value in values.items():
            found[axis.owner][axis.field] = value
        teacher = read_teacher(found["teacher"])
        student = read_student(found["student"], teacher.scope)
        return Candidate(self.settings.model_copy(update=found["settings"]), teacher, student)


def _axis(text: str) -> Axis:
    name, separator, said = text.partition("=")
    if not separator or not said.strip():
        raise UsageError(f"--space {text} has no values; write for example --space TEACHER_NUM_LEAVES=15:255:log.")
    owner, field, model = _named(name.strip())
    variable = variable_of_setting(field) if owner == "settings" else f"{owner.upper()}_{field.upper()}"
    ranged = model.model_fields[field].annotation in (int, float)
    if "|" in said or not ranged:
        choices = tuple(part.strip() for part in said.split("|"))
        if len(set(choices)) < max(len(choices), 2):
            raise UsageError(f"--space {text} needs two different values at least, as in {variable}=a|b.")
        for choice in choices:
            _check(owner, field, choice)
        return Axis(variable, owner, field, choices=choices)
    whole = model.model_fields[field].annotation is int
    low, high, log = _range(text, said, variable, int if whole else float)
    for end in (low, high):
        _check(owner, field, end)
    return Axis(variable, owner, field, whole, low, high, log)


def _named(name: str) -> tuple[str, str, type[BaseModel]]:
    """Whose a name is, its field, and the model that has it."""
    known = {variable_of_setting(field): field for field in LABELS}
    if name.upper() in known:
        return "settings", known[name.upper()], Settings
    if name.upper().startswith("SENSEQUANT_"):
        raise UsageError(f"--space {name} cannot be tuned. Of the settings there are: {', '.join(known)}.")
    owner, field = parameter_named(name, "--space")
    model = TeacherParameters if owner == "teacher" else StudentParameters
    if field in FIXED:
        raise UsageError(f"--space {name} cannot be tuned: it is set by --param or the environment alone.")
    return owner, field, model


def _range(text: str, said: str, variable: str, kind: Callable[[str], float]) -> tuple[float, float, bool]:
    parts = [part.strip() for part in said.split(":")]
    log = parts[2:] == ["log"]
    try:
        low, high = map(kind, parts[:2])
    except ValueError:
        low, high = 0, 0
    if len(parts) > 2 + log or not low < high:
        raise UsageError(
            f"--space {text} is no range of numbers; write {variable}=LOW:HIGH or {variable}=LOW:HIGH:log."
        )
    if log and low <= 0:
        raise UsageError(f"--space {text} is searched by ratios, and must begin above 0.")
    return low, high, log


def _check(owner: str, field: str, value: Value) -> None:
    """Refuse what the field does not take, in the words of whoever reads it."""
    if owner == "teacher":
        read_teacher({field: value})
    elif owner == "student":
        read_student({field: value})
    elif field in MarketSettings.model_fields:
        choices = get_args(MarketSettings.model_fields[field].annotation)
        if choices and value not in choices:
            bounds = describe_bounds(MarketSettings, field)
            raise UsageError(f"{variable_of_setting(field)}={value} is not allowed: it must be {bounds}.")
        read_market({field: value})
