"""Claims about how text files are written."""

import io

import pytest

from sensequant_assets.sources.text import decimal_mark, refuse_cut, text_form, without_thousands

HEADER = "date,open,high,low,close,volume"


def form(text: str, encoding: str = "utf-8"):
    return text_form(io.BytesIO(text.encode(encoding)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_seen(encoding, delimiter):
    found = form(f"{HEADER}\n2024-01-01,1,2,1,2,5\n".replace(",", delimiter), encoding)
    assert (list(found.names), found.delimiter, found.lines) == (HEADER.split(","), delimiter, 1)


def test_the_delimiter_is_the_one_that_makes_columns_of_bars():
    assert form('date;open;high;low;close;volume;"a, b, c, d, e, f, g"\n').delimiter == ";"


def test_blanks_after_commas_and_empty_lines_before_are_seen():
    found = form(f"\n\n{HEADER.replace(',', ', ')}\n")
    assert (found.padded, found.lines, list(found.names)) == (True, 3, HEADER.split(","))


@pytest.mark.parametrize(
    ("lines", "tickers"),
    [
        (("Price,Close,High,Open", "Ticker,A.NS,A.NS,B.NS", "Date,,,"), ["", "A.NS", "A.NS", "B.NS"]),
        (("Ticker,A.NS,A.NS,B.NS", "Price,Close,High,Open", "Date,,,"), ["", "A.NS", "A.NS", "B.NS"]),
        ((",Close,High,Open", ",A.NS,A.NS,B.NS", "Datetime,,,"), ["", "A.NS", "A.NS", "B.NS"]),
        (("Price,Close,High,Open", "Date,,,"), []),
    ],
)
def test_a_header_of_several_lines_ends_with_the_one_that_names_the_time(lines, tickers):
    found = form("\n".join([*lines, "2024-01-01,1,2,3", ""]))
    assert (list(found.names)[1:], list(found.tickers)) == (["close", "high", "open"], tickers)
    assert found.lines == len(lines)


def test_lines_of_titles_before_the_header_are_passed_over():
    found = form(f"Prices of TCS, adjusted\n\n# 2024; daily\n{HEADER}\n2024-01-01,1,2,1,2,5\n")
    assert (found.preamble, found.lines, list(found.names)) == (True, 4, HEADER.split(","))
    assert not form(f"{HEADER}\n{HEADER}\n").preamble


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_a_file_without_a_header_is_refused(text):
    with pytest.raises(ValueError, match="it is empty"):
        form(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_a_text_without_its_last_line_end_is_cut(encoding):
    refuse_cut(io.BytesIO("a\nb\n".encode(encoding)))
    with pytest.raises(ValueError, match="does not end with a line end"):
        refuse_cut(io.BytesIO("a\nb".encode(encoding)))


@pytest.mark.parametrize(
    ("cells", "delimiter", "mark"),
    [
        (["3,989.70", "148,753"], ",", "."),
        (["1,48,753"], ";", "."),
        (["1,234"], ",", "."),
        (["251,64", "1.234"], ";", ","),
        (["1.251,64"], ";", ","),
        (["1,234", "251,6"], ";", ","),
        (["12,3456"], ",", ","),
        (["1,234", "912.5"], ";", "."),
        (["1.234", "251,64"], ";", ","),
    ],
)
def test_commas_part_thousands_or_decimals_as_the_numbers_say(cells, delimiter, mark):
    assert decimal_mark(cells, delimiter) == mark


def test_numbers_that_can_be_read_both_ways_are_refused_where_commas_part_no_cells():
    with pytest.raises(ValueError, match=r"1,234 is 1\.234 with a decimal comma and 1234 with a comma between"):
        decimal_mark(["1,234", "2,345"], ";")


@pytest.mark.parametrize(
    ("cell", "number"),
    [("4,012.50", "4012.50"), ("1,48,753", "148753"), ("-1,000", "-1000"), ("1,00", "1,00"), ("12,34,56", "12,34,56")],
)
def test_commas_between_thousands_are_taken_out_and_others_are_not(cell, number):
    assert without_thousands(cell) == number
