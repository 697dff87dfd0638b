"""Files of bars as columns: CSV through pandas, parquet through Arrow."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensequant_assets.core.bars import PRICES

if TYPE_CHECKING:
    import pandas as pd

SYMBOL_COLUMNS = ("symbol", "ticker")
TIME_COLUMNS = ("date", "datetime", "timestamp", "time")
NUMBER_COLUMNS = (*PRICES, "volume", "adj_close")

MOST_BYTES = 2 * 2**30
"""What the columns of one file may take in memory: thirty million bars, which are a hundred symbols with three years of
minutes. A file is read whole, which takes two or three times as much for a moment; a laptop has that, and not more. A
parquet file of some kilobytes can ask for any amount."""

UNREADABLE = (ValueError, OSError, pa.ArrowException)
"""What reading a file raises that is none of bars."""

_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null"]
_BYTES_A_CELL = 8
_NAMES_SHOWN, _NAME_LENGTH = 30, 60
_ZONED_DAYS = (-718797, 2932531)
"""Days since 1970 from the year 2 to the year 9998, between which pandas can convert and show times of a zone."""

Column: TypeAlias = "NDArray[Any] | pd.Series[Any]"


@dataclass(frozen=True, slots=True)
class Columns:
    """A table as a file has it, column by column.

    Numbers and plain times are arrays, and need no pandas, whose import costs as much as some windows; anything that
    is yet to be parsed is a pandas series.

    Attributes
    ----------
    names
        Of all columns of the file, as `plain_name` spells them.
    values
        By name, the columns that bars are made of, each of shape (rows,). A column of symbols may be Arrow's.
    rows
        Position of each row as its file counts it, shape (rows,).
    """

    names: Sequence[str]
    values: Mapping[str, Any]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, frame: "pd.DataFrame", row_offset: int = 0) -> "Columns":
        """A frame's columns; its index, plus an offset, is the position of its rows."""
        names = [plain_name(name) for name in frame.columns]
        columns = {name: frame.iloc[:, number] for name, number in _used(names).items()}
        numbers = {name: column.to_numpy() for name, column in columns.items() if column.dtype.kind in "fiu"}
        return cls(names, columns | numbers, frame.index.to_numpy() + row_offset)

    def take(self, positions: NDArray[np.int64]) -> "Columns":
        """Some of the rows."""
        values = {
            name: column[positions] if isinstance(column, np.ndarray) else column.take(positions)
            for name, column in self.values.items()
        }
        return Columns(self.names, values, self.rows[positions])


def plain_name(name: object) -> str:
    """A column's name in lower case, with underscores for blanks."""
    return str(name).strip().lower().replace(" ", "_")


def listed(names: Sequence[str]) -> str:
    """Names of columns as an error shows them: not all of them, where a file has hundreds."""
    shown = [name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}…" for name in names if name]
    more = f" and {len(shown) - _NAMES_SHOWN:,} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more


def column_names(path: Path) -> list[str]:
    """Plain names of the columns of a file; the rest of it is not read."""
    if path.suffix == ".parquet":
        return [plain_name(name) for name in pq.read_schema(path).names]
    _refuse_cut(path)
    return _csv_header(path)


def read_columns(path: Path) -> Columns:
    """A whole file, column by column; one that is not whole is an error."""
    return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)


def encoded(column: Any) -> "pa.DictionaryArray[Any, Any]":
    """A column of text as codes into the different texts it has; null where a row has none."""
    array = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column, from_pandas=True)])
    if not pa.types.is_dictionary(array.type):
        return array.cast(pa.string()).combine_chunks().dictionary_encode()
    codes: Any = array.unify_dictionaries().combine_chunks()
    # A file may spell one text twice in its dictionary.
    texts = codes.dictionary.cast(pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(texts.indices.take(codes.indices), texts.dictionary)


def _used(names: Sequence[str]) -> dict[str, int]:
    """Where the columns stand that bars are made of, by plain name; of two with one name the first."""
    one_of = [next((name for name in wanted if name in names), None) for wanted in (SYMBOL_COLUMNS, TIME_COLUMNS)]
    return {name: names.index(name) for name in (*one_of, *NUMBER_COLUMNS) if name is not None and name in names}


def _refuse_more_than_memory(unpacked: int) -> None:
    if unpacked > MOST_BYTES:
        raise ValueError(
            f"it unpacks to {unpacked / 1e9:,.1f} GB, and a file of bars may take {MOST_BYTES / 1e9:.1f} GB. "
            "Give a directory of smaller files, such as one for each symbol"
        )


def _read_parquet(path: Path) -> Columns:
    with pq.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    names = [plain_name(name) for name in schema.names]
    used = _used(names)
    for name, number in used.items():
        _refuse_kind(name, schema.types[number])
    spelled = [schema.names[number] for number in used.values()]
    _refuse_more_than_memory(_parquet_bytes(metadata, len(used)))
    # Text stays a code into a dictionary: a file names a long text once, and has it in any number of rows.
    text = [name for name, number in zip(spelled, used.values(), strict=True) if _is_text(schema.types[number])]
    # Not `read_table`, which reads through a module that imports pandas.
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=text) as file:
        table = file.read(columns=spelled)
    at = dict(zip(used, (table.column_names.index(name) for name in spelled), strict=True))
    # What names symbols is only ever encoded, for which it stays in Arrow.
    values = {
        name: table.column(number) if name in SYMBOL_COLUMNS else _column(table.column(number))
        for name, number in at.items()
    }
    columns = Columns(names, values, np.arange(table.num_rows))
    # Arrow holds on to what it read through, which is as much as what it read.
    del table
    pa.default_memory_pool().release_unused()
    return columns


