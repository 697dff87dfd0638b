"""Files that people name, read whole."""

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path) -> bytes:
    """Read a regular file, or what a symbolic link to one leads to.

    Raises
    ------
    OSError
        It cannot be read, or is something else: a directory, or a pipe, whose reader would wait for ever.
    """
    # Opening a pipe waits for its writer otherwise.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        return file.read()


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read, without its name, which stands in the sentence already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
