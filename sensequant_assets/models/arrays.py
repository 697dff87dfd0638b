"""Arrays with names in one file: sealed, mapped into memory and not read, and equal bytes for equal arrays."""

import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.errors import WindowError
from sensequant_assets.models.sealed import corrupt, digest, write
from sensequant_assets.replacing import open_regular

Array = NDArray[Any]

_NAME, _VERSION = b"sensequant arrays ", b"1\n"
_LENGTH = 8
_START = len(_NAME) + len(_VERSION) + _LENGTH
_SEAL = len(digest(b""))
_ALIGNED = 64


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> str:
    """Write arrays, whole or not at all.

    Returns
    -------
    str
        Digest of the file. Equal arrays give equal files, whatever their order.
    """
    kept = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    kept = {name: array.astype(array.dtype.newbyteorder("<")) for name, array in kept.items()}
    placed, end = {}, 0
    for name, array in kept.items():
        placed[name] = [array.dtype.str, list(array.shape), end]
        end += -(-array.nbytes // _ALIGNED) * _ALIGNED
    head = json.dumps(placed, separators=(",", ":")).encode()
    # Spaces behind it let the arrays begin where they are aligned.
    head += b" " * (-(_START + len(head)) % _ALIGNED)
    parts = [_NAME, _VERSION, len(head).to_bytes(_LENGTH, "little"), head]
    for array in kept.values():
        parts += [array.tobytes(), bytes(-array.nbytes % _ALIGNED)]
    body = b"".join(parts)
    whole = body + digest(body).encode()
    write(path, whole)
    return digest(whole)


def map_arrays(path: Path, wanted: str = "") -> tuple[dict[str, Array], str]:
    """Arrays of a file, mapped into memory, which nothing can write to; and the file's digest.

    Parameters
    ----------
    path
        Of the file; to be replaced and never written to, as long as its arrays are in use.
    wanted
        Its digest, where somebody has noted it.

    Raises
    ------
    WindowError
        Of kind `corrupt_model`: it cannot be read, is not what was written, or is of another version.
    """
    try:
        descriptor = open_regular(path)
        try:
            mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise corrupt_arrays(path, f"cannot be read ({error})") from error
    began = mapped[: len(_NAME) + len(_VERSION)]
    if began != _NAME + _VERSION:
        another = began.startswith(_NAME)
        raise corrupt_arrays(path, "is of another version" if another else "does not begin as a file of arrays does")
    whole = memoryview(mapped)
    if digest(whole[:-_SEAL]).encode() != whole[-_SEAL:]:
        raise corrupt_arrays(path, "is not what was written (its digest is another)")
    found = digest(whole)
    if wanted and found != wanted:
        raise corrupt_arrays(path, "is whole, and not the one that its record names")
    try:
        return _arrays(whole[:-_SEAL]), found
    except (ValueError, TypeError) as error:
        raise corrupt_arrays(path, f"holds no arrays of this version ({error})") from error


def _arrays(body: memoryview) -> dict[str, Array]:
    start = _START + int.from_bytes(body[_START - _LENGTH : _START], "little")
    arrays = {}
    for name, (dtype, shape, offset) in json.loads(bytes(body[_START:start])).items():
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, np.dtype(dtype), count, start + offset).reshape(shape)
    return arrays


def corrupt_arrays(path: Path, what: str) -> WindowError:
    """The error of a file of arrays that cannot be relied on; `what` goes on from its name."""
    return corrupt(path, what, "Make it anew from the models of its batch.")
