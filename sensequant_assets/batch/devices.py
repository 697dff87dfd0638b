"""The devices of a run: which trains a teacher, that all of them do, and what becomes of one that fails."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import nan
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from sensequant_assets.batch.engines.engine import Engine, Local
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.parameters import CPU, Device, ModelKind, TeacherParameters
from sensequant_assets.core.placement import Choice, choose, size_of
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.device_process import DeviceError, DeviceProcess
from sensequant_assets.models.devices import FoundDevice, gpus, require_devices, try_device
from sensequant_assets.models.gauges import Gauges
from sensequant_assets.telemetry.questions.events import DEVICE, DEVICES
from sensequant_assets.telemetry.records import Event
from sensequant_assets.text import counted

SAMPLE_S = 5.0
"""Seconds between two looks at the devices."""

MOST_FAILURES = 2
"""Windows in a row on which a device fails before it is given no other."""

IDLE_SHARE = 0.5
"""A device stood idle that was busy for less than this share of the busiest one's time, with less than this share of
its windows."""

_ENOUGH_WINDOWS = 3
"""Windows that the busiest device has done before another one is called idle while the batch runs."""

_WAIT_S = 0.2

_FALLEN_BACK = "Teachers are trained on the CPU, as --device-fallback says: {}"

Result = TypeVar("Result")
Covariant = TypeVar("Covariant", covariant=True)


class TeacherWork(Protocol[Covariant]):
    """Trains a teacher on a device; it may be sent to another process."""

    def __call__(self, expired: Expired, device: Device) -> Covariant:
        """Do it."""


@dataclass(frozen=True, slots=True)
class Placed(Generic[Result]):
    """What came of a teacher's training, and where that was.

    Attributes
    ----------
    result
        What came of it.
    device
        What trained it.
    because
        Why there, where nobody asked for that one; empty otherwise.
    """

    result: Result
    device: Device = CPU
    because: str = ""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a device has done in a run so far.

    Attributes
    ----------
    device, name
        Which one.
    windows
        Windows or pools that it has trained.
    busy_s, elapsed_s
        Seconds for which it trained, and since the first of the run's devices began to.
    failures
        How often it failed.
    lost
        Why it gets no further window; empty while it does.
    said
        As `Gauges.read` gives it.
    """

    device: str
    name: str
    windows: int
    busy_s: float
    elapsed_s: float
    failures: int
    lost: str
    said: dict[str, float]

    def __str__(self) -> str:
        share = f"{self.busy_s / self.elapsed_s:.0%}" if self.elapsed_s else "0%"
        parts = [counted(self.windows, "window"), f"busy {share} of {self.elapsed_s:.0f} s"]
        if self.failures:
            parts.append(counted(self.failures, "failure"))
        if "utilization_percent" in self.said:
            parts.append(f"utilization {self.said['utilization_percent']:.0f}%")
        if "memory_mb" in self.said:
            total = self.said.get("memory_total_mb", nan)
            parts.append(f"{self.said['memory_mb']:,.0f} of {total:,.0f} MB")
        if "temperature_c" in self.said:
            parts.append(f"{self.said['temperature_c']:.0f} °C")
        return f"{self.device} ({self.name}): {', '.join(parts)}{f'; lost: {self.lost}' if self.lost else ''}"

    def as_json(self) -> dict[str, Any]:
        """The state as one JSON object."""
        return {
            "device": self.device, "name": self.name, "windows": self.windows, "busy_s": round(self.busy_s, 1),
            "elapsed_s": round(self.elapsed_s, 1), "failures": self.failures, "lost": self.lost, "said": str(self),
            **self.said,
        }  # fmt: skip


