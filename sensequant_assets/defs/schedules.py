"""Schedules: newest windows every night, all every week, predictions every day, a pruning. They begin switched off."""

import dagster as dg

from sensequant_assets.core.lattice import Key
from sensequant_assets.defs.jobs import PREDICTION, TRAINING
from sensequant_assets.defs.names import BATCH_TAG, SOURCE_TAG
from sensequant_assets.defs.partitions import add_symbols
from sensequant_assets.defs.pruning import PRUNING
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.market.market import Market
from sensequant_assets.settings import Settings


def schedules(desk: Desk) -> list[dg.ScheduleDefinition]:
    """The schedules of a market."""
    settings = desk.settings

    def request(
        context: dg.ScheduleEvaluationContext, market: Market, keys: list[Key], name: str
    ) -> dg.RunRequest | dg.SkipReason:
        add_symbols(context.instance, desk.symbols, market.universe.symbols, settings.symbols_a_partition)
        order = desk.order(desk.known_symbols(context.instance), market.window_keys)
        keys, begun = desk.begun(keys)
        for sentence in begun:
            context.log.warning(sentence)
        if not keys:
            return dg.SkipReason(" ".join(begun))
        batch = f"{name}-{context.scheduled_execution_time:%Y%m%d-%H%M%S}"
        tags = {BATCH_TAG: batch, SOURCE_TAG: "schedule"}
        return desk.request(keys, order, tags, batch)

    @dg.schedule(
        name="nightly",
        job=TRAINING,
        cron_schedule=settings.nightly_cron,
        execution_timezone=settings.schedule_timezone,
        description="Retrains the open windows: those that the labels do not fill yet. What has not changed is reused.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        market = Market.open(settings, desk.teacher, desk.student, settings.features)
        keys = [
            (symbol, pair.window.key)
            for symbol in market.universe.symbols
            for pair in market.plan(symbol).pairs
            if pair.open and pair.eligible
        ]
        if not keys:
            return dg.SkipReason("No window is open: the labels fill all of them. Set a later end for new windows.")
        return request(context, market, keys, "nightly")

    @dg.schedule(
        name="weekly",
        job=TRAINING,
        cron_schedule=settings.weekly_cron,
        execution_timezone=settings.schedule_timezone,
        description="Trains the whole lattice, so that what changed besides data (parameters, code) and what failed "
        "is trained too. What has not changed is reused.",
    )
    def weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        market = Market.open(settings, desk.teacher, desk.student, settings.features)
        return request(context, market, market.keys(), "weekly")

    prune = dg.ScheduleDefinition(
        name="prune",
        job_name=PRUNING,
        cron_schedule=settings.prune_cron,
        execution_timezone=settings.schedule_timezone,
        description=f"Removes runs, kept shards and pages of batches older than {settings.prune_older_than_d:g} days, "
        f"but for the newest {settings.prune_keep_batches}. Models and rows of telemetry stay.",
    )
    return [nightly, weekly, _daily_predictions(settings), prune]


def _daily_predictions(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="daily_predictions",
        job=PREDICTION,
        cron_schedule=settings.predict_cron,
        execution_timezone=settings.schedule_timezone,
        description="Lets the champion predict from the newest bars of the day, fills outcomes, and monitors.",
    )
    def daily_predictions(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = f"{context.scheduled_execution_time:%Y-%m-%d}"
        return dg.RunRequest(run_key=f"predictions-{day}", partition_key=day, tags={SOURCE_TAG: "schedule"})

    return daily_predictions
