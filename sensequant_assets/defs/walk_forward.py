"""The asset `walk_forward`: what the models of a window are worth on the window after theirs."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg

from sensequant_assets.batch.canaries import canaries_of
from sensequant_assets.batch.evaluation import JUDGED, Gathered, Subject, gather
from sensequant_assets.batch.examination import Examination, examine, note
from sensequant_assets.batch.leaks import probe
from sensequant_assets.batch.noise import Options, noise_of
from sensequant_assets.core.judging.canaries import Canaries, Watch
from sensequant_assets.core.judging.noise import NO_BAND, noise_lines
from sensequant_assets.core.judging.walk_forward import Score
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.checks import canaries_result, no_leak_result
from sensequant_assets.defs.names import ASSETS, CANARIES, JUDGING_GROUP, NO_LEAK, WALK_FORWARD
from sensequant_assets.defs.pools import by_window
from sensequant_assets.defs.resources import MarketResource, with_default
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.questions.events import latest_canaries
from sensequant_assets.telemetry.questions.windows import latest_teacher_batch

NIGHTS = 30
"""Batches whose canaries are weighed together."""

_SHOWN = ("auc", "rank_ic", "log_loss_over_base_rate", "top_return_net")
"""Metrics of models that the asset's page plots window by window."""

_TABLE = ("auc", "rank_ic", "log_loss", "brier", "ece", "top_return_net", "turnover", "fidelity_spearman")


def walk_forward_asset(
    windows: dg.StaticPartitionsDefinition, settings: Settings, pool: str | None = None
) -> dg.AssetsDefinition:
    """The asset `walk_forward`, by window.

    Parameters
    ----------
    windows
        Its partitions.
    settings
        The costs of a round trip and the size of the noise twin, as the Launchpad's defaults.
    pool
        Concurrency pool of its runs; None for runs that wait for nobody.
    """

    class Config(dg.Config):
        """What an evaluation assumes."""

        cost_bp: float = with_default(Settings.model_fields["cost_bp"], settings.cost_bp)
        noise_windows: int = with_default(Settings.model_fields["noise_windows"], settings.noise_windows)

    @dg.multi_asset(
        name="judging",
        partitions_def=windows,
        pool=pool,
        backfill_policy=dg.BackfillPolicy.single_run(),
        specs=[_spec()],
        check_specs=_check_specs(),
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        config: Config,
        market: dg.ResourceParam[MarketResource],
        teacher: dg.ResourceParam[TeacherParameters],
        student: dg.ResourceParam[StudentParameters],
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the models of each window on the window after it, and look for leaks."""
        opened = market.open(teacher, student)
        subject = Subject("", market.settings, teacher, student)
        how = Options(config.noise_windows, settings.worker_count, settings.window_timeout_s)
        noise = noise_of(subject, opened, market.twins, how)
        tested: dict[str, list[str]] = {}
        for window in context.partition_keys:
            batch = latest_teacher_batch(market.telemetry, opened.keys(windows=[window]), opened.universe.name)
            meant = replace(subject, batch_id=batch or "")
            gathered = gather(meant, opened, market.models, windows=[window])
            judge = partial(examine, meant, gathered, config.cost_bp, market.telemetry, noise=noise)
            found = judge() if len(gathered.rows) else None
            context.log_event(
                dg.AssetMaterialization(WALK_FORWARD, partition=window, metadata=_metadata(gathered, found))
            )
            if found:
                note(market.telemetry, found)
                tested.setdefault(meant.batch_id, []).append(window)
        for name, own in tested.items():
            canaries_of(replace(subject, batch_id=name), opened, sorted(own), noise, how, market.telemetry)
        yield _canaries(market)
        yield no_leak_result(probe(opened, context.partition_keys, teacher.folds), context.partition_keys)

    return evaluation


def _spec() -> dg.AssetSpec:
    return dg.AssetSpec(
        WALK_FORWARD,
        description="The window's models, as they lie on disk, on the rows of the window after it, pooled over the "
        "universe: each number with its 95 % interval over dates, beside baselines that need no model. One window is "
        "no proof: `sensequant evaluate` judges all windows of a batch together.",
        group_name=JUDGING_GROUP,
        kinds={"numpy"},
        skippable=True,
        deps=[dg.AssetDep(asset, partition_mapping=by_window()) for asset in ASSETS.values()],
    )


def _check_specs() -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            NO_LEAK,
            asset=WALK_FORWARD,
            description="Features and labels read no bar that they must not, and rows to learn from share none with "
            "rows that are judged (errors); no feature or fold looks as if it knew more than it can (warnings). It "
            "stops nothing; docs/judging.md says what each probe does.",
        ),
        dg.AssetCheckSpec(
            CANARIES,
            asset=WALK_FORWARD,
            description=f"Of the last {NIGHTS} batches, symbols of noise lie outside their noise band no more often "
            "than chance lets them, and an edge that was planted was found. They are trained beside a batch when it is "
            "judged, and are none of its windows. A warning stops nothing.",
        ),
    ]


def _canaries(market: MarketResource) -> dg.AssetCheckResult:
    """What the canaries of the last batches of the market's universe came to."""
    rows = latest_canaries(market.telemetry, universe=market.settings.universe_name, most=NIGHTS)
    nights = [Canaries(**row) for row in rows]
    return canaries_result(Watch.over(nights), nights[0] if nights else None)


def _metadata(gathered: Gathered, examined: Examination | None) -> dict[str, Any]:
    """What the page of a window shows; why there is nothing where no model has a row to be tested on."""
    if examined is None:
        why = " ".join(gathered.remarks) or "No model of this window is on disk."
        return {"status": "not judged", "why": why}
    judged = examined.judged
    found: dict[str, Any] = {
        "status": "judged",
        "rows": len(gathered.rows),
        "dates": judged.dates,
        "blocks": judged.blocks,
        "block_length": judged.block_length,
        "first": str(judged.first),
        "last": str(judged.last),
    }
    for score in judged.scores:
        if score.name in JUDGED:
            found |= _numbers(score)
    found["noise_band"] = " ".join(noise_lines(examined.noise, examined.outside)) if examined.noise else NO_BAND
    found["scores"] = dg.MetadataValue.table([dg.TableRecord(_row(score)) for score in judged.scores])
    if gathered.remarks:
        found["left_out"] = " ".join(gathered.remarks)
    return found


def _numbers(score: Score) -> dict[str, Any]:
    """Numbers of a model that its rows can answer, with the ends of their intervals as text."""
    told = score.as_json()
    found: dict[str, Any] = {}
    for metric in _SHOWN:
        if told[metric] is not None:
            found[f"{score.name}_{metric}"] = round(told[metric], 4)
        if told[f"{metric}_low"] is not None:
            found[f"{score.name}_{metric}_interval"] = _interval(told, metric)
    return found


def _row(score: Score) -> dict[str, str | int]:
    told = score.as_json()
    row: dict[str, str | int] = {"score": score.name, "rows": score.rows, "dates": score.dates, "blocks": score.blocks}
    for metric in _TABLE:
        value = told[metric]
        row[metric] = "-" if value is None else f"{value:.4f} {_interval(told, metric)}".rstrip()
    return row


def _interval(told: dict[str, Any], metric: str) -> str:
    low, high = told[f"{metric}_low"], told[f"{metric}_high"]
    return "" if low is None else f"[{low:.4f}, {high:.4f}]"
