"""What devices say of themselves while they train: how busy they are, their memory, their heat and what they draw.

NVIDIA's devices are asked through its management library, by `nvidia-ml-py` (extra `gpu`). Others are not asked; that
is said in place of numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sensequant_assets.models.devices import FoundDevice

_MB = 2**20


class Gauges:
    """The gauges of some devices.

    Parameters
    ----------
    found
        The devices.

    Attributes
    ----------
    silent
        Why devices are not asked, in a sentence; empty where all are.
    """

    def __init__(self, found: Sequence[FoundDevice]) -> None:
        self._handles: dict[FoundDevice, Any] = {}
        self.silent = self._open(found)

    def read(self, found: FoundDevice) -> dict[str, float]:
        """What a device says: `utilization_percent`, `memory_mb`, `memory_total_mb`, `temperature_c`.

        What it does not say is left out.
        """
        handle = self._handles.get(found)
        if handle is None:
            return {}
        import pynvml

        asked: Mapping[str, Callable[[], float]] = {
            "utilization_percent": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "memory_mb": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used / _MB,
            "memory_total_mb": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).total / _MB,
            "temperature_c": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        }
        said = {}
        for name, ask in asked.items():
            with suppress(pynvml.NVMLError):
                said[name] = round(float(ask()), 1)
        return said

    def joules(self, found: FoundDevice) -> float | None:
        """Energy that a device has counted since its driver was loaded; None where it does not tell."""
        handle = self._handles.get(found)
        if handle is None:
            return None
        import pynvml

        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
        except pynvml.NVMLError:
            return None

    def close(self) -> None:
        """Leave the library."""
        if self._handles:
            import pynvml

            self._handles = {}
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _open(self, found: Sequence[FoundDevice]) -> str:
        asked = [one for one in found if "NVIDIA" in one.name.upper() or one.device.type == "cuda"]
        if not asked:
            return "Utilization, memory and temperature are known of NVIDIA's devices only." if found else ""
        try:
            import pynvml
        except ImportError:
            return "Utilization, memory and temperature need nvidia-ml-py: `pip install 'sensequant-assets[gpu]'`."
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            return f"Utilization, memory and temperature are not known: NVML says {error}."
        for one in asked:
            # In the order of the bus, as its tools count them; CUDA_VISIBLE_DEVICES makes others of CUDA's numbers.
            if one.visible_id < count:
                with suppress(pynvml.NVMLError):
                    self._handles[one] = pynvml.nvmlDeviceGetHandleByIndex(one.visible_id)
        missing = [str(one.device) for one in asked if one not in self._handles]
        return f"NVML does not know {', '.join(missing)}." if missing else ""
