"""The devices that LightGBM trains on, checked before anything is trained.

LightGBM takes an OpenCL platform or device id that does not exist without a word, trains on a device of its
own choice and writes the wrong id into the model text. So the devices are enumerated here and a wrong choice
is refused.

OpenCL is asked through LightGBM's own library. The wheels carry their own OpenCL loader, which may count
platforms in another order than the system's `libOpenCL.so.1` does and works where that is not installed. CUDA is asked
through its driver; whether LightGBM was built with it only training tells.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sensequant_assets.core.boosting import Expired, fit, never
from sensequant_assets.core.parameters import Device, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.models.device_process import DeviceError, DeviceProcess

_PLATFORM_NAME = 0x0902
_DEVICE_TYPE = 0x1000
_DEVICE_NAME = 0x102B
_DEVICE_DOUBLE_FP_CONFIG = 0x1032
_DEVICE_TYPE_ALL = 0xFFFFFFFF
_DEVICE_TYPE_CPU = 2
_DEVICE_NOT_FOUND = -1
_PLATFORM_NOT_FOUND = -1001

_TRAIN_ON_CPU = "or set TEACHER_DEVICE_TYPE=cpu"
_REBUILD = "`pip install --no-binary lightgbm lightgbm --config-settings=cmake.define.{}=ON`"
_TRIED_ROWS, _TRIED_FEATURES = 300, 24
"""As many as make LightGBM's histograms as wide as those of most windows, for which OpenCL compiles other code."""

_NOT_BUILT = "not enabled in this build"


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
    is_cpu
        Whether it is a CPU under OpenCL, as PoCL's are.
    """

    platform_id: int
    device_id: int
    platform_name: str
    device_name: str
    double_precision: bool
    is_cpu: bool = False

    def __str__(self) -> str:
        return f"{self.platform_name} / {self.device_name}"

    @property
    def found(self) -> "FoundDevice":
        """The same as what trains a window."""
        return FoundDevice(Device("gpu", self.platform_id, self.device_id), str(self))


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A device that is there, and its name as its driver reports it."""

    device: Device
    name: str

    def __str__(self) -> str:
        return f"{self.device} ({self.name})"

    @property
    def visible_id(self) -> int:
        """Its number on this machine, where `CUDA_VISIBLE_DEVICES` makes others of them for CUDA."""
        shown = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        mapped = shown[self.device.device_id] if self.device.device_id < len(shown) else ""
        return int(mapped) if self.device.type == "cuda" and mapped.isdecimal() else self.device.device_id


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
            _bits(opencl, device, _DEVICE_DOUBLE_FP_CONFIG) != 0,
            _bits(opencl, device, _DEVICE_TYPE) & _DEVICE_TYPE_CPU != 0,
        )
        for platform_id, platform in enumerate(platforms)
        for device_id, device in enumerate(
            _handles(opencl.clGetDeviceIDs, _DEVICE_NOT_FOUND, platform, ctypes.c_uint64(_DEVICE_TYPE_ALL))
        )
    )


def require_devices(teacher: TeacherParameters) -> tuple[FoundDevice, ...]:
    """Make sure that LightGBM trains on the devices that were asked for, or refuse.

    Parameters
    ----------
    teacher
        Its `device_type`, `gpu_platform_id`, `gpu_device_id` or `gpu_device_ids`, and `gpu_use_dp`. `cpu` and `auto`
        cost nothing, the others import LightGBM.

    Returns
    -------
    tuple of FoundDevice
        In the order of their numbers; none for a CPU, and for `auto`, which `gpus` finds when there are rows enough.

    Raises
    ------
    UsageError
        A device does not exist, lacks double precision, or this LightGBM cannot use it. Says what to set or install.
    """
    if teacher.device_type == "cuda":
        return _require_cuda(teacher)
    return _require_opencl(teacher) if teacher.device_type == "gpu" else ()


def gpus(teacher: TeacherParameters) -> tuple[FoundDevice, ...]:
    """The devices that `auto` may take for a teacher: CUDA's if LightGBM has it, else OpenCL's that are GPUs.

    Raises
    ------
    UsageError
        There are some, and what is set names others, or asks of them what they cannot do.
    """
    if _cuda_names() and not _cuda_refusal(0):
        return _require_cuda(teacher)
    try:
        real = [device for device in opencl_devices() if not device.is_cpu]
    except UsageError:
        # Built without OpenCL.
        return ()
    platforms = [device.platform_id for device in real]
    if not platforms:
        return ()
    platform_id = teacher.gpu_platform_id if teacher.gpu_platform_id in platforms else platforms[0]
    return _require_opencl(teacher.model_copy(update={"gpu_platform_id": platform_id}))


