"""Files of bars as columns: CSV through pandas, parquet through Arrow."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null"]
SYMBOL_COLUMNS = ("symbol", "ticker")
"""What a column of symbols is called, in lower case."""
UNREADABLE = (ValueError, OSError, pa.ArrowException)
"""What reading a file raises that is none of bars."""


Column: TypeAlias = "NDArray[Any] | pd.Series[Any]"


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
    values: Sequence[Column]
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


def column_names(path: Path) -> list[str]:
    """Names of the columns of a file, in lower case; the rest of it is not read."""
    if path.suffix == ".parquet":
        names = pq.read_schema(path).names
    else:
        import pandas as pd

        _refuse_cut(path)
        names = list(pd.read_csv(path, nrows=0).columns)
    return [str(name).strip().lower() for name in names]


def _refuse_cut(path: Path) -> None:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read() not in (b"\n", b"\r", b""):
            raise ValueError("it does not end with a line end, so it is cut or still being written")


def read_columns(path: Path) -> Columns:
    """A whole file, column by column; one that is not whole is an error."""
    return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)


def _read_parquet(path: Path) -> Columns:
    # Not `read_table`, which reads through a module that imports pandas.
    table = pq.ParquetFile(path).read()
    named = [name.strip().lower() in SYMBOL_COLUMNS for name in table.column_names]
    # What names symbols is only ever encoded, for which text stays in Arrow.
    values: list[Any] = [column if one else _column(column) for column, one in zip(table.columns, named, strict=True)]
    columns = Columns(table.column_names, values, np.arange(table.num_rows))
    # Arrow holds on to what it read through, which is as much as what it read.
    pa.default_memory_pool().release_unused()
    return columns


def _column(column: "pa.ChunkedArray[Any]") -> Any:
    """An Arrow column as `Columns` has it; Arrow's own ways to numpy, and to a missing value, would import pandas."""
    kind = column.type
    if not column.null_count:
        if pa.types.is_date(kind):
            return _column(column.cast(pa.timestamp("ms")))
        if pa.types.is_timestamp(kind) and kind.tz is None:
            return np.from_dlpack(column.cast(pa.int64()).combine_chunks()).view(f"datetime64[{kind.unit}]")
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            return np.from_dlpack(column.combine_chunks())
    return column.to_pandas(date_as_object=False)


def encoded(column: Any) -> "pa.DictionaryArray[Any, Any]":
    """A column of symbols as codes into the symbols it has; null where a row has none."""
    text = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column, from_pandas=True)])
    # A row without a symbol is nobody's.
    return text.cast(pa.string()).combine_chunks().dictionary_encode()


def _read_csv(path: Path) -> Columns:
    import pandas as pd

    _refuse_cut(path)
    # A symbol such as NA, TRUE or 005930 is a name, whatever else it looks like; an empty cell is none.
    columns = list(pd.read_csv(path, nrows=0).columns)
    names = [column for column in columns if column.strip().lower() in SYMBOL_COLUMNS]
    frame = pd.read_csv(
        path,
        low_memory=False,
        dtype=dict.fromkeys(names, str),
        keep_default_na=False,
        na_values={column: [""] if column in names else _MISSING for column in columns},
        # Empty lines count, so that errors name a row by its line.
        skip_blank_lines=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    frame = frame.dropna(how="all")
    # A CSV file's first row of data is its second line.
    return Columns.of(frame.assign(**{name: frame[name].str.strip() for name in names}), row_offset=2)
