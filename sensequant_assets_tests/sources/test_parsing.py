"""Claims about what the columns of a file are parsed into."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.core.bars import Bars, day_of, told
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.sources.parsing import Rows, parse_bars
from sensequant_assets.sources.reading import Columns
from sensequant_assets_tests.making import bars_frame, with_cell


def parsed(frame: pd.DataFrame, row_offset: int = 0, **options: Any) -> Bars:
    return parsed_columns(Columns.of(frame, row_offset), **options)


def parsed_columns(columns: Columns, **options: Any) -> Bars:
    (bars,) = parse_bars([Rows("tcs.csv", columns)], symbol="TCS", **options)
    return bars


def refusal(frame: pd.DataFrame, **options: Any) -> str:
    """Why a symbol cannot be parsed, or why some of its rows are put aside."""
    try:
        found = parsed(frame, **options)
    except WindowError as error:
        return f"{error}" if error.kind is FailureKind.CORRUPT_BARS else f"{error.kind}: {error}"
    return told(found.delivery.bad)


@pytest.mark.parametrize("column", ["date", "open", "high", "low", "close", "volume"])
def test_a_missing_column_is_named_with_the_file_the_symbol_and_what_is_there(column):
    message = refusal(bars_frame().drop(columns=column))
    there = [name for name in ("date", "open", "high", "low", "close", "volume") if name != column]
    assert message == f"tcs.csv: column {column} is missing for TCS; it has {', '.join(there)}."


def test_a_column_that_stands_there_twice_is_refused():
    frame = bars_frame().assign(Close=11.0)
    assert refusal(frame).startswith("tcs.csv: column close stands there twice for TCS")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("open", "ten", "open is not a number (open is ten)"),
        ("close", float("nan"), "close is not a number (close is nan)"),
        ("high", float("inf"), "high is not a number (high is inf)"),
        ("volume", "", "volume is not a number (volume is )"),
        ("volume", "1,00", "volume is not a number (volume is 1,00)"),
        ("open", 0.0, "open is not positive (open is 0.0)"),
        ("low", -0.5, "low is not positive (low is -0.5)"),
        ("volume", -1.0, "volume is negative (volume is -1.0)"),
        ("high", 10.9, "high is below open or close (high is 10.9)"),  # the close is 11
        ("low", 10.1, "low is above open or close (low is 10.1)"),  # the open is 10
        ("date", "2023-12-31", "rows are not sorted by time (date is 2023-12-31)"),
        ("date", "soon", "time is not a date or time (date is soon)"),
        ("date", "2024-02-30", "time is not a date or time (date is 2024-02-30)"),
        ("date", None, "time is not a date or time (date is None)"),
    ],
)
def test_a_broken_row_is_named_by_file_row_symbol_and_rule(column, value, rule):
    # Position 2 of a file whose header is its first line is the file's fourth line.
    message = refusal(with_cell(bars_frame(), 2, column, value), row_offset=2)
    assert message == f"tcs.csv, row 4: TCS: {rule}."


@pytest.mark.parametrize("column", ["open", "volume"])
@pytest.mark.parametrize("cell", [True, False, b"12", [12.0], 12j, pd.Timestamp("2024-01-01"), pd.Timedelta(12)])
def test_what_only_looks_like_a_number_to_a_computer_is_none(column, cell):
    message = refusal(with_cell(bars_frame(), 2, column, cell), row_offset=2)
    assert message == f"tcs.csv, row 4: TCS: {column} is not a number ({column} is {cell})."


def test_a_whole_column_of_booleans_or_times_is_not_a_number():
    assert "volume is not a number (volume is True)" in refusal(bars_frame(volume=True))
    assert "volume is not a number (volume is 2024-01-01 00:00:00)" in refusal(
        bars_frame(volume=pd.Timestamp("2024-01-01"))
    )


def test_decimals_and_whole_numbers_of_any_length_are_numbers():
    frame = with_cell(with_cell(bars_frame(), 2, "close", Decimal("11.5")), 3, "volume", Decimal(10**14))
    assert (parsed(frame).close[2], parsed(frame).volume[3]) == (11.5, 1e14)
    assert "volume is not a number" in refusal(with_cell(bars_frame(), 2, "volume", 10**400))


@pytest.mark.parametrize("clock", ["09:15", "09:15:00", "9:15 PM", "09:15:00.25", "09:15+05:30", "today", "now"])
def test_a_time_without_a_day_is_not_one_of_today(clock):
    assert f"time is not a date or time (date is {clock})" in refusal(bars_frame(1, date=clock))
    assert f"time is not a date or time (date is {clock})" in refusal(with_cell(bars_frame(), 4, "date", clock))


@pytest.mark.parametrize(
    ("day", "rule"),
    [
        ("0001-01-01", "time is before 1900-01-02 (date is 0001-01-01)"),
        ("1899-12-30", "time is before 1900-01-02 (date is 1899-12-30)"),
        ("9999-12-31", "time is in the future (date is 9999-12-31)"),
        ("2024-01-07", "time is in the future (date is 2024-01-07)"),
    ],
)
def test_a_day_before_there_were_bars_or_after_tomorrow_is_refused(day, rule):
    evening = datetime(2024, 1, 5, 18, tzinfo=UTC).timestamp()
    message = refusal(with_cell(bars_frame(1), 0, "date", day), clock=lambda: evening)
    assert message == f"tcs.csv, row 0: TCS: {rule}."


def test_the_day_that_has_begun_in_the_east_is_not_in_the_future():
    # In Kiribati, fourteen hours ahead, the sixth of January is four hours old.
    evening = datetime(2024, 1, 5, 14, tzinfo=UTC).timestamp()
    assert len(parsed(bars_frame(1, date="2024-01-06 04:00"), clock=lambda: evening)) == 1


def test_two_bars_of_one_time_are_refused_unless_they_are_the_same():
    twice = with_cell(bars_frame(), 2, "date", "2024-01-02")
    assert len(parsed(twice)) == 4
    message = refusal(with_cell(twice, 2, "close", 11.5), row_offset=2)
    assert message == "tcs.csv, row 3 and 1 more: TCS: the same time stands there twice (date is 2024-01-02)."


def test_a_long_cell_is_shown_in_part():
    message = refusal(with_cell(bars_frame(), 0, "open", "9" * 5000))
    assert message == f"tcs.csv, row 0: TCS: open is not a number (open is {'9' * 60}…)."


def test_some_of_a_thousand_columns_are_listed():
    wide = pd.concat(
        [bars_frame().drop(columns="open"), pd.DataFrame(0, range(5), [f"x{n}" for n in range(1000)])], axis=1
    )
    assert refusal(wide).endswith(", x24 and 975 more.")


def test_columns_of_codes_into_texts_are_parsed_as_the_texts_are():
    frame = bars_frame().astype(str)
    coded = frame.astype("category")
    for name in ("time", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(parsed(coded), name), getattr(parsed(frame), name))
    assert refusal(with_cell(frame, 2, "open", "?").astype("category")) == refusal(with_cell(frame, 2, "open", "?"))
    assert refusal(with_cell(frame, 2, "date", None).astype("category")).startswith("tcs.csv, row 2: TCS: time is not")


@pytest.mark.parametrize("value", [0, -3, "x", None])
def test_an_adjusted_close_that_is_no_price_is_refused(value):
    frame = with_cell(bars_frame(adj_close=5.5), 4, "adj_close", value)
    assert refusal(frame).startswith("tcs.csv, row 4: TCS: adj_close is not ")


def test_rows_are_named_as_the_index_counts_them_in_the_whole_file():
    frame = with_cell(bars_frame(), 0, "close", "?").set_axis([40, 43, 44, 50, 51])
    assert refusal(frame, row_offset=2).startswith("tcs.csv, row 42: ")


def test_column_names_may_be_in_any_case_and_time_may_have_other_names():
    frame = bars_frame().rename(columns={"date": " Datetime", "open": "Open", "close": "CLOSE", "volume": "Volume "})
    bars = parsed(frame)
    assert (bars.first_day, day_of(bars.time[-1])) == (date(2024, 1, 1), date(2024, 1, 5))
    assert bars.close.tolist() == [11.0] * 5


def test_adj_close_scales_prices_and_divides_volume():
    # 5.5 / 11 is one half: a share was split in two.
    bars = parsed(bars_frame(1, **{"Adj Close": 5.5}))
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (5.0, 6.0, 4.5, 5.5)
    assert bars.volume[0] == 200.0


def test_zoned_times_become_exchange_time():
    # 20:00 UTC is 01:30 of the next day in Kolkata, five and a half hours ahead.
    frame = bars_frame(1, date=["2024-01-01T20:00:00+00:00"])
    assert parsed(frame, timezone="Asia/Kolkata").time[0] == np.datetime64("2024-01-02T01:30:00")


def test_zoned_times_without_an_exchange_zone_keep_their_wall_clock():
    frame = bars_frame(1, date=["2024-01-01T20:00:00+05:30"])
    assert parsed(frame).time[0] == np.datetime64("2024-01-01T20:00:00")


def test_times_of_summer_and_winter_become_exchange_time():
    # New York is five hours behind UTC in winter and four in summer, from 10 March 2024 on.
    frame = bars_frame(2, date=["2024-03-08T14:30:00+00:00", "2024-03-11T09:30:00-04:00"])
    times = parsed(frame, timezone="America/New_York").time
    assert times.astype(str).tolist() == ["2024-03-08T09:30:00", "2024-03-11T09:30:00"]


def test_times_of_summer_and_winter_keep_their_wall_clock_without_an_exchange_zone():
    frame = bars_frame(2, date=["2024-03-08T09:30:00-05:00", "2024-03-11T09:30:00-04:00"])
    assert parsed(frame).time.astype(str).tolist() == ["2024-03-08T09:30:00", "2024-03-11T09:30:00"]


def test_naive_times_are_exchange_time_already():
    frame = bars_frame(1, date=["2024-01-01 09:15"])
    assert parsed(frame, timezone="Asia/Kolkata").time[0] == np.datetime64("2024-01-01T09:15:00")


def test_days_written_as_one_number_are_days():
    bars = parsed(bars_frame(2, date=[20240105, 20240108]))
    assert (bars.first_day, day_of(bars.time[-1])) == (date(2024, 1, 5), date(2024, 1, 8))


def test_times_of_a_parquet_file_are_taken_as_they_are():
    frame = bars_frame(2, date=pd.to_datetime(["2024-01-05", "2024-01-08"]))
    assert parsed(frame).time.tolist() == [np.datetime64("2024-01-05", "s"), np.datetime64("2024-01-08", "s")]


def sessions(zone: str) -> pd.DataFrame:
    """Two bars a day of two days of Kolkata, written in a zone."""
    stamps = ["2024-03-18 09:15", "2024-03-18 09:30", "2024-03-19 09:15", "2024-03-19 09:30"]
    written = pd.Series(pd.to_datetime(stamps)).dt.tz_localize("Asia/Kolkata").dt.tz_convert(zone).astype(str)
    return bars_frame(4).assign(date=written)


SESSIONS = pd.to_datetime(sessions("Asia/Kolkata")["date"]).dt.tz_localize(None).to_numpy("datetime64[s]")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_the_exchange_zone_gives_the_same_clock_whatever_zone_the_file_is_in(zone):
    assert (parsed(sessions(zone), timezone="Asia/Kolkata").time == SESSIONS).all()


def test_intraday_bars_in_utc_need_the_exchange_zone():
    assert "--timezone" in refusal(sessions("UTC"))


def test_intraday_bars_in_the_exchange_zone_need_no_other():
    assert (parsed(sessions("Asia/Kolkata")).time == SESSIONS).all()


def arrays(frame: pd.DataFrame) -> Columns:
    return Columns(
        list(frame.columns), {str(name): column.to_numpy() for name, column in frame.items()}, frame.index.to_numpy()
    )


@pytest.mark.parametrize("unit", ["D", "s", "ms", "ns"])
@pytest.mark.parametrize("number", ["float64", "float32", "int64", "object"])
def test_arrays_are_bars_as_series_are(unit, number):
    frame = bars_frame()
    prices = {name: frame[name].round().astype(number) for name in ("open", "high", "low", "close", "volume")}
    prices["high"], prices["low"] = frame["high"].max().round() + 1, frame["low"].min().round() - 1
    frame = frame.assign(**prices)
    one = parsed(frame)
    timed = arrays(frame.assign(date=pd.to_datetime(frame["date"])))
    stamps = {"date": timed.values["date"].astype(f"datetime64[{unit}]")}
    other = parsed_columns(Columns(timed.names, {**timed.values, **stamps}, timed.rows))
    for name in ("time", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


def test_a_broken_rule_of_arrays_names_row_and_cell_as_that_of_series_does():
    frame = bars_frame()
    frame = frame.assign(date=pd.to_datetime(frame["date"]).iloc[[0, 1, 2, 2, 4]].to_numpy(), volume=range(5))
    frame.index += 7
    found = parsed_columns(arrays(frame))
    assert told(found.delivery.bad) == refusal(frame)
    assert "row 9 and 1 more: TCS: the same time stands there twice (date is 20" in refusal(frame)


def test_rows_that_are_taken_keep_their_positions():
    taken = Columns.of(bars_frame(), 2).take(np.array([3, 1]))
    assert taken.rows.tolist() == [5, 3]
    assert taken.values["date"].tolist() == [bars_frame()["date"][3], bars_frame()["date"][1]]
