"""Claims about the device that LightGBM trains on."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sensequant_assets.core.parameters import Device, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.models import devices
from sensequant_assets.models.devices import FoundDevice, OpenClDevice, gpus, opencl_devices, require_devices

TWO_PLATFORMS = (
    OpenClDevice(0, 0, "Acme OpenCL", "Acme Mini", double_precision=False),
    OpenClDevice(0, 1, "Acme OpenCL", "Acme Maxi", double_precision=True),
    OpenClDevice(2, 0, "Portable Computing Language", "cpu-haswell", double_precision=True),
)

# Trains on the CPU, on the first OpenCL device, and on a platform that does not exist.
TRAINING = """
import json
import lightgbm
import numpy as np
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.models.devices import opencl_devices, require_devices

class Log:
    lines = []
    def info(self, line): self.lines.append(line)
    warning = info

lightgbm.register_logger(Log())
rng = np.random.default_rng(3)
X = rng.normal(size=(107, 24))
y = (X[:, 0] + rng.normal(size=107) > 0).astype(float)
common = {"objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "max_bin": 63, "num_threads": 1,
          "seed": 1, "deterministic": True, "force_col_wise": True, "verbose": 1}

def train(**params):
    Log.lines = []
    booster = lightgbm.train(common | params, lightgbm.Dataset(X, y), num_boost_round=60)
    text = booster.model_to_string().split("parameters:")[1]
    return booster.predict(X), "".join(Log.lines), text

device = opencl_devices()[0]
ids = {"gpu_platform_id": device.platform_id, "gpu_device_id": device.device_id}
(described,) = require_devices(TeacherParameters(device_type="gpu", gpu_use_dp=True, **ids))
cpu, _, _ = train()
gpu, log, text = train(device_type="gpu", gpu_use_dp=True, **ids)
_, lost_log, lost_text = train(device_type="gpu", gpu_use_dp=True, gpu_platform_id=77, gpu_device_id=0)
print(json.dumps({
    "difference": float(abs(gpu - cpu).max()), "spread": float(np.ptp(cpu)), "described": described.name,
    "device": device.device_name, "log": log, "text": text, "lost_log": lost_log, "lost_text": lost_text,
}))
"""


def asked(**changed: object) -> TeacherParameters:
    """A teacher that asks for OpenCL."""
    return TeacherParameters.model_validate({"device_type": "gpu"} | changed)


def child(code: str, **environment: str) -> str:
    """Run Python code in a fresh process, since a process reads its OpenCL drivers only once."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def training() -> dict[str, Any]:
    """What a real training on the first OpenCL device came to."""
    if not opencl_devices():
        pytest.skip("no OpenCL device: apt-get install pocl-opencl-icd")
    result: dict[str, Any] = json.loads(child(TRAINING).splitlines()[-1])
    return result


@pytest.fixture
def two_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine with two devices on platform 0, none on platform 1 and one on platform 2."""
    monkeypatch.setattr(devices, "opencl_devices", lambda: TWO_PLATFORMS)


def test_the_cpu_is_taken_without_loading_lightgbm() -> None:
    code = (
        "import sys; from sensequant_assets.models.devices import require_devices, TeacherParameters as T;"
        "print(require_devices(T(gpu_device_id=7)), require_devices(T(device_type='auto')), 'lightgbm' in sys.modules)"
    )
    assert child(code).split() == ["()", "()", "False"]


def test_a_gpu_without_any_opencl_driver_is_refused_with_the_way_out(tmp_path: Path) -> None:
    code = """
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.models.devices import opencl_devices, require_devices
from sensequant_assets.errors import UsageError
try:
    require_devices(TeacherParameters(device_type="gpu"))
except UsageError as error:
    print(opencl_devices(), error)
