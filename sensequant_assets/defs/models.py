"""The models: teachers and students of the lattice, and the check between them."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from sensequant_assets.batch import Identity, Key, Options, Run, Teachers, utc_now
from sensequant_assets.core.outcome import Outcome, Status, Verdict
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.checks import CHECK, FAILURES_SHOWN, batch_evaluation, check_result
from sensequant_assets.defs.events import EventLog
from sensequant_assets.defs.market import symbol_events, universe_event
from sensequant_assets.defs.partitions import SYMBOL
from sensequant_assets.defs.resources import MarketResource, StudentResource, TeacherResource
from sensequant_assets.errors import UsageError
from sensequant_assets.market import Market
from sensequant_assets.model_store import ModelKind
from sensequant_assets.operations import evaluate_batch, failed_windows
from sensequant_assets.report import markdown, read_report
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.store import TelemetryStore

GROUP = "models"
ASSETS: dict[ModelKind, str] = {"teacher": "teacher_models", "student": "student_models"}
COMMAND_LINE = "cli"
BATCH_TAG, SOURCE_TAG, ATTEMPT_TAG = "sensequant/batch", "sensequant/source", "sensequant/attempt"
CPU_POOL = "sensequant_cpu"

_SHOWN = ("valid_auc", "test_auc", "test_brier", "test_rank_ic", "oof_auc", "fidelity_correlation", "trees")


class ModelsConfig(dg.Config):
    """How one run runs."""

    max_failure_rate: float = Field(0.15, ge=0, le=1, description="Greatest share of attempted windows that may fail.")
    workers: int = Field(1, ge=1, description="Windows at once.")
    window_timeout_s: float = Field(600, gt=0, description="Seconds after which a window fails.")
    force: bool = Field(False, description="Train even what is unchanged.")
    pairs: list[str] = Field(
        [], description="Pairs `symbol|window` of a scattered choice; empty: the run's partitions."
    )


def pool_of(teacher: TeacherParameters) -> str:
    """The concurrency pool of runs with these parameters: the CPU's, or one a GPU."""
    if teacher.device_type == "cpu":
        return CPU_POOL
    return f"sensequant_{teacher.device_type}_{teacher.gpu_platform_id}_{teacher.gpu_device_id}"


