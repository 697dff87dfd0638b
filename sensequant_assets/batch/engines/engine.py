"""The seam at which work leaves the process, or stays: what trains is called through an engine.

Whatever the engine, the threads of `batch.workers` hold windows and pools at once, give each its time, and write models
and journal. On a cluster they do not train: they wait.
"""

import importlib.util
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit

from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings

Result = TypeVar("Result")

REACH_S = 5.0
"""Seconds within which a cluster answers; a network that drops packets would keep one waiting for minutes."""

_OR_LOCAL = "or set SENSEQUANT_ENGINE=local"


Work = Callable[[Expired], Result]
"""What is done for a window or a pool: a function of a module with all arguments but the last, asked once a round."""


class Engine(Protocol):
    """Does work, here or elsewhere; may be called on many threads at once.

    Attributes
    ----------
    name
        `local` or `ray`.
    slots
        How much work it does at once.
    far_cpu_s
        Seconds of the processor that other processes have spent on its work so far.
    losses
        What was lost with its worker and done again or given up, in words.
    """

    @property
    def name(self) -> str:
        """As above."""

    @property
    def slots(self) -> int:
        """As above."""

    @property
    def far_cpu_s(self) -> float:
        """As above."""

    @property
    def losses(self) -> Sequence[str]:
        """As above."""

    def call(self, work: Work[Result], expired: Expired) -> Result:
        """Do work and give its result.

        Raises
        ------
        WindowError
            Of kind `timeout` when its time is up; `lost_worker` where it was lost with its worker twice.
        Exception
            What the work raises.
        """


@dataclass(frozen=True, slots=True)
class Local:
    """Does work on the thread that asks.

    Attributes
    ----------
    slots
        How many threads may ask at once.
    """

    slots: int = 1
    name: ClassVar[str] = "local"
    far_cpu_s: ClassVar[float] = 0.0
    losses: ClassVar[Sequence[str]] = ()

    def call(self, work: Work[Result], expired: Expired) -> Result:
        """As of `Engine`."""
        return work(expired)


def require_engine(settings: Settings, teacher: TeacherParameters) -> None:
    """Make sure that the engine which settings name can be asked for work; of `local` there is nothing to see.

    Raises
    ------
    UsageError
        It is not installed, nobody answers at its address, or it trains on no such device.
    """
    if settings.engine == "local":
        return
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "SENSEQUANT_ENGINE=ray needs Ray, which is not installed. Run `pip install 'sensequant-assets[ray]'`, "
            f"{_OR_LOCAL}."
        )
    if teacher.device_type != "cpu":
        raise UsageError(
            f"SENSEQUANT_ENGINE=ray trains on the CPUs of its workers. Set TEACHER_DEVICE_TYPE=cpu, {_OR_LOCAL}."
        )
    if settings.engine_address is not None:
        _require_answer(settings.engine_address)


@contextmanager
def opened_engine(settings: Settings, workers: int) -> Iterator[Engine]:
    """The engine that settings name, for as long as a run needs it.

    Parameters
    ----------
    settings
        Which engine, and its address.
    workers
        How much work is done at once in this process, or by a cluster that is started here.

    Raises
    ------
    UsageError
        It cannot be started or reached, or its workers have other code than this process.
    """
    if settings.engine == "local":
        yield Local(workers)
        return
    # Half a second, and an extra: who trains on threads pays for neither.
    from sensequant_assets.batch.engines.on_ray import opened_ray

    with opened_ray(settings.engine_address, workers, at_most=settings.workers) as engine:
        yield engine


def no_cluster(address: str, why: object) -> UsageError:
    """The error of a cluster that cannot be reached."""
    return UsageError(
        f"No Ray cluster can be reached at SENSEQUANT_ENGINE_ADDRESS={address}: {why}. Start one with `ray start "
        f"--head --port=6379`, join it on this machine with `ray start --address={address}`, or leave the address out "
        "to start one here."
    )


def _require_answer(address: str) -> None:
    parts = urlsplit(f"//{address}")
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), REACH_S).close()
    except OSError as error:
        raise no_cluster(address, (error.strerror or str(error)).lower()) from error
