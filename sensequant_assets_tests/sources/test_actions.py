"""Claims about files of corporate actions, and the bars that they adjust."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.core.quality.adjustment import Action, adjusted
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.actions import read_actions
from sensequant_assets.sources.changed import ChangedBars
from sensequant_assets_tests.making import bars_of
from sensequant_assets_tests.market.test_market import Shelf


def test_actions_are_read_by_symbol_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text("symbol,ex_date,factor\nTCS,2024-01-05,5\nINFY,2024-02-01,1.25\nTCS,2024-03-01,2\n")
    assert read_actions(path) == {
        "TCS": [
            Action(date(2024, 1, 5), 5.0, f"{path}, line 2."),
            Action(date(2024, 3, 1), 2.0, f"{path}, line 4."),
        ],
        "INFY": [Action(date(2024, 2, 1), 1.25, f"{path}, line 3.")],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,date,factor\n", "column ex_date is missing; it has symbol, date, factor."),
        ("symbol,ex_date,factor\nTCS,soon,5\n", "line 2: Invalid isoformat string: 'soon'."),
        ("symbol,ex_date,factor\nTCS,2024-01-05,five\n", "line 2: could not convert string to float: 'five'."),
        ("symbol,ex_date,factor\nTCS,2024-01-05,0\n", "line 2: factor 0 is not in [0.001, 1000]."),
        ("symbol,ex_date,factor\nTCS,2024-01-05,nan\n", "line 2: factor nan is not in [0.001, 1000]."),
    ],
)
def test_a_row_that_is_no_action_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_actions(path)
    assert said in str(caught.value)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There are no corporate actions at .*none\.csv: No such file"):
        read_actions(tmp_path / "none.csv")


def test_a_source_gives_the_bars_of_another_as_its_symbols_actions_make_them() -> None:
    shelf = Shelf(TCS=bars_of(np.array([10.0, 20.0, 4.0]), symbol="TCS"), INFY=bars_of(np.array([10.0]), symbol="INFY"))
    actions = {"TCS": [Action(date(2022, 1, 3), 5.0, "")]}
    source = ChangedBars(shelf, lambda bars: adjusted(bars, actions.get(bars.symbol, ())))
    assert source.bars(Listing("TCS")).close.tolist() == [2.0, 4.0, 4.0]
    assert source.bars(Listing("INFY")).close.tolist() == [10.0]
    assert (source.left_out, list(source.notes)) == ((), [])