def idle_warnings(states: Sequence[DeviceState], *, over: bool) -> dict[str, str]:
    """A sentence for each device that stood idle while another one trained, by device.

    Parameters
    ----------
    states
        Of all devices of the run.
    over
        Whether the run is over; before, few windows say nothing.
    """
    busiest = max(states, key=lambda state: state.busy_s, default=None)
    if busiest is None or busiest.windows < (1 if over else _ENOUGH_WINDOWS):
        return {}
    return {
        state.device: f"Device {state.device} ({state.name}) stood idle: it trained "
        f"{counted(state.windows, 'window')} in {state.busy_s:.1f} s, "
        f"and {busiest.device} trained {busiest.windows} in {busiest.busy_s:.1f} s"
        f"{f', because it is lost: {state.lost}' if state.lost else ''}."
        for state in states
        if state.busy_s < IDLE_SHARE * busiest.busy_s and state.windows < IDLE_SHARE * busiest.windows
    }


@dataclass(eq=False, slots=True)
class _Seat:
    """A device and its process; one window at a time."""

    found: FoundDevice
    process: DeviceProcess
    windows: int = 0
    busy_s: float = 0.0
    since: float | None = None
    failures: int = 0
    in_a_row: int = 0
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The devices that teachers ask for, and why there are none where they ask for some and a CPU may stand in."""

    devices: tuple[FoundDevice, ...] = ()
    fallen_back: str = ""


def devices_of(teacher: TeacherParameters, market: Market | None = None, fallback: bool = False) -> Found:
    """The devices that teachers are to be trained on, looked for before the first window.

    Parameters
    ----------
    teacher
        Whose device type and devices.
    market
        Whose largest pool says whether `auto` needs to look; without one, or where nothing is pooled, it looks when a
        window has rows enough.
    fallback
        Whether the CPU may train what no device can.

    Raises
    ------
    UsageError
        What is asked for is not there, and there is no fallback.
    """
    try:
        if teacher.device_type == "auto":
            pools = market.pools.values() if market is not None and market.pooled else ()
            largest = max((pool.rows for pool in pools), default=0)
            return Found(gpus(teacher) if size_of(teacher, largest) >= teacher.auto_gpu_from else ())
        return Found(require_devices(teacher))
    except UsageError as error:
        if not fallback:
            raise
        return Found(fallen_back=str(error))


class Devices:
    """Trains teachers where they are to be trained; on the CPU in the thread that asks, which costs nothing.

    Each device has a process of its own and one window at a time, and a window goes to a free device that has had the
    fewest. A device that fails gives its window to another; one that fails on `MOST_FAILURES` in a row gets no more.

    Parameters
    ----------
    teacher
        Whose device type.
    found
        As `devices_of` finds them.
    fallback
        Whether the CPU trains what no device can.
    note
        Called with each event that telemetry is to keep.
    warn
        Called with each sentence that who waits for the run must know.
    engine
        Who trains on CPUs.
    """

    def __init__(
        self,
        teacher: TeacherParameters,
        found: Found = Found(),  # it cannot be changed
        fallback: bool = False,
        note: Callable[[Event], None] = lambda _event: None,
        warn: Callable[[str], None] = lambda _said: None,
        engine: Engine = Local(),  # noqa: B008  # it cannot be changed
    ) -> None:
        self._teacher = teacher
        self._found = found
        self._fallback = fallback
        self._note = note
        self._warn = warn
        self._engine = engine
        self._auto = teacher.device_type == "auto"
        self._seats: list[_Seat] = []
        self._gauges = Gauges(())
        self._free = threading.Condition()
        self._looking = threading.Lock()
        self._looked = self._tried = False
        self._began: float | None = None
        self._told: set[str] = set()
        self._choices: Counter[str] = Counter()
        self._over = threading.Event()
        self._watch: threading.Thread | None = None
        self._seat(found.devices)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self) -> None:
        """Tell on which devices teachers are trained, where it is not the CPU that they ask for."""
        if self._found.fallen_back:
            self._say(_FALLEN_BACK.format(self._found.fallen_back))
        if self._seats:
            names = ", ".join(str(seat.found) for seat in self._seats)
            said = f"Teachers are trained on {names}. {self._gauges.silent}".rstrip()
            self._note(Event(kind=DEVICE, message=said))

    def threads(self, workers: int, model: ModelKind = "teacher") -> int:
        """How many windows are to be begun at once: one for each device, where they wait for devices alone."""
        return len(self._seats) if self._seats and not self._auto and model == "teacher" else workers

    def idle(self) -> list[str]:
        """A sentence for each device that stood idle while another one trained."""
        return list(idle_warnings(self.states(), over=True).values())

    def train(self, work: TeacherWork[Result], rows: int, expired: Expired) -> Placed[Result]:
        """Train a teacher.

        Parameters
        ----------
        work
            Trains it; to a device it goes by pickle, as does its result.
        rows
            Training rows, by which `auto` chooses.
        expired
            Whether time is up.

        Raises
        ------
        WindowError
            As the work raises it; of kind `device_lost` where no device trains it, and there is no fallback.
        """
        because = self._found.fallen_back and f"--device-fallback: {self._found.fallen_back}"
        if self._auto:
            choice = self._choice(rows)
            because = choice.why
            if not choice.gpu:
                return self._on_cpu(work, expired, because)
        if not self._seats:
            return self._on_cpu(work, expired, because)
        return self._on_a_device(work, expired, because)

    def close(self) -> None:
        """End the processes, and tell what each device has done."""
        if self._over.is_set():
            return
        self._over.set()
        if self._watch:
            self._watch.join()
            self._report(over=True)
        if self._choices:
            made = ", ".join(f"{kind} {counted(count, 'time')}" for kind, count in sorted(self._choices.items()))
            there = "; ".join(str(seat.found) for seat in self._seats) or "none was needed or found"
            message = f"TEACHER_DEVICE_TYPE=auto chose {made}. Devices: {there}."
            self._note(Event(kind=DEVICE, message=message, data=dict(self._choices)))
        for seat in self._seats:
            seat.process.close()
        self._gauges.close()

    def states(self) -> list[DeviceState]:
        """What each device has done so far."""
        now = monotonic()
        with self._free:
            return [
                DeviceState(
                    device=str(seat.found.device),
                    name=seat.found.name,
                    windows=seat.windows,
                    busy_s=seat.busy_s + (now - seat.since if seat.since else 0.0),
                    elapsed_s=now - self._began if self._began else 0.0,
                    failures=seat.failures,
                    lost=seat.lost,
                    said=self._gauges.read(seat.found),
                )
                for seat in self._seats
            ]

    def _seat(self, devices: Sequence[FoundDevice]) -> None:
        if devices:
            gauges = self._gauges = Gauges(devices)
            self._seats = [_Seat(one, DeviceProcess(partial(gauges.joules, one))) for one in devices]
            self._watch = threading.Thread(target=self._look_on, daemon=True, name="devices")
            self._watch.start()

    def _choice(self, rows: int) -> Choice:
        choice = choose(self._teacher, rows, self._there)
        with self._free:
            self._choices["a GPU" if choice.gpu else "the CPU"] += 1
        return choice

    def _there(self) -> str:
        """Names of the GPUs that there are, looked for once."""
        with self._looking:
            if not self._looked and not self._seats:
                try:
                    self._seat(gpus(self._teacher))
                except UsageError as error:
                    if not self._fallback:
                        raise WindowError(FailureKind.DEVICE_LOST, str(error)) from error
                    self._say(_FALLEN_BACK.format(error))
            self._looked = True
        return ", ".join(str(seat.found) for seat in self._seats)

    def _on_cpu(self, work: TeacherWork[Result], expired: Expired, because: str) -> Placed[Result]:
        return Placed(self._engine.call(partial(work, device=CPU), expired), CPU, because)

    def _on_a_device(self, work: TeacherWork[Result], expired: Expired, because: str) -> Placed[Result]:
        self._try_all(expired)
        tried: list[_Seat] = []
        why = ""
        while (seat := self._take(tried, expired)) is not None:
            device = seat.found.device
            try:
                result = seat.process.call(partial(work, device=device), expired)
            except DeviceError as error:
                why = f"{seat.found} failed: {error}"
                tried.append(seat)
                self._leave(seat, str(error))
            except BaseException:
                self._leave(seat)
                raise
            else:
                self._leave(seat, done=True)
                return Placed(result, device, because)
        why = why or "; ".join(f"{seat.found} is lost: {seat.lost}" for seat in self._seats)
        if self._fallback:
            return self._on_cpu(work, expired, f"--device-fallback: {why}.")
        raise WindowError(
            FailureKind.DEVICE_LOST,
            f"No device trains it: {why}. Mend that, or let the CPU do it by --device-fallback.",
        )

    def _try_all(self, expired: Expired) -> None:
        """Let all devices train a round at once, before the first window: what is compiled once is no window's time.

        One on which that fails is lost.
        """
        with self._looking:
            if self._tried:
                return
            with ThreadPoolExecutor(len(self._seats)) as threads:
                list(threads.map(lambda seat: self._try(seat, expired), self._seats))
            self._tried = True

    def _try(self, seat: _Seat, expired: Expired) -> None:
        try:
            seat.process.call(partial(try_device, self._teacher, device=seat.found.device), expired)
        except DeviceError as error:
            seat.failures, seat.lost = 1, str(error)
            self._say(f"Device {seat.found} does not train and gets no window: {error}.")

    def _take(self, tried: Sequence[_Seat], expired: Expired) -> _Seat | None:
        """A free device, that which has had the fewest windows; None if there is none left to try."""
        with self._free:
            while not self._over.is_set():
                left = [seat for seat in self._seats if not seat.lost and seat not in tried]
                if not left:
                    return None
                free = [seat for seat in left if seat.since is None]
                if free:
                    seat = min(free, key=lambda seat: (seat.windows, seat.busy_s))
                    seat.since = monotonic()
                    self._began = self._began or seat.since
                    return seat
                if expired():
                    raise WindowError(
                        FailureKind.TIMEOUT,
                        "Time was up while it waited for a device; lower SENSEQUANT_WORKERS or raise "
                        "SENSEQUANT_WINDOW_TIMEOUT_S.",
                    )
                self._free.wait(_WAIT_S)
            raise WindowError(FailureKind.TIMEOUT, "The run was over before it had a device.")

    def _leave(self, seat: _Seat, failure: str = "", *, done: bool = False) -> None:
        with self._free:
            assert seat.since is not None  # noqa: S101  # it was taken
            seat.busy_s += monotonic() - seat.since
            seat.since = None
            seat.windows += done
            seat.failures += bool(failure)
            seat.in_a_row = 0 if done else seat.in_a_row + bool(failure)
            lost = seat.in_a_row >= MOST_FAILURES and not seat.lost
            if lost:
                seat.lost = failure
            self._free.notify_all()
        if failure:
            rest = " It gets no further window." if lost else ""
            self._say(f"Device {seat.found} failed, and its window goes elsewhere: {failure}.{rest}")

    def _say(self, sentence: str) -> None:
        self._note(Event(level="warning", kind=DEVICE, message=sentence))
        self._warn(sentence)

    def _look_on(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self._report(over=False)

    def _report(self, *, over: bool) -> None:
        states = self.states()
        idle = idle_warnings(states, over=over)
        data = {
            "devices": [state.as_json() for state in states], "silent": self._gauges.silent,
            "idle": list(idle.values()),
        }  # fmt: skip
        message = ", ".join(f"{state.device} {counted(state.windows, 'window')}" for state in states)
        self._note(Event(level="warning" if idle else "info", kind=DEVICES, message=message, data=data))
        for device, sentence in idle.items():
            if over or device not in self._told:
                self._told.add(device)
                self._warn(sentence)
