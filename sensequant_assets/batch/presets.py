"""Presets: sets of parameters under a name, as lines of an environment file below the data directory."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from sensequant_assets.batch.space import LABELS, MACHINE, Axis, Candidate
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import replacing
from sensequant_assets.settings import variable_of_setting
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.text import file_name, printable


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset sets.

    Attributes
    ----------
    teacher, student
        Parameters by field.
    settings
        Fields of `Settings`: labels and features.
    """

    teacher: Mapping[str, str]
    student: Mapping[str, str]
    settings: Mapping[str, str]


def preset_path(directory: Path, name: str) -> Path:
    """File of a preset; `UsageError` for a name that is no file's."""
    if file_name(name) != name:
        raise UsageError(f"{printable(name)} is no name of a preset. Use letters, digits, - and _, 80 at most.")
    return directory / f"{name}.env"


def write_preset(path: Path, candidate: Candidate, axes: Sequence[Axis], about: Sequence[str]) -> None:
    """Write what a candidate is made with, whole: all parameters, and of labels and features what was tuned.

    Parameters
    ----------
    path
        As of `preset_path`.
    candidate, axes
        What was found, and what was tuned.
    about
        Sentences on it, which stand above it.
    """
    lines = [f"# {printable(said)}" for said in about]
    for owner, model in (("TEACHER", candidate.teacher), ("STUDENT", candidate.student)):
        values = model.model_dump(mode="json", exclude=set(MACHINE))
        lines += [f"{owner}_{field.upper()}={str(value).lower()}" for field, value in values.items()]
    for field in (axis.field for axis in axes if axis.owner == "settings"):
        lines.append(f"{variable_of_setting(field)}='{getattr(candidate.settings, field)}'")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]))


def read_preset(directory: Path, name: str) -> Preset:
    """Read a preset.

    Raises
    ------
    UsageError
        There is none of that name, it cannot be read, or it sets what no preset sets.
    """
    path = preset_path(directory, name)
    try:
        values = dotenv_values(stream=io.StringIO(read_regular(path).decode()))
    except FileNotFoundError:
        there = ", ".join(sorted(one.stem for one in directory.glob("*.env")))
        others = f"There are: {there}." if there else "`sensequant tune` makes the first."
        raise UsageError(f"There is no preset {name} in {directory}. {others}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}. It holds NAME=value lines in UTF-8.") from error
    known: dict[str, tuple[str, str]] = {variable_of_setting(field): ("settings", field) for field in LABELS}
    for owner, model in (("teacher", TeacherParameters), ("student", StudentParameters)):
        known |= {f"{owner}_{field}".upper(): (owner, field) for field in model.model_fields}
    found: dict[str, dict[str, Any]] = {"teacher": {}, "student": {}, "settings": {}}
    for variable, value in values.items():
        if variable not in known or not value:
            raise UsageError(f"{path}: no preset sets {printable(variable)}, or it has no value. Remove it.")
        owner, field = known[variable]
        found[owner][field] = value
    return Preset(**found)
