"""The pools by themselves: what teaches the models of a window where `TEACHER_SCOPE` is `pool`."""

import warnings
from collections.abc import Iterator
from functools import partial

import dagster as dg

from sensequant_assets.batch.devices import Devices, devices_of
from sensequant_assets.batch.engines.engine import opened_engine
from sensequant_assets.batch.pools import Pools
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.names import POOLS, SHARED_STUDENTS, WINDOW
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.defs.telling import log_lacking, log_pool
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.text import printable

GROUP = "pools"
"""Not that of the models: a group is backfilled as one, by partitions that all its assets have."""


def pool_assets(
    windows: dg.StaticPartitionsDefinition, settings: Settings, pool: str | None = None
) -> dg.AssetsDefinition:
    """The assets `pooled_teachers` and `shared_students`, by window.

    Parameters
    ----------
    windows
        Their partitions.
    settings
        Who trains pools, how many at once, and how long one may take.
    pool
        Concurrency pool of its runs; None for runs that wait for nobody.
    """

    @dg.multi_asset(
        name="pools",
        partitions_def=windows,
        pool=pool,
        backfill_policy=dg.BackfillPolicy.single_run(),
        specs=_specs(),
    )
    def pools(
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[MarketResource],
        teacher: dg.ResourceParam[TeacherParameters],
        student: dg.ResourceParam[StudentParameters],
    ) -> Iterator[dg.AssetMaterialization]:
        """Find or train the pools of windows; runs of the models do the same before their first pair."""
        opened = market.open(teacher, student)
        if not opened.pooled:
            raise UsageError("Nothing is pooled: TEACHER_SCOPE is symbol. Set it to pool for this run or everywhere.")
        chosen = opened.pools_in(context.partition_keys)
        log_lacking(context, chosen)
        names = [pool.name for pool in chosen]
        found = devices_of(teacher, opened, settings.device_fallback)
        warn = partial(_warn, context)
        with (
            opened_engine(settings, settings.worker_count) as engine,
            Devices(teacher, found, settings.device_fallback, warn=warn, engine=engine) as devices,
        ):
            devices.tell()
            made = Pools(opened, market.models.pools, teacher, student, False, devices, engine)
            for outcome in made.make(names, engine.slots, settings.window_timeout_s):
                log_pool(context, outcome)
        made.require(names)
        # Only a generator is taken to yield nothing; anything else is taken for a value of every partition.
        yield from ()

    return pools


def _warn(context: dg.AssetExecutionContext, said: str) -> None:
    context.log.warning(printable(said))


def _specs() -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            POOLS,
            description="One LightGBM teacher on the rows of all symbols of a window and of POOL_HISTORY windows up to "
            "it, with its out-of-fold soft targets and its calibration.",
            group_name=GROUP,
            kinds={"lightgbm"},
            skippable=True,
            deps=[dg.AssetDep("features", partition_mapping=dg.AllPartitionMapping())],
        ),
        dg.AssetSpec(
            SHARED_STUDENTS,
            description="The small LightGBM student that all symbols of a window share, distilled from the pooled "
            "teacher's out-of-fold probabilities.",
            group_name=GROUP,
            kinds={"lightgbm"},
            skippable=True,
            deps=[POOLS],
        ),
    ]


def by_window() -> dg.PartitionMapping:
    """From a window of the pools to its pairs."""
    with warnings.catch_warnings():
        # Its interface is marked beta; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=WINDOW)
