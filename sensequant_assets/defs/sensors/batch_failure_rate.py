"""The sensor `batch_failure_rate`: judges all runs of a batch together."""

import dagster as dg

from sensequant_assets.batch.noise import noise_of_batch
from sensequant_assets.batch.rows import check_verdict
from sensequant_assets.defs.checks import (
    FAILURES_SHOWN,
    batch_result,
    describe_batch,
    evaluation_of,
    not_constant_result,
)
from sensequant_assets.defs.names import ASSETS
from sensequant_assets.defs.runs import fail_dead_runs, has_ended, runs_of
from sensequant_assets.defs.sensors.desk import Desk, Glance
from sensequant_assets.report.facts import read_report
from sensequant_assets.report.markdown import markdown
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.batches import EndedBatch, batch_summary, ended_batches
from sensequant_assets.telemetry.questions.failures import failed_windows
from sensequant_assets.telemetry.questions.windows import constant_windows, untried_windows
from sensequant_assets.watch.retries import evaluate_retries
from sensequant_assets.watch.verdicts import LOOK_BACK, judge_whole

_WAITS = "Waits for the repeat of a killed run of"


def batch_failure_rate_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""
    glance = Glance(desk.telemetry)

    @dg.sensor(
        name="batch_failure_rate",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="When a batch has ended that is not of one run with a verdict of its own, judges all its windows "
        "together and records that as the check's last verdict. It waits for the repeats of killed runs, and passes no "
        "batch of which planned windows were not attempted.",
    )
    def batch_failure_rate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now, judged, waiting = utc_now(), [], []
        ended = glance.ask(lambda telemetry: ended_batches(telemetry, desk.universe, now - LOOK_BACK))
        # Asked later, so that each run that ended by its death is known as dead.
        fail_dead_runs(context.instance, glance.telemetry, desk.settings)
        died = desk.died(context.instance, now) if ended else []
        awaited = evaluate_retries(died, (), desk.retry_rule, now).awaited(now, desk.patience)
        for batch in ended:
            runs = runs_of(context.instance, batch.batch_id)
            if (len(runs) <= 1 and not batch.unspoken) or not has_ended(context.instance, batch.batch_id, runs):
                continue
            if batch.batch_id in awaited:
                waiting.append(batch.batch_id)
                continue
            _judge(context, desk, batch, silent_runs=len(runs) - batch.runs)
            judged.append(batch.batch_id)
        said = [f"{what} {', '.join(ids)}." for what, ids in (("Judged", judged), (_WAITS, waiting)) if ids]
        return dg.SkipReason(" ".join(said) or "No batch that is to be judged as a whole has ended since.")

    return batch_failure_rate


def _judge(context: dg.SensorEvaluationContext, desk: Desk, batch: EndedBatch, silent_runs: int) -> None:
    """Judge a batch as a whole, record it as the checks' last verdicts, and tell of one that is not kept."""
    telemetry, batch_id = desk.telemetry, batch.batch_id
    verdicts = judge_whole(batch, batch_summary(telemetry, batch_id))
    report = markdown(read_report(telemetry, batch_id, noise=noise_of_batch(telemetry, batch_id)))
    for model, verdict in verdicts.items():
        failed = failed_windows(telemetry, batch_id, model=model)
        untried = untried_windows(telemetry, batch_id, model) if verdict.not_attempted else []
        found = batch_result(ASSETS[model], verdict, failed, untried, batch_id, silent_runs, report)
        if not batch.superseded:
            constant = constant_windows(telemetry, batch_id, model, FAILURES_SHOWN)
            knowing = not_constant_result(ASSETS[model], verdict, constant, batch_id)
            context.instance.report_runless_asset_event(evaluation_of(knowing))
            context.instance.report_runless_asset_event(evaluation_of(found, blocking=True))
        if verdict.exceeded or verdict.not_attempted:
            said = describe_batch(verdict, untried, batch_id, silent_runs)
            desk.tell(context, batch_id, said, failed=verdict.failed, attempted=verdict.attempted)
    # Last, so that a kill before it repeats the verdict and never loses it.
    with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
        journal.append_many(check_verdict(verdict) for verdict in verdicts.values())
