"""Claims about symbols and universes."""

from datetime import date

import pytest

from sensequant_assets.core.universe import Listing, Universe, is_symbol, parse_universe, universe_name
from sensequant_assets.errors import UsageError


def universe_of(**columns: list[str]) -> Universe:
    rows = enumerate(zip(*columns.values(), strict=True), start=2)
    return parse_universe(list(columns), rows, name="u", origin="u.csv")


@pytest.mark.parametrize("text", ["TCS", "M&M", "BAJAJ-AUTO", "BRK.B", "3MINDIA", "A_B", "A..B", "X" * 32])
def test_symbols_of_exchanges_are_symbols(text):
    assert is_symbol(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "A/B", "../A", "A\\B", "A|B", "A,B", "A...B", "A...", "tcs", "TCs", " TCS", "TCS\n", "-A", "&A",
     "X" * 33, "Ä", "A B", "A\0"],
)  # fmt: skip
def test_what_could_be_a_path_a_range_or_a_partition_key_is_no_symbol(text):
    assert not is_symbol(text)
    if text.strip() not in ("TCS", ""):
        with pytest.raises(UsageError, match=r"^u\.csv, row 3: .* is not a symbol; a symbol is up to 32 of"):
            universe_of(symbol=["FINE", text])


@pytest.mark.parametrize("name", ["sample", "nifty 100 (2024)", "S&P-500", "_x", "x.y", "Größe", "x" * 200])
def test_names_of_files_are_names_of_universes(name):
    assert universe_name(name) == name
    assert Universe(name, ()).name == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "...", ".hidden", "../a", "a/b", "/a", "a\\b", "-x", " x", "a\0", "a\n", "a\x1b[2J", "\u202ea",
     "x" * 201, "Ö" * 101, "a\udc80"],
)  # fmt: skip
def test_what_names_no_directory_or_another_one_is_no_universe(name):
    with pytest.raises(UsageError, match="cannot name a universe"):
        universe_name(name)
    with pytest.raises(UsageError, match="Name its file otherwise"):
        Universe(name, ())


def test_an_empty_symbol_in_a_row_that_has_a_name_is_refused():
    with pytest.raises(UsageError, match=r"^u\.csv, row 2: '' is not a symbol"):
        universe_of(symbol=[""], name=["Tata"])


def test_empty_rows_are_passed_over_and_still_counted():
    assert universe_of(symbol=["TCS", "", "INFY"]).symbols == ("INFY", "TCS")
    with pytest.raises(UsageError, match=r"^u\.csv, row 4: 'infy'"):
        universe_of(symbol=["TCS", "", "infy"])


def test_a_symbol_named_twice_is_refused_with_its_row():
    with pytest.raises(UsageError, match=r"^u\.csv, row 4: symbol TCS stands there twice"):
        universe_of(symbol=["TCS", "INFY", "TCS"])


@pytest.mark.parametrize("column", ["listing_date", "trading_start_date"])
@pytest.mark.parametrize("text", ["2022-13-01", "17/05/2022", "May 2022", "2022-02-29"])
def test_a_bad_date_names_file_row_column_and_value(column, text):
    with pytest.raises(UsageError, match=rf"^u\.csv, row 3: {column} '{text}' is not a date like 2022-05-17\."):
        universe_of(symbol=["TCS", "LICI"], **{column: ["2004-08-25", text]})


def test_a_universe_without_its_symbol_column_is_refused():
    with pytest.raises(UsageError, match=r"^u\.csv: column 'symbol' is missing; it has isin\.$"):
        universe_of(isin=["TCS"])


@pytest.mark.parametrize(
    ("column", "text"),
    [("ipo_date", "2022-05-17"), ("DATE OF LISTING", "17-MAY-2022"), (" Date of Listing ", "17-May-2022"),
     ("listed_on", "2022-05-17"), ("Listing Date", "17 May 2022")],
)  # fmt: skip
def test_the_day_of_a_listing_is_read_as_exchanges_and_people_write_it(column, text):
    (listing,) = universe_of(**{"SYMBOL": ["LICI"], "NAME OF COMPANY": ["LIC"], column: [text]}).listings
    assert listing == Listing("LICI", "LIC", date(2022, 5, 17))


def test_columns_that_say_nothing_of_a_listing_are_kept_by_name():
    assert universe_of(symbol=["TCS"], ISIN=["x"], sector=["y"], name=["z"]).unused == ("isin", "sector")


