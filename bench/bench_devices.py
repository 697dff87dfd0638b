"""From how many rows x leaves on a device trains faster than a CPU: what `TEACHER_AUTO_GPU_FROM` should be here.

Asks for the device that the environment names, or for the first of OpenCL:

    TEACHER_DEVICE_TYPE=cuda .venv/bin/python bench/bench_devices.py
    POCL_DEVICES=pthread .venv/bin/python bench/bench_devices.py --rows 1000,8000

Each time is the least of three trainings of so many rounds on 24 features, on one thread of the CPU and in the process
of the device, LightGBM's table and the way to that process included. The device has trained a round before. On a busy
machine seconds of the clock say little; those of the processor are beside them.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from sensequant_assets.batch.cost import Stopwatch
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import fit, never
from sensequant_assets.core.parameters import CPU, TeacherParameters
from sensequant_assets.models.device_process import DeviceProcess
from sensequant_assets.models.devices import FoundDevice, require_devices, try_device
from sensequant_assets.settings import read_teacher

ROUNDS = 20
FEATURES = 24
NAMES = tuple(f"f{number}" for number in range(FEATURES))
TRIES = 3


def table(rows: int) -> tuple[Floats, Floats]:
    """Features and a label that knows one of them, shapes (rows, features) and (rows,)."""
    rng = np.random.default_rng(rows)
    features = rng.normal(size=(rows, FEATURES))
    return features, (features[:, 0] + rng.normal(size=rows) > 0).astype(float)


def least(train: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processor of the fastest of some trainings."""
    taken = []
    for _ in range(TRIES):
        watch = Stopwatch()
        train()
        cost = watch.read()
        taken.append((cost.wall_s, cost.cpu_s))
    return min(taken)


def compare(found: FoundDevice, teacher: TeacherParameters, rows: Sequence[int], leaves: Sequence[int]) -> None:
    """Print a line for each number of rows and leaves, and from which on the device is faster."""
    process, faster = DeviceProcess(), list[int]()
    process.call(partial(try_device, teacher, device=found.device), never)
    print(f"{found}, {ROUNDS} rounds, least of {TRIES}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(
        "| rows | leaves | rows x leaves | CPU s | device s | device / CPU | processor, CPU s | processor, device s |"
    )
    print("|" + "---|" * 8)
    for many in leaves:
        asked = teacher.model_copy(update={"num_leaves": many, "max_depth": 20, "n_estimators": ROUNDS})
        for count in rows:
            train = partial(fit, *table(count), feature_names=NAMES)
            work = partial(train, parameters=asked.on(found.device).lightgbm())
            cpu, cpu_s = least(partial(train, parameters=asked.on(CPU).lightgbm()))
            device, device_s = least(partial(process.call, work, never))
            told = f"{cpu:.3f} | {device:.3f} | {device / cpu:.2f} | {cpu_s:.3f} | {device_s:.3f}"
            print(f"| {count:,} | {many} | {count * many:,} | {told} |", flush=True)
            if device < cpu:
                faster.append(count * many)
    process.close()
    if faster:
        print(f"\nThe device is faster from {min(faster):,} on: TEACHER_AUTO_GPU_FROM={min(faster)}.")
    else:
        print("\nThe CPU is faster everywhere.")


def main() -> None:
    """Compare the first device that is asked for with a CPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000,8000,40000,200000,700000")
    parser.add_argument("--leaves", default="15,127")
    given = parser.parse_args()
    teacher = read_teacher()
    if teacher.device_type in ("cpu", "auto"):
        teacher = teacher.model_copy(update={"device_type": "gpu"})
    found = require_devices(teacher)[0]
    numbers = [[int(each) for each in text.split(",")] for text in (given.rows, given.leaves)]
    compare(found, teacher, *numbers)


if __name__ == "__main__":
    main()
