"""Claims about days and times as files spell them."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.errors import WindowError
from sensequant_assets.sources.dates import ORDERS, Proof, clock_of, is_day, spelled_alike, times_of_numbers

TODAY = date(2026, 11, 26)


def proof(**files: list[str]) -> Proof:
    return Proof(lambda: files.items(), TODAY)


def iso(text: str) -> str | None:
    (found,) = spelled_alike(pd.Series([text, "Jan 1, 2020"]), lambda: ORDERS[0])[:1]
    return None if pd.isna(found) else str(pd.Timestamp(found))


@pytest.mark.parametrize(
    "text",
    ["2024-01-02", "2024/01/02", "2024.1.2", "20240102", "02-Jan-2024", "02-JAN-2024", "2 January 2024", "02Jan2024",
     "Jan 02, 2024", "January 2 2024", "Tue, 02 Jan 2024", "2024-Jan-02", "02-Jan-24", "02-01-2024", "2/1/2024",
     "02.01.2024", "Tuesday 02/01/2024", "45293", "45293.0", "02-01-2024 00:00", "20240102 00:00:00"],
)  # fmt: skip
def test_a_day_is_a_day_however_it_is_spelled(text):
    assert iso(text) == "2024-01-02 00:00:00"


@pytest.mark.parametrize(
    "text",
    ["2024-01-02 09:15", "2024-01-02T09:15:00", "02-01-2024 09:15:00", "2/1/2024 9:15 AM", "02 Jan 2024 09:15:00.000",
     "20240102T091500", "20240102 09:15:00.000", "20240102 09:15", "202401020915", "20240102091500",
     "Jan 2, 2024 9:15:00 am", "45293.385416667", "02-01-2024, 09:15"],
)  # fmt: skip
def test_a_time_is_a_time_however_it_is_spelled(text):
    assert iso(text) == "2024-01-02 09:15:00"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2024-01-02T09:15:00Z", "2024-01-02 09:15:00+00:00"),
        ("02-01-2024 09:15:00+05:30", "2024-01-02 09:15:00+05:30"),
        ("02 Jan 2024 09:15 GMT", "2024-01-02 09:15:00+00:00"),
        ("Tue Jan 02 2024 09:15:00 GMT+0530 (India Standard Time)", "2024-01-02 09:15:00+05:30"),
        ("1704186900", "2024-01-02 09:15:00+00:00"),
        ("1704186900000", "2024-01-02 09:15:00+00:00"),
        ("1704186900000000", "2024-01-02 09:15:00+00:00"),
        ("1704186900000000000", "2024-01-02 09:15:00+00:00"),
    ],
)
def test_a_zone_is_kept(text, told):
    assert iso(text) == told


@pytest.mark.parametrize(
    "text", ["", "soon", "now", "today", "09:15", "2024", "2024-13-01", "31-02-2024", "123", "-5", "2024-01-02x", "1/2"]
)
def test_what_is_no_day_is_none(text):
    found = spelled_alike(pd.Series([text, "Jan 1, 2020"]), lambda: ORDERS[0])[0]
    assert pd.isna(pd.to_datetime(found, format="ISO8601", errors="coerce"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": ["02-01-2024"], "b": ["15-01-2024"]}, "day first"),
        ({"a": ["02/01/2024", "1/15/2024"]}, "month first"),
        ({"a": ["02-01-24"], "b": ["31-12-24"]}, "day first"),
        ({"a": ["24-01-02", "24-01-31", "24-02-13"]}, "year first"),
        ({"a": ["01-02-24", "01-31-24"]}, "month first"),
    ],
)
def test_one_date_with_a_day_above_twelve_proves_the_order_of_all_files(files, words):
    assert proof(**files).order.words == words


def test_dates_that_can_be_read_both_ways_are_refused_with_both_readings():
    with pytest.raises(WindowError) as caught:
        _ = proof(**{"a.csv": ["02-01-2024", "03-04-2024"], "b.csv": ["05-06-2024"]}).order
    assert str(caught.value) == (
        "a.csv: date 02-01-2024 is 2 January 2024 day first and 1 February 2024 month first, and no date of these bars "
        "has a day above 12 that would say which. Write dates as 2024-01-31, or add a file with a later day of the "
        "month."
    )


def test_dates_are_looked_through_once_and_only_until_they_are_proven():
    asked = []

    def files():
        for name in "abc":
            asked.append(name)
            yield name, ["15-01-2024"]

    found = Proof(files, TODAY)
    assert found.order is found.order is ORDERS[0]
    assert asked == ["a"]


def test_the_size_of_a_number_says_what_it_counts():
    numbers = [1704153600, 1704153600 * 10**3, 1704153600 * 10**9, 20240102, 202401020000, 45293, 7, 0]
    times, in_utc = times_of_numbers(np.array(numbers))
    assert times[:6].astype(str).tolist() == ["2024-01-02T00:00:00"] * 6
    assert np.isnat(times[6:]).all()
    assert in_utc.tolist() == [True] * 3 + [False] * 5
    assert np.isnat(times_of_numbers(np.array([np.nan, np.inf, -1e300]))[0]).all()


@pytest.mark.parametrize(
    ("text", "clock"),
    [("09:15", "09:15:00"), ("9:15:30", "09:15:30"), ("915", "09:15:00"), ("0915", "09:15:00"), ("91500", "09:15:00"),
     ("3:30 PM", "15:30:00"), ("25:00", None), ("soon", None), ("2024-01-02 09:15", None)],
)  # fmt: skip
def test_a_clock_alone_is_read(text, clock):
    assert clock_of(text) == clock


@pytest.mark.parametrize(
    ("text", "day"), [("2024-01-02", True), ("20240102", True), ("02-Jan-2024", True), ("2024-01-02 09:15", False)]
)
def test_a_day_without_a_time_is_told_from_one_with_it(text, day):
    assert is_day(text) is day
