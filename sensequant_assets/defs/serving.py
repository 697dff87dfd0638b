"""The assets after the champion: what it predicts, what comes of that, and whether it is what it was promoted for."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg

from sensequant_assets.batch.monitoring import Monitoring, monitor
from sensequant_assets.batch.outcomes import fill_outcomes
from sensequant_assets.batch.prediction import MEANING, Flag, Predictions, newest_bars, note, predict
from sensequant_assets.batch.remote import settled
from sensequant_assets.batch.serving import ANYBODY, NoChampionError, Standing, of_champion
from sensequant_assets.core.judging.monitoring import CHECKS, Watched
from sensequant_assets.defs.names import (
    ASSETS,
    CHAMPIONS,
    MONITORING,
    OUTCOMES,
    PREDICTIONS,
    SERVING_GROUP,
    SHARED_STUDENTS,
)
from sensequant_assets.defs.partitions import partition_link
from sensequant_assets.defs.resources import MarketResource, with_default
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.records import Prediction
from sensequant_assets.text import markdown_text, printable
from sensequant_assets.watch.notify import notify

_MEANS = {
    "drift": "The features of the last month lie where those of training did, as far as they ever do.",
    "calibrated": "As many live predictions come true as they say, within the interval.",
    "degraded": "Live predictions are not surely worse than at promotion, nor than the rolling rate.",
}


def serving_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets `predictions` (by date), `outcomes` and `monitoring`.

    Parameters
    ----------
    settings
        First day, time zone of the dates, the costs of a round trip as the Launchpad's default, and what becomes of a
        degraded champion.
    """

    @dg.asset(
        name=OUTCOMES,
        group_name=SERVING_GROUP,
        kinds={"duckdb"},
        deps=[dg.AssetDep(PREDICTIONS, partition_mapping=dg.AllPartitionMapping())],
    )
    def outcomes(market: dg.ResourceParam[MarketResource]) -> dg.MaterializeResult[None]:
        """What came of predicted bars by the labels of the champion, as far as the bars are there that these read."""
        filled = fill_outcomes(market.telemetry, _champion(market).market)
        gone = {"gone": printable(" ".join(filled.gone))} if filled.gone else {}
        return dg.MaterializeResult(metadata={"new": len(filled.rows), "waiting": filled.waiting, **gone})

    return [_predictions(settings), outcomes, _monitoring(settings)]


