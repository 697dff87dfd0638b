"""Claims about files that are written whole or not at all."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import making, refuse_filled, replacing


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


def test_a_link_stays_and_leads_to_what_was_written(tmp_path: Path) -> None:
    target, link, chain, dangling = (tmp_path / name for name in ("far/target", "link", "chain", "dangling"))
    target.parent.mkdir()
    target.write_text("before")
    link.symlink_to("far/target")
    chain.symlink_to(link)
    dangling.symlink_to(tmp_path / "new" / "made")
    for path in (link, chain, dangling):
        with replacing(path) as temporary:
            temporary.write_text(path.name)
        assert path.is_symlink()
        assert path.read_text() == path.name
    assert target.read_text() == "chain"
    assert (tmp_path / "new" / "made").read_text() == "dangling"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["chain", "dangling", "far", "link", "new"]
    assert [one.name for one in target.parent.iterdir()] == ["target"]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    try:
        # The numbers of the null device: writing to the node would harm nobody.
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    ("make", "kind"), [(fifo, "FIFO"), (directory, "directory"), (unix_socket, "socket"), (device, "device")]
)
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_is_refused_and_stays(
    tmp_path: Path, make: Callable[[Path], None], kind: str, linked: bool
) -> None:
    path = place = tmp_path / "p"
    make(place)
    if linked:
        path = tmp_path / "link"
        path.symlink_to("p")
    before = place.lstat()
    with pytest.raises(UsageError, match=f"{path.name} is a {kind}, and only a regular file"), replacing(path):
        raise AssertionError("nothing is to be written")
    after = place.lstat()
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert len(list(tmp_path.iterdir())) == 1 + linked


def test_a_link_to_itself_is_an_error_and_stays(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"), replacing(loop):
        raise AssertionError("nothing is to be written")
    assert loop.is_symlink()


def test_a_directory_is_made_whole_and_takes_the_place_of_an_empty_one(tmp_path: Path) -> None:
    place = tmp_path / "whole"
    for _ in range(2):
        with making(place) as room:
            (room / "a").write_text("a")
            assert not place.exists() or not any(place.iterdir())
        assert [path.name for path in place.iterdir()] == ["a"]
        (place / "a").unlink()
    assert list(tmp_path.iterdir()) == [place]


def test_an_error_leaves_nothing_of_a_directory(tmp_path: Path) -> None:
    def make_half() -> None:
        with making(tmp_path / "half") as room:
            (room / "a").write_text("a")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        make_half()
    assert list(tmp_path.iterdir()) == []


def test_what_was_put_in_the_place_of_a_directory_meanwhile_stays(tmp_path: Path) -> None:
    place = tmp_path / "place"

    def make_late() -> None:
        with making(place) as room:
            (room / "a").write_text("late")
            place.mkdir()
            (place / "a").write_text("first")

    with pytest.raises(UsageError, match="is not empty"):
        make_late()
    assert (place / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_is_no_place_for_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    with pytest.raises(UsageError, match="cannot be filled"):
        refuse_filled(tmp_path / "file")
