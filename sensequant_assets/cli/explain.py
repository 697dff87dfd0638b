"""`sensequant explain`: why a student says what it says of a bar."""

from datetime import datetime

import click
from rich.table import Table

from sensequant_assets.batch.explaining import Explanation
from sensequant_assets.batch.explaining import explain as explained
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import settings_of, telemetry_store
from sensequant_assets.cli.predict import standing_of
from sensequant_assets.text import json_text

_SHOWN = 12


@click.command()
@click.argument("symbol")
@click.argument("day", metavar="[DATE]", type=click.DateTime(["%Y-%m-%d"]), required=False)
@click.option("--unproven", is_flag=True, help="Of the latest batch, which nobody has promoted.")
@click.option("--batch", "batch_id", metavar="ID", help="Of this batch, which nobody has promoted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def explain(symbol: str, day: datetime | None, unproven: bool, batch_id: str | None, as_json: bool) -> None:
    """Say why the champion's student says what it says of a symbol's last bar on DATE or before it.

    Each feature moves the log-odds by so much, by trees that all symbols of the pool share and by those that learned
    from this symbol alone (LightGBM's own contributions).

    \b
    sensequant explain RELIANCE
    sensequant explain RELIANCE 2025-12-11 --unproven --json
    """
    settings, telemetry = settings_of({}, remembered=True), telemetry_store()
    standing = standing_of(settings, telemetry, batch_id, unproven=unproven)
    (known,) = standing.market.universe.select([symbol])
    found = explained(standing, known, day.date() if day else None)
    if as_json:
        click.echo(json_text(found.as_json()))
        return
    _show(found, standing.title)


def _show(found: Explanation, title: str) -> None:
    said = found.prediction
    say(f"{said.symbol}, bar of {said.time}: p {said.p:.4f}, raw {said.p_raw:.4f} ({title}).")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("feature", "value", "log-odds", "by the pool", "by the symbol"):
        table.add_column(name, justify="left" if name == "feature" else "right", no_wrap=True)
    for one in found.moved[:_SHOWN]:
        table.add_row(one.feature, f"{one.value:.4f}", f"{one.together:+.4f}", f"{one.pool:+.4f}", f"{one.symbol:+.4f}")
    rest = found.moved[_SHOWN:]
    if rest:
        pool, symbol = sum(one.pool for one in rest), sum(one.symbol for one in rest)
        table.add_row(f"{len(rest)} others", "", f"{pool + symbol:+.4f}", f"{pool:+.4f}", f"{symbol:+.4f}")
    table.add_row("without any", "", f"{found.base:+.4f}", "", "")
    console(width=100).print(table)
    for remark in found.remarks:
        say(remark)
