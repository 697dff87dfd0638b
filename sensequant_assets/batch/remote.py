"""A copy elsewhere of what a batch finishes, from which another machine goes on: models, and journals.

The data directory stays what it is: locks, and files that are replaced, mean nothing in a bucket. There, an object is
put whole or not at all, and whoever puts it last wins. So a model's record is put after its text, a journal's shard as
far as it goes, again and again, under `open/`, and once under `closed/` when its writer has closed it.
"""

import importlib.util
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import Any

from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.errors import UsageError
from sensequant_assets.models.pools import files_of
from sensequant_assets.settings import MODELS_DIR, Settings
from sensequant_assets.telemetry.archive import kept, place_of, shard_name, unpacked
from sensequant_assets.telemetry.journal import Journal, writer_is_gone
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

PUSH_S = 5.0
"""Seconds between two pushes: what a machine that is lost with its disk takes along."""

QUIET_S = 30.0
"""Seconds without a push after which the writer of an open journal is taken for gone."""

_OPEN, _CLOSED = "open", "closed"
_NOTHING: Mapping[str, Any] = {"size": -1}
_AT_ONCE = 64
"""Objects that are put or got side by side."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the copy lies.

    Attributes
    ----------
    url
        As it was given.
    files
        Its file system, of fsspec.
    root
        Where in it.
    data_dir, telemetry
        What it is a copy of.
    """

    url: str
    files: Any
    root: str
    data_dir: Path
    telemetry: TelemetryStore

    @classmethod
    def of(cls, settings: Settings) -> "Remote | None":
        """The copy that settings name; None where they name none.

        Raises
        ------
        UsageError
            What reads such addresses is not installed.
        """
        if settings.remote is None:
            return None
        import fsspec

        protocol = settings.remote.partition("://")[0]
        if protocol == "s3" and importlib.util.find_spec("s3fs") is None:
            raise UsageError(
                f"SENSEQUANT_REMOTE={settings.remote} needs s3fs, which is not installed. Run "
                "`pip install 'sensequant-assets[s3]'`, or unset SENSEQUANT_REMOTE."
            )
        try:
            files, root = fsspec.url_to_fs(settings.remote, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"SENSEQUANT_REMOTE={settings.remote} cannot be used: {error}. Give an address such as s3://bucket/name."
            ) from error
        return cls(settings.remote, files, root.rstrip("/"), settings.data_dir, TelemetryStore(settings.telemetry_dir))

    def hydrate(self) -> int:
        """Get what is there and not here, and put what is here and was not put; the number of files that were got.

        Raises
        ------
        UsageError
            It cannot be read; or another machine seems to be at work with it.
        """
        try:
            there = self.listed()
            self._refuse_company(there)
            got = self._get_models(there) + self._get_journals(there)
            self._put_journals(there)
        except UsageError:
            raise
        except Exception as error:  # a client of a store raises of every kind
            raise UsageError(
                f"SENSEQUANT_REMOTE={self.url} cannot be read or written: {error}. Look at its address and the "
                "credentials, or unset SENSEQUANT_REMOTE."
            ) from error
        return got

    def listed(self) -> Mapping[str, Mapping[str, Any]]:
        """What is there, by its name below the root."""
        try:
            found = self.files.find(self.root, detail=True)
        except FileNotFoundError:
            return {}
        return {name.removeprefix(self.root).lstrip("/"): told for name, told in found.items()}

    def put(self, given: Mapping[str, Path]) -> None:
        """Put files, by their names below the root."""
        for names in _chunks(list(given)):
            self.files.put([str(given[name]) for name in names], [f"{self.root}/{name}" for name in names])

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, by their names below the root; one that is not there is none to remove."""
        for name in names:
            with suppress(FileNotFoundError):
                self.files.rm_file(f"{self.root}/{name}")

    def name_of(self, path: Path) -> str:
        """The name of a file of the data directory."""
        return path.resolve().relative_to(self.data_dir.resolve()).as_posix()

    def _refuse_company(self, there: Mapping[str, Mapping[str, Any]]) -> None:
        for name, told in there.items():
            shard, when = PurePosixPath(name).name, _modified(told)
            if name.startswith(f"{_OPEN}/") and when and not (self.telemetry.shards / shard).exists():
                age = (datetime.now(UTC) - when).total_seconds()
                if age < QUIET_S and f"{_CLOSED}/{shard}" not in there:
                    raise UsageError(
                        f"Another machine seems to be at work with SENSEQUANT_REMOTE={self.url}: its journal {shard} "
                        f"grew {max(age, 0):.0f} s ago. Wait until it has ended, or {QUIET_S:.0f} s if it was killed."
                    )

    def _get_models(self, there: Mapping[str, Any]) -> int:
        missing = [name for name in there if name.startswith(f"{MODELS_DIR}/") and not self._place(name).exists()]
        # A record without its text would be a model that cannot be relied on.
        missing.sort(key=lambda name: name.endswith(".json"))
        return self._get({name: self._place(name) for name in missing})

    def _get_journals(self, there: Mapping[str, Mapping[str, Any]]) -> int:
        """Journals that are not here, or not as far; one that the archive has is whole."""
        wanted = {}
        for kind in (_OPEN, _CLOSED):
            for name in (one for one in there if one.startswith(f"{kind}/")):
                shard = self._place(f"telemetry/shards/{PurePosixPath(name).name}")
                here = shard.stat().st_size if shard.exists() else -1
                if not place_of(shard, self.telemetry.archive).exists() and there[name]["size"] > here:
                    wanted[shard] = name
        return self._get({name: shard for shard, name in wanted.items()})

    def _put_journals(self, there: Mapping[str, Mapping[str, Any]]) -> None:
        """Journals that were closed while the copy could not be reached, and what a killed writer had not put."""
        for file in kept(self.telemetry.archive):
            name = f"{_CLOSED}/{shard_name(file)}"
            if name not in there:
                self.files.pipe_file(f"{self.root}/{name}", unpacked(file))
        gone = filter(writer_is_gone, self.telemetry.shards.glob("*.jsonl"))
        left = {f"{_OPEN}/{shard.name}": shard for shard in gone}
        further = {name for name, shard in left.items() if shard.stat().st_size > there.get(name, _NOTHING)["size"]}
        self.put({name: left[name] for name in further})

    def _get(self, wanted: Mapping[str, Path]) -> int:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".remote-", dir=self.data_dir) as directory:
            for names in _chunks(list(wanted)):
                halves = [str(Path(directory) / str(number)) for number, _ in enumerate(names)]
                self.files.get([f"{self.root}/{name}" for name in names], halves)
                for name, half in zip(names, halves, strict=True):
                    wanted[name].parent.mkdir(parents=True, exist_ok=True)
                    os.replace(half, wanted[name])  # noqa: PTH105  # a path would be made of each for nothing
        return len(wanted)

    def _place(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            raise UsageError(f"SENSEQUANT_REMOTE={self.url} holds {name!r}, which is no name of ours. Remove it.")
        return self.data_dir.joinpath(*parts)


class Mirror:
    """Puts what a run finishes into the copy, on a thread of its own.

    Parameters
    ----------
    remote
        The copy; None where nothing is put.
    journal
        Of the run.
    """

    def __init__(self, remote: Remote | None, journal: Journal) -> None:
        self._remote = remote
        self._journal = journal
        # A file system may keep whole seconds.
        self._began = time.time() - 1
        self._finished: SimpleQueue[Path] = SimpleQueue()
        self._waiting: dict[str, Path] = {}
        self._there: set[str] | None = None
        self._sizes: dict[str, int] = {}
        self._put_at = 0.0

    def watched(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Outcomes as they come, whose models are put."""
        for outcome in outcomes:
            if self._remote and outcome.path:
                self._finished.put(Path(outcome.path))
            yield outcome

    def watch_pool(self, outcome: PoolOutcome) -> None:
        """Let a pool's model be put."""
        if self._remote and outcome.stored:
            self._finished.put(outcome.stored.path)

    def push(self, kind: str = _OPEN) -> str:
        """Put what is finished, and the journal as far as it goes; why that failed, or an empty text.

        A network's error costs no window: what was not put is put the next time, or when the next batch begins.
        """
        assert self._remote is not None  # noqa: S101  # nobody asks otherwise
        try:
            self._take(self._remote)
            # Records last: whoever finds one finds its text.
            for late in (False, True):
                some = {name: path for name, path in self._waiting.items() if name.endswith(".json") is late}
                self._remote.put(some)
                for name in some:
                    del self._waiting[name]
            self._push_journal(self._remote, kind)
        except Exception as error:  # noqa: BLE001  # whatever the network raises
            left = counted(len(self._waiting), "file")
            return f"{self._remote.url} lacks {left} for the time being, because it was not reached: {error}"
        return ""

    def _take(self, remote: Remote) -> None:
        """What was finished, less what is there already and unchanged."""
        if self._there is None:
            self._there = set(remote.listed())
        with suppress(Empty):
            while True:
                for file in files_of(self._finished.get_nowait()):
                    name = remote.name_of(file)
                    if name not in self._there or file.stat().st_mtime > self._began:
                        self._waiting[name] = file
                        self._there.add(name)

    def _push_journal(self, remote: Remote, kind: str) -> None:
        # One that is not there any longer was closed and taken in: the next batch puts it.
        shards = {f"{kind}/{shard.name}": shard for shard in self._journal.written if shard.exists()}
        sizes = {name: shard.stat().st_size for name, shard in shards.items()}
        # One that stands still is put again as well: it is by that that others see a writer at work.
        still = time.monotonic() - self._put_at < QUIET_S / 3
        grown = {name: shard for name, shard in shards.items() if not still or sizes[name] != self._sizes.get(name)}
        remote.put(grown)
        self._sizes = sizes
        self._put_at = time.monotonic() if grown else self._put_at
        if kind == _CLOSED:
            remote.remove(f"{_OPEN}/{shard.name}" for shard in shards.values())


@contextmanager
def mirrored(remote: Remote | None, journal: Journal) -> Iterator[Mirror]:
    """What puts a run's models and journal into the copy while it lasts, and the rest at its end; None for no copy."""
    mirror, ended = Mirror(remote, journal), threading.Event()
    if remote is None:
        yield mirror
        return

    def keep_up() -> None:
        while not ended.wait(PUSH_S):
            mirror.push()

    thread = threading.Thread(target=keep_up, daemon=True, name="mirror")
    thread.start()
    try:
        yield mirror
    finally:
        ended.set()
        thread.join()
        if why := mirror.push(_CLOSED):
            journal.append(Event(level="error", kind="remote", message=why))
            journal.close()


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def _modified(told: Mapping[str, Any]) -> datetime | None:
    """When an object was put; None where its file system does not tell."""
    when = told.get("LastModified", told.get("mtime"))
    if isinstance(when, (int, float)):
        return datetime.fromtimestamp(when, UTC)
    return when if isinstance(when, datetime) and when.tzinfo else None
