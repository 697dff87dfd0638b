"""One batch from the command line: recorded in the same Dagster instance that the UI shows, run in this process."""

import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Protocol

import dagster as dg

from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.batch.run import Options, to_nobody
from sensequant_assets.batch.shrinking import Shrink
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Outcome, Verdict
from sensequant_assets.core.parameters import ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.defs.blocks import IncompleteBlocks
from sensequant_assets.defs.home import naming_damage, open_instance
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.names import ASSETS, BATCH_TAG, COMMAND_LINE, SOURCE_TAG
from sensequant_assets.defs.partitions import add_symbols, choose, partition_order, symbol_partitions
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.defs.runs import fail_dead_runs, place_on_timeline
from sensequant_assets.errors import BrokeOffError, BusyError, StoppedError, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import Settings
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.storage import dagster_private as private
from sensequant_assets.storage.damage import find_damage
from sensequant_assets.telemetry.store import TelemetryStore

# The command line shows progress of its own; Dagster's console log would cost as much as a window for each.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_JUDGED = ("DagsterAssetCheckFailedError", IncompleteBlocks.__name__)
"""What a blocking check that did not pass raises, whose class is private and its name recorded, and what ends a run
that has come to its end with a block that is not whole."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a batch is to train.

    Attributes
    ----------
    settings
        Which market.
    teacher, student
        Parameters.
    keys
        Pairs, symbol by symbol.
    models
        Which models.
    options
        How it runs.
    batch_id
        Its name in telemetry.
    market
        The market of the settings if it is open; its bars are then not read a second time.
    tell
        Called with what became of each window.
    tell_verdict, tell_pool
        Called with the verdict on each model, and with what became of each pool.
    shrink
        What the universe has lost since the batch before.
    warn
        Called with each sentence on a device that fails or stands idle.
    """

    settings: Settings
    teacher: TeacherParameters
    student: StudentParameters
    keys: Sequence[Key]
    models: Sequence[ModelKind]
    options: Options
    batch_id: str
    market: Market | None = None
    tell: Callable[[Outcome], None] = to_nobody
    tell_verdict: Callable[[Verdict], None] = to_nobody
    tell_pool: Callable[[PoolOutcome], None] = to_nobody
    shrink: Shrink | None = None
    warn: Callable[[str], None] = to_nobody


def launch(batch: Launch) -> BrokeOffError | StoppedError | None:
    """Run a batch in this process, in the instance of `DAGSTER_HOME`; what became of it is in telemetry.

    Returns
    -------
    BrokeOffError or StoppedError or None
        Why the run did not come to its end; None if it did, also where a check failed it.
    """
    market = MarketResource(
        batch.settings, batch.settings.data_dir.resolve(), batch.tell, batch.tell_verdict, batch.market,
        batch.tell_pool, batch.settings.features, batch.shrink, batch.warn,
    )  # fmt: skip
    definitions = build_definitions(batch.settings, batch.teacher, batch.student, attended=market)
    symbols = symbol_partitions(batch.settings.universe_name)
    home = batch.settings.dagster_home
    # What it prints stands in the terminal already.
    with naming_damage(home), open_instance(home, capture_output=False) as instance:
        # What was killed with its terminal still reads as started. While telemetry is in use, the next command asks.
        telemetry = TelemetryStore(batch.settings.telemetry_dir)
        with suppress(BusyError, UsageError):
            fail_dead_runs(instance, telemetry, batch.settings)
        add_symbols(instance, symbols, _with_partitions(batch), batch.settings.symbols_a_partition)
        tags = {BATCH_TAG: batch.batch_id, SOURCE_TAG: COMMAND_LINE}
        choice = choose(batch.keys, partition_order(instance, batch.settings))
        tags |= choice.tags
        private.forget_plan()
        place_on_timeline(instance, TRAINING.name)
        with naming_damage(home, BrokeOffError):
            result = definitions.resolve_job_def(TRAINING.name).execute_in_process(
                instance=instance,
                tags=tags,
                asset_selection=[dg.AssetKey(ASSETS[model]) for model in batch.models],
                run_config=_QUIET | {"ops": {"models": {"config": asdict(batch.options) | {"pairs": choice.pairs}}}},
                raise_on_error=False,
            )
    if result.success:
        return None
    # What a step leaves half done is closed by the collector, and that ends its journal.
    gc.collect()
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    if failures and all(error and error.cls_name in _JUDGED for error in failures):
        return None
    causes = [_first(error) for error in failures if error]
    if any(cause.cls_name == dg.DagsterExecutionInterruptedError.__name__ for cause in causes):
        return StoppedError("The run was interrupted. What it has trained is kept; the next backfill does the rest.")
    # Without the traceback, which the run's page shows.
    said = "; ".join(" ".join(cause.message.split()) for cause in causes) or "Dagster gives no cause"
    return BrokeOffError(f"The run broke off: {find_damage(home) or said}")


def _with_partitions(batch: Launch) -> Sequence[str]:
    """Symbols that are to have partitions: those of the batch, or all of the universe where they make blocks."""
    if batch.settings.symbols_a_partition:
        return read_universe(batch.settings.universe).symbols
    return sorted({symbol for symbol, _ in batch.keys})


class _Error(Protocol):
    """An exception as Dagster records it."""

    @property
    def cls_name(self) -> str | None: ...
    @property
    def message(self) -> str: ...
    @property
    def cause(self) -> "_Error | None": ...


def _first(error: _Error) -> _Error:
    """What was raised first."""
    while error.cause:
        error = error.cause
    return error
