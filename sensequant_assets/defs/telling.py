"""What Dagster is told of each window as it finishes."""

from collections.abc import Iterable
from math import isnan, nan
from shlex import quote
from typing import Any

import dagster as dg

from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.batch.run import Run
from sensequant_assets.core.judging.noise import NAMES, Noise, WindowScore
from sensequant_assets.core.lattice import EARLY_LIFE_DAYS
from sensequant_assets.core.outcome import Outcome, Status
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.core.pool import EARLY
from sensequant_assets.defs.blocks import Blocks
from sensequant_assets.defs.events import EventLog
from sensequant_assets.defs.market import symbol_events, tell_sound
from sensequant_assets.defs.names import ASSETS, POOLS, SHARED_STUDENTS, WALK_FORWARD
from sensequant_assets.defs.partitions import partition_link
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.market.market import Market
from sensequant_assets.market.pools import Pool
from sensequant_assets.text import json_text, printable

_SHOWN = ("valid_auc", "test_auc", "test_brier", "test_rank_ic", "oof_auc", "fidelity_correlation")

_PARAMETERS = {
    "learning_rate": "learning_rate",
    "min_child_samples": "min_data_in_leaf",
    "subsample": "bagging_fraction",
    "colsample_bytree": "feature_fraction",
    "seed": "seed",
}
"""Parameters that the page of a partition shows beside leaves, depth and rounds, and their LightGBM names."""


def log_configuration(context: dg.AssetExecutionContext, run: Run) -> None:
    """Log what a run works with, and warn of settings that must be taken for what they do not do."""
    told = {
        "settings": run.settings,
        "teacher": run.teacher.model_dump(),
        "student": run.student.model_dump(),
        **run.configuration,
    }
    context.log.info(f"Configuration: {json_text(told)}")
    for idle in run.idle_settings:
        if idle.misleading:
            context.log.warning(printable(idle))


def log_outcomes(
    context: dg.AssetExecutionContext,
    model: ModelKind,
    outcomes: Iterable[Outcome],
    market: Market,
    resource: MarketResource,
    noise: Noise | None,
    blocks: Blocks | None = None,
) -> None:
    """Tell Dagster and who waits of a model's windows as they finish, and Dagster of tables of symbols with new bars.

    The tables are written beside the training, which goes on in other threads, so that the graph upstream of a model
    shows what it was trained on, and so does the check of the bars. `noise` is the band of the market's noise twin,
    where one is on disk; `blocks` are those of the run, where they are its partitions.
    """
    seen: set[str] = set()
    with EventLog(context) as events:
        for outcome in outcomes:
            symbol = outcome.pair.symbol
            if model == "teacher" and symbol not in seen:
                seen.add(symbol)
                for event in symbol_events(market, symbol, resource.data_dir, ("bars", "features"), stale_only=True):
                    events.log(event)
            for event in (event_of(outcome, noise),) if blocks is None else blocks.take(outcome):
                events.log(event)
            resource.tell(outcome)
        for event in () if blocks is None else blocks.rest(model):
            events.log(event)
    if seen:
        tell_sound(context.instance, market)


def log_pool(context: dg.AssetExecutionContext, outcome: PoolOutcome) -> None:
    """Tell Dagster of a window's pool: its asset is `pooled_teachers`, and the shared student stands beside it."""
    stored, window = outcome.stored, outcome.pool.window
    asset = POOLS if outcome.model == "pool" else SHARED_STUDENTS
    if outcome.error is not None or stored is None:
        error = outcome.error
        assert error is not None  # noqa: S101  # what is not stored failed
        metadata: dict[str, Any] = {"status": "failed", "cause": str(error.kind), "error": printable(error)}
        context.log_event(dg.AssetObservation(asset, partition=window, metadata=metadata))
        return
    record = stored.record
    metadata = {
        "status": str(outcome.status),
        "rows": record.rows,
        "symbols": record.symbols,
        "windows": len(record.span),
        "calibration_slope": rounded(record.calibration.slope),
        "trees_fingerprint": record.trees_fingerprint,
        "model": dg.MetadataValue.path(str(stored.path)),
    }
    if record.calibration.nothing_learned:
        metadata["nothing_learned"] = True
    if record.constant:
        metadata["constant"] = True
    if outcome.pool.not_apart:
        metadata["early_life_not_separate"] = outcome.pool.not_apart
    if record.early_life:
        # The partition is the window's; its other pool materializes it.
        context.log_event(dg.AssetObservation(asset, partition=window, metadata={"pool": "early life"} | metadata))
        return
    context.log_event(dg.AssetMaterialization(asset, partition=window, metadata=metadata))


def log_lacking(context: dg.AssetExecutionContext, pools: Iterable[Pool]) -> None:
    """Tell Dagster which pools have too few rows: as for a pair, a hole would read as a failure."""
    for pool in pools:
        if why := pool.lacks:
            metadata = {"status": "skipped", "why": why}
            for asset in (POOLS, SHARED_STUDENTS):
                context.log_event(dg.AssetMaterialization(asset, partition=pool.window, metadata=metadata))


