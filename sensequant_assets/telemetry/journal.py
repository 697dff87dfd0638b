"""The append-only journal: one JSON line a record, one file a writer.

A line is ``{"record": kind, "batch_id": ..., "run_id": ..., "at": ..., "ordered_at": ..., **fields}``, with the fields
of the record's class in `records`. The clock says ``at``; ``ordered_at`` is a time of `ordering`, by which records are
earlier or later. The last line of a closed shard is ``{"record":"closed"}``.
"""

import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, date, datetime
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from sensequant_assets.telemetry.ordering import ORDER_FILE, OrderedTimes
from sensequant_assets.telemetry.records import RECORDS, Record
from sensequant_assets.text import file_name

ENVELOPE = ("record", "batch_id", "run_id", "at", "ordered_at")
"""Fields of every line, whatever it tells."""

CLOSED_LINE = b'{"record":"closed"}'


class Journal:
    """Appends the records of one writer to a shard of its own.

    A record whose `append` returned survives a kill of the process: it is one `os.write` of one whole line, and the
    operating system holds it from then on. A power cut may still lose the last seconds (nothing is synced). While
    the shard is open its writer holds a shared `flock` on it, by which `TelemetryStore.ingest` tells a living writer
    from a dead one.

    Parameters
    ----------
    directory
        Where shards go, `TelemetryStore.shards`; created with the first record, as are the shard, and beside the
        directory the file of `ordering`.
    batch_id, run_id
        Written on every record. What belongs to no run, as the verdict of a whole batch, has an empty ``run_id``.
    clock
        Gives the ``at`` of a record; aware datetimes, naive ones are read as UTC.

    Attributes
    ----------
    written
        Its shards so far.
    """

    def __init__(self, directory: Path, *, batch_id: str, run_id: str, clock: Callable[[], datetime]) -> None:
        self.written: list[Path] = []
        self.batch_id = batch_id
        self.run_id = run_id
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._times: OrderedTimes | None = None
        self._torn = False

    def append(self, record: Record) -> None:
        """Write one record; it is safe from a kill of the process when this returns.

        Parameters
        ----------
        record
            What is told. Dates become ISO strings, enums their values, numpy scalars Python ones, NaN and infinities
            null.

        Raises
        ------
        TypeError
            A value has no JSON form.
        OSError
            The disk refused the line.
        """
        self.append_many((record,))

    def append_many(self, records: Iterable[Record]) -> None:
        """Write several records in one write; see `append`."""
        with self._lock:
            lines = [self._line(record) for record in records]
            if lines:
                self._write(b"".join(lines))

    def close(self) -> None:
        """Mark the shard complete. A later record opens a new shard; closing twice is uneventful."""
        with self._lock:
            if self._fd is None:
                return
            try:
                self._write(CLOSED_LINE + b"\n")
            finally:
                os.close(self._fd)
                self._fd = None
                if self._times:
                    self._times.close()
                    self._times = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, record: Record) -> bytes:
        names, values = _FIELDS[record.record]
        if self._times is None:
            self._times = OrderedTimes(self._directory.parent / ORDER_FILE, self._clock)
        envelope = (record.record, self.batch_id, self.run_id, self._clock(), self._times.next())
        line: dict[str, object] = dict(zip(ENVELOPE, envelope, strict=True))
        line |= {name: value for name, value in zip(names, values(record), strict=True) if value is not None}
        try:
            return _encoded(line)
        except TypeError as error:
            raise TypeError(
                f"A record of kind {record.record} cannot be written: {error.__cause__ or error}. "
                "Give it plain numbers, text, dates, lists and dicts."
            ) from error

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            self._fd = self._open()
        if self._torn:
            # The cut line ends here, so that it spoils no other.
            data = b"\n" + data
        self._torn = True
        written = os.write(self._fd, data)
        while written < len(data):
            written += os.write(self._fd, data[written:])
        self._torn = False

    def _open(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        path = self._directory / f"{file_name(self.batch_id)}.{file_name(self.run_id)}.{unique}.jsonl"
        hidden = path.with_suffix(".new")
        fd = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        # Locked before it gets its name: whoever sees a shard without a lock sees one whose writer is gone.
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        hidden.rename(path)
        self.written.append(path)
        self._torn = False
        return fd


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def new_name() -> str:
    """Name a batch, an evaluation or a profile by the time, such as `20260131-184502-3f9a`: names sort by it."""
    return f"{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def writer_is_gone(shard: Path) -> bool:
    """Whether no living process writes this shard; False where the file system cannot tell."""
    fd = os.open(shard, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


# Names of the fields of each kind, and what gives their values in that order.
_FIELDS = {record.record: (names := [field.name for field in fields(record)], attrgetter(*names)) for record in RECORDS}


def _encoded(value: object) -> bytes:
    try:
        return orjson.dumps(value, _plain, _OPTIONS)
    except TypeError:
        return orjson.dumps(_readable(value), _plain, _OPTIONS)


_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE


def _plain(value: object) -> object:
    if isinstance(value, date):
        # NaT is a datetime and, alone of them, differs from itself.
        return value.isoformat() if value == value else None
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} ({value!r:.80}) has no JSON form")


def _readable(value: object) -> object:
    """Text that UTF-8 cannot hold, such as the name of a broken file, with its odd bytes as question marks."""
    if isinstance(value, (Path, set, frozenset)):
        value = _plain(value)
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_readable(key): _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value
