"""`sensequant coverage`: which bars there are, by symbol and month."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import click
from rich.table import Table

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import settings_of, symbols_options
from sensequant_assets.core.quality.coverage import Coverage, Covered
from sensequant_assets.errors import Exit
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_student, read_teacher
from sensequant_assets.sources.notes import shortened
from sensequant_assets.text import counted, json_text

_NAMED = 20


@click.command()
@symbols_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a symbol, month and line instead of a table.")
def coverage(as_json: bool, **options: Any) -> Exit:
    """Show which bars there are: of each symbol and month of the windows, on how many of the market's sessions.

    A month is one character: # for every session, 9 for nine tenths and more, down to 1; 0 for fewer, . for none, and
    - before a listing and where nobody has a bar. The bars of the whole universe are read, because what a session is
    most of its symbols say.

    \b
    Exit codes: 0 there are bars; 1 a symbol has none; 2 bad usage or input; 3 a fault of the program.

    \b
    sensequant coverage --universe nifty100.csv --bars nse_daily.parquet --start 2022-01-01 --end today
    sensequant coverage --universe nifty100.csv --bars nse_daily.parquet --symbols RELIANCE,AWL --json
    """
    market = Market.open(settings_of(options), read_teacher(), read_student())
    asked = options["symbols"]
    symbols = market.universe.symbols if asked is None else market.universe.select(asked)
    found = market.coverage
    chosen = Coverage(found.months, found.sessions, {symbol: found.symbols[symbol] for symbol in symbols})
    if as_json:
        for row in _rows(chosen):
            click.echo(json_text(row))
    else:
        _table(chosen)
    for note in market.notes:
        say(f"note {note}", err=as_json)
    empty = chosen.empty
    said = (
        f"{counted(len(symbols), 'symbol')}, {found.months[0]} to {found.months[-1]}, {sum(found.sessions):,} sessions."
    )
    named = f" No bar of {shortened(empty, _NAMED)} ({len(empty):,} of {len(symbols):,})." if empty else ""
    say(f"{said}{named}", err=as_json)
    return Exit.EXCEEDED if empty else Exit.DONE


def _rows(found: Coverage) -> Iterator[dict[str, Any]]:
    for symbol, own in found.symbols.items():
        for month, bars, days, sessions in zip(found.months, own.bars, own.days, own.sessions, strict=True):
            yield {"symbol": symbol, "month": month, "bars": bars, "days": days, "sessions": sessions}


def _table(found: Coverage) -> None:
    out = console(width=200)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, right in (("symbol", False), ("days", True), ("of sessions", True), ("bars", True)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    years = [(year, len(list(months))) for year, months in groupby(month[:4] for month in found.months)]
    for year, months in years:
        table.add_column(year if months >= len(year) else year[-months:], no_wrap=True)
    for symbol, own in found.symbols.items():
        numbers = (sum(own.days), sum(own.sessions), sum(own.bars))
        table.add_row(styled(symbol), *(f"{number:,}" for number in numbers), *_by_year(own, years))
    out.print(table)


def _by_year(own: Covered, years: Sequence[tuple[str, int]]) -> Iterator[str]:
    marks = "".join(map(_mark, own.days, own.sessions))
    at = 0
    for _, months in years:
        yield marks[at : at + months]
        at += months


def _mark(days: int, sessions: int) -> str:
    if not sessions:
        return "-"
    return "#" if days >= sessions else str(10 * days // sessions) if days else "."
