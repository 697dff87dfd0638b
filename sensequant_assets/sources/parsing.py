"""Columns of a file become the bars of one symbol: text turns into numbers and times here, and the core sees arrays."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.core.bars import Bars, Floats, RawBars, Times, corrupt, day_of, validated
from sensequant_assets.sources.dates import Order, Proof, clock_of, different, is_day, spelled_alike, times_of_numbers
from sensequant_assets.sources.headers import ADJ_CLOSE, CLOCK, NUMBERS, TIME, missing_columns, roles_of
from sensequant_assets.sources.notes import NOT_USED, Note
from sensequant_assets.sources.reading import Column, Columns, listed
from sensequant_assets.sources.rows import REPEATED, as_one_history
from sensequant_assets.sources.text import without_thousands

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_OFFSET = r"\s?(Z|[+-]\d{2}:?\d{2})$"
_CELL_LENGTH = 60
"""Characters of a cell that an error shows."""
_WEEK = 10
"""Daily bars from which on the days of the week that they fall on say something."""
_ZONE_ASKED = "Name the exchange's time zone with --timezone or SENSEQUANT_TIMEZONE, such as Asia/Kolkata."


def to_nobody(note: Note) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one symbol in one file.

    Attributes
    ----------
    origin
        The file, as errors name it.
    columns
        One row a bar: columns that `roles_of` takes for a time, `open`, `high`, `low`, `close` and `volume`, and
        optionally for an adjusted close.
    """

    origin: str
    columns: Columns


def parse_bars(
    tables: Sequence[Rows],
    *,
    symbol: str,
    timezone: str | None = None,
    clock: Callable[[], float] = time.time,
    proof: Proof | None = None,
    note: Callable[[Note], None] = to_nobody,
) -> list[Bars]:
    """Parse, validate and adjust the bars of one symbol, file by file; rows that are none are put aside.

    Parameters
    ----------
    tables
        What each file has of it.
    symbol
        Whose bars they are.
    timezone
        Exchange time zone into which zoned times are converted before the zone is dropped; zoned times without it are
        kept as the wall clock they carry. Times in UTC must have it, unless all are midnight, which names a day: a day
        of UTC cuts sessions of some exchanges in two, and ends before the evening in which others date their bars.
    clock
        Seconds since 1970. No bar starts more than a day after it: no exchange is a day ahead of UTC.
    proof
        What stands first in dates such as 02-01-2024; None for what these rows prove by themselves.
    note
        Told what was left out, and what prices were adjusted by.

    Returns
    -------
    list of Bars
        Of each file, as of `validated`.

    Raises
    ------
    WindowError
        Of kind `corrupt_bars`: a column is missing, or intraday times are in UTC.
    """
    for rows in tables:
        _require_columns(rows.columns, symbol, rows.origin)
    until = np.datetime64(int(clock()), "s") + np.timedelta64(1, "D")
    every_date = proof or Proof(lambda: [(rows.origin, dates_of(rows.columns)) for rows in tables], day_of(until))
    found = []
    # Files that are alike are parsed together: a market may have one a day.
    for _, alike in groupby(tables, key=lambda rows: rows.columns.kinds):
        for raw, rows, in_utc in _raw(list(alike), symbol, timezone, every_date, note):
            found.append(_history(raw, rows.columns, in_utc, until, every_date, note))
    return found


def _history(
    raw: RawBars, columns: Columns, in_utc: bool, until: np.datetime64, proof: Proof, note: Callable[[Note], None]
) -> Bars:
    """The bars of one file."""
    read = len(raw.rows)
    raw, notes = as_one_history(raw, lambda role, at: _is_missing(columns, role, at))
    _refuse_days_to_come(raw, until, proof)
    bars = validated(raw, until=until)
    repeated = sum(each.count for each in notes if each.text == REPEATED)
    bars = replace(bars, delivery=bars.delivery.of_rows(read, repeated, sum(each.count for each in notes) - repeated))
    if in_utc and len(bars):
        what = "intraday times" if bars.intraday else "times of the daily bars"
        raise corrupt(f"{raw.origin}: the {what} of {raw.symbol} are in UTC, which is no exchange's. {_ZONE_ASKED}")
    for each in (*notes, *_adjustment(raw, columns), *_weekdays(bars, raw.origin)):
        note(each)
    return bars


def _require_columns(columns: Columns, symbol: str, origin: str) -> None:
    """Refuse columns that are missing, or of which two stand for one."""
    names = [name for name in columns.names if name]
    missing = missing_columns(columns.names)
    if missing:
        raise corrupt(f"{origin}: column {', '.join(missing)} is missing for {symbol}; it has {listed(names)}.")
    if twice := roles_of(columns.names).twice:
        raise corrupt(f"{origin}: {twice} stands there twice for {symbol}; it has {listed(names)}.")


