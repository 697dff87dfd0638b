"""Buckets, and whatever else fsspec reads by an address; and bars that lie there, kept on this disk while they last.

An object is read anew when anything that its store tells of it is another: its digest, its time or its size. Where a
store tells none of the first two it is read anew each time.
"""

import fcntl
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import lock_file, replacing
from sensequant_assets.sources.notes import Note, shortened
from sensequant_assets.sources.packing import READ, is_bars_file, is_unfinished, refuse_other, why_not_read
from sensequant_assets.sources.regular import read_regular
from sensequant_assets.text import file_name

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://(?![^/]*:[^/]*@)[^\s?#]+")
_LOOKS_SO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_SECRET = re.compile(r"(://)[^/@\s]*@")

_TELLING = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "LastModified", "last_modified", "updated", "mtime")
"""What stores call the digest of an object and the time when it was put."""
_AT_ONCE = 64
"""Objects that are put or got side by side."""
_NAMES_SHOWN = 5

_PAGES = ("http://", "https://")
"""Addresses of which nobody can list what lies below them, nor always tell a size before it is read."""


def is_address(text: str) -> bool:
    """Whether a text is an address that fsspec may read, such as s3://bucket/name, and has no password in it."""
    return _ADDRESS.fullmatch(text) is not None


def looks_like_address(text: str) -> bool:
    """Whether a text is an address or a slip of one: as a path, s3:/bucket would be a directory of this one."""
    return _LOOKS_SO.match(text) is not None


def without_password(text: str) -> str:
    """A text without what stands before the @ of an address in it."""
    return _SECRET.sub(r"\1***@", text)


