"""A query's answer as text."""

import csv
import io
import shutil
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table

from sensequant_assets.text import json_text, printable, printable_lines

Format = Literal["table", "json", "csv"]

_EXPLAINED = ["explain_key", "explain_value"]
"""Columns of DuckDB's answer to EXPLAIN: a drawing of several lines."""


def render(table: pa.Table, format: Format = "table") -> str:  # noqa: A002 - the name of the CLI's option
    """Write a table as text, without a last line break.

    Parameters
    ----------
    table
        Any answer of `TelemetryStore.query`.
    format
        ``table`` for people: as wide as it needs, folded (never cut) to the width of a terminal; ``json``, a list of
        objects; ``csv`` with a header. Dates, times and intervals are ISO strings, except that DuckDB's infinite ones
        are ``infinity`` and ``-infinity``; missing values are empty, null in JSON. What
        cannot be printed is escaped: JSON reads back as it was, the others show ``\\x1b`` in its place.
    """
    rows = [[_plain(_value(cell)) for cell in row] for row in zip(*table.columns, strict=True)]
    return _WRITERS[format](table.column_names, rows).rstrip("\n")


def _value(cell: Any) -> object:
    """A cell of Arrow as Python has it; a time that is too far away for Python is text."""
    kind = cell.type
    if not cell.is_valid:
        return None
    if pa.types.is_map(kind):
        return {str(_plain(_value(item["key"]))): _value(item["value"]) for item in cell.values}
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_value(item) for item in cell.values]
    if pa.types.is_struct(kind):
        return {field.name: _value(cell[number]) for number, field in enumerate(kind)}
    if pa.types.is_interval(kind):
        months, days, nanoseconds = cell.as_py()
        return f"P{months}M{days}DT{nanoseconds / 1e9:g}S"
    if pa.types.is_date32(kind):
        return _time(cell, "D", 2**31 - 1)
    if pa.types.is_timestamp(kind):
        return _time(cell, kind.unit, 2**63 - 1)
    return cell.as_py()


def _time(cell: Any, unit: str, infinity: int) -> object:
    if abs(cell.value) == infinity:
        return "infinity" if cell.value > 0 else "-infinity"
    try:
        return cell.as_py()
    except (OverflowError, ValueError):
        return str(np.int64(cell.value).view(f"datetime64[{unit}]"))


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) or value is None:
        return value or ""
    return str(value) if isinstance(value, int) else json_text(value)


def _as_json(names: list[str], rows: list[list[object]]) -> str:
    return json_text([dict(zip(names, row, strict=True)) for row in rows], indent=2)


def _as_csv(names: list[str], rows: list[list[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(printable, names))
    writer.writerows(map(_csv_cell, row) for row in rows)
    return text.getvalue()


def _csv_cell(value: object) -> object:
    if isinstance(value, (list, dict)):
        return json_text(value)
    return printable(value) if isinstance(value, str) else value


def _as_table(names: list[str], rows: list[list[object]]) -> str:
    text = io.StringIO()
    terminal = sys.stdout.isatty()
    shown = printable_lines if names == _EXPLAINED else printable
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(names):
        numbers = all(isinstance(row[index], (int, float)) for row in rows) and bool(rows)
        grid.add_column(printable(name), justify="right" if numbers else "left", overflow="fold", no_wrap=not terminal)
    for row in rows:
        grid.add_row(*(shown(_text(cell)) for cell in row))
    width = shutil.get_terminal_size().columns if terminal else 1_000_000
    Console(file=text, width=width, markup=False, emoji=False, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


_WRITERS: dict[Format, Callable[[list[str], list[list[object]]], str]] = {
    "table": _as_table,
    "json": _as_json,
    "csv": _as_csv,
}
