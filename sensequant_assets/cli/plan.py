"""`sensequant plan`: the lattice before anything is trained."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import market_options, selected, settings_of
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.quality.rules import NAMED_BY, summary
from sensequant_assets.core.samples import Samples
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_student, read_teacher
from sensequant_assets.text import json_text, printable


@click.command()
@market_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def plan(as_json: bool, **options: Any) -> None:
    """Show the lattice before anything is trained: every pair, eligible or skipped and why, and its rows."""
    settings = settings_of(options)
    market = Market.open(settings, read_teacher(), read_student(), settings.features)
    keys = selected(market, options["symbols"], options["windows"])
    # One at a time: a large market keeps only the symbols asked for last.
    pairs = (market.pair(*key) for key in keys)
    largest = 0
    if as_json:
        for record in plan_records(market, pairs):
            click.echo(json_text(record))
            largest = max(largest, record["rows"] if record["eligible"] else 0)
    else:
        shown = list(pairs)
        plan_table(market, shown)
        largest = max((pair.rows for pair in shown if pair.eligible), default=0)
    for note in market.notes:
        say(f"note {note}", err=as_json)
    if found := market.findings_of({symbol for symbol, _ in keys}):
        say(f"warning {summary(found, len({symbol for symbol, _ in keys}))} {NAMED_BY}", err=as_json)
    for idle in market.idle_settings(largest):
        # Where a program reads standard output, each of its lines is a pair.
        say(f"{'warning' if idle.misleading else 'note'} {idle}", err=as_json)


def plan_records(market: Market, pairs: Iterable[Pair]) -> Iterator[dict[str, Any]]:
    """The lattice as JSON objects, one a pair."""
    for pair in pairs:
        samples = market.plan(pair.symbol).samples
        yield {
            "symbol": pair.symbol,
            "window_start": pair.window.start.isoformat(),
            "window_end": pair.window.end.isoformat(),
            "effective_start": pair.effective_start.isoformat(),
            "eligible": pair.eligible,
            "reason": pair.reason,
            "detail": pair.detail or None,
            "rows": pair.rows,
            "open": pair.open,
            "early_life": pair.early_life,
            "served_by": pair.served_by.window.key if pair.served_by else None,
            "error": _error(pair, samples) or None,
        }


def _error(pair: Pair, samples: Samples | WindowError) -> str:
    """What a pair will fail by; empty where nothing is known."""
    if isinstance(samples, WindowError):
        return str(samples)
    return pair.spoiled if pair.eligible else ""


def plan_table(market: Market, pairs: Sequence[Pair]) -> None:
    """Print the lattice as a grid symbol x window: rows to train on, or why not."""
    windows = list(dict.fromkeys(pair.window for pair in pairs))
    out = console(width=40 + 22 * len(windows))
    grid = Table(title=f"{market.universe.name}: training rows by window", show_lines=False)
    grid.add_column("symbol")
    for window in windows:
        grid.add_column(window.key, justify="right")
    by_symbol: dict[str, dict[str, Pair]] = {}
    for pair in pairs:
        by_symbol.setdefault(pair.symbol, {})[pair.window.key] = pair
    for symbol, row in by_symbol.items():
        broken = isinstance(market.plan(symbol).samples, WindowError)
        grid.add_row(symbol, *(_cell(row.get(window.key), broken) for window in windows))
    out.print(grid)
    out.print("rows * early life, + open, < served by the model of a window before; a skipped window shows its reason")
    skips = Counter(pair.reason for pair in pairs if pair.reason)
    out.print(f"{len(pairs)} pairs: {len(pairs) - skips.total()} eligible, {skips.total()} skipped", end="")
    out.print(f" ({', '.join(f'{reason} {count}' for reason, count in skips.items())})" if skips else "")
    served = [pair for pair in pairs if pair.served_by]
    if served:
        what = f"{len(served)} served by the model of a window before, for example: {served[0].detail}"
        out.print(what, soft_wrap=True)
    cut = [pair for pair in pairs if pair.eligible and pair.detail and not pair.served_by]
    if cut:
        what = f"{len(cut)} cut by a listing, the first bar or a delisting, for example: {cut[0].detail}"
        out.print(what, soft_wrap=True)
    for reason in skips:
        one = next(pair for pair in pairs if pair.reason is reason)
        out.print(f"{reason}, for example: {one.detail}", soft_wrap=True)
    for symbol in by_symbol:
        samples = market.plan(symbol).samples
        errors = dict.fromkeys(filter(None, (_error(pair, samples) for pair in by_symbol[symbol].values())))
        for line in [*errors, *([] if isinstance(samples, WindowError) else market.conflicts(symbol))]:
            out.print(Text.assemble(("warning", "yellow"), " ", printable(line)), soft_wrap=True)


def _cell(pair: Pair | None, broken: bool) -> Text | str:
    if pair is None:
        return ""
    if not pair.eligible:
        return styled(pair.reason, "dim")
    if broken or pair.spoiled:
        return styled("will fail", "red")
    return f"{pair.rows}{'*' if pair.early_life else ''}{'+' if pair.open else ''}{'<' if pair.served_by else ''}"