def event_of(outcome: Outcome, noise: Noise | None = None) -> dg.AssetMaterialization | dg.AssetObservation:
    """The Dagster event of one outcome.

    A failed window is an observation: it stays missing in the grid, and its events say why. A skipped one is a
    materialization with its reason, because a hole would read as a failure.
    """
    pair, asset = outcome.pair, ASSETS["teacher" if outcome.model == "teacher" else "student"]
    metadata: dict[str, Any] = {"status": str(outcome.status), "leads_to": dg.MetadataValue.md(_leads_to(outcome))}
    if outcome.status is Status.FAILED:
        assert outcome.failure is not None  # noqa: S101  # a failed outcome has a kind
        metadata |= {
            "cause": str(outcome.failure),
            "error_type": outcome.error_type,
            "error": printable(outcome.error_message),
            "what_to_do": f"{outcome.failure.advice} {_asked(outcome)} tells the same in a terminal.",
        }
        return dg.AssetObservation(asset, partition=pair.key, metadata=metadata)
    if outcome.status is Status.SKIPPED:
        metadata |= {"reason": str(outcome.reason), "why": printable(outcome.error_message)}
        return dg.AssetMaterialization(asset, partition=pair.key, metadata=metadata)
    # Text, because Dagster plots numbers over the partitions in the order of their names, which is none of time.
    metadata |= {name: f"{value:.4g}" for name in _SHOWN if (value := outcome.metrics.get(name)) is not None}
    metadata |= {
        "largest_tree": _largest_tree(outcome),
        "parameters": _parameters(outcome),
        "rows": f"{outcome.rows['train']:,} to train, {outcome.rows['test']:,} to test",
        "trees_fingerprint": outcome.trees_fingerprint,
        "model": dg.MetadataValue.path(outcome.path),
    }
    if flags := _flags(outcome):
        metadata["flags"] = ", ".join(flags)
    if pair.served_by:
        metadata |= {"served_by": pair.served_by.window.key, "why": printable(pair.detail)}
    if noise and (told := _noise_band(outcome, noise)):
        metadata["noise_band"] = told
    return dg.AssetMaterialization(asset, partition=pair.key, metadata=metadata)


def _flags(outcome: Outcome) -> list[str]:
    """What is to be known of a model, in words."""
    told = {
        f"early life: it begins within {EARLY_LIFE_DAYS} days of the listing": outcome.pair.early_life,
        "taught by the pool of early life": outcome.pool.endswith(EARLY),
        "open: bars of its window are still to come": outcome.pair.open,
        "constant: it says the same of every row": outcome.constant,
        "nothing learned: its calibration has a slope of 0": outcome.metrics.get("calibration_slope") == 0,
    }
    return [words for words, is_so in told.items() if is_so]


def _leads_to(outcome: Outcome) -> str:
    """Links from a window to what it was made of and to what was made of it."""
    pair, window = outcome.pair, outcome.pair.window.key
    other = ASSETS["student" if outcome.model == "teacher" else "teacher"]
    links = [partition_link("bars", pair.symbol, f"bars of {pair.symbol}"), partition_link(other, pair.key, other)]
    if outcome.pool:
        links.append(partition_link(POOLS, window, POOLS))
    links.append(partition_link(WALK_FORWARD, window, WALK_FORWARD))
    return ", ".join(links)


def _asked(outcome: Outcome) -> str:
    return f"`sensequant why {quote(outcome.pair.symbol)} {outcome.pair.window.key} --model {outcome.model}`"


def _noise_band(outcome: Outcome, noise: Noise) -> str:
    """Where numbers of the window's test rows would lie if nothing could be known; empty where that is not known."""
    score = WindowScore.of_metrics(outcome.metrics, outcome.rows["test"])
    said = []
    for metric, value in () if score is None else (("auc", score.auc), ("rank_ic", score.rank_ic)):
        band = noise.band(outcome.model, metric)
        low, high = (nan, nan) if band is None or score is None else band.of(score, metric)
        if low <= high and not isnan(value):
            where = "inside" if low <= value <= high else "outside"
            said.append(f"{NAMES[metric]} {value:.3f} is {where} {low:.3f} to {high:.3f}")
    return ", ".join(said)


def rounded(value: float) -> float:
    """Four significant digits, as many as a page shows of a number that stands on some hundred rows."""
    return float(f"{value:.4g}")


def _parameters(outcome: Outcome) -> str:
    """What the booster took, and how many rounds came of those asked for."""
    taken = outcome.parameters
    rounds = f"{outcome.metrics['trees']:.0f} of {taken['num_iterations']} rounds asked"
    return ", ".join([rounds, *(f"{name} {taken.get(lightgbm, '-')}" for name, lightgbm in _PARAMETERS.items())])


def _largest_tree(outcome: Outcome) -> str:
    """What came of the leaves and the depth asked for; one entry, since each costs a reused window a percent."""
    grown, asked = outcome.metrics, outcome.parameters
    return (
        f"{grown['largest_tree_leaves']:.0f} of {asked['num_leaves']} leaves asked, "
        f"depth {grown['largest_tree_depth']:.0f} of {asked['max_depth']}"
    )