def model_assets(
    lattice: dg.MultiPartitionsDefinition, settings: Settings, pool: str | None = None
) -> dg.AssetsDefinition:
    """The assets `teacher_models` and `student_models` with their checks.

    Parameters
    ----------
    lattice
        Their partitions.
    settings
        Defaults of `ModelsConfig`.
    pool
        Concurrency pool of its runs; None for runs that wait for nobody.
    """

    class Config(ModelsConfig):
        """How one run runs, with the environment's values as the Launchpad's defaults."""

        max_failure_rate: float = _default("max_failure_rate", settings.max_failure_rate)
        workers: int = _default("workers", settings.worker_count)
        window_timeout_s: float = _default("window_timeout_s", settings.window_timeout_s)

    with warnings.catch_warnings():
        # Its interface is marked beta; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        by_symbol = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=SYMBOL)

    @dg.multi_asset(
        name="models",
        partitions_def=lattice,
        pool=pool,
        # Without it the daemon starts a run, and so a process, for every pair.
        backfill_policy=(
            dg.BackfillPolicy.multi_run(settings.run_size) if settings.run_size else dg.BackfillPolicy.single_run()
        ),
        can_subset=True,
        specs=[
            dg.AssetSpec(
                ASSETS["teacher"],
                description="LightGBM teacher of one symbol in one window, with its out-of-fold soft targets. "
                "It reads the bars as they are now and computes features in memory by the function of `features`, "
                "so that it never trains on a stale table.",
                group_name=GROUP,
                kinds={"lightgbm"},
                skippable=True,
                deps=[dg.AssetDep("features", partition_mapping=by_symbol)],
            ),
            dg.AssetSpec(
                ASSETS["student"],
                description="Small LightGBM student of one symbol in one window, distilled from the teacher's "
                "out-of-fold probabilities. It is not trained when too many teachers of its batch failed.",
                group_name=GROUP,
                kinds={"lightgbm"},
                skippable=True,
                deps=[ASSETS["teacher"]],
            ),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=asset,
                blocking=True,
                description=f"The share of attempted {model} windows that failed does not exceed the limit. "
                "Skipped windows do not count.",
            )
            for model, asset in ASSETS.items()
        ],
    )
    def models(
        context: dg.AssetExecutionContext,
        config: Config,
        market: MarketResource,
        teacher: TeacherResource,
        student: StudentResource,
    ) -> Iterator[dg.AssetCheckResult]:
        """Train teachers, judge them, and train students if few enough teachers failed."""
        selected = {key.to_user_string() for key in context.selected_asset_keys}
        kinds = [kind for kind, asset in ASSETS.items() if asset in selected]
        if not kinds:
            # A check executed alone has no windows of its own: it judges the latest batch again.
            asked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
            for kind in (kind for kind, asset in ASSETS.items() if asset in asked):
                yield latest_verdict(market, kind, config.max_failure_rate)
            return
        identity = identity_of(context.run)
        telemetry, opened = market.telemetry, market.open()
        universe = opened.universe.name
        keys = keys_in(opened, keys_of(config.pairs or context.partition_keys), context.log.warning)
        run = Run(
            market=opened,
            keys=keys,
            store=market.models,
            journal=Journal(telemetry.shards, batch_id=identity.batch_id, run_id=identity.run_id, clock=utc_now),
            identity=identity,
            teacher=TeacherParameters.model_validate(teacher.model_dump()),
            student=StudentParameters.model_validate(student.model_dump()),
            options=Options(config.workers, config.window_timeout_s, config.max_failure_rate, config.force),
            earlier_teachers=lambda: earlier_teachers(telemetry, keys, universe),
        )
        try:
            run.begin(kinds, market.settings.market)
            for kind in kinds:
                if kind == "teacher":
                    context.log_event(universe_event(opened.universe, market.universe))
                log_outcomes(context, run.train(kind), opened, market)
                yield check_result(ASSETS[kind], run.verdict(kind), run.outcomes(kind))
        finally:
            run.end()
            # Bars and features leave memory before the ingest, which takes as much. The command line does it itself.
            del run, opened
            if identity.source != COMMAND_LINE:
                telemetry.ingest(wait_s=5)

    return models


def _default(name: str, value: float) -> Any:
    """The field of `ModelsConfig` with another default."""
    field = copy(ModelsConfig.model_fields[name])
    field.default = value
    return field


def identity_of(run: dg.DagsterRun) -> Identity:
    """Batch, run and origin of a Dagster run; runs of one backfill are one batch."""
    backfill = run.tags.get("dagster/backfill")
    batch = run.tags.get(BATCH_TAG) or backfill or run.run_id
    source = run.tags.get(SOURCE_TAG)
    if source is None:
        source = (
            "sensor"
            if "dagster/sensor_name" in run.tags
            else "schedule"
            if "dagster/schedule_name" in run.tags
            else "ui"
        )
    return Identity(batch, run.run_id, source, backfill, attempt=int(run.tags.get(ATTEMPT_TAG, "1")))


def keys_of(partitions: Iterable[str]) -> list[Key]:
    """(symbol, window key) of partition keys `symbol|window`."""
    keys = []
    for partition in partitions:
        symbol, separator, window = partition.partition("|")
        if not separator:
            raise UsageError(f"{partition!r} is no pair; write symbol|window, such as AAPL|2009-01-01.")
        keys.append((symbol, window))
    return keys


def keys_in(market: Market, keys: Sequence[Key], warn: Callable[[str], None]) -> list[Key]:
    """Those pairs that the market has: the partition of a symbol outlives its row in the universe.

    Raises
    ------
    UsageError
        None is left.
    """
    symbols, windows = set(market.universe.symbols), set(market.window_keys)
    known = [(symbol, window) for symbol, window in keys if symbol in symbols and window in windows]
    lost = [f"{symbol}|{window}" for symbol, window in keys if symbol not in symbols or window not in windows]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        said = f"Universe {market.universe.name} has no {lost[0]}{more}; partitions of what it no longer lists remain."
        if not known:
            raise UsageError(said)
        warn(said)
    return known