def _parquet_bytes(metadata: Any, columns: int) -> int:
    """What a file takes once it is read: its pages unpacked, or its cells where a page repeats one.

    By row group: to ask for a column's own size ends the whole process if the file's statistics are damaged.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    pages = sum(int(group.total_byte_size) for group in groups)
    cells = sum(int(group.num_rows) for group in groups) * columns
    return max(pages, cells * _BYTES_A_CELL)


def _refuse_kind(name: str, kind: Any) -> None:
    """Refuse what no cell of a column can be parsed from: a boolean is no number, nor is a list."""
    types = pa.types
    value = kind.value_type if types.is_dictionary(kind) else kind
    known = types.is_null(value) or _is_text(value) or types.is_integer(value) or types.is_floating(value)
    if name in TIME_COLUMNS:
        if not (known or types.is_date(value) or types.is_timestamp(value)):
            raise ValueError(f"column {name} holds {kind}, which is no date or time")
    elif not (known or types.is_decimal(value)):
        raise ValueError(f"column {name} holds {kind}, which is no {'text' if name in SYMBOL_COLUMNS else 'number'}")


def _is_text(kind: Any) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    # Some writers do not say of their bytes that they are text.
    return any(test(kind) for test in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary))


def _column(column: "pa.ChunkedArray[Any]") -> Any:
    """An Arrow column as `Columns` has it; Arrow's own ways to numpy, and to a missing value, would import pandas."""
    kind = column.type
    if _is_text(kind):
        return pa.chunked_array([encoded(column)]).to_pandas()
    if pa.types.is_dictionary(kind):
        return _column(column.cast(kind.value_type))
    if pa.types.is_decimal(kind):
        return _column(column.cast(pa.float64()))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _zoned(column)
    if not column.null_count:
        if pa.types.is_date(kind):
            return _column(column.cast(pa.timestamp("ms")))
        if pa.types.is_timestamp(kind):
            return np.from_dlpack(column.cast(pa.int64()).combine_chunks()).view(f"datetime64[{kind.unit}]")
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            return np.from_dlpack(column.combine_chunks())
    return column.to_pandas(date_as_object=False)


def _zoned(column: "pa.ChunkedArray[Any]") -> "pd.Series[Any]":
    """Times of a zone, missing where pandas could neither convert nor show them."""
    units = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    ticks = column.cast(pa.int64())
    first, last = (pa.scalar(min(max(day * 86400 * units, -(2**63)), 2**63 - 1)) for day in _ZONED_DAYS)
    shown = pc.and_(pc.greater_equal(ticks, first), pc.less_equal(ticks, last))
    try:
        times: pd.Series[Any] = pc.if_else(shown, column, pa.scalar(None, column.type)).to_pandas()
        return times
    except LookupError as error:
        raise ValueError(f"it has times of the zone {column.type.tz}, which nobody knows") from error


def _refuse_cut(path: Path) -> None:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read() not in (b"\n", b"\r", b""):
            raise ValueError("it does not end with a line end, so it is cut or still being written")


def _csv_header(path: Path) -> list[str]:
    """Plain names of the columns; pandas would give a name that stands there twice another end."""
    import pandas as pd

    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, skip_blank_lines=False)
    return [plain_name(name) for name in header.iloc[0]]


def _read_csv(path: Path) -> Columns:
    import pandas as pd

    _refuse_cut(path)
    names = _csv_header(path)
    _refuse_more_than_memory(_csv_bytes(path, len(names)))
    # A symbol such as NA, TRUE or 005930 is a name, whatever else it looks like; an empty cell is none.
    labels = [str(number) for number in range(len(names))]
    symbols = [label for label, name in zip(labels, names, strict=True) if name in SYMBOL_COLUMNS]
    frame = pd.read_csv(
        path,
        low_memory=False,
        header=0,
        names=labels,
        dtype=dict.fromkeys(symbols, str),
        keep_default_na=False,
        na_values={label: [""] if label in symbols else _MISSING for label in labels},
        # Empty lines count, so that errors name a row by its line.
        skip_blank_lines=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    frame = frame.dropna(how="all")
    stripped = {label: frame[label].str.strip() for label in symbols}
    # A CSV file's first row of data is its second line.
    return Columns.of(frame.assign(**stripped).set_axis(names, axis=1), row_offset=2)


def _csv_bytes(path: Path, columns: int) -> int:
    """What the columns take at most once they are read: an empty line has as many cells as any other."""
    size = path.stat().st_size
    if size * columns * _BYTES_A_CELL <= MOST_BYTES:
        return size
    ends = {b"\n": 0, b"\r": 0}
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            ends = {end: count + block.count(end) for end, count in ends.items()}
    return max(size, max(ends.values()) * columns * _BYTES_A_CELL)
