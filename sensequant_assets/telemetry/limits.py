"""The limit of a batch as somebody has changed it: an event of the batch, which its runs find among the shards."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import orjson

from sensequant_assets.telemetry.archive import lines_of, shard_name
from sensequant_assets.telemetry.journal import CLOSED_LINE, Journal, utc_now
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import file_name

LIMIT = "limit"
"""Kind of the event by which somebody changes the limit of a batch."""

_SETTLED_NS = 10**9
"""Age from which a directory's time is another one after the next change: file systems round it to milliseconds."""


@dataclass(frozen=True, slots=True)
class ChangedLimit:
    """A limit that took the place of the one that a batch was started with, and who set it when."""

    max_failure_rate: float
    by: str
    at: datetime

    @classmethod
    def of(cls, data: Mapping[str, Any], at: datetime) -> Self:
        """What an event of the kind `LIMIT` says."""
        return cls(float(data["max_failure_rate"]), str(data["by"]), at)

    def __str__(self) -> str:
        return f"set by {self.by} at {self.at:%Y-%m-%d %H:%M} UTC"


def change_limit(store: TelemetryStore, batch_id: str, max_failure_rate: float, by: str) -> None:
    """Tell the runs of a batch, and who judges it later, another limit than it was started with.

    Parameters
    ----------
    store
        Where telemetry lies.
    batch_id
        A batch that it knows.
    max_failure_rate
        Greatest share of attempted windows that may fail.
    by
        Who sets it.
    """
    message = f"From here on {max_failure_rate:.1%} of the attempted windows may fail, says {by}."
    data = {"max_failure_rate": max_failure_rate, "by": by}
    with Journal(store.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
        journal.append(Event(kind=LIMIT, message=message, data=data))


class LimitWatch:
    """Looks for changed limits of a batch while it runs, without the database.

    A change is a shard of its own, so that a look costs one stat of the shards' directory, some 3 microseconds, until a
    shard comes or goes.

    Parameters
    ----------
    store
        Where telemetry lies.
    batch_id
        The batch.
    """

    def __init__(self, store: TelemetryStore, batch_id: str) -> None:
        self._shards = store.shards
        self._archived = store.archive / file_name(batch_id)
        self._pattern = f"{file_name(batch_id)}.{file_name('')}.*.jsonl"
        self._looked_at: int | None = None
        self._read: set[str] = set()
        self._latest: ChangedLimit | None = None

    def latest(self) -> ChangedLimit | None:
        """The limit that was set last; None while it is the batch's own."""
        try:
            changed_at = self._shards.stat().st_mtime_ns
        except FileNotFoundError:
            return self._latest
        if changed_at != self._looked_at:
            whole = self._look()
            self._looked_at = changed_at if whole and time.time_ns() - changed_at > _SETTLED_NS else None
        return self._latest

    def _look(self) -> bool:
        """Read the shards that are not read yet; whether all of them were whole."""
        whole = True
        for path in self._unread():
            try:
                lines = path.read_bytes().splitlines() if path.suffix == ".jsonl" else lines_of(path)
            except FileNotFoundError:  # it moves to the archive just now
                whole = False
                continue
            for limit in _limits(lines):
                if self._latest is None or limit.at >= self._latest.at:
                    self._latest = limit
            if lines and lines[-1] == CLOSED_LINE:
                self._read.add(_name(path))
            else:
                whole = False
        return whole

    def _unread(self) -> Iterator[Path]:
        # In this order: what has left the shards is in the archive.
        for path in (*self._shards.glob(self._pattern), *self._archived.glob(f"{self._pattern}.*")):
            if _name(path) not in self._read:
                yield path


def _name(path: Path) -> str:
    return path.name if path.suffix == ".jsonl" else shard_name(path)


def _limits(lines: Iterable[bytes]) -> Iterator[ChangedLimit]:
    for line in lines:
        try:
            told = orjson.loads(line)
            if told["record"] == Event.record and told.get("kind") == LIMIT:
                yield ChangedLimit.of(told["data"], datetime.fromisoformat(told["at"]))
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):  # a line that is cut, or nobody's
            continue
