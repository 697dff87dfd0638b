"""A copy elsewhere of what a batch finishes, from which another machine goes on: models, what serves, and journals.

The data directory stays what it is: locks, and files that are replaced, mean nothing in a bucket. There, an object is
put whole or not at all, and whoever puts it last wins. So a model's record is put after its text, a history of
champions after all that it names, a journal's shard as far as it goes, again and again, under `open/`, and once under
`closed/` when its writer has closed it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import Any

from sensequant_assets.batch.lease import Company, company, leased
from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.models.champions import RECORD, Champion, ChampionRecord, ChampionStore
from sensequant_assets.models.pools import files_of
from sensequant_assets.settings import CHAMPIONS_DIR, MODELS_DIR, NOISE_DIR, Settings
from sensequant_assets.sources.buckets import Bucket, why_of
from sensequant_assets.telemetry.archive import kept, place_of, shard_name, unpacked
from sensequant_assets.telemetry.journal import CLOSED_LINE, Journal, writer_is_gone
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import brief, counted

PUSH_S = 5.0
"""Seconds between two pushes: what a machine that is lost with its disk takes along."""

_OPEN, _CLOSED = "open", "closed"
_NOTHING: Mapping[str, Any] = {"size": -1}

_There = Mapping[str, Mapping[str, Any]]
"""What the copy has, by name."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken from a copy.

    Attributes
    ----------
    files
        How many files.
    company
        The other machine that works with it, whose open journals were left; None if nobody does.
    """

    files: int
    company: Company | None


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the copy lies.

    Attributes
    ----------
    bucket
        There.
    way_out
        How to work without it, in words.
    data_dir, telemetry
        What it is a copy of.
    """

    bucket: Bucket
    way_out: str
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
        variable, way_out = "SENSEQUANT_REMOTE", "unset SENSEQUANT_REMOTE"
        if settings.is_cache:
            variable, way_out = "SENSEQUANT_DATA_DIR", f"set SENSEQUANT_DATA_DIR={settings.data_dir}"
        bucket = Bucket.open(settings.remote, variable)
        return cls(bucket, way_out, settings.data_dir, TelemetryStore(settings.telemetry_dir))

    @contextmanager
    def alone(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Work with it while no other machine does; argument and errors as of `leased`."""
        with ExitStack() as stack:
            with self._reached():
                stack.enter_context(leased(self.bucket, self.data_dir, tell))
            yield

    def hydrate(self) -> Taken:
        """Get what is there and not here, and put what is here and was not put.

        Raises
        ------
        UsageError
            It cannot be read, or its champions and those here have gone different ways.
        """
        with self._reached():
            other = company(self.bucket, self.data_dir)
            there = self.bucket.listed()
            got = self._get_models(there) + self._get_journals(there, with_open=other is None)
            got += self._settle_twins(there) + sum(map(partial(self._settle_champions, there), self._universes(there)))
            self._put_journals(there)
        return Taken(got, other)

    def give(self) -> str:
        """Put what is here and was not put, but for models; why that failed, or an empty text."""
        try:
            there = self.bucket.listed()
            self._settle_twins(there)
            for universe in self._universes(there):
                self._settle_champions(there, universe)
            self._put_journals(there)
        except Exception as error:  # noqa: BLE001  # whatever the network raises
            return (
                f"{self.bucket.address} lacks what this command has written, because it was not reached: "
                f"{why_of(error)}. The next command puts it."
            )
        return ""

    def name_of(self, path: Path) -> str:
        """The name of a file of the data directory."""
        return path.resolve().relative_to(self.data_dir.resolve()).as_posix()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Make one sentence of whatever a client of a store raises."""
        try:
            yield
        except SenseQuantError:
            raise
        except Exception as error:
            raise UsageError(
                f"The copy at {self.bucket.address} cannot be read or written: {why_of(error)}. Look at its address "
                f"and the credentials, or work without it: {self.way_out}."
            ) from error

    def _get_models(self, there: _There) -> int:
        missing = [name for name in there if name.startswith(f"{MODELS_DIR}/") and not self._place(name).exists()]
        # A record without its text would be a model that cannot be relied on.
        missing.sort(key=lambda name: name.endswith(".json"))
        return self._get({name: self._place(name) for name in missing})

    def _get_journals(self, there: _There, *, with_open: bool) -> int:
        """Journals that are not here, or not as far; one that the archive or the database has is whole."""
        wanted = {}
        for kind in (_OPEN, _CLOSED) if with_open else (_CLOSED,):
            for name in (one for one in there if one.startswith(f"{kind}/")):
                shard = self._place(f"telemetry/shards/{PurePosixPath(name).name}")
                here = shard.stat().st_size if shard.exists() else -1
                if not place_of(shard, self.telemetry.archive).exists() and there[name]["size"] > here:
                    wanted[shard] = name
        # What `prune` has removed is no less taken in.
        whole = self.telemetry.taken_in() if wanted else set()
        return self._get({name: shard for shard, name in wanted.items() if shard.name not in whole})

    def _put_journals(self, there: _There) -> None:
        """Journals that were closed while the copy could not be reached, and what a killed writer had not put."""
        for file in kept(self.telemetry.archive):
            name = f"{_CLOSED}/{shard_name(file)}"
            if name not in there:
                self.bucket.files.pipe_file(self.bucket.place(name), unpacked(file))
        gone = filter(writer_is_gone, self.telemetry.shards.glob("*.jsonl"))
        left = {f"{_CLOSED if _is_closed(shard) else _OPEN}/{shard.name}": shard for shard in gone}
        further = {name for name, shard in left.items() if shard.stat().st_size > there.get(name, _NOTHING)["size"]}
        self.bucket.put({name: left[name] for name in further})
        closed = {PurePosixPath(name).name for name in {*there, *left} if name.startswith(f"{_CLOSED}/")}
        self.bucket.remove(name for name in there if name.startswith(f"{_OPEN}/") and name[len(_OPEN) + 1 :] in closed)

    def _settle_twins(self, there: _There) -> int:
        """Noise twins that are on one side alone or differ, where the later one stays; how many were got."""
        here = {self.name_of(file): file for file in (self.data_dir / NOISE_DIR).glob("*/*.json")}
        known = {name: told for name, told in there.items() if name.startswith(f"{NOISE_DIR}/")}
        differ = {name for name in {*here} & {*known} if here[name].stat().st_size != known[name]["size"]}
        # A store may keep whole seconds.
        later = {name for name in differ if here[name].stat().st_mtime > _modified(known[name]) + 1}
        self.bucket.put({name: here[name] for name in ({*here} - {*known}) | later})
        return self._get({name: self._place(name) for name in ({*known} - {*here}) | (differ - later)})

    def _universes(self, there: _There) -> Sequence[str]:
        """Universes that have champions here or there."""
        here = (path.parent.name for path in (self.data_dir / CHAMPIONS_DIR).glob(f"*/{RECORD}"))
        names = (PurePosixPath(name) for name in there if name.startswith(f"{CHAMPIONS_DIR}/"))
        return sorted({*here, *(name.parts[1] for name in names if len(name.parts) == 3 and name.name == RECORD)})

    def _settle_champions(self, there: _There, universe: str) -> int:
        """Let the longer of two histories be both, which begins with the other; how many files were got."""
        store, name = ChampionStore(self.data_dir / CHAMPIONS_DIR, universe), f"{CHAMPIONS_DIR}/{universe}/{RECORD}"
        here, known = store.history(), self._history(name) if name in there else ()
        if any(one != other for one, other in zip(here, known, strict=False)):
            raise UsageError(
                f"Champions of universe {universe} have gone different ways: {store.path} has versions that "
                f"{self.bucket.address} does not have. Keep one: put away that file, or that object, with a copy of it."
            )
        files = {
            f"{CHAMPIONS_DIR}/{universe}/{file}": store.directory / file
            for champion in (*here, *known)
            for file in (champion.pack, champion.forecasts)
        }
        if len(here) > len(known):
            self.bucket.put({one: file for one, file in files.items() if one not in there and file.exists()})
            self.bucket.put({name: store.path})
        got = self._get({one: self._place(one) for one, file in files.items() if one in there and not file.exists()})
        if len(known) > len(here):
            store.follow(known)
            got += 1
        return got

    def _history(self, name: str) -> Sequence[Champion]:
        try:
            return ChampionRecord.unsealed(self.bucket.files.cat_file(self.bucket.place(name))).champions
        except ValueError as error:
            raise UsageError(
                f"{self.bucket.address}/{name} is no history of champions that can be relied on: {brief(error)}. Put "
                f"it away; that of {self.data_dir} takes its place."
            ) from error

    def _get(self, wanted: Mapping[str, Path]) -> int:
        self.bucket.get(wanted, self.data_dir)
        return len(wanted)

    def _place(self, name: str) -> Path:
        return self.bucket.below(self.data_dir, name)


@contextmanager
def settled(settings: Settings, tell: Callable[[str], None], *, alone: bool) -> Iterator[Taken | None]:
    """Take what the copy has before a block, and put what the block has written after it; None where there is no copy.

    Parameters
    ----------
    settings
        Which copy.
    tell
        Is told what could not be put, and of another machine that has taken this one's place.
    alone
        Whether no other machine may be at work with it meanwhile.

    Raises
    ------
    UsageError
        As of `Remote.hydrate` and `Remote.alone`.
    """
    remote = Remote.of(settings)
    if remote is None:
        yield None
        return
    with remote.alone(tell) if alone else nullcontext():
        taken = remote.hydrate()
        try:
            yield taken
        finally:
            if why := remote.give():
                tell(why)


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
                self._remote.bucket.put(some)
                for name in some:
                    del self._waiting[name]
            self._push_journal(self._remote, kind)
        except Exception as error:  # noqa: BLE001  # whatever the network raises
            left = counted(len(self._waiting), "file")
            address = self._remote.bucket.address
            return f"{address} lacks {left} for the time being, because it was not reached: {why_of(error)}"
        return ""

    def _take(self, remote: Remote) -> None:
        """What was finished, less what is there already and unchanged."""
        if self._there is None:
            self._there = set(remote.bucket.listed())
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
        remote.bucket.put({name: shard for name, shard in shards.items() if sizes[name] != self._sizes.get(name)})
        self._sizes = sizes
        if kind == _CLOSED:
            remote.bucket.remove(f"{_OPEN}/{shard.name}" for shard in shards.values())


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


def _is_closed(shard: Path) -> bool:
    """Whether the last line of a shard says that its writer has closed it."""
    ending = CLOSED_LINE + b"\n"
    with shard.open("rb") as lines:
        lines.seek(max(shard.stat().st_size - len(ending), 0))
        return lines.read() == ending


def _modified(told: Mapping[str, Any]) -> float:
    """When an object was put, in seconds since 1970; the beginning of time where its file system does not tell."""
    when = told.get("LastModified", told.get("mtime", 0.0))
    return when.timestamp() if isinstance(when, datetime) else float(when)
