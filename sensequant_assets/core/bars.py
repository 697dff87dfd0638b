"""Bars: the validated price history of one symbol."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.errors import FailureKind, WindowError

PRICES = ("open", "high", "low", "close")
_QUOTED = 1_000
"""Rows that break a rule of which a file's own words are kept: where columns are read wrongly, it is all of them."""
_ROUNDING = 1e-6
"""Relative slack of the OHLC rules: vendors round adjusted prices."""

PRICE_BOUNDS = (1e-12, 1e15)
"""Least and greatest price, before and after adjustment. The dearest share costs about a million dollars, 1e10 rupiah;
reverse splits have multiplied the oldest prices of volatility funds by 1e9, and a century of splits and dividends has
divided others by 1e5. What lies outside is the end of a number format or a slip of units. Squares and ratios of what
lies inside stay finite."""

VOLUME_LIMIT = 2.0**53
"""Volume is below it, before and after adjustment: from here on float64 does not tell one share from the next. The most
traded shares change hands about 1e10 times a day, which splits multiply by 1e5 at most."""

RATIO_BOUNDS = (1e-12, 1e12)
"""Least and greatest `adj_close / close`: far beyond what splits and dividends have made of any share."""

FIRST_TIME = np.datetime64("1900-01-02", "s")
"""No bar is older. Daily prices of single shares are kept since 1925 (CRSP); the days that databases, spreadsheets and
file systems write for "none", 0001-01-01, 1601-01-01, 1899-12-30 and 1900-01-01, lie before."""

MOST_BAD = 0.1
"""Share of a symbol's rows that may be bad, beyond which all of it is refused. A bad row costs the rows around it, and
one in ten leaves none between. Where a few old rows are dirty they are far fewer; where columns or dates are read
wrongly they are most."""

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class RawBars:
    """Bars of one symbol as a file tells them, before any rule is checked.

    Attributes
    ----------
    symbol
        Whose bars they are.
    origin
        The file, as errors name it.
    rows
        Position of each bar as its file counts it, shape (bars,).
    time
        Exchange time without zone, shape (bars,), `datetime64[s]`; NaT where the file has no time.
    numbers
        `open`, `high`, `low`, `close`, `volume` and, where the file has it, `adj_close`, each of shape (bars,); NaN
        where the file has no number.
    quote
        What the file says of a column at a position of these arrays: `quote("open", 3)` is "open is 3,989.70".
    """

    symbol: str
    origin: str
    rows: NDArray[np.int64]
    time: Times
    numbers: Mapping[str, Floats]
    quote: Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a source that is no bar and stands among none: it is quarantined.

    Attributes
    ----------
    symbol
        Whose row it is.
    origin, row
        The file, and where the row stands in it as the file counts.
    rule
        Which rule it breaks: one of `core.quality.rules`.
    why
        The rule in words, and what the file says.
    time
        Of the bar that it should be, `datetime64[s]`; NaT where the row has no time that a bar can have.
    after
        Time of the last sound row before it in the file; NaT where there is none.
    """

    symbol: str
    origin: str
    row: int
    rule: str
    why: str
    time: np.datetime64
    after: np.datetime64

    def __str__(self) -> str:
        return f"{self.origin}, row {self.row}: {self.symbol}: {self.why}."


def told(bad: Sequence[BadRow]) -> str:
    """Bad rows in a sentence: the first one, and how many more of its file break the same rule."""
    first = bad[0]
    more = sum((one.origin, one.rule) == (first.origin, first.rule) for one in bad) - 1
    return str(first).replace(f"row {first.row}:", f"row {first.row} and {more} more:", 1) if more else str(first)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source has of a symbol, row by row: kept, repeated or bad.

    Attributes
    ----------
    origins
        Files of the kept rows.
    origin, row
        Of each bar: position of its file in `origins`, and where it stands there as the file counts, shape (bars,).
    read
        How many rows the source has.
    repeated, empty
        How many of them tell a bar that stands there already, in the same numbers, and how many tell none.
    bad
        Rows that are quarantined, in the order of the source.
    """

    origins: tuple[str, ...]
    origin: NDArray[np.int32]
    row: NDArray[np.int64]
    read: int
    repeated: int = 0
    bad: tuple[BadRow, ...] = ()
    empty: int = 0

    @classmethod
    def of(cls, origin: str, row: NDArray[np.int64], read: int, repeated: int, bad: tuple[BadRow, ...]) -> "Delivery":
        """Rows of one file."""
        return cls((origin,), np.zeros(len(row), np.int32), row, read, repeated, bad)

    @classmethod
    def joined(cls, parts: Sequence["Delivery"], order: NDArray[np.int64]) -> "Delivery":
        """Rows of several files.

        Parameters
        ----------
        parts
            By file.
        order
            Positions in all of them, one after the other, that are kept; the others are repeated.
        """
        starts = np.cumsum([0, *(len(part.origins) for part in parts)])
        origin = np.concatenate([part.origin + start for part, start in zip(parts, starts[:-1], strict=True)])
        row = np.concatenate([part.row for part in parts])
        return cls(
            tuple(origin for part in parts for origin in part.origins),
            origin[order].astype(np.int32),
            row[order],
            sum(part.read for part in parts),
            sum(part.repeated for part in parts) + len(row) - len(order),
            tuple(bad for part in parts for bad in part.bad),
            sum(part.empty for part in parts),
        )

    def of_rows(self, read: int, repeated: int, empty: int) -> "Delivery":
        """The same of so many rows, of which some more were repeated or empty and left out before."""
        return replace(self, read=read, repeated=self.repeated + repeated, empty=self.empty + empty)

    def place(self, at: int) -> str:
        """A bar's file and row."""
        return f"{self.origins[self.origin[at]]}, row {self.row[at]}"


