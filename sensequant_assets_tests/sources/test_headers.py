"""Claims about names of columns."""

import pytest

from sensequant_assets.sources.headers import plain_name, roles_of


def roles(header: str) -> dict[str, str]:
    """The name of the column of each role."""
    names = [plain_name(name) for name in header.split(",")]
    return {role: names[number] for role, number in roles_of(names).at.items()}


OHLCV = ("time", "open", "high", "low", "close", "volume")


@pytest.mark.parametrize(
    "header",
    [
        "date,open,high,low,close,volume",
        "Date,Open,High,Low,Close,Volume",
        "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
        "timestamp,1. open,2. high,3. low,4. close,5. volume",
        "t,o,h,l,c,v",
        "Open Time,Open Price,High Price,Low Price,Close Price,Total Traded Quantity",
        "TradDt,OpnPric,HghPric,LwPric,ClsPric,TtlTradgVol",
        "DATE1,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRICE,TTL_TRD_QNTY",
        "TIMESTAMP,OPEN,HIGH,LOW,CLOSE,TOTTRDQTY",
        "CH_TIMESTAMP,CH_OPENING_PRICE,CH_TRADE_HIGH_PRICE,CH_TRADE_LOW_PRICE,CH_CLOSING_PRICE,CH_TOT_TRADED_QTY",
        "Date,Open (INR),High (INR),Low (INR),Close (INR),No. of Shares",
        "trade_date,open_price,highest,lowest,closing,shares traded",
        ",open,high,low,close,volume",
    ],
)
def test_columns_are_known_however_a_vendor_spells_them(header):
    assert list(dict.fromkeys(name for name in OHLCV if name in roles(header))) == list(OHLCV)
    assert list(roles(header).values()).count(plain_name(header.split(",")[0])) == 1


@pytest.mark.parametrize(
    "name",
    ["adj_close", "Adj Close", "Adj. Close", "adjclose", "adjClose", "AdjClose", "ADJ_CLOSE", "adjusted_close",
     "Adjusted Close", "AdjustedClose", "adjusted closing price", "close_adj", "Close (adjusted)", "Adj Close**"],
)  # fmt: skip
def test_every_spelling_of_an_adjusted_close_is_one_column(name):
    assert roles(f"date,open,high,low,close,volume,{name}")["adj_close"] == plain_name(name)


@pytest.mark.parametrize(
    "name",
    ["prev_close", "PREVCLOSE", "LAST_PRICE", "ltp", "vwap", "avg_price", "adj_open", "splitFactor", "Stock Splits",
     "Dividends", "52W H", "split_coefficient", "bonus", "BizDt", "timestamp", "last traded price", "SttlmPric"],
)  # fmt: skip
def test_a_column_that_looks_like_a_price_a_date_or_an_adjustment_and_is_not_used_is_said(name):
    names = [plain_name(each) for each in ("date", "open", "high", "low", "close", "volume", name)]
    assert roles_of(names).unused == (plain_name(name),)


@pytest.mark.parametrize("name", ["turnover", "No of trades", "delivery_qty", "open_interest", "oi", "isin", "value"])
def test_a_column_of_something_else_is_passed_over(name):
    assert roles_of([plain_name(each) for each in ("date", "close", name)]).unused == ()


def test_a_plain_name_counts_before_one_that_only_looks_like_it():
    assert roles("date,closing_price,close,day_open,open")["close"] == "close"
    assert roles("timestamp,date,open")["time"] == "date"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("date,close,high,close", "column close"),
        ("date,adj_close,adjclose", "columns adj_close and adjclose, of which one is adj_close,"),
        ("date,close_price,closing_price", "columns close_price and closing_price, of which one is close,"),
        ("date,note,note,close", "column note"),
        ("date,%change,change,close,,", ""),
    ],
)
def test_two_columns_that_stand_for_one_are_seen(header, said):
    assert roles_of([plain_name(name) for name in header.split(",")]).twice == said


def test_a_clock_beside_a_date_is_one_and_a_time_alone_is_the_time():
    assert roles("Date,Time,Open") == {"time": "date", "clock": "time", "open": "open"}
    assert roles("Time,Open")["time"] == "time"
    assert roles("TradDt,time,open")["time"] == "traddt"
    assert "clock" not in roles("date,timestamp,open")


def test_columns_that_name_symbols_come_before_those_that_may():
    names = ["name", "date", "ticker", "scrip_code", "symbol"]
    assert [names[number] for number in roles_of(names).symbols] == ["symbol", "ticker", "name", "scrip_code"]
    assert roles_of(names).named_symbols
    assert not roles_of(["name", "date"]).named_symbols
