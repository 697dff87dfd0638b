"""Claims about the layouts in which vendors and exchanges write bars: each is read as it is, or refused by name."""

import gzip
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.core.bars import PRICES, Bars
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.notes import told

SYMBOLS = ("AAA", "BBB")
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def history(symbol: str, rows: int = 45) -> pd.DataFrame:
    """Bars of made-up days of 2024, in hundredths, so that every format keeps them whole."""
    rng = np.random.default_rng(len(symbol) + ord(symbol[0]))
    close = np.round(1000 * np.exp(np.cumsum(rng.normal(0, 0.02, rows))), 2)
    opened = np.append(close[:1], close[:-1])
    days = pd.bdate_range("2023-12-28", periods=rows)
    high, low = np.round(np.maximum(opened, close) + 1.5, 2), np.round(np.minimum(opened, close) - 1.25, 2)
    volume = rng.integers(10_000, 9_000_000, rows)
    columns = {"date": days, "open": opened, "high": high, "low": low, "close": close, "volume": volume}
    return pd.DataFrame(columns)


BARS = {symbol: history(symbol) for symbol in SYMBOLS}
LONG = pd.concat([frame.assign(symbol=symbol) for symbol, frame in BARS.items()]).sort_values(["date", "symbol"])


def source(path: Path, symbols: Sequence[str] = SYMBOLS, timezone: str | None = None) -> FileBars:
    return FileBars(path, timezone, universe=Universe("u", tuple(Listing(symbol) for symbol in symbols)))


def assert_same(bars: Bars, frame: pd.DataFrame) -> None:
    assert bars.time.tolist() == frame["date"].to_numpy("datetime64[s]").tolist()
    for name in (*PRICES, "volume"):
        np.testing.assert_allclose(getattr(bars, name), frame[name].to_numpy(np.float64), rtol=1e-12)


def assert_read(path: Path, **options: str) -> FileBars:
    """Every symbol of the universe has the bars that were written."""
    found = source(path, **options)
    for symbol, frame in BARS.items():
        assert_same(found.bars(Listing(symbol)), frame)
    return found


def write(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))


def lines(frame: pd.DataFrame, template: str) -> list[str]:
    rows: list[dict[Any, Any]] = frame.rename(columns={"date": "day"}).to_dict("records")
    return [template.format(**row) for row in rows]


def plain(frame: pd.DataFrame) -> list[str]:
    return ["Date,Open,High,Low,Close,Volume", *lines(frame, "{day:%Y-%m-%d},{open},{high},{low},{close},{volume}")]


def by_day(write_day: Callable[[pd.Timestamp, pd.DataFrame], None]) -> None:
    for day, frame in LONG.groupby("date"):
        write_day(pd.Timestamp(str(day)), frame)


def test_one_file_a_symbol_is_read(tmp_path):
    for symbol, frame in BARS.items():
        write(tmp_path / f"{symbol}.csv", plain(frame))
    assert assert_read(tmp_path).notes == ()


@pytest.mark.parametrize("column", ["symbol", "Ticker", "SYMBOL", "Name", "Scrip", "tradingsymbol", "stock_code"])
@pytest.mark.parametrize("directory", [False, True])
def test_one_long_file_is_read_whatever_its_column_of_symbols_is_called(tmp_path, column, directory):
    LONG.rename(columns={"symbol": column}).to_csv(tmp_path / "all.csv", index=False)
    assert_read(tmp_path if directory else tmp_path / "all.csv")


def test_one_file_a_day_is_read(tmp_path):
    by_day(lambda day, frame: frame.to_csv(tmp_path / f"{day:%Y%m%d}.csv", index=False))
    assert_read(tmp_path)


