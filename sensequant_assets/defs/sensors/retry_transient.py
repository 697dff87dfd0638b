"""The sensor `retry_transient`: tries again what can pass next time."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.names import ATTEMPT_TAG, BATCH_TAG, REPEATS_TAG, SOURCE_TAG
from sensequant_assets.defs.partitions import Order, partition_order
from sensequant_assets.defs.runs import (
    attempt_of,
    config_of,
    fail_dead_runs,
    has_ended,
    resources_of,
    runs_of,
)
from sensequant_assets.defs.sensors.desk import Desk, Glance
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.questions.failures import Failure, transient_failures
from sensequant_assets.telemetry.questions.windows import missing_pairs
from sensequant_assets.watch.retries import FailedBatch, Retry, evaluate_retries
from sensequant_assets.watch.verdicts import LOOK_BACK


def retry_transient_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    glance = Glance(desk.telemetry)

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
        fail_dead_runs(context.instance, glance.telemetry, desk.settings)
        now, order = utc_now(), partition_order(context.instance, desk.settings)
        failed = _failed_batches(context.instance, desk, glance, now)
        retries = evaluate_retries(desk.died(context.instance, now), failed, desk.retry_rule, now)
        for retry in retries.now:
            desk.tell(context, f"{retry.culprit} attempt {retry.attempt}", retry.message)
        requests = [_request(context.instance, desk, retry, order) for retry in retries.now]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else retries.reason)

    return retry_transient


def _failed_batches(instance: dg.DagsterInstance, desk: Desk, glance: Glance, now: datetime) -> Iterator[FailedBatch]:
    by_batch: dict[str, list[Failure]] = defaultdict(list)
    for failure in glance.ask(lambda telemetry: transient_failures(telemetry, desk.universe, now - LOOK_BACK)):
        by_batch[failure.batch_id].append(failure)
    for batch, failures in by_batch.items():
        runs = runs_of(instance, batch)
        if has_ended(instance, batch, runs):
            attempts = max([1, *(attempt_of(run) for run in runs)])
            yield FailedBatch(batch, failures, attempts, desk.basis(batch))


def _request(instance: dg.DagsterInstance, desk: Desk, retry: Retry, order: Order) -> dg.RunRequest:
    """Ask for the next attempt with the parameters and the limit of the batch."""
    tags = {BATCH_TAG: retry.batch_id, SOURCE_TAG: "sensor", ATTEMPT_TAG: str(retry.attempt)}
    run_key = f"{retry.culprit}/{retry.attempt}"
    config = {"max_failure_rate": retry.basis.max_failure_rate} if retry.basis else {}
    resources = dict(retry.basis.parameters) if retry.basis else {}
    run = instance.get_run_by_id(retry.repeats) if retry.repeats is not None else None
    if run is None:
        # Too many failures of teachers kept these students from being tried.
        blocked = set(missing_pairs(desk.telemetry, retry.batch_id, "student"))
        return desk.request(sorted({*retry.keys, *blocked}), order, tags, run_key, config=config, resources=resources)
    return desk.request(
        retry.keys,
        order,
        {**tags, REPEATS_TAG: run.run_id},
        run_key,
        config={name: value for name, value in config_of(run).items() if name != "pairs"} | config,
        resources=resources_of(run) | resources,
        assets=sorted(run.asset_selection) if run.asset_selection else None,
    )
