"""Columns of a file become the bars of one symbol: text turns into numbers and times here, and the core sees arrays."""

import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.core.bars import PRICES, Bars, Floats, RawBars, Times, corrupt, validated
from sensequant_assets.sources.reading import NUMBER_COLUMNS, TIME_COLUMNS, Column, Columns, listed

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"
_CLOCK = re.compile(r"\s*(now|today|\d{1,2}:[\d:.]*\s*([a-z]*|[+-][\d:]*))\s*", re.IGNORECASE)
"""Text without a day, which pandas takes for a time of today."""
_CELL_LENGTH = 60
"""Characters of a cell that an error shows."""


def parse_bars(
    columns: Columns,
    *,
    symbol: str,
    origin: str,
    timezone: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Bars:
    """Parse, validate and adjust the bars of one symbol.

    Parameters
    ----------
    columns
        One row a bar: `date` (or `datetime`, `timestamp`, `time`), `open`, `high`, `low`, `close`, `volume`, optional
        `adj_close`; column names in any case.
    symbol
        Whose bars they are.
    origin
        The file, as errors name it.
    timezone
        Exchange time zone into which zoned times are converted before the zone is dropped; zoned times without it are
        kept as the wall clock they carry. Intraday bars in UTC must have it: a day of UTC cuts sessions of some
        exchanges in two, and says nothing of which.
    clock
        Seconds since 1970. No bar starts more than a day after it: no exchange is a day ahead of UTC.

    Returns
    -------
    Bars
        May have no rows.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: names file, row and the rule that is broken.
    """
    time_column = _time_column(columns, symbol, origin)
    column = columns.values
    times, in_utc = wall_clock(column[time_column], timezone)

    def quote(name: str, at: int) -> str:
        shown = time_column if name == "time" else name
        return f"{shown} is {_cell(column[shown], at)}"

    numbers = {name: parsed_numbers(column[name]) for name in NUMBER_COLUMNS if name in column}
    tomorrow = np.datetime64(int(clock()), "s") + np.timedelta64(1, "D")
    bars = validated(RawBars(symbol, origin, columns.rows, times, numbers, quote), until=tomorrow)
    if in_utc and bars.intraday:
        raise corrupt(
            f"{origin}: the intraday times of {symbol} are in UTC, which is no exchange's. Name the exchange's "
            "time zone with --timezone or SENSEQUANT_TIMEZONE, such as Asia/Kolkata."
        )
    return bars


def _time_column(columns: Columns, symbol: str, origin: str) -> str:
    """Which column has the times; a column that is missing or stands there twice is an error."""
    names = [name for name in columns.names if name]
    time_column = next((name for name in TIME_COLUMNS if name in names), None)
    missing = [name for name in (*PRICES, "volume") if name not in names]
    if missing or time_column is None:
        missing = missing if time_column else ["date", *missing]
        raise corrupt(f"{origin}: column {', '.join(missing)} is missing for {symbol}; it has {listed(names)}.")
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise corrupt(f"{origin}: column {twice[0]} stands there twice for {symbol}; it has {listed(names)}.")
    return time_column


def _cell(column: Column, at: int) -> str:
    """A cell as an error shows it."""
    value = column[at] if isinstance(column, np.ndarray) else column.iloc[at]
    text = str(value.astype("datetime64[s]")).replace("T", " ") if isinstance(value, np.datetime64) else str(value)
    return text if len(text) <= _CELL_LENGTH else f"{text[:_CELL_LENGTH]}…"


def parsed_numbers(column: Column) -> Floats:
    """Numbers, NaN where a cell is none: a boolean is none, nor is a time."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return column.astype(np.float64, copy=False)
    import pandas as pd

    series = pd.Series(column)
    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        texts, codes = _coded(series)
        return np.append(parsed_numbers(texts), np.nan).take(codes)
    if pd.api.types.is_object_dtype(kind):
        series = series.map(_number)
    elif pd.api.types.is_bool_dtype(kind) or not (
        pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_string_dtype(kind)
    ):
        return np.full(len(series), np.nan)
    numbers: Floats = pd.to_numeric(series, errors="coerce").to_numpy(np.float64)
    return numbers


def _number(cell: object) -> object:
    """A cell that may be a number or spell one; None otherwise."""
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, (int, float, Decimal)) or isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except OverflowError:
        return np.inf


def wall_clock(column: Column, timezone: str | None) -> tuple[Times, bool]:
    """Times without a zone, NaT where a cell is none, and whether they are still in UTC.

    Parameters
    ----------
    column
        Times, or text or whole numbers that spell days.
    timezone
        As for `parse_bars`.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        return column.astype("datetime64[s]"), False
    import pandas as pd

    series = pd.Series(column)
    if isinstance(series.dtype, pd.CategoricalDtype):
        texts, codes = _coded(series)
        times, in_utc = wall_clock(texts, timezone)
        return np.append(times, np.datetime64("NaT"))[codes], in_utc
    if pd.api.types.is_datetime64_any_dtype(series):
        return _without_zone(series, timezone)
    # As a number 20240105 would be nanoseconds after 1970; as text it is a day.
    text = series.astype(str)
    times, in_utc = _without_zone(_parsed_times(text, timezone), timezone)
    of_today = np.zeros(len(times), dtype=np.bool_)
    for at in np.flatnonzero(times > np.datetime64("now") - np.timedelta64(2, "D")):
        of_today[at] = _CLOCK.fullmatch(str(text.iloc[at])) is not None
    return np.where(of_today, np.datetime64("NaT"), times), in_utc


def _parsed_times(text: "pd.Series[Any]", timezone: str | None) -> "pd.Series[Any]":
    """Times that text spells, with a zone or without; NaT where it spells none."""
    import pandas as pd

    try:
        return pd.to_datetime(text, errors="coerce")
    except ValueError:
        # Rows of different offsets, as summer and winter time make them.
        if timezone is None:
            return pd.to_datetime(text.str.replace(_OFFSET, "", regex=True), errors="coerce")
        return pd.to_datetime(text, errors="coerce", utc=True)


def _without_zone(times: "pd.Series[Any]", timezone: str | None) -> tuple[Times, bool]:
    """As `wall_clock`, of times."""
    zone = getattr(times.dt, "tz", None)
    if zone is not None:
        if timezone is not None:
            times = times.dt.tz_convert(timezone)
        times = times.dt.tz_localize(None)
    return times.to_numpy(dtype="datetime64[s]"), timezone is None and str(zone) == "UTC"


def _coded(column: "pd.Series[Any]") -> "tuple[pd.Series[Any], NDArray[np.integer[Any]]]":
    """The different texts of a column, and which of them each row has; -1 where it has none."""
    import pandas as pd

    there = column.cat.remove_unused_categories().cat
    return pd.Series(there.categories), there.codes.to_numpy()