def latest_verdict(market: MarketResource, model: ModelKind, max_failure_rate: float) -> dg.AssetCheckResult:
    """The verdict on the latest batch of the market's universe that planned a model."""
    telemetry, universe = market.telemetry, market.settings.universe.stem
    latest = telemetry.query(
        "SELECT batch_id FROM batches JOIN batch_summary USING (batch_id) WHERE universe = ? AND model = ? "
        "ORDER BY batches.started_at DESC LIMIT 1",
        [universe, model],
    ).to_pylist()
    if not latest:
        return check_result(ASSETS[model], Verdict(model, 0, 0, 0, 0, 0, max_failure_rate), ())
    batch = latest[0]["batch_id"]
    counts = next(row for row in telemetry.batch_summary(batch) if row["model"] == model)
    failed = failed_windows(telemetry, batch, model, FAILURES_SHOWN)
    verdict, report = evaluate_batch(model, counts, max_failure_rate), markdown(read_report(telemetry, batch))
    found = batch_evaluation(ASSETS[model], verdict, failed, batch, report=report)
    return dg.AssetCheckResult(
        asset_key=found.asset_key,
        check_name=found.check_name,
        passed=found.passed,
        severity=found.severity,
        description=found.description,
        metadata=found.metadata,
    )


def earlier_teachers(telemetry: TelemetryStore, keys: Sequence[Key], universe: str) -> Teachers:
    """The teachers of the latest batch that attempted some of these pairs of a universe."""
    telemetry.ingest()
    batch = telemetry.latest_teacher_batch(keys, universe)
    if batch is None:
        return Teachers({}, False, "any batch")
    verdict = telemetry.verdict(batch, "teacher")
    return Teachers(
        telemetry.outcomes(batch, "teacher"), verdict is not None and not verdict["passed"], f"batch {batch}"
    )


def log_outcomes(
    context: dg.AssetExecutionContext, outcomes: Iterable[Outcome], market: Market, resource: MarketResource
) -> None:
    """Tell Dagster and who waits of each window as it finishes, and Dagster of its symbol's tables if its bars are new.

    The tables are written beside the training, which goes on in other threads, so that the graph upstream of a model
    shows what it was trained on.
    """
    seen: set[str] = set()
    directory = Path(resource.data_dir)
    with EventLog(context) as events:
        for outcome in outcomes:
            symbol = outcome.pair.symbol
            if outcome.model == "teacher" and symbol not in seen:
                seen.add(symbol)
                for event in symbol_events(market, symbol, directory, ("bars", "features"), stale_only=True):
                    events.log(event)
            events.log(event_of(outcome))
            resource.tell(outcome)


def event_of(outcome: Outcome) -> dg.AssetMaterialization | dg.AssetObservation:
    """The Dagster event of one outcome.

    A failed window is an observation: it stays missing in the grid, and its events say why. A skipped one is a
    materialization with its reason, because a hole would read as a failure.
    """
    pair, asset = outcome.pair, ASSETS["teacher" if outcome.model == "teacher" else "student"]
    metadata: dict[str, Any] = {"status": str(outcome.status)}
    if outcome.status is Status.FAILED:
        assert outcome.failure is not None  # noqa: S101  # a failed outcome has a kind
        metadata |= {
            "cause": str(outcome.failure),
            "error_type": outcome.error_type,
            "error": outcome.error_message,
            "what_to_do": outcome.failure.advice,
        }
        return dg.AssetObservation(asset, partition=pair.key, metadata=metadata)
    if outcome.status is Status.SKIPPED:
        metadata |= {"reason": str(outcome.reason), "why": outcome.error_message}
        return dg.AssetMaterialization(asset, partition=pair.key, metadata=metadata)
    metadata |= {name: value for name in _SHOWN if (value := outcome.metrics.get(name)) is not None}
    metadata |= {
        "train_rows": outcome.rows["train"],
        "test_rows": outcome.rows["test"],
        "trees_fingerprint": outcome.trees_fingerprint,
        "model": dg.MetadataValue.path(outcome.path),
    }
    for flag in ("early_life", "open"):
        if getattr(pair, flag):
            metadata[flag] = True
    return dg.AssetMaterialization(asset, partition=pair.key, metadata=metadata)
