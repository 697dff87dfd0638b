"""Claims about bars and universes in files."""

from datetime import date
from typing import Any

import pandas as pd
import pytest

from sensequant_assets.core.renames import Alias
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.notes import told
from sensequant_assets.sources.packing import bars_files
from sensequant_assets.sources.universes import read_universe
from sensequant_assets_tests.making import bars_frame, with_cell, written


def two_symbols() -> pd.DataFrame:
    """Interleaved bars of TCS (closed at 11) and INFY (closed at 10.5)."""
    both = [bars_frame(3, symbol="TCS"), bars_frame(3, symbol="INFY", close=10.5)]
    return pd.concat(both).sort_values(["date", "symbol"]).reset_index(drop=True)


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
def test_one_file_has_the_bars_of_every_symbol(tmp_path, name):
    source = FileBars(written(two_symbols(), tmp_path / name))
    assert source.bars(Listing("TCS")).close.tolist() == [11.0] * 3
    infy = source.bars(Listing("INFY"))
    assert infy.symbol == "INFY"
    assert infy.close.tolist() == [10.5] * 3
    assert infy.time.astype(str).tolist() == ["2024-01-01T00:00:00", "2024-01-02T00:00:00", "2024-01-03T00:00:00"]


def test_a_directory_has_one_file_a_symbol_in_either_format(tmp_path):
    written(bars_frame(3), tmp_path / "TCS.csv")
    written(bars_frame(2, close=10.5), tmp_path / "M&M.parquet")
    source = FileBars(tmp_path)
    assert source.bars(Listing("TCS")).close.tolist() == [11.0] * 3
    assert source.bars(Listing("M&M")).close.tolist() == [10.5] * 2


def directory_of_two(path):
    """A file a symbol, each with a column that names it."""
    for symbol, close in (("TCS", 11.0), ("INFY", 10.5)):
        written(bars_frame(3, symbol=symbol, close=close), path / f"{symbol}.parquet")
    universe = Universe("two", (Listing("TCS"), Listing("INFY")))
    return FileBars(path, universe=universe), universe


@pytest.mark.parametrize("kept", [0, 2**20])
def test_rows_of_many_files_of_one_symbol_are_read_when_they_are_asked_for(tmp_path, monkeypatch, kept):
    monkeypatch.setattr("sensequant_assets.sources.files.KEPT_BYTES", kept)
    source, universe = directory_of_two(tmp_path)
    assert [table.size > 0 for table in source._index.tables] == [kept > 0] * 2
    assert [source.bars(listing).close.tolist() for listing in universe.listings] == [[11.0] * 3, [10.5] * 3]
    assert [table.size > 0 for table in source._index.tables] == [kept > 0] * 2


def test_a_file_that_is_another_symbols_when_it_is_read_again_costs_its_symbol(tmp_path, monkeypatch):
    monkeypatch.setattr("sensequant_assets.sources.files.KEPT_BYTES", 0)
    source, universe = directory_of_two(tmp_path)
    written(bars_frame(3, symbol="SBIN"), tmp_path / "TCS.parquet")
    with pytest.raises(WindowError, match=r"TCS\.parquet.*TCS is gone"):
        source.bars(universe.listings[0])
    assert len(source.bars(universe.listings[1])) == 3


def test_a_symbol_that_is_not_there_has_no_rows(tmp_path):
    file = written(two_symbols(), tmp_path / "bars.csv")
    assert len(FileBars(file).bars(Listing("SBIN"))) == 0
    assert len(FileBars(tmp_path).bars(Listing("SBIN"))) == 0


def test_a_vendors_code_names_the_rows_and_the_file(tmp_path):
    file = written(two_symbols(), tmp_path / "bars.csv")
    written(bars_frame(2), tmp_path / "INFY.NS.csv")
    assert len(FileBars(file).bars(Listing("INFOSYS", vendor_code="INFY"))) == 3
    bars = FileBars(tmp_path).bars(Listing("INFY", vendor_code="INFY.NS"))
    assert (bars.symbol, len(bars)) == ("INFY", 2)


def test_a_column_named_ticker_serves_as_symbol(tmp_path):
    file = written(two_symbols().rename(columns={"symbol": "Ticker"}), tmp_path / "bars.csv")
    assert len(FileBars(file).bars(Listing("TCS"))) == 3


