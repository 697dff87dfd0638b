"""The sensor `batch_failure_rate`: judges all runs of a batch together."""

import dagster as dg

from sensequant_assets.batch.rows import verdict_record
from sensequant_assets.core.outcome import Verdict, evaluate_batch
from sensequant_assets.defs.checks import FAILURES_SHOWN, batch_evaluation
from sensequant_assets.defs.names import ASSETS
from sensequant_assets.defs.runs import fail_dead_runs, has_ended, runs_of
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.report.facts import read_report
from sensequant_assets.report.markdown import markdown
from sensequant_assets.telemetry.journal import Journal, RecordKind, utc_now
from sensequant_assets.watch.verdicts import ended_batches, failed_windows


def batch_failure_rate_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    @dg.sensor(
        name="batch_failure_rate",
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="When a batch of several runs has ended, judges all its windows together and records that as "
        "the check's last verdict. A batch of one run has its verdict already.",
    )
    def batch_failure_rate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        telemetry, judged = desk.telemetry, []
        fail_dead_runs(context.instance, telemetry, desk.settings.run_start_limit_s)
        for batch in ended_batches(telemetry, desk.universe, utc_now()):
            runs = runs_of(context.instance, batch.batch_id)
            if len(runs) < 2 or not has_ended(context.instance, batch.batch_id, runs):
                continue
            verdicts: dict[str, Verdict] = {}
            report = markdown(read_report(telemetry, batch.batch_id))
            for counts in telemetry.batch_summary(batch.batch_id):
                model = counts["model"]
                verdict = evaluate_batch(
                    model, counts, batch.max_failure_rate, teachers=verdicts.get("teacher") if verdicts else None
                )
                verdicts[model] = verdict
                failed = failed_windows(telemetry, batch.batch_id, model, FAILURES_SHOWN)
                silent = len(runs) - batch.runs
                evaluation = batch_evaluation(ASSETS[model], verdict, failed, batch.batch_id, silent, report)
                if not batch.superseded:
                    context.instance.report_runless_asset_event(evaluation)
                if verdict.exceeded:
                    said = str(evaluation.description)
                    desk.tell(context, batch.batch_id, said, failed=verdict.failed, attempted=verdict.attempted)
            # Last, so that a kill before it repeats the verdict and never loses it.
            with Journal(telemetry.shards, batch_id=batch.batch_id, run_id="", clock=utc_now) as journal:
                for verdict in verdicts.values():
                    journal.append(RecordKind.VERDICT, verdict_record(verdict))
            judged.append(batch.batch_id)
        if judged:
            return dg.SkipReason(f"Judged {', '.join(judged)}.")
        return dg.SkipReason("No batch of several runs has ended since.")

    return batch_failure_rate