@pytest.mark.parametrize("level", ["field first", "ticker first"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_several_tickers_side_by_side_of_yfinance_are_read(tmp_path, level, suffix):
    wide = pd.concat({f"{symbol}.NS": frame.set_index("date") for symbol, frame in BARS.items()}, axis=1)
    wide.columns = wide.columns.set_names(["Ticker", "Price"])
    wide = wide.rename(columns=str.title, level="Price").rename_axis(index="Date")
    if level == "field first":
        wide = wide.swaplevel(axis=1).sort_index(axis=1)
    if suffix == "csv":
        wide.to_csv(tmp_path / "all.csv")
    else:
        wide.to_parquet(tmp_path / "all.parquet")
    found = assert_read(tmp_path / f"all.{suffix}")
    assert told(found.notes) == ["Names that are taken for symbols: AAA.NS for AAA, BBB.NS for BBB."]


def test_the_three_lines_of_yfinance_before_one_ticker_are_read(tmp_path):
    for symbol, frame in BARS.items():
        head = ["Price,Close,High,Low,Open,Volume", f"Ticker,{','.join([f'{symbol}.NS'] * 5)}", "Date,,,,,"]
        write(tmp_path / f"{symbol}.csv", head + lines(frame, "{day:%Y-%m-%d},{close},{high},{low},{open},{volume}"))
    assert_read(tmp_path)


def test_days_on_which_a_ticker_beside_others_has_no_bar_are_none(tmp_path):
    frames = {symbol: frame.set_index("date") for symbol, frame in BARS.items()}
    frames["BBB"] = frames["BBB"].iloc[10:-2]
    wide = pd.concat(frames, axis=1).rename(columns=str.title, level=1).rename_axis(index="Date")
    wide.to_csv(tmp_path / "all.csv")
    assert_same(source(tmp_path).bars(Listing("BBB")), BARS["BBB"].iloc[10:-2])


FULL = (
    "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, "
    "TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER"
)
FULL_ROW = (
    "{symbol}, {series}, {day:%d-%b-%Y}, 1.0, {open}, {high}, {low}, {close}, {close}, {close}, {volume}, 1.5, 10, -, -"
)
UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,OpnPric,HghPric,LwPric,ClsPric,LastPric,"
    "PrvsClsgPric,UndrlygPric,SttlmPric,TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks"
)
UDIFF_ROW = (
    "{day:%Y-%m-%d},{day:%Y-%m-%d},CM,NSE,STK,1,INE0,{symbol},{series},,{open},{high},{low},{close},{close},1.0,,{close},"
    "{volume},1.0,10,F1,1,"
)
OLD = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,"
OLD_ROW = "{symbol},{series},{open},{high},{low},{close},{close},1.0,{volume},1.0,{day:%d-%b-%Y},10,INE0,"


@pytest.mark.parametrize("packed", ["", ".zip", ".gz"])
@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("sec_bhavdata_full_{day:%d%m%Y}.csv", FULL, FULL_ROW),
        ("BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv", UDIFF, UDIFF_ROW),
        ("cm{day:%d%b%Y}bhav.csv", OLD, OLD_ROW),
    ],
)
def test_the_daily_files_of_the_exchange_are_read_and_of_several_series_eq_is_taken(
    tmp_path, name, header, row, packed
):
    def write_day(day: pd.Timestamp, frame: pd.DataFrame) -> None:
        others = frame.assign(series="N1", open=1.0, high=1.0, low=1.0, close=1.0)[frame["symbol"] == "BBB"]
        text = "\n".join([header, *lines(pd.concat([frame.assign(series="EQ"), others]), row), ""])
        file = tmp_path / f"{name.format(day=day)}{packed}"
        if packed == ".zip":
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(name.format(day=day), text)
        else:
            file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    by_day(write_day)
    said = told(assert_read(tmp_path).notes)
    assert any(
        line.startswith("Rows of the series N1 are left out, and those of EQ are taken: 45 in ") for line in said
    )
    assert all("not used" in line for line in said if "series" not in line)


