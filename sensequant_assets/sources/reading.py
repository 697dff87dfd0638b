"""Files of bars as columns: text through pandas, parquet and feather through Arrow."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensequant_assets.sources.headers import CLOCK, NUMBERS, SERIES, TIME, Roles, plain_name, roles_of
from sensequant_assets.sources.packing import BarFile, refuse_more_than_memory
from sensequant_assets.sources.text import TextForm, decimal_mark, levels_of, refuse_cut, text_form, text_source

if TYPE_CHECKING:
    import pandas as pd

UNREADABLE = (ValueError, OSError, pa.ArrowException)
"""What reading a file raises that is none of bars."""

_MISSING = ["", "-", "--", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
_BYTES_A_CELL = 8
_NAMES_SHOWN, _NAME_LENGTH = 30, 60
_ZONED_DAYS = (-718797, 2932531)
"""Days since 1970 from the year 2 to the year 9998, between which pandas can convert and show times of a zone."""
_PAIR = re.compile(r"\('([^']*)', '([^']*)'\)")
"""A name of two levels as pandas writes it into a parquet file."""

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
        columns = {name: frame.iloc[:, number] for name, number in _used(Header(names), None).items()}
        numbers = {name: column.to_numpy() for name, column in columns.items() if column.dtype.kind in "fiu"}
        return cls(names, columns | numbers, frame.index.to_numpy() + row_offset)

    @classmethod
    def none(cls) -> "Columns":
        """No columns."""
        return cls((), {}, np.arange(0))

    def take(self, positions: NDArray[np.int64]) -> "Columns":
        """Some of the rows."""
        values = {
            name: column[positions] if isinstance(column, np.ndarray) else column.take(positions)
            for name, column in self.values.items()
        }
        return Columns(self.names, values, self.rows[positions])

    @classmethod
    def joined(cls, tables: Sequence["Columns"]) -> "Columns":
        """The rows of tables of the same kinds, one after the other."""
        if len(tables) == 1:
            return tables[0]
        values: dict[str, Any] = {}
        for name, column in tables[0].values.items():
            columns = [table.values[name] for table in tables]
            if isinstance(column, np.ndarray):
                values[name] = np.concatenate(columns)
            else:
                import pandas as pd

                values[name] = pd.concat(columns, ignore_index=True)
        return cls(tables[0].names, values, np.concatenate([table.rows for table in tables]))

    @property
    def kinds(self) -> tuple[object, ...]:
        """What tables must share to be joined."""
        return (*self.names, *((name, type(column), column.dtype) for name, column in self.values.items()))

    def without(self, name: str) -> "Columns":
        """The table without the cells of one column."""
        values = {other: column for other, column in self.values.items() if other != name}
        return Columns(self.names, values, self.rows)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file.

    Attributes
    ----------
    names
        As `plain_name` spells them.
    tickers
        Whose each column is, where the file has columns of several symbols side by side; otherwise empty.
    form
        How the file is written, if it is text.
    """

    names: Sequence[str]
    tickers: Sequence[str] = ()
    form: TextForm | None = None


def listed(names: Sequence[str]) -> str:
    """Names of columns as an error shows them: not all of them, where a file has hundreds."""
    shown = [name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}…" for name in names if name]
    more = f" and {len(shown) - _NAMES_SHOWN:,} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more


def read_header(file: BarFile) -> Header:
    """The columns of a file; the rest of it is not read.

    Raises
    ------
    ValueError, OSError, ArrowException
        It cannot be read, or is not whole.
    """
    if file.kind == "text":
        with file.open() as stream:
            refuse_cut(stream)
            form = text_form(stream)
            return Header(form.names, form.tickers, form)
    source = _source(file)
    if file.kind == "parquet":
        return _arrow_header(pq.read_schema(source).names)
    with pa.ipc.open_file(source) as opened:
        return _arrow_header(opened.schema.names)


def _arrow_header(names: Sequence[str]) -> Header:
    """Names of columns; pandas writes those of two levels as Python shows a pair, and the times as the last one."""
    pairs = [_PAIR.fullmatch(name) for name in names]
    if not names or sum(map(bool, pairs)) < max(1, len(names) - 1):
        return Header([plain_name(name) for name in names])
    time = next((name for name, pair in zip(names, pairs, strict=True) if not pair), "")
    levels = [[time, *(pair[level] for pair in pairs if pair)] for level in (1, 2)]
    fields, tickers = levels_of(levels)
    places = iter(zip(fields[1:], tickers[1:], strict=True))
    named = [next(places) if pair else (plain_name(time), "") for pair in pairs]
    return Header([field for field, _ in named], [ticker for _, ticker in named])


def read_columns(file: BarFile, header: Header | None = None, symbols: int | None = None) -> Columns:
    """A whole file, column by column; one that is not whole is an error.

    Parameters
    ----------
    file
        Which one.
    header
        Its header, where it is known.
    symbols
        Position of the column that names symbols; None for the first that says so.
    """
    header = header or read_header(file)
    used = _used(header, symbols)
    columns, rows = _read(file, header, list(used.values()))
    return Columns(header.names, {name: columns[number] for name, number in used.items() if number in columns}, rows)


