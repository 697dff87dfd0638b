"""All definitions of one market, put together."""

import dagster as dg

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.windows import build_windows
from sensequant_assets.defs.jobs import MARKET, TRAINING
from sensequant_assets.defs.market import market_assets
from sensequant_assets.defs.models import model_assets
from sensequant_assets.defs.partitions import lattice_partitions, symbol_partitions
from sensequant_assets.defs.resources import MarketResource, StudentResource, TeacherResource
from sensequant_assets.settings import Settings


def build_definitions(settings: Settings, teacher: TeacherParameters, student: StudentParameters) -> dg.Definitions:
    """Assets, checks, jobs and resources of the market that settings name.

    Parameters
    ----------
    settings
        Which universe, bars and windows, and the defaults of a run.
    teacher, student
        Defaults of the parameters.
    """
    symbols = symbol_partitions(settings.universe.stem)
    lattice = lattice_partitions(symbols, build_windows(settings.start, settings.end, settings.window_days))
    return dg.Definitions(
        assets=[*market_assets(symbols), model_assets(lattice, settings)],
        jobs=[MARKET, TRAINING],
        resources={
            "market": MarketResource.of(settings),
            "teacher": TeacherResource(**teacher.model_dump()),
            "student": StudentResource(**student.model_dump()),
        },
        # Windows run side by side on threads of one process; a process a step would only cost its start.
        executor=dg.in_process_executor,
    )
