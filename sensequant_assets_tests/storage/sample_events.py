"""Events of every kind that the platform's runs log."""

from typing import Any

import dagster as dg
from dagster import DagsterEventType as Type
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry

TEACHER, STUDENT = dg.AssetKey("teacher_models"), dg.AssetKey("student_models")


def entry(run_id: str, type_: Type | None, data: Any = None, *, second: float = 0.0) -> EventLogEntry:
    event = None
    if type_ is not None:
        step_key = None if type_.value.startswith("PIPELINE") else "models"
        event = DagsterEvent(type_.value, "job", event_specific_data=data, step_key=step_key)
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="a log line" if event is None else "",
        run_id=run_id,
        timestamp=1_700_000_000.0 + second,
        job_name="job",
        step_key=None,
        dagster_event=event,
    )


def planned(run_id: str, key: dg.AssetKey, symbol: str, *, second: float = 0.0) -> EventLogEntry:
    data = AssetMaterializationPlannedData(key, partition=f"{symbol}|2022-01-01")
    return entry(run_id, Type.ASSET_MATERIALIZATION_PLANNED, data, second=second)


def materialized(run_id: str, key: dg.AssetKey, symbol: str, *, second: float = 0.0) -> EventLogEntry:
    materialization = dg.AssetMaterialization(
        key,
        partition=dg.MultiPartitionKey({"symbol": symbol, "window": "2022-01-01"}),
        metadata={"rank_ic": 0.25},
        tags={
            "dagster/data_version": f"v-{symbol}",
            "dagster/partition/symbol": symbol,
            "dagster/partition/window": "2022-01-01",
        },
    )
    return entry(run_id, Type.ASSET_MATERIALIZATION, StepMaterializationData(materialization), second=second)


def observed(run_id: str, key: dg.AssetKey, symbol: str, *, second: float = 0.0) -> EventLogEntry:
    observation = dg.AssetObservation(
        key, partition=f"{symbol}|2022-01-01", tags={"dagster/data_version": f"o-{symbol}"}
    )
    return entry(run_id, Type.ASSET_OBSERVATION, AssetObservationData(observation), second=second)


def check_planned(run_id: str, key: dg.AssetKey, name: str, *, second: float = 0.0) -> EventLogEntry:
    return entry(
        run_id,
        Type.ASSET_CHECK_EVALUATION_PLANNED,
        AssetCheckEvaluationPlanned(asset_key=key, check_name=name),
        second=second,
    )


def check_evaluated(run_id: str, key: dg.AssetKey, name: str, *, passed: bool, second: float = 0.0) -> EventLogEntry:
    evaluation = AssetCheckEvaluation(asset_key=key, check_name=name, passed=passed, metadata={})
    return entry(run_id, Type.ASSET_CHECK_EVALUATION, evaluation, second=second)


def whole_run(run_id: str, *, second: float = 0.0) -> list[EventLogEntry]:
    """A run that plans, trains, observes a failure, logs, checks and ends, over two assets and three symbols."""
    symbols = ["TCS", "INFY", "M&M"]
    return [
        *(planned(run_id, key, s, second=second) for key in (STUDENT, TEACHER) for s in symbols),
        check_planned(run_id, TEACHER, "max_failure_rate", second=second + 1),
        check_planned(run_id, STUDENT, "max_failure_rate", second=second + 1),
        entry(run_id, Type.RUN_ENQUEUED, second=second + 2),
        entry(run_id, Type.RUN_STARTING, second=second + 3),
        entry(run_id, Type.RUN_START, second=second + 4),
        materialized(run_id, TEACHER, "TCS", second=second + 5),
        entry(run_id, None, second=second + 6),
        observed(run_id, TEACHER, "INFY", second=second + 7),
        materialized(run_id, TEACHER, "M&M", second=second + 8),
        check_evaluated(run_id, TEACHER, "max_failure_rate", passed=True, second=second + 9),
        materialized(run_id, STUDENT, "TCS", second=second + 10),
        check_evaluated(run_id, STUDENT, "max_failure_rate", passed=False, second=second + 11),
        check_evaluated(run_id, STUDENT, "never_planned", passed=True, second=second + 11),
        entry(run_id, Type.RUN_SUCCESS, second=second + 12),
    ]
