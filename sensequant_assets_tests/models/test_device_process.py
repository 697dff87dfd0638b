"""Claims about a process that trains on a device."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from sensequant_assets.core.boosting import Expired, never
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.models.device_process import PATIENCE_S, DeviceError, DeviceProcess


@pytest.fixture
def process() -> Iterator[DeviceProcess]:
    opened = DeviceProcess()
    yield opened
    opened.close()


def own_pid(expired: Expired) -> int:
    return os.getpid()


def complain(expired: Expired) -> str:
    os.write(1, b"1 warning generated.\n")
    os.write(2, b"[LightGBM] [Fatal] raw line\n")
    return "done"


def die(expired: Expired) -> None:
    os.write(2, b"[LightGBM] [Fatal] out of device memory\n")
    os.kill(os.getpid(), signal.SIGSEGV)


def wait(expired: Expired) -> None:
    while not expired():
        time.sleep(0.01)
    raise WindowError(FailureKind.TIMEOUT, "Time was up after 3 of 10 boosting rounds.")


def hang(expired: Expired) -> None:
    time.sleep(60)


def refuse(message: str, expired: Expired) -> None:
    import lightgbm

    raise lightgbm.basic.LightGBMError(message)


def stumble(expired: Expired) -> None:
    raise ZeroDivisionError("nothing to share")


def soon() -> Expired:
    until = time.monotonic() + 0.3
    return lambda: time.monotonic() > until


def test_work_is_done_in_another_process_which_does_the_next_one_too(process: DeviceProcess) -> None:
    first, second = (process.call(own_pid, never) for _ in range(2))
    assert first == second == process.pid != os.getpid()


def test_what_a_driver_writes_never_reaches_the_terminal(
    process: DeviceProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    assert process.call(complain, never) == "done"
    assert capfd.readouterr() == ("", "")


def test_a_process_that_ends_is_an_error_of_the_device_that_says_how_and_another_one_takes_its_place(
    process: DeviceProcess,
) -> None:
    with pytest.raises(DeviceError) as ended:
        process.call(die, never)
    assert str(ended.value) == "its process ended by signal SIGSEGV: out of device memory"
    assert process.call(own_pid, never) == process.pid


def test_what_lightgbm_raises_is_an_error_of_the_device_in_one_line(process: DeviceProcess) -> None:
    with pytest.raises(DeviceError) as refused:
        process.call(partial(refuse, "No OpenCL device found.\nmore"), never)
    assert str(refused.value) == "No OpenCL device found"


def test_an_error_of_the_work_is_its_own_with_its_traceback(process: DeviceProcess) -> None:
    with pytest.raises(WindowError, match="ZeroDivisionError: nothing to share") as raised:
        process.call(stumble, never)
    assert raised.value.kind is FailureKind.CODE_ERROR
    assert "in stumble" in raised.value.__notes__[0]


def test_work_is_told_that_its_time_is_up(process: DeviceProcess) -> None:
    process.call(own_pid, never)
    with pytest.raises(WindowError, match="3 of 10 boosting rounds") as late:
        process.call(wait, soon())
    assert late.value.kind is FailureKind.TIMEOUT
    assert process.call(own_pid, never) == process.pid


def test_work_that_does_not_listen_is_ended_with_its_process(process: DeviceProcess) -> None:
    process.call(own_pid, never)
    before, began = process.pid, time.monotonic()
    with pytest.raises(WindowError, match="did not come back") as late:
        process.call(hang, soon())
    assert late.value.kind is FailureKind.TIMEOUT
    assert time.monotonic() - began < 0.3 + PATIENCE_S + 5
    assert before is not None
    assert process.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_a_closed_one_starts_no_other() -> None:
    closed = DeviceProcess()
    closed.close()
    with pytest.raises(DeviceError):
        closed.call(own_pid, never)


ASKING = """
import sys
from sensequant_assets.core.boosting import never
from sensequant_assets.models.device_process import DeviceProcess
from sensequant_assets_tests.models.test_device_process import own_pid
process = DeviceProcess()
print(process.call(own_pid, never), flush=True)
sys.stdin.read()
"""


def test_a_process_ends_with_the_one_that_asks_however_that_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", ASKING], stdin=-1, stdout=-1, text=True) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        asking.kill()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("it goes on alone")