def read_side_by_side(file: BarFile, header: Header) -> dict[str, Columns]:
    """A file that has the columns of several symbols side by side, symbol by symbol as it names them."""
    owners = dict.fromkeys(filter(None, header.tickers))
    at = roles_of(header.names).at
    if TIME not in at:
        raise ValueError(f"column date is missing; it has {listed(header.names)}")
    time = at[TIME]
    own = {owner: [number for number, each in enumerate(header.tickers) if each == owner] for owner in owners}
    columns, rows = _read(file, header, [time, *chain.from_iterable(own.values())])
    tables = {}
    for owner, numbers in own.items():
        names = [header.names[number] for number in (time, *numbers)]
        values = {name: columns[(time, *numbers)[number]] for name, number in _used(Header(names), None).items()}
        tables[owner] = Columns(names, values, rows)
    return tables


def _used(header: Header, symbols: int | None) -> dict[str, int]:
    """Where the columns stand that bars are made of, by name; of two with one name the first."""
    roles = roles_of(header.names)
    if symbols is None and roles.named_symbols:
        symbols = roles.symbols[0]
    at = [roles.at[role] for role in (TIME, CLOCK, SERIES, *NUMBERS) if role in roles.at]
    used = {header.names[number]: number for number in (*([] if symbols is None else [symbols]), *at)}
    return {name: header.names.index(name) for name in used}


def _read(file: BarFile, header: Header, numbers: Sequence[int]) -> tuple[dict[int, Any], NDArray[np.int64]]:
    """Columns by position, and the position of each row as the file counts it."""
    if file.kind == "text":
        return _read_text(file, header)
    return (_read_parquet if file.kind == "parquet" else _read_feather)(file, header, numbers)


