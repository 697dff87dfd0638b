"""Open SQLite connections, kept by file."""

import atexit
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakSet

import sqlalchemy as db
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

BUSY_TIMEOUT_S = 30

# A batch of events touches pages all over five indexes. What does not fit the cache, and what SQLite keeps to undo half
# a statement, would go through files otherwise, with more than twice the writes. A write-ahead log of 32 MB takes the
# events of some thousand windows before they are copied into the file, which waits for the disk each time.
_PRAGMAS = ("synchronous=NORMAL", "temp_store=MEMORY", "cache_size=-16384", "wal_autocheckpoint=8000")


def sqlite_engine(url: str) -> Engine:
    """Make an engine whose connections `ConnectionPool` can keep.

    Parameters
    ----------
    url
        SQLAlchemy URL of a SQLite file.

    Returns
    -------
    Engine
        Without a pool of its own. A transaction that writes takes the write lock at its start, so that it waits
        for other processes instead of failing half-way. A commit is in the operating system's hands when it
        returns: it survives the death of the process, and only a power cut can undo the latest ones.
    """
    engine = db.create_engine(
        url,
        poolclass=NullPool,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "isolation_level": "IMMEDIATE"},
    )

    @db.event.listens_for(engine, "connect")
    def _set_pragmas(connection: object, _record: object) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]  # a DBAPI connection

    return engine


@dataclass
class _File:
    connection: Connection
    identity: tuple[int, int] | None
    used_at: float = 0.0


class ConnectionPool:
    """Connections of one storage object, one a database file, used by one thread at a time.

    A thread that asks again for a file it holds joins its own transaction. A file that was deleted or replaced is
    opened anew. A forked child starts empty: SQLite connections must not cross a fork.

    Parameters
    ----------
    pinned
        Path of the file that stays open however long it is idle.
    max_files
        Files kept open beside the pinned one; the least recently used is closed first.
    idle_s
        Seconds after which an unused file is closed, at the next use of any other.
    """

    def __init__(self, pinned: str, max_files: int = 8, idle_s: float = 10.0) -> None:
        self._pinned = pinned
        self._max_files = max_files
        self._idle_s = idle_s
        self._start_empty()
        _POOLS.add(self)

    def _start_empty(self) -> None:
        self.lock = threading.RLock()
        self._held: dict[str, Connection] = {}
        self._kept: OrderedDict[str, _File] = OrderedDict()

    @contextmanager
    def connection(self, path: str, open_connection: Callable[[], Connection], *, keep: bool) -> Iterator[Connection]:
        """Hold a connection in a transaction: committed at the end, rolled back on an exception.

        Parameters
        ----------
        path
            The database file.
        open_connection
            Opens a new connection to it.
        keep
            Keep the file open afterwards; a file that is already kept stays so.
        """
        with self.lock:
            if path in self._held:
                yield self._held[path]
                return
            file = self._kept.pop(path, None)
            if file and file.identity != _identity(path):
                file.connection.close()
                file = None
            keep = keep or file is not None
            if file is None:
                file = _File(open_connection(), _identity(path))
            self._held[path] = file.connection
            try:
                with file.connection.begin():
                    yield file.connection
            except BaseException:
                file.connection.close()
                raise
            finally:
                del self._held[path]
            if keep:
                file.used_at = time.monotonic()
                self._kept[path] = file
                self._close_surplus(file.used_at)
            else:
                file.connection.close()

    def close(self, path: str | None = None) -> None:
        """Close one file, or all, except what this thread holds.

        The last connection to a file moves its write-ahead log into it and removes the log.
        """
        with self.lock:
            for one in list(self._kept) if path is None else [path]:
                if one in self._kept:
                    self._kept.pop(one).connection.close()

    @property
    def kept(self) -> list[str]:
        """Paths of the open files that nobody uses, least recently used first."""
        return list(self._kept)

    def _close_surplus(self, now: float) -> None:
        others = [path for path in self._kept if path != self._pinned]
        for newer, path in enumerate(reversed(others)):
            if newer >= self._max_files or now - self._kept[path].used_at > self._idle_s:
                self.close(path)

    def forget_inherited(self) -> None:
        """Start empty in a forked child, and neither use nor close what the parent opened."""
        _INHERITED.extend([*self._held.values(), *(file.connection for file in self._kept.values())])
        self._start_empty()


_POOLS: WeakSet[ConnectionPool] = WeakSet()
# A child of a fork neither uses nor closes what it inherited, so nothing may collect it either.
_INHERITED: list[Connection] = []


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # runs for every event; a Path costs more than the call
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _close_all() -> None:
    for pool in list(_POOLS):
        pool.close()


def _forget_all_inherited() -> None:
    for pool in list(_POOLS):
        pool.forget_inherited()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # absent on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget_all_inherited)
