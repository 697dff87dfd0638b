"""Files of bars as they lie on disk: which there are, by their endings, and what they hold once they are unpacked."""

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from sensequant_assets.errors import UsageError

KINDS = {
    ".csv": "text", ".tsv": "text", ".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather",
}  # fmt: skip
"""What a file holds, by its ending in any case."""

PACKED = (".gz", ".zip")
READ = f"{', '.join([*KINDS][:-1])} and {[*KINDS][-1]}, each also as {' or '.join(PACKED)}"
"""The endings, in words."""

_UNFINISHED = (".tmp", ".part", ".crdownload", ".swp", ".lock")
"""What copying tools and editors write first."""

MOST_BYTES = 2 * 2**30
"""What the columns of one file may take in memory: thirty million bars, which are a hundred symbols with three years of
minutes. A file is read whole, which takes two or three times as much for a moment; a laptop has that, and not more. A
parquet file of some kilobytes can ask for any amount."""


@dataclass(frozen=True)
class BarFile:
    """A file of bars, or one that lies in a zip archive.

    Attributes
    ----------
    path
        On disk.
    member
        Its name in the archive; empty if it lies in none.
    root
        The directory whose bars are read.
    place
        Where it was taken from, if it is kept here for that time alone.
    """

    path: Path
    member: str = ""
    root: Path | None = None
    place: str = ""

    def __str__(self) -> str:
        named = self.place or str(self.path)
        return f"{named}/{self.member}" if self.member else named

    @property
    def kind(self) -> str:
        """`text`, `parquet` or `feather`."""
        return KINDS[_ending(self.member or self.path.name)]

    @property
    def packed(self) -> bool:
        """Whether it must be unpacked before it is read."""
        return bool(self.member) or self.path.suffix.lower() in PACKED

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What it may be named for, the likeliest first: its own name, its archive's, those of its folders."""
        own = [_stem(PurePosixPath(self.member).name)] if self.member else []
        folders = self.path.relative_to(self.root).parts[:-1] if self.root else ()
        named = [folder.rpartition("=")[2] for folder in reversed(folders)]
        return tuple(dict.fromkeys([*own, _stem(self.path.name), *named]))

    def open(self) -> BinaryIO:
        """What it holds, unpacked as it is read; the errors are those of its reading."""
        if self.member:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                return io.BytesIO(_unpacked(stream))
        if self.path.suffix.lower() == ".gz":
            with gzip.open(self.path) as stream:
                return io.BytesIO(_unpacked(stream))
        return self.path.open("rb")


def _unpacked(stream: "IO[bytes] | gzip.GzipFile") -> bytes:
    try:
        content = stream.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    refuse_more_than_memory(len(content))
    return content


def refuse_more_than_memory(unpacked: int) -> None:
    """Refuse a file that takes more bytes than `MOST_BYTES`."""
    if unpacked > MOST_BYTES:
        raise ValueError(
            f"it unpacks to {unpacked / 1e9:,.1f} GB, and a file of bars may take {MOST_BYTES / 1e9:.1f} GB. "
            "Give a directory of smaller files, such as one for each symbol"
        )


def _ending(name: str) -> str:
    """What says how a file is read: its ending, or the one before that of its packing."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in PACKED else path.suffix


def _stem(name: str) -> str:
    for endings in (PACKED, KINDS):
        path = PurePosixPath(name)
        if path.suffix.lower() in endings:
            name = path.stem
    return name


def is_bars_file(path: Path) -> bool:
    """Whether a file's name says that it holds bars; an archive may, whatever it is called."""
    return _ending(path.name) in KINDS or path.suffix.lower() == ".zip"


def _files(directory: Path) -> Iterator[Path]:
    """All files below a directory that are not hidden; a folder that is linked to is one, and none is entered twice."""
    entered = set()
    for folder, folders, names in os.walk(directory, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in entered:
            folders.clear()
            continue
        entered.add((stat.st_dev, stat.st_ino))
        folders[:] = [name for name in folders if name[0] != "."]
        yield from (Path(folder, name) for name in names if name[0] != "." and Path(folder, name).is_file())


def bars_files(path: Path) -> list[Path]:
    """The files that hold the bars of a path, by name: the one file, or a directory's with its folders'.

    Hidden files and other endings, such as the `.tmp` and `.part` that copying tools write first, are passed over.
    """
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for file in _files(path) if is_bars_file(file))


def passed_over(path: Path) -> list[Path]:
    """The files of a directory that are not read, but for those still being written."""
    if not path.is_dir():
        return []
    return sorted(file for file in _files(path) if not is_bars_file(file) and not is_unfinished(file))


def is_unfinished(path: Path) -> bool:
    """Whether a file's name says that it is still being written."""
    return path.suffix.lower() in _UNFINISHED


def why_not_read(path: Path) -> str:
    """Why a file is passed over, in words that are said of several together."""
    if _is_workbook(path):
        return "Workbooks are not read: save their sheets as CSV"
    return f"Files that are not read, because bars are files of {READ}"


def refuse_other(path: Path, shown: object) -> None:
    """See that a file's name says that it holds bars, as `is_bars_file`; `UsageError` if not."""
    if not is_bars_file(path):
        kind = "a workbook: save its sheet as CSV" if _is_workbook(path) else "neither .csv nor .parquet"
        raise UsageError(f"Bars file {shown} is {kind}. Bars are files of {READ}.")


def _is_workbook(path: Path) -> bool:
    return path.suffix.lower() in (".xlsx", ".xls", ".xlsm", ".ods")


def members(path: Path, root: Path | None = None, place: str = "") -> list[BarFile]:
    """A file of bars as itself, an archive as the files of bars in it; arguments as of `BarFile`.

    Raises
    ------
    ValueError, OSError
        The archive cannot be read, or holds none.
    """
    if path.suffix.lower() != ".zip":
        return [BarFile(path, "", root, place)]
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"it is no zip archive that can be read: {error}") from error
    found = [name for name in names if _ending(name) in KINDS and PurePosixPath(name).name[0] != "."]
    if not found:
        raise ValueError(f"it is an archive without a file of bars, which end in {READ}")
    return [BarFile(path, name, root, place) for name in sorted(found)]