def encoded(column: Any) -> "pa.DictionaryArray[Any, Any]":
    """A column of text as codes into the different texts it has; null where a row has none."""
    array = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column, from_pandas=True)])
    if not pa.types.is_dictionary(array.type):
        return array.cast(pa.string()).combine_chunks().dictionary_encode()
    codes: Any = array.unify_dictionaries().combine_chunks()
    # A file may spell one text twice in its dictionary.
    texts = codes.dictionary.cast(pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(texts.indices.take(codes.indices), texts.dictionary)


def _source(file: BarFile) -> Any:
    """What Arrow reads: a path where there is one, which it maps."""
    if not file.packed:
        return file.path
    with file.open() as stream:
        return pa.BufferReader(stream.read())


def _read_parquet(file: BarFile, header: Header, numbers: Sequence[int]) -> tuple[dict[int, Any], NDArray[np.int64]]:
    source = _source(file)
    with pq.ParquetFile(source) as opened:
        schema, metadata = opened.schema_arrow, opened.metadata
    numbers = _fit(schema, header, numbers)
    spelled = [schema.names[number] for number in numbers]
    refuse_more_than_memory(_parquet_bytes(metadata, len(numbers)))
    # Text stays a code into a dictionary: a file names a long text once, and has it in any number of rows.
    text = [schema.names[number] for number in numbers if _is_text(schema.types[number])]
    # Not `read_table`, which reads through a module that imports pandas.
    with pq.ParquetFile(source, metadata=metadata, read_dictionary=text) as opened:
        table = opened.read(columns=spelled)
    return _of_table(table, header, dict(zip(numbers, spelled, strict=True)))


def _read_feather(file: BarFile, header: Header, numbers: Sequence[int]) -> tuple[dict[int, Any], NDArray[np.int64]]:
    with pa.ipc.open_file(_source(file)) as opened:
        schema = opened.schema
        numbers = _fit(schema, header, numbers)
        batches, size = [], 0
        for number in range(opened.num_record_batches):
            batch = opened.get_batch(number).select(numbers)
            size += batch.nbytes
            refuse_more_than_memory(size)
            batches.append(batch)
    names = {number: schema.names[number] for number in numbers}
    table = pa.Table.from_batches(batches, pa.schema([schema.field(number) for number in numbers]))
    return _of_table(table, header, names)


def _fit(schema: Any, header: Header, numbers: Sequence[int]) -> list[int]:
    """Positions, without those of columns that nobody needs if nothing in them fits; what must fit is an error."""
    at = roles_of(header.names).at
    fit = []
    for number in dict.fromkeys(numbers):
        kind = schema.types[number]
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        text = pa.types.is_null(value) or _is_text(value)
        if number == at.get(SERIES) and not text:
            continue
        if number == at.get(CLOCK) and not (text or pa.types.is_time(value) or pa.types.is_integer(value)):
            continue
        if number not in (at.get(SERIES), at.get(CLOCK)):
            _refuse_kind(header, number, kind)
        fit.append(number)
    return fit


def _of_table(table: Any, header: Header, names: Mapping[int, str]) -> tuple[dict[int, Any], NDArray[np.int64]]:
    roles = roles_of(header.names)
    at = {number: table.column_names.index(name) for number, name in names.items()}
    # What names symbols is only ever encoded, for which it stays in Arrow.
    columns = {
        number: table.column(place) if number in roles.symbols else _column(table.column(place))
        for number, place in at.items()
        if number != roles.at.get(SERIES)
    }
    if (series := roles.at.get(SERIES)) in at:
        columns[series] = _series(table.column(at[series]))
    rows = np.arange(table.num_rows)
    # Arrow holds on to what it read through, which is as much as what it read.
    del table
    pa.default_memory_pool().release_unused()
    return columns, rows


def _series(column: Any) -> NDArray[np.str_]:
    """The series of each row, in capitals; empty where there is none."""
    coded = encoded(column)
    texts = np.array([str(text).strip().upper() for text in coded.dictionary.to_pylist()] + [""])
    series: NDArray[np.str_] = texts[coded.indices.fill_null(len(texts) - 1).to_numpy()]
    return series


def _parquet_bytes(metadata: Any, columns: int) -> int:
    """What a file takes once it is read: its pages unpacked, or its cells where a page repeats one.

    By row group: to ask for a column's own size ends the whole process if the file's statistics are damaged.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    pages = sum(int(group.total_byte_size) for group in groups)
    cells = sum(int(group.num_rows) for group in groups) * columns
    return max(pages, cells * _BYTES_A_CELL)


def _refuse_kind(header: Header, number: int, kind: Any) -> None:
    """Refuse what no cell of a column can be parsed from: a boolean is no number, nor is a list."""
    types, name, roles = pa.types, header.names[number], roles_of(header.names)
    value = kind.value_type if types.is_dictionary(kind) else kind
    known = types.is_null(value) or _is_text(value) or types.is_integer(value) or types.is_floating(value)
    if number == roles.at.get(TIME):
        if not (known or types.is_date(value) or types.is_timestamp(value)):
            raise ValueError(f"column {name} holds {kind}, which is no date or time")
    elif not (known or types.is_decimal(value)):
        raise ValueError(f"column {name} holds {kind}, which is no {'text' if number in roles.symbols else 'number'}")


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


def _read_text(file: BarFile, header: Header) -> tuple[dict[int, Any], NDArray[np.int64]]:
    form = header.form
    if form is None:
        raise TypeError(f"{file} is no text")
    roles = roles_of(form.names)
    # A symbol such as NA, TRUE or 005930 is a name, whatever else it looks like, and 0915 a time; no cell is none.
    symbols = {str(number) for number in roles.symbols}
    texts = symbols | {str(roles.at[role]) for role in (TIME, CLOCK, SERIES) if role in roles.at}
    with file.open() as stream:
        refuse_cut(stream)
        source = text_source(stream, form, _BYTES_A_CELL)
        frame = _frame(source, form, texts, symbols, ".")
        numbers = _numbers(form, roles)
        if decimal_mark(_spelled_numbers(frame, numbers), form.delimiter) == ",":
            source.seek(0)
            frame = _frame(source, form, texts, symbols, ",")
    stripped = {label: frame[label].str.strip() for label in texts}
    frame = frame.assign(**stripped).dropna(how="all")
    columns = {int(label): frame[label] for label in frame.columns}
    plain = {number: column.to_numpy() for number, column in columns.items() if column.dtype.kind in "fiu"}
    if SERIES in roles.at:
        plain[roles.at[SERIES]] = _series(columns[roles.at[SERIES]])
    # A text file's first row of data is the line after its header.
    return columns | plain, frame.index.to_numpy() + form.lines + 1


def _frame(source: BinaryIO, form: TextForm, texts: set[str], symbols: set[str], decimal: str) -> "pd.DataFrame":
    """The table of a file, its columns labelled by their position."""
    import pandas as pd

    labels = [str(number) for number in range(len(form.names))]
    frame = pd.read_csv(
        source,
        sep=form.delimiter,
        skipinitialspace=form.padded,
        decimal=decimal,
        thousands="." if decimal == "," else None,
        low_memory=False,
        skiprows=form.lines - 1,
        header=0,
        names=labels,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values={label: [""] if label in symbols else _MISSING for label in labels},
        # Empty lines count, so that errors name a row by its line.
        skip_blank_lines=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    return frame


def _numbers(form: TextForm, roles: Roles) -> list[str]:
    """Labels of the columns of numbers; side by side, of every symbol's."""
    if any(form.tickers):
        return [str(number) for number, ticker in enumerate(form.tickers) if ticker]
    return [str(roles.at[role]) for role in NUMBERS if role in roles.at]


def _spelled_numbers(frame: "pd.DataFrame", labels: Sequence[str]) -> Iterator[str]:
    """Cells of columns of numbers, if some have commas in them: those that are text first."""
    texts = [frame[label].dropna().astype(str).str.strip() for label in labels if frame[label].dtype.kind not in "fiub"]
    with_commas = [column[column.str.contains(",", regex=False)] for column in texts]
    if not any(map(len, with_commas)):
        return
    yield from chain.from_iterable(with_commas)
    yield from chain.from_iterable(texts)
    for label in labels:
        if frame[label].dtype.kind == "f":
            yield from map(str, frame[label].dropna().unique())