@pytest.mark.parametrize("symbol", ["NA", "NULL", "TRUE", "005930", "1E5"])
@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
def test_a_symbol_that_looks_like_something_else_is_a_symbol(tmp_path, symbol, name):
    file = written(bars_frame(3, symbol=symbol), tmp_path / name)
    assert len(FileBars(file).bars(Listing(symbol))) == 3


def test_a_broken_row_costs_only_its_symbol_and_is_named_by_its_line(tmp_path):
    # Lines: header, INFY, TCS, INFY, TCS, ...: position 3 is the second bar of TCS, on the fifth line.
    file = written(with_cell(two_symbols(), 3, "close", "eleven"), tmp_path / "bars.csv")
    source = FileBars(file)
    with pytest.raises(WindowError) as caught:
        source.bars(Listing("TCS"))
    assert str(caught.value) == f"{file}, row 5: TCS: close is not a number (close is eleven)."
    assert file.read_text().splitlines()[5 - 1].count("eleven") == 1
    assert source.bars(Listing("INFY")).close.tolist() == [10.5] * 3


@pytest.mark.parametrize("name", ["TCS.csv", "bars.csv"])
def test_empty_lines_of_a_csv_file_are_no_bars_and_still_counted(tmp_path, name):
    lines = bars_frame(4, symbol="TCS").to_csv(index=False).splitlines()
    file = tmp_path / name
    source = tmp_path if name == "TCS.csv" else file
    file.write_text("\n".join([*lines[:2], "", "", *lines[2:], "", ""]))
    assert len(FileBars(source).bars(Listing("TCS"))) == 4
    lines[3] = lines[3].replace("12.0", "1.0")
    file.write_text("\n".join([*lines[:2], "", "", *lines[2:], "", ""]))
    with pytest.raises(WindowError, match="row 6: TCS: high is below open or close") as caught:
        FileBars(source).bars(Listing("TCS"))
    assert str(file) in str(caught.value)


def test_a_broken_row_of_a_parquet_file_is_named_by_its_position(tmp_path):
    # A frame that was filtered before it was written keeps gaps in its index; the file has none.
    frame = with_cell(bars_frame(4), 2, "volume", -1.0).astype({"volume": float}).set_axis([10, 20, 30, 40])
    written(frame, tmp_path / "TCS.parquet")
    with pytest.raises(WindowError, match="row 2: TCS: volume is negative"):
        FileBars(tmp_path).bars(Listing("TCS"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("TCS.csv", b""),
        ("TCS.csv", b"\xff\xfe\x00date,open"),
        ("TCS.csv", b"date,open,high,low,close,volume\n2024-01-01,1,2,3,4,5,6\n"),
        ("TCS.csv", b"date,open,high,low,close,volume\n2024-01-01,1,2,1,2,5\n2024-01-02,1,2,1,2,5,6\n"),
        ("TCS.parquet", b"PAR1 and nothing more"),
        ("TCS.parquet", b""),
    ],
)
def test_a_file_that_cannot_be_read_costs_only_its_symbol(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    written(bars_frame(3), tmp_path / "INFY.csv")
    source = FileBars(tmp_path)
    with pytest.raises(WindowError) as caught:
        source.bars(Listing("TCS"))
    assert caught.value.kind is FailureKind.CORRUPT_BARS
    assert str(caught.value).startswith(f"{tmp_path / name} cannot be read: ")
    assert len(source.bars(Listing("INFY"))) == 3


def test_a_path_without_anything_is_refused_with_how_to_give_one(tmp_path):
    with pytest.raises(UsageError, match=r"There are no bars at .*missing: No such file .*\. Give a file .*--bars"):
        FileBars(tmp_path / "missing")


def test_a_file_of_another_kind_is_refused(tmp_path):
    for name, why in (("bars.xlsx", "a workbook: save its sheet as CSV"), ("bars.h5", "neither .csv nor .parquet")):
        (tmp_path / name).write_text("")
        with pytest.raises(UsageError, match=rf"{name} is {why}\. Bars are files of \.csv, "):
            FileBars(tmp_path / name)


def test_one_file_without_symbols_is_refused_at_once(tmp_path):
    file = written(bars_frame(3), tmp_path / "bars.csv")
    with pytest.raises(UsageError, match="has no column 'symbol'; it has date, open, high, low, close, volume"):
        FileBars(file)


def test_one_file_that_cannot_be_read_is_refused_at_once(tmp_path):
    (tmp_path / "bars.parquet").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"bars\.parquet cannot be read: "):
        FileBars(tmp_path / "bars.parquet")


