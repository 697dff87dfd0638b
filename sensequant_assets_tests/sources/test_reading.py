"""Claims about the columns of a file: which are read, which are refused, and how much memory they may take."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.sources import packing
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.packing import BarFile
from sensequant_assets.sources.reading import read_columns
from sensequant_assets_tests.making import bars_frame, written


def arrow_columns(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): pa.array(column) for name, column in frame.items()}


def test_a_date_that_pandas_wrote_as_an_index_is_a_column(tmp_path):
    frame = bars_frame(3).assign(date=lambda rows: pd.to_datetime(rows["date"])).set_index("date")
    written(frame, tmp_path / "TCS.parquet")
    assert len(FileBars(tmp_path).bars(Listing("TCS"))) == 3


@pytest.mark.parametrize("name", ["TCS.csv", "bars.csv", "TCS.parquet", "bars.parquet"])
def test_a_column_that_stands_there_twice_is_refused_in_either_format(tmp_path, name):
    frame = bars_frame(3, symbol="TCS").assign(again=10.5)
    twice = frame.set_axis(pd.Index([*frame.columns[:-1], "close"]), axis=1)
    path, source = tmp_path / name, tmp_path if name.startswith("TCS") else tmp_path / name
    if path.suffix == ".csv":
        twice.to_csv(path, index=False)
    else:
        pq.write_table(pa.table([frame[column].array for column in frame], names=list(twice.columns)), path)
    with pytest.raises(WindowError, match="column close stands there twice for TCS") as caught:
        FileBars(source).bars(Listing("TCS"))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("names", [["symbol", "symbol"], ["Ticker", "ticker"]])
def test_symbols_that_stand_there_twice_are_refused(tmp_path, names):
    frame = bars_frame(3).assign(one="TCS", other="INFY")
    frame.set_axis(pd.Index([*frame.columns[:-2], *names]), axis=1).to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(UsageError, match=rf"bars\.csv cannot be read: column {names[1]} stands there twice\."):
        FileBars(tmp_path / "bars.csv")


@pytest.mark.parametrize(
    ("name", "cells", "said"),
    [
        ("volume", pa.array([True, False, True]), "column volume holds bool, which is no number"),
        ("close", pa.array([[11.0]] * 3), "column close holds list<element: double>, which is no number"),
        ("close", pa.array([{"a": 11.0}] * 3), "column close holds struct<a: double>, which is no number"),
        ("close", pa.array([19_000] * 3, pa.date32()), r"column close holds date32\[day\], which is no number"),
        ("close", pa.array([11] * 3, pa.timestamp("s")), r"column close holds timestamp\[ms\], which is no number"),
        ("close", pa.array([11] * 3, pa.duration("s")), r"column close holds duration\[s\], which is no number"),
        ("close", pa.array([b"11"] * 3, pa.binary(2)), r"column close holds fixed_size_binary\[2\], which is no n"),
        ("date", pa.array([11] * 3, pa.time32("s")), r"column date holds time32\[ms\], which is no date or time"),
        ("date", pa.array([True] * 3), "column date holds bool, which is no date or time"),
        ("symbol", pa.array([["TCS"]] * 3), "column symbol holds list<element: string>, which is no text"),
        ("date", pa.array(range(3), pa.timestamp("s", "Mars/Phobos")), "times of the zone Mars/Phobos, which nobody"),
        ("close", pa.array([b"\xff"] * 3), "Invalid UTF8"),
    ],
)  # fmt: skip
def test_a_parquet_column_of_a_kind_that_holds_no_such_thing_is_refused(tmp_path, name, cells, said):
    frame = bars_frame(3, symbol="TCS")
    columns = arrow_columns(frame) | {name: cells}
    for path, source, error in (
        (tmp_path / "bars.parquet", tmp_path / "bars.parquet", UsageError),
        (tmp_path / "own" / "TCS.parquet", tmp_path / "own", WindowError),
    ):
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), path)
        with pytest.raises(error, match=said) as caught:
            FileBars(source).bars(Listing("TCS"))
        assert f"{path} cannot be read: " in str(caught.value)


@pytest.mark.parametrize(
    "kind",
    [pa.float32(), pa.float16(), pa.int8(), pa.uint64(), pa.decimal128(9, 2), pa.decimal256(50, 9), pa.string(),
     pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.float64()), pa.dictionary(pa.int32(), pa.string())],
)  # fmt: skip
@pytest.mark.parametrize("missing", [False, True])
def test_numbers_of_a_parquet_file_may_be_of_any_kind(tmp_path, kind, missing):
    frame = bars_frame(3)
    whole = pa.array(frame["close"])
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_binary(value) or pa.types.is_string(value) or pa.types.is_large_string(value)
    close = pa.array(["11.0", "11.0", None if missing else "11.0"]) if text else whole
    close = close.cast(value)
    if missing and not text:
        close = pa.concat_arrays([close[:2], pa.nulls(1, value)])
    if pa.types.is_dictionary(kind):
        close = close.dictionary_encode()
    columns = arrow_columns(frame) | {"close": close}
    pq.write_table(pa.table(columns), tmp_path / "TCS.parquet")
    if missing:
        with pytest.raises(WindowError, match="row 2: TCS: close is not a number"):
            FileBars(tmp_path).bars(Listing("TCS"))
    else:
        assert FileBars(tmp_path).bars(Listing("TCS")).close.tolist() == [11.0] * 3


def test_columns_of_no_bar_are_not_read_whatever_they_hold(tmp_path):
    frame = bars_frame(3, symbol="TCS")
    columns = arrow_columns(frame)
    other = {"time": pa.array([[1]] * 3), "close.x": pa.array([{"a": b"\xff"}] * 3), "on": pa.array([True] * 3)}
    pq.write_table(pa.table(other | columns), tmp_path / "bars.parquet")
    assert len(FileBars(tmp_path / "bars.parquet").bars(Listing("TCS"))) == 3


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("layout", ["a file", "a file a symbol", "a directory of tables"])
def test_a_small_parquet_file_that_unpacks_to_a_thousandfold_is_refused_before_it_is_read(
    tmp_path, monkeypatch, layout, compression
):
    monkeypatch.setattr(packing, "MOST_BYTES", 45_000_000)
    count = 10**6
    table = pa.table({name: pa.array(np.ones(count)) for name in arrow_columns(bars_frame(1))})
    if layout != "a file a symbol":
        table = table.append_column("symbol", pa.array(["TCS"]).take(np.zeros(count, np.int64)))
    path = tmp_path / "TCS.parquet"
    # Without compression the pages are as small as the file, and say that they repeat one cell.
    pq.write_table(table, path, compression=compression, use_dictionary=compression == "none")
    assert path.stat().st_size < 50_000
    said = r"TCS\.parquet cannot be read: it unpacks to \d\.\d GB, and a file of bars may take \d\.\d GB\. Give"
    with pytest.raises(UsageError if layout == "a file" else WindowError, match=said):
        FileBars(path if layout == "a file" else tmp_path).bars(Listing("TCS"))


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_empty_lines_of_a_csv_file_take_memory_like_others(tmp_path, monkeypatch, end):
    monkeypatch.setattr(packing, "MOST_BYTES", 8 * 7 * 1000)
    header = b"symbol,date,open,high,low,close,volume"
    path = tmp_path / "bars.csv"
    path.write_bytes(header + end * 1000)
    assert len(FileBars(path).bars(Listing("TCS"))) == 0
    path.write_bytes(header + end * 1001)
    with pytest.raises(UsageError, match=r"bars\.csv cannot be read: it unpacks to 0\.0 GB"):
        FileBars(path)


def test_a_long_text_that_a_parquet_file_repeats_is_held_once(tmp_path):
    count = 40_000
    long = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array(["x" * 100_000]))
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.table({"symbol": long, "date": long}), path, store_schema=False)
    assert path.stat().st_size < 50_000
    before = pa.total_allocated_bytes()
    columns = read_columns(BarFile(path))
    assert columns.values["date"].iloc[-1] == "x" * 100_000
    assert pa.total_allocated_bytes() - before < 2_000_000
