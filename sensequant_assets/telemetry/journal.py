"""The append-only journal: one JSON line a record, one file a writer.

A line is ``{"record": kind, "batch_id": ..., "run_id": ..., "at": ..., **fields}``. A field named ``batch_id``,
``run_id`` or ``at`` replaces the journal's own value. The last line of a closed shard is ``{"record":"closed"}``.
"""

import fcntl
import json
import math
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

CLOSED_LINE = b'{"record":"closed"}'


class RecordKind(StrEnum):
    """What a line of the journal tells.

    The fields of each kind are the columns that `schema.KINDS` lists for it.
    """

    BATCH = "batch"
    PLAN = "plan"
    WINDOW_RUN = "window_run"
    VERDICT = "verdict"
    EVENT = "event"
    END = "end"


class Journal:
    """Appends the records of one writer to a shard of its own.

    A record whose `append` returned survives a kill of the process: it is one `os.write` of one whole line, and the
    operating system holds it from then on. A power cut may still lose the last seconds (nothing is synced). While
    the shard is open its writer holds a shared `flock` on it, by which `TelemetryStore.ingest` tells a living writer
    from a dead one.

    Parameters
    ----------
    directory
        Where shards go, `TelemetryStore.shards`; created with the first record, as is the shard.
    batch_id, run_id
        Written on every record. A record may carry its own, as the verdict of a whole batch does (``run_id=""``).
    clock
        Gives the ``at`` of a record; aware datetimes, naive ones are read as UTC.
    """

    def __init__(self, directory: Path, *, batch_id: str, run_id: str, clock: Callable[[], datetime]) -> None:
        self.batch_id = batch_id
        self.run_id = run_id
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._torn = False
        self._envelope = f'"batch_id":{_ENCODER.encode(batch_id)},"run_id":{_ENCODER.encode(run_id)}'

    def append(self, kind: RecordKind, record: Mapping[str, object]) -> None:
        """Write one record; it is safe from a kill of the process when this returns.

        Parameters
        ----------
        kind
            What the record tells.
        record
            Its fields. Dates become ISO strings, enums their values, numpy scalars Python ones, NaN and infinities
            null.

        Raises
        ------
        TypeError
            A value has no JSON form.
        OSError
            The disk refused the line.
        """
        self.append_many(kind, (record,))

    def append_many(self, kind: RecordKind, records: Iterable[Mapping[str, object]]) -> None:
        """Write several records of one kind in one write; see `append`."""
        lines = [self._line(kind, record) for record in records]
        if lines:
            with self._lock:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, kind: RecordKind, record: Mapping[str, object]) -> bytes:
        fields = _encode(kind, record if isinstance(record, dict) else dict(record))
        at = self._clock().isoformat()
        rest = f",{fields[1:]}" if len(fields) > 2 else "}"
        if not record.keys().isdisjoint(_ENVELOPE):
            own = {"record": kind, "batch_id": self.batch_id, "run_id": self.run_id, "at": at}
            line = own | json.loads(fields) | {"record": kind}
            return f"{_ENCODER.encode(line)}\n".encode(errors="replace")
        return f'{{"record":"{kind}",{self._envelope},"at":"{at}"{rest}\n'.encode(errors="replace")

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
        path = self._directory / f"{_safe(self.batch_id)}.{_safe(self.run_id)}.{unique}.jsonl"
        hidden = path.with_suffix(".new")
        fd = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        # Locked before it gets its name: whoever sees a shard without a lock sees one whose writer is gone.
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        hidden.rename(path)
        self._torn = False
        return fd


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


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


_ENVELOPE = frozenset({"record", "batch_id", "run_id", "at"})


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80] or "_"


def _plain(value: object) -> object:
    if isinstance(value, date):
        # NaT is a datetime and, alone of them, differs from itself.
        return value.isoformat() if value == value else None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} ({value!r:.80}) has no JSON form")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _encode(kind: RecordKind, record: dict[str, object]) -> str:
    try:
        return _ENCODER.encode(record)
    except (TypeError, ValueError):
        pass
    try:
        return _ENCODER.encode(_cleaned(record))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"A {kind} record cannot be written: {error}. Give it plain numbers, text, dates, lists and dicts."
        ) from error


def _cleaned(value: object) -> object:
    """Null for what is not a number and text for keys: the slow way, taken only when the fast one refuses."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {_key(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return _cleaned(_plain(value))


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(_cleaned(key))
