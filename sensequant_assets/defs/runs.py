"""A batch as Dagster knows it: its runs, whether they are over, and which of them are dead."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg

from sensequant_assets.batch.rows import Identity
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.parameters import MODELS, ModelKind
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.names import (
    ASSETS,
    ATTEMPT_TAG,
    BACKFILL_TAG,
    BATCH_TAG,
    COMMAND_LINE,
    DIED_TAG,
    LOCATION,
    RANGE_END,
    RANGE_START,
    REPEATS_TAG,
    REPOSITORY,
    SOURCE_TAG,
)
from sensequant_assets.defs.partitions import Order, keys_of, partition_order
from sensequant_assets.defs.plans import tell_backfill
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.storage import dagster_private as private
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.batches import run_statuses
from sensequant_assets.telemetry.questions.verdicts import models_judged
from sensequant_assets.telemetry.records import BatchStart, Plan
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.intake import BatchState
from sensequant_assets.watch.verdicts import LOOK_BACK

_UNDER_WAY = ("REQUESTED", "CANCELING", "FAILING")
"""Statuses of a backfill that is not over; Dagster's own list is private, and takes half a window to import."""

_BACKFILLS = 20
"""So many of the latest are looked at; each is loaded with its partitions."""

_HAS_PROCESS = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUSPENDED,
    dg.DagsterRunStatus.CANCELING,
)
"""Statuses of a run that neither waits nor is over."""

_SIGNATURES = {
    "create_run_for_job": [
        "self", "job_def", "execution_plan", "run_id", "run_config", "resolved_op_selection", "status", "tags",
        "root_run_id", "parent_run_id", "op_selection", "asset_selection", "remote_job_origin", "job_code_origin",
        "repository_load_data",
    ]
}  # fmt: skip
"""Parameters of what makes a run and is told its code location here."""


def runs_of(instance: dg.DagsterInstance, batch_id: str) -> list[dg.DagsterRun]:
    """All runs of a batch, newest first."""
    filters = (
        dg.RunsFilter(tags={BATCH_TAG: batch_id}),
        dg.RunsFilter(tags={BACKFILL_TAG: batch_id}),
        dg.RunsFilter(run_ids=[batch_id]),
    )
    found = {run.run_id: run for chosen in filters for run in instance.get_runs(filters=chosen)}
    return list(found.values())


def place_on_timeline(instance: dg.DagsterInstance, job: str) -> None:
    """Let runs of a job that this process makes in an instance be told as those of the code location that has the job.

    The timeline, with which the UI opens, shows no others, and `execute_in_process` cannot be told the location. Where
    Dagster has changed what that takes, a warning says so and runs are made as ever.
    """
    changed = private.changed(dg.DagsterInstance, _SIGNATURES)
    if closed := private.PLACED.closed or (changed and private.PLACED.because(changed)):
        warnings.warn(closed, stacklevel=2)
        return
    repository = private.RemoteRepositoryOrigin(private.RegisteredCodeLocationOrigin(LOCATION), REPOSITORY)
    made = partial(instance.create_run_for_job, remote_job_origin=repository.get_job_origin(job))
    instance.create_run_for_job = made  # type: ignore[method-assign]


def has_ended(instance: dg.DagsterInstance, batch_id: str, runs: Sequence[dg.DagsterRun]) -> bool:
    """Whether all runs of a batch are over, and its backfill starts no others."""
    backfill = instance.get_backfill(batch_id)
    return all(run.is_finished for run in runs) and (backfill is None or backfill.status.name not in _UNDER_WAY)


def requested_batches(instance: dg.DagsterInstance, known: Collection[str]) -> list[str]:
    """Batches of models that are asked for and not over, but for the known ones; the one asked for last first."""
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED, *_HAS_PROCESS])
    asked = {
        identity_of(record.dagster_run).batch_id: record.create_timestamp.timestamp()
        for record in instance.get_run_records(filters=unfinished, ascending=True)
        if _models_of(record.dagster_run)
    }
    for backfill in instance.get_backfills(limit=_BACKFILLS):
        selected = {key.to_user_string() for key in backfill.asset_selection or ()}
        if backfill.status.name in _UNDER_WAY and not selected.isdisjoint(ASSETS.values()):
            asked[backfill.backfill_id] = backfill.backfill_timestamp
    return sorted(asked.keys() - set(known), key=asked.__getitem__, reverse=True)


