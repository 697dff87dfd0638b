"""Renamed symbols from a file, such as NSE's `symbolchange.csv`."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from sensequant_assets.core.renames import Rename, Renames
from sensequant_assets.core.universe import day_of_text, is_symbol
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.sources.text import encoding_of
from sensequant_assets.text import brief

_COLUMNS = {
    "old": r"(?:sm|company)?(?:old|former|previous|key|from)(?:symbol|ticker|name)?",
    "new": r"(?:sm|company)?(?:new|current|to)(?:symbol|ticker|name)?|symbol",
    "date": r"(?:sm)?(?:effective|applicable|change|renaming|renamed)?(?:date|from|on|fromdate|day)",
}
"""What each column may be called, in lower case without anything but letters and digits."""


def read_renames(path: Path) -> Renames:
    """Read a CSV file of old symbol, new symbol, and the first day of the new one.

    Parameters
    ----------
    path
        Its header names the three; without one the date is the first column that has one, and the symbols stand in
        the two before it, as in NSE's file, which begins with the company.

    Raises
    ------
    UsageError
        The file is missing, is no such table, or has a row that is none.
    """
    try:
        written = read_regular(path)
        reader = csv.reader(io.StringIO(written.decode(encoding_of(written)), newline=""), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except (OSError, ValueError, csv.Error) as error:
        why = str(error) if isinstance(error, csv.Error) else reason(error)
        raise UsageError(
            f"There are no renamed symbols at {path}: {why}. Give a CSV file with --symbol-changes or "
            "SENSEQUANT_SYMBOL_CHANGES."
        ) from error
    if not rows:
        raise UsageError(f"{path}: it has no rows; write old symbol, new symbol and date in each.")
    at, below = _places(path, rows)
    return Renames(_rename(cells, at, f"{path}, row {line}") for line, cells in below)


_Rows = Sequence[tuple[int, list[str]]]


def _places(path: Path, rows: _Rows) -> tuple[tuple[int, int, int], _Rows]:
    """Where old symbol, new symbol and date stand, and the rows below the header."""
    first = rows[0][1]
    for number, cell in enumerate(first):
        if number >= 2 and _is_day(cell):
            return (number - 2, number - 1, number), rows
    names = [re.sub(r"[\W_]", "", name).lower() for name in first]
    found = [[at for at, name in enumerate(names) if re.fullmatch(spelled, name)] for spelled in _COLUMNS.values()]
    if lacking := [name for name, places in zip(_COLUMNS, found, strict=True) if len(places) != 1]:
        raise UsageError(
            f"{path}: it does not say once which column is {', '.join(lacking)}; it has {brief(', '.join(first))}. "
            "Name three columns old_symbol, new_symbol and date."
        )
    old, new, day = (places[0] for places in found)
    return (old, new, day), rows[1:]


def _is_day(cell: str) -> bool:
    try:
        return day_of_text(cell, "", "") is not None
    except UsageError:
        return False


def _rename(cells: Sequence[str], at: tuple[int, int, int], place: str) -> Rename:
    if len(cells) <= max(at):
        raise UsageError(f"{place}: it has {len(cells)} cells, and needs old symbol, new symbol and date.")
    old, new, text = (cells[number] for number in at)
    for symbol in (old, new):
        if not is_symbol(symbol):
            raise UsageError(f"{place}: {brief(symbol)!r} is not a symbol; correct or remove the row.")
    day = day_of_text(text, "date", place)
    if day is None:
        raise UsageError(f"{place}: the date is missing; write a day like 2022-05-17.")
    return Rename(day, old, new)
