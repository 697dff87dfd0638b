"""The sensor `new_bars`: retrains what changed bars ask for."""

from pathlib import Path

import dagster as dg

from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.staleness import Cause, stale_pairs
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.names import BATCH_TAG, SOURCE_TAG
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.defs.runs import batch_state
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.sources.digests import Digests, content_digest
from sensequant_assets.sources.files import bars_files
from sensequant_assets.sources.sample import SAMPLE
from sensequant_assets.telemetry.questions import permanent_failures
from sensequant_assets.watch.intake import Found, Intake, IntakeCursor, evaluate_intake
from sensequant_assets.watch.notes import is_noted, note

PROBLEMS_SHOWN = 10


class BarsNotTakenError(SenseQuantError, dg.DagsterError):
    """Some bars were not taken; a tick of the sensor fails with it.

    Dagster shows its own errors as they are, and hides those of others behind one that says only which sensor it was.
    """


def new_bars_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""

    settings, digests = desk.settings, Digests()

    @dg.sensor(
        name="new_bars",
        job=TRAINING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="Retrains exactly the windows whose data changed when files of the bars directory are added or "
        "change, by content, or when the universe gains rows. A file that cannot be read fails one tick, which names "
        "it; the others are taken.",
    )
    def new_bars(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if settings.bars == SAMPLE:
            return dg.SensorResult(skip_reason="The embedded sample never changes; watch files with SENSEQUANT_BARS.")
        telemetry, cursor = desk.telemetry, IntakeCursor.parse(context.cursor)
        found = digests.of([*bars_files(Path(settings.bars)), settings.universe])
        market: Market | None = None

        def look() -> Found:
            nonlocal market
            try:
                source = Market.open(settings)
            except UsageError as error:
                return Found((), (str(error),))
            market = source
            stale = stale_pairs(
                market,
                MarketResource.of(settings).models,
                desk.teacher,
                desk.student,
                code(),
                failed=permanent_failures(telemetry, desk.universe),
            )
            problems = list(dict.fromkeys([*market.left_out, *map(str, stale.unreadable.values())]))
            more = len(problems) - PROBLEMS_SHOWN
            shown = [*problems[:PROBLEMS_SHOWN], *([f"And {more} more."] if more > 0 else [])]
            return Found(stale.by(Cause.UNTRAINED, Cause.DATA), tuple(shown))

        intake = evaluate_intake(
            cursor,
            content_digest(found),
            batch_state(context.instance, telemetry, cursor.batch, settings.run_start_limit_s),
            look,
            lambda identity: is_noted(telemetry, "problem", f"{context.sensor_name}:{identity}"),
            settings.retry_limit or 1,
        )
        known = list(context.instance.get_dynamic_partitions(desk.symbols.name or ""))
        new = [symbol for symbol in market.universe.symbols if symbol not in known] if market else []
        if intake.problems:
            return _failed_tick(context, intake)
        requests = []
        if intake.keys:
            assert market is not None  # noqa: S101  # pairs come from a look at it
            batch = str(intake.cursor.batch)
            tags = {BATCH_TAG: batch, SOURCE_TAG: "sensor"}
            requests.append(desk.request(intake.keys, ([*known, *new], market.window_keys), tags, batch))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else intake.reason,
            cursor=intake.cursor.text(),
            dynamic_partitions_requests=[desk.symbols.build_add_request(new)] if new else None,
        )

    def _failed_tick(context: dg.SensorEvaluationContext, intake: Intake) -> dg.SensorResult:
        # Dagster keeps no cursor of a tick that fails: what was told lies in telemetry.
        message = "Some bars were not taken, the others were: " + " ".join(intake.problems)
        note(desk.telemetry, "problem", f"{context.sensor_name}:{intake.cursor.identity}", message)
        desk.tell(context, f"bars {intake.cursor.identity}", message, problems=list(intake.problems))
        raise BarsNotTakenError(message)

    return new_bars
