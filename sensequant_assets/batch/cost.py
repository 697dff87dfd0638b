"""What a piece of work costs: seconds of the clock, of the processor and of a device, memory, and energy."""

import resource
import sys
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter, thread_time

from sensequant_assets.models.device_process import spent
from sensequant_assets.telemetry.journal import utc_now

_STATUS = Path("/proc/self/status")
_UNIT = 2**20 if sys.platform == "darwin" else 2**10
"""Parts of a MB in which the system counts the peak of its memory: bytes on macOS, KB elsewhere."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took.

    Attributes
    ----------
    wall_s, cpu_s
        Seconds of the clock, and of the processor on its own thread and in the process of its device; 0 of the latter
        where its thread never came back.
    peak_mb
        Most memory (MB of 2^20 bytes, resident) that the process has had until its end: of all that it did so far, on
        all threads.
    device_s
        Seconds of the clock for which it held a device other than the CPU; None where it trained on none.
    joules
        What its device counted meanwhile; None where no device tells.
    worker
        Machine and process of the worker that did it; None for this process alone.
    """

    wall_s: float
    cpu_s: float = 0.0
    peak_mb: float | None = None
    device_s: float | None = None
    joules: float | None = None
    worker: str | None = None


_ELSEWHERE = threading.local()


def note_elsewhere(worker: str, cpu_s: float, peak_mb: float) -> None:
    """Note what a worker has spent on the work of this thread; `peak_mb` is of the worker."""
    _ELSEWHERE.cost = Cost(0.0, cpu_s + _elsewhere().cpu_s, peak_mb, worker=worker)


def _elsewhere() -> Cost:
    cost: Cost = getattr(_ELSEWHERE, "cost", _NOTHING)
    return cost


_NOTHING = Cost(0.0)


class Stopwatch:
    """Tells what a piece of work costs on one thread, and on the workers that it asks, from when it is made.

    Attributes
    ----------
    started
        When that was.
    """

    __slots__ = ("_cpu", "_spent", "_wall", "started")

    def __init__(self) -> None:
        self.started, self._wall, self._cpu = utc_now(), perf_counter(), thread_time()
        _ELSEWHERE.cost = _NOTHING
        self._spent = spent()

    def read(self) -> Cost:
        """The cost since then."""
        wall_s, cpu_s = perf_counter() - self._wall, thread_time() - self._cpu
        far, now, before = _elsewhere(), spent(), self._spent
        # A worker's memory is its own, and more than that of the process that waits for it.
        peak = peak_mb() if far.peak_mb is None else far.peak_mb
        if now is before:
            return Cost(wall_s, cpu_s + far.cpu_s, peak, worker=far.worker)
        told = now.joules is not None and before.joules is not None
        joules = now.joules - before.joules if told else None  # type: ignore[operator]  # both are numbers then
        return Cost(wall_s, cpu_s + now.cpu_s - before.cpu_s, peak, now.device_s - before.device_s, joules)


def peak_mb() -> float:
    """Most memory that this process has had, as of `Cost`."""
    if _inherited():
        found = own_peak_mb()
        if found is not None:
            return found
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT


@cache
def _inherited() -> bool:
    """Whether the system's count, which is asked in a microsecond, is that of whoever started this process.

    Linux lets a process that a larger one starts begin with the peak of that one.
    """
    own = own_peak_mb()
    return own is not None and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT > own + 1


def own_peak_mb() -> float | None:
    """The same as Linux counts it for the program alone, thirty times as long to ask; None elsewhere."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if kilobytes is None else int(kilobytes) / 2**10
