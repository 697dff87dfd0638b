"""All definitions of one market, put together."""

import dagster as dg

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.backtest import backtest_asset
from sensequant_assets.defs.catalog import catalogued
from sensequant_assets.defs.champions import champions_asset
from sensequant_assets.defs.jobs import BACKTESTING, EVALUATION, MARKET, PREDICTION, PROMOTION, TRAINING
from sensequant_assets.defs.market import market_assets
from sensequant_assets.defs.models import model_assets, pool_of
from sensequant_assets.defs.partitions import lattice_partitions, symbol_partitions, window_partitions
from sensequant_assets.defs.pools import pool_assets
from sensequant_assets.defs.pruning import pruning_job
from sensequant_assets.defs.resources import MarketResource, launchpad_resources
from sensequant_assets.defs.schedules import schedules
from sensequant_assets.defs.sensors.batch_failure_rate import batch_failure_rate_sensor
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.defs.sensors.new_bars import new_bars_sensor
from sensequant_assets.defs.sensors.new_predictions import new_predictions_sensor
from sensequant_assets.defs.sensors.retry_transient import retry_transient_sensor
from sensequant_assets.defs.sensors.stalled_batch import stalled_batch_sensor
from sensequant_assets.defs.serving import serving_assets
from sensequant_assets.defs.stress import stress_check
from sensequant_assets.defs.walk_forward import walk_forward_asset
from sensequant_assets.settings import Settings


def sensors(desk: Desk) -> list[dg.SensorDefinition]:
    """The sensors of a market."""
    return [
        new_bars_sensor(desk),
        new_predictions_sensor(desk),
        batch_failure_rate_sensor(desk),
        retry_transient_sensor(desk),
        stalled_batch_sensor(desk),
    ]


def build_definitions(
    settings: Settings,
    teacher: TeacherParameters,
    student: StudentParameters,
    *,
    attended: MarketResource | None = None,
) -> dg.Definitions:
    """Assets, checks, jobs, sensors, schedules and resources of the market that settings name.

    Parameters
    ----------
    settings
        Which universe, bars and windows, and the defaults of a run.
    teacher, student
        Defaults of the parameters.
    attended
        The market of a run that a person waits for in the terminal; None for runs that Dagster starts. It keeps no
        place in a pool, in whose queue it could not wait, and which it would hold for ever when it is killed; and it
        takes market and parameters as they are, without a Launchpad that changes them.
    """
    symbols = symbol_partitions(settings.universe_name)
    windows = window_partitions(settings.windows)
    lattice = lattice_partitions(symbols, windows, settings.symbols_a_partition)
    pool = pool_of(teacher) if attended is None else None
    desk = Desk(settings, teacher, student, symbols, windows)
    return dg.Definitions(
        assets=catalogued(
            [
                *market_assets(symbols, settings.symbols_a_partition),
                pool_assets(windows, settings, pool),
                model_assets(lattice, settings, teacher.scope, pool),
                walk_forward_asset(windows, settings, pool),
                backtest_asset(settings, pool),
                champions_asset(settings, pool),
                *serving_assets(settings),
            ],
            settings,
            teacher.scope,
        ),
        asset_checks=[stress_check(settings)],
        jobs=[MARKET, TRAINING, EVALUATION, BACKTESTING, PROMOTION, PREDICTION, pruning_job(desk)],
        sensors=sensors(desk),
        schedules=schedules(desk),
        resources=launchpad_resources(settings, teacher, student)
        if attended is None
        else {"market": attended, "teacher": teacher, "student": student},
        # Windows run side by side on threads of one process; a process a step would only cost its start.
        executor=dg.in_process_executor,
    )