def cache_of(address: str, kind: str) -> Path:
    """The directory on this disk of what lies at an address, below `XDG_CACHE_HOME` or else `~/.cache`.

    Raises
    ------
    UsageError
        Nobody's home is known.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # One that is relative does not count, as the XDG Base Directory Specification has it.
        home = Path(given) if given.startswith("/") else Path.home() / ".cache"
    except RuntimeError as error:
        raise UsageError(
            f"{address} needs a directory on this disk, and there is no home: set XDG_CACHE_HOME."
        ) from error
    return home / "sensequant" / kind / file_name(address)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What lies at an address.

    Attributes
    ----------
    address
        As it was given, less a slash at its end.
    files
        Its file system, of fsspec.
    root
        Where in it.
    """

    address: str
    files: Any
    root: str

    @classmethod
    def open(cls, address: str, variable: str) -> "Bucket":
        """The bucket that a setting names; nothing is asked of it yet.

        Raises
        ------
        UsageError
            What reads such addresses is not installed, or asks its server at once and does not reach it; or the address
            is of pages.
        """
        import fsspec

        if address.startswith(_PAGES):
            raise UsageError(
                f"{variable}={address} is a page, and no store whose files can be listed. Download it, and give its "
                "path."
            )
        if address.startswith("s3://") and importlib.util.find_spec("s3fs") is None:
            raise UsageError(
                f"{variable}={address} needs s3fs, which is not installed. Run "
                f"`pip install 'sensequant-assets[s3]'`, or set another {variable}."
            )
        try:
            files, root = fsspec.url_to_fs(address, use_listings_cache=False)
        except Exception as error:  # a client of a store raises of every kind
            raise UsageError(
                f"{variable}={address} cannot be used: {why_of(error)}. Give an address such as s3://bucket/name."
            ) from error
        return cls(address, files, root.rstrip("/"))

    def listed(self, below: str = "") -> Mapping[str, Mapping[str, Any]]:
        """What is there, by its name below the root; what the address itself names has an empty one."""
        try:
            found = dict(self._found(f"{self.root}/{below}".rstrip("/")))
        except FileNotFoundError:
            return {}
        return {name.removeprefix(self.root).lstrip("/"): told for name, told in found.items()}

    def _found(self, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What lies at or below a path, by its whole name.

        S3 is listed by itself. Other file systems of fsspec walk, and tell a directory that cannot be listed as an
        empty one, so that theirs are walked here.
        """
        if self.address.startswith("s3://"):
            yield from self.files.find(path, detail=True).items()
            return
        for told in self.files.ls(path, detail=True):
            if told["type"] != "directory":
                yield told["name"], told
            elif told["name"].rstrip("/") != path:
                with suppress(FileNotFoundError):  # it has gone since
                    yield from self._found(told["name"].rstrip("/"))

    def place(self, name: str) -> str:
        """Where an object is, by its name below the root."""
        return f"{self.root}/{name}" if name else self.root

    def put(self, given: Mapping[str, Path]) -> None:
        """Put files, by their names below the root."""
        for names in _chunks(list(given)):
            self.files.put([str(given[name]) for name in names], [self.place(name) for name in names])

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, by their names below the root; one that is not there is none to remove."""
        for name in names:
            with suppress(FileNotFoundError):
                self.files.rm_file(self.place(name))

    def get(self, wanted: Mapping[str, Path], room: Path) -> None:
        """Get objects, by their names below the root, each whole or not at all.

        Parameters
        ----------
        wanted
            Where each goes.
        room
            A directory of the same disk, made if it is not there, in which they lie meanwhile.
        """
        room.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bucket-", dir=room) as directory:
            for names in _chunks(list(wanted)):
                halves = [str(Path(directory) / str(number)) for number, _ in enumerate(names)]
                self.files.get([self.place(name) for name in names], halves)
                for name, half in zip(names, halves, strict=True):
                    wanted[name].parent.mkdir(parents=True, exist_ok=True)
                    os.replace(half, wanted[name])  # noqa: PTH105  # a path would be made of each for nothing

    def below(self, directory: Path, name: str) -> Path:
        """Where an object goes below a directory; `UsageError` where its name leads out of it or is hidden."""
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            raise UsageError(f"{self.address} holds {name!r}, which is no name of ours. Remove it.")
        return directory.joinpath(*parts)


@dataclass(frozen=True, slots=True)
class Bars:
    """Files of bars on this disk.

    Attributes
    ----------
    path
        The file, or the directory.
    address
        Where they were taken from; empty if they lie on this disk.
    said
        What is to be said of them.
    """

    path: Path
    address: str = ""
    said: Sequence[Note] = ()


def bars_at(place: str) -> Bars:
    """The bars at a path, or those at an address as they are there now.

    Raises
    ------
    UsageError
        The address cannot be read, or no file of bars is there: never the same as bars that lack something.
    """
    if not is_address(place):
        return Bars(Path(place))
    bucket = Bucket.open(place.rstrip("/"), "SENSEQUANT_BARS")
    home = cache_of(bucket.address, "bars")
    try:
        there = _objects(bucket)
        home.mkdir(parents=True, exist_ok=True)
        with lock_file(home / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _kept(bucket, home, there)
    except UsageError:
        raise
    except Exception as error:  # a client of a store raises of every kind
        raise UsageError(
            f"The bars at {place} cannot be read: {why_of(error)}. Look at the address, and at the credentials that "
            "the environment has for it."
        ) from error


def why_of(error: Exception) -> str:
    """Why a store was not reached, on one line and without a point at its end."""
    return without_password(" ".join(str(error).split()).removesuffix(".")) or type(error).__name__


def _objects(bucket: Bucket) -> Mapping[str, Mapping[str, Any]]:
    """What lies there but for what is hidden; the one object that the address names has an empty name."""
    there = bucket.listed()
    if len(there) > 1:
        there = {name: told for name, told in there.items() if name}
    if not there:
        raise UsageError(
            f"There are no bars at {bucket.address}: nothing lies there. Give the address of a file or of a directory "
            "with --bars or SENSEQUANT_BARS."
        )
    if list(there) == [""]:
        refuse_other(Path(bucket.root), bucket.address)
        return there
    return {name: told for name, told in there.items() if not any(part[0] == "." for part in name.split("/") if part)}


def _kept(bucket: Bucket, home: Path, there: Mapping[str, Mapping[str, Any]]) -> Bars:
    """Make a cache what is there, under its lock."""
    files, index = home / "files", home / "kept.json"
    own = PurePosixPath(bucket.root).name
    wanted = {name: bucket.below(files, name or own) for name in there if not name or is_bars_file(Path(name))}
    passed = [name for name in there if name not in wanted and not is_unfinished(Path(name))]
    if not wanted:
        raise UsageError(
            f"There is no file of bars at {bucket.address}: it has {shortened(passed, _NAMES_SHOWN)}. Bars are files "
            f"of {READ}."
        )
    known = _read_index(index)
    told = {name: _told(there[name]) for name in wanted}
    stale = {
        name: file for name, file in wanted.items() if not told[name] or known.get(name) != [*told[name], *_stat(file)]
    }
    gone = {*known} - {*wanted}
    if kept := {name: each for name, each in known.items() if name not in {*stale, *gone}}:
        # What is on its way is nothing to rely on after a kill.
        _write_index(index, kept)
    for name in gone:
        bucket.below(files, name or own).unlink(missing_ok=True)
    bucket.get(stale, home)
    for name, file in stale.items():
        if file.stat().st_size != there[name]["size"]:
            raise UsageError(f"{bucket.address}/{name} has changed while it was read. Try again.")
    _write_index(index, {name: [*told[name], *_stat(file)] for name, file in wanted.items()})
    said = [Note(why_not_read(Path(name)), place=f"{bucket.address}/{name}") for name in passed]
    return Bars(wanted.get("", files), bucket.address, said)


def _told(told: Mapping[str, Any]) -> list[Any]:
    """What tells an object from the one that lay there before; nothing where its store does not tell."""
    telling = [f"{key} {told[key]}" for key in _TELLING if told.get(key) is not None]
    return [*telling, f"size {told['size']}"] if telling else []


def _stat(file: Path) -> list[int]:
    """What tells that nobody has changed a file of the cache."""
    try:
        stat = file.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _read_index(index: Path) -> dict[str, list[Any]]:
    """What the cache has; nothing where that cannot be read, and all is read anew."""
    try:
        known = json.loads(read_regular(index))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) and all(isinstance(each, list) for each in known.values()) else {}


def _write_index(index: Path, kept: Mapping[str, Any]) -> None:
    with replacing(index) as temporary:
        temporary.write_text(json.dumps(kept))


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))
