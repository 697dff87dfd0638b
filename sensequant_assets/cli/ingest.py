"""`sensequant ingest`: fetch bars from a vendor."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import setting_option, settings_of
from sensequant_assets.core.universe import Universe
from sensequant_assets.errors import Exit, UsageError
from sensequant_assets.settings import FIRST_DAY, TODAY, Settings, prepare_data_dir, today
from sensequant_assets.sources.notes import shortened
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.sources.vendors import Interval
from sensequant_assets.sources.vendors.asking import Line
from sensequant_assets.sources.vendors.breeze import LOGIN, Breeze
from sensequant_assets.sources.vendors.fetching import Fetch
from sensequant_assets.sources.vendors.keeping import FAILED, GOT, NOTHING, Answers, Entry
from sensequant_assets.sources.vendors.nse import Nse
from sensequant_assets.sources.vendors.yahoo import Yahoo, first_week
from sensequant_assets.text import counted, json_text

if TYPE_CHECKING:
    from sensequant_assets.sources.vendors import Vendor

_LINES = 20
"""Lines that tell how far it is, about."""


class _Day(click.ParamType[date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read a day; click calls it so."""
        if isinstance(value, date):
            return value
        try:
            return today() if value == TODAY else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value} is neither a date like 2022-01-01 nor today.", param, ctx)


