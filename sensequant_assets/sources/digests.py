"""Which files there are, by content: what a copy with an old time stamp or the same size cannot hide."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES_A_LOOK = 2**30
"""Bytes hashed in one look, which takes a second or two."""

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Known:
    digest: str
    stat: tuple[int, int, int]
    hashed_at: float


class Digests:
    """Digests of files, taken anew in every look as long as they are not too many bytes.

    Beyond `bytes_a_look` the files that look unchanged keep their digest for now, and the one that was hashed longest
    ago is first in the next look: size and time stamp say what is hashed first, never what is unchanged in the end.

    Parameters
    ----------
    bytes_a_look
        How much to hash in one look.
    clock
        Seconds from anywhere.
    """

    def __init__(self, bytes_a_look: int = BYTES_A_LOOK, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_a_look = bytes_a_look
        self._clock = clock
        self._known: dict[Path, _Known] = {}

    def of(self, files: Iterable[Path]) -> dict[Path, str]:
        """Digest by file; a file that goes away meanwhile is left out."""
        stats = {}
        for file in files:
            try:
                stat = file.stat()
            except FileNotFoundError:
                continue
            stats[file] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        fresh: dict[Path, _Known] = {}
        left = self._bytes_a_look
        for file in sorted(stats, key=lambda file: self._last_hashed(file, stats[file])):
            known = self._known.get(file)
            if left <= 0 and known is not None and known.stat == stats[file]:
                fresh[file] = known
                continue
            left -= stats[file][0]
            try:
                with file.open("rb") as stream:
                    digest = hashlib.file_digest(stream, _hash).hexdigest()
            except FileNotFoundError:
                continue
            fresh[file] = _Known(digest, stats[file], self._clock())
        self._known = fresh
        return {file: fresh[file].digest for file in sorted(fresh)}

    def _last_hashed(self, file: Path, stat: tuple[int, int, int]) -> float:
        known = self._known.get(file)
        return float("-inf") if known is None or known.stat != stat else known.hashed_at


def content_digest(digests: dict[Path, str]) -> str:
    """One digest of many files: their names and contents, wherever their directory lies."""
    lines = "".join(f"{file.name}\0{digest}\n" for file, digest in digests.items())
    return str(_hash(lines.encode()).hexdigest())


def _hash(data: bytes = b"") -> Any:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)
