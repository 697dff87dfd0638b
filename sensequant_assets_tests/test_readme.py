"""What the README and the pages of docs/ say is what the code says, and what they point at is there."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import FailureKind
from sensequant_assets.settings import PROJECT, Settings, describe_bounds, describe_default, variable_of_setting

README, DOCS = PROJECT / "README.md", PROJECT / "docs"
PAGES = [README, PROJECT / "CONTRIBUTING.md", PROJECT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


def rows(model: type[BaseModel], variable: Callable[[str], str]) -> Iterator[str]:
    """The rows of the tables of settings, as the code has them."""
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
def test_every_setting_stands_on_its_page_with_its_default_and_bounds(row: str) -> None:
    assert row in (DOCS / "settings.md").read_text().splitlines()


def test_every_command_stands_on_a_page() -> None:
    from sensequant_assets.cli.main import COMMANDS

    told = "".join(page.read_text() for page in PAGES)
    assert [name for name in COMMANDS if f"sensequant {name}" not in told] == []


@pytest.mark.parametrize("kind", FailureKind)
def test_every_cause_of_failure_stands_on_its_page_with_what_to_do(kind: FailureKind) -> None:
    row = f"| `{kind}` | {'yes' if kind.transient else 'no'} | {kind.advice} |"
    assert row in (DOCS / "operating.md").read_text().splitlines()


def anchors(page: Path) -> set[str]:
    """What a link can point at within a page, as GitHub names headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(PROJECT)) for page in PAGES])
def test_what_a_page_points_at_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert [page.name for page in DOCS.glob("*.md") if f"docs/{page.name}" not in text] == []
