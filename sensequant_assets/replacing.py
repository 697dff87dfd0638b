"""Files written whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensequant_assets.errors import UsageError

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a path, which is made; what is written there takes its place at the end.

    On an error nothing is left of it, and the path is as it was. Two processes that write the same path do not meet.
    A symbolic link stays: what it links to is replaced, or made.

    Raises
    ------
    UsageError
        The path is there and is no regular file.
    """
    path = _place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _place(path: Path) -> Path:
    """The path itself or, where it is a link, the one it leads to."""
    place = path
    try:
        if stat.S_ISLNK(path.lstat().st_mode):
            place = Path(os.path.realpath(path))
        # Of the path, not of the place: a link of /proc leads to what has no place.
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return place
    if kind != stat.S_IFREG:
        found = _KINDS.get(kind, "no file")
        raise UsageError(
            f"{path} is {found}, and only a regular file can be replaced. Remove it, or name another file."
        )
    return place
