"""What the README and the pages of docs/ say is what the code says, and what they point at is there."""

import re
from pathlib import Path

import pytest

from docs.pages import DOCS, MADE, as_made
from sensequant_assets.core.lattice import SkipReason
from sensequant_assets.settings import PROJECT

README = PROJECT / "README.md"
PAGES = [README, PROJECT / "CONTRIBUTING.md", PROJECT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("name", MADE)
def test_a_table_of_what_the_code_knows_is_as_the_code_has_it(name: str) -> None:
    assert (DOCS / name).read_text() == as_made(DOCS / name), "`python docs/pages.py` writes it anew"


def test_a_page_without_a_place_for_its_table_is_named(tmp_path: Path) -> None:
    (page := tmp_path / "settings.md").write_text("# Settings\n")
    with pytest.raises(ValueError, match=r"^settings\.md has no place for settings: write <!--"):
        as_made(page)


def test_every_command_stands_on_a_page() -> None:
    from sensequant_assets.cli.main import COMMANDS

    told = "".join(page.read_text() for page in PAGES)
    assert [name for name in COMMANDS if f"sensequant {name}" not in told] == []


@pytest.mark.parametrize("reason", SkipReason)
def test_every_reason_of_a_skip_is_among_the_questions(reason: SkipReason) -> None:
    assert f"| `{reason}` | " in (DOCS / "faq.md").read_text()


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
