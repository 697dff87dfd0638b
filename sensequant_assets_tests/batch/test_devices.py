"""Claims about the devices of a run: that all of them train, and what becomes of one that fails."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch import devices as devices_module
from sensequant_assets.batch.devices import Devices, DeviceState, Found, Placed, devices_of, idle_warnings
from sensequant_assets.batch.workers import Settled, run_all
from sensequant_assets.core.boosting import Expired, never
from sensequant_assets.core.parameters import CPU, Device, TeacherParameters
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.models.device_process import DeviceError
from sensequant_assets.models.devices import FoundDevice, OpenClDevice, opencl_devices
from sensequant_assets.telemetry.records import Event

TEACHER = TeacherParameters(device_type="gpu", gpu_device_ids="all")
FIRST, SECOND = (FoundDevice(Device("gpu", 0, number), f"Acme {number}") for number in (0, 1))
BOTH = Found((FIRST, SECOND))

Fails = Callable[[Device], str]


class InThread:
    """Stands for a device's process: does the work in the thread that asks, or fails as it is told to."""

    fails: Fails = staticmethod(lambda _: "")

    def __init__(self, joules: Callable[[], float | None]) -> None:
        self.lock = threading.Lock()

    def call(self, work: Any, expired: Expired) -> Any:
        assert self.lock.acquire(blocking=False), "two windows at once on one device"
        try:
            if why := type(self).fails(work.keywords["device"]):
                raise DeviceError(why)
            return work(expired=expired)
        finally:
            self.lock.release()

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> type[InThread]:
    monkeypatch.setattr(devices_module, "DeviceProcess", InThread)
    monkeypatch.setattr(devices_module, "try_device", lambda *_, **__: None)
    monkeypatch.setattr(InThread, "fails", staticmethod(lambda _: ""))
    return InThread


@dataclass
class Told:
    """What a run was told of its devices."""

    events: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def devices(self, found: Found = BOTH, teacher: TeacherParameters = TEACHER, fallback: bool = False) -> Devices:
        return Devices(teacher, found, fallback, self.events.append, self.warnings.append)


@pytest.fixture
def told() -> Told:
    return Told()


def train(seconds: float, expired: Expired, device: Device) -> Device:
    """A training that takes so long."""
    time.sleep(seconds)
    return device


def tried(teacher: TeacherParameters, expired: Expired, device: Device) -> None:
    """A device that is there."""


def trained(
    devices: Devices, windows: int, seconds: float = 0.0, workers: int = 4
) -> list[Placed[Device] | FailureKind]:
    """What became of so many windows of a run."""

    def work(_: int, expired: Expired) -> Placed[Device] | FailureKind:
        try:
            return devices.train(partial(train, seconds), 100, expired)
        except WindowError as error:
            return error.kind

    tasks: Sequence[int | Settled[Any]] = range(windows)
    finished = run_all(tasks, work, workers=devices.threads(workers), timeout_s=60)
    return [one[1] for one in finished if isinstance(one, tuple)]  # type: ignore[misc]


def by_device(results: Sequence[Placed[Device] | FailureKind]) -> Counter[str]:
    return Counter(str(one.device) for one in results if isinstance(one, Placed))


@pytest.mark.usefixtures("in_threads")
def test_windows_go_to_the_free_device_and_are_even_within_a_tenth(told: Told) -> None:
    with told.devices() as devices:
        counts = by_device(trained(devices, 60, 0.005))
    assert counts.total() == 60
    assert abs(counts["gpu 0:0"] - counts["gpu 0:1"]) <= 6
    assert told.warnings == []


@pytest.mark.usefixtures("in_threads")
def test_each_device_has_one_window_at_a_time_whatever_the_workers(told: Told) -> None:
    with told.devices() as devices:
        assert [devices.threads(workers) for workers in (1, 16)] == [2, 2]
        assert devices.threads(16, "student") == 16
    assert Devices(TeacherParameters()).threads(16) == 16


