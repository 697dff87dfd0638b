"""Claims about whose bars they are."""

from datetime import date

import pytest

from sensequant_assets.core.renames import Alias
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.matching import Matcher

MATCHER = Matcher(
    [Listing(symbol) for symbol in ("RELIANCE", "M&M", "BAJAJ-AUTO", "BRK", "BRK.B", "HDFC", "3MINDIA", "A-B", "A_B")]
    + [Listing("TATA", vendor_code="500570"), Listing("INFY", vendor_code="INFY.NS")]
)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        *((name, "RELIANCE") for name in ("RELIANCE", "reliance", " Reliance ", "RELIANCE.NS", "reliance.bo")),
        *((name, "RELIANCE") for name in ("NSE:RELIANCE", "NSE:RELIANCE-EQ", "RELIANCE-EQ", "BSE:RELIANCE")),
        *((name, "RELIANCE") for name in ("RELIANCE.NSE", "NSE_EQ|RELIANCE", "RELIANCE EQ")),
        *((name, "M&M") for name in ("M&M", "M&M.NS", "M%26M", "M_M", "m&m-eq")),
        *((name, "BAJAJ-AUTO") for name in ("BAJAJ-AUTO", "BAJAJ_AUTO", "BAJAJ-AUTO.NS", "Bajaj Auto")),
        *((name, "TATA") for name in ("500570", "500570.BO", "BSE:500570")),
        ("BRK.B", "BRK.B"),
        ("BRK", "BRK"),
        ("INFY.NS", "INFY"),
        ("A-B", "A-B"),
        ("A_B", "A_B"),
    ],
)  # fmt: skip
def test_a_name_stands_for_the_symbol_that_it_spells(name, symbol):
    assert MATCHER.symbol(name) == symbol


@pytest.mark.parametrize(
    "name",
    ["BRK.WS", "RELIANCE-BE", "RELIANCE2", "HDFCBANK", "HDFC BANK", "TATA", "A B", "", ".NS", "500571", "RELIANCE.XX"],
)
def test_a_name_of_another_instrument_stands_for_none(name):
    assert MATCHER.symbol(name) is None


@pytest.mark.parametrize(
    ("names", "symbol", "name"),
    [
        (("RELIANCE.NS",), "RELIANCE", "RELIANCE.NS"),
        (("Quote-Equity-RELIANCE-EQ-01-01-2023-to-01-01-2024",), "RELIANCE", "RELIANCE"),
        (("01-Jan-2023-TO-01-Jan-2024-BAJAJ-AUTO-EQ-N",), "BAJAJ-AUTO", "BAJAJ-AUTO"),
        (("reliance_daily_2024",), "RELIANCE", "RELIANCE"),
        (("3MINDIA_5min",), "3MINDIA", "3MINDIA"),
        (("2024", "RELIANCE"), "RELIANCE", "RELIANCE"),
        (("part-0", "M&M"), "M&M", "M&M"),
    ],
)
def test_a_file_is_of_the_one_symbol_in_its_name_or_its_folders(names, symbol, name):
    assert MATCHER.symbol_of_file(names) == (symbol, name)


@pytest.mark.parametrize(
    "names", [("HDFC_BANK",), ("HDFC_AMC_daily",), ("RELIANCE_HDFC",), ("SBIN", "RELIANCE"), ("2024", "SBIN"), ("x",)]
)
def test_a_file_of_another_company_is_of_none(names):
    assert MATCHER.symbol_of_file(names) is None


def test_an_alias_stands_for_the_symbol_that_it_became_unless_it_is_listed_itself():
    until = date(2022, 12, 5)
    aliases = {"LTI": Alias("LTIM", until), "HDFC": Alias("LTIM"), "TATA_MOTORS": Alias("LTIM")}
    matcher = Matcher([Listing("LTIM", vendor_code="LTIM.NS"), Listing("HDFC"), Listing("TATA-MOTORS")], aliases)
    assert [matcher.symbol(name) for name in ("LTI", "NSE:LTI-EQ", "LTIM", "HDFC")] == ["LTIM"] * 3 + ["HDFC"]
    assert matcher.alias("lti.ns") == ("LTI", Alias("LTIM", until))
    assert [matcher.alias(name) for name in ("LTIM", "HDFC", "x")] == [None] * 3
    assert matcher.symbol_of_file(("LTI_daily_2021",)) == ("LTIM", "LTI")
    # What spells both a listed symbol and an alias is the listed one, but for the alias to the letter.
    assert [matcher.symbol(name) for name in ("TATA MOTORS", "TATA_MOTORS")] == ["TATA-MOTORS", "LTIM"]