@click.command()
@click.option("--source", type=click.Choice([Nse.name, Yahoo.name, Breeze.name]), required=True, help="Who is asked.")
@setting_option("universe")
@click.option("--start", type=_Day(), required=True, help="First day.")
@click.option("--end", type=_Day(), help="Day after the last, or today; without it today is the last.")
@click.option("--interval", type=click.Choice(get_args(Interval)), default="1day", show_default=True, help="A bar.")
@click.option("--incremental", is_flag=True, help="Ask only for what the ledger does not settle.")
@click.option("--suffix", default="", help="What yfinance has behind a symbol without vendor_code, such as .NS.")
@setting_option("allow_shrink")
@click.option("--out", type=click.Path(path_type=Path), help="Where it is kept (vendors below the data directory).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a page and line, as in the ledger.")
def ingest(
    source: str,
    start: date,
    end: date | None,
    interval: Interval,
    incremental: bool,
    suffix: str,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> Exit:
    """Fetch bars from a vendor.

    nse has one file a day of all shares, not adjusted; yfinance one answer a symbol, adjusted; breeze one a symbol and
    year, not adjusted, for those who have an account. Bars of 5 minutes, which nse has not, are kept apart from days.

    Every answer is kept as it came, and told of in ledger.jsonl; a different one to the same question lies beside it.
    What a killed process was about is asked for again with --incremental. docs/fetching.md has the rest.

    \b
    Exit codes: 0 every page was answered; 2 bad usage, or nobody is there; 3 pages failed, which --incremental asks
    for again.

    \b
    sensequant ingest --source nse --universe nifty100.csv --start 2024-01-01 --incremental
    sensequant ingest --source yfinance --suffix .NS --universe nifty100.csv --start 2019-01-01 --end today
    """
    settings = settings_of(options)
    last = end or today() + timedelta(1)
    if not FIRST_DAY <= start < last <= today() + timedelta(1):
        raise UsageError(
            f"There are no days from {start} to before {last} that can be asked for. Mend --start or --end."
        )
    if suffix and source != Yahoo.name:
        raise UsageError(f"--suffix says nothing to {source}, which names symbols as the exchange does. Leave it out.")
    vendor = _vendor(source, settings, suffix, interval)
    address = settings.vendor_url.get_secret_value() if settings.vendor_url else vendor.address
    line = Line(address, settings.vendor_pause_s, headers=vendor.headers, busy=vendor.busy)
    if out is None:
        prepare_data_dir(settings)
    universe = read_universe(settings.universe)
    if source == Breeze.name:
        _require_codes(universe)
    fetch = Fetch(vendor, line, universe.listings, start, last, incremental)
    directory = source if interval == "1day" else f"{source}-{interval}"
    with Answers.open((out or settings.data_dir / "vendors") / directory) as answers:
        if not settings.allow_shrink:
            fetch.require_codes(answers)
        pages = fetch.pages(answers)
        entries = list(_told(fetch.run(answers, pages), len(pages), as_json))
        return _summed(entries, answers, as_json)


def _vendor(source: str, settings: Settings, suffix: str, interval: Interval) -> "Vendor":
    if source == Yahoo.name:
        if interval != "1day":
            first = first_week(today())
            say(f"note Yahoo keeps bars of {interval} for 60 days: it is asked for none before {first}.", err=True)
        return Yahoo(today(), suffix, interval)
    if source == Nse.name:
        if interval != "1day":
            raise UsageError(f"{source} has files of days alone. Ask yfinance or breeze for bars of {interval}.")
        return Nse()
    key, session = settings.breeze_key, settings.breeze_session
    if key is None or session is None:
        raise UsageError(
            "Breeze tells bars to those alone who have an account: set SENSEQUANT_BREEZE_KEY, and "
            "SENSEQUANT_BREEZE_SESSION to what https://api.icicidirect.com/apiuser/login gives for this day."
        )
    login = settings.vendor_url.get_secret_value() if settings.vendor_url else LOGIN
    line = Line(login, settings.vendor_pause_s)
    return Breeze(line, today("Asia/Kolkata"), key.get_secret_value(), session.get_secret_value(), interval)


def _require_codes(universe: Universe) -> None:
    """Say which symbols have no code, by which alone Breeze knows a share; an error if none has one."""
    without = [one.symbol for one in universe.listings if not one.vendor_code]
    if len(without) == len(universe.listings):
        raise UsageError(
            f"No symbol of universe {universe.name} has a vendor_code, and Breeze knows shares by codes of its own, "
            "such as RELIND for RELIANCE. Give them in that column of the universe."
        )
    if without:
        say(
            f"note {counted(len(without), 'symbol')} of {len(universe.listings):,} without vendor_code, which Breeze "
            f"is not asked for: {shortened(without)}.",
            err=True,
        )


def _told(entries: Iterable[Entry], pages: int, as_json: bool) -> Iterable[Entry]:
    """Entries as they come, and how far it is."""
    step = max(1, pages // _LINES)
    counts: Counter[str] = Counter()
    for number, entry in enumerate(entries, start=1):
        counts[entry.status] += 1
        if as_json:
            click.echo(json_text(asdict(entry)))
        if entry.message:
            say(f"{'warning' if entry.status == FAILED else 'note'} {entry.name}: {entry.message}", err=True)
        if number % step == 0 or number == pages:
            told = " ".join(f"{status} {count}" for status, count in counts.items())
            say(f"{number} of {pages}: {told}", err=True)
        yield entry


def _summed(entries: list[Entry], answers: Answers, as_json: bool) -> Exit:
    by_status = {status: [entry for entry in entries if entry.status == status] for status in (GOT, NOTHING, FAILED)}
    got, nothing, failed = by_status.values()
    rows = sum(entry.rows for entry in got)
    say(
        f"{len(got):,} answers with {rows:,} bars, {len(nothing):,} without any, {len(failed):,} failed."
        if entries
        else "No page is left to ask for: the ledger settles them, or the vendor keeps none of these days.",
        err=as_json,
    )
    if nothing:
        say(f"Nothing there: {shortened([entry.name for entry in nothing], 8)}.", err=as_json)
    if nothing and not got and not failed and len(nothing) > 1:
        say("warning nothing came at all: is the address of the vendor, or the suffix of its symbols, right?", err=True)
    if failed:
        names = shortened([entry.name for entry in failed])
        say(f"Failed: {names}. The same command with --incremental asks for them again.", err=True)
    if answers.bars.is_dir():
        say(f"bars  {answers.bars}   sensequant plan --bars {answers.bars}", err=as_json)
    return Exit.BROKE_OFF if failed else Exit.DONE