def test_zoned_times_of_a_file_become_exchange_time(tmp_path):
    file = written(bars_frame(1, symbol="TCS", date=["2024-01-01T20:00:00+00:00"]), tmp_path / "bars.csv")
    bars = FileBars(file, "Asia/Kolkata").bars(Listing("TCS"))
    assert bars.time.astype(str).tolist() == ["2024-01-02T01:30:00"]


def test_a_universe_is_named_after_its_file(tmp_path):
    (tmp_path / "nifty.csv").write_text("symbol,name\nTCS,Tata\nNA,\n")
    universe = read_universe(tmp_path / "nifty.csv")
    assert (universe.name, universe.symbols) == ("nifty", ("NA", "TCS"))


def test_a_bad_row_of_a_universe_is_named_by_its_line_past_empty_ones(tmp_path):
    (tmp_path / "u.csv").write_text("symbol,listing_date\nTCS,2004-08-25\n\n\nLICI,soon\n\n")
    with pytest.raises(UsageError, match=r"u\.csv, row 5: listing_date 'soon' is not a date"):
        read_universe(tmp_path / "u.csv")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'symbol\n"TCS'])
def test_what_is_no_universe_is_refused(tmp_path, content):
    (tmp_path / "u.csv").write_bytes(content)
    with pytest.raises(UsageError, match=r"u\.csv"):
        read_universe(tmp_path / "u.csv")


def test_a_missing_universe_is_refused_with_how_to_give_one(tmp_path):
    with pytest.raises(UsageError, match=r"There is no universe file .* Give one with --universe"):
        read_universe(tmp_path / "u.csv")


def days(first: int, last: int, **columns: Any) -> pd.DataFrame:
    """Bars of some days of January 2024, closed at 10 and the day's number in hundredths."""
    numbers = range(first, last + 1)
    frame = bars_frame(len(numbers), date=[f"2024-01-{day:02d}" for day in numbers])
    return frame.assign(close=[10 + day / 100 for day in numbers], **columns)


@pytest.mark.parametrize("own", ["TCS.csv", "TCS.parquet"])
@pytest.mark.parametrize("newest", ["2024-01-05.csv", "newest.parquet"])
def test_a_file_of_new_days_for_several_symbols_adds_them_to_each(tmp_path, own, newest):
    written(days(1, 3), tmp_path / own)
    written(days(1, 4), tmp_path / "INFY.csv")
    written(pd.concat([days(4, 5, symbol="TCS"), days(5, 5, symbol="INFY")]), tmp_path / newest)
    source = FileBars(tmp_path)
    assert source.bars(Listing("TCS")).close.tolist() == [10.01, 10.02, 10.03, 10.04, 10.05]
    assert source.bars(Listing("INFY")).close.tolist() == [10.01, 10.02, 10.03, 10.04, 10.05]


def test_bars_of_several_files_are_in_time_order_whatever_the_files_are_called(tmp_path):
    written(days(3, 4, symbol="TCS"), tmp_path / "a.csv")
    written(days(1, 2, symbol="TCS"), tmp_path / "b.csv")
    written(days(5, 5), tmp_path / "TCS.csv")
    assert FileBars(tmp_path).bars(Listing("TCS")).close.tolist() == [10.01, 10.02, 10.03, 10.04, 10.05]


def test_the_same_bars_in_several_files_are_taken_once(tmp_path):
    written(days(1, 3), tmp_path / "TCS.csv")
    written(days(2, 4), tmp_path / "TCS.parquet")
    written(days(3, 4, symbol="TCS"), tmp_path / "again.csv")
    assert FileBars(tmp_path).bars(Listing("TCS")).close.tolist() == [10.01, 10.02, 10.03, 10.04]


def test_two_files_that_tell_a_bar_differently_cost_its_symbol_and_are_both_named(tmp_path):
    own = written(days(1, 3), tmp_path / "TCS.csv")
    newest = written(
        with_cell(pd.concat([days(3, 4, symbol="INFY"), days(3, 4, symbol="TCS")]), 2, "close", 11.5),
        tmp_path / "n.csv",
    )
    source = FileBars(tmp_path)
    with pytest.raises(WindowError) as caught:
        source.bars(Listing("TCS"))
    assert caught.value.kind is FailureKind.CORRUPT_BARS
    # The third day is line 4 of the symbol's own file, and line 4 of the other one after two lines of INFY.
    assert str(caught.value).startswith(
        f"{newest}, row 4: TCS: close of 2024-01-03T00:00:00 is 11.5, and 10.03 in {own}, row 4."
    )
    assert len(source.bars(Listing("INFY"))) == 2


