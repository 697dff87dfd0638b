"""Columns of a file become the bars of one symbol: text turns into numbers and times here, and the core sees arrays."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.core.bars import PRICES, Bars, Floats, RawBars, Times, corrupt, validated
from sensequant_assets.sources.reading import Column, Columns

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS = ("date", "datetime", "timestamp", "time")

_OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"


def parse_bars(columns: Columns, *, symbol: str, origin: str, timezone: str | None = None) -> Bars:
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

    Returns
    -------
    Bars
        May have no rows.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: names file, row and the rule that is broken.
    """
    column, time_column = _named(columns, symbol, origin)
    time, in_utc = wall_clock(column[time_column], timezone)

    def quote(name: str, at: int) -> str:
        shown = time_column if name == "time" else name
        return f"{shown} is {_cell(column[shown], at)}"

    numbers = {name: parsed_numbers(column[name]) for name in (*PRICES, "volume", "adj_close") if name in column}
    bars = validated(RawBars(symbol, origin, columns.rows, time, numbers, quote))
    if in_utc and bars.intraday:
        raise corrupt(
            f"{origin}: the intraday times of {symbol} are in UTC, which is no exchange's. Name the exchange's "
            "time zone with --timezone or SENSEQUANT_TIMEZONE, such as Asia/Kolkata."
        )
    return bars


def _named(columns: Columns, symbol: str, origin: str) -> tuple[dict[str, Column], str]:
    """Columns by name in lower case, and which of them has the times; a missing or a second one is an error."""
    names = [name.strip().lower().replace(" ", "_") for name in columns.names]
    time_column = next((name for name in TIME_COLUMNS if name in names), None)
    missing = [name for name in (*PRICES, "volume") if name not in names]
    if missing or time_column is None:
        missing = missing if time_column else ["date", *missing]
        raise corrupt(f"{origin}: column {', '.join(missing)} is missing for {symbol}; it has {', '.join(names)}.")
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise corrupt(f"{origin}: column {twice[0]} stands there twice for {symbol}; it has {', '.join(names)}.")
    return dict(zip(names, columns.values, strict=True)), time_column


def _cell(column: Column, at: int) -> str:
    """A cell as an error shows it."""
    value = column[at] if isinstance(column, np.ndarray) else column.iloc[at]
    return str(value.astype("datetime64[s]")).replace("T", " ") if isinstance(value, np.datetime64) else str(value)


def parsed_numbers(column: Column) -> Floats:
    """Numbers, NaN where a cell is none."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return column.astype(np.float64, copy=False)
    import pandas as pd

    numbers: Floats = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(np.float64)
    return numbers


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

    times = pd.Series(column)
    if pd.api.types.is_numeric_dtype(times):
        # As a number 20240105 would be nanoseconds after 1970; as text it is a day.
        times = times.astype(str)
    parsed = _parsed_times(times, timezone)
    zone = getattr(parsed.dt, "tz", None)
    if zone is not None:
        if timezone is not None:
            parsed = parsed.dt.tz_convert(timezone)
        parsed = parsed.dt.tz_localize(None)
    return parsed.to_numpy(dtype="datetime64[s]"), timezone is None and str(zone) == "UTC"


def _parsed_times(times: "pd.Series[Any]", timezone: str | None) -> "pd.Series[Any]":
    import pandas as pd

    try:
        return pd.to_datetime(times, errors="coerce")
    except ValueError:
        # Rows of different offsets, as summer and winter time make them.
        if timezone is None:
            return pd.to_datetime(times.astype(str).str.replace(_OFFSET, "", regex=True), errors="coerce")
        return pd.to_datetime(times, errors="coerce", utc=True)
