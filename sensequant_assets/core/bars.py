"""Bars: the validated price history of one symbol."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.errors import FailureKind, WindowError

if TYPE_CHECKING:
    import pandas as pd

PRICES = ("open", "high", "low", "close")
TIME_COLUMNS = ("date", "datetime", "timestamp", "time")
_ROUNDING = 1e-6
"""Relative slack of the OHLC rules: vendors round adjusted prices."""

_OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Columns:
    """A table as a file has it, column by column.

    Numbers and plain times are arrays, and need no pandas, whose import costs as much as some windows; anything that
    is yet to be parsed is a pandas series.

    Attributes
    ----------
    names
        Of the columns, as the file spells them.
    values
        The columns, each of shape (rows,).
    rows
        Position of each row as its file counts it, shape (rows,).
    """

    names: Sequence[str]
    values: "Sequence[NDArray[Any] | pd.Series]"
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, frame: "pd.DataFrame", row_offset: int = 0) -> "Columns":
        """A frame's columns; its index, plus an offset, is the position of its rows."""
        columns = [frame.iloc[:, number] for number in range(len(frame.columns))]
        return cls([str(name) for name in frame.columns], columns, frame.index.to_numpy() + row_offset)

    def take(self, positions: NDArray[np.int64]) -> "Columns":
        """Some of the rows."""
        values = [
            column[positions] if isinstance(column, np.ndarray) else column.take(positions) for column in self.values
        ]
        return Columns(self.names, values, self.rows[positions])


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
        return _is_intraday(self.time)


def day_of(time: np.datetime64) -> date:
    """The calendar day of a bar's time."""
    day: date = time.astype("datetime64[D]").item()
    return day


def parse_bars(columns: Columns, *, symbol: str, origin: str, timezone: str | None = None) -> Bars:
    """Validate the bars of one symbol and adjust them.

    Parameters
    ----------
    columns
        One row a bar: `date` (or `datetime`, `timestamp`, `time`), `open`, `high`, `low`, `close`, `volume`, optional
        `adj_close`; column names in any case. With `adj_close`, prices are multiplied and volume is divided by
        `adj_close / close`.
    symbol
        Whose bars they are.
    origin
        The file, as errors name it.
    timezone
        Exchange time zone into which zoned times are converted before the zone is dropped; zoned times without it are
        kept as the wall clock they carry. Intraday bars in UTC must have it: a day of UTC cuts sessions of some
        exchanges in two, and says nothing of which.

    Returns
    -------
    Bars
        May have no rows.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: names file, row and the rule that is broken.
    """
    names = [name.strip().lower().replace(" ", "_") for name in columns.names]
    column = dict(zip(names, columns.values, strict=True))
    time_column = next((name for name in TIME_COLUMNS if name in column), None)
    missing = [name for name in (*PRICES, "volume") if name not in column]
    if time_column is None:
        missing.insert(0, "date")
    if missing or time_column is None:
        raise corrupt(f"{origin}: column {', '.join(missing)} is missing for {symbol}; it has {', '.join(names)}.")
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise corrupt(f"{origin}: column {twice[0]} stands there twice for {symbol}; it has {', '.join(names)}.")

    def refuse(broken: NDArray[np.bool_], rule: str, shown: str | None = None) -> None:
        if broken.any():
            at = int(np.argmax(broken))
            value = "" if shown is None else f" ({shown} is {_cell(column[shown], at)})"
            more = int(broken.sum()) - 1
            also = f" and {more} more" if more else ""
            raise corrupt(f"{origin}, row {columns.rows[at]}{also}: {symbol}: {rule}{value}.")

    adjusted = ["adj_close"] if "adj_close" in column else []
    values: dict[str, Floats] = {}
    for name in (*PRICES, "volume", *adjusted):
        values[name] = _numbers(column[name])
        refuse(~np.isfinite(values[name]), f"{name} is not a number", name)
    time, in_utc = _wall_clock(column[time_column], timezone)
    refuse(np.isnat(time), "time is not a date or time", time_column)
    for name in (*PRICES, *adjusted):
        refuse(values[name] <= 0, f"{name} is not positive", name)
    refuse(values["volume"] < 0, "volume is negative", "volume")
    body_high = np.maximum(values["open"], values["close"])
    body_low = np.minimum(values["open"], values["close"])
    refuse(values["high"] < body_high * (1 - _ROUNDING), "high is below open or close", "high")
    refuse(values["low"] > body_low * (1 + _ROUNDING), "low is above open or close", "low")
    step = np.zeros(len(time), dtype=np.int64)
    step[1:] = np.diff(time).astype(np.int64)
    step[:1] = 1
    refuse(step == 0, "the same time stands there twice", time_column)
    refuse(step < 0, "rows are not sorted by time", time_column)
    if in_utc and _is_intraday(time):
        raise corrupt(
            f"{origin}: the intraday times of {symbol} are in UTC, which is no exchange's. Name the exchange's "
            "time zone with --timezone or SENSEQUANT_TIMEZONE, such as Asia/Kolkata."
        )

    ratio = values["adj_close"] / values["close"] if "adj_close" in values else np.ones(len(time))
    return Bars(
        symbol=symbol,
        time=time,
        open=values["open"] * ratio,
        high=np.maximum(values["high"], body_high) * ratio,
        low=np.minimum(values["low"], body_low) * ratio,
        close=values["close"] * ratio,
        volume=values["volume"] / ratio,
    )


def corrupt(message: str) -> WindowError:
    """An error of kind `corrupt_bars`."""
    return WindowError(FailureKind.CORRUPT_BARS, message)


def _is_intraday(time: Times) -> bool:
    """Whether there are two or more of these increasing times a day on average."""
    days = time.astype("datetime64[D]")
    return len(days) >= 2 * (1 + int(np.count_nonzero(days[1:] != days[:-1])))


def _cell(column: "NDArray[Any] | pd.Series", at: int) -> str:
    """A cell as an error shows it."""
    value = column[at] if isinstance(column, np.ndarray) else column.iloc[at]
    return str(value.astype("datetime64[s]")).replace("T", " ") if isinstance(value, np.datetime64) else str(value)


def _numbers(column: "NDArray[Any] | pd.Series") -> Floats:
    """Numbers, NaN where a cell is none."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return column.astype(np.float64, copy=False)
    import pandas as pd

    numbers: Floats = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(np.float64)
    return numbers


def _wall_clock(times: "NDArray[Any] | pd.Series", timezone: str | None) -> tuple[Times, bool]:
    """Times without a zone, and whether they are still in UTC."""
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        return times.astype("datetime64[s]"), False
    import pandas as pd

    times = pd.Series(times)
    if pd.api.types.is_numeric_dtype(times):
        # As a number 20240105 would be nanoseconds after 1970; as text it is a day.
        times = times.astype(str)
    try:
        parsed = pd.to_datetime(times, errors="coerce")
    except ValueError:
        # Rows of different offsets, as summer and winter time make them.
        if timezone is None:
            parsed = pd.to_datetime(times.astype(str).str.replace(_OFFSET, "", regex=True), errors="coerce")
        else:
            parsed = pd.to_datetime(times, errors="coerce", utc=True)
    zone = getattr(parsed.dt, "tz", None)
    if zone is not None:
        if timezone is not None:
            parsed = parsed.dt.tz_convert(timezone)
        parsed = parsed.dt.tz_localize(None)
    return parsed.to_numpy(dtype="datetime64[s]"), timezone is None and str(zone) == "UTC"