ALIASES = {"LTI": Alias("LTIM", date(2024, 1, 4)), "LTM": Alias("LTIM")}
LTIM = Universe("u", (Listing("LTIM"),))


def test_bars_under_other_symbols_of_a_company_are_its_own_up_to_the_day_on_which_each_was_given_up(tmp_path):
    written(days(1, 5), tmp_path / "LTI.csv")
    written(days(4, 7), tmp_path / "LTIM.csv")
    written(days(8, 9, symbol="LTM"), tmp_path / "newest.csv")
    source = FileBars(tmp_path, universe=LTIM, aliases=ALIASES)
    bars = source.bars(Listing("LTIM"))
    assert [str(day)[8:10] for day in bars.time] == [f"{day:02d}" for day in range(1, 10)]
    assert bars.delivery.read == len(bars) == 9
    said = told(source.notes)
    assert "Names that are taken for symbols: LTI for LTIM, LTM for LTIM." in said
    left_out = f"Rows of LTI from 2024-01-04 on, when it was given up, are left out: 2 in {tmp_path / 'LTI.csv'}."
    assert left_out in said


def test_two_spellings_of_one_alias_are_refused_as_those_of_a_symbol_are(tmp_path):
    written(days(1, 3), tmp_path / "LTI.csv")
    written(days(1, 3), tmp_path / "LTI.NS.csv")
    with pytest.raises(WindowError, match=r"LTI\.csv has bars of LTI, and .* of LTI\.NS: both names stand for LTIM"):
        FileBars(tmp_path, universe=LTIM, aliases=ALIASES).bars(Listing("LTIM"))


def test_files_on_two_bases_of_adjustment_are_not_mixed(tmp_path):
    written(days(1, 3, adj_close=[9.0, 9.0, 9.0]), tmp_path / "TCS.csv")
    written(days(3, 4, adj_close=[8.0, 8.0], symbol="TCS"), tmp_path / "n.csv")
    with pytest.raises(WindowError, match="deliver all of the symbol's bars on one basis"):
        FileBars(tmp_path).bars(Listing("TCS"))


def test_a_cut_file_that_is_named_for_a_symbol_fails_that_symbol(tmp_path):
    whole = written(days(1, 3), tmp_path / "TCS.csv")
    whole.write_text(whole.read_text()[:-7])
    written(days(4, 5, symbol="TCS"), tmp_path / "n.csv")
    source = FileBars(tmp_path)
    with pytest.raises(WindowError, match=r"TCS\.csv cannot be read: it does not end with a line end"):
        source.bars(Listing("TCS"))
    assert list(source.broken) == [whole]


@pytest.mark.parametrize("name", ["n.csv", "n.parquet"])
def test_a_cut_file_of_unknown_symbols_is_left_out_whole_and_said(tmp_path, name):
    written(days(1, 3), tmp_path / "TCS.csv")
    cut = written(days(4, 9, symbol="TCS"), tmp_path / name)
    cut.write_bytes(cut.read_bytes()[:-7])
    source = FileBars(tmp_path)
    assert source.bars(Listing("TCS")).close.tolist() == [10.01, 10.02, 10.03]
    assert list(source.broken) == [cut]
    assert str(cut) in source.broken[cut]


def test_one_cut_file_of_all_symbols_is_refused(tmp_path):
    file = written(two_symbols(), tmp_path / "bars.csv")
    file.write_text(file.read_text()[:-2])
    with pytest.raises(UsageError, match=r"bars\.csv cannot be read: it does not end with a line end"):
        FileBars(file)


def test_files_still_being_copied_and_hidden_ones_are_passed_over(tmp_path):
    written(days(1, 3), tmp_path / "TCS.csv")
    for name in ("TCS.csv.tmp", "n.part", ".n.csv", "notes.txt"):
        (tmp_path / name).write_text("half a ")
    (tmp_path / "old.csv").mkdir()
    source = FileBars(tmp_path)
    assert bars_files(tmp_path) == [tmp_path / "TCS.csv"]
    assert len(source.bars(Listing("TCS"))) == 3
    assert source.broken == {}