def test_the_day_of_the_listing_counts_before_that_of_the_offer():
    (listing,) = universe_of(symbol=["LICI"], ipo_date=["2022-05-04"], listing_date=["2022-05-17"]).listings
    assert listing.listing_date == date(2022, 5, 17)
    (listing,) = universe_of(symbol=["LICI"], ipo_date=["2022-05-04"], listing_date=[""]).listings
    assert listing.listing_date == date(2022, 5, 4)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ipo_date": "2022-05-18", "listing_date": "2022-05-17"}, "ipo_date 2022-05-18 is after listing_date"),
        (
            {"listing_date": "2022-05-18", "trading_start_date": "2022-05-17"},
            "listing_date 2022-05-18 is after trading",
        ),
        (
            {"trading_start_date": "2022-05-18", "delisted_on": "2022-05-17"},
            "trading_start_date 2022-05-18 is after delisted_on",
        ),
        (
            {"ipo_date": "2022-05-18", "trading_start_date": "2022-05-17"},
            "ipo_date 2022-05-18 is after trading",
        ),
    ],
)
def test_dates_that_contradict_each_other_are_refused(columns, said):
    with pytest.raises(UsageError, match=rf"^u\.csv, row 2: {said}.*; correct one, or leave it out\.$"):
        universe_of(symbol=["LICI"], **{name: [text] for name, text in columns.items()})


@pytest.mark.parametrize("column", ["delisting_date", "DATE OF DELISTING", "Delisted on", "last_trading_day"])
def test_the_day_of_a_delisting_is_read_as_it_is_written(column):
    (listing,) = universe_of(symbol=["HDFC"], **{column: ["12-JUL-2023"]}).listings
    assert listing.delisting_date == date(2023, 7, 12)


def test_two_columns_for_one_fact_are_refused():
    with pytest.raises(UsageError, match="column listing_date and date of listing stands there twice for listing_date"):
        universe_of(**{"symbol": ["LICI"], "listing_date": [""], "date of listing": [""]})


def test_a_universe_without_rows_is_refused():
    with pytest.raises(UsageError, match="has no rows"):
        universe_of(symbol=[])


def test_listings_come_in_alphabetical_order_with_what_their_rows_say():
    universe = universe_of(
        Symbol=["TCS", "LICI"], name=["Tata", " LIC "], listing_date=["", "2022-05-17"],
        trading_start_date=["", "2022-05-18"], vendor_code=["", "LICI.NS"], isin=["x", "y"],
    )  # fmt: skip
    assert universe.listings == (
        Listing("LICI", "LIC", date(2022, 5, 17), date(2022, 5, 18), "LICI.NS"),
        Listing("TCS", "Tata"),
    )


@pytest.mark.parametrize(
    ("trading_start_date", "listing_date", "first_bar", "expected"),
    [
        # The row's own word wins, even over an earlier first bar and an earlier listing.
        (date(2022, 3, 1), date(2022, 1, 1), date(2022, 2, 1), date(2022, 3, 1)),
        (date(2022, 3, 1), None, None, date(2022, 3, 1)),
        # NESTLEIND: the official listing is years after the first bar.
        (None, date(2010, 1, 8), date(1996, 1, 1), date(1996, 1, 1)),
        (None, date(2004, 8, 25), date(2015, 1, 1), date(2004, 8, 25)),
        (None, None, date(2015, 1, 1), date(2015, 1, 1)),
        (None, date(2004, 8, 25), None, date(2004, 8, 25)),
        (None, None, None, None),
    ],
)
def test_trading_starts_where_the_row_says_else_at_the_earlier_of_listing_and_first_bar(
    trading_start_date, listing_date, first_bar, expected
):
    listing = Listing("A", listing_date=listing_date, trading_start_date=trading_start_date)
    assert listing.trading_start(first_bar) == expected


@pytest.mark.parametrize(
    ("trading_start_date", "listing_date", "first_bar", "expected"),
    [
        (date(2022, 3, 1), date(2022, 1, 1), date(2022, 2, 1), date(2022, 3, 1)),
        (None, date(2004, 8, 25), date(2015, 1, 1), date(2004, 8, 25)),
        (None, date(2004, 8, 25), None, date(2004, 8, 25)),
        (None, date(2022, 5, 17), date(2022, 5, 17), date(2022, 5, 17)),
        # Bars from before the listing date: that date is of something else, and the first bar of nothing.
        (None, date(2010, 1, 8), date(1996, 1, 1), None),
        (None, None, date(2015, 1, 1), None),
    ],
)
def test_a_listing_is_known_from_the_row_alone(trading_start_date, listing_date, first_bar, expected):
    listing = Listing("A", listing_date=listing_date, trading_start_date=trading_start_date)
    assert listing.listed_since(first_bar) == expected


def test_selecting_keeps_the_universes_order_and_refuses_a_stranger():
    universe = universe_of(symbol=["C", "A", "B"])
    assert universe.select(["C", "A"]) == ("A", "C")
    with pytest.raises(UsageError, match=r"Universe u has no symbol D\. It has: A, B, C\."):
        universe.select(["A", "D"])


def test_a_long_universe_is_shortened_in_messages():
    universe = universe_of(symbol=[f"S{i:02d}" for i in range(15)])
    with pytest.raises(UsageError, match=r"S10, S11 and 3 more\.$"):
        universe.listing("X")
