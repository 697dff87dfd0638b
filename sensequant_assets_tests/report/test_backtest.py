"""Claims about a backtest in words and as a picture."""

from typing import Any

import pytest

from sensequant_assets.report.backtest import MOST_POINTS, drawn

SIDE = {
    "total_return": 0.5, "max_drawdown": 0.25, "peak": "2024-01-02", "trough": "2024-01-03", "recovered": None,
    "stranded": [],
}  # fmt: skip
FOUND: dict[str, Any] = {
    "batch_id": "b", "universe": "u", "model": "student", "top": 2, "horizon": 3, "cost_bp": 25.0, "price_band": 0.2,
    "label": "threshold", "first": "2024-01-01", "last": "2024-01-04", "dates": 600, "blocks": 28, "block_length": 21,
    "period": 3, "coverage": 0.95, "windows": 4, "symbols": 8, "signals": 4000, "signal_dates": 597,
    "excess": -0.0001, "excess_low": -0.0007, "excess_high": 0.0004, "excess_before_costs": 0.0002,
    "excess_before_costs_low": -0.0004, "excess_before_costs_high": 0.0008, "portfolio": SIDE, "benchmark": SIDE,
    "turnover": 0.6, "buys": 900, "sells": 1, "costs": 0.034,
    "unfilled": {"locked_buys": 3, "locked_sells": 1, "absent_buys": 0, "absent_sells": 2}, "beyond_band": [],
    "passed_over": 0, "sharpe": -0.05, "sharpe_low": -0.2, "sharpe_high": 0.1, "periods": 199,
    "probabilistic_sharpe": 0.24, "deflated_sharpe": 0.11, "trials": 5, "overfitting": 0.61, "overfitting_trials": 4,
    "overfitting_periods": 198,
    "course": {
        "date": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "portfolio": [1.0, 2.0, 1.0, 1.5],
        "benchmark": [1.0, 1.0, 0.5, 1.0],
    },
    "remarks": ["One model is left out."],
}  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "shows"),
    [
        (-0.0007, 0.0004, "-1.00 [-7.00, +4.00] bp a date (600 dates, 28 blocks): nothing shows that it beats its"),
        (0.0, 0.0004, "nothing shows that it beats its universe."),
        (0.00001, 0.0004, "on these dates surely more than the universe."),
        (-0.0007, -0.0002, "on these dates surely less than the universe."),
        (
            None,
            None,
            "-1.00 bp a date (600 dates, 28 blocks): that is too few dates for an interval",
        ),
    ],
)
def test_the_verdict_claims_no_more_than_its_interval(low: float | None, high: float | None, shows: str) -> None:
    assert shows in drawn({**FOUND, "excess_low": low, "excess_high": high}).verdict


def test_every_number_has_its_n_and_costs_band_and_trials_are_named() -> None:
    shown = drawn(FOUND)
    said = " ".join([shown.head, shown.verdict, *shown.sentences, *shown.remarks])
    for words in (
        "4,000 predictions of 597 dates and 4 windows",
        "after costs of 25 bp a round trip",
        "-0.050 [-0.200, +0.100]; above 0 with probability 0.240, above the luckiest of 5 trials with 0.110 (199",
        "Probability of backtest overfitting: 0.610 (4 trials, 198 periods).",
        "900 purchases and 1 sale; 60% of the portfolio is replaced over a horizon. Costs took 3.4% of the capital",
        "3 purchases and 1 sale met a price at its limit (20% from the last close), 0 and 2 a symbol without a bar",
        "One model is left out.",
    ):
        assert words in said
    assert dict(shown.sides)["universe"] == ["+50.0%", "25.0%", "2024-01-02", "2024-01-03", "not yet"]
    assert "Fewer than 500 dates" not in said


def test_what_cannot_be_told_is_said_to_be_unknown_and_what_is_doubtful_is_named() -> None:
    moves = [{"symbol": f"S{number}", "date": "2024-01-03"} for number in range(7)]
    shown = drawn(
        FOUND
        | {"dates": 60, "probabilistic_sharpe": None, "overfitting": None, "price_band": 0.0, "passed_over": 2}
        | {"beyond_band": moves, "portfolio": {**SIDE, "stranded": ["GONE"]}}
    )
    said = " ".join([*shown.sentences, *shown.remarks])
    assert "Probability of backtest overfitting: unknown, for there are too few trials or periods." in said
    assert "no price has a limit" in said
    assert "7 moves of what was held are larger than the band (S0 2024-01-03, " in said
    assert "and 2 more)" in said
    assert "The portfolio could not sell GONE to the end" in said
    assert "2 times at which fewer than half of the symbols have a bar are passed over." in said
    assert "Fewer than 500 dates: such an interval covers badly." in said


def test_the_picture_places_equity_on_a_scale_of_shares_and_falls_below_their_axis() -> None:
    picture = drawn(FOUND).picture
    points = [tuple(map(float, point.split(","))) for point in picture.portfolio.split()]
    # From .5 to 2 the scale has two doublings: 186 below, 98 for 1, 10 above.
    assert points == [(48.0, 98.0), (269.3, 10.0), (490.7, 98.0), (712.0, pytest.approx(46.5, abs=0.1))]
    assert picture.start == pytest.approx(98)
    falls = [tuple(map(float, point.split(","))) for point in picture.falls.split()]
    assert [y for _, y in falls] == [206.0, 206.0, 274.0, 240.0, 206.0, 206.0]
    assert picture.deepest == "-50%"
    assert picture.title.startswith("Portfolio +50.0%, universe +0.0%, 2024-01-01 to 2024-01-04; deepest fall 50.0%")


def test_a_long_course_is_thinned_and_keeps_its_deepest_fall() -> None:
    days = [f"{2000 + number // 336}-{number % 336 // 28 + 1:02d}-{number % 28 + 1:02d}" for number in range(3000)]
    flat = [1.0] * 3000
    course = {"date": days, "portfolio": [*flat[:1001], 0.7, *flat[1002:]], "benchmark": flat}
    picture = drawn({**FOUND, "course": course}).picture
    assert len(picture.portfolio.split()) <= MOST_POINTS + 2
    assert picture.deepest == "-30%"
    assert "274.0" in picture.falls
