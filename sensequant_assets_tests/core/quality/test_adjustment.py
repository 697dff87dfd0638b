"""Claims about bars that are adjusted by corporate actions."""

from datetime import date

import numpy as np
import pytest

from sensequant_assets.core.quality.adjustment import Action, adjusted, detected, record_of
from sensequant_assets_tests.core.quality.market import found, market, rules, scaled
from sensequant_assets_tests.making import bars_of

SPLIT = Action(date(2022, 1, 3), 5.0, "a.csv, line 2.")
"""Of one share into five, on the third day."""


def test_prices_before_an_action_are_divided_by_its_factor_and_volume_is_multiplied() -> None:
    bars = adjusted(bars_of(np.array([10.0, 20.0, 4.0])), [SPLIT])
    assert bars.close.tolist() == [2.0, 4.0, 4.0]
    assert bars.volume.tolist() == [5000.0, 5000.0, 1000.0]
    assert bars.open.tolist() == [2.0, 2.0, 20.0]


def test_several_actions_multiply_and_none_changes_nothing() -> None:
    bars = bars_of(np.array([10.0, 20.0, 4.0]))
    assert adjusted(bars, [SPLIT, Action(date(2022, 1, 2), 2.0, "")]).close.tolist() == [1.0, 4.0, 4.0]
    assert adjusted(bars, []) is bars


def test_a_detected_step_is_taken_out_but_for_the_markets_move() -> None:
    bars = market()
    bars[3] = scaled(bars[3], slice(250, None), 0.2, 5.0)
    ((symbol, actions),) = detected(found(bars)).items()
    assert symbol == "S03"
    assert [action.factor for action in actions] == [pytest.approx(5.0)]
    bars[3] = adjusted(bars[3], actions)
    assert rules(bars) == []


def test_units_and_warnings_are_not_taken_out() -> None:
    bars = market()
    bars[3] = scaled(bars[3], slice(250, None), 100.0)
    assert detected(found(bars)) == {}


def test_a_factor_is_recorded_with_the_days_that_it_changed_and_who_said_so() -> None:
    days = market()[0].time.astype("datetime64[D]")
    record = record_of("S00", days, SPLIT)
    assert record is not None
    assert (record.rule, record.rows, str(record.first), str(record.last)) == (
        "adjusted",
        2,
        "2022-01-01",
        "2022-01-02",
    )
    assert record.evidence == {"factor": 5.0}
    assert record.message.endswith("are divided by 5, and their volume is multiplied by it: a.csv, line 2.")
    assert record_of("S00", days, Action(date(2022, 1, 1), 5.0, "")) is None
