"""Tables of bars and features on disk, written under a temporary name and then renamed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sensequant_assets.core.bars import PRICES, BadRow, Bars
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.universe import is_symbol, universe_name
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import open_regular, replacing

_FINGERPRINT = b"sensequant.fingerprint"

_NUMBERS: dict[str, pa.DataType] = dict.fromkeys((*PRICES, "volume"), pa.float64())
BARS = pa.schema([("time", pa.timestamp("s")), *_NUMBERS.items()])
"""Columns of a table of bars."""


def write_parquet(table: pa.Table, path: Path, fingerprint: str) -> Path:
    """Write a table whole or not at all, with the fingerprint of what it shows; its directory is made."""
    with replacing(path) as temporary:
        _write(table, temporary, fingerprint)
    return path


def _write(table: pa.Table, place: Any, fingerprint: str) -> None:
    # Numbers that hardly repeat: three quarters of the bytes of the default encoding, in less time.
    floats: Any = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    stamped = table.replace_schema_metadata({_FINGERPRINT: fingerprint.encode()})
    pq.write_table(stamped, place, compression="zstd", use_dictionary=False, use_byte_stream_split=floats)


def parquet_bytes(table: pa.Table, fingerprint: str) -> bytes:
    """What `write_parquet` writes: with one version of Arrow, equal tables are equal files."""
    sink = pa.BufferOutputStream()
    _write(table, sink, fingerprint)
    return bytes(sink.getvalue())


@dataclass(frozen=True, slots=True)
class Kept:
    """A table on disk, as it was read.

    Attributes
    ----------
    written
        Its bytes.
    table
        Without metadata.
    fingerprint
        Of what it shows; empty where none is written.
    """

    written: bytes
    table: pa.Table
    fingerprint: str


def read_table(path: Path) -> Kept:
    """Read a table of `write_parquet`.

    Raises
    ------
    FileNotFoundError
        There is none.
    OSError
        It cannot be read, or is no such table.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        written = file.read()
    try:
        # Threads that Arrow starts can abort a process that ends while they live (apache/arrow#34314).
        table = pq.read_table(pa.BufferReader(written), use_threads=False, pre_buffer=False)
        stamp = (table.schema.metadata or {}).get(_FINGERPRINT, b"").decode(errors="replace")
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise OSError(f"{path} is no table that can be read ({error})") from error
    return Kept(written, table.replace_schema_metadata(None), stamp)


def table_path(directory: Path, asset: str, universe: str, symbol: str) -> Path:
    """File of a symbol's `bars` or `features` below the data directory; `UsageError` for names that are no path."""
    if not is_symbol(symbol):
        raise UsageError(f"{symbol!r} is not a symbol.")
    return directory / asset / universe_name(universe) / f"{symbol}.parquet"


def is_current(path: Path, fingerprint: str) -> bool:
    """Whether the table on disk shows what the fingerprint stands for."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return bool(metadata.get(_FINGERPRINT) == fingerprint.encode())


def bars_table(bars: Bars) -> pa.Table:
    """Bars as a table with the columns of `BARS`."""
    return pa.table({name: _arrow(getattr(bars, name), BARS.field(name).type) for name in BARS.names}, schema=BARS)


def quarantine_table(bad: Sequence[BadRow]) -> pa.Table:
    """Rows that are no bars as a table: `file`, `row`, the `rule` that each breaks, what it `said`, and its `time`."""
    return pa.table(
        {
            "file": [one.origin for one in bad],
            "row": pa.array([one.row for one in bad], pa.int64()),
            "rule": [one.rule for one in bad],
            "said": [one.why for one in bad],
            "time": pa.array(np.array([one.time for one in bad], "datetime64[s]")),
        }
    )


def features_table(samples: Samples) -> pa.Table:
    """Features, forward return and label as a table; missing values are null."""
    columns = dict(zip(samples.feature_names, samples.features.T, strict=True))
    columns |= {"forward_return": samples.forward_return, "label": samples.label}
    filled = {name: _arrow(column, pa.float64(), ~np.isnan(column)) for name, column in columns.items()}
    return pa.table({"time": _arrow(samples.time, pa.timestamp("s")), **filled})


def _arrow(column: NDArray[np.generic], kind: pa.DataType, known: NDArray[np.bool_] | None = None) -> "pa.Array[Any]":
    """A column as Arrow has it, null where it is not known; Arrow's own way from numpy would import pandas."""
    valid = None
    if known is not None and not known.all():
        # Arrow counts bits from the lowest.
        valid = pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    values = column.astype("datetime64[s]" if pa.types.is_timestamp(kind) else "float64", copy=False)
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(values.tobytes())])
