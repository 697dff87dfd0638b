"""Claims about files of renamed symbols."""

from datetime import date

import pytest

from sensequant_assets.core.renames import Rename, Renames
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.renames import read_renames

LTM = Renames([Rename(date(2022, 12, 5), "LTI", "LTIM"), Rename(date(2026, 2, 27), "LTIM", "LTM")])


@pytest.mark.parametrize(
    "text",
    [
        # As NSE writes it: without a header, the company first.
        " LTIMindtree Limited,LTI,LTIM,05-DEC-2022\nLTM Limited,LTIM,LTM,27-FEB-2026\n",
        "LTI,LTIM,2022-12-05\nLTIM,LTM,2026-02-27\n",
        "old symbol,new symbol,date\nLTI,LTIM,2022-12-05\n\nLTIM,LTM,2026-02-27\n",
        "COMP_NAME,SM_KEY_SYMBOL,SM_NEW_SYMBOL,SM_APPLICABLE_FROM\nx,LTI,LTIM,05-DEC-2022\ny,LTIM,LTM,27-FEB-2026\n",
        '"Effective Date","Former Symbol","Symbol"\n2022-12-05,LTI,LTIM\n2026-02-27,LTIM,LTM\n',
    ],
)
def test_renames_are_read_as_the_exchange_and_as_people_write_them(tmp_path, text):
    (tmp_path / "changes.csv").write_text(text)
    known = read_renames(tmp_path / "changes.csv")
    assert known.names("LTM") == LTM.names("LTM")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"changes\.csv: it has no rows"),
        ("a,b\nLTI,LTIM\n", r"changes\.csv: it does not say once which column is old, new, date; it has a, b\. Name"),
        ("x,LTI,LTIM,05-DEC-2022\ny,LTIM\n", r"changes\.csv, row 2: it has 2 cells, and needs"),
        ("x,LTI,LTIM,05-DEC-2022\ny,LTIM,,27-FEB-2026\n", r"changes\.csv, row 2: '' is not a symbol"),
        ("x,LTI,LTIM,05-DEC-2022\ny,LTIM,LTM,27-02-2026\n", r"row 2: date '27-02-2026' is not a date like 2022-05-17"),
        ("x,LTI,LTIM,05-DEC-2022\ny,LTIM,LTM,\n", r"changes\.csv, row 2: the date is missing"),
    ],
)
def test_what_is_no_rename_is_refused_with_its_row(tmp_path, text, said):
    (tmp_path / "changes.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_renames(tmp_path / "changes.csv")


def test_a_missing_file_is_refused_with_how_to_give_one(tmp_path):
    with pytest.raises(UsageError, match=r"There are no renamed symbols at .*none\.csv: .*--symbol-changes"):
        read_renames(tmp_path / "none.csv")
