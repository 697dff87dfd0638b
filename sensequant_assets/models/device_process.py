"""A process that trains on a device, apart from the one that asks for it.

LightGBM's OpenCL and CUDA learners and their drivers write to the terminal by themselves, may end their process, and
may never come back; none of it is to reach the batch. What the process writes is kept from the terminal and quoted
where it says why the process ended.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any, Protocol, TypeVar

from sensequant_assets.core.boosting import Expired
from sensequant_assets.errors import FailureKind, WindowError, failure_kind
from sensequant_assets.text import printable

_LOOK_S = 0.1
"""How long to wait for an answer before looking whether time is up."""

PATIENCE_S = 1.0
"""How long after its time is up a process may still answer before it is ended; less than `workers.GRACE_S`."""

_BURIAL_S = 10.0
"""How long a process that has closed its end may take to end."""

Result = TypeVar("Result", covariant=True)


class Work(Protocol[Result]):
    """What a process does; it goes there by pickle, as does its result."""

    def __call__(self, expired: Expired) -> Result:
        """Do it; `expired` says whether time is up."""


class DeviceError(Exception):
    """A device did not do what it was asked for: its driver or LightGBM raised, or its process ended."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a thread has spent on devices since it began.

    Attributes
    ----------
    device_s
        Seconds of the clock for which it held one.
    cpu_s
        Seconds of the processor that processes of devices took meanwhile.
    joules
        What the devices counted meanwhile; None where one did not tell.
    """

    device_s: float = 0.0
    cpu_s: float = 0.0
    joules: float | None = 0.0


_NOTHING = Spent()
_OF_THREAD = threading.local()


def spent() -> Spent:
    """What this thread has spent on devices; the same object while it has spent no more."""
    return getattr(_OF_THREAD, "spent", _NOTHING)


def _spend(device_s: float, cpu_s: float, joules: float | None) -> None:
    before = spent()
    _OF_THREAD.spent = Spent(
        before.device_s + device_s,
        before.cpu_s + cpu_s,
        None if before.joules is None or joules is None else before.joules + joules,
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of work: a result, or an error by kind, words and traceback; of the kind None it is the device's."""

    result: Any = None
    failed: bool = False
    kind: FailureKind | None = None
    message: str = ""
    trace: str = ""
    cpu_s: float = 0.0


class DeviceProcess:
    """A process that does one piece of work after the other; it is started with the first, and anew when it has ended.

    Parameters
    ----------
    joules
        Asked for what the device has counted so far; None where nobody tells.
    """

    def __init__(self, joules: Callable[[], float | None] = lambda: None) -> None:
        self._joules = joules
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._work: Connection | None = None
        self._hurry: Connection | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process while there is one."""
        return self._process.pid if self._process else None

    def call(self, work: Work[Result], expired: Expired) -> Result:
        """Let the process do work.

        Parameters
        ----------
        work
            What it does.
        expired
            Whether time is up. The work is told so; what does not answer within `PATIENCE_S` is ended.

        Raises
        ------
        DeviceError
            LightGBM raised, or the process ended.
        WindowError
            As the work raised it; another error of the work by its kind; `timeout` where it was ended.
        """
        began, counted, cpu_s = perf_counter(), self._joules(), 0.0
        try:
            answer = self._answer(work, expired)
            cpu_s = answer.cpu_s
        finally:
            now = self._joules()
            used = None if counted is None or now is None else now - counted
            _spend(perf_counter() - began, cpu_s, used)
        if not answer.failed:
            result: Result = answer.result
            return result
        if answer.kind is None:
            raise DeviceError(answer.message)
        error = WindowError(answer.kind, answer.message)
        if answer.trace:
            error.add_note(answer.trace)
        raise error

    def close(self) -> None:
        """End the process, whatever it does; there is no other."""
        self._closed = True
        self._end()
        self._said.close()

    def _answer(self, work: Work[Any], expired: Expired) -> _Answer:
        try:
            asking, hurry = self._started()
            asking.send(work)
            told = 0.0
            while not asking.poll(_LOOK_S):
                if expired():
                    told = told or time.monotonic()
                    hurry.send_bytes(b"!")
                    if time.monotonic() - told > PATIENCE_S:
                        self._end()
                        raise WindowError(FailureKind.TIMEOUT, "Time was up, and its device did not come back.")
            answer: _Answer = asking.recv()
        except (EOFError, OSError) as error:
            why = self._why_it_ended()
            self._end()
            raise DeviceError(why) from error
        return answer

    def _started(self) -> tuple[Connection, Connection]:
        if self._closed:
            raise OSError
        if self._process is None:
            (asking, asked), (hurry, hurried) = Pipe(), Pipe()
            self._said.seek(0)
            self._said.truncate()
            with asked, hurried:
                handed = (asked.fileno(), hurried.fileno())
                self._process = subprocess.Popen(  # noqa: S603  # this package's own module
                    [sys.executable, "-m", __name__, *map(str, handed)],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=handed,
                    # Ctrl-C is for the process that a person started, which ends this one.
                    start_new_session=True,
                )
            self._work, self._hurry = asking, hurry
        assert self._work is not None  # noqa: S101  # both are there with the process
        assert self._hurry is not None  # noqa: S101
        return self._work, self._hurry

    def _why_it_ended(self) -> str:
        """How the process ended, and the last that it wrote."""
        if self._process is None:
            return "its process could not be started"
        try:
            code = self._process.wait(timeout=_BURIAL_S)
        except subprocess.TimeoutExpired:
            return "its process does not answer"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._said.seek(max(0, os.lseek(self._said.fileno(), 0, os.SEEK_END) - 4096))
        lines = [line.strip() for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        last = printable(lines[-1].removeprefix("[LightGBM] [Fatal] "))[:300] if lines else ""
        return f"its process ended by {how}{f': {last}' if last else ''}"

    def _end(self) -> None:
        process, self._process = self._process, None
        for connection in (self._work, self._hurry):
            if connection is not None:
                with suppress(OSError):
                    connection.close()
        self._work = self._hurry = None
        if process is not None:
            process.kill()
            process.wait()


def _serve(asked: Connection, hurried: Connection) -> None:
    while True:
        try:
            work: Work[Any] = asked.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001  # what cannot be read here is an error of the work
            asked.send(_failed(error))
            continue
        with suppress(EOFError):
            while hurried.poll():
                hurried.recv_bytes()
        began = process_time()
        answer = _done(work, hurried.poll)
        asked.send(replace(answer, cpu_s=process_time() - began))


def _done(work: Work[Any], expired: Expired) -> _Answer:
    try:
        return _Answer(work(expired=expired))
    except WindowError as error:
        return _Answer(failed=True, kind=error.kind, message=str(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is that of the work
        # Work that has not loaded LightGBM did not fail in it.
        if "lightgbm" in sys.modules and isinstance(error, sys.modules["lightgbm"].basic.LightGBMError):
            return _Answer(failed=True, message=printable((str(error).splitlines() or ["no reason"])[0].rstrip(".")))
        return _failed(error)


def _failed(error: Exception) -> _Answer:
    told = "".join(traceback.format_exception(error))
    return _Answer(failed=True, kind=failure_kind(error), message=f"{type(error).__name__}: {error}", trace=told)


if __name__ == "__main__":
    # By its name, so that answers are of a class that the one who asks knows.
    from sensequant_assets.models import device_process

    device_process._serve(*(Connection(int(handed)) for handed in sys.argv[1:3]))  # noqa: SLF001
    # Drivers that hang when they are unloaded keep no process.
    os._exit(0)
