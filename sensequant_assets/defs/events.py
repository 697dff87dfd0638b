"""Dagster events of a run, handed to the storage many at a time."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter
from time import monotonic
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import dagster as dg

from sensequant_assets.storage import dagster_private as private

Event = dg.AssetMaterialization | dg.AssetObservation

BATCH, DELAY_S = 500, 0.5


# What an event says of its step, and where the step's private context has it.
_OF_STEP = {
    "job_name": "job_name",
    "step_handle": "step.handle",
    "node_handle": "step.node_handle",
    "step_kind_value": "step.kind.value",
    "logging_tags": "event_tags",
}
# Parameters of what is called here and meant for Dagster alone.
_SIGNATURES = {
    dg.DagsterInstance: {
        "report_dagster_event": ["self", "dagster_event", "run_id", "log_level", "batch_metadata", "timestamp"]
    },
    dg.DagsterEvent: {
        "__new__": [
            "cls", "event_type_value", "job_name", "step_handle", "node_handle", "step_kind_value", "logging_tags",
            "event_specific_data", "message", "pid", "step_key",
        ]
    },
}  # fmt: skip


def unsupported_reason() -> str | None:
    """Tell why the installed Dagster cannot be handed events together.

    Returns
    -------
    str or None
        What is changed and what is done instead, or None when everything is as `EventLog` expects.
    """
    found = next(filter(None, (private.changed(stock, methods) for stock, methods in _SIGNATURES.items())), None)
    return private.TOGETHER.closed or (found and private.TOGETHER.because(found))


def plan_partitions(context: dg.AssetExecutionContext, asset: str, partitions: Sequence[str]) -> None:
    """Tell Dagster that a run is to materialize partitions that are not in its range, so that they are red if it fails.

    Where it has no such event, they keep the colour that they have, after a warning.
    """
    if private.PLANNED.closed:
        warnings.warn(private.PLANNED.closed, stacklevel=2)
        return
    run = context.run
    for partition in partitions:
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
            job_name=run.job_name,
            step_key=str(context.op_execution_context.op_handle),
            event_specific_data=private.AssetMaterializationPlannedData(dg.AssetKey(asset), partition),
            message=f"{run.job_name} intends to materialize {asset} {partition}",
        )
        context.instance.report_dagster_event(event, run.run_id, logging.DEBUG)


class EventLog:
    """Logs events of a step, one at once while they are rare and many in one transaction while they are not.

    `context.log_event` costs a transaction and a printed line an event. Dagster knows batches of events, and its
    storage is given one where `DAGSTER_EVENT_BATCH_SIZE` is set; its public context has no way to say so, hence the use
    of its event classes. A Dagster without them is told of each event alone, after a warning. A kill loses the events
    of the last half second, never a row of the journal, and the next run logs those windows as reused.

    Parameters
    ----------
    context
        Of the step.
    clock
        Seconds from anywhere.
    """

    def __init__(self, context: dg.AssetExecutionContext, clock: Callable[[], float] = monotonic) -> None:
        self._context = context
        self._of_step: dict[str, Any] = {}
        reason = unsupported_reason()
        try:
            step = context.get_step_execution_context()
            self._of_step = {name: attrgetter(place)(step) for name, place in _OF_STEP.items()}
        except AttributeError as error:
            reason = reason or private.TOGETHER.because(f"changed its steps: {error}")
        if reason:
            warnings.warn(reason, stacklevel=2)
        self._report = self._report_alone if reason else self._report_together
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
        self._report(waiting)
        self._flushed = self._clock()

    def _report_alone(self, events: Sequence[Event]) -> None:
        for event in events:
            self._context.log_event(event)

    def _report_together(self, events: Sequence[Event]) -> None:
        batch = str(uuid4())
        for number, event in enumerate(events, start=1):
            self._context.instance.report_dagster_event(
                self._dressed(event),
                self._context.run.run_id,
                logging.DEBUG,
                batch_metadata=private.DagsterEventBatchMetadata(batch, number == len(events)),
            )

    def _dressed(self, event: Event) -> dg.DagsterEvent:
        """The event as Dagster's step logs it, but for the line that it would also print."""
        materialized = isinstance(event, dg.AssetMaterialization)
        return dg.DagsterEvent(
            event_type_value=(
                dg.DagsterEventType.ASSET_MATERIALIZATION if materialized else dg.DagsterEventType.ASSET_OBSERVATION
            ).value,
            event_specific_data=private.StepMaterializationData(event)
            if isinstance(event, dg.AssetMaterialization)
            else private.AssetObservationData(event),
            message="Materialized value." if materialized else None,
            pid=os.getpid(),
            **self._of_step,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
