"""Regular files: opened as nothing else, and written whole or not at all."""

import errno
import os
import secrets
import shutil
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


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file, or what a symbolic link to one leads to; gives its descriptor.

    Raises
    ------
    OSError
        It cannot be opened, or is something else: a directory, a device, or a pipe, for whose other end one would wait.
    """
    # Opening a pipe waits for its other end otherwise.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Open a file that is there to be locked, and made where it is missing; gives its descriptor.

    Raises
    ------
    UsageError
        Something else is in its place, or it cannot be made.
    """
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"{path} cannot be locked: {why}. Remove it; it is made anew.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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


@contextmanager
def making(directory: Path) -> Iterator[Path]:
    """Give an empty directory beside a path, which takes its place at the end, on the disk; on an error nothing stays.

    Raises
    ------
    UsageError
        The path is there and is no empty directory, or is where another disk is mounted.
    """
    refuse_filled(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        os.sync()
        try:
            temporary.replace(directory)
        except OSError as error:
            if error.errno != errno.EBUSY:
                refuse_filled(directory)
                raise
            raise UsageError(f"A disk is mounted on {directory}. Name a directory below it.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_filled(directory: Path) -> None:
    """See that a directory is empty or not there; `UsageError` if something is in its place or in it."""
    try:
        filled = any(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{directory} cannot be filled: {error.strerror}. Name another directory.") from error
    if filled:
        raise UsageError(f"{directory} is not empty. Name an empty directory, or one that is not there.")


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