def _raw(
    tables: Sequence[Rows], symbol: str, timezone: str | None, proof: Proof, note: Callable[[Note], None]
) -> Iterator[tuple[RawBars, Rows, bool]]:
    """Bars of each file as its columns tell them, and whether their times are of UTC; the files are of one kind."""
    columns = Columns.joined([rows.columns for rows in tables])
    name_of = {role: columns.names[number] for role, number in roles_of(columns.names).at.items()}
    column = {role: columns.values[name] for role, name in name_of.items() if name in columns.values}
    together = _with_clock(column)
    if CLOCK in column and together is None:
        note(Note(f"{NOT_USED}: {name_of[CLOCK]}", symbol, tables[0].origin))
    times, in_utc = wall_clock(column[TIME] if together is None else together, timezone, lambda: proof.order)
    if mixed := proof.against((rows.origin, dates_of(rows.columns)) for rows in tables):
        raise corrupt(f"{mixed}.")
    numbers = {name: parsed_numbers(column[name]) for name in NUMBERS if name in column}
    first = 0
    for rows in tables:
        own = slice(first, first + len(rows.columns.rows))
        quote = partial(_quote, column, name_of, first)
        own_numbers = {name: values[own] for name, values in numbers.items()}
        yield RawBars(symbol, rows.origin, rows.columns.rows, times[own], own_numbers, quote), rows, in_utc
        first = own.stop


def _quote(column: Mapping[str, Any], name_of: Mapping[str, str], first: int, role: str, at: int) -> str:
    return f"{name_of[role]} is {_cell(column[role], first + at)}"


def _is_missing(columns: Columns, role: str, at: int) -> bool:
    column = columns.values[columns.names[roles_of(columns.names).at[role]]]
    cell = column[at] if isinstance(column, np.ndarray) else column.iloc[at]
    # Nothing else differs from itself.
    return cell is None or cell != cell or str(cell).strip() in ("", "<NA>")


def dates_of(columns: Columns) -> list[str]:
    """The different texts in the column of dates, if it is one of text."""
    at = roles_of(columns.names).at
    column = columns.values.get(columns.names[at[TIME]]) if TIME in at else None
    if column is None or isinstance(column, np.ndarray):
        return []
    import pandas as pd

    series = pd.Series(column)
    texts = series.cat.categories.to_series() if isinstance(series.dtype, pd.CategoricalDtype) else series
    return list(different(texts)) if texts.dtype.kind == "O" or pd.api.types.is_string_dtype(texts) else []


def _with_clock(column: Mapping[str, Any]) -> Any:
    """Days of one column and clocks of another together, as text; None where the two are no such columns."""
    if CLOCK not in column or (isinstance(column[TIME], np.ndarray) and column[TIME].dtype.kind == "f"):
        return None
    days, clocks = (_texts(column[role]) for role in (TIME, CLOCK))
    if not all(map(is_day, different(days))):
        return None
    spelled = {text: clock_of(text) for text in different(clocks)}
    if not spelled or None in spelled.values():
        return None
    return days.str.cat(clocks.map(spelled), sep=" ")


def _texts(column: Column) -> "pd.Series[Any]":
    """A column as text; midnights are days."""
    import pandas as pd

    series = pd.Series(column)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if series.dtype.kind == "M":
        return pd.Series(series.dt.strftime("%Y-%m-%d %H:%M:%S").str.removesuffix(" 00:00:00"), dtype=str)
    return series.astype(str).where(series.notna())


def _refuse_days_to_come(raw: RawBars, until: np.datetime64, proof: Proof) -> None:
    """Say of days of the future, where day and month may be swapped, how they read both ways."""
    late = np.flatnonzero(raw.time > until)
    if not len(late):
        return
    at = int(late[0])
    shown = raw.quote(TIME, at)
    readings = proof.both_readings(shown.partition(" is ")[2])
    if readings:
        more = f" and {len(late) - 1} more" if len(late) > 1 else ""
        raise corrupt(
            f"{raw.origin}, row {raw.rows[at]}{more}: {raw.symbol}: time is in the future ({shown}): {readings}."
        )


def _adjustment(raw: RawBars, columns: Columns) -> list[Note]:
    """What prices and volume were adjusted by."""
    if ADJ_CLOSE not in raw.numbers or not len(raw.time):
        return []
    name = columns.names[roles_of(columns.names).at[ADJ_CLOSE]]
    return [Note(f"Prices and volume are adjusted by the ratio of {name} to close", raw.symbol, raw.origin)]


