"""Claims about the fingerprints of the code: of what makes a model, and of what judges it."""

import shutil
from pathlib import Path

import pytest

from sensequant_assets import core
from sensequant_assets.batch import made_with
from sensequant_assets.batch.made_with import core_fingerprints

LIBRARIES = {"lightgbm": "4.7.0"}


@pytest.fixture
def core_copy(tmp_path: Path) -> Path:
    copied = tmp_path / "core"
    shutil.copytree(Path(core.__path__[0]), copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "nested").mkdir()
    (copied / "nested" / "deeper.py").write_text("DEPTH = 2\n")
    return copied


def test_changing_any_file_of_the_core_changes_the_fingerprint_of_what_it_does(core_copy: Path) -> None:
    # What a file holds is read again for each that changes: an import is enough of it.
    for number, file in enumerate(core_copy.rglob("*.py")):
        file.write_text(f"import math\n\nNUMBER = {number}\n")
    makes, judges = core_fingerprints(core_copy, LIBRARIES)
    changed: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    # Rules on bars change neither: what they do to bars is in the fingerprint of the data.
    (core_copy / "quality" / "rules.py").write_text("CHANGED = 1\n")
    # Nor does what asks trees that are there.
    (core_copy / "scoring" / "forest.py").write_text("CHANGED = 1\n")
    assert core_fingerprints(core_copy, LIBRARIES) == (makes, judges)
    files = sorted(file for file in core_copy.rglob("*.py") if file.parent.name not in ("quality", "scoring"))
    for file in files:
        written = file.read_text()
        file.write_text(f"{written}\nCHANGED = 1\n")
        changed[file.parent.name == "judging"].add(core_fingerprints(core_copy, LIBRARIES))
        file.write_text(written)
    assert core_fingerprints(core_copy, LIBRARIES) == (makes, judges)
    assert len(changed[True]) > 1
    assert len(changed[False]) > 15
    assert len(changed[True]) + len(changed[False]) == len(files)
    # A new metric trains no model again, and nothing else in the core does only that.
    assert {one[0] for one in changed[True]} == {makes}
    assert {one[1] for one in changed[False]} == {judges}
    assert judges not in {one[1] for one in changed[True]}
    assert makes not in {one[0] for one in changed[False]}


def test_a_nested_file_that_moves_or_goes_changes_the_code_fingerprint(core_copy: Path) -> None:
    before = core_fingerprints(core_copy, {})
    (core_copy / "nested" / "deeper.py").rename(core_copy / "deeper.py")
    moved = core_fingerprints(core_copy, {})
    (core_copy / "deeper.py").unlink()
    gone = core_fingerprints(core_copy, {})
    assert len({found[0] for found in (before, moved, gone)}) == 3


def test_another_library_changes_what_makes_a_model_and_not_what_judges_it(core_copy: Path) -> None:
    one, other = core_fingerprints(core_copy, LIBRARIES), core_fingerprints(core_copy, {"lightgbm": "4.8.0"})
    assert one[0] != other[0]
    assert one[1] == other[1]


@pytest.mark.parametrize("lost", ["*.py", "judging/*.py"])
def test_a_directory_without_source_has_no_code_fingerprint(core_copy: Path, lost: str) -> None:
    for file in [*core_copy.glob(lost), *core_copy.glob("nested/*.py")]:
        file.unlink()
    with pytest.raises(ValueError, match="no source"):
        core_fingerprints(core_copy, LIBRARIES)


def test_the_code_fingerprints_are_those_of_the_core_package(core_copy: Path) -> None:
    shutil.rmtree(core_copy / "nested")
    libraries = {name: made_with.versions()[name] for name in ("lightgbm", "numpy")}
    assert (made_with.code(), made_with.judging()) == core_fingerprints(core_copy, libraries)
