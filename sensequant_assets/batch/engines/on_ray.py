"""Work on a Ray cluster: sent as it is asked for, waited for, and sent once more where its worker is lost."""

import logging
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from sensequant_assets.batch.cost import note_elsewhere
from sensequant_assets.batch.engines.engine import Result, Work, no_cluster
from sensequant_assets.batch.engines.parcels import KEPT, Answer, OtherCodeError, carried_out, packed
from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.workers import GRACE_S
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.pool import PoolRows
from sensequant_assets.errors import FailureKind, UsageError, WindowError

# Nobody is told that a cluster was started, and Ray warns of accelerators that nobody asks for.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LOSSES = 2
"""How often work may be lost with its worker before it fails: what kills its worker would kill one after the other."""

_LOOK_S = 0.2
"""How long to wait for an answer before looking whether time is up."""

_LOST = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)


class RayEngine:
    """Work on the workers of the cluster that this process has joined.

    Parameters
    ----------
    slots
        How much work is sent at once; what waits, waits here.
    """

    name: ClassVar[str] = "ray"

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.far_cpu_s = 0.0
        self.losses: list[str] = []
        self._lock = threading.Lock()
        self._sent: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._remote = ray.remote(max_retries=0, num_cpus=1)(_served)

    def call(self, work: Work[Result], expired: Expired) -> Result:
        """As of `Engine`."""
        lost: Exception = WorkerCrashedError()
        for _ in range(LOSSES):
            try:
                answer = self._answer(self._send(work), expired)
            except _LOST as error:
                lost = error
                with self._lock:
                    self.losses.append(f"A worker was lost with its work: {_first_line(error)}")
                    # What was shared may be lost with it.
                    self._sent.clear()
                continue
            with self._lock:
                self.far_cpu_s += answer.cpu_s
            note_elsewhere(answer.worker, answer.cpu_s, answer.peak_mb)
            if answer.error is not None:
                raise answer.error
            result: Result = answer.result
            return result
        raise WindowError(
            FailureKind.LOST_WORKER,
            f"{LOSSES} workers were lost while they did it, the last one so: {_first_line(lost)}",
        )

    def require_same_code(self) -> None:
        """Make sure that the workers of every machine have this code.

        Raises
        ------
        UsageError
            They do not, or cannot be asked.
        """
        hello = packed(_hello, lambda _: 0)
        try:
            ray.get(
                [
                    self._remote.options(
                        scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                    ).remote(hello, [], code())
                    for node in ray.nodes()
                    if node["Alive"] and node["Resources"].get("CPU")
                ]
            )
        except RayTaskError as error:
            if isinstance(error.cause, OtherCodeError):
                raise UsageError(
                    f"Worker {error.cause} of the Ray cluster has other code or libraries than this process, and would "
                    "train other models. Install the same there, pinned by constraints.txt, and start it again."
                ) from None
            raise UsageError(
                f"A worker of the Ray cluster cannot do this work: {_first_line(error.cause or error)} Install "
                "sensequant-assets there as here, and start it again."
            ) from error

    def _send(self, work: Work[Any]) -> Any:
        places: list[Any] = []

        def share(thing: Any) -> int:
            places.append(self._place(thing))
            return len(places) - 1

        return self._remote.remote(packed(work, share), places, code())

    def _place(self, thing: Any) -> Any:
        """Where something lies in the cluster, which is put there unless it was lately."""
        if isinstance(thing, PoolRows):
            # Asked for twice in all, and large.
            return ray.put(thing)
        with self._lock:
            if id(thing) in self._sent:
                self._sent.move_to_end(id(thing))
            else:
                # Kept with its place: another thing may have its number once it is gone.
                self._sent[id(thing)] = thing, ray.put(thing)
                while len(self._sent) > KEPT + self.slots:
                    self._sent.popitem(last=False)
            return self._sent[id(thing)][1]

    def _answer(self, sent: Any, expired: Expired) -> Answer:
        while not ray.wait([sent], timeout=_LOOK_S)[0]:
            if expired():
                _end(sent)
                raise WindowError(FailureKind.TIMEOUT, "Time was up, and its worker was stopped.")
        answer: Answer = ray.get(sent)
        return answer


@contextmanager
def opened_ray(address: str | None, workers: int, at_most: int = 0) -> Iterator[RayEngine]:
    """Join a cluster, or start one of this machine for as long as it is needed; one that was joined already is taken.

    Parameters
    ----------
    address
        Of the cluster, `host:port`; None to start one.
    workers
        Of a cluster that is started.
    at_most
        Most work that another cluster is sent at once; 0 for as much as it has CPUs.

    Raises
    ------
    UsageError
        It cannot be reached or started, or has other code.
    """
    joined = ray.is_initialized()
    if not joined:
        _join(address, workers)
    try:
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if not cpus:
            raise no_cluster(str(address), "it has no CPU")
        engine = RayEngine(min(cpus, at_most or cpus) if address else min(cpus, workers))
        engine.require_same_code()
        yield engine
    finally:
        if not joined:
            ray.shutdown()


def _join(address: str | None, workers: int) -> None:
    asked_to_end = signal.getsignal(signal.SIGTERM)
    logging.getLogger("ray").setLevel(logging.ERROR)
    given = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(**given, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises of every kind
        if address:
            raise no_cluster(address, _first_line(error).rstrip(".")) from error
        raise UsageError(
            f"Ray cannot be started here: {_first_line(error)} Free memory or disk, or set SENSEQUANT_ENGINE=local."
        ) from error
    finally:
        # Ray ends a process at once that is asked to end; a batch comes to its end in order.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, asked_to_end)


def _end(sent: Any) -> None:
    """Stop work, its worker with it where it does not listen."""
    with suppress(RayError):
        ray.cancel(sent)
        if not ray.wait([sent], timeout=GRACE_S / 2)[0]:
            ray.cancel(sent, force=True)


def _served(parcel: bytes, places: list[Any], wanted_code: str) -> Answer:
    return carried_out(parcel, places, ray.get, wanted_code)


def _hello(expired: Expired) -> None:  # noqa: ARG001  # it is work
    """Load what every piece of work needs, so that the first window does not wait for it."""
    import lightgbm  # noqa: F401


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