"""
    said = child(code, OCL_ICD_VENDORS=str(tmp_path), OCL_ICD_FILENAMES="")
    assert said.startswith("() TEACHER_DEVICE_TYPE=gpu finds no OpenCL device")
    for way_out in ("ocl-icd-libopencl1", "pocl-opencl-icd", "vendor's", "TEACHER_DEVICE_TYPE=cpu"):
        assert way_out in said


@pytest.mark.usefixtures("two_platforms")
@pytest.mark.parametrize("platform_id", [7, 1])
def test_a_platform_without_devices_is_refused_with_those_that_have_some(platform_id: int) -> None:
    with pytest.raises(UsageError) as refusal:
        require_devices(asked(gpu_platform_id=platform_id))
    assert str(refusal.value) == (
        f"TEACHER_GPU_PLATFORM_ID={platform_id} is no OpenCL platform with a device. "
        "Set one of: 0 (Acme OpenCL), 2 (Portable Computing Language); or set TEACHER_DEVICE_TYPE=cpu."
    )


@pytest.mark.usefixtures("two_platforms")
@pytest.mark.parametrize("device_id", [7, 2])
def test_a_missing_device_is_refused_with_those_of_its_platform(device_id: int) -> None:
    with pytest.raises(UsageError) as refusal:
        require_devices(asked(gpu_device_id=device_id))
    assert str(refusal.value) == (
        f"TEACHER_GPU_DEVICE_ID={device_id} is no device of OpenCL platform 0 (Acme OpenCL). "
        "Set one of: 0 (Acme Mini), 1 (Acme Maxi); or set TEACHER_DEVICE_TYPE=cpu."
    )


@pytest.mark.usefixtures("two_platforms")
def test_double_precision_is_refused_only_where_the_device_lacks_it() -> None:
    with pytest.raises(UsageError, match=r"Acme Mini has no double precision\. Set TEACHER_GPU_USE_DP=false"):
        require_devices(asked(gpu_use_dp=True))
    assert list(map(str, require_devices(asked()))) == ["gpu 0:0 (Acme OpenCL / Acme Mini)"]
    assert list(map(str, require_devices(asked(gpu_device_id=1, gpu_use_dp=True)))) == [
        "gpu 0:1 (Acme OpenCL / Acme Maxi)"
    ]


@pytest.mark.usefixtures("two_platforms")
@pytest.mark.parametrize(("ids", "found"), [("all", [0, 1]), ("1,0", [0, 1]), ("1", [1]), ("0,0", [0])])
def test_several_devices_are_named_by_number_or_all_together(ids: str, found: list[int]) -> None:
    assert [one.device for one in require_devices(asked(gpu_device_ids=ids))] == [
        Device("gpu", 0, id_) for id_ in found
    ]


@pytest.mark.usefixtures("two_platforms")
def test_one_missing_device_of_several_is_named() -> None:
    with pytest.raises(UsageError) as refusal:
        require_devices(asked(gpu_device_ids="0,5"))
    assert str(refusal.value) == (
        "TEACHER_GPU_DEVICE_IDS=0,5: 5 is no device of OpenCL platform 0 (Acme OpenCL). "
        "Set some of: 0 (Acme Mini), 1 (Acme Maxi); or set TEACHER_DEVICE_TYPE=cpu."
    )


@pytest.mark.usefixtures("two_platforms")
def test_auto_takes_the_platform_that_is_set_and_else_the_first_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cuda_names", list)
    auto = TeacherParameters(device_type="auto", gpu_device_ids="all")
    assert [str(one.device) for one in gpus(auto)] == ["gpu 0:0", "gpu 0:1"]
    assert [str(one.device) for one in gpus(auto.model_copy(update={"gpu_platform_id": 2}))] == ["gpu 2:0"]
    pocl = tuple(replace(one, is_cpu=one.platform_id == 0) for one in TWO_PLATFORMS)
    monkeypatch.setattr(devices, "opencl_devices", lambda: pocl)
    assert [str(one.device) for one in gpus(auto)] == ["gpu 2:0"]


@pytest.fixture
def two_cuda_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine with two CUDA devices and a LightGBM that trains on the first."""
    monkeypatch.setattr(devices, "_cuda_names", lambda: ["Acme A", "Acme B"])
    monkeypatch.setattr(devices, "_cuda_refusal", lambda number: "" if number == 0 else "no kernel image")