def _weekdays(bars: Bars, origin: str) -> list[Note]:
    """A sign that daily bars are filed a day early: Sundays, and no Fridays."""
    days = bars.time.astype("datetime64[D]")
    if len(days) < _WEEK or bars.intraday:
        return []
    # 1970-01-01 was a Thursday.
    weekday = (days.astype(np.int64) + 3) % 7
    sundays, fridays = np.count_nonzero(weekday == 6), np.count_nonzero(weekday == 4)  # from Monday on
    if fridays or sundays * _WEEK < len(days):
        return []
    if (bars.time != days).all():
        raise corrupt(
            f"{origin}: the daily bars of {bars.symbol} have times, fall on Sundays and on no Friday: they are those "
            f"of the day after in another time zone. Give their times a zone, as in 2024-01-01T18:30:00Z. {_ZONE_ASKED}"
        )
    return [Note("Daily bars fall on Sundays and on no Friday, as if they were filed a day early", bars.symbol, origin)]


def _cell(column: Column, at: int) -> str:
    """A cell as an error shows it."""
    value = column[at] if isinstance(column, np.ndarray) else column.iloc[at]
    text = str(value.astype("datetime64[s]")).replace("T", " ") if isinstance(value, np.datetime64) else str(value)
    return text if len(text) <= _CELL_LENGTH else f"{text[:_CELL_LENGTH]}…"


def parsed_numbers(column: Column) -> Floats:
    """Numbers, NaN where a cell is none: a boolean is none, nor is a time. Commas may part thousands."""
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
    if series.dtype.kind == "O" or pd.api.types.is_string_dtype(series.dtype):
        cells = series.to_numpy(object)
        at = [at for at in np.flatnonzero(np.isnan(numbers)) if isinstance(cells[at], str) and "," in cells[at]]
        if at:
            numbers = numbers.copy()
            numbers[at] = pd.to_numeric([without_thousands(cell.strip()) for cell in cells[at]], errors="coerce")
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


def _day_first() -> Order:
    raise TypeError("a date of three numbers is read where its order is proven")


def wall_clock(column: Column, timezone: str | None, order: Callable[[], Order] = _day_first) -> tuple[Times, bool]:
    """Times without a zone, NaT where a cell is none, and whether they are still in UTC.

    Times of a zone that are all midnight there name days, and are not moved to another zone.

    Parameters
    ----------
    column
        Times, or text or numbers that spell them.
    timezone
        As for `parse_bars`.
    order
        Asked for what stands first in dates such as 02-01-2024.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        return column.astype("datetime64[s]"), False
    import pandas as pd

    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        times, in_utc = times_of_numbers(column)
        return _without_zone(pd.Series(times).dt.tz_localize("UTC"), timezone) if in_utc.any() else (times, False)
    series = pd.Series(column)
    if isinstance(series.dtype, pd.CategoricalDtype):
        texts, codes = _coded(series)
        times, still = wall_clock(texts, timezone, order)
        return np.append(times, np.datetime64("NaT"))[codes], still
    if pd.api.types.is_datetime64_any_dtype(series):
        return _without_zone(series, timezone)
    which, different_ones = pd.factorize(series.astype(str))
    times, still = _spelled_times(pd.Series(different_ones), timezone, order)
    return np.append(times, np.datetime64("NaT"))[which], still


def _spelled_times(texts: "pd.Series[Any]", timezone: str | None, order: Callable[[], Order]) -> tuple[Times, bool]:
    """As `wall_clock`, of different texts."""
    import pandas as pd

    texts = spelled_alike(texts, order)
    own = pd.to_datetime(texts.str.replace(_OFFSET, "", regex=True), format="ISO8601", errors="coerce")
    try:
        times = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    except ValueError:
        # Rows of different offsets, as summer and winter time make them.
        times = own if timezone is None else pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    if _are_days(own):
        times = own
    return _without_zone(times, timezone)


def _are_days(wall: "pd.Series[Any]") -> bool:
    there = wall.dropna()
    return bool(len(there) and (there == there.dt.normalize()).all())


def _without_zone(times: "pd.Series[Any]", timezone: str | None) -> tuple[Times, bool]:
    """As `wall_clock`, of times."""
    zone = getattr(times.dt, "tz", None)
    if zone is not None:
        own = times.dt.tz_localize(None)
        days = _are_days(own)
        times = own if days or timezone is None else times.dt.tz_convert(timezone).dt.tz_localize(None)
        zone = None if days else zone
    return times.to_numpy(dtype="datetime64[s]"), timezone is None and str(zone) == "UTC"


def _coded(column: "pd.Series[Any]") -> "tuple[pd.Series[Any], NDArray[np.integer[Any]]]":
    """The different texts of a column, and which of them each row has; -1 where it has none."""
    import pandas as pd

    there = column.cat.remove_unused_categories().cat
    return pd.Series(there.categories), there.codes.to_numpy()