def test_the_archive_of_one_security_is_read_newest_first_with_its_padded_and_quoted_cells(tmp_path):
    names = ("Date", "series", "OPEN", "HIGH", "LOW", "PREV. CLOSE", "ltp", "close", "vwap", "52W H", "52W L", "VOLUME",
             "VALUE", "No of trades")  # fmt: skip
    row = '"{day:%d-%b-%Y}","EQ","{open:,.2f}","{high:,.2f}","{low:,.2f}","1.00","1.00","{close:,.2f}","1.00","2.00",'
    row += '"0.50","{volume:,}","1,23,456.00","1,234"'
    for symbol, frame in BARS.items():
        header = ",".join(f'"{name} "' for name in names)
        own = ["\ufeff" + header, *lines(frame.iloc[::-1], row)]
        write(tmp_path / f"Quote-Equity-{symbol}-EQ-28-12-2023-to-28-02-2024.csv", own)
    assert_read(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".CSV", ".csv.gz", ".Csv.Zip", ".tsv"])
def test_encodings_delimiters_and_endings_are_read_in_any_combination(tmp_path, encoding, delimiter, ending):
    for symbol, frame in BARS.items():
        text = "".join(f"{line}\r\n" for line in plain(frame)).replace(",", delimiter).encode(encoding)
        file = tmp_path / "2024" / f"{symbol.lower()}{ending}"
        file.parent.mkdir(exist_ok=True)
        if ending.lower().endswith(".zip"):
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("data.csv", text)
        else:
            file.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    assert_read(tmp_path)


def test_decimal_commas_between_semicolons_are_read(tmp_path):
    for symbol, frame in BARS.items():
        row = "{day:%d.%m.%Y};{open:.2f};{high:.2f};{low:.2f};{close:.2f};{volume}"
        own = [line.replace(".", ",").replace(",12,", ".12.").replace(",01,", ".01.") for line in lines(frame, row)]
        own = [f"{line[:2]}.{line[3:5]}.{line[6:]}" for line in own]
        write(tmp_path / f"{symbol}.csv", ["Date;Open;High;Low;Close;Volume", *own])
    assert_read(tmp_path)


@pytest.mark.parametrize("grouped", ["{:,.2f}", "{:.2f}"])
def test_thousands_separators_within_quotes_are_read(tmp_path, grouped):
    quoted = ",".join(f'"{grouped.replace(":", f"{name}:")}"' for name in PRICES)
    for symbol, frame in BARS.items():
        rows = lines(frame, f'{{day:%Y-%m-%d}},{quoted},"{{volume:,}}"')
        write(tmp_path / f"{symbol}.csv", ["Date,Open,High,Low,Close,Volume", *rows])
    assert_read(tmp_path)


def test_feather_is_read(tmp_path):
    LONG.reset_index(drop=True).to_feather(tmp_path / "all.feather")
    assert_read(tmp_path / "all.feather")
    for symbol, frame in BARS.items():
        (tmp_path / "own").mkdir(exist_ok=True)
        frame.to_feather(tmp_path / "own" / f"{symbol}.FEATHER")
    assert_read(tmp_path / "own")


def test_folders_that_are_named_for_symbols_are_read(tmp_path):
    for symbol, frame in BARS.items():
        for year, own in frame.groupby(frame["date"].dt.year):
            write(tmp_path / f"symbol={symbol}" / f"{year}.csv", plain(own))
    assert_read(tmp_path)


@pytest.mark.parametrize(
    "spelling",
    ["{:%Y-%m-%d}", "{:%d-%m-%Y}", "{:%d/%m/%Y}", "{:%m/%d/%Y}", "{:%d-%m-%y}", "{:%d.%m.%Y}", "{:%d-%b-%Y}",
     "{:%b %d %Y}", "{:%Y%m%d}", "{:%Y/%m/%d}", "{:%d %B %Y}", "{:%a %d %b %Y}", "{:%d-%m-%Y %H:%M}",
     "{:%Y-%m-%dT%H:%M:%SZ}", "{:%Y-%m-%d 00:00:00+05:30}", "epoch s", "epoch ms", "epoch us", "epoch ns", "serial"],
)  # fmt: skip
def test_dates_are_read_in_any_one_spelling_of_all_files(tmp_path, spelling):
    def spelled(day: pd.Timestamp) -> str:
        if spelling == "serial":
            return str((day - pd.Timestamp("1899-12-30")).days)
        if spelling.startswith("epoch"):
            return str(int(day.timestamp()) * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[spelling.split()[1]])
        return str(spelling.format(day))

    # One file a day: most cannot be read without the others.
    def write_day(day: pd.Timestamp, frame: pd.DataFrame) -> None:
        frame.assign(date=spelled(day)).to_csv(tmp_path / f"{day:%Y-%m-%d}.csv", index=False)

    by_day(write_day)
    assert_read(tmp_path)


