"""The one family of errors; each names the culprit and the way out.

`FailureKind` is the taxonomy that telemetry, checks and documentation share: what went wrong with a window,
whether trying again can help, and what a person does about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from sensequant_assets.text import counted, printable


class Exit(IntEnum):
    """What a command's process ends with; each code means one thing."""

    DONE = 0
    EXCEEDED = 1
    """More windows failed than allowed, bars break their rules, or a batch does not pass that of promotion."""
    USAGE = 2
    """Bad usage or input; nothing was trained."""
    BROKE_OFF = 3
    """A run did not come to its end, or the fault is the program's or the machine's."""
    INTERRUPTED = 130
    """Ctrl-C, as shells tell of it."""
    UNREAD = 141
    """Whoever read the output has gone, as shells tell of it."""


class FailureKind(StrEnum):
    """Why a window failed. The value is what telemetry stores."""

    CORRUPT_BARS = "corrupt_bars"
    SINGLE_CLASS = "single_class"
    INSUFFICIENT_ROWS = "insufficient_rows"
    PARAMETER_MISMATCH = "parameter_mismatch"
    MISSING_TEACHER = "missing_teacher"
    CORRUPT_MODEL = "corrupt_model"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    LOST_WORKER = "lost_worker"
    SOURCE_UNAVAILABLE = "source_unavailable"
    DEVICE_LOST = "device_lost"
    CODE_ERROR = "code_error"

    @property
    def transient(self) -> bool:
        """Whether the same window can pass next time with nothing changed."""
        return self in _TRANSIENT

    @property
    def advice(self) -> str:
        """One sentence: what a person does about it."""
        return _ADVICE[self]


_TRANSIENT = frozenset(
    {
        FailureKind.TIMEOUT,
        FailureKind.RESOURCE,
        FailureKind.LOST_WORKER,
        FailureKind.SOURCE_UNAVAILABLE,
        FailureKind.DEVICE_LOST,
    }
)

_ADVICE = {
    FailureKind.CORRUPT_BARS: "Correct the named row of the named file, then run "
    "`sensequant backfill --select failed` or materialize again.",
    FailureKind.SINGLE_CLASS: "Widen the window, or change the threshold or the horizon, so that both labels occur.",
    FailureKind.INSUFFICIENT_ROWS: "Widen the window, shorten the horizon, or lower the minimum of rows.",
    FailureKind.PARAMETER_MISMATCH: "LightGBM did not take a parameter as asked: correct its value.",
    FailureKind.MISSING_TEACHER: "Train the teacher of this window first; its own row says why it is missing.",
    FailureKind.CORRUPT_MODEL: "Train the window again; its model or record on disk was changed or cut.",
    FailureKind.TIMEOUT: "Try again, or raise SENSEQUANT_WINDOW_TIMEOUT_S.",
    FailureKind.RESOURCE: "Free memory or disk, or lower `--workers`, then try again.",
    FailureKind.LOST_WORKER: "See with `ray status` and in Ray's logs why workers end, then try again.",
    FailureKind.SOURCE_UNAVAILABLE: "Try again when the source of bars answers.",
    FailureKind.DEVICE_LOST: "See that the device and its driver work, or let the CPU train by "
    "`--device-fallback`; then try again.",
    FailureKind.CODE_ERROR: "A fault of the code: report it with the message and the traceback of the run's log.",
}


class SenseQuantError(Exception):
    """Base of every error that this package raises on purpose; `exit_code` is what a command ends with.

    Its sentence often quotes a cell, a path or a name, and goes on through telemetry, Dagster and its log: what cannot
    be printed is escaped here, once for all of them.
    """

    exit_code = Exit.BROKE_OFF

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message))


class UsageError(SenseQuantError):
    """A bad argument, setting or input file: nothing was trained."""

    exit_code = Exit.USAGE


class BusyError(SenseQuantError):
    """Telemetry is in the hands of others and cannot say what is so; nothing is to be decided without it."""


class BrokeOffError(SenseQuantError):
    """A batch that had begun did not come to its end; what it has trained is kept."""


class StoppedError(SenseQuantError):
    """A person has stopped a batch; what it has trained is kept."""

    exit_code = Exit.INTERRUPTED


class WindowError(SenseQuantError):
    """One window cannot be trained; its neighbours go on.

    Parameters
    ----------
    kind
        Place in the taxonomy.
    message
        Names the culprit and, where it can, the way out.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type["WindowError"], tuple[FailureKind, str], dict[str, Any]]:
        # Sent from a worker; an exception is otherwise made anew from its message alone.
        return type(self), (self.kind, str(self)), self.__dict__


def failure_kind(error: BaseException) -> FailureKind:
    """Sort any exception of a window into the taxonomy.

    Parameters
    ----------
    error
        What the window raised.

    Returns
    -------
    FailureKind
        A `WindowError`'s own kind; `RESOURCE` for exhausted memory or disk, `SOURCE_UNAVAILABLE` for refused or
        broken connections, `TIMEOUT` for time limits, otherwise `CODE_ERROR`.
    """
    if isinstance(error, WindowError):
        return error.kind
    if isinstance(error, TimeoutError):
        return FailureKind.TIMEOUT
    if isinstance(error, ConnectionError):
        return FailureKind.SOURCE_UNAVAILABLE
    if isinstance(error, (MemoryError, OSError)):
        return FailureKind.RESOURCE
    return FailureKind.CODE_ERROR


def advice(failure_kind: str | None) -> str:
    """What a person does about a failure of this kind, also where the kind is not in today's taxonomy."""
    try:
        return FailureKind(failure_kind or "").advice
    except ValueError:
        return "Its message says what went wrong; this version has no advice for its kind."


@dataclass(frozen=True, slots=True)
class FailedWindow:
    """One model of one pair that failed: which, the kind of failure, and the text of its error."""

    model: str
    symbol: str
    window: str
    cause: str
    error: str


@dataclass(frozen=True, slots=True)
class FailedAlike:
    """All windows of one symbol whose model failed for one reason; the attributes are those of `FailedWindow`."""

    model: str
    symbol: str
    windows: tuple[str, ...]
    cause: str
    error: str

    @property
    def which(self) -> str:
        """The first window, and how many there are beside it."""
        more = len(self.windows) - 1
        return f"{self.windows[0]} and {counted(more, 'more window')}" if more else self.windows[0]


def failed_alike(failed: Iterable[FailedWindow]) -> list[FailedAlike]:
    """Put together what failed alike, the first to fail first: a broken file fails every window of its symbol.

    Parameters
    ----------
    failed
        In the order in which they failed.

    Returns
    -------
    list of FailedAlike
        Their windows in order of time.
    """
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for one in failed:
        groups.setdefault((one.model, one.symbol, one.cause, one.error), []).append(one.window)
    return [
        FailedAlike(model, symbol, tuple(sorted(windows)), cause, error)
        for (model, symbol, cause, error), windows in groups.items()
    ]
