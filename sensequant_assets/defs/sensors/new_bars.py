"""The sensor `new_bars`: retrains what changed bars ask for."""

from typing import NoReturn

import dagster as dg

from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.shrinking import shrink_of
from sensequant_assets.batch.staleness import Cause, stale_pairs
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.names import BATCH_TAG, SOURCE_TAG
from sensequant_assets.defs.partitions import add_symbols
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.defs.runs import batch_state
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.sources.buckets import bars_at
from sensequant_assets.sources.digests import Digests, content_digest
from sensequant_assets.sources.packing import bars_files
from sensequant_assets.sources.sample import SAMPLE
from sensequant_assets.telemetry.questions.events import is_noted
from sensequant_assets.telemetry.questions.failures import data_that_failed
from sensequant_assets.watch.intake import Found, Intake, IntakeCursor, evaluate_intake, must_look
from sensequant_assets.watch.notes import note


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
        cursor = IntakeCursor.parse(context.cursor)
        content = content_digest(digests.of([*bars_files(bars_at(settings.bars).path), settings.universe]))
        # What was refused is looked at again once it is allowed, and bars of a day are read from the next day on.
        content += "+" if settings.allow_shrink else ""
        content += f" until {settings.until}" if settings.rolls else ""
        state = batch_state(context.instance, desk.telemetry, cursor.batch, settings)
        found = _look(desk) if must_look(cursor, content, state) else None
        intake = evaluate_intake(cursor, content, state, found, settings.retry_limit or 1)
        if intake.problems and is_noted(desk.telemetry, "problem", _identity(context, intake)):
            intake = intake.after_telling()
        if intake.problems:
            _fail_tick(context, desk, intake)
        return _result(context.instance, desk, intake, found or Found())

    return new_bars


def _look(desk: Desk) -> Found:
    """What the bars ask for as they are now."""
    models = MarketResource(desk.settings, desk.settings.data_dir).models
    try:
        market = Market.open(desk.settings, desk.teacher, desk.student, desk.settings.features)
        shrink_of(desk.telemetry, models, market.universe, market.renames).require(desk.settings.allow_shrink)
    except UsageError as error:
        return Found(problems=(str(error),))
    failed = data_that_failed(desk.telemetry, desk.universe)
    stale = stale_pairs(market, models, desk.teacher, desk.student, code(), failed=failed)
    keys, begun = desk.begun(stale.by(Cause.UNTRAINED, Cause.DATA))
    problems = [*market.left_out, *map(str, stale.unreadable.values()), *begun]
    return Found(keys, problems, market.universe.symbols, market.window_keys)


def _identity(context: dg.SensorEvaluationContext, intake: Intake) -> str:
    return f"{context.sensor_name}:{intake.cursor.identity}"


def _fail_tick(context: dg.SensorEvaluationContext, desk: Desk, intake: Intake) -> NoReturn:
    # Dagster keeps no cursor of a tick that fails: what was told lies in telemetry.
    message = "Some bars were not taken, the others were: " + " ".join(intake.problems)
    note(desk.telemetry, "problem", _identity(context, intake), message)
    desk.tell(context, f"bars {intake.cursor.identity}", message, problems=list(intake.problems))
    raise BarsNotTakenError(message)


def _result(instance: dg.DagsterInstance, desk: Desk, intake: Intake, found: Found) -> dg.SensorResult:
    """Ask for the run and for partitions of new symbols."""
    known = desk.known_symbols(instance)
    new = [symbol for symbol in found.symbols if symbol not in known]
    if new and desk.settings.symbols_a_partition:
        # A request adds partitions or removes some; the last block is replaced by one that has grown.
        add_symbols(instance, desk.symbols, new, desk.settings.symbols_a_partition)
        known, new = [*known, *new], []
    requests = []
    if intake.keys:
        batch = str(intake.cursor.batch)
        tags = {BATCH_TAG: batch, SOURCE_TAG: "sensor"}
        requests.append(desk.request(intake.keys, desk.order([*known, *new], found.windows), tags, batch))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else intake.reason,
        cursor=intake.cursor.text(),
        dynamic_partitions_requests=[desk.symbols.build_add_request(new)] if new else None,
    )
