"""The sensor `retry_transient`: tries again what can pass next time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import dagster as dg

from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.names import ATTEMPT_TAG, BATCH_TAG, REPEATS_TAG, SOURCE_TAG
from sensequant_assets.defs.partitions import partition_order
from sensequant_assets.defs.runs import (
    attempt_of,
    config_of,
    died_runs,
    fail_dead_runs,
    has_ended,
    identity_of,
    pairs_of,
    resources_of,
    runs_of,
)
from sensequant_assets.defs.sensors.desk import Desk, Glance
from sensequant_assets.settings import absolute_market
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.questions.batches import Basis, batch_basis
from sensequant_assets.telemetry.questions.failures import Failure, transient_failures
from sensequant_assets.telemetry.questions.windows import missing_pairs
from sensequant_assets.watch.retries import DiedRun, FailedBatch, Retry, RetryRule, evaluate_retries
from sensequant_assets.watch.verdicts import LOOK_BACK


def retry_transient_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    settings, glance = desk.settings, Glance(desk.telemetry)
    rule = RetryRule(absolute_market(settings.market), settings.retry_limit, settings.retry_backoff_s)

    @dg.sensor(
        name="retry_transient",
        default_status=dg.DefaultSensorStatus.RUNNING,
        job=TRAINING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="Tries windows again that failed in a way that can pass next time: a time limit, memory or disk, a "
        "source that did not answer; and repeats runs that were killed. At most PARALLEL_RETRY_LIMIT attempts in all, "
        "ever further apart; never bad data or errors of the code.",
    )
    def retry_transient(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        fail_dead_runs(context.instance, glance.telemetry, settings)
        now, market = utc_now(), partition_order(context.instance, settings)
        runs = died_runs(context.instance, now - LOOK_BACK)
        died = [_died(desk, run, died_at, market) for run, died_at in runs]
        retries = evaluate_retries(died, _failed_batches(context.instance, desk, glance, now), rule, now)
        for retry in retries.now:
            desk.tell(context, f"{retry.culprit} attempt {retry.attempt}", retry.message)
        requests = [_request(desk, retry, {run.run_id: run for run, _ in runs}, market) for retry in retries.now]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else retries.reason)

    return retry_transient


def _died(desk: Desk, run: dg.DagsterRun, died_at: datetime, market: tuple[Sequence[str], Sequence[str]]) -> DiedRun:
    batch = identity_of(run).batch_id
    return DiedRun(run.run_id, batch, pairs_of(run, *market), attempt_of(run), died_at, _basis(desk, batch))


def _failed_batches(instance: dg.DagsterInstance, desk: Desk, glance: Glance, now: datetime) -> Iterator[FailedBatch]:
    by_batch: dict[str, list[Failure]] = defaultdict(list)
    for failure in glance.ask(lambda telemetry: transient_failures(telemetry, desk.universe, now - LOOK_BACK)):
        by_batch[failure.batch_id].append(failure)
    for batch, failures in by_batch.items():
        runs = runs_of(instance, batch)
        if has_ended(instance, batch, runs):
            attempts = max([1, *(attempt_of(run) for run in runs)])
            yield FailedBatch(batch, failures, attempts, _basis(desk, batch))


def _basis(desk: Desk, batch_id: str) -> Basis | None:
    found = batch_basis(desk.telemetry, batch_id)
    return replace(found, market=absolute_market(found.market)) if found else None


def _request(
    desk: Desk, retry: Retry, died: Mapping[str, dg.DagsterRun], market: tuple[Sequence[str], Sequence[str]]
) -> dg.RunRequest:
    """Ask for the next attempt with the parameters and the limit of the batch."""
    tags = {BATCH_TAG: retry.batch_id, SOURCE_TAG: "sensor", ATTEMPT_TAG: str(retry.attempt)}
    run_key = f"{retry.culprit}/{retry.attempt}"
    config = {"max_failure_rate": retry.basis.max_failure_rate} if retry.basis else {}
    resources = dict(retry.basis.parameters) if retry.basis else {}
    if retry.repeats is None:
        # Too many failures of teachers kept these students from being tried.
        blocked = set(missing_pairs(desk.telemetry, retry.batch_id, "student"))
        return desk.request(sorted({*retry.keys, *blocked}), market, tags, run_key, config=config, resources=resources)
    run = died[retry.repeats]
    return desk.request(
        retry.keys,
        market,
        {**tags, REPEATS_TAG: run.run_id},
        run_key,
        config={name: value for name, value in config_of(run).items() if name != "pairs"} | config,
        resources=resources_of(run) | resources,
        assets=sorted(run.asset_selection) if run.asset_selection else None,
    )
