"""Claims about files that are written whole or not at all."""

from pathlib import Path

import pytest

from sensequant_assets.replacing import replacing


def test_what_is_written_takes_the_place_of_the_path(tmp_path: Path) -> None:
    path = tmp_path / "made" / "one.json"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert [one.name for one in path.parent.iterdir()] == ["one.json"]


def test_an_error_leaves_the_path_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text("whole")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        write_half()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_path_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
