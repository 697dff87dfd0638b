"""Bars of Yahoo Finance, from the address that the package yfinance reads.

The package itself would bring curl, a database and an HTML parser; what is needed of it is one address. Prices are
adjusted for splits as of the day of the answer, and a close adjusted for dividends stands beside them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.vendors import Interval, Open, Page, as_csv
from sensequant_assets.text import brief

_FIVE_MINUTES_S = 300

_FIELDS = ("open", "high", "low", "close", "volume")


def first_week(today: date) -> date:
    """The Monday from which on bars of 5 minutes can be asked for: Yahoo keeps them for 60 days."""
    oldest = today - timedelta(59)
    return oldest + timedelta(-oldest.weekday() % 7)


class Yahoo(Open):
    """Charts of symbols: of days each whole, of 5 minutes one a week, because it keeps these for some weeks alone.

    Parameters
    ----------
    today
        The day that it is; no later one is asked for.
    suffix
        What Yahoo has behind a symbol that has no `vendor_code`, such as `.NS`.
    interval
        What a bar is of.
    """

    name = "yfinance"
    address = "https://query1.finance.yahoo.com"

    def __init__(self, today: date, suffix: str = "", interval: Interval = "1day") -> None:
        self._today, self._suffix, self._daily = today, suffix, interval == "1day"

    @property
    def adjusts(self) -> bool:
        """Whether a history comes in one: of bars of 5 minutes it cannot."""
        return self._daily

    def pages(self, listings: Sequence[Listing], start: date, end: date) -> Iterator[Page]:
        """One a symbol, and week of bars of 5 minutes: a whole one, so that no answer is less than the one before."""
        spans = [("", start, end)] if self._daily else list(self._weeks(start, end))
        interval = "1d&events=div%7Csplit" if self._daily else "5m"
        for listing in listings:
            asked = quote(listing.vendor_code or f"{listing.symbol}{self._suffix}", safe="")
            for name, first, stop in spans:
                begin, last = (int(datetime.combine(day, time(), UTC).timestamp()) for day in (first, stop))
                path = f"v8/finance/chart/{asked}?period1={begin}&period2={last}&interval={interval}"
                code = listing.vendor_code or listing.symbol
                yield Page(f"{listing.symbol}{name}", code, first, stop, (path,), listing)

    def _weeks(self, start: date, end: date) -> Iterator[tuple[str, date, date]]:
        """Weeks from Monday on that are kept."""
        first = max(start - timedelta(start.weekday()), first_week(self._today))
        while first < end:
            yield f"_{first}", first, min(first + timedelta(7), self._today + timedelta(1))
            first += timedelta(7)

    def bars(self, page: Page, answer: bytes, asked_at: datetime) -> bytes:
        """One row a bar, at the exchange's time; a session that is not over is left out."""
        try:
            chart = json.loads(answer)["chart"]
            if chart["error"]:
                raise ValueError(f"the vendor says: {brief(chart['error'].get('description'))}")
            (result,) = chart["result"]
            rows = list(_rows(result, page, asked_at, daily=self._daily))
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, OSError) as error:
            raise ValueError("it is no chart as Yahoo writes it") from error
        return as_csv(page.code, ("date", *_FIELDS, *(["adj_close"] if self._daily else [])), rows)


def _rows(result: Mapping[str, Any], page: Page, asked_at: datetime, *, daily: bool) -> Iterator[list[Any]]:
    times = result.get("timestamp") or []
    meta = result["meta"]
    if meta["dataGranularity"] != ("1d" if daily else "5m"):
        wanted = "days" if daily else "5 minutes"
        raise ValueError(f"its bars are of {brief(meta['dataGranularity'])}, and {wanted} were asked for")
    zone = ZoneInfo(meta["exchangeTimezoneName"])
    session = meta.get("currentTradingPeriod", {}).get("regular", {})
    under_way = (
        datetime.fromtimestamp(session["start"], zone).date() if session.get("end", 0) > asked_at.timestamp() else None
    )
    (quotes,) = result["indicators"]["quote"]
    columns = [quotes.get(name) or [] for name in _FIELDS]
    if daily:
        (adjusted,) = result["indicators"].get("adjclose") or [{"adjclose": quotes.get("close")}]
        columns.append(adjusted.get("adjclose") or [])
    if times and {len(column) for column in columns} != {len(times)}:
        raise ValueError("its columns are not of one length")
    for number, stamp in enumerate(times):
        at = datetime.fromtimestamp(stamp, zone).replace(tzinfo=None)
        day = at.date()
        if not daily and stamp % _FIVE_MINUTES_S:
            continue  # the last trade stands behind the bars
        cells = [column[number] for column in columns]
        if page.start <= day < page.end and day != under_way:
            if not all(cell is None or type(cell) in (int, float) for cell in cells):
                raise ValueError(f"a cell of {day} is no number")
            said = day.isoformat() if daily else at.isoformat(" ")
            yield [said, *("" if cell is None else repr(cell) for cell in cells)]
