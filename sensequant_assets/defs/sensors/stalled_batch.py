"""The sensor `stalled_batch`: tells of batches that give no sign of life."""

from datetime import timedelta

import dagster as dg

from sensequant_assets.defs.runs import fail_dead_runs
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.watch.notes import is_noted, note
from sensequant_assets.watch.stalls import evaluate_stalls, running_batches


def stalled_batch_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    after = timedelta(minutes=desk.settings.stalled_after_min)

    @dg.sensor(
        name="stalled_batch",
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description=f"Tells once of a batch that runs and has given no sign of life for {after}, and fails runs whose "
        "process is gone.",
    )
    def stalled_batch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        telemetry = desk.telemetry
        dead = fail_dead_runs(context.instance, telemetry, desk.settings.run_start_limit_s)
        stalls = evaluate_stalls(running_batches(telemetry), utc_now(), after)
        for stall in stalls:
            identity = f"{stall.batch_id}:{stall.last_sign.isoformat()}"
            if not is_noted(telemetry, "stalled", identity):
                message = (
                    f"Batch {stall.batch_id} runs and has given no sign of life since {stall.last_sign:%Y-%m-%d %H:%M} "
                    "UTC. Look at its run; end it there if it hangs."
                )
                note(telemetry, "stalled", identity, message, batch_id=stall.batch_id)
                desk.tell(context, stall.batch_id, message)
        names = [stall.batch_id for stall in stalls]
        found = f"Stalled: {', '.join(names)}." if names else "No batch is stalled."
        return dg.SkipReason(found + (f" Failed {len(dead)} runs whose process is gone." if dead else ""))

    return stalled_batch