def attempt_of(run: dg.DagsterRun) -> int:
    """The how manieth attempt at its pairs a run is."""
    return int(run.tags.get(ATTEMPT_TAG, "1"))


def batch_state(
    instance: dg.DagsterInstance, telemetry: TelemetryStore, batch_id: str | None, settings: Settings
) -> BatchState:
    """How far a batch of one run is; one that a person cancelled is done. Parameters as for `fail_dead_runs`."""
    if batch_id is None:
        return BatchState.NONE
    fail_dead_runs(instance, telemetry, settings)
    runs = runs_of(instance, batch_id)
    if not all(run.is_finished for run in runs):
        return BatchState.RUNNING
    if any(run.status is dg.DagsterRunStatus.CANCELED for run in runs):
        return BatchState.DONE
    return BatchState.DONE if models_judged(telemetry, batch_id) == set(MODELS) else BatchState.BROKEN_OFF


def fail_dead_runs(instance: dg.DagsterInstance, telemetry: TelemetryStore, settings: Settings) -> list[str]:
    """Fail runs of models whose process is gone, mark all that died without their last record, and return their ids.

    Dagster's default launcher does not notice a process that dies with its server: its run would read as started for
    ever, keep its place in the pool, and its batch would never end. A server that lives notices it and fails the run
    itself, which then looks like one that failed by its own doing. Telemetry knows, because a shard's lock dies with
    its writer, and a run that comes to its end, however it ends, says so last. Where one died before its first record,
    what it was to do is told in its name.

    Parameters
    ----------
    instance
        Whose runs.
    telemetry
        Where they write.
    settings
        Of the market; among them the seconds after which a started run without a record is taken for dead.
    """
    records = [*_without_end(instance, utc_now() - LOOK_BACK)]
    if not records:
        return []
    known = run_statuses(telemetry, [record.dagster_run.run_id for record in records])
    start_limit = timedelta(seconds=settings.run_start_limit_s)
    dead = []
    for record in records:
        run, status = record.dagster_run, known.get(record.dagster_run.run_id)
        if run.is_finished:
            silent = status is None and not _failed_by_itself(instance, run)
        else:
            silent = status is None and utc_now() - record.update_timestamp > start_limit
        if silent:
            _tell_for(instance, telemetry, settings, record)
        if status == "interrupted" or silent:
            _bury(instance, run)
            dead.append(run.run_id)
    return dead


def _without_end(instance: dg.DagsterInstance, since: datetime) -> Iterator[dg.RunRecord]:
    """Runs of models that may have died and are not marked: unfinished ones, and ones that failed since then."""
    unfinished = dg.RunsFilter(statuses=list(_HAS_PROCESS))
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    for record in (*instance.get_run_records(filters=unfinished), *instance.get_run_records(filters=failed)):
        if _models_of(record.dagster_run) and DIED_TAG not in record.dagster_run.tags:
            yield record


