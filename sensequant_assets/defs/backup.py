"""A copy of all that an installation keeps, taken while it is in use, and put back whole or not at all.

What a run writes last is copied first: Dagster's events, then telemetry, then models. So the copy is what a kill of the
machine would have left, which the next batch and the next look of the sensors know how to go on from.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import dagster as dg
from pydantic import AwareDatetime

from sensequant_assets import __version__
from sensequant_assets.defs.pruning import TEMPORARY
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import RECORD as CHAMPIONS
from sensequant_assets.models.sealed import Sealed
from sensequant_assets.replacing import making, refuse_filled
from sensequant_assets.settings import Settings
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.storage.copying import (
    BESIDE_SQLITE,
    copy_sqlite,
    dump,
    is_sqlite,
    postgres_url,
    refuse_tables,
    undump,
)
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import printable

RECORD = "backup.json"
_DATA, _DUMP = "data", "dagster.pgdump"
_PIECE_BYTES = 2**20
_ANOTHER = "Take another backup."


class Backup(Sealed):
    """What a backup holds.

    Attributes
    ----------
    taken_at
        When it was begun.
    version
        Of this package.
    files
        Digest of each file below `data` in the backup, by its path there.
    size
        Bytes of them.
    dump
        Digest of the dump of Dagster's PostgreSQL database; null if its files are among the others.
    left_out
        What is no regular file, or has a name that is no text.
    """

    taken_at: AwareDatetime
    version: str
    files: dict[str, str]
    size: int
    dump: str | None
    left_out: list[str]


def back_up(instance: dg.DagsterInstance, settings: Settings, target: Path) -> Backup:
    """Copy the data directory and Dagster's instance, also while a batch runs.

    A window that is trained meanwhile may be trained again after a restore. Files on their way to their place are left
    out.

    Parameters
    ----------
    instance
        Of the data directory.
    settings
        Where that is.
    target
        Directory to make.

    Raises
    ------
    BusyError, UsageError
        The target is not empty, lies in the data directory or cannot be written, telemetry or a database is damaged or
        stays in use, or `pg_dump` cannot do it.
    """
    data, begun = settings.data_dir.resolve(), utc_now()
    if data in (target.resolve(), *target.resolve().parents):
        raise UsageError(f"{target} lies in the data directory, which it would be a copy of. Name one outside.")
    try:
        with making(target) as room:
            copy = _Copy(data, room / _DATA)
            copy.take(settings.dagster_home.name)
            url = postgres_url(instance)
            if url:
                dump(url, room / _DUMP)
            with TelemetryStore(settings.telemetry_dir).still():
                copy.take(settings.telemetry_dir.name)
            copy.take()
            dumped = _digest(room / _DUMP) if url else None
            made = Backup(
                taken_at=begun, version=__version__, files=copy.files, size=copy.size, dump=dumped,
                left_out=sorted(copy.left_out),
            )  # fmt: skip
            (room / RECORD).write_bytes(made.sealed())
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {reason(error)}. Nothing is left of it.") from error
    return made


def restore(source: Path, settings: Settings, url: str | None) -> Backup:
    """Put a backup into an empty data directory, and its dump into an empty database.

    Nothing is there until every file is what the backup's record says.

    Parameters
    ----------
    source
        The backup.
    settings
        Where the data directory is to be.
    url
        Of the empty database, for a backup with a dump.

    Raises
    ------
    UsageError
        The backup is not what was written, the data directory or the database is not empty or cannot be written, or
        `pg_restore` cannot do it.
    """
    kept = _record(source)
    data = settings.data_dir.resolve()
    refuse_filled(data)
    if kept.dump:
        if not url:
            raise UsageError(
                f"{source} has a dump of Dagster's database: set DAGSTER_POSTGRES_URL to the address of an empty one."
            )
        refuse_tables(url)
        if _digest_of_kept(source / _DUMP) != kept.dump:
            raise UsageError(f"{source / _DUMP} is not what was written. {_ANOTHER}")
    try:
        with making(data) as room:
            for name, wanted in kept.files.items():
                _put_back(source / _DATA / name, room / name, wanted)
            if kept.dump and url:
                undump(url, source / _DUMP)
    except OSError as error:
        raise UsageError(f"{data} cannot be written: {reason(error)}. Nothing is left of it.") from error
    return kept


def _record(source: Path) -> Backup:
    file = source / RECORD
    try:
        kept = Backup.unsealed(read_regular(file))
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not what was written"
        raise UsageError(f"{file} is no record of a backup: {why}. Name the directory of one.") from error
    for name in kept.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(f"{file} names {printable(name)}, which lies outside. {_ANOTHER}")
    return kept


def _put_back(kept: Path, place: Path, wanted: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = _copy_file(kept, place)
    except FileNotFoundError:
        found = ""
    if found != wanted:
        raise UsageError(f"{kept} is not what was written. {_ANOTHER}")


class _Copy:
    """A copy of a directory that grows by parts; what is copied once stays.

    Parameters
    ----------
    source
        The directory.
    target
        The copy; it is made.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self.files: dict[str, str] = {}
        self.left_out: set[str] = set()
        self.size = 0
        target.mkdir()

    def take(self, part: str = ".") -> None:
        """Copy what lies below a part of the source and is not copied yet; what goes away meanwhile is gone."""
        for path in _below(self._source / part):
            name = path.relative_to(self._source).as_posix()
            if name in self.files or TEMPORARY.fullmatch(path.name):
                continue
            if not path.is_file() or not _is_text(name):
                self.left_out.add(printable(name))
                continue
            place = self._target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                digest = self._copied(path, place)
            except FileNotFoundError:
                place.unlink(missing_ok=True)
                continue
            if digest:
                self.files[name] = digest
                self.size += place.stat().st_size

    def _copied(self, path: Path, place: Path) -> str:
        """Copy a file; gives its digest, and none for a file that its database is copied with."""
        for suffix in BESIDE_SQLITE:
            database = path.with_name(path.name.removesuffix(suffix))
            if database != path and database.is_file() and is_sqlite(database):
                return ""
        if not is_sqlite(path):
            return _copy_file(path, place)
        copy_sqlite(path, place)
        return _digest(place)


def _is_text(name: str) -> bool:
    return name.encode(errors="replace").decode() == name


def _below(directory: Path) -> Iterator[Path]:
    """What is below a directory but directories, links followed: a model beside its record, what serves before it."""
    seen = set()
    for place, directories, names in os.walk(directory, followlinks=True):
        directories.sort()
        found = Path(place).stat()
        if (found.st_dev, found.st_ino) in seen:
            directories.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        for name in sorted(names, key=lambda name: (name != CHAMPIONS, name)):
            yield Path(place, name)


def _copy_file(source: Path, target: Path) -> str:
    """Copy a file with its time; gives its digest."""
    found = blake2b(digest_size=16)
    with source.open("rb") as old, target.open("xb") as new:
        while piece := old.read(_PIECE_BYTES):
            new.write(piece)
            found.update(piece)
        written = os.fstat(old.fileno())
    os.utime(target, ns=(written.st_atime_ns, written.st_mtime_ns))
    return found.hexdigest()


def _digest(path: Path) -> str:
    found = blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            found.update(piece)
    return found.hexdigest()


def _digest_of_kept(path: Path) -> str:
    try:
        return _digest(path)
    except FileNotFoundError:
        return ""
