"""The models: teachers and students of the lattice, and the check between them."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from functools import partial

import dagster as dg
from pydantic import Field

from sensequant_assets.batch.engines.engine import opened_engine
from sensequant_assets.batch.noise import kept_noise, noise_key
from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.batch.remote import Remote, mirrored, settled
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Judged, Options, Run, earlier_teachers, keys_in
from sensequant_assets.batch.shrinking import Shrink, shrink_of
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import ModelKind, Scope, StudentParameters, TeacherParameters
from sensequant_assets.defs.blocks import Blocks
from sensequant_assets.defs.checks import check_result, constant_rows, not_constant_result, severity
from sensequant_assets.defs.events import plan_partitions
from sensequant_assets.defs.market import universe_event
from sensequant_assets.defs.names import (
    ASSETS,
    CHECK,
    COMMAND_LINE,
    CPU_POOL,
    NOT_CONSTANT,
    POOLS,
    SYMBOL,
)
from sensequant_assets.defs.partitions import Order, partition_order
from sensequant_assets.defs.plans import is_whole, tell_backfill
from sensequant_assets.defs.pools import by_window
from sensequant_assets.defs.resources import MarketResource, with_default
from sensequant_assets.defs.runs import identity_of
from sensequant_assets.defs.telling import log_configuration, log_outcomes, log_pool
from sensequant_assets.defs.verdicts import latest_verdict
from sensequant_assets.market.market import Market
from sensequant_assets.report.page import default_path
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.limits import LimitWatch
from sensequant_assets.telemetry.questions.windows import last_outcomes
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import printable

GROUP = "models"


class ModelsConfig(dg.Config):
    """How one run runs."""

    max_failure_rate: float
    workers: int
    window_timeout_s: float
    allow_shrink: bool
    stop_early: bool
    device_fallback: bool
    force: bool = Field(False, description="Train even what is unchanged.")
    pairs: list[str] = Field(
        [], description="Pairs `symbol|window` of a scattered choice; empty: the run's partitions."
    )


def pool_of(teacher: TeacherParameters) -> str:
    """The concurrency pool of runs with these parameters: the CPU's, or one for the GPUs that they share."""
    if teacher.device_type in ("cpu", "auto"):
        return CPU_POOL
    devices = teacher.gpu_device_ids.replace(",", "_") or teacher.gpu_device_id
    return f"sensequant_{teacher.device_type}_{teacher.gpu_platform_id}_{devices}"


def model_assets(
    lattice: dg.MultiPartitionsDefinition, settings: Settings, scope: Scope, pool: str | None = None
) -> dg.AssetsDefinition:
    """The assets `teacher_models` and `student_models` with their checks.

    Parameters
    ----------
    lattice
        Their partitions.
    settings
        Defaults of `ModelsConfig`, and who trains.
    scope
        Of the teachers: pooled ones hang on the assets of the pools.
    pool
        Concurrency pool of its runs; None for runs that wait for nobody.
    """

    class Config(ModelsConfig):
        """How one run runs, with the environment's values as the Launchpad's defaults."""

        max_failure_rate: float = with_default(Settings.model_fields["max_failure_rate"], settings.max_failure_rate)
        workers: int = Field(settings.worker_count, ge=1, description="Windows trained at once.")
        window_timeout_s: float = with_default(Settings.model_fields["window_timeout_s"], settings.window_timeout_s)
        allow_shrink: bool = with_default(Settings.model_fields["allow_shrink"], settings.allow_shrink)
        stop_early: bool = with_default(Settings.model_fields["stop_early"], settings.stop_early)
        device_fallback: bool = with_default(Settings.model_fields["device_fallback"], settings.device_fallback)

    @dg.multi_asset(
        name="models",
        partitions_def=lattice,
        pool=pool,
        backfill_policy=_backfill_policy(settings.run_size, settings.symbols_a_partition),
        can_subset=True,
        specs=_specs(scope, settings),
        check_specs=_check_specs(),
    )
    def models(
        context: dg.AssetExecutionContext,
        config: Config,
        market: dg.ResourceParam[MarketResource],
        teacher: dg.ResourceParam[TeacherParameters],
        student: dg.ResourceParam[StudentParameters],
    ) -> Iterator[dg.AssetCheckResult]:
        """Train teachers, judge them, and train students if few enough teachers failed."""
        kinds = _kinds(context.selected_asset_keys)
        if not kinds:
            # A check executed alone has no windows of its own: it judges the latest batch again.
            yield from _judged_again(context, config, market)
            return
        if not (attended := identity_of(context.run).source == COMMAND_LINE):  # which looks, ingests and copies itself
            market.telemetry.require()
        try:
            with nullcontext() if attended else settled(settings, context.log.warning, alone=True):
                yield from _carried_out(context, config, kinds, market, teacher, student, settings)
        finally:
            # Bars and features have left memory with the run: the ingest takes as much.
            if not attended:
                market.telemetry.ingest(wait_s=5)

    return models


