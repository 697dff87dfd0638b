"""The sensor `stalled_batch`: tells of batches that give no sign of life."""

from datetime import timedelta

import dagster as dg

from sensequant_assets.defs.runs import fail_dead_runs
from sensequant_assets.defs.sensors.desk import Desk, Glance
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.questions.batches import running_batches
from sensequant_assets.telemetry.questions.events import is_noted
from sensequant_assets.watch.notes import note
from sensequant_assets.watch.stalls import Stall, evaluate_stalls


def stalled_batch_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    after, glance = timedelta(minutes=desk.settings.stalled_after_min), Glance(desk.telemetry)

    @dg.sensor(
        name="stalled_batch",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description=f"Tells once of a batch that runs and has given no sign of life for {after}, and fails runs whose "
        "process is gone.",
    )
    def stalled_batch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        dead = fail_dead_runs(context.instance, glance.telemetry, desk.settings)
        stalls = evaluate_stalls(glance.ask(running_batches), utc_now(), after)
        for stall in stalls:
            _tell_once(context, desk, stall)
        found = f"Stalled: {', '.join(stall.batch_id for stall in stalls)}." if stalls else "No batch is stalled."
        return dg.SkipReason(found + (f" Failed {len(dead)} runs whose process is gone." if dead else ""))

    return stalled_batch


def _tell_once(context: dg.SensorEvaluationContext, desk: Desk, stall: Stall) -> None:
    if not is_noted(desk.telemetry, "stalled", stall.identity):
        note(desk.telemetry, "stalled", stall.identity, stall.message, batch_id=stall.batch_id)
        desk.tell(context, stall.batch_id, stall.message)
