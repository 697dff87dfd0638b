"""Bars of Breeze, the interface of ICICI Direct, as its package breeze-connect 1.0.69 asks for them.

The package itself opens an address when it is imported, writes every answer into a directory of logs where it is, takes
IPv6 from the whole process, and neither waits nor asks again. What is needed of it is two addresses: one says whether
the session of the day is good, the other has the bars. Prices are as traded, as the vendor says in issue 57 of that
package. It answers 100 questions a minute and 5000 a day.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.vendors import Interval, Page, as_csv
from sensequant_assets.sources.vendors.asking import Answer, Line
from sensequant_assets.text import brief

LOGIN = "https://api.icicidirect.com/breezeapi/api/v1"
"""Where it is asked about sessions, unless a setting says otherwise."""

MOST_CANDLES = 1000
"""Bars of one answer at most; what is beyond them is left out without a word."""

_PRICES = ("open", "high", "low", "close", "volume")
_ZONE = ZoneInfo("Asia/Kolkata")
_OVER = time(16)
"""When a session of the exchange is over, with its closing prices."""
_NOTHING = ("no data found", "result not found", "no data available")
_BUSY = b"API call per minute"


@dataclass
class Breeze:
    """Shares of the National Stock Exchange by the `vendor_code` of the universe.

    An answer has a year of days, or a third of a month of bars of 5 minutes, which are at most some 825.

    Parameters
    ----------
    line
        To where it is asked about sessions.
    today
        The day that it is in India; no later one is asked for.
    key, session
        Of the application, and what the vendor's page for logging in gives for the day; neither is told in a sentence.
    interval
        What a bar is of.
    """

    name = "breeze"
    address = "https://breezeapi.icicidirect.com/api/v2"
    adjusts = False

    line: Line
    today: date
    key: str
    session: str
    interval: Interval = "1day"
    _headers: Mapping[str, str] = field(default_factory=dict)

    def pages(self, listings: Sequence[Listing], start: date, end: date) -> Iterator[Page]:
        """One a symbol that has a code, and span: a whole one, so that no answer is less than the one before."""
        spans = list(_years(start, end) if self.interval == "1day" else _thirds(start, end))
        for listing in listings:
            code = listing.vendor_code
            for name, first, stop in spans if code else ():
                last = min(stop, self.today + timedelta(1))
                asked = self._path(str(code), first, last)
                yield Page(f"{listing.symbol}_{name}", str(code), first, last, (asked,), listing)

    def headers(self) -> Mapping[str, str]:
        """What tells the vendor who asks; the first question makes sure of it.

        Raises
        ------
        UsageError
            The session is not good.
        """
        if not self._headers:
            body = json.dumps({"SessionToken": self.session, "AppKey": self.key}, separators=(",", ":"))
            answer = self.line.ask("customerdetails", body.encode())
            self._headers = {"X-SessionToken": _token(answer), "apikey": self.key}
        return self._headers

    def busy(self, answer: bytes) -> bool:
        """Whether it has had its questions of this minute."""
        return _BUSY in answer

    def bars(self, page: Page, answer: bytes, asked_at: datetime) -> bytes:
        """One row a bar; a session that is not over is left out."""
        try:
            told = json.loads(answer)
            said, rows = str(told.get("Error") or ""), told.get("Success") or []
            if told["Status"] != 200 and said.lower() not in _NOTHING:
                raise ValueError(f"the vendor says: {brief(said)}")
            if len(rows) >= MOST_CANDLES:
                raise ValueError(f"it has {len(rows)} bars, the most of an answer: some may lack")
            found = list(_rows(rows, page, asked_at.astimezone(_ZONE), daily=self.interval == "1day"))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("it is no chart as Breeze writes it") from error
        return as_csv(page.code, ("date", *_PRICES), found)

    def _path(self, code: str, first: date, stop: date) -> str:
        asked = {
            "interval": self.interval,
            "from_date": f"{first}T00:00:00.000Z",
            "to_date": f"{stop - timedelta(1)}T23:59:59.000Z",
            "stock_code": code,
            "exch_code": "NSE",
            "product_type": "cash",
        }
        return f"historicalcharts?{urlencode(asked)}"


_Span = tuple[str, date, date]
"""A name, the first day, and the day after the last."""


def _years(start: date, end: date) -> Iterator[_Span]:
    for year in range(start.year, (end - timedelta(1)).year + 1):
        yield str(year), date(year, 1, 1), date(year + 1, 1, 1)


def _thirds(start: date, end: date) -> Iterator[_Span]:
    """Thirds of months: from the first, the eleventh and the twenty-first."""
    first = start.replace(day=1 + 10 * min((start.day - 1) // 10, 2))
    while first < end:
        stop = first + timedelta(10)
        if first.day == 21:
            stop = (first + timedelta(15)).replace(day=1)
        yield first.isoformat(), first, stop
        first = stop


def _rows(rows: Sequence[Mapping[str, Any]], page: Page, asked_at: datetime, *, daily: bool) -> Iterator[list[Any]]:
    under_way = asked_at.date() if asked_at.time() < _OVER else None
    for row in rows:
        if row["stock_code"].upper() != page.code.upper():
            raise ValueError(f"the answer is of {brief(row['stock_code'])}, and {page.code} was asked for")
        at = datetime.fromisoformat(row["datetime"])
        day = at.date()
        cells = [row[name] for name in _PRICES]
        if not all(type(cell) in (int, float) for cell in cells):
            raise ValueError(f"a cell of {day} is no number")
        if day != under_way:
            yield [day.isoformat() if daily else at.isoformat(" "), *map(repr, cells)]


def _token(answer: Answer) -> str:
    """What a good session is known by; `UsageError` for any other."""
    try:
        told = json.loads(answer.body)
        token: str = told["Success"]["session_token"]
        base64.b64decode(token, validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"Breeze takes no session of SENSEQUANT_BREEZE_KEY and SENSEQUANT_BREEZE_SESSION (status {answer.status}): "
            "log in at https://api.icicidirect.com/apiuser/login and set the session of this day."
        ) from None
    return token
