"""Options that commands share, and what they name: settings, pairs, a batch."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from sensequant_assets.core.lattice import Key
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import MARKET_FIELDS, Settings, read_settings
from sensequant_assets.telemetry.store import TelemetryStore

EXIT_EXCEEDED = 1
NO_BATCH = "No batch yet: `sensequant backfill` starts one."
_NAMED = 8

_Command = TypeVar("_Command", bound=Callable[..., Any])


def market_options(command: _Command) -> _Command:
    """Add the options that say which lattice is meant."""
    options = (
        click.option("--universe", type=click.Path(path_type=Path), help="Universe file: symbol, name, listing_date."),
        click.option("--bars", help="File or directory of bars, or 'sample' for the embedded ones."),
        click.option("--start", help="First day of the first window, such as 2022-01-01."),
        click.option("--end", help="Day after the last window."),
        click.option("--window-days", type=int, help="Calendar days a window (180)."),
        click.option("--horizon", type=int, help="Bars that a label looks ahead (7)."),
        click.option("--threshold", type=float, help="A label is 1 above this forward return (0.02)."),
        click.option("--timezone", help="Exchange time zone of zoned bars, such as Asia/Kolkata."),
        click.option("--symbols", help="Only these, separated by commas."),
        click.option("--windows", help="Only these, by start date, separated by commas."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def settings_of(options: Mapping[str, Any], names: Sequence[str] = (), *, remembered: bool = False) -> Settings:
    """Settings of the options of a market, and of others that are named."""
    return read_settings({name: options.get(name) for name in (*MARKET_FIELDS, *names)}, remembered=remembered)


def split(text: str | None) -> list[str] | None:
    """The parts of an option that holds several, separated by commas; None if it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def selected(market: Market, symbols: Sequence[str] | None, windows: Sequence[str] | None) -> list[Key]:
    """Pairs of these symbols and windows, symbol by symbol; None stands for all, and an unknown name is an error."""
    return market.keys(
        None if symbols is None else market.universe.select(symbols),
        None if windows is None else market.select_windows(windows),
    )


def known_batch(store: TelemetryStore, asked: str | None) -> str | None:
    """The batch asked for, or the latest; None before the first.

    Raises
    ------
    UsageError
        Telemetry has no batch of that name; it names the last ones it has.
    """
    known = [
        str(row["batch_id"])
        for row in store.query("SELECT batch_id FROM batches ORDER BY started_at DESC, batch_id DESC").to_pylist()
    ]
    if asked is None:
        return known[0] if known else None
    if asked not in known:
        more = f" and {len(known) - _NAMED} earlier ones" if len(known) > _NAMED else ""
        there = f"There are: {', '.join(known[:_NAMED])}{more}." if known else NO_BATCH
        raise UsageError(f"{store.database} has no batch {asked}. {there}")
    return asked


def telemetry_store() -> TelemetryStore:
    """The telemetry of the data directory."""
    return TelemetryStore(read_settings().data_dir / "telemetry")
