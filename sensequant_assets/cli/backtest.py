"""`sensequant backtest`: what a batch's walk-forward predictions would have come to as a portfolio."""

from typing import Any

import click
from rich.table import Table

from sensequant_assets.batch.backtesting import backtest_of, note
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.cli.champions import reading
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import named_batch, setting_option, settings_of, telemetry_store
from sensequant_assets.core.parameters import MODELS, ModelKind
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.report.backtest import Drawn, drawn
from sensequant_assets.report.page import backtest_path, write_backtest
from sensequant_assets.text import json_text


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@click.option("--batch", "batch_id", metavar="ID", help="The same; the latest unless given.")
@click.option("--model", type=click.Choice(MODELS), default="student", show_default=True, help="Whose predictions.")
@setting_option("top")
@setting_option("cost_bp")
@setting_option("price_band")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with the value of each date.")
def backtest(batch: str | None, batch_id: str | None, model: ModelKind, as_json: bool, **options: Any) -> None:
    """Hold the symbols that a batch thought most of, beside its universe, net of costs.

    Predictions are those that `sensequant evaluate` judges: each of the window after its model's own. They are bought
    at the open after them and sold at the open a horizon later. Market and parameters are those of the batch. Every
    backtest is a trial: the more portfolios were looked at, the less the best of them proves.

    \b
    sensequant backtest
    sensequant backtest 20260131-184502-3f9a --top 5 --cost-bp 40 --json
    """
    settings, telemetry = settings_of(options), telemetry_store()
    found = named_batch(telemetry, batch_id or batch)
    subject = Subject.of_batch(telemetry, found)
    market = Market.open(subject.settings, subject.teacher, subject.student, settings.features)
    models = ModelStore(settings.models_dir, market.universe.name)
    with reading() as tell:
        tested = backtest_of(
            subject, market, models, telemetry,
            model=model, top=settings.top, cost_bp=settings.cost_bp, band=settings.price_band, tell=tell,
        )  # fmt: skip
    told = note(telemetry, tested)
    page = write_backtest(told, backtest_path(settings.data_dir, found))
    if as_json:
        click.echo(json_text(told))
    else:
        _show(found, drawn(told))
    say(page, err=as_json)


def _show(batch_id: str, shown: Drawn) -> None:
    say(f"Batch {batch_id}: {shown.head}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in shown.heads:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for name, cells in shown.sides:
        table.add_row(name, *cells)
    console(width=150).print(table)
    for line in (shown.verdict, *shown.sentences, *shown.remarks):
        say(line)