_NOTHING = Delivery((), np.empty(0, np.int32), np.empty(0, np.int64), 0)


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one symbol, oldest first.

    Attributes
    ----------
    symbol
        Whose bars they are.
    time
        Start of each bar in exchange time without zone, shape (bars,), `datetime64[s]`, strictly increasing.
    open, high, low, close
        Prices, adjusted for corporate actions, shape (bars,), finite and positive.
    volume
        Shares traded, adjusted likewise, shape (bars,), finite and not negative.
    delivery
        Where they were read, and what was read that is no bar; nothing for bars that were made.
    """

    symbol: str
    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    delivery: Delivery = _NOTHING

    @classmethod
    def empty(cls, symbol: str) -> "Bars":
        """No bars of a symbol."""
        none = np.empty(0)
        return cls(symbol, np.empty(0, "datetime64[s]"), none, none, none, none, none)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def first_day(self) -> date | None:
        """Day of the first bar; None without bars."""
        return day_of(self.time[0]) if len(self) else None

    @property
    def intraday(self) -> bool:
        """Whether there are two or more bars a day on average; a stray second bar makes no session."""
        days = self.time.astype("datetime64[D]")
        return len(days) >= 2 * (1 + int(np.count_nonzero(days[1:] != days[:-1])))


def day_of(time: np.datetime64) -> date:
    """The calendar day of a bar's time."""
    day: date = time.astype("datetime64[D]").item()
    return day


def validated(raw: RawBars, *, until: np.datetime64) -> Bars:
    """Keep the rows of one symbol that are bars, adjust them, and put the others aside.

    Parameters
    ----------
    raw
        Bars as a file tells them. With `adj_close`, prices are multiplied and volume is divided by `adj_close / close`.
    until
        Last time that a bar can start; later ones have not happened yet.

    Returns
    -------
    Bars
        May have no rows. A high or low that rounding left inside the body is moved to its edge. `delivery` has every
        row that is none of them: a bar that stands there twice in the same numbers is taken once, and a row that breaks
        a rule is bad, as are those that tell the same time differently.
    """
    bad = _Bad(raw)
    with np.errstate(all="ignore"):  # rows that broke an earlier rule go on through the arithmetic of later ones
        for broken, rule, words, column in _rules(raw, until):
            bad.mark(broken, rule, words, column)
        kept = np.flatnonzero(bad.sound)
        if (np.diff(raw.time[kept]).astype(np.int64) <= 0).any():
            kept = _in_order(raw, kept, bad)
        bars = _adjusted(raw)
        for broken, rule, words, column in _rules_of_adjusted(bars):
            bad.mark(broken, rule, words, column)
    kept = kept[bad.sound[kept]]
    rows = bad.put_aside(until)
    delivery = Delivery.of(raw.origin, raw.rows[kept], len(raw.rows), bad.repeated, rows)
    if len(kept) == len(raw.rows):
        return replace(bars, delivery=delivery)
    return replace(bars, **{name: getattr(bars, name)[kept] for name in ("time", *PRICES, "volume")}, delivery=delivery)


