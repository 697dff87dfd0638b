"""Bars: the validated price history of one symbol."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.errors import FailureKind, WindowError

PRICES = ("open", "high", "low", "close")
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
    """

    symbol: str
    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @classmethod
    def empty(cls, symbol: str) -> "Bars":
        """No bars of a symbol."""
        return cls(symbol, np.empty(0, "datetime64[s]"), *(np.empty(0) for _ in (*PRICES, "volume")))

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
    """Check the bars of one symbol against the rules, adjust them, and check them again.

    Parameters
    ----------
    raw
        Bars as a file tells them. With `adj_close`, prices are multiplied and volume is divided by `adj_close / close`.
    until
        Last time that a bar can start; later ones have not happened yet.

    Returns
    -------
    Bars
        May have no rows. A high or low that rounding left inside the body is moved to its edge.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: names file, row and the rule that is broken.
    """
    _refuse(raw, _rules(raw, until))
    bars = _adjusted(raw)
    _refuse(raw, _rules_of_adjusted(bars))
    return bars


Rules = Iterator[tuple[NDArray[np.bool_], str, str]]
"""The bars that break each rule, the rule in words, and the column that shows it. Later rules need the earlier ones."""


def _refuse(raw: RawBars, rules: Rules) -> None:
    for broken, rule, column in rules:
        if broken.any():
            at = int(np.argmax(broken))
            more = int(broken.sum()) - 1
            also = f" and {more} more" if more else ""
            raise corrupt(f"{raw.origin}, row {raw.rows[at]}{also}: {raw.symbol}: {rule} ({raw.quote(column, at)}).")


def _rules(raw: RawBars, until: np.datetime64) -> Rules:
    numbers = raw.numbers
    for name, values in numbers.items():
        yield ~np.isfinite(values), f"{name} is not a number", name
    yield np.isnat(raw.time), "time is not a date or time", "time"
    yield raw.time < FIRST_TIME, f"time is before {FIRST_TIME.astype('datetime64[D]')}", "time"
    yield raw.time > until, "time is in the future", "time"
    for name, values in numbers.items():
        if name != "volume":
            yield values <= 0, f"{name} is not positive", name
            yield from _outside(values, PRICE_BOUNDS, name, name)
    yield numbers["volume"] < 0, "volume is negative", "volume"
    yield numbers["volume"] >= VOLUME_LIMIT, f"volume is not below {VOLUME_LIMIT:g}", "volume"
    low, high = _body(raw)
    yield numbers["high"] < high * (1 - _ROUNDING), "high is below open or close", "high"
    yield numbers["low"] > low * (1 + _ROUNDING), "low is above open or close", "low"
    step = np.ones(len(raw.time), dtype=np.int64)
    step[1:] = np.diff(raw.time).astype(np.int64)
    yield step == 0, "the same time stands there twice", "time"
    yield step < 0, "rows are not sorted by time", "time"
    if "adj_close" in numbers:
        yield from _outside(numbers["adj_close"] / numbers["close"], RATIO_BOUNDS, "adj_close / close", "adj_close")


def _rules_of_adjusted(bars: Bars) -> Rules:
    """What adjustment can break."""
    for name in PRICES:
        yield from _outside(getattr(bars, name), PRICE_BOUNDS, f"adjusted {name}", name)
    yield ~(bars.volume < VOLUME_LIMIT), f"adjusted volume is not below {VOLUME_LIMIT:g}", "volume"
    yield bars.high < np.maximum(bars.open, bars.close), "adjusted high is below open or close", "high"
    yield bars.low > np.minimum(bars.open, bars.close), "adjusted low is above open or close", "low"


def _outside(values: Floats, bounds: tuple[float, float], name: str, column: str) -> Rules:
    least, greatest = bounds
    yield ~(values >= least), f"{name} is below {least:g}", column
    yield ~(values <= greatest), f"{name} is above {greatest:g}", column


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