@pytest.mark.usefixtures("two_cuda_devices")
def test_cuda_devices_are_named_by_its_driver_and_tried_by_lightgbm() -> None:
    cuda = TeacherParameters(device_type="cuda", gpu_device_ids="all")
    both = tuple(FoundDevice(Device("cuda", 0, number), f"Acme {name}") for number, name in enumerate("AB"))
    assert require_devices(cuda) == both
    assert gpus(TeacherParameters(device_type="auto", gpu_device_ids="0,1")) == both
    with pytest.raises(UsageError, match=r"TEACHER_GPU_DEVICE_ID=7 is no device of CUDA. Set one of: 0 \(Acme A\), 1"):
        require_devices(TeacherParameters(device_type="cuda", gpu_device_id=7))
    with pytest.raises(UsageError, match=r"CUDA device 1 \(Acme B\) does not train: no kernel image"):
        require_devices(TeacherParameters(device_type="cuda", gpu_device_id=1))


def test_a_machine_without_cuda_devices_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cuda_names", list)
    monkeypatch.setattr(devices, "_cuda_refusal", lambda _: "no CUDA-capable device is detected")
    with pytest.raises(UsageError, match=r"finds no CUDA device. Install NVIDIA's driver \(libcuda.so.1\)"):
        require_devices(TeacherParameters(device_type="cuda"))


def test_cuda_is_refused_by_a_lightgbm_that_was_built_without_it_and_nothing_else_is_written(
    capfd: pytest.CaptureFixture[str],
) -> None:
    try:
        described = require_devices(TeacherParameters(device_type="cuda"))
    except UsageError as error:
        said = str(error)
    else:
        pytest.skip(f"this LightGBM trains on {described}")
    assert "CUDA Tree Learner was not enabled in this build" in said
    assert "pip install --no-binary lightgbm lightgbm --config-settings=cmake.define.USE_CUDA=ON" in said
    assert "deploy/build_lightgbm_cuda.sh" in said
    assert "TEACHER_DEVICE_TYPE=cpu|gpu" in said
    assert capfd.readouterr() == ("", "")


def test_a_lightgbm_that_was_built_without_opencl_is_named_as_the_culprit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The name of no library stands for the Python program itself, which has no OpenCL in it.
    monkeypatch.setattr("lightgbm.libpath._LIB", SimpleNamespace(_name=None))
    with pytest.raises(UsageError, match=r"this build of LightGBM lacks.*cmake\.define\.USE_GPU=ON"):
        require_devices(asked())


def test_a_real_platform_list_refuses_what_it_does_not_hold() -> None:
    found = opencl_devices()
    if not found:
        pytest.skip("no OpenCL device: apt-get install pocl-opencl-icd")
    with pytest.raises(UsageError, match="TEACHER_GPU_PLATFORM_ID=7") as refusal:
        require_devices(asked(gpu_platform_id=7))
    assert found[0].platform_name in str(refusal.value)
    with pytest.raises(UsageError, match="TEACHER_GPU_DEVICE_ID=7") as refusal:
        require_devices(asked(gpu_platform_id=found[0].platform_id, gpu_device_id=7))
    assert found[0].device_name in str(refusal.value)


def test_double_precision_training_on_opencl_predicts_what_the_cpu_does(training: dict[str, Any]) -> None:
    assert training["spread"] > 0.5
    assert training["difference"] <= 1e-9


def test_lightgbm_trains_on_the_very_device_that_was_described(training: dict[str, Any]) -> None:
    assert f"Using GPU Device: {training['device']}," in training["log"]
    assert "Using requested OpenCL platform" in training["log"]
    assert training["described"].endswith(training["device"])
    for line in ("[device_type: gpu]", "[gpu_use_dp: 1]", "[force_col_wise: 1]", "[force_row_wise: 0]"):
        assert line in training["text"]


def test_lightgbm_itself_takes_a_platform_that_does_not_exist_without_a_word(
    training: dict[str, Any],
) -> None:
    assert "Using GPU Device" in training["lost_log"]
    assert "Using requested OpenCL platform" not in training["lost_log"]
    assert "[gpu_platform_id: 77]" in training["lost_text"]
