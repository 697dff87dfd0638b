"""A batch as Dagster knows it: its runs, whether they are over, and which of them are dead."""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from sensequant_assets.batch import utc_now
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.models import ATTEMPT_TAG, BATCH_TAG
from sensequant_assets.operations import BatchState
from sensequant_assets.telemetry.store import TelemetryStore

BACKFILL_TAG = "dagster/backfill"

START_LIMIT = timedelta(minutes=3)
"""How long a run may take from its last change of status to its first telemetry record."""


def runs_of(instance: dg.DagsterInstance, batch_id: str) -> list[dg.DagsterRun]:
    """All runs of a batch, newest first."""
    filters = (
        dg.RunsFilter(tags={BATCH_TAG: batch_id}),
        dg.RunsFilter(tags={BACKFILL_TAG: batch_id}),
        dg.RunsFilter(run_ids=[batch_id]),
    )
    found = {run.run_id: run for chosen in filters for run in instance.get_runs(filters=chosen)}
    return list(found.values())


def has_ended(instance: dg.DagsterInstance, batch_id: str, runs: Sequence[dg.DagsterRun]) -> bool:
    """Whether all runs of a batch are over, and its backfill starts no others."""
    backfill = instance.get_backfill(batch_id)
    return all(run.is_finished for run in runs) and (
        backfill is None or backfill.status in BULK_ACTION_TERMINAL_STATUSES
    )


def attempt_of(run: dg.DagsterRun) -> int:
    """The how manieth attempt at its pairs a run is."""
    return int(run.tags.get(ATTEMPT_TAG, "1"))


def batch_state(instance: dg.DagsterInstance, telemetry: TelemetryStore, batch_id: str | None) -> BatchState:
    """How far a batch of one run is; one that a person cancelled is done."""
    if batch_id is None:
        return BatchState.NONE
    fail_dead_runs(instance, telemetry)
    runs = runs_of(instance, batch_id)
    if not all(run.is_finished for run in runs):
        return BatchState.RUNNING
    if any(run.status is dg.DagsterRunStatus.CANCELED for run in runs):
        return BatchState.DONE
    judged = telemetry.query("SELECT DISTINCT model FROM verdicts WHERE batch_id = ? AND run_id <> ''", [batch_id])
    return BatchState.DONE if judged.num_rows == 2 else BatchState.BROKEN_OFF


def fail_dead_runs(instance: dg.DagsterInstance, telemetry: TelemetryStore) -> list[str]:
    """Fail runs of the training job whose process is gone, and return their ids.

    Dagster's default launcher does not notice a killed process: its run would read as started for ever, keep its place
    in the pool, and its batch would never end. Telemetry knows, because a shard's lock dies with its writer.
    """
    unfinished = [status for status in NOT_FINISHED_STATUSES if status is not dg.DagsterRunStatus.QUEUED]
    records = instance.get_run_records(filters=dg.RunsFilter(job_name=TRAINING.name, statuses=unfinished))
    if not records:
        return []
    rows = telemetry.query(
        "SELECT run_id, status FROM runs WHERE run_id IN (SELECT unnest(?::VARCHAR[]))",
        [[record.dagster_run.run_id for record in records]],
    ).to_pylist()
    known = {row["run_id"]: row["status"] for row in rows}
    dead = []
    for record in records:
        run, status = record.dagster_run, known.get(record.dagster_run.run_id)
        silent = status is None and utc_now() - record.update_timestamp > START_LIMIT
        if status == "interrupted" or silent:
            instance.report_run_failed(run, "The process of this run is gone; it was killed or its machine went down.")
            dead.append(run.run_id)
    return dead
