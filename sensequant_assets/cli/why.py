"""`sensequant why`: why a model is another one than before."""

from datetime import datetime

import click
from rich.table import Table

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import settings_of, telemetry_store
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.errors import UsageError
from sensequant_assets.text import counted, json_text
from sensequant_assets.watch.changes import Change
from sensequant_assets.watch.changes import why as changed


@click.command()
@click.argument("symbol")
@click.argument("window", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--model", type=click.Choice(MODELS), default="student", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def why(symbol: str, window: datetime, model: str, as_json: bool) -> None:
    """Say why the model of a symbol and window is another one than before.

    Which bars differ, month by month, which rows, features, parameters, labels, libraries, or the code.

    \b
    sensequant why RELIANCE 2025-06-14
    sensequant why RELIANCE 2025-06-14 --model teacher --json
    """
    universe, key = settings_of({}, remembered=True).universe_name, f"{window:%Y-%m-%d}"
    found = changed(telemetry_store(), universe, model, symbol, key)
    if found is None:
        raise UsageError(f"No batch of universe {universe} has a {model} of {symbol} in a window {key}.")
    if as_json:
        click.echo(json_text({"model": model, "symbol": symbol, "window": key} | found.as_json()))
    else:
        _show(found, f"{model} of {symbol}|{key}")


def _show(found: Change, what: str) -> None:
    later = f", and reused {counted(found.reused, 'time')}" if found.reused else ""
    say(f"The {what} was trained by batch {found.batch} on {found.since:.19}{later}.")
    if not found.before:
        say("There was none before that telemetry knows of.")
        return
    say(f"Before it there was that of batch {found.before}. What differs:")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("what", "which", "before", "after"):
        table.add_column(name, overflow="fold")
    for one in found.reasons:
        table.add_row(one.what, styled(one.name), styled(one.before), styled(one.after))
    console(width=120).print(table)
    for remark in found.remarks:
        say(remark)
