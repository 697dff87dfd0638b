"""Whose bars they are: names of files and rows, as vendors spell them, and the universe's symbols."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

from sensequant_assets.core.renames import Alias
from sensequant_assets.core.universe import Listing

_NO_ALIASES: Mapping[str, Alias] = MappingProxyType({})
_EXCHANGE = re.compile(
    r"^(?:(?:X?NSE|NSI|X?BSE|X?BOM|NASDAQ|NYSE|AMEX|LSE)(?:[_-](?:EQ|CM))?\s*[:|!]\s*)"
    r"|(?:\.(?:NS|BO|NSE|BSE|NSI|XNSE|XBOM|IN|US)|[\s:](?:NSE|BSE|IN))$"
)
"""Where a vendor says which exchange: `NSE:TCS`, `NSE_EQ|TCS`, `TCS.NS`, `TCS.BO`. Any other word after a point may
be another share of the company, as in `BRK.WS`."""
_SERIES = re.compile(r"[\s_-]EQ$")
"""The series of plain shares behind a symbol. Another one is another instrument."""
_FILE_WORDS = re.compile(
    r"\d+(?:ST|ND|RD|TH|S|M|MIN|MINS|MINUTE|MINUTES|H|HOUR|D|DAY|DAYS|W|Y|YR|YEAR|YEARS)?|EQ|EQUITY|QUOTE|STOCK|STOCKS|SHARE|PRICE|PRICES|HISTORICAL|HISTORY|HIST|DATA|DAILY|DAY|DAYS"
    r"|MINUTE|MINUTES|MIN|MINS|HOUR|HOURLY|WEEKLY|OHLC|OHLCV|CANDLE|CANDLES|BAR|BARS|EOD|INTRADAY|ADJUSTED|ADJ|RAW"
    r"|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|NSE|BSE|NS|BO|TO|FROM|ALL|N|D|CM|PART|SNAPPY|CSV|TABLE"
)
"""Words of a file's name that name no company: dates and numbers among them."""


@lru_cache(maxsize=2**14)
def bare(name: str) -> str:
    """A name without exchange and series, in capitals, and `_` for whatever else is between its letters and digits.

    Examples
    --------
    >>> [bare(name) for name in ("NSE:RELIANCE-EQ", "reliance.ns", "M%26M", "BAJAJ-AUTO")]
    ['RELIANCE', 'RELIANCE', 'M_M', 'BAJAJ_AUTO']
    """
    plain = unquote(name).strip().upper()
    for _ in range(2):
        plain = _SERIES.sub("", _EXCHANGE.sub("", plain))
    return re.sub(r"[\W_]+", "_", plain).strip("_")


class Matcher:
    """Tells symbols by the names that vendors give them.

    A name that is a symbol, or a listing's `vendor_code`, is that one. Any other is the one whose bare name it shares,
    if no two do. A listing with a `vendor_code` is known by that, and by the other symbols that it had, alone.

    Parameters
    ----------
    listings
        Of the universe.
    aliases
        Other symbols of listed ones, by name.

    Attributes
    ----------
    codes
        The `vendor_code` of each symbol that has one.
    """

    def __init__(self, listings: Iterable[Listing], aliases: Mapping[str, Alias] = _NO_ALIASES) -> None:
        listings = list(listings)
        self.codes = {listing.symbol: listing.vendor_code for listing in listings if listing.vendor_code}
        self._symbols = {listing.vendor_code or listing.symbol: listing.symbol for listing in listings}
        self._aliases = {name: alias for name, alias in aliases.items() if name not in self._symbols}
        # What is listed goes before what was renamed.
        self._bare = _by_bare(self._aliases) | _by_bare(self._symbols)
        self._longest = max((name.count("_") + 1 for name in self._bare), default=1)

    def symbol(self, name: str) -> str | None:
        """Which symbol a name of rows stands for; None if it stands for none."""
        code = self._code(name)
        alias = self._aliases.get(code)
        return alias.symbol if alias else self._symbols.get(code)

    def alias(self, name: str) -> tuple[str, Alias] | None:
        """Which other symbol of a listed one a name is; None if it is none."""
        code = self._code(name)
        return (code, self._aliases[code]) if code in self._aliases else None

    def _code(self, name: str) -> str:
        """The symbol, `vendor_code` or alias that a name spells; empty if it spells none."""
        return name if name in self._symbols or name in self._aliases else self._bare.get(bare(name), "")

    def symbol_of_file(self, names: Sequence[str]) -> tuple[str, str] | None:
        """Which symbol a file without a column of symbols is named for, and by which of its names.

        The whole name counts first, then the one symbol in it among words that name nothing, as in
        `Quote-Equity-TCS-EQ-01-01-2024`. Its folder's name counts where its own has such words alone.
        """
        for name in names:
            if symbol := self.symbol(name):
                return symbol, name
            if code := self._within(name):
                # Its other words are of no name: two files may differ by them and be of one symbol.
                return str(self.symbol(code)), code
            if not all(map(_FILE_WORDS.fullmatch, _words(name))):
                break
        return None

    def _within(self, name: str) -> str | None:
        words = _words(name)
        found = set()
        for first in range(len(words)):
            for end in range(first + 1, min(first + self._longest, len(words)) + 1):
                code = self._bare.get("_".join(words[first:end]))
                if code and all(map(_FILE_WORDS.fullmatch, words[:first] + words[end:])):
                    found.add(code)
        return found.pop() if len(found) == 1 else None


def _by_bare(codes: Iterable[str]) -> dict[str, str]:
    """Codes by their bare names, but for those that two share."""
    by_bare: dict[str, list[str]] = defaultdict(list)
    for code in codes:
        by_bare[bare(code)].append(code)
    return {name: found[0] for name, found in by_bare.items() if len(found) == 1 and name}


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", unquote(name).upper()) if word]