def before(bars: Bars, day: date) -> Bars:
    """Bars as they are where their source ends before a day; rows from then on count as if nobody had read them."""
    end = np.datetime64(day, "s")
    count = int(np.searchsorted(bars.time, end))
    whole = bars.delivery
    bad = tuple(one for one in whole.bad if (one.after if np.isnat(one.time) else one.time) < end)
    if count == len(bars) and len(bad) == len(whole.bad):
        return bars
    unread = len(whole.row) - count if len(whole.row) else 0
    delivery = replace(
        whole,
        origin=whole.origin[:count],
        row=whole.row[:count],
        read=whole.read - unread - (len(whole.bad) - len(bad)),
        bad=bad,
    )
    return replace(
        bars, **{name: getattr(bars, name)[:count] for name in ("time", *PRICES, "volume")}, delivery=delivery
    )


def refuse_too_many(bars: Bars) -> Bars:
    """Bars of a symbol of whose rows not more than `MOST_BAD` are bad; others cost it all of its windows.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: names file, row and the rule that is broken.
    """
    delivery = bars.delivery
    if len(delivery.bad) > MOST_BAD * delivery.read:
        raise corrupt(told(delivery.bad))
    return bars


Rules = Iterator[tuple[NDArray[np.bool_], str, str, str]]
"""The rows that break each rule, its name, the rule in words, and the column that shows it. Later rules need earlier
ones."""


class _Bad:
    """Which rows of a file are bad, each by the first rule that it breaks."""

    def __init__(self, raw: RawBars) -> None:
        self._raw = raw
        self._found: dict[int, tuple[str, str]] = {}
        self.sound = np.ones(len(raw.time), dtype=np.bool_)
        self.repeated = 0

    def mark(self, broken: NDArray[np.bool_], rule: str, words: str, column: str) -> None:
        """Take in the rows that break a rule."""
        broken = broken & self.sound
        if broken.any():
            self.sound &= ~broken
            for number, at in enumerate(np.flatnonzero(broken).tolist()):
                said = f" ({self._raw.quote(column, at)})" if number < _QUOTED else ""
                self._found[at] = rule, f"{words}{said}"

    def put_aside(self, until: np.datetime64) -> tuple[BadRow, ...]:
        """They, in the order of the file."""
        raw = self._raw
        none = np.datetime64("NaT", "s")
        before = np.maximum.accumulate(np.where(self.sound, np.arange(len(self.sound)), -1))
        rows = []
        for at, (rule, why) in sorted(self._found.items()):
            time = raw.time[at]
            after = raw.time[before[at]] if before[at] >= 0 else none
            # A row out of place has a time that is not its own.
            known = FIRST_TIME <= time <= until and rule != "order"
            rows.append(BadRow(raw.symbol, raw.origin, int(raw.rows[at]), rule, why, time if known else none, after))
        return tuple(rows)


def _rules(raw: RawBars, until: np.datetime64) -> Rules:
    numbers = raw.numbers
    for name, values in numbers.items():
        yield ~np.isfinite(values), "not_a_number", f"{name} is not a number", name
    yield np.isnat(raw.time), "time", "time is not a date or time", "time"
    yield raw.time < FIRST_TIME, "time", f"time is before {FIRST_TIME.astype('datetime64[D]')}", "time"
    yield raw.time > until, "time", "time is in the future", "time"
    for name, values in numbers.items():
        if name != "volume":
            yield values <= 0, "non_positive", f"{name} is not positive", name
            yield from _outside(values, PRICE_BOUNDS, name, name)
    yield numbers["volume"] < 0, "non_positive", "volume is negative", "volume"
    yield numbers["volume"] >= VOLUME_LIMIT, "out_of_bounds", f"volume is not below {VOLUME_LIMIT:g}", "volume"
    low, high = _body(raw)
    yield numbers["high"] < high * (1 - _ROUNDING), "ohlc", "high is below open or close", "high"
    yield numbers["low"] > low * (1 + _ROUNDING), "ohlc", "low is above open or close", "low"
    if "adj_close" in numbers:
        yield from _outside(numbers["adj_close"] / numbers["close"], RATIO_BOUNDS, "adj_close / close", "adj_close")


