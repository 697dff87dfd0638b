"""Bars and universes from CSV and parquet files."""

import csv
import errno
import io
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sensequant_assets.core.bars import PRICES, Bars, corrupt
from sensequant_assets.core.universe import Listing, Universe, parse_universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.parsing import parse_bars
from sensequant_assets.sources.reading import (
    SYMBOL_COLUMNS,
    UNREADABLE,
    Columns,
    column_names,
    encoded,
    listed,
    read_columns,
)
from sensequant_assets.sources.regular import read_regular, reason

SUFFIXES = (".parquet", ".csv")
_SAME = 1e-9
"""Relative difference up to which two files give the same number: CSV and parquet may round the last digit apart."""

_Positions = np.ndarray[Any, np.dtype[np.int64]]


def read_universe(path: Path) -> Universe:
    """Read a universe file; its name is the file's stem.

    Raises
    ------
    UsageError
        The file is missing, is no CSV, or breaks a rule.
    """
    try:
        written = read_regular(path)
    except OSError as error:
        raise UsageError(
            f"There is no universe file {path}: {reason(error)}. Give one with --universe or SENSEQUANT_UNIVERSE."
        ) from error
    try:
        reader = csv.reader(io.StringIO(written.decode("utf-8-sig"), newline=""), strict=True)
        header, *rows = [(reader.line_num, cells) for cells in reader] or [(1, [])]
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path} is not a universe file: {error}") from error
    return parse_universe(header[1], rows, name=path.stem, origin=str(path))


def bars_files(path: Path) -> list[Path]:
    """The files that hold the bars of a path, by name: the one file, or a directory's CSV and parquet files.

    Hidden files and other suffixes, such as the `.tmp` and `.part` that copying tools write first, are passed over.
    """
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.name[0] != "." and file.is_file())


