"""Claims about what a piece of work costs."""

import subprocess
import sys
from time import process_time, sleep, thread_time

from sensequant_assets.batch.cost import Stopwatch, peak_mb
from sensequant_assets.core.boosting import Expired, never
from sensequant_assets.models.device_process import DeviceProcess

_TELL = "from sensequant_assets.batch.cost import peak_mb; print(peak_mb())"


def test_waiting_costs_seconds_of_the_clock_and_none_of_the_processor() -> None:
    watch = Stopwatch()
    sleep(0.05)
    cost = watch.read()
    assert cost.wall_s >= 0.05
    assert cost.cpu_s < 0.04


def test_work_costs_seconds_of_the_processor() -> None:
    watch = Stopwatch()
    until = thread_time() + 0.02
    while thread_time() < until:
        pass
    assert watch.read().cpu_s >= 0.02


def test_what_trains_on_no_device_holds_none() -> None:
    assert Stopwatch().read().device_s is None


def test_a_device_costs_the_seconds_for_which_the_thread_held_it_and_the_processor_of_its_process() -> None:
    process = DeviceProcess()
    process.call(nothing, never)
    watch = Stopwatch()
    before = thread_time()
    process.call(busy, never)
    own = thread_time() - before
    process.close()
    cost = watch.read()
    assert cost.device_s is not None
    assert 0.05 <= cost.device_s <= cost.wall_s
    assert cost.cpu_s >= own + 0.05
    assert cost.joules is None


def nothing(expired: Expired) -> None:
    """Work that is none."""


def busy(expired: Expired) -> None:
    """Keep the processor busy."""
    until = process_time() + 0.05
    while process_time() < until:
        pass


def test_a_peak_stays_when_the_memory_is_given_back() -> None:
    before = peak_mb()
    taken = bytearray(int((before + 20) * 2**20))
    del taken
    assert peak_mb() > before + 15


def test_a_process_that_a_larger_one_starts_tells_its_own_peak() -> None:
    larger = bytearray(300 * 2**20)
    told = subprocess.run([sys.executable, "-c", _TELL], capture_output=True, text=True, check=True)
    assert len(larger) / 2**20 < peak_mb()
    assert 5 < float(told.stdout) < 250
