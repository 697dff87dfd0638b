"""The universe: which symbols there are, and since when each is listed."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from sensequant_assets.errors import UsageError
from sensequant_assets.text import brief

# The first character is alphanumeric, so that no symbol is a path such as `..`; `...` is Dagster's range operator.
_SYMBOL = re.compile(r"[A-Z0-9](?!.*\.\.\.)[A-Z0-9&._-]{0,31}")
_LONGEST = 200
"""Most bytes of a universe's name; file systems take 255."""


def is_symbol(text: str) -> bool:
    """Whether `text` can name a symbol: `[A-Z0-9&._-]`, up to 32 characters, first one alphanumeric, no `...`."""
    return _SYMBOL.fullmatch(text) is not None


def universe_name(name: str) -> str:
    """Give back the name of a universe, which is a directory of its own among models, bars and features.

    Raises
    ------
    UsageError
        It cannot name a directory, or would name another one.
    """
    if re.fullmatch(r"\w[^/\\]*", name) and name.isprintable() and len(name.encode()) <= _LONGEST:
        return name
    raise UsageError(
        f"{name!r} cannot name a universe, which is a directory of its own: a name begins with a letter or digit, has "
        f"at most {_LONGEST} bytes, no / or \\ and nothing that cannot be printed. Name its file otherwise."
    )


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of the universe.

    Attributes
    ----------
    symbol
        Name of the instrument, `[A-Z0-9&._-]+`.
    name
        Company name, for people; empty if not given.
    listing_date
        Official listing date. It is metadata, not a promise that bars exist. None if not given.
    trading_start_date
        First day to train on, where it is known better than by listing date and bars. None if not given.
    vendor_code
        The vendor's name of the symbol, where it differs. None if not given.
    delisting_date
        Last day that may have a bar: exchanges name the first day without trading, others the last one with it. None if
        it is listed still, or the day is not known.
    """

    symbol: str
    name: str = ""
    listing_date: date | None = None
    trading_start_date: date | None = None
    vendor_code: str | None = None
    delisting_date: date | None = None

    def trading_start(self, first_bar: date | None) -> date | None:
        """First day on which the symbol trades.

        Parameters
        ----------
        first_bar
            Day of the first bar; None without bars.

        Returns
        -------
        date or None
            `trading_start_date` if given, else the earlier of listing date and first bar; None if nothing is known.
        """
        if self.trading_start_date is not None:
            return self.trading_start_date
        return min((day for day in (self.listing_date, first_bar) if day is not None), default=None)

    def listed_since(self, first_bar: date | None) -> date | None:
        """First day of the symbol's life on the exchange, as far as its row tells.

        Parameters
        ----------
        first_bar
            Day of the first bar; None without bars.

        Returns
        -------
        date or None
            `trading_start_date` if given, else `listing_date`; None without either, and where bars precede the listing
            date. The first bar says since when the vendor keeps bars, and nothing of a listing.
        """
        if self.trading_start_date is not None or self.listing_date is None:
            return self.trading_start_date
        return self.listing_date if first_bar is None or first_bar >= self.listing_date else None


@dataclass(frozen=True, slots=True)
class Universe:
    """An ordered set of listings under a name; `UsageError` for a name that `universe_name` refuses.

    Attributes
    ----------
    name
        The stem of its file.
    listings
        In alphabetical order.
    unused
        Columns of its file that say nothing of a listing.
    as_of
        The earlier day as of which it is; None for today.
    later
        Symbols of its file that were not listed yet on that day.
    """

    name: str
    listings: tuple[Listing, ...]
    unused: tuple[str, ...] = ()
    as_of: date | None = None
    later: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        universe_name(self.name)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in alphabetical order."""
        return tuple(listing.symbol for listing in self.listings)

    @property
    def listed(self) -> dict[str, date | None]:
        """Listing date, as far as it is known, by symbol."""
        return {listing.symbol: listing.listing_date for listing in self.listings}

    def listing(self, symbol: str) -> Listing:
        """The row of one symbol; `UsageError` if the universe has none."""
        for listing in self.listings:
            if listing.symbol == symbol:
                return listing
        raise UsageError(f"Universe {self.name} has no symbol {symbol}. It has: {_shortened(self.symbols)}.")

    def select(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """Those of the universe's symbols that are named, in the universe's order; an unknown one is an error."""
        wanted = set(symbols)
        for symbol in sorted(wanted - set(self.symbols)):
            self.listing(symbol)
        return tuple(symbol for symbol in self.symbols if symbol in wanted)


def _shortened(symbols: tuple[str, ...], most: int = 12) -> str:
    more = len(symbols) - most
    return ", ".join(symbols[:most]) + (f" and {more} more" if more > 0 else "")


_COLUMNS = {
    "symbol": r"symbol|ticker|(?:nse|trading)symbol|scrip",
    "name": r"name|(?:company|issuer)name|nameofcompany|company",
    "listing_date": r"(?:listing|listed)(?:date|on)?|dateoflisting|dateofipo|ipodate|ipo",
    "trading_start_date": r"(?:first)?trad(?:ing|e)(?:start)?date|tradingstart|firsttradingday",
    "vendor_code": r"vendor(?:code|symbol|name)",
    "delisting_date": r"delist(?:ing|ed)?(?:date|on)?|dateofdelisting|lasttrad(?:ing|ed?)(?:date|day)",
}
"""What each column may be called, in lower case without anything but letters and digits."""

_LISTED, _OFFERED = re.compile("list"), re.compile("ipo")
_SPELLED = re.compile(r"(\d{1,2})[-\s]([a-z]{3})[a-z]*[-\s](\d{4})", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_universe(
    header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], *, name: str, origin: str
) -> Universe:
    """Validate the rows of a universe file.

    Parameters
    ----------
    header
        Names of the columns, in any case and with anything between their words: `symbol`, optional `name` (or
        `NAME OF COMPANY`), `listing_date` (or `DATE OF LISTING`, `ipo_date`), `trading_start_date`, `vendor_code`,
        `delisting_date`. What is not used of the others is in `Universe.unused`.
    rows
        One a symbol: where its file has it, and its cells. Empty rows are ignored; empty cells are missing, as are
        those at the end that a row does not have. Dates are ISO, or have a month in letters.
    name
        The universe's name: the stem of its file.
    origin
        The file, as errors name it.

    Returns
    -------
    Universe
        Listings in alphabetical order.

    Raises
    ------
    UsageError
        A missing column, a bad symbol or date, dates that contradict each other, a symbol or column named twice, no row
        at all, a row with more cells than columns: names file, row and rule.
    """
    columns = [column.strip().lower() for column in header]
    at = _places(columns, origin)
    listings: dict[str, Listing] = {}
    for row, given in rows:
        if len(given) > len(columns):
            raise UsageError(f"{origin}, row {row}: it has {len(given)} cells, and the header {len(columns)}.")
        cells = [*map(str.strip, given), *[""] * (len(columns) - len(given))]
        if not any(cells):
            continue
        listing = _listing(at, columns, cells, f"{origin}, row {row}")
        if listing.symbol in listings:
            raise UsageError(f"{origin}, row {row}: symbol {listing.symbol} stands there twice; remove one row.")
        listings[listing.symbol] = listing
    if not listings:
        raise UsageError(f"{origin}: the universe has no rows; add one symbol a row.")
    used = {number for numbers in at.values() for number in numbers}
    return Universe(
        name=name,
        listings=tuple(listings[symbol] for symbol in sorted(listings)),
        unused=tuple(column for number, column in enumerate(columns) if column and number not in used),
    )


def _places(columns: Sequence[str], origin: str) -> dict[str, list[int]]:
    """Where each column stands; a listing date may stand there as the day of the offer too."""
    at: dict[str, list[int]] = {}
    for name, spelled in _COLUMNS.items():
        found = [number for number, column in enumerate(columns) if re.fullmatch(spelled, re.sub(r"[\W_]", "", column))]
        exact = [number for number in found if columns[number] == name]
        if name == "listing_date":
            kinds = [[number for number in found if each.search(columns[number])] for each in (_LISTED, _OFFERED)]
            found = [number for kind in kinds for number in kind[:1]]
            exact = next((kind for kind in kinds if len(kind) > 1), [])
        if len(exact) > 1 or (not exact and len(found) > 1 and name != "listing_date"):
            twice = exact or found
            shown = " and ".join(dict.fromkeys(columns[number] for number in twice))
            raise UsageError(f"{origin}: column {shown} stands there twice for {name}; remove one.")
        at[name] = exact or found
    if not at["symbol"]:
        raise UsageError(f"{origin}: column 'symbol' is missing; it has {brief(', '.join(columns))}.")
    return at


def _listing(at: dict[str, list[int]], columns: Sequence[str], cells: Sequence[str], place: str) -> Listing:
    """A row; `place` is its file and where it stands there."""
    text = {name: cells[numbers[0]] if numbers else "" for name, numbers in at.items()}
    if not is_symbol(text["symbol"]):
        raise UsageError(
            f"{place}: {brief(text['symbol'])!r} is not a symbol; a symbol is up to 32 of A-Z 0-9 & . _ -, "
            "begins with a letter or digit and has no '...'."
        )
    listed = [(columns[number], day_of_text(cells[number], columns[number], place)) for number in at["listing_date"]]
    started = [
        (columns[number], day_of_text(cells[number], columns[number], place)) for number in at["trading_start_date"]
    ]
    ended = [(columns[number], day_of_text(cells[number], columns[number], place)) for number in at["delisting_date"]]
    # Shares are offered, listed, traded, and delisted.
    known = [(name, day) for name, day in (*reversed(listed), *started, *ended) if day is not None]
    for (earlier, first), (later, second) in pairwise(known):
        if first > second:
            raise UsageError(f"{place}: {earlier} {first} is after {later} {second}; correct one, or leave it out.")
    return Listing(
        symbol=text["symbol"],
        name=text["name"],
        listing_date=next((day for _, day in listed if day is not None), None),
        trading_start_date=next((day for _, day in started), None),
        vendor_code=text["vendor_code"] or None,
        delisting_date=next((day for _, day in ended), None),
    )


def day_of_text(text: str, column: str, place: str) -> date | None:
    """The day that a cell names, ISO or with its month in letters; None for an empty one.

    Raises
    ------
    UsageError
        It is neither: names place, column and text.
    """
    if not text:
        return None
    try:
        if found := _SPELLED.fullmatch(text):
            return date(int(found[3]), _MONTHS.index(found[2].lower()) + 1, int(found[1]))
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{place}: {column} {brief(text)!r} is not a date like 2022-05-17.") from None