def test_a_device_that_fails_in_the_middle_gives_its_windows_to_the_other_and_every_window_is_done(
    in_threads: type[InThread], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[int] = Counter()

    def fails(device: Device) -> str:
        asked[device.device_id] += 1
        # The first call is the round that all devices are tried with.
        return "its driver has gone" if device.device_id == 1 and asked[1] > 5 else ""

    monkeypatch.setattr(in_threads, "fails", staticmethod(fails))
    with told.devices() as devices:
        counts = by_device(trained(devices, 30, 0.002))
    assert counts.total() == 30
    assert counts["gpu 0:1"] == 4
    failed = "Device gpu 0:1 (Acme 1) failed, and its window goes elsewhere: its driver has gone."
    assert told.warnings[:2] == [failed, f"{failed} It gets no further window."]
    assert "gpu 0:1 (Acme 1) stood idle" in told.warnings[-1]
    assert "because it is lost: its driver has gone" in told.warnings[-1]
    last = told.events[-1]
    assert (last.kind, last.level) == ("devices", "warning")
    assert last.data is not None
    assert [(one["device"], one["windows"], one["failures"]) for one in last.data["devices"]] == [
        ("gpu 0:0", 26, 0),
        ("gpu 0:1", 4, 2),
    ]


def test_a_window_on_which_all_devices_fail_fails_and_no_device_is_lost_for_it(
    in_threads: type[InThread], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad: list[str] = [""]
    monkeypatch.setattr(in_threads, "fails", staticmethod(lambda _: bad[0]))
    with told.devices() as devices:
        devices.train(partial(train, 0.0), 100, never)
        bad[0] = "out of device memory"
        with pytest.raises(WindowError, match=r"failed: out of device memory\. .*--device-fallback") as failed:
            devices.train(partial(train, 0.0), 100, never)
        bad[0] = ""
        assert set(by_device([devices.train(partial(train, 0.0), 100, never) for _ in range(5)])) == {
            "gpu 0:0",
            "gpu 0:1",
        }
    assert failed.value.kind is FailureKind.DEVICE_LOST
    assert failed.value.kind.transient


@pytest.mark.parametrize("fallback", [False, True])
def test_without_any_device_left_windows_fail_unless_the_cpu_may_stand_in(
    in_threads: type[InThread], told: Told, monkeypatch: pytest.MonkeyPatch, fallback: bool
) -> None:
    monkeypatch.setattr(in_threads, "fails", staticmethod(lambda _: "no driver"))
    with told.devices(fallback=fallback) as devices:
        found = trained(devices, 5)
    assert told.warnings[0] == "Device gpu 0:0 (Acme 0) does not train and gets no window: no driver."
    if fallback:
        because = "--device-fallback: gpu 0:0 (Acme 0) is lost: no driver; gpu 0:1 (Acme 1) is lost: no driver."
        assert found == [Placed(CPU, CPU, because)] * 5
    else:
        assert found == [FailureKind.DEVICE_LOST] * 5


def test_a_real_process_that_is_killed_in_the_middle_costs_no_window(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices_module, "try_device", tried)
    with told.devices() as devices:
        victim = devices._seats[1].process
        devices._try_all(never)
        assert victim.pid is not None
        killer = threading.Timer(0.2, os.kill, (victim.pid, 9))
        killer.start()
        counts = by_device(trained(devices, 20, 0.05))
    assert counts.total() == 20
    assert counts["gpu 0:1"] > 0
    assert "its process ended by signal SIGKILL" in told.warnings[0]


def state(device: str, windows: int, busy_s: float, lost: str = "") -> DeviceState:
    return DeviceState(device, "Acme", windows, busy_s, 10.0, 0, lost, {})


def test_a_device_is_told_in_a_line_with_what_it_says_of_itself() -> None:
    said = {"utilization_percent": 41.0, "memory_mb": 3000.0, "memory_total_mb": 81559.0, "temperature_c": 51.0}
    told = DeviceState("cuda 1", "Acme", 1, 4.0, 8.0, 2, "unplugged", said)
    assert str(told) == (
        "cuda 1 (Acme): 1 window, busy 50% of 8 s, 2 failures, utilization 41%, 3,000 of 81,559 MB, 51 °C; "
        "lost: unplugged"
    )
    assert str(state("gpu 0:0", 40, 10.0)) == "gpu 0:0 (Acme): 40 windows, busy 100% of 10 s"


def test_a_device_that_stands_idle_is_named_and_one_that_is_half_as_busy_is_not() -> None:
    states = [state("gpu 0:0", 40, 10.0), state("gpu 0:1", 0, 0.0), state("gpu 0:2", 20, 5.0)]
    assert idle_warnings(states, over=False) == {
        "gpu 0:1": "Device gpu 0:1 (Acme) stood idle: it trained 0 windows in 0.0 s, and gpu 0:0 trained 40 in 10.0 s."
    }


def test_the_first_windows_of_a_batch_say_nothing_of_idleness() -> None:
    states = [state("gpu 0:0", 2, 10.0), state("gpu 0:1", 0, 0.0)]
    assert idle_warnings(states, over=False) == {}
    assert list(idle_warnings(states, over=True)) == ["gpu 0:1"]
    assert idle_warnings([state("gpu 0:0", 0, 0.0), state("gpu 0:1", 0, 0.0)], over=True) == {}
    assert idle_warnings([], over=True) == {}


@pytest.mark.usefixtures("in_threads")
def test_a_long_run_tells_again_and_again_what_its_devices_do_and_warns_of_an_idle_one_once(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices_module, "SAMPLE_S", 0.01)
    with told.devices() as devices:
        devices._seats[1].lost = "unplugged"
        trained(devices, 6, 0.01)
        until = time.monotonic() + 10
        while not told.warnings and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(told.warnings) == 1
    assert len(told.warnings) == 2
    assert "because it is lost: unplugged" in told.warnings[0]
    sampled = [event for event in told.events if event.kind == "devices"]
    assert len(sampled) > 3
    assert sampled[-1].data is not None
    assert sampled[-1].data["idle"] == [told.warnings[-1]]


AUTO = TeacherParameters(device_type="auto", num_leaves=15, min_child_samples=10, auto_gpu_from=15_000)
REAL = OpenClDevice(2, 0, "Acme OpenCL", "Acme Maxi", double_precision=True)
POCL = OpenClDevice(0, 0, "PoCL", "basic", double_precision=True, is_cpu=True)


@pytest.mark.usefixtures("in_threads")
def test_auto_trains_windows_of_rows_enough_on_a_gpu_and_records_why(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensequant_assets.models.devices._cuda_names", list)
    monkeypatch.setattr("sensequant_assets.models.devices.opencl_devices", lambda: (POCL, REAL))
    with told.devices(devices_of(AUTO), AUTO) as devices:
        small, large = (devices.train(partial(train, 0.0), rows, never) for rows in (999, 1000))
    assert (str(small.device), str(large.device)) == ("cpu", "gpu 2:0")
    assert small.because == "999 rows x 15 leaves = 14,985, below TEACHER_AUTO_GPU_FROM=15000."
    assert large.because.endswith("and there is gpu 2:0 (Acme OpenCL / Acme Maxi).")
    (summed,) = [event for event in told.events if event.kind == "device"]
    assert summed.data == {"the CPU": 1, "a GPU": 1}
    assert "auto chose a GPU 1 time, the CPU 1 time" in str(summed.message)


def test_auto_takes_no_cpu_under_opencl(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensequant_assets.models.devices._cuda_names", list)
    monkeypatch.setattr("sensequant_assets.models.devices.opencl_devices", lambda: (POCL,))
    with told.devices(devices_of(AUTO), AUTO) as devices:
        placed = devices.train(partial(train, 0.0), 10**6, never)
    assert placed.device == CPU
    assert placed.because.endswith("enough for a GPU, and there is none that LightGBM can use.")


def test_auto_refuses_a_device_that_is_not_there_before_a_pool_that_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensequant_assets.models.devices._cuda_names", list)
    monkeypatch.setattr("sensequant_assets.models.devices.opencl_devices", lambda: (REAL,))
    wrong = AUTO.model_copy(update={"gpu_device_ids": "0,3"})

    class Pool:
        rows = 1000

    class Market:
        pooled = True
        pools = {"2009-01-01": Pool()}  # noqa: RUF012

    with pytest.raises(UsageError, match="TEACHER_GPU_DEVICE_IDS=0,3: 3 is no device"):
        devices_of(wrong, Market())  # type: ignore[arg-type]
    assert devices_of(wrong, Market(), fallback=True).fallen_back.startswith("TEACHER_GPU_DEVICE_IDS=0,3")  # type: ignore[arg-type]
    Pool.rows = 999
    assert devices_of(wrong, Market()) == Found()  # type: ignore[arg-type]


# Trains the same rows on two devices at once and on one of them alone.
ON_POCL = """
import json, threading
from functools import partial
import numpy as np
from sensequant_assets.batch.devices import Devices, devices_of
from sensequant_assets.core.boosting import never
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.core.pool import PoolRows, train_pool
from sensequant_assets.core.training import Grown

rng = np.random.default_rng(5)
days = np.datetime64("2020-01-01", "s") + np.arange(150).astype("timedelta64[D]")
def rows():
    features = rng.normal(size=(150, 24))
    label = (features[:, 0] + rng.normal(size=150) > 0).astype(float)
    names = tuple(f"f{number}" for number in range(24))
    return PoolRows(features, label, names, days, days + np.timedelta64(7, "D"), np.empty((0, 24)), np.empty(0))
lessons = [rows() for _ in range(4)]

def trained(ids):
    asked = TeacherParameters(device_type="gpu", gpu_device_ids=ids, gpu_use_dp=True, folds=2, n_estimators=10,
                              min_child_samples=10)
    found = {}
    with Devices(asked, devices_of(asked)) as devices:
        def window(number):
            placed = devices.train(partial(train_pool, lessons[number], asked), 150, never)
            trees = Grown.of(placed.result.booster, asked.on(placed.device)).trees_fingerprint
            found[number] = str(placed.device), trees
        threads = [threading.Thread(target=window, args=(number,)) for number in range(len(lessons))]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    return found
two, one = trained("all"), trained("0")
print(json.dumps({
    "devices": [two[number][0] for number in range(4)],
    "same": [two[number][1] == one[number][1] for number in range(4)],
    "other": len({trees for _, trees in one.values()}),
}))
"""


def test_two_opencl_devices_share_windows_and_make_the_trees_of_one_in_double_precision() -> None:
    if not opencl_devices():
        pytest.skip("no OpenCL device: apt-get install pocl-opencl-icd")
    done = subprocess.run(
        [sys.executable, "-c", ON_POCL],
        # Newer ones than 3.1 name their drivers otherwise.
        env=os.environ | {"POCL_DEVICES": os.environ.get("POCL_DEVICES", "pthread basic")},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if len(set(found["devices"])) == 1:
        pytest.skip("this OpenCL shows one device: POCL_DEVICES='cpu cpu-minimal' shows two of newer ones")
    assert min(Counter(found["devices"]).values()) >= 1
    assert found["same"] == [True] * 4
    assert found["other"] == 4
    assert done.stderr == ""
