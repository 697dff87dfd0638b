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
    def last_day(self) -> date | None:
        """Day of the last bar; None without bars."""
        return day_of(self.time[-1]) if len(self) else None

    @property
    def intraday(self) -> bool:
        """Whether there are two or more bars a day on average; a stray second bar makes no session."""
        days = self.time.astype("datetime64[D]")
        return len(days) >= 2 * (1 + int(np.count_nonzero(days[1:] != days[:-1])))


def day_of(time: np.datetime64) -> date:
    """The calendar day of a bar's time."""
    day: date = time.astype("datetime64[D]").item()
    return day


def validated(raw: RawBars) -> Bars:
    """Check the bars of one symbol against the rules and adjust them.

    Parameters
    ----------
    raw
        Bars as a file tells them. With `adj_close`, prices are multiplied and volume is divided by `adj_close / close`.

    Returns
    -------
    Bars
        May have no rows. A high or low that rounding left inside the body is moved to its edge.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: names file, row and the rule that is broken.
    """
    for broken, rule, column in _rules(raw):
        if broken.any():
            at = int(np.argmax(broken))
            more = int(broken.sum()) - 1
            also = f" and {more} more" if more else ""
            raise corrupt(f"{raw.origin}, row {raw.rows[at]}{also}: {raw.symbol}: {rule} ({raw.quote(column, at)}).")
    return _adjusted(raw)


def _rules(raw: RawBars) -> Iterator[tuple[NDArray[np.bool_], str, str]]:
    """The bars that break each rule, the rule in words, and the column that shows it; later rules need the earlier."""
    for name, numbers in raw.numbers.items():
        yield ~np.isfinite(numbers), f"{name} is not a number", name
    yield np.isnat(raw.time), "time is not a date or time", "time"
    for name, numbers in raw.numbers.items():
        if name != "volume":
            yield numbers <= 0, f"{name} is not positive", name
    yield raw.numbers["volume"] < 0, "volume is negative", "volume"
    low, high = _body(raw)
    yield raw.numbers["high"] < high * (1 - _ROUNDING), "high is below open or close", "high"
    yield raw.numbers["low"] > low * (1 + _ROUNDING), "low is above open or close", "low"
    step = np.ones(len(raw.time), dtype=np.int64)
    step[1:] = np.diff(raw.time).astype(np.int64)
    yield step == 0, "the same time stands there twice", "time"
    yield step < 0, "rows are not sorted by time", "time"


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
        volume=numbers["volume"] / ratio,
    )


def corrupt(message: str) -> WindowError:
    """An error of kind `corrupt_bars`."""
    return WindowError(FailureKind.CORRUPT_BARS, message)
