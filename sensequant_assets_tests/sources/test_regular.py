"""Claims about files that people name."""

import os
from pathlib import Path

import pytest

from sensequant_assets.sources.regular import read_regular, reason


def test_a_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "file") == read_regular(tmp_path / "link") == b"text"


@pytest.mark.parametrize("what", ["directory", "pipe", "device", "loop", "nothing", "long", "below a file"])
def test_what_is_no_file_is_refused_with_a_reason_and_without_waiting(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path = Path("/dev/zero")
    elif what == "loop":
        path.symlink_to(path)
    elif what == "long":
        path = tmp_path / ("x" * 5000)
    elif what == "below a file":
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "x"
    with pytest.raises(OSError, match=r".") as caught:
        read_regular(path)
    assert reason(caught.value) in {
        "it is no regular file", "Too many levels of symbolic links", "No such file or directory", "File name too long",
        "Not a directory",
    }  # fmt: skip
