"""Dagster events of a run, handed to the storage many at a time."""

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import uuid4

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata

Event = dg.AssetMaterialization | dg.AssetObservation

BATCH, DELAY_S = 100, 0.5


class EventLog:
    """Logs events of a step, one at once while they are rare and many in one transaction while they are not.

    `context.log_event` costs a transaction an event. Dagster knows batches of events, and its storage is given one
    where `DAGSTER_EVENT_BATCH_SIZE` is set; its public context has no way to say so, hence the use of its event
    classes. A kill loses the events of the last half second, never a row of the journal, and the next run logs those
    windows as reused.

    Parameters
    ----------
    context
        Of the step.
    clock
        Seconds from anywhere.
    """

    def __init__(self, context: dg.AssetExecutionContext, clock: Callable[[], float] = monotonic) -> None:
        self._step = context.op_execution_context._step_execution_context
        self._clock = clock
        self._waiting: list[Event] = []
        self._flushed = clock() - DELAY_S

    def log(self, event: Event) -> None:
        """Log an event now or with the next ones."""
        self._waiting.append(event)
        if len(self._waiting) >= BATCH or self._clock() - self._flushed >= DELAY_S:
            self.flush()

    def flush(self) -> None:
        """Log what waits."""
        waiting, self._waiting = self._waiting, []
        batch = str(uuid4())
        for number, event in enumerate(waiting, start=1):
            metadata = DagsterEventBatchMetadata(batch, number == len(waiting))
            if isinstance(event, dg.AssetMaterialization):
                DagsterEvent.asset_materialization(self._step, event, metadata)
            else:
                DagsterEvent.asset_observation(self._step, event, metadata)
        self._flushed = self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
