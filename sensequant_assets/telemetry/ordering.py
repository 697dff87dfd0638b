"""A time to order records by, which does not run backwards when the clock does.

It is the time since the machine was started, which nobody can set and all its processes share, counted from a base that
the first of them takes from the clock. A file keeps the base. After the next start, or where the file is damaged, a new
one is taken that lies behind all times that the file or the rows know of.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Self
from zlib import crc32

from sensequant_assets.replacing import open_regular

_WAIT_S = 1.0
"""How long to wait for a process that holds the file; it does so for microseconds, unless it is stopped meanwhile."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_LINE_BYTES = 200

ORDER_FILE = "telemetry.order"
"""The file in a telemetry directory."""

Clock = Callable[[], datetime]


class OrderedTimes:
    """Times of one writer, each later than the one before, and than all that were given on this machine before it.

    No two writers have the same first time. Without the file, on a disk that is full or read only, times begin at the
    clock's.

    Parameters
    ----------
    file
        Keeps the base, and how far it has come.
    clock
        Where times begin.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        with _held(file) as fd:
            base = _read(fd)
            if not base or base.machine != _machine():
                base = _based(clock, base.last_us if base else 0)
            self._begins_us = base.begins_us
            self._last_us = max(base.begins_us + _since_start_us(), base.last_us + 1)
            _write(fd, replace(base, last_us=self._last_us))
        self._fresh = True

    def next(self) -> datetime:
        """The next time."""
        if self._fresh:
            self._fresh = False
        else:
            self._last_us = max(self._begins_us + _since_start_us(), self._last_us + 1)
        return _EPOCH + timedelta(microseconds=self._last_us)

    def close(self) -> None:
        """Keep how far times have come, for after the next start of the machine."""
        with _held(self._file) as fd:
            base = _read(fd)
            if base and base.last_us < self._last_us:
                _write(fd, replace(base, last_us=self._last_us))


def has_base(file: Path) -> bool:
    """Whether the file holds a base of this start of the machine."""
    if not file.exists():
        return False
    with _held(file) as fd:
        base = _read(fd)
    return base is not None and base.machine == _machine()


def begin_after(file: Path, last: datetime, clock: Clock) -> None:
    """Take a base behind a time that was given before; one that is kept already does not move back."""
    with _held(file) as fd:
        kept = _read(fd)
        base = _based(clock, max(_us(last), kept.last_us if kept else 0))
        if kept and kept.machine == base.machine:
            base = replace(base, begins_us=max(base.begins_us, kept.begins_us))
        _write(fd, base)


@dataclass(frozen=True, slots=True)
class _Base:
    """What the ordered time was when this machine was started, and the last time that the file knows of."""

    machine: str
    begins_us: int
    last_us: int

    @property
    def line(self) -> bytes:
        told = f"{self.machine} {self.begins_us} {self.last_us}"
        return f"{told} {crc32(told.encode())}\n".encode()

    @classmethod
    def of(cls, line: bytes) -> Self | None:
        """The base that a line holds; None if it is no whole one."""
        try:
            machine, begins, last, _ = line.decode("ascii").split()
            base = cls(machine, int(begins), int(last))
        except ValueError:
            return None
        return base if base.line == line else None


def _based(clock: Clock, last_us: int) -> _Base:
    return _Base(_machine(), max(_us(clock()), last_us + 1) - _since_start_us(), last_us)


def _us(at: datetime) -> int:
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _since_start_us() -> int:
    return time.clock_gettime_ns(_SINCE_START) // 1000


@cache
def _machine() -> str:
    """Names this start of this machine; where the system does not say, this process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return secrets.token_hex(8)


@contextmanager
def _held(file: Path) -> Iterator[int | None]:
    """The file, locked; None where it cannot be had, for which no record waits."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # It is written in place, and what a link leads to is somebody else's.
        fd = open_regular(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError:
        yield None
        return
    try:
        locked = _lock(fd)
        try:
            yield fd if locked else None
        finally:
            if locked:
                # A child forked meanwhile shares the lock: closing alone would leave it held.
                fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        except OSError:
            return False
        else:
            return True


def _read(fd: int | None) -> _Base | None:
    if fd is None:
        return None
    with suppress(OSError):
        begin, newline, _ = os.pread(fd, _LINE_BYTES, 0).partition(b"\n")
        return _Base.of(begin + newline)
    return None


def _write(fd: int | None, base: _Base) -> None:
    """In one write: a kill leaves this line or the one before, and a line that is cut is no base."""
    if fd is not None:
        with suppress(OSError):
            os.pwrite(fd, base.line, 0)
