"""`sensequant why`: why a window has no model, or another one than before."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from rich.table import Table

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import settings_of, telemetry_store
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.errors import UsageError, advice
from sensequant_assets.telemetry.questions.windows import latest_attempt
from sensequant_assets.text import counted, json_text
from sensequant_assets.watch.changes import Change
from sensequant_assets.watch.changes import why as changed


@click.command()
@click.argument("symbol")
@click.argument("window", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--model", type=click.Choice(MODELS), default="student", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def why(symbol: str, window: datetime, model: str, as_json: bool) -> None:
    """Say why a symbol and window failed or was skipped, or why its model is another one than before.

    Which bars differ, month by month, which rows, features, parameters, labels, libraries, or the code.

    \b
    sensequant why RELIANCE 2025-06-14
    sensequant why RELIANCE 2025-06-14 --model teacher --json
    """
    universe, key = settings_of({}, remembered=True).universe_name, f"{window:%Y-%m-%d}"
    store = telemetry_store()
    with store.session():
        last = latest_attempt(store, universe, model, symbol, key)
        found = changed(store, universe, model, symbol, key)
    if last is None:
        raise UsageError(f"No batch of universe {universe} has tried a {model} of {symbol} in a window {key}.")
    if as_json:
        told = {"model": model, "symbol": symbol, "window": key, "last": _as_json(last)}
        click.echo(json_text(told | (found.as_json() if found else {})))
        return
    what = f"{model} of {symbol}|{key}"
    _show_last(last, what)
    if found:
        _show(found, what)


def _as_json(last: Mapping[str, Any]) -> dict[str, Any]:
    return {**last, "ended_at": str(last["ended_at"])}


def _show_last(last: Mapping[str, Any], what: str) -> None:
    """Say why the last batch made no model, where it made none."""
    when = f"batch {last['batch_id']} on {last['ended_at']:%Y-%m-%d %H:%M:%S}"
    if last["outcome"] == "failed":
        say(f"The {what} failed in {when}: {last['failure_kind'] or 'unknown'}: {last['error_message'] or ''}")
        say(advice(last["failure_kind"]))
    if last["outcome"] == "skipped":
        say(f"The {what} was skipped in {when}: {last['reason'] or 'unknown'}: {last['error_message'] or ''}")


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
