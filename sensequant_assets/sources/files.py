"""Bars and universes from CSV and parquet files."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sensequant_assets.core.bars import Bars, corrupt, parse_bars
from sensequant_assets.core.universe import Listing, Universe, parse_universe
from sensequant_assets.errors import UsageError

SUFFIXES = (".parquet", ".csv")


def read_universe(path: Path) -> Universe:
    """Read a universe file; its name is the file's stem.

    Raises
    ------
    UsageError
        The file is missing, is no CSV, or breaks a rule.
    """
    if not path.is_file():
        raise UsageError(f"There is no universe file {path}. Give one with --universe or SENSEQUANT_UNIVERSE.")
    try:
        # Empty lines count, so that errors name a row by its line.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a universe file: {error}") from error
    return parse_universe(frame, name=path.stem, origin=str(path))


class FileBars:
    """Bars in one file with a `symbol` column, or in a directory with one file a symbol.

    Parameters
    ----------
    path
        A CSV or parquet file of all symbols, or a directory of `<SYMBOL>.parquet` or `<SYMBOL>.csv`.
    timezone
        Exchange time zone of zoned times; None keeps the wall clock they carry.

    Raises
    ------
    UsageError
        Nothing is there, or the one file cannot be read or has no `symbol` column.
    """

    def __init__(self, path: Path, timezone: str | None = None) -> None:
        if not path.exists():
            raise UsageError(f"There are no bars at {path}. Give a file or a directory with --bars or SENSEQUANT_BARS.")
        if path.is_file() and path.suffix not in SUFFIXES:
            raise UsageError(f"Bars file {path} is neither .csv nor .parquet.")
        self._path = path
        self._timezone = timezone
        if path.is_file():
            _ = self._rows_of

    def bars(self, listing: Listing) -> Bars:
        """Read and validate the bars of one symbol; no rows if there is no file or row of it."""
        code = listing.vendor_code or listing.symbol
        if self._path.is_file():
            origin = self._path
            frame = self._table.take(self._rows_of.get(code, np.empty(0, dtype=np.int64)))
        else:
            found = [path for path in (self._path / f"{code}{suffix}" for suffix in SUFFIXES) if path.is_file()]
            if not found:
                return parse_bars(_NO_BARS, symbol=listing.symbol, origin=str(self._path))
            origin = found[0]
            try:
                frame = _read(origin)
            except (ValueError, OSError, pa.ArrowException) as error:
                raise corrupt(f"{origin} cannot be read: {error}") from error
        # A CSV file's first row of data is its second line.
        offset = 2 if origin.suffix == ".csv" else 0
        return parse_bars(frame, symbol=listing.symbol, origin=str(origin), timezone=self._timezone, row_offset=offset)

    @cached_property
    def _table(self) -> pd.DataFrame:
        try:
            table = _read(self._path)
        except (ValueError, OSError, pa.ArrowException) as error:
            raise UsageError(f"Bars file {self._path} cannot be read: {error}") from error
        table.columns = [str(column).strip().lower() for column in table.columns]
        if "symbol" not in table.columns and "ticker" in table.columns:
            table = table.rename(columns={"ticker": "symbol"})
        if "symbol" not in table.columns:
            raise UsageError(f"Bars file {self._path} has no column 'symbol'; it has {', '.join(table.columns)}.")
        return table

    @cached_property
    def _rows_of(self) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
        codes, symbols = pd.factorize(self._table["symbol"])
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(symbols) + 1))
        return {str(symbol): order[starts[i] : starts[i + 1]] for i, symbol in enumerate(symbols)}


_NO_BARS = pd.DataFrame({name: [] for name in ("date", "open", "high", "low", "close", "volume")})


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        # A pandas index would hide its columns, and number rows other than by position.
        return pq.read_table(path).to_pandas(ignore_metadata=True)
    # A symbol such as NA, TRUE or 005930 is a name, whatever else it looks like.
    names = {
        column: _name for column in pd.read_csv(path, nrows=0).columns if column.strip().lower() in ("symbol", "ticker")
    }
    # Empty lines count, so that errors name a row by its line.
    frame = pd.read_csv(path, low_memory=False, converters=names, skip_blank_lines=False)
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    return frame.dropna(how="all")


def _name(cell: str) -> str | None:
    return cell.strip() or None
