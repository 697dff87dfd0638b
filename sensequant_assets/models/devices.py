"""The device that LightGBM trains on, checked before anything is trained.

LightGBM takes an OpenCL platform or device id that does not exist without a word, trains on a device of its
own choice and writes the wrong id into the model text. So the devices are enumerated here and a wrong choice
is refused.

OpenCL is asked through LightGBM's own library. The wheels carry their own OpenCL loader, which may count
platforms in another order than the system's `libOpenCL.so.1` does and works where that is not installed.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sensequant_assets.errors import UsageError

DeviceType = Literal["cpu", "gpu", "cuda"]

_PLATFORM_NAME = 0x0902
_DEVICE_NAME = 0x102B
_DEVICE_DOUBLE_FP_CONFIG = 0x1032
_DEVICE_TYPE_ALL = 0xFFFFFFFF
_DEVICE_NOT_FOUND = -1
_PLATFORM_NOT_FOUND = -1001

_TRAIN_ON_CPU = "or set TEACHER_DEVICE_TYPE=cpu"
_REBUILD = "`pip install --no-binary lightgbm lightgbm --config-settings=cmake.define.{}=ON`"


@dataclass(frozen=True)
class OpenClDevice:
    """One device that `device_type=gpu` can train on.

    Attributes
    ----------
    platform_id, device_id
        What LightGBM calls `gpu_platform_id` and `gpu_device_id`, from 0.
    platform_name, device_name
        As the driver reports them.
    double_precision
        Whether the device computes in double precision, which `gpu_use_dp` needs.
    """

    platform_id: int
    device_id: int
    platform_name: str
    device_name: str
    double_precision: bool

    def __str__(self) -> str:
        return f"{self.platform_name} / {self.device_name}"


def opencl_devices() -> tuple[OpenClDevice, ...]:
    """List the OpenCL devices as LightGBM counts them.

    Returns
    -------
    tuple of OpenClDevice
        In order of platform and device id. A platform without a device (Mesa's on a machine without a GPU)
        keeps its id and has no entry. Empty without a driver.

    Raises
    ------
    UsageError
        LightGBM has no OpenCL in this build, or a driver answers with an error.
    """
    opencl = _opencl_library()
    if opencl is None:
        return ()
    platforms = _handles(opencl.clGetPlatformIDs, _PLATFORM_NOT_FOUND)
    return tuple(
        OpenClDevice(
            platform_id,
            device_id,
            _text(opencl.clGetPlatformInfo, platform, _PLATFORM_NAME),
            _text(opencl.clGetDeviceInfo, device, _DEVICE_NAME),
            _double_precision(opencl, device),
        )
        for platform_id, platform in enumerate(platforms)
        for device_id, device in enumerate(
            _handles(opencl.clGetDeviceIDs, _DEVICE_NOT_FOUND, platform, ctypes.c_uint64(_DEVICE_TYPE_ALL))
        )
    )


def require_device(device_type: DeviceType, platform_id: int, device_id: int, use_dp: bool) -> str:
    """Make sure that LightGBM trains on the device that was asked for, or refuse.

    Parameters
    ----------
    device_type
        LightGBM's `device_type`: `gpu` is OpenCL. `cpu` costs nothing, the others import LightGBM.
    platform_id, device_id
        LightGBM's `gpu_platform_id` and `gpu_device_id`, from 0; `cuda` reads only the device.
    use_dp
        LightGBM's `gpu_use_dp`.

    Returns
    -------
    str
        The device in words: `cpu`, `gpu: <platform> / <device>`, `cuda: device <id>`.

    Raises
    ------
    UsageError
        The device does not exist, lacks double precision, or this LightGBM cannot use it. Says what to set or
        install.
    """
    if device_type == "cpu":
        return "cpu"
    if device_type == "cuda":
        _require_cuda(device_id)
        return f"cuda: device {device_id}"
    devices = opencl_devices()
    if not devices:
        raise UsageError(
            "TEACHER_DEVICE_TYPE=gpu finds no OpenCL device. Install a driver: the GPU vendor's, or PoCL to "
            "run OpenCL on the CPU (Debian: `apt-get install ocl-icd-libopencl1 pocl-opencl-icd`), "
            f"{_TRAIN_ON_CPU}."
        )
    platform = [device for device in devices if device.platform_id == platform_id]
    if not platform:
        names = {device.platform_id: device.platform_name for device in devices}
        listed = ", ".join(f"{number} ({name})" for number, name in names.items())
        raise UsageError(
            f"TEACHER_GPU_PLATFORM_ID={platform_id} is no OpenCL platform with a device. "
            f"Set one of: {listed}; {_TRAIN_ON_CPU}."
        )
    chosen = next((device for device in platform if device.device_id == device_id), None)
    if chosen is None:
        listed = ", ".join(f"{device.device_id} ({device.device_name})" for device in platform)
        raise UsageError(
            f"TEACHER_GPU_DEVICE_ID={device_id} is no device of OpenCL platform {platform_id} "
            f"({platform[0].platform_name}). Set one of: {listed}; {_TRAIN_ON_CPU}."
        )
    if use_dp and not chosen.double_precision:
        raise UsageError(
            f"{chosen} has no double precision. Set TEACHER_GPU_USE_DP=false, choose another device by "
            f"TEACHER_GPU_PLATFORM_ID and TEACHER_GPU_DEVICE_ID, {_TRAIN_ON_CPU}."
        )
    return f"gpu: {chosen}"


def _require_cuda(device_id: int) -> None:
    # Only training tells: LightGBM has no call that says what it was built with.
    import lightgbm
    import numpy as np
    from lightgbm.basic import LightGBMError

    params = {"device_type": "cuda", "gpu_device_id": device_id, "num_threads": 1, "verbose": -1}
    rows = np.arange(64.0).reshape(32, 2)
    try:
        lightgbm.train(params, lightgbm.Dataset(rows, np.arange(32) % 2), num_boost_round=1)
    except LightGBMError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if "not enabled in this build" in reason:
            way_out = f"The wheel from PyPI has no CUDA: build it with {_REBUILD.format('USE_CUDA')}"
        else:
            way_out = "Set TEACHER_GPU_DEVICE_ID to a CUDA device of this machine"
        raise UsageError(
            f"TEACHER_DEVICE_TYPE=cuda with TEACHER_GPU_DEVICE_ID={device_id} does not train: {reason}. "
            f"{way_out}, or set TEACHER_DEVICE_TYPE=cpu|gpu."
        ) from error


def _opencl_library() -> ctypes.CDLL | None:
    from lightgbm.libpath import _LIB

    # A second handle on the same library: nothing that happens to it is seen by LightGBM.
    lightgbm_library = ctypes.CDLL(_LIB._name)  # noqa: SLF001  # ctypes keeps a library's path under no other name
    if hasattr(lightgbm_library, "clGetPlatformIDs"):
        return lightgbm_library
    if sys.platform == "win32":
        # A DLL shows neither its loader nor what it links; every OpenCL driver installs this loader.
        try:
            return ctypes.CDLL("OpenCL.dll")
        except OSError:
            return None
    raise UsageError(
        "TEACHER_DEVICE_TYPE=gpu needs OpenCL, which this build of LightGBM lacks. Build it with "
        f"{_REBUILD.format('USE_GPU')}, {_TRAIN_ON_CPU}."
    )


def _handles(list_handles: Callable[..., int], none_found: int, *of: Any) -> list[ctypes.c_void_p]:
    count = ctypes.c_uint32(0)
    status = list_handles(*of, 0, None, ctypes.byref(count))
    if status == none_found or (status == 0 and not count.value):
        return []
    _accept(status)
    handles = (ctypes.c_void_p * count.value)()
    _accept(list_handles(*of, count.value, handles, None))
    return [ctypes.c_void_p(handle) for handle in handles]


def _text(read: Callable[..., int], handle: ctypes.c_void_p, what: int) -> str:
    size = ctypes.c_size_t(0)
    _accept(read(handle, what, ctypes.c_size_t(0), None, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _accept(read(handle, what, size, text, None))
    return text.value.decode(errors="replace").strip()


def _double_precision(opencl: ctypes.CDLL, device: ctypes.c_void_p) -> bool:
    # A device of OpenCL 1.1 without doubles may not know the question; its error leaves the answer at 0.
    config = ctypes.c_uint64(0)
    opencl.clGetDeviceInfo(device, _DEVICE_DOUBLE_FP_CONFIG, ctypes.c_size_t(8), ctypes.byref(config), None)
    return config.value != 0


def _accept(status: int) -> None:
    if status != 0:
        raise UsageError(f"An OpenCL driver answers with error {status}. Repair or remove the driver, {_TRAIN_ON_CPU}.")