def _predictions(settings: Settings) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="predicting",
        partitions_def=prediction_dates(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        specs=[
            dg.AssetSpec(
                PREDICTIONS,
                description="What the champion says of the newest bar of each symbol on a date or before it; written "
                "once for each bar, and never changed.",
                group_name=SERVING_GROUP,
                kinds={"numpy", "duckdb"},
                skippable=True,
                deps=[CHAMPIONS, dg.AssetDep("features", partition_mapping=dg.AllPartitionMapping())],
            )
        ],
    )
    def predicting(
        context: dg.AssetExecutionContext, market: dg.ResourceParam[MarketResource]
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Predict from the newest bars of each date."""
        with settled(settings, context.log.warning, alone=False):
            standing = _champion(market)
            for day in context.partition_keys:
                bars = newest_bars(standing.market, standing.market.universe.symbols, date.fromisoformat(day))
                kept, new = note(market.telemetry, standing.batch_id, predict(standing, bars, utc_now()))
                context.log_event(
                    dg.AssetMaterialization(PREDICTIONS, partition=day, metadata=_predicted(standing, kept, new))
                )
        # The events are logged, each with its partition; what a body returns would be one more.
        yield from ()

    return predicting


def _monitoring(settings: Settings) -> dg.AssetsDefinition:
    class Config(dg.Config):
        """What monitoring assumes."""

        cost_bp: float = with_default(Settings.model_fields["cost_bp"], settings.cost_bp)

    @dg.asset(
        name=MONITORING,
        group_name=SERVING_GROUP,
        kinds={"numpy"},
        deps=[OUTCOMES],
        check_specs=[dg.AssetCheckSpec(name, asset=MONITORING, description=_MEANS[name]) for name in CHECKS],
    )
    def monitoring(
        context: dg.AssetExecutionContext, config: Config, market: dg.ResourceParam[MarketResource]
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Live predictions against what came of them, and the features of late against those of training."""
        with settled(settings, context.log.warning, alone=False):
            standing = _champion(market)
            found = monitor(market.telemetry, standing, config.cost_bp, standing.evidence)
            for each in found.watched:
                if each.passed is False:
                    _act(context, settings, market, standing, each)
        yield dg.MaterializeResult(metadata=_watched(found))
        yield from (_check(each.check, each.passed, each.said) for each in found.watched)

    return monitoring


def _act(
    context: dg.AssetExecutionContext, settings: Settings, market: MarketResource, standing: Standing, found: Watched
) -> None:
    """Tell a person that a check failed, and let an earlier champion serve again where that is the policy."""
    message = f"{found.check} of {standing.title}: {found.said}"
    if found.check == "degraded" and settings.on_degraded == "rollback":
        try:
            back = market.champions.rollback(None, against=standing.champion, by=MONITORING, at=utc_now())
            message += f" Champion {back.version} serves from now on, which restores version {back.restores}."
        except UsageError as error:
            message += f" It was not rolled back: {error}"
    context.log.error(printable(message))
    text = {"asset": MONITORING, "check": found.check, "universe": market.settings.universe_name}
    notify(settings.webhook_url, text | {"message": printable(message)}, context.log)


def prediction_dates(settings: Settings) -> dg.DailyPartitionsDefinition:
    """The dates of predictions, from the first window's on, today included."""
    return dg.DailyPartitionsDefinition(settings.start.isoformat(), timezone=settings.schedule_timezone, end_offset=1)


def _champion(market: MarketResource) -> Standing:
    try:
        return of_champion(market.settings, market.champions, market.features)
    except NoChampionError as error:
        raise dg.Failure(f"{error} Materialize `{CHAMPIONS}` with a batch that has.", allow_retries=False) from error


def _predicted(standing: Standing, said: Predictions, new: int) -> dict[str, Any]:
    rows: list[dict[str, str | float]] = [
        {
            "symbol": row.symbol, "bar": str(row.time), "p": round(row.p or 0, 4), "p_raw": round(row.p_raw or 0, 4),
            "flags": str(row.flags), "model of window": str(row.window_start),
        }
        for row in sorted(said.rows, key=lambda each: -(each.p_raw or 0))
    ]  # fmt: skip
    found: dict[str, Any] = {
        "predictions": len(said.rows),
        "new": new,
        "bars_of": str(said.day),
        "champion": standing.title,
        "table": dg.MetadataValue.table([dg.TableRecord(row) for row in rows]),
        "leads_to": dg.MetadataValue.md(_leads_to(standing, said.rows)),
    }
    if said.missing:
        found["missing"] = printable(" ".join(said.missing.values()))
    return found


def _leads_to(standing: Standing, rows: Sequence[Prediction]) -> str:
    """Links from each symbol to its model and to its bars, and what is to be known of its prediction.

    A cell of Dagster's own tables holds plain text alone.
    """
    lines = ["| symbol | model | bars and their findings | what is to be known |", "|---|---|---|---|"]
    for row in sorted(rows, key=lambda each: each.symbol):
        bars = partition_link("bars", row.symbol)
        shared, window = standing.who_serves(row.symbol) == ANYBODY, str(row.window_start)
        model, of = (SHARED_STUDENTS, window) if shared else (ASSETS["student"], f"{row.symbol}|{window}")
        known = ", ".join(MEANING[Flag(flag)] for flag in str(row.flags).split(", "))
        cells = (markdown_text(row.symbol), partition_link(model, of), bars, markdown_text(known))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _watched(found: Monitoring) -> dict[str, Any]:
    live = found.live
    numbers: dict[str, Any] = {"rows": live.rows, "dates": live.dates, "champion": found.title}
    for metric in ("rank_ic", "brier_over_base_rate"):
        if live[metric].value == live[metric].value:
            numbers[metric] = round(live[metric].value, 4)
            numbers[f"{metric}_interval"] = f"[{live[metric].low:+.4f}, {live[metric].high:+.4f}]"
    return numbers


def _check(name: str, passed: bool | None, said: str) -> dg.AssetCheckResult:
    """A check that cannot tell yet does not pass, and warns."""
    return dg.AssetCheckResult(
        asset_key=MONITORING,
        check_name=name,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.ERROR if passed is False else dg.AssetCheckSeverity.WARN,
        description=printable(said),
    )
