"""The asset `backtest`: a batch's walk-forward predictions as a portfolio beside its universe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from sensequant_assets.batch.backtesting import backtest_of, note
from sensequant_assets.defs.champions import pages_of, subject_of
from sensequant_assets.defs.names import BACKTEST, JUDGING_GROUP, WALK_FORWARD
from sensequant_assets.defs.resources import MarketResource, with_default
from sensequant_assets.market.market import Market
from sensequant_assets.report.backtest import drawn
from sensequant_assets.report.page import backtest_path, write_backtest
from sensequant_assets.settings import Settings
from sensequant_assets.text import markdown_text, printable

_SHOWN = ("excess", "excess_before_costs", "sharpe")
_COUNTS = ("dates", "blocks", "windows", "symbols", "signals", "buys", "sells", "trials", "periods")


def backtest_asset(settings: Settings, pool: str | None = None) -> dg.AssetsDefinition:
    """The asset `backtest`.

    Parameters
    ----------
    settings
        How a portfolio is held, as the Launchpad's defaults.
    pool
        Concurrency pool of its runs; None for runs that wait for nobody.
    """

    class Config(dg.Config):
        """What is held, and how."""

        batch: str = Field("", description="Batch whose predictions are held; the latest with students unless given.")
        model: Literal["teacher", "student"] = Field("student", description="Whose predictions.")
        top: int = with_default(Settings.model_fields["top"], settings.top)
        cost_bp: float = with_default(Settings.model_fields["cost_bp"], settings.cost_bp)
        price_band: float = with_default(Settings.model_fields["price_band"], settings.price_band)

    @dg.asset(
        name=BACKTEST,
        group_name=JUDGING_GROUP,
        kinds={"numpy"},
        pool=pool,
        deps=[dg.AssetDep(WALK_FORWARD, partition_mapping=dg.AllPartitionMapping())],
        description="The symbols with the highest walk-forward probability of a batch, held for a horizon, beside the "
        "equal-weighted universe: net of costs, within price limits, with intervals over dates and among all trials. A "
        "simulation of past bars, which says nothing of days to come.",
    )
    def backtest(config: Config, market: dg.ResourceParam[MarketResource]) -> dg.MaterializeResult[None]:
        subject = subject_of(market, config.batch)
        opened = Market.open(subject.settings, subject.teacher, subject.student, market.features)
        tested = backtest_of(
            subject, opened, market.models, market.telemetry,
            model=config.model, top=config.top, cost_bp=config.cost_bp, band=config.price_band,
        )  # fmt: skip
        told = note(market.telemetry, tested)
        page = write_backtest(told, backtest_path(market.data_dir.resolve(), subject.batch_id))
        return dg.MaterializeResult(metadata=_metadata(told, page) | pages_of(market.data_dir, subject.batch_id))

    return backtest


def _metadata(found: Mapping[str, Any], page: Path) -> dict[str, Any]:
    shown = drawn(found)
    told: dict[str, Any] = {
        "verdict": printable(shown.verdict),
        "held": printable(shown.head),
        "batch": printable(found["batch_id"]),
        "portfolio_return": round(found["portfolio"]["total_return"], 5),
        "universe_return": round(found["benchmark"]["total_return"], 5),
        "deepest_fall": round(found["portfolio"]["max_drawdown"], 5),
        "sides": dg.MetadataValue.table(
            [
                dg.TableRecord(dict(zip(("held", *shown.heads[1:]), (name, *cells), strict=True)))
                for name, cells in shown.sides
            ]
        ),
        "found": dg.MetadataValue.md("\n".join(f"- {markdown_text(line)}" for line in shown.sentences)),
        "remarks": dg.MetadataValue.md("\n".join(f"- {markdown_text(line)}" for line in shown.remarks)),
        "page": dg.MetadataValue.url(page.as_uri()),
        **{name: found[name] for name in _COUNTS},
    }
    for name in _SHOWN:
        low, high = found[f"{name}_low"], found[f"{name}_high"]
        if found[name] is not None:
            told[name] = found[name]
        if low is not None:
            told[f"{name}_interval"] = f"[{low:+.6f}, {high:+.6f}]"
    return told
