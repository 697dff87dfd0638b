"""`sensequant check-bars`: what the rules on bars find, before anything is trained."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import market_options, selected, settings_of
from sensequant_assets.core.quality.rules import EVERYBODY, Finding, summary
from sensequant_assets.errors import Exit
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_student, read_teacher
from sensequant_assets.text import json_text

_KEYS_SHOWN = 4


@click.command("check-bars")
@market_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding and line instead of a table.")
def check_bars(as_json: bool, **options: Any) -> Exit:
    """Show what the rules on bars find: rows that are no bars, splits that nobody took out, holes, units, copies.

    The bars of the whole universe are read, because what a session is most of its symbols say; with --symbols and
    --windows only what is found in those is shown. docs/data.md has every rule.

    \b
    Exit codes: 0 no error was found, warnings or not; 1 errors were; 2 bad usage or input; 3 a fault of the program.

    \b
    sensequant check-bars --universe nifty100.csv --bars nse_daily.parquet
    sensequant check-bars --universe nifty100.csv --bars nse_daily.parquet --symbols RELIANCE,NESTLEIND --json
    """
    market = Market.open(settings_of(options), read_teacher(), read_student())
    keys = selected(market, options["symbols"], options["windows"])
    found = _asked(market.findings, options["symbols"], {window for _, window in keys}, options["windows"] is not None)
    if as_json:
        for finding in found:
            click.echo(json_text(finding.as_json()))
    elif found:
        _table(found)
    # Where a program reads standard output, each of its lines is a finding.
    say(summary(found, len({symbol for symbol, _ in keys})), err=as_json)
    return Exit.EXCEEDED if any(finding.severity == "error" for finding in found) else Exit.DONE


def _asked(
    found: Sequence[Finding], symbols: Sequence[str] | None, windows: set[str], chosen_windows: bool
) -> list[Finding]:
    """Findings in these symbols; what is about all of them where no symbol is named."""
    wanted = None if symbols is None else set(symbols)
    return [
        finding
        for finding in found
        if (wanted is None or finding.symbol in wanted)
        and (not chosen_windows or not windows.isdisjoint(finding.windows))
    ]


def _table(found: Sequence[Finding]) -> None:
    out = console(width=200)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("symbol", "rule", "severity", "first", "last", "rows", "windows", "message"):
        table.add_column(
            name, justify="right" if name == "rows" else "left", no_wrap=name != "message", overflow="fold"
        )
    for one in found:
        table.add_row(
            "all" if one.symbol == EVERYBODY else styled(one.symbol),
            one.rule,
            styled(one.severity, "red" if one.severity == "error" else "yellow"),
            str(one.first or "-"),
            str(one.last or "-"),
            f"{one.rows:,}",
            _keys(one.windows),
            styled(one.message),
        )
    out.print(table)
    rules = Counter(one.rule for one in found)
    out.print(", ".join(f"{rule} {count}" for rule, count in rules.most_common()))


def _keys(keys: Sequence[str]) -> str:
    if len(keys) <= _KEYS_SHOWN:
        return " ".join(keys) or "none"
    return f"{' '.join(keys[: _KEYS_SHOWN - 1])} and {len(keys) - _KEYS_SHOWN + 1} more"
