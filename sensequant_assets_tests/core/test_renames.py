"""Claims about the symbols that companies had."""

from datetime import date

import pytest

from sensequant_assets.core.renames import Alias, Rename, Renames

LTM = Renames([Rename(date(2026, 2, 27), "LTIM", "LTM"), Rename(date(2022, 12, 5), "LTI", "LTIM")])


@pytest.mark.parametrize("symbol", ["LTI", "LTIM", "LTM"])
def test_a_company_is_known_by_each_of_its_symbols(symbol):
    assert LTM.names(symbol) == (("LTI", date(2022, 12, 5)), ("LTIM", date(2026, 2, 27)), ("LTM", None))
    assert LTM.newest(symbol) == "LTM"


def test_a_company_that_was_never_renamed_has_one_symbol():
    assert LTM.names("TCS") == (("TCS", None),)
    assert list(Renames([Rename(date(2025, 7, 21), "QUALITY30", "QUALITY30")])) == []


@pytest.mark.parametrize(
    ("day", "name"),
    [(date(2022, 12, 4), "LTI"), (date(2022, 12, 5), "LTIM"), (date(2026, 2, 26), "LTIM"), (date(2026, 2, 27), "LTM")],
)
def test_a_rename_is_undone_on_the_days_before_it(day, name):
    assert LTM.name_on("LTM", day) == name
    assert LTM.as_of(day).newest("LTI") == name


def test_a_symbol_that_was_given_up_may_be_another_companys():
    known = Renames(
        [
            Rename(date(2003, 12, 26), "TELCO", "TATAMOTORS"),
            Rename(date(2025, 10, 24), "TATAMOTORS", "TMPV"),
            Rename(date(2026, 3, 2), "TMLCV", "TATAMOTORS"),
        ]
    )
    # Who has it by a later rename, and who was listed under it later, is another company.
    assert known.names("TATAMOTORS") == (("TMLCV", date(2026, 3, 2)), ("TATAMOTORS", None))
    assert known.as_of(date(2026, 1, 1)).names("TATAMOTORS", date(2025, 11, 12)) == (("TATAMOTORS", None),)
    assert known.newest("TELCO") == "TMPV"
    assert known.as_of(date(2026, 1, 1)).newest("TATAMOTORS") == "TMPV"


def test_a_company_may_have_a_symbol_twice():
    known = Renames([Rename(date(2010, 1, 1), "A", "B"), Rename(date(2012, 1, 1), "B", "A")])
    assert known.names("A") == (("A", date(2010, 1, 1)), ("B", date(2012, 1, 1)), ("A", None))
    assert known.aliases({"A": None}) == {"B": Alias("A", date(2012, 1, 1))}


def test_aliases_of_a_listed_symbol_are_its_earlier_ones_until_they_were_given_up_and_its_later_ones():
    assert LTM.aliases({"TCS": None, "LTIM": None}) == {"LTI": Alias("LTIM", date(2022, 12, 5)), "LTM": Alias("LTIM")}
    assert [*LTM.aliases({"LTM": None})] == ["LTIM", "LTI"]


def test_symbols_that_are_both_listed_are_no_aliases_and_are_told():
    listed = {"LTI": None, "LTM": None}
    assert LTM.aliases(listed) == {"LTIM": Alias("LTI")}
    assert LTM.doubles(listed) == [("LTI", "LTM")]
    assert LTM.doubles({"LTI": None}) == []
