"""Names of columns: which of them bars are made of, however a vendor spells them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sensequant_assets.core.bars import PRICES

SYMBOL, TIME, CLOCK, SERIES, VOLUME, ADJ_CLOSE = "symbol", "time", "clock", "series", "volume", "adj_close"
NUMBERS = (*PRICES, VOLUME, ADJ_CLOSE)
"""Roles of columns of numbers."""

_PRICE = r"(?:price|pric|px|rate)?(?:inr|rs)?"
_TRADED = r"(?:traded|trading|tradg|trade|trd)?"
_WORDS = {
    "open": rf"(?:ch)?(?:day)?(?:opening|open|opn|o){_PRICE}",
    "high": rf"(?:ch)?(?:day|trade)?(?:highest|high|hgh|h){_PRICE}",
    "low": rf"(?:ch)?(?:day|trade)?(?:lowest|low|lw|l){_PRICE}",
    "close": rf"(?:ch)?(?:day)?(?:closing|close|cls|c){_PRICE}",
    VOLUME: rf"(?:ch)?(?:total|ttl|tot)?{_TRADED}(?:volume|vol|quantity|qnty|qty|shares)(?:traded)?|v|noofsha?re?s",
    ADJ_CLOSE: rf"(?:adjusted|adj)(?:closing|close|cls|c){_PRICE}|(?:closing|close|cls|c){_PRICE}(?:adjusted|adj)",
}
"""How each column of numbers may be called, in lower case without anything but letters and digits."""

_EXACT = {**{name: name for name in (*PRICES, VOLUME)}, ADJ_CLOSE: "adjclose"}
_TIMES = ("date", "datetime", "timestamp", "time")
_TIME = (
    r"(?:trading|trade|trad|bar|candle|quote|market|mkt|business|biz|historical|price|ch|m|open|start)?"
    r"(?:datetime|date|dt|day|timestamp|time)1?|t"
)
_CLOCK = r"(?:trading|trade|trad|bar|candle)?(?:time|clock)"
_INDEX = ("index", "indexlevel0", "unnamed0", "")
"""What an index is called that nobody has named; it is the time where nothing else is."""

_SYMBOLS = ("symbol", "ticker")
_SYMBOL = r"(?:trading|nse|bse|stock|scrip|security|tckr|ch)?symb(?:ol)?|ticker(?:symbol)?"
_NAME = r"(?:scrip|sc|stock|security|company|instrument)?(?:name|code)|scrip|instrument|stock|security|isin"
_SERIES = r"(?:ch)?series|sctysrs"

_LOOKS_USED = re.compile(
    r"^(?:prev|prvs|avg|average|last|adj|div|split|bonus|factor|pric|date|time|ltp|vwap|sttlm|settl|52w|stocksplit|open|high|low|clos|cls)"
    r"|(?:open|high|low|close|price|pric|date|dt|factor|ltp)$"
)
_NOT_USED = re.compile(r"openint|deliv|timeframe|closed|daily|division|lower|highly")
"""Words that begin as prices do, and are something else."""


def plain_name(name: object) -> str:
    """A column's name in lower case, with underscores for blanks."""
    return str(name).strip().strip("\ufeff").strip().lower().replace(" ", "_")


def _bare(name: str) -> str:
    """A name's letters and digits, without a number that counts columns, as in `1. open`."""
    return re.sub(r"[\W_]", "", re.sub(r"^\d+\.[\s_]*", "", name))


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column is which.

    Attributes
    ----------
    at
        Position by role, of those that are there: `time`, `clock` where it may belong to a `time` of days alone,
        `series`, prices, `volume`, `adj_close`.
    symbols
        Positions of columns that may name symbols: those that say so first, then those that name something.
    named_symbols
        Whether one of them says so.
    twice
        Two names that stand for one column, or one that stands there twice, in words; empty where none does.
    unused
        Names that look like a price, a date or an adjustment, and are not used.
    """

    at: Mapping[str, int]
    symbols: tuple[int, ...]
    named_symbols: bool
    twice: str
    unused: tuple[str, ...]


def roles_of(names: Sequence[str]) -> Roles:
    """The roles of columns by their plain names."""
    return _roles(tuple(names))


@lru_cache(maxsize=256)
def _roles(names: tuple[str, ...]) -> Roles:
    bare = [_bare(name) for name in names]
    at: dict[str, int] = {}
    twice = next((f"column {name}" for number, name in enumerate(names) if name and name in names[:number]), "")
    for role, words in _WORDS.items():
        found = [number for number, name in enumerate(bare) if name == _EXACT[role]] or [
            number for number, name in enumerate(bare) if name and re.fullmatch(words, name)
        ]
        if found:
            at[role] = found[0]
        if len(found) > 1 and not twice:
            twice = f"columns {' and '.join(names[number] for number in found[:2])}, of which one is {role},"
    _add_times(at, bare)
    series = [number for number, name in enumerate(bare) if re.fullmatch(_SERIES, name)]
    if series:
        at[SERIES] = series[0]
    said = [number for word in _SYMBOLS for number, name in enumerate(bare) if name == word]
    said += [number for number, name in enumerate(bare) if re.fullmatch(_SYMBOL, name) and number not in said]
    weak = [number for number, name in enumerate(bare) if re.fullmatch(_NAME, name)]
    used = {*at.values(), *said, *weak}
    taken = {number for number, name in enumerate(names) if name in {names[other] for other in used}}
    unused = tuple(
        names[number]
        for number, name in enumerate(bare)
        if number not in taken and _LOOKS_USED.search(name) and not _NOT_USED.search(name)
    )
    return Roles(at, (*said, *weak), bool(said), twice, unused)


def _add_times(at: dict[str, int], bare: Sequence[str]) -> None:
    exact = [bare.index(name) for name in _TIMES if name in bare]
    alias = [number for number, name in enumerate(bare) if re.fullmatch(_TIME, name)]
    index = [bare.index(name) for name in _INDEX if name in bare[:1]]
    times = [*exact, *(number for number in alias if number not in exact)] or index
    if not times:
        return
    clocks = [number for number in times if re.fullmatch(_CLOCK, bare[number])]
    at[TIME] = next((number for number in times if number not in clocks), times[0])
    if clocks and clocks[0] != at[TIME]:
        at[CLOCK] = clocks[0]


def missing_columns(names: Sequence[str]) -> list[str]:
    """Which columns that bars need are not there, by role."""
    at = roles_of(names).at
    return [name for name, role in (("date", TIME), *((role, role) for role in (*PRICES, VOLUME))) if role not in at]
