"""What the README says of settings is what the code says."""

from collections.abc import Callable, Iterator

import pytest
from pydantic import BaseModel

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import FailureKind
from sensequant_assets.settings import PROJECT, Settings, describe_bounds, describe_default, variable_of_setting

README = PROJECT / "README.md"


def rows(model: type[BaseModel], variable: Callable[[str], str]) -> Iterator[str]:
    """The rows of the README's configuration table, as the code has them."""
    for name, field in model.model_fields.items():
        default = describe_default(model, name)
        shown = f"`{default}`" if default else ""
        pooled = getattr(model, "POOLED", {}).get(name)
        if pooled is not None:
            shown += f", pool `{pooled}`"
        yield f"| `{variable(name)}` | {shown} | {describe_bounds(model, name)} | {field.description} |"


TABLE = [
    *rows(Settings, variable_of_setting),
    *rows(TeacherParameters, lambda name: f"TEACHER_{name.upper()}"),
    *rows(StudentParameters, lambda name: f"STUDENT_{name.upper()}"),
]


@pytest.mark.parametrize("row", TABLE, ids=[row.split("`")[1] for row in TABLE])
def test_every_setting_stands_in_the_readme_with_its_default_and_bounds(row: str) -> None:
    assert row in README.read_text().splitlines()


def test_every_command_stands_in_the_readme() -> None:
    from sensequant_assets.cli.main import COMMANDS

    assert [name for name in COMMANDS if f"sensequant {name}" not in README.read_text()] == []


@pytest.mark.parametrize("kind", FailureKind)
def test_every_cause_of_failure_stands_in_the_readme_with_what_to_do(kind: FailureKind) -> None:
    row = f"| `{kind}` | {'yes' if kind.transient else 'no'} | {kind.advice} |"
    assert row in README.read_text().splitlines()