def _require_opencl(teacher: TeacherParameters) -> tuple[FoundDevice, ...]:
    devices, platform_id = opencl_devices(), teacher.gpu_platform_id
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
    there = {device.device_id: device.device_name for device in platform}
    ids = _asked(teacher, there, f"OpenCL platform {platform_id} ({platform[0].platform_name})")
    chosen = [device for device in platform if device.device_id in ids]
    for device in chosen if teacher.gpu_use_dp else ():
        if not device.double_precision:
            raise UsageError(
                f"{device} has no double precision. Set TEACHER_GPU_USE_DP=false, choose another device by "
                f"TEACHER_GPU_PLATFORM_ID and TEACHER_GPU_DEVICE_ID, {_TRAIN_ON_CPU}."
            )
    return tuple(device.found for device in chosen)


def _asked(teacher: TeacherParameters, there: dict[int, str], whose: str) -> Sequence[int]:
    """The devices that a teacher asks for, of those that are there."""
    if teacher.gpu_device_ids == "all":
        return list(there)
    several = teacher.gpu_device_ids
    asked = [int(each) for each in several.split(",")] if several else [teacher.gpu_device_id]
    for each in asked:
        if each not in there:
            listed = ", ".join(f"{number} ({name})" for number, name in there.items())
            variable = f"TEACHER_GPU_DEVICE_IDS={several}: {each}" if several else f"TEACHER_GPU_DEVICE_ID={each}"
            some_of = "some" if several else "one"
            raise UsageError(f"{variable} is no device of {whose}. Set {some_of} of: {listed}; {_TRAIN_ON_CPU}.")
    return asked


def _require_cuda(teacher: TeacherParameters) -> tuple[FoundDevice, ...]:
    several = teacher.gpu_device_ids
    first = int(several.split(",")[0]) if several not in ("", "all") else teacher.gpu_device_id if not several else 0
    reason = _cuda_refusal(first)
    if _NOT_BUILT in reason:
        raise UsageError(
            f"TEACHER_DEVICE_TYPE=cuda does not train: {reason}. The wheel from PyPI has no CUDA: build it with "
            f"`deploy/build_lightgbm_cuda.sh`, which is {_REBUILD.format('USE_CUDA')}, or set "
            "TEACHER_DEVICE_TYPE=cpu|gpu."
        )
    names = _cuda_names()
    if not names:
        raise UsageError(
            "TEACHER_DEVICE_TYPE=cuda finds no CUDA device. Install NVIDIA's driver (libcuda.so.1), see what "
            f"CUDA_VISIBLE_DEVICES hides, {_TRAIN_ON_CPU}."
        )
    ids = _asked(teacher, dict(enumerate(names)), "CUDA")
    if reason:
        raise UsageError(
            f"CUDA device {first} ({names[first]}) does not train: {reason}. Choose another by "
            f"TEACHER_GPU_DEVICE_ID, {_TRAIN_ON_CPU}."
        )
    return tuple(FoundDevice(Device("cuda", 0, each), names[each]) for each in sorted(set(ids)))


def _cuda_refusal(device_id: int) -> str:
    """Why LightGBM does not train on a CUDA device; empty if it does.

    LightGBM has no call that says what it was built with, and what it writes when it does not train goes to the
    terminal; so another process tries.
    """
    process = DeviceProcess()
    try:
        process.call(partial(try_device, TeacherParameters(), device=Device("cuda", 0, device_id)), never)
    except DeviceError as error:
        return str(error)
    finally:
        process.close()
    return ""


def try_device(teacher: TeacherParameters, expired: Expired, device: Device) -> None:
    """Train a round on rows that mean nothing: the device's driver compiles what all windows need, or raises."""
    rows = np.random.default_rng(0).normal(size=(_TRIED_ROWS, _TRIED_FEATURES))
    tried = teacher.on(device).lightgbm() | {"num_iterations": 1}
    names = tuple(f"f{number}" for number in range(_TRIED_FEATURES))
    fit(rows, (rows[:, 0] > 0).astype(float), tried, feature_names=names, expired=expired)


def _cuda_names() -> list[str]:
    """Names of the devices that CUDA's driver shows, in its order; none without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return []
    count, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    names = []
    for number in range(count.value):
        device = ctypes.c_int(0)
        known = not driver.cuDeviceGet(ctypes.byref(device), number) and not driver.cuDeviceGetName(name, 256, device)
        names.append(name.value.decode(errors="replace") if known else "of no name")
    return names


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


def _bits(opencl: ctypes.CDLL, device: ctypes.c_void_p, what: int) -> int:
    # A device of OpenCL 1.1 without doubles may not know that question; its error leaves the answer at 0.
    found = ctypes.c_uint64(0)
    opencl.clGetDeviceInfo(device, what, ctypes.c_size_t(8), ctypes.byref(found), None)
    return found.value


def _accept(status: int) -> None:
    if status != 0:
        raise UsageError(f"An OpenCL driver answers with error {status}. Repair or remove the driver, {_TRAIN_ON_CPU}.")
