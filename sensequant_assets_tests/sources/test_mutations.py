"""Claims about files of bars that nobody meant: small ones, changed at random."""

import csv
import datetime
import decimal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensequant_assets.core.bars import PRICES, Bars
from sensequant_assets.core.samples import build_samples
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.sources.files import FileBars

SYMBOLS = ("AAA", "BBB")
ROWS = 80
FILES_A_PART = 60
Rng = np.random.Generator
Table = list[tuple[str, list[Any]]]
"""Columns with their names, of which two may be the same."""

CELLS: tuple[Any, ...] = (
    None, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e-320, 1e-200, -0.0, 0.0, -1, 1e12, 1e300,
    2**53, 2**53 + 1, 2**63, 2**64, 10**30, 20240301, True, False,
    "True", "", " ", "ten", "1,000", "1e400", "1e-400", "0x10", "1_000", "inf", "-inf", "NA", "null", "9" * 400,
    "\x00", "a\nb", '"', "x" * 5000,
    "0001-01-01", "0001-01-01T00:00:00Z", "1899-12-30", "1900-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00",
    "2262-04-12", "10000-01-01", "-5", "1704412800000", "45296", "24:00", "09:15", "today", "now", "2024-02-30",
    "2024-03-01T09:15:00Z", "2024-03-01T09:15:00+05:30", "2024-03-01T09:15:00+99:99",
)  # fmt: skip

KINDS: tuple[Callable[[int], Any], ...] = (
    lambda rows: [number % 2 == 0 for number in range(rows)],
    lambda rows: [True if number % 2 else None for number in range(rows)],
    lambda rows: [None] * rows,
    lambda rows: [[1.0, 2.0]] * rows,
    lambda rows: [{"a": 1.0}] * rows,
    lambda rows: [b"12.5"] * rows,
    lambda rows: [b"\xff\xfe"] * rows,
    lambda rows: [decimal.Decimal(number) / 7 for number in range(1, rows + 1)],
    lambda rows: [datetime.date(2024, 1, 1) + datetime.timedelta(number) for number in range(rows)],
    lambda rows: [datetime.time(9, 15)] * rows,
    lambda rows: [datetime.timedelta(number) for number in range(rows)],
    lambda rows: pa.array(["12.5", "100"] * (rows // 2) + ["x"] * (rows % 2)).dictionary_encode(),
    lambda rows: pa.array(np.arange(rows) + 0.5).dictionary_encode(),
    lambda rows: pa.array(np.arange(rows) * 86400 + 2**31, pa.timestamp("s", "Asia/Kolkata")),
    lambda rows: pa.array(np.arange(rows) * 86400 + 2**30, pa.timestamp("s", "UTC")),
    lambda rows: pa.array(np.arange(rows), pa.timestamp("s", "Mars/Phobos")),
    lambda rows: pa.array(np.arange(rows) + 2**62, pa.timestamp("ms", "America/New_York")),
    lambda rows: pa.array(np.arange(rows) + 2**62, pa.timestamp("us")),
    lambda rows: pa.array(np.arange(rows) * 86400 * 10**9 - 2**62, pa.timestamp("ns")),
    lambda rows: np.arange(rows, dtype=np.uint64) + np.uint64(2**63),
    lambda rows: np.arange(1, rows + 1, dtype=np.float16),
    lambda rows: np.arange(rows).astype(np.int8),
    lambda rows: 20240101 + np.arange(rows),
    lambda rows: np.linspace(1e-9, 1e9, rows),
    lambda rows: 10.0 ** np.resize([-300, 300], rows),
)
NAMES = (
    "close", "Close", " volume ", "adj_close", "Adj Close", "date", "time", "symbol", "ticker", "", "x" * 5000,
    "öffnung", "close.1", "low.high", "\n",
)  # fmt: skip


def history(rng: Rng, symbol: str) -> Table:
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, ROWS)))
    days = [str(np.datetime64("2024-01-01") + day) for day in range(ROWS)]
    columns = {"open": close, "high": close * 1.02, "low": close * 0.98, "close": close, "adj_close": close * 0.9}
    numbers = [(name, column.tolist()) for name, column in columns.items()]
    return [("symbol", [symbol] * ROWS), ("date", days), *numbers, ("volume", rng.integers(1, 9_000, ROWS).tolist())]


def other_cells(rng: Rng, table: Table) -> Table:
    at = int(rng.integers(len(table)))
    name, cells = table[at]
    cells = texts_of(cells) if isinstance(cells, pa.Array) else list(cells)
    for row in rng.integers(0, len(cells), int(rng.integers(1, 4))) if cells else ():
        cells[row] = CELLS[rng.integers(len(CELLS))]
    return [*table[:at], (name, cells), *table[at + 1 :]]


def other_kind(rng: Rng, table: Table) -> Table:
    at = int(rng.integers(len(table)))
    column = KINDS[rng.integers(len(KINDS))](len(table[at][1]))
    return [*table[:at], (table[at][0], column), *table[at + 1 :]]


def other_name(rng: Rng, table: Table) -> Table:
    at = int(rng.integers(len(table)))
    return [*table[:at], (NAMES[rng.integers(len(NAMES))], table[at][1]), *table[at + 1 :]]


def other_columns(rng: Rng, table: Table) -> Table:
    kept = rng.permutation(len(table))[int(rng.integers(2)) :]
    return [table[at] for at in kept]