def _failed_by_itself(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a failed run lived to say why, as one does that refuses its input before its first record."""
    return bool(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE))


def _tell_for(
    instance: dg.DagsterInstance, telemetry: TelemetryStore, settings: Settings, record: dg.RunRecord
) -> None:
    """Tell what a run was to do that died before it could tell, and the plan of its backfill if nobody has."""
    run, order = record.dagster_run, partition_order(instance, settings)
    identity, keys = identity_of(run), pairs_of(run, order)
    symbols, windows = order.symbols, order.windows
    with suppress(UsageError):
        # Without its universe the market has the symbols of its partitions.
        symbols = list(read_universe(settings.universe).symbols)
    known = [(symbol, window) for symbol, window in keys if symbol in symbols and window in windows]
    if not known:
        return
    if identity.backfill_id is not None:
        tell_backfill(instance, telemetry, identity.backfill_id, symbols, windows, order)
    with Journal(telemetry.shards, batch_id=identity.batch_id, run_id=run.run_id, clock=utc_now) as journal:
        start = BatchStart(
            backfill_id=identity.backfill_id,
            source=identity.source,
            universe=settings.universe_name,
            started_at=record.create_timestamp,
            max_failure_rate=config_of(run).get("max_failure_rate", settings.max_failure_rate),
        )
        journal.append_many([start, *(Plan(model=model, windows=known) for model in _models_of(run))])


def _bury(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    if run.status is dg.DagsterRunStatus.CANCELING:
        # A person wanted its end, so that nobody repeats it.
        instance.report_run_canceled(run)
        return
    instance.add_run_tags(run.run_id, {DIED_TAG: "true"})
    if not run.is_finished:
        instance.report_run_failed(run, "The process of this run is gone; it was killed or its machine went down.")


def limit_pool(instance: dg.DagsterInstance, pool: str) -> None:
    """Give a pool the limit of `dagster.yaml` before its first run.

    Dagster's daemon does so when it meets a run of the pool, but after it has looked which pools are limited: all runs
    that are queued at that moment start at once.
    """
    storage = instance.event_log_storage
    limited = {limit.name for limit in storage.get_pool_limits()}
    if pool not in limited and instance.global_op_concurrency_default_limit is not None:
        storage.initialize_concurrency_limit_to_default(pool)


def died_runs(instance: dg.DagsterInstance, since: datetime) -> list[tuple[dg.DagsterRun, datetime]]:
    """Runs that died since then and when that was noticed, oldest first.

    Without those that were repeated, those of the command line, whose person sees them die, and those of the sensor on
    new bars, which asks for a broken off batch itself.
    """
    died = dg.RunsFilter(tags={DIED_TAG: "true"}, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    found = []
    for record in instance.get_run_records(filters=died, ascending=True):
        run = record.dagster_run
        theirs = run.tags.get(SOURCE_TAG) == COMMAND_LINE or run.tags.get("dagster/sensor_name") == "new_bars"
        if not theirs and not instance.get_runs(filters=dg.RunsFilter(tags={REPEATS_TAG: run.run_id}), limit=1):
            found.append((run, record.update_timestamp))
    return found


def pairs_of(run: dg.DagsterRun, order: Order) -> list[Key]:
    """The pairs of a run, symbol by symbol; none if it is of a lattice without its symbols and windows."""
    chosen = config_of(run).get("pairs")
    if chosen:
        return keys_of(chosen)
    one = run.tags.get("dagster/partition")
    corners = keys_of(corner for tag in (RANGE_START, RANGE_END) if (corner := run.tags.get(tag, one)))
    return order.between(*corners) if len(corners) == 2 else []


def config_of(run: dg.DagsterRun) -> dict[str, Any]:
    """The values of `ModelsConfig` that a run was given."""
    given: Mapping[str, Any] = run.run_config
    config: dict[str, Any] = given.get("ops", {}).get("models", {}).get("config", {})
    return config


def resources_of(run: dg.DagsterRun) -> dict[str, Mapping[str, Any]]:
    """The values of resources by name that a run was given."""
    given: Mapping[str, Any] = run.run_config
    return {name: resource.get("config", {}) for name, resource in given.get("resources", {}).items()}


def _models_of(run: dg.DagsterRun) -> list[ModelKind]:
    """Models that a run trains, teachers first."""
    # A backfill or a click on an asset runs in Dagster's own job of all assets.
    if run.job_name == TRAINING.name and not run.asset_selection:
        return list(ASSETS)
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    return [model for model, asset in ASSETS.items() if asset in selected]


def identity_of(run: dg.DagsterRun) -> Identity:
    """Batch, run and origin of a Dagster run; runs of one backfill are one batch."""
    backfill = run.tags.get("dagster/backfill")
    batch = run.tags.get(BATCH_TAG) or backfill or run.run_id
    source = run.tags.get(SOURCE_TAG)
    if source == COMMAND_LINE and run.parent_run_id:
        # One that is executed again in the UI has the tags of the one before, and nobody waits for it.
        source = "ui"
    if source is None:
        source = (
            "sensor"
            if "dagster/sensor_name" in run.tags
            else "schedule"
            if "dagster/schedule_name" in run.tags
            else "ui"
        )
    return Identity(batch, run.run_id, source, backfill, attempt=int(run.tags.get(ATTEMPT_TAG, "1")))
