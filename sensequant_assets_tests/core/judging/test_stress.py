"""Claims about periods of the past and shocks to the newest bars, by hand."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from sensequant_assets.core.bars import PRICES, Floats
from sensequant_assets.core.judging.backtest import Backtest, Prices, Terms, backtest
from sensequant_assets.core.judging.periods import Period
from sensequant_assets.core.judging.stress import Endured, Limits, Shock, State, bear_period, bear_shock
from sensequant_assets_tests.making import random_walk

LIMITS = Limits(drawdown=0.2, answered=0.9, change=0.1)
FIRST = np.datetime64("2024-01-01")
SESSIONS = FIRST + np.arange(40)
NAN = np.nan


def held(fall: float = 0.0) -> Backtest:
    """One of two symbols, held for a bar, which falls by a share on day 20; predicted on days 10 to 34."""
    close = np.full((40, 2), 100.0)
    close[20:, 0] *= 1 - fall
    opened = np.vstack([close[:1], close[:-1]])
    days = np.arange(10, 35)
    time = SESSIONS.astype("datetime64[s]")
    score = np.tile([0.9, 0.1], len(days))
    terms = Terms(top=1, horizon=1, cost_bp=0, band=0)
    return backtest(Prices(time, opened, close), np.repeat(time[days], 2), np.tile([0, 1], len(days)), score, terms)


def lived(first: int, last: int, ics: Floats | None = None, fall: float = 0.0) -> Endured:
    day = date(2024, 1, 1).toordinal()
    period = Period("test", date.fromordinal(day + first), date.fromordinal(day + last))
    daily = np.full(25, 0.1) if ics is None else ics
    return bear_period(period, SESSIONS[10:35], daily, held(fall), SESSIONS, LIMITS)


def test_a_period_whose_sessions_all_have_predictions_passes_with_its_numbers() -> None:
    found = lived(18, 21, fall=0.1)
    assert found.state is State.PASSED
    assert (found.numbers["dates"], found.numbers["sessions"], found.numbers["rank_ic_dates"]) == (4, 4, 4)
    # Of 100 that the portfolio had before day 20 it has 90 from then on; its universe has 95.
    assert found.numbers["max_drawdown"] == pytest.approx(0.1)
    assert found.numbers["total_return"] == pytest.approx(-0.1)
    assert found.numbers["benchmark_return"] == pytest.approx(-0.05)
    assert "4 of 4 sessions with predictions" in found.said
    assert "deepest fall is 10.0% (limit 20%)" in found.said


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        (-300, -200, "there are bars from 2024-01-01 to 2024-02-09"),
        (0, 5, "models were tested from 2024-01-11 to 2024-02-04, and on none of its 6 sessions"),
        (36, 39, "and on none of its 4 sessions"),
        (50, 60, "there are bars from"),
    ],
)
def test_a_period_that_predictions_do_not_reach_is_not_covered(first: int, last: int, why: str) -> None:
    found = lived(first, last)
    assert found.state is State.NOT_COVERED
    assert "is not covered" in found.said
    assert why in found.said
    assert "max_drawdown" not in found.numbers


@pytest.mark.parametrize(("first", "last"), [(5, 15), (30, 38), (-5, 15), (30, 60)])
def test_a_period_that_they_reach_in_part_cannot_pass_and_can_fail(first: int, last: int) -> None:
    assert lived(first, last).state is State.PARTLY
    assert lived(5, 21, fall=0.3).state is State.FAILED


def test_a_fall_beyond_the_limit_or_an_order_surely_upside_down_fails() -> None:
    assert lived(18, 21, fall=0.21).state is State.FAILED
    assert lived(21, 24, fall=0.21).state is State.PASSED, "it was before"
    turned = lived(20, 21, np.tile([-0.3, -0.25, -0.35, -0.3, -0.3], 5))
    assert turned.state is State.FAILED
    assert "Rank IC -0.275 [" in turned.said
    assert "surely below 0" in turned.said


def test_a_period_without_any_order_has_no_rank_ic() -> None:
    found = lived(18, 21, np.full(25, NAN))
    assert (found.state, found.numbers["rank_ic"]) == (State.PASSED, None)
    assert "Rank IC unknown of 0 dates" in found.said


def shocked(before: list[float], after: list[float], doubted: list[bool]) -> Endured:
    return bear_shock(Shock.GAP, np.array(before), np.array(after), np.array(doubted), LIMITS)


def test_a_probability_may_move_far_only_with_a_flag() -> None:
    calm = [0.2, 0.3, 0.4, 0.5]
    found = shocked(calm, [0.25, 0.35, 0.6, 0.5], [False, False, True, False])
    assert found.state is State.PASSED
    assert found.numbers == {
        "symbols": 4, "answered": 4, "flagged": 1, "mean_change": pytest.approx(0.075),
        "max_change": pytest.approx(0.2), "order": pytest.approx(0.8), "silent": 0,
    }  # fmt: skip
    silent = shocked(calm, [0.25, 0.35, 0.6, 0.5], [True, True, False, True])
    assert (silent.state, silent.numbers["silent"]) == (State.FAILED, 1)
    assert "1 moved by more than 0.1 without a flag" in silent.said


def test_too_few_answers_fail_and_those_who_had_none_before_do_not_count() -> None:
    ten = [0.3] * 9 + [0.35]
    one_less = shocked([*ten, NAN], [*ten[1:], NAN, NAN], [False] * 11)
    assert (one_less.state, one_less.numbers["answered"], one_less.numbers["symbols"]) == (State.PASSED, 9, 10)
    assert shocked(ten, [NAN, NAN, *ten[2:]], [False] * 10).state is State.FAILED
    none = shocked([0.3], [NAN], [False])
    assert (none.state, none.numbers["max_change"], none.numbers["order"]) == (State.FAILED, None, None)


def test_who_answers_the_same_of_all_is_said_to_have_no_order() -> None:
    assert "there is no order to keep" in shocked([0.3, 0.3], [0.3, 0.3], [False, False]).said


def test_a_shock_changes_the_newest_bars_alone_and_they_stay_bars() -> None:
    bars = random_walk(60, seed=4)
    for shock in Shock:
        changed = shock.on(bars)
        untouched = {Shock.GAP: 59, Shock.VOLATILITY: 40, Shock.MISSING_DAYS: 54}.get(shock, 55)
        for name in ("time", *PRICES, "volume"):
            assert np.array_equal(getattr(changed, name)[:untouched], getattr(bars, name)[:untouched])
        assert (changed.low <= np.minimum(changed.open, changed.close) * (1 + 1e-12)).all()
        assert (changed.high >= np.maximum(changed.open, changed.close) * (1 - 1e-12)).all()
        few = random_walk(39, seed=4)
        assert shock.on(few) is few


def test_each_shock_is_what_its_words_say() -> None:
    bars = random_walk(60, seed=4)
    on: dict[Shock, Any] = {shock: shock.on(bars) for shock in Shock}
    assert on[Shock.GAP].open[-1] == pytest.approx(bars.open[-1] * 0.9)
    assert on[Shock.GAP].close[-1] == pytest.approx(bars.close[-1] * 0.9)
    moves = [np.diff(np.log(each.close[-21:])) for each in (on[Shock.VOLATILITY], bars)]
    assert moves[0] == pytest.approx(3 * moves[1])
    assert on[Shock.MISSING_DAYS].time.tolist() == [*bars.time[:54].tolist(), bars.time[59].tolist()]
    assert on[Shock.STALE_FEED].time.tolist() == bars.time[:55].tolist()
    assert on[Shock.SPLIT].close[-5:] == pytest.approx(bars.close[-5:] / 2)
    assert on[Shock.SPLIT].volume[-5:] == pytest.approx(bars.volume[-5:] * 2)
    symbols = ["A", "B", "C"]
    assert [list(shock.strikes(symbols, "B")) for shock in Shock] == [symbols, symbols, symbols, ["A", "C"], ["B"]]
