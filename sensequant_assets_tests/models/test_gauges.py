"""Claims about what devices say of themselves, against a library that answers as NVIDIA's does."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sensequant_assets.core.parameters import Device
from sensequant_assets.models.devices import FoundDevice
from sensequant_assets.models.gauges import Gauges

CUDA = FoundDevice(Device("cuda", 0, 1), "NVIDIA H100")
POCL = FoundDevice(Device("gpu", 0, 0), "Portable Computing Language / basic")


class NVMLError(Exception):
    """As the library's."""


def library(**changed: Any) -> SimpleNamespace:
    """The library on a machine with two devices, of which the second cannot tell its heat."""

    def heat(handle: int, _: int) -> int:
        raise NVMLError("Not Supported")

    return SimpleNamespace(
        **{
            "NVMLError": NVMLError,
            "NVML_TEMPERATURE_GPU": 0,
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=40 + handle),
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=3 * 2**20, total=80 * 2**20),
            "nvmlDeviceGetTemperature": heat,
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 2500,
        }
        | changed
    )


def test_a_device_says_how_busy_it_is_its_memory_and_its_energy_and_no_more_than_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library())
    gauges = Gauges([CUDA])
    assert gauges.silent == ""
    assert gauges.read(CUDA) == {"utilization_percent": 41, "memory_mb": 3, "memory_total_mb": 80}
    assert gauges.joules(CUDA) == 2.5
    gauges.close()
    assert gauges.read(CUDA) == {}
    assert gauges.joules(CUDA) is None


def test_a_machine_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gauges = Gauges([CUDA])
    assert gauges.read(CUDA) == {}
    assert "pip install 'sensequant-assets[gpu]'" in gauges.silent


def test_a_library_without_its_driver_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise NVMLError("NVML Shared Library Not Found")

    monkeypatch.setitem(sys.modules, "pynvml", library(nvmlInit=refuse))
    assert Gauges([CUDA]).silent.endswith("NVML says NVML Shared Library Not Found.")


def test_a_device_that_the_library_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library(nvmlDeviceGetCount=lambda: 1))
    assert Gauges([CUDA]).silent == "NVML does not know cuda 1."


def test_what_is_not_nvidias_is_not_asked() -> None:
    gauges = Gauges([POCL])
    assert gauges.silent == "Utilization, memory and temperature are known of NVIDIA's devices only."
    assert gauges.read(POCL) == {}


@pytest.mark.parametrize(("visible", "number"), [("", 1), ("3,5", 5), ("GPU-1,GPU-2", 1)])
def test_a_device_is_asked_by_its_number_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, visible: str, number: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert CUDA.visible_id == number