def _judged_again(
    context: dg.AssetExecutionContext, config: ModelsConfig, market: MarketResource
) -> Iterator[dg.AssetCheckResult]:
    for kind, check in _checks(context.selected_asset_check_keys):
        yield latest_verdict(market, kind, check, config.max_failure_rate)


def _carried_out(
    context: dg.AssetExecutionContext,
    config: ModelsConfig,
    kinds: Sequence[ModelKind],
    market: MarketResource,
    teacher: TeacherParameters,
    student: StudentParameters,
    settings: Settings,
) -> Iterator[dg.AssetCheckResult]:
    """Train and judge the models of a Dagster run, and tell Dagster of each window."""
    identity, telemetry = identity_of(context.run), market.telemetry
    market = market.of_batch(identity.batch_id)
    opened = market.open(teacher, student)
    shrink = _shrink(context, config, market, opened)
    keys, part_of, blocks = _asked_for(
        context, config, kinds, opened, market, partition_order(context.instance, settings)
    )
    run = Run(
        market=opened,
        keys=keys,
        models=kinds,
        store=market.models,
        journal=Journal(telemetry.shards, batch_id=identity.batch_id, run_id=identity.run_id, clock=utc_now),
        identity=identity,
        teacher=teacher,
        student=student,
        options=_options(context, config, part_of),
        settings=market.settings.market,
        earlier_teachers=lambda: earlier_teachers(telemetry, keys, opened.universe.name),
        shrink=shrink,
        changed_limit=LimitWatch(telemetry, identity.batch_id).latest,
        engine=partial(opened_engine, settings),
        mirror=partial(mirrored, Remote.of(settings)),
    )

    def tell(kind: ModelKind, outcomes: Iterable[Outcome]) -> None:
        if kind == "teacher":
            context.log_event(universe_event(opened.universe, market.settings.universe))
        log_outcomes(context, kind, outcomes, opened, market, noise, blocks)

    log_configuration(context, run)
    noise = kept_noise(market.twins, noise_key(market.settings, teacher, student, opened.features))

    def tell_pool(outcome: PoolOutcome) -> None:
        log_pool(context, outcome)
        market.tell_pool(outcome)

    def warn(said: str) -> None:
        context.log.warning(printable(said))
        market.warn(said)

    stopped = False
    for judged in run.carry_out(tell, tell_pool, market.tell_verdict, warn):
        stopped = stopped or severity(judged.verdict) is dg.AssetCheckSeverity.ERROR
        yield from _results(judged, part_of)
    if blocks is not None and not stopped:  # or else the check fails the run
        blocks.require()


def _results(judged: Judged, part_of: str) -> Iterator[dg.AssetCheckResult]:
    asset, constant = ASSETS[judged.model], constant_rows(judged.noted)
    yield not_constant_result(asset, judged.verdict, constant, plotted=not part_of)
    yield check_result(asset, judged.verdict, judged.noted, part_of, judged.idle_devices)


def _asked_for(
    context: dg.AssetExecutionContext,
    config: ModelsConfig,
    kinds: Sequence[ModelKind],
    opened: Market,
    market: MarketResource,
    order: Order,
) -> tuple[list[Key], str, Blocks | None]:
    """The pairs of a run, its batch where it is a part of one, and its blocks where these are its partitions.

    Dagster's keys, a kilobyte each, end here. The plan of its backfill is told if nobody has.
    """
    identity = identity_of(context.run)
    if identity.backfill_id is not None:
        symbols, windows = opened.universe.symbols, opened.window_keys
        tell_backfill(context.instance, market.telemetry, identity.backfill_id, symbols, windows, order)
    partitions = config.pairs or context.partition_keys
    keys = keys_in(opened, order.keys_of(partitions), context.log.warning)
    part_of = "" if _is_batch(context, identity, kinds, partitions) else identity.batch_id
    return keys, part_of, _blocks(context, kinds, keys, opened, market, order) if order.block_size else None


def _blocks(
    context: dg.AssetExecutionContext,
    kinds: Sequence[ModelKind],
    keys: Sequence[Key],
    opened: Market,
    market: MarketResource,
    order: Order,
) -> Blocks:
    """The blocks of a run, all of which Dagster takes for planned, also where the run is asked for pairs in them."""
    batch_id, symbols = identity_of(context.run).batch_id, opened.universe.symbols
    report = str(default_path(market.data_dir, batch_id))
    earlier = partial(last_outcomes, market.telemetry, opened.universe.name)
    blocks = Blocks(order, keys, symbols, batch_id, report, earlier, opened.pair)
    known = set(context.partition_keys)
    for kind in kinds:
        plan_partitions(context, ASSETS[kind], [one for one in blocks.partitions if one not in known])
    return blocks


def _options(context: dg.AssetExecutionContext, config: ModelsConfig, part_of: str) -> Options:
    """How a run runs; one that is a part of its batch never stops early, because the others may make it pass."""
    options = Options(**{one.name: getattr(config, one.name) for one in fields(Options)})
    if options.stop_early and part_of:
        context.log.warning(printable(f"stop_early does nothing here: this run is one of several of batch {part_of}."))
        return replace(options, stop_early=False)
    return options