def other_rows(rng: Rng, table: Table) -> Table:
    rows = np.arange(len(table[0][1]))
    choices = (rows[::-1], rng.permutation(rows), rows[:0], rows[:1], np.repeat(rows, 2), np.append(rows, rows[:1]))
    chosen = choices[rng.integers(len(choices))]
    return [
        (name, cells.take(chosen) if isinstance(cells, pa.Array) else [cells[row] for row in chosen])
        for name, cells in table
    ]


CHANGES = (other_cells, other_cells, other_cells, other_kind, other_kind, other_name, other_columns, other_rows)


def other_bytes(rng: Rng, content: bytes) -> bytes:
    at, count = int(rng.integers(len(content))), int(rng.integers(1, 9))
    noise = rng.bytes(count)
    changes = (
        content[:at] + noise + content[at + count :],
        content[:at] + noise + content[at:],
        content[:at] + content[at + count :],
        content[:at] + bytes(count) + content[at + count :],
        content[:at],
    )
    return changes[rng.integers(len(changes))]


def write(table: Table, path: Path) -> None:
    if path.suffix == ".parquet":
        columns = [column_of(cells) for _, cells in table]
        pq.write_table(pa.table(columns, names=[name for name, _ in table]), path)
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([name for name, _ in table])
        writer.writerows(zip(*(texts_of(cells) for _, cells in table), strict=True))


def column_of(cells: Any) -> Any:
    try:
        return pa.array(cells)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        # Cells of several kinds have no column in parquet but one of text.
        return pa.array(texts_of(cells))


def texts_of(cells: Any) -> list[str | None]:
    # Python has no words for some of Arrow's times.
    if isinstance(cells, pa.Array) and pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.int64())
    return [None if cell is None else str(cell) for cell in cells]


def mutated(seed: int, directory: Path) -> Path:
    """Write a file of two symbols, or a directory with a file for each, and change it in one to three places."""
    rng = np.random.default_rng(seed)
    suffix = str(rng.choice([".csv", ".parquet"]))
    tables = {symbol: history(rng, symbol) for symbol in SYMBOLS}
    layout = rng.choice(["one file", "a file a symbol", "a directory with one file"])
    if layout == "a file a symbol":
        files = {directory / f"{symbol}{suffix}": table[1:] for symbol, table in tables.items()}
    else:
        both = [(one[0], one[1] + other[1]) for one, other in zip(*tables.values(), strict=True)]
        files = {directory / f"bars{suffix}": both}
    for path, table in files.items():
        for number in rng.integers(0, len(CHANGES), int(rng.integers(1, 4))):
            table = CHANGES[number](rng, table)
        write(table, path)
        if rng.random() < 0.3:
            path.write_bytes(other_bytes(rng, path.read_bytes()))
    return next(iter(files)) if layout == "one file" else directory


def bars_or_refusal(path: Path, symbol: str) -> Bars | WindowError | UsageError:
    try:
        source = FileBars(path)
        bars = source.bars(Listing(symbol))
    except (WindowError, UsageError) as error:
        return error
    assert all(told.startswith(str(path)) for told in source.left_out)
    return bars


def assert_whole(bars: Bars) -> None:
    """What the rest of the package takes for granted."""
    delivery = bars.delivery
    assert delivery.read == len(delivery.row) + delivery.repeated + delivery.empty + len(delivery.bad)
    assert len(delivery.row) == len(delivery.origin) == len(bars)
    assert len(delivery.bad) <= 0.1 * delivery.read
    prices = np.array([getattr(bars, name) for name in PRICES])
    assert prices.dtype == bars.volume.dtype == np.float64
    assert ((prices >= 1e-12) & (prices <= 1e15)).all()
    assert ((bars.volume >= 0) & (bars.volume < 2**53) & ~np.signbit(bars.volume)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (np.diff(bars.time).astype(int) > 0).all()
    assert (bars.time > np.datetime64("1900-01-01")).all()
    assert (bars.time < np.datetime64("now") + np.timedelta64(2, "D")).all()
    samples = build_samples(bars, Listing(bars.symbol), 5, 0.0)
    # Daily bars have features as soon as their lookbacks are full, whatever the prices.
    assert bars.intraday or np.isfinite(samples.features[50:]).all()


def assert_named(error: WindowError | UsageError, path: Path) -> None:
    assert isinstance(error, UsageError) or error.kind is FailureKind.CORRUPT_BARS
    assert str(path) in str(error)
    assert str(error).endswith(".")
    assert len(str(error)) < 2000


@pytest.mark.filterwarnings("error", "ignore::UserWarning")
@pytest.mark.parametrize("part", range(8))
def test_a_changed_file_has_bars_that_break_no_rule_or_is_refused_in_a_sentence_that_names_it(tmp_path, part):
    seen: Counter[str] = Counter()
    for seed in range(part * FILES_A_PART, (part + 1) * FILES_A_PART):
        (tmp_path / str(seed)).mkdir()
        path = mutated(seed, tmp_path / str(seed))
        for symbol in SYMBOLS:
            told = bars_or_refusal(path, symbol)
            if isinstance(told, Bars):
                assert_whole(told)
            else:
                assert_named(told, path)
            seen[type(told).__name__] += 1
    assert min(seen[name] for name in ("Bars", "WindowError", "UsageError")) > 3, seen
