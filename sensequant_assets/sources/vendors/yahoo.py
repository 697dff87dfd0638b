"""Daily bars of Yahoo Finance, from the address that the package yfinance reads.

The package itself would bring curl, a database and an HTML parser; what is needed of it is one address. Prices are
adjusted for splits as of the day of the answer, and a close adjusted for dividends stands beside them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.vendors import Open, Page, as_csv
from sensequant_assets.text import brief

_FIELDS = ("open", "high", "low", "close", "volume")


class Yahoo(Open):
    """Charts of symbols, each whole.

    Parameters
    ----------
    suffix
        What Yahoo has behind a symbol that has no `vendor_code`, such as `.NS`.
    """

    name = "yfinance"
    address = "https://query1.finance.yahoo.com"
    adjusts = True

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix

    def pages(self, listings: Sequence[Listing], start: date, end: date) -> Iterator[Page]:
        """One a symbol."""
        first, last = (int(datetime.combine(day, time(), UTC).timestamp()) for day in (start, end))
        for listing in listings:
            asked = quote(listing.vendor_code or f"{listing.symbol}{self._suffix}", safe="")
            path = f"v8/finance/chart/{asked}?period1={first}&period2={last}&interval=1d&events=div%7Csplit"
            yield Page(listing.symbol, listing.vendor_code or listing.symbol, start, end, (path,), listing)

    def bars(self, page: Page, answer: bytes, asked_at: datetime) -> bytes:
        """One row a day of the exchange; a session that is not over is left out."""
        try:
            chart = json.loads(answer)["chart"]
            if chart["error"]:
                raise ValueError(f"the vendor says: {brief(chart['error'].get('description'))}")
            (result,) = chart["result"]
            rows = list(_rows(result, page, asked_at))
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, OSError) as error:
            raise ValueError("it is no chart as Yahoo writes it") from error
        return as_csv(page.code, (*_FIELDS, "adj_close"), rows)


def _rows(result: Mapping[str, Any], page: Page, asked_at: datetime) -> Iterator[list[Any]]:
    times = result.get("timestamp") or []
    meta = result["meta"]
    if meta["dataGranularity"] != "1d":
        raise ValueError(f"its bars are of {brief(meta['dataGranularity'])}, and days were asked for")
    zone = ZoneInfo(meta["exchangeTimezoneName"])
    session = meta.get("currentTradingPeriod", {}).get("regular", {})
    under_way = (
        datetime.fromtimestamp(session["start"], zone).date() if session.get("end", 0) > asked_at.timestamp() else None
    )
    (quotes,) = result["indicators"]["quote"]
    (adjusted,) = result["indicators"].get("adjclose") or [{"adjclose": quotes.get("close")}]
    columns = [quotes.get(name) or [] for name in _FIELDS] + [adjusted.get("adjclose") or []]
    if times and {len(column) for column in columns} != {len(times)}:
        raise ValueError("its columns are not of one length")
    for number, stamp in enumerate(times):
        day = datetime.fromtimestamp(stamp, zone).date()
        cells = [column[number] for column in columns]
        if page.start <= day < page.end and day != under_way:
            if not all(cell is None or type(cell) in (int, float) for cell in cells):
                raise ValueError(f"a cell of {day} is no number")
            yield [day.isoformat(), *("" if cell is None else repr(cell) for cell in cells)]