class FileBars:
    """Bars in one file with a `symbol` column, or in a directory of files.

    A file of a directory holds the symbols of its `symbol` column or, without one, the symbol it is named for. The
    bars of a symbol are the union over its files: the same bar may stand in several, such as the days that two
    deliveries share, and is taken once. Bars that two files tell differently cost that symbol, and nobody else: no
    rule says which file is right.

    A file that is not whole (a CSV without a line end at its end, a parquet file without its footer) is never taken
    in part. If it is named for a symbol, that symbol fails, because the rest of its bars may be a stranger history.
    Otherwise nobody can tell which symbols it holds: it is left out and stands in `broken`. That is safe, because a
    file only ever adds bars; without it models are older, not wrong, whereas failing every symbol would stop all of
    them for one cut copy. A CSV cut exactly between two lines cannot be told from a whole one: write it under another
    suffix and rename it.

    Parameters
    ----------
    path
        A CSV or parquet file of all symbols, or a directory.
    timezone
        Exchange time zone of zoned times; None keeps the wall clock they carry.
    clock
        Seconds since 1970; bars of the future are refused.

    Raises
    ------
    UsageError
        Nothing is there, or the one file cannot be read or has no `symbol` column.
    """

    def __init__(self, path: Path, timezone: str | None = None, clock: Callable[[], float] = time.time) -> None:
        try:
            mode = path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise OSError(errno.EINVAL, "it is neither a file nor a directory", str(path))
            if stat.S_ISDIR(mode):
                _ = next(path.iterdir(), None)
        except OSError as error:
            raise UsageError(
                f"There are no bars at {path}: {reason(error)}. "
                "Give a file or a directory with --bars or SENSEQUANT_BARS."
            ) from error
        if path.is_file() and path.suffix not in SUFFIXES:
            raise UsageError(f"Bars file {path} is neither .csv nor .parquet.")
        self._path = path
        self._timezone = timezone
        self._clock = clock
        if path.is_file():
            _ = self._index

    def bars(self, listing: Listing) -> Bars:
        """Read and validate the bars of one symbol; no rows if there is no file or row of it."""
        code, symbol = listing.vendor_code or listing.symbol, listing.symbol
        parts = []
        for path in self._index.named.get(code, ()):
            try:
                parts.append(self._parsed(read_columns(path), path, symbol))
            except UNREADABLE as error:
                raise corrupt(_not_taken(path, error)) from error
        for path, why in self.broken.items():
            if path.stem == code:
                raise corrupt(why)
        for table in self._index.tables:
            rows = table.rows.get(code)
            if rows is not None:
                parts.append(self._parsed(table.columns.take(rows), table.path, symbol))
        return _union(parts) if parts else Bars.empty(symbol)

    @property
    def broken(self) -> dict[Path, str]:
        """Files of the directory that are left out because they are not whole, and why."""
        return self._index.broken

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why files were left out, in words, by name."""
        return tuple(self.broken.values())

    def _parsed(self, columns: Columns, path: Path, symbol: str) -> "_Part":
        bars = parse_bars(columns, symbol=symbol, origin=str(path), timezone=self._timezone, clock=self._clock)
        return _Part(path, bars, columns.rows)

    @cached_property
    def _index(self) -> "_Index":
        if self._path.is_file():
            try:
                table = _Table.of(self._path)
            except UNREADABLE as error:
                raise UsageError(f"Bars file {_not_taken(self._path, error)}") from error
            if table is None:
                columns = listed(column_names(self._path))
                raise UsageError(f"Bars file {self._path} has no column 'symbol'; it has {columns}.")
            return _Index({}, (table,), {})
        named: dict[str, list[Path]] = {}
        tables: list[_Table] = []
        broken: dict[Path, str] = {}
        for path in bars_files(self._path):
            try:
                if not set(SYMBOL_COLUMNS) & set(column_names(path)):
                    named.setdefault(path.stem, []).append(path)
                elif table := _Table.of(path):
                    tables.append(table)
            except UNREADABLE as error:
                broken[path] = _not_taken(path, error)
        return _Index(named, tuple(tables), broken)


@dataclass(frozen=True, slots=True)
class _Part:
    """Bars of one symbol in one file, with the row of each as the file counts it."""

    path: Path
    bars: Bars
    rows: _Positions


@dataclass(frozen=True, slots=True)
class _Table:
    """A file of several symbols, and which rows are whose."""

    path: Path
    columns: Columns
    rows: dict[str, _Positions]

    @classmethod
    def of(cls, path: Path) -> "_Table | None":
        """Read a file; None if it has no column of symbols."""
        columns = read_columns(path)
        name = next((name for name in SYMBOL_COLUMNS if name in columns.values), None)
        if name is None:
            return None
        if columns.names.count(name) > 1:
            raise ValueError(f"column {name} stands there twice")
        named = encoded(columns.values[name])
        indices = named.indices
        codes: Any = indices.fill_null(-1).to_numpy() if indices.null_count else np.from_dlpack(indices)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(named.dictionary) + 1))
        rows = {str(one): order[starts[i] : starts[i + 1]] for i, one in enumerate(named.dictionary.to_pylist())}
        # Which symbol a row is of stands in `rows` from here on.
        names = [other for other in columns.names if other != name]
        return cls(
            path,
            Columns(names, {other: columns.values[other] for other in names if other in columns.values}, columns.rows),
            rows,
        )


@dataclass(frozen=True, slots=True)
class _Index:
    """Which files hold which symbols: files `named` for one, `tables` of several, and files left out."""

    named: dict[str, list[Path]]
    tables: tuple[_Table, ...]
    broken: dict[Path, str]


def _not_taken(path: Path, error: Exception) -> str:
    # Some libraries tell an error over several lines, with a point at its end or none.
    return f"{path} cannot be read: {' '.join(str(error).split()).removesuffix('.')}."


def _union(parts: Sequence[_Part]) -> Bars:
    """Bars of one symbol from several files, in time order; a bar told twice is the one of the first file."""
    if len(parts) == 1:
        return parts[0].bars
    symbol = parts[0].bars.symbol
    time = np.concatenate([part.bars.time for part in parts])
    values = {name: np.concatenate([getattr(part.bars, name) for part in parts]) for name in (*PRICES, "volume")}
    whose = np.repeat(np.arange(len(parts)), [len(part.bars) for part in parts])
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(time, kind="stable")
    again = np.flatnonzero(time[order][1:] == time[order][:-1])
    earlier, later = order[again], order[again + 1]
    for name, told in values.items():
        differs = np.flatnonzero(~np.isclose(told[earlier], told[later], rtol=_SAME, atol=0))
        if len(differs):
            one, other = earlier[differs[0]], later[differs[0]]
            more = f" and {len(differs) - 1} more" if len(differs) > 1 else ""
            raise corrupt(
                f"{parts[whose[other]].path}, row {rows[other]}{more}: {symbol}: {name} of {time[other]} is "
                f"{told[other]:.10g}, and {told[one]:.10g} in {parts[whose[one]].path}, row {rows[one]}. "
                "Remove the bar that is wrong, or deliver all of the symbol's bars on one basis."
            )
    kept = np.delete(order, again + 1)
    return Bars(symbol=symbol, time=time[kept], **{name: told[kept] for name, told in values.items()})
