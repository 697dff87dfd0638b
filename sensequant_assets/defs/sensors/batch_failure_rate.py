"""The sensor `batch_failure_rate`: judges all runs of a batch together."""

import dagster as dg

from sensequant_assets.batch.rows import check_verdict
from sensequant_assets.defs.checks import (
    FAILURES_SHOWN,
    batch_evaluation,
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
from sensequant_assets.telemetry.questions.windows import constant_windows
from sensequant_assets.watch.verdicts import LOOK_BACK, judge_whole


def batch_failure_rate_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""
    glance = Glance(desk.telemetry)

    @dg.sensor(
        name="batch_failure_rate",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="When a batch of several runs has ended, judges all its windows together and records that as "
        "the check's last verdict. A batch of one run has its verdict already.",
    )
    def batch_failure_rate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        fail_dead_runs(context.instance, glance.telemetry, desk.settings)
        judged = []
        since = utc_now() - LOOK_BACK
        for batch in glance.ask(lambda telemetry: ended_batches(telemetry, desk.universe, since)):
            runs = runs_of(context.instance, batch.batch_id)
            if len(runs) > 1 and has_ended(context.instance, batch.batch_id, runs):
                _judge(context, desk, batch, silent_runs=len(runs) - batch.runs)
                judged.append(batch.batch_id)
        return dg.SkipReason(f"Judged {', '.join(judged)}." if judged else "No batch of several runs has ended since.")

    return batch_failure_rate


def _judge(context: dg.SensorEvaluationContext, desk: Desk, batch: EndedBatch, silent_runs: int) -> None:
    """Judge a batch as a whole, record it as the checks' last verdicts, and tell of a limit that is exceeded."""
    telemetry, batch_id = desk.telemetry, batch.batch_id
    verdicts = judge_whole(batch, batch_summary(telemetry, batch_id))
    report = markdown(read_report(telemetry, batch_id))
    for model, verdict in verdicts.items():
        failed = failed_windows(telemetry, batch_id, FAILURES_SHOWN, model=model)
        evaluation = batch_evaluation(ASSETS[model], verdict, failed, batch_id, silent_runs, report)
        if not batch.superseded:
            constant = constant_windows(telemetry, batch_id, model, FAILURES_SHOWN)
            knowing = not_constant_result(ASSETS[model], verdict, constant, batch_id)
            context.instance.report_runless_asset_event(evaluation_of(knowing))
            context.instance.report_runless_asset_event(evaluation)
        if verdict.exceeded:
            said = describe_batch(verdict, batch_id, silent_runs)
            desk.tell(context, batch_id, said, failed=verdict.failed, attempted=verdict.attempted)
    # Last, so that a kill before it repeats the verdict and never loses it.
    with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
        journal.append_many(check_verdict(verdict) for verdict in verdicts.values())