def _shrink(
    context: dg.AssetExecutionContext, config: ModelsConfig, market: MarketResource, opened: Market
) -> Shrink | None:
    """What the universe has lost since the batch before, which is refused unless it is allowed.

    Whoever waits for the run in a terminal has looked before it was launched.
    """
    if identity_of(context.run).source == COMMAND_LINE:
        return market.shrink
    telemetry = TelemetryStore(market.telemetry.directory, context.log.warning)
    shrink = shrink_of(telemetry, market.models, opened.universe, opened.renames)
    shrink.require(config.allow_shrink)
    if shrink.lost:
        context.log.warning(printable(f"{shrink}."))
    return shrink


def _is_batch(
    context: dg.AssetExecutionContext, identity: Identity, kinds: Iterable[ModelKind], partitions: Collection[str]
) -> bool:
    """Whether a run is its whole batch: it repeats none, and is no backfill's but for one that it covers."""
    if identity.attempt > 1:
        return False
    assets = [ASSETS[kind] for kind in kinds]
    return identity.backfill_id is None or is_whole(context.instance, identity.backfill_id, assets, partitions)


def _backfill_policy(run_size: int, symbols: int) -> dg.BackfillPolicy:
    # Without one the daemon starts a run, and so a process, for every partition.
    return (
        dg.BackfillPolicy.multi_run(max(run_size // (symbols or 1), 1)) if run_size else dg.BackfillPolicy.single_run()
    )


def _kinds(keys: Iterable[dg.AssetKey]) -> list[ModelKind]:
    """The models among assets, teachers first."""
    names = {key.to_user_string() for key in keys}
    return [kind for kind, asset in ASSETS.items() if asset in names]


def _checks(keys: Iterable[dg.AssetCheckKey]) -> list[tuple[ModelKind, str]]:
    """The models among checked assets, teachers first, each with a check of it."""
    wanted = {(key.asset_key.to_user_string(), key.name) for key in keys}
    known = [(kind, check) for kind in ASSETS for check in (NOT_CONSTANT, CHECK)]
    return [(kind, check) for kind, check in known if (ASSETS[kind], check) in wanted]


def _specs(scope: Scope, settings: Settings) -> list[dg.AssetSpec]:
    with warnings.catch_warnings():
        # Its interface is marked beta; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        by_symbol: dg.PartitionMapping = (
            # Dagster's servers know no mapping of a package's own.
            dg.AllPartitionMapping()
            if settings.symbols_a_partition
            else dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=SYMBOL)
        )
    return [
        dg.AssetSpec(
            ASSETS["teacher"],
            description="LightGBM teacher of one symbol in one window, with its out-of-fold soft targets. "
            "It reads the bars as they are now and computes features in memory by the function of `features`, "
            f"so that it never trains on a stale table.\n\n{_grid_of(ASSETS['teacher'], settings.rolls)}",
            group_name=GROUP,
            kinds={"lightgbm"},
            skippable=True,
            deps=[
                dg.AssetDep("features", partition_mapping=by_symbol),
                *([dg.AssetDep(POOLS, partition_mapping=by_window())] if scope == "pool" else []),
            ],
        ),
        dg.AssetSpec(
            ASSETS["student"],
            description="Small LightGBM student of one symbol in one window, distilled from the teacher's "
            "out-of-fold probabilities. It is not trained when too many teachers of its batch failed."
            f"\n\n{_grid_of(ASSETS['student'], settings.rolls)}",
            group_name=GROUP,
            kinds={"lightgbm"},
            skippable=True,
            deps=[ASSETS["teacher"]],
        ),
    ]


def _grid_of(asset: str, rolls: bool) -> str:
    """How to read the grid of an asset, as Markdown: what it cannot say, and where that stands."""
    until = (
        " Windows end today: one that begins later has no partitions before this code location is reloaded."
        if rolls
        else ""
    )
    return (
        "In the grid, a window that failed is missing, or red where its run failed too: `View all historical events` "
        f"on its page has the reason and what to do, and the check [{CHECK}](/assets/{asset}?view=checks&checkDetail="
        f"{CHECK}) all that failed in the last batch. A skipped window counts as materialized, lest it read as a hole: "
        "the check counts trained and skipped ones apart. `sensequant report` draws the batch, and "
        f"`sensequant why SYMBOL WINDOW` tells of one window.{until}"
    )


def _check_specs() -> list[dg.AssetCheckSpec]:
    limit = [
        dg.AssetCheckSpec(
            CHECK,
            asset=asset,
            blocking=True,
            description=f"The share of attempted {model} windows that failed does not exceed the limit. "
            "Skipped windows do not count.",
        )
        for model, asset in ASSETS.items()
    ]
    knowing = [
        dg.AssetCheckSpec(
            NOT_CONSTANT,
            asset=asset,
            description=f"No {model} that was trained or reused says the same of every row: an error where more than "
            "half do, else a warning. It stops nothing.",
        )
        for model, asset in ASSETS.items()
    ]
    return [*limit, *knowing]
