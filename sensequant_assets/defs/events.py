"""Dagster events of a run, handed to the storage many at a time."""

import logging
import os
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import uuid4

import dagster as dg
from dagster._core.events import (
    AssetObservationData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    DagsterEventType,
    StepMaterializationData,
)

Event = dg.AssetMaterialization | dg.AssetObservation

BATCH, DELAY_S = 500, 0.5


class EventLog:
    """Logs events of a step, one at once while they are rare and many in one transaction while they are not.

    `context.log_event` costs a transaction and a printed line an event. Dagster knows batches of events, and its
    storage is given one where `DAGSTER_EVENT_BATCH_SIZE` is set; its public context has no way to say so, hence the use
    of its event classes. A kill loses the events of the last half second, never a row of the journal, and the next run
    logs those windows as reused.

    Parameters
    ----------
    context
        Of the step.
    clock
        Seconds from anywhere.
    """

    def __init__(self, context: dg.AssetExecutionContext, clock: Callable[[], float] = monotonic) -> None:
        self._step = context.op_execution_context._step_execution_context
        self._instance, self._run_id = context.instance, context.run.run_id
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
            self._instance.report_dagster_event(
                self._dressed(event),
                self._run_id,
                logging.DEBUG,
                batch_metadata=DagsterEventBatchMetadata(batch, number == len(waiting)),
            )
        self._flushed = self._clock()

    def _dressed(self, event: Event) -> DagsterEvent:
        """The event as Dagster's step logs it, but for the line that it would also print."""
        step, materialized = self._step, isinstance(event, dg.AssetMaterialization)
        return DagsterEvent(
            event_type_value=(
                DagsterEventType.ASSET_MATERIALIZATION if materialized else DagsterEventType.ASSET_OBSERVATION
            ).value,
            job_name=step.job_name,
            step_handle=step.step.handle,
            node_handle=step.step.node_handle,
            step_kind_value=step.step.kind.value,
            logging_tags=step.event_tags,
            event_specific_data=StepMaterializationData(event)
            if isinstance(event, dg.AssetMaterialization)
            else AssetObservationData(event),
            message="Materialized value." if materialized else None,
            pid=os.getpid(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