def test_numbers_of_a_parquet_file_are_times_too(tmp_path):
    seconds = LONG["date"].astype("datetime64[s]").astype(np.int64)
    spelled: list[Any] = [seconds, seconds * 1000, seconds / 86400.0 + 25569]
    for number, dates in enumerate(spelled):
        LONG.assign(date=dates).to_parquet(tmp_path / f"{number}.parquet")
        assert_read(tmp_path / f"{number}.parquet")


def test_days_that_can_be_read_both_ways_are_refused_with_both_readings(tmp_path):
    early = BARS["AAA"][BARS["AAA"]["date"].dt.day <= 12]
    rows = lines(early, "{day:%d-%m-%Y},{open},{high},{low},{close},{volume}")
    write(tmp_path / "AAA.csv", ["date,open,high,low,close,volume", *rows])
    with pytest.raises(WindowError, match=r"AAA\.csv: date 01-01-2024 is 1 January 2024 day first and 1 January 2024"):
        source(tmp_path).bars(Listing("AAA"))


def test_days_to_come_are_refused_with_both_readings_and_the_proof(tmp_path):
    clock = lambda: pd.Timestamp("2024-05-01").timestamp()  # noqa: E731
    row = "10,11,9,10,5"
    write(tmp_path / "AAA.csv", ["date,open,high,low,close,volume", f"05-04-2024,{row}", f"03-12-2024,{row}"])
    write(tmp_path / "BBB.csv", ["date,open,high,low,close,volume", f"28-03-2024,{row}"])
    with pytest.raises(WindowError) as caught:
        FileBars(tmp_path, clock=clock).bars(Listing("AAA"))
    assert str(caught.value) == (
        f"{tmp_path}/AAA.csv, row 3: AAA: time is in the future (date is 03-12-2024): 03-12-2024 is 3 December 2024 "
        f"day first and 12 March 2024 month first; 28-03-2024 in {tmp_path}/BBB.csv is day first."
    )


def test_dates_of_two_orders_in_one_place_are_refused_and_both_named(tmp_path):
    for symbol, order in (("AAA", "%d/%m/%Y"), ("BBB", "%m/%d/%Y")):
        BARS[symbol].assign(date=BARS[symbol]["date"].dt.strftime(order)).to_csv(
            tmp_path / f"{symbol}.csv", index=False
        )
    found = source(tmp_path)
    assert_same(found.bars(Listing("AAA")), BARS["AAA"])
    with pytest.raises(
        WindowError, match=r"BBB\.csv: date 12/28/2023 and \d+ more are month first, and 28/12/2023 in .*A"
    ):
        found.bars(Listing("BBB"))


def intraday() -> pd.DataFrame:
    times = [
        f"{day} {hour:02d}:{minute:02d}"
        for day in ("2024-01-15", "2024-01-16")
        for hour in (9, 10)
        for minute in (15, 45)
    ]
    frame = history("AAA", len(times))
    return frame.assign(date=pd.to_datetime(times))


@pytest.mark.parametrize(
    ("date", "clock"), [("%Y-%m-%d", "%H:%M:%S"), ("%d-%m-%Y", "%H:%M"), ("%Y%m%d", "%H%M"), ("%d/%m/%Y", "%I:%M %p")]
)
def test_date_and_time_in_two_columns_are_one_time(tmp_path, date, clock):
    frame = intraday()
    stamps = {"Date": frame["date"].dt.strftime(date), "Time": frame["date"].dt.strftime(clock)}
    frame.drop(columns="date").assign(**stamps).to_csv(tmp_path / "AAA.csv", index=False)
    assert_same(source(tmp_path).bars(Listing("AAA")), frame)


