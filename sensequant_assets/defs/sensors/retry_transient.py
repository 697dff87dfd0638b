"""The sensor `retry_transient`: tries again what can pass next time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from sensequant_assets.core.windows import build_windows
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.names import ATTEMPT_TAG, BATCH_TAG, REPEATS_TAG, SOURCE_TAG
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
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.settings import absolute_market
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.watch.retries import batch_basis, evaluate_retries, transient_failures
from sensequant_assets.watch.verdicts import LOOK_BACK


def retry_transient_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    settings = desk.settings
    windows = [window.key for window in build_windows(settings.start, settings.end, settings.window_days)]

    @dg.sensor(
        name="retry_transient",
        job=TRAINING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="Tries windows again that failed in a way that can pass next time: a time limit, memory or disk, a "
        "source that did not answer; and repeats runs that were killed. At most PARALLEL_RETRY_LIMIT attempts in all, "
        "ever further apart; never bad data or errors of the code.",
    )
    def retry_transient(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        telemetry, now = desk.telemetry, utc_now()
        fail_dead_runs(context.instance, telemetry, settings.run_start_limit_s)
        order = list(context.instance.get_dynamic_partitions(desk.symbols.name or ""))
        requests, waiting = _repeats(context, order)
        # Transient failures of a run that is repeated are tried again with it.
        repeated = {request.tags[BATCH_TAG] for request in requests} | set(waiting)
        failures = [
            failure for failure in transient_failures(telemetry, desk.universe, now) if failure.batch_id not in repeated
        ]
        runs = {batch: runs_of(context.instance, batch) for batch in {failure.batch_id for failure in failures}}
        ended = {batch for batch, found in runs.items() if has_ended(context.instance, batch, found)}
        tried = {batch: max([1, *(attempt_of(run) for run in found)]) for batch, found in runs.items()}
        retries = evaluate_retries(
            [failure for failure in failures if failure.batch_id in ended],
            tried,
            limit=settings.retry_limit,
            backoff_s=settings.retry_backoff_s,
        )
        for retry in retries:
            basis = batch_basis(telemetry, retry.batch_id)
            assert basis is not None  # noqa: S101  # it has rows
            if absolute_market(basis.market) != absolute_market(settings.market):
                # Its windows are not those of this location.
                continue
            if retry.due > now:
                waiting[retry.batch_id] = retry.due
                continue
            # Too many failures of teachers kept these students from being tried.
            blocked = {(symbol, window) for _, symbol, window in telemetry.missing_pairs(retry.batch_id, "student")}
            requests.append(
                desk.request(
                    sorted({*retry.keys, *blocked}),
                    (order, windows),
                    {BATCH_TAG: retry.batch_id, SOURCE_TAG: "sensor", ATTEMPT_TAG: str(retry.attempt)},
                    f"{retry.batch_id}/{retry.attempt}",
                    config={"max_failure_rate": basis.max_failure_rate},
                    resources=basis.parameters,
                )
            )
            desk.tell(
                context,
                f"{retry.batch_id} attempt {retry.attempt}",
                f"Batch {retry.batch_id}: attempt {retry.attempt} at {len(retry.keys)} windows, which can pass now.",
            )
        if requests:
            return dg.SensorResult(run_requests=requests)
        times = [f"batch {batch} at {due:%H:%M:%S} UTC" for batch, due in waiting.items()]
        reason = f"Waits to try again: {', '.join(times)}." if times else "No failure of a batch can pass next time."
        return dg.SensorResult(skip_reason=reason)

    def _repeats(
        context: dg.SensorEvaluationContext, order: Sequence[str]
    ) -> tuple[list[dg.RunRequest], dict[str, datetime]]:
        """Repeat runs that died, each as it was: what it had done is reused, and its check judges the same windows.

        Also gives the batches that wait for it, and until when.
        """
        requests: list[dg.RunRequest] = []
        waiting: dict[str, datetime] = {}
        for run, died_at in died_runs(context.instance, utc_now() - LOOK_BACK):
            batch, made, keys = identity_of(run).batch_id, attempt_of(run), pairs_of(run, order, windows)
            found = batch_basis(desk.telemetry, batch)
            if made >= settings.retry_limit or not keys:
                continue
            if found and absolute_market(found.market) != absolute_market(settings.market):
                continue
            due = died_at + timedelta(seconds=settings.retry_backoff_s * 2 ** (made - 1))
            if due > utc_now():
                waiting[batch] = max(due, waiting.get(batch, due))
                continue
            config = {name: value for name, value in config_of(run).items() if name != "pairs"}
            requests.append(
                desk.request(
                    keys,
                    (order, windows),
                    {BATCH_TAG: batch, SOURCE_TAG: "sensor", ATTEMPT_TAG: str(made + 1), REPEATS_TAG: run.run_id},
                    f"{run.run_id}/{made + 1}",
                    config=config | ({"max_failure_rate": found.max_failure_rate} if found else {}),
                    resources=resources_of(run) | (dict(found.parameters) if found else {}),
                    assets=sorted(run.asset_selection) if run.asset_selection else None,
                )
            )
            message = f"Batch {batch}: attempt {made + 1} at {len(keys)} windows, because run {run.run_id} was killed."
            desk.tell(context, f"{run.run_id} attempt {made + 1}", message)
        return requests, waiting

    return retry_transient