def _in_order(raw: RawBars, rows: NDArray[np.int64], bad: _Bad) -> NDArray[np.int64]:
    """Of rows that are sound by themselves those that stand in order of time, each time once."""
    broken = np.zeros(len(raw.time), dtype=np.bool_)
    out_of_place = np.setdiff1d(rows, rows[_longest_rising(raw.time[rows].astype(np.int64))])
    broken[out_of_place] = True
    bad.mark(broken, "order", "rows are not sorted by time", "time")
    rows = rows[bad.sound[rows]]
    same = raw.time[rows][1:] == raw.time[rows][:-1]
    repeated = same & np.logical_and.reduce([values[rows][1:] == values[rows][:-1] for values in raw.numbers.values()])
    bad.repeated = int(repeated.sum())
    rows = rows[np.append(True, ~repeated)]
    twice = np.flatnonzero(raw.time[rows][1:] == raw.time[rows][:-1])
    broken[:] = False
    broken[rows[twice]] = broken[rows[twice + 1]] = True
    bad.mark(broken, "duplicate", "the same time stands there twice", "time")
    return rows


def _longest_rising(values: NDArray[np.int64]) -> list[int]:
    """Positions of the longest part that does not fall: the fewest others are out of place.

    Examples
    --------
    >>> _longest_rising(np.array([1, 2, 9, 3, 3, 4]))
    [0, 1, 3, 4, 5]
    """
    ends: list[int] = []
    last: list[int] = []
    before = np.empty(len(values), dtype=np.int64)
    for at, value in enumerate(values.tolist()):
        length = bisect_right(ends, value)
        ends[length : length + 1] = [value]
        last[length : length + 1] = [at]
        before[at] = last[length - 1] if length else -1
    rising, at = [], last[-1] if last else -1
    while at >= 0:
        rising.append(at)
        at = int(before[at])
    return rising[::-1]


def _rules_of_adjusted(bars: Bars) -> Rules:
    """What adjustment can break."""
    for name in PRICES:
        yield from _outside(getattr(bars, name), PRICE_BOUNDS, f"adjusted {name}", name)
    yield ~(bars.volume < VOLUME_LIMIT), "out_of_bounds", f"adjusted volume is not below {VOLUME_LIMIT:g}", "volume"
    yield bars.high < np.maximum(bars.open, bars.close), "ohlc", "adjusted high is below open or close", "high"
    yield bars.low > np.minimum(bars.open, bars.close), "ohlc", "adjusted low is above open or close", "low"


def _outside(values: Floats, bounds: tuple[float, float], name: str, column: str) -> Rules:
    least, greatest = bounds
    yield ~(values >= least), "out_of_bounds", f"{name} is below {least:g}", column
    yield ~(values <= greatest), "out_of_bounds", f"{name} is above {greatest:g}", column


def _body(raw: RawBars) -> tuple[Floats, Floats]:
    """The lower and the higher of open and close."""
    return np.minimum(raw.numbers["open"], raw.numbers["close"]), np.maximum(raw.numbers["open"], raw.numbers["close"])


def _adjusted(raw: RawBars) -> Bars:
    numbers = raw.numbers
    ratio = numbers["adj_close"] / numbers["close"] if "adj_close" in numbers else np.ones(len(raw.time))
    low, high = _body(raw)
    return Bars(
        symbol=raw.symbol,
        time=raw.time,
        open=numbers["open"] * ratio,
        high=np.maximum(numbers["high"], high) * ratio,
        low=np.minimum(numbers["low"], low) * ratio,
        close=numbers["close"] * ratio,
        # Zero may carry a sign.
        volume=np.abs(numbers["volume"] / ratio),
    )


def corrupt(message: str) -> WindowError:
    """An error of kind `corrupt_bars`."""
    return WindowError(FailureKind.CORRUPT_BARS, message)