def test_a_time_beside_one_that_says_all_is_not_used_and_said(tmp_path):
    frame = intraday()
    frame.assign(time="09:15").to_csv(tmp_path / "AAA.csv", index=False)
    found = source(tmp_path)
    assert_same(found.bars(Listing("AAA")), frame)
    assert any("are not used: time in " in line for line in told(found.notes))


def test_titles_before_the_header_are_passed_over_and_said(tmp_path):
    write(tmp_path / "AAA.csv", ["Prices of AAA", "", *plain(BARS["AAA"])])
    found = source(tmp_path)
    assert_same(found.bars(Listing("AAA")), BARS["AAA"])
    assert any(line.startswith("Lines before the header are passed over: ") for line in told(found.notes))


def test_date_and_time_in_two_columns_of_parquet_are_one_time(tmp_path):
    frame = intraday()
    stamps: dict[str, Any] = {"date": frame["date"].dt.date, "time": frame["date"].dt.time}
    frame.assign(**stamps).to_parquet(tmp_path / "AAA.parquet")
    assert_same(source(tmp_path).bars(Listing("AAA")), frame)


@pytest.mark.parametrize("spelling", ["{:%Y-%m-%dT18:30:00.000Z}", "{:%Y-%m-%d 18:30:00+00:00}", "epoch"])
def test_daily_bars_in_utc_need_the_zone_of_the_exchange_and_are_never_filed_a_day_early(tmp_path, spelling):
    frame = BARS["AAA"]
    before = frame["date"] - pd.Timedelta(1, "D")
    stamps = [str(int(day.timestamp()) + 66600) if spelling == "epoch" else spelling.format(day) for day in before]
    frame.assign(date=stamps).to_csv(tmp_path / "AAA.csv", index=False)
    with pytest.raises(WindowError, match=r"times of the daily bars of AAA are in UTC, which is no exchange's\. Name"):
        source(tmp_path).bars(Listing("AAA"))
    assert_same(source(tmp_path, timezone="Asia/Kolkata").bars(Listing("AAA")), frame)


def test_midnights_of_a_zone_are_days_whatever_zone_the_exchange_has(tmp_path):
    frame = BARS["AAA"]
    frame.assign(date=frame["date"].dt.strftime("%Y-%m-%dT00:00:00Z")).to_csv(tmp_path / "AAA.csv", index=False)
    assert_same(source(tmp_path, timezone="America/New_York").bars(Listing("AAA")), frame)


def test_daily_bars_on_sundays_and_no_friday_are_said_or_refused(tmp_path):
    early = BARS["AAA"].assign(date=lambda rows: rows["date"] - pd.Timedelta(1, "D"))
    write(tmp_path / "a" / "AAA.csv", plain(early))
    found = source(tmp_path / "a")
    assert len(found.bars(Listing("AAA"))) == len(early)
    assert any("fall on Sundays and on no Friday" in line for line in told(found.notes))
    early.assign(date=early["date"] + pd.Timedelta(18, "h")).to_csv(tmp_path / "AAA.csv", index=False)
    with pytest.raises(WindowError, match="fall on Sundays and on no Friday: they are those of the day after"):
        source(tmp_path / "AAA.csv").bars(Listing("AAA"))


@pytest.mark.parametrize(
    "name", ["adjusted_close", "adjClose", "AdjClose", "Adj. Close", "Adjusted Close", "Adj Close"]
)
def test_bars_are_adjusted_by_every_spelling_of_an_adjusted_close_and_it_is_said(tmp_path, name):
    frame = BARS["AAA"].assign(**{name: BARS["AAA"]["close"] / 5}, split_coefficient=1.0)
    frame.to_csv(tmp_path / "AAA.csv", index=False)
    found = source(tmp_path)
    bars = found.bars(Listing("AAA"))
    np.testing.assert_allclose(bars.open, frame["open"] / 5)
    np.testing.assert_allclose(bars.volume, frame["volume"] * 5)
    said = told(found.notes)
    assert any(line.startswith("Prices and volume are adjusted by the ratio of adj") for line in said)
    assert any("are not used: split_coefficient in" in line for line in said)


