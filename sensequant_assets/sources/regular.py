"""Files that people name, read whole."""

import os
from pathlib import Path

from sensequant_assets.replacing import open_regular


def read_regular(path: Path) -> bytes:
    """Read a regular file, or what a symbolic link to one leads to; `OSError` as of `open_regular`."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read, without its name, which stands in the sentence already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
