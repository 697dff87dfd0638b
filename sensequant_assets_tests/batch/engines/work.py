"""Work that workers of a cluster are given by tests: a module of its own, which they import in no time."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from sensequant_assets.batch.engines.engine import Work
from sensequant_assets.core.boosting import Expired


def my_process(expired: Expired) -> int:
    return os.getpid()


def die(marks: Path, times: int, expired: Expired) -> int:
    """Kill the worker so often."""
    (marks / str(os.getpid())).touch()
    if len(list(marks.iterdir())) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(list(marks.iterdir()))


def killed_once(marks: Path, work: Work[Any], expired: Expired) -> Any:
    """Do work, but kill the first worker that has it."""
    die(marks, 1, expired)
    return work(expired)


def sleep(expired: Expired) -> None:
    for _ in range(100_000):
        time.sleep(0.01)