def test_a_last_row_that_is_not_filled_is_left_out_and_said(tmp_path):
    write(tmp_path / "AAA.csv", [*plain(BARS["AAA"]), "2024-12-31,,,,,447342"])
    found = source(tmp_path)
    assert_same(found.bars(Listing("AAA")), BARS["AAA"])
    assert told(found.notes)[-1].startswith("Last rows that the vendor has not filled yet are left out: 1 in ")


def test_two_files_that_stand_for_one_symbol_are_refused_and_both_named(tmp_path):
    for name in ("AAA.NS.csv", "AAA.BO.csv", "bbb.csv"):
        write(tmp_path / name, plain(BARS["AAA" if name[0] == "A" else "BBB"]))
    found = source(tmp_path)
    with pytest.raises(
        WindowError, match=r"AAA\.NS\.csv has bars of AAA\.NS, and .*AAA\.BO\.csv of AAA\.BO: both names"
    ):
        found.bars(Listing("AAA"))
    assert_same(found.bars(Listing("BBB")), BARS["BBB"])


def test_files_and_symbols_that_match_nothing_are_named(tmp_path):
    for name in ("AAA", "CCC", "DDD"):
        write(tmp_path / f"{name}.csv", plain(BARS["AAA"]))
    (tmp_path / "book.xlsx").write_text("x")
    (tmp_path / "2024.csv").write_text("symbol,date,open\nBBB,2024")
    said = told(source(tmp_path).notes)
    cut = "it does not end with a line end, so it is cut or still being written"
    assert f"Files are left out: {cut} in {tmp_path}/2024.csv." in said
    assert f"Files whose names match no symbol of the universe: {tmp_path}/CCC.csv, {tmp_path}/DDD.csv." in said
    assert "Symbols without bars: BBB." in said
    assert any(line.startswith("Workbooks are not read: save their sheets as CSV in ") for line in said)


@pytest.mark.parametrize("layout", ["files", "rows", "nothing", "another kind"])
def test_bars_of_which_none_match_are_a_wrong_usage(tmp_path, layout):
    if layout == "files":
        write(tmp_path / "CCC.csv", plain(BARS["AAA"]))
    elif layout == "rows":
        LONG.assign(symbol="CCC").to_csv(tmp_path / "all.csv", index=False)
    elif layout == "another kind":
        (tmp_path / "AAA.xlsx").write_text("x")
    match = {"nothing": "it is empty", "another kind": r"it has AAA\.xlsx"}.get(
        layout, "No bars match a symbol of uni.*CCC"
    )
    with pytest.raises(UsageError, match=match):
        source(tmp_path)


def test_bars_of_days_and_of_minutes_are_not_mixed(tmp_path):
    write(tmp_path / "day" / "AAA.csv", plain(BARS["AAA"]))
    intraday().to_csv(tmp_path / "AAA.csv", index=False)
    with pytest.raises(WindowError, match=r"has daily bars of AAA, and .* intraday ones"):
        source(tmp_path).bars(Listing("AAA"))


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not there")
@pytest.mark.parametrize(
    ("case", "told_or_rows"),
    [
        ("duplicate-columns", "stands there twice"),
        ("dmy-one-file-a-day", 346),
        ("adjusted-close-spelling", 330),
        ("daily-bars-utc", "are in UTC"),
        ("bhavcopy-udiff", 40),
        ("names-with-suffix", 330),
        ("yfinance-three-line-header", 330),
        ("newest-first", 330),
        ("thousands-separators", 330),
        ("bhavcopy-full", 40),
        ("epoch-milliseconds", 330),
        ("last-row-empty", 329),
        ("date-and-time-columns", 900),
    ],
)
def test_a_case_is_read_whole_or_refused(case, told_or_rows):
    symbols = [
        one for entry in json.loads((CASES / "index.json").read_text()) if entry["name"] == case for one in entry["uni"]
    ]
    found = source(CASES / case / "bars", symbols)
    for symbol in symbols:
        if isinstance(told_or_rows, str):
            with pytest.raises(WindowError, match=told_or_rows):
                found.bars(Listing(symbol))
        else:
            assert len(found.bars(Listing(symbol))) == told_or_rows
