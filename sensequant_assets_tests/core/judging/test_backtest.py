"""Claims about a portfolio bar by bar: by hand on ten bars, and beside a library."""

from datetime import date

import bt
import numpy as np
import pandas as pd
import pytest

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.judging.backtest import Prices, Terms, backtest, drawdown, hold
from sensequant_assets_tests.making import bars_of, with_columns

NAN = np.nan
DAYS = (np.datetime64("2024-01-01") + np.arange(6)).astype("datetime64[s]")
OPEN = np.array([[100, NAN], [100, 50], [110, 50], [120, 50], [NAN, 48], [126, 48]], dtype=np.float64)
CLOSE = np.array([[100, NAN], [110, 50], [120, 50], [120, 60], [NAN, 48], [126, 48]], dtype=np.float64)
TEN = Prices(DAYS, OPEN, CLOSE)
"""Ten bars of two symbols: B opens on day 4 a fifth below its close, where A has no bar."""

TERMS = Terms(top=1, horizon=2, cost_bp=100, band=0.2)
"""Two sleeves of one symbol each; a purchase costs 50 basis points, and so does a sale."""

# On day 0 A is wanted, on day 1 B, on day 2 A again, and nothing from then on.
TIME, SYMBOL = DAYS[[0, 1, 1, 2, 2]], np.array([0, 0, 1, 0, 1])
SCORE = np.array([0.9, 0.2, 0.8, 0.9, 0.1])
WANTED = np.array([[1, 0], [0, 1], [1, 0], [0, 0], [0, 0], [0, 0]], dtype=np.float64)


def test_ten_bars_by_hand() -> None:
    found = hold(TEN, WANTED, TERMS)
    half = 0.5 / 1.005  # What half a capital buys when half a percent of it is paid besides.
    a, b = half / 100, half / 50
    assert found.equity == pytest.approx(
        [
            1,
            a * 110 + 0.5,
            a * 120 + b * 50,
            a * 120 + b * 60,  # A is wanted again: nothing is traded.
            a * 120 + b * 48,  # B is at its limit and waits; A has no bar, and its last close counts.
            (a * 126 + b * 48) * 0.995,  # Both are sold.
        ],
        abs=1e-12,
    )
    assert found.equity[-1] == pytest.approx(1.0989552, abs=1e-7)
    orders = found.orders
    assert (orders.buys, orders.sells, orders.locked_sells, orders.absent_sells) == (2, 2, 1, 0)
    assert orders.costs == pytest.approx((half + half + a * 126 + b * 48) * 0.005)
    assert found.turnover[1:] == pytest.approx(
        [half / 2, half / 2 / (a * 110 + 0.5), 0, 0, (a * 126 + b * 48) / 2 / (a * 120 + b * 48)]
    )
    assert (found.stranded, orders.beyond) == ((), [])


def test_the_portfolio_stands_beside_an_equal_weighted_universe_that_pays_nothing() -> None:
    found = backtest(TEN, TIME, SYMBOL, SCORE, TERMS)
    assert found.equity == pytest.approx(hold(TEN, WANTED, TERMS).equity[1:])
    even = np.array([[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 0], [0, 0], [0, 0]])
    universe = hold(TEN, even, Terms(1, 2, 0, 0.2))
    assert found.benchmark == pytest.approx(universe.equity[1:])
    # On day 3 the sleeve of A has 60 and wants half of it in B: .3 / 50 shares more.
    assert found.benchmark[2] == pytest.approx(0.3 + 0.3 * 60 / 50 + 0.25 / 110 * 120 + 0.25 / 50 * 60)
    returns = [np.array(equity) / np.append(1.0, equity[:-1]) - 1 for equity in (found.equity, found.benchmark)]
    assert found.excess == pytest.approx(returns[0] - returns[1])
    assert found.net.value == pytest.approx(found.excess.mean())
    assert found.gross.value > found.net.value
    assert found.by_period[:4] == pytest.approx(found.excess[:4] + found.excess[1:])
    assert np.isnan(found.by_period[4])
    assert (len(found.calendar), found.signals, found.signal_dates) == (5, 5, 3)
    assert np.isnan(found.net.low), "five dates hold no two blocks"
    assert found.turnover == pytest.approx(found.portfolio.turnover[1:].mean() * 2)


def changed(symbol: int, day: int, opened: float, closed: float) -> Prices:
    """The ten bars with one of them another, or gone."""
    moved, ended = OPEN.copy(), CLOSE.copy()
    moved[day, symbol], ended[day, symbol] = opened, closed
    return Prices(DAYS, moved, ended)


@pytest.mark.parametrize(("opened", "order"), [(120.0, "locked_buys"), (119.92, "locked_buys"), (NAN, "absent_buys")])
def test_what_nobody_sells_is_not_bought_and_its_part_stays_in_cash(opened: float, order: str) -> None:
    orders = (found := hold(changed(0, 1, opened, opened), WANTED, TERMS)).orders
    assert getattr(orders, order) == 1
    # Two days later the sleeve wants A again and gets it, unless that is at its limit too.
    assert found.equity[1] == 1
    assert orders.buys == 2
    assert hold(changed(0, 1, 119.8, 119.8), WANTED, TERMS).orders.locked_buys == 0


def test_without_a_band_every_price_is_traded() -> None:
    free = hold(TEN, WANTED, Terms(1, 2, 100, 0))
    assert (free.orders.locked_sells, free.orders.beyond) == (0, [])
    assert free.equity[4] == pytest.approx(0.5 / 1.005 / 100 * 120 + 0.5 / 1.005 / 50 * 48 * 0.995)


def test_who_has_no_bar_when_it_is_to_be_sold_waits_and_who_never_has_one_again_is_told() -> None:
    later = changed(1, 4, NAN, NAN)
    later.open[5, 1] = later.close[5, 1] = 55
    waits = hold(later, WANTED, TERMS)
    assert (waits.orders.absent_sells, waits.orders.locked_sells, waits.stranded) == (1, 0, ())
    gone = changed(1, 4, NAN, NAN)
    gone.open[5, 1] = gone.close[5, 1] = NAN
    stranded = hold(gone, WANTED, TERMS)
    assert stranded.stranded == (1,)
    assert stranded.orders.absent_sells == 1, "it is one order however long it waits"
    b = 0.5 / 1.005 / 50
    assert stranded.equity[-1] == pytest.approx(0.5 / 1.005 / 100 * 126 * 0.995 + b * 60), "the last close counts"


def test_what_no_band_lets_through_is_neither_bought_nor_sold_and_told_where_it_was_held() -> None:
    # B closes at 25, opens at 48, and stays there.
    split = changed(1, 3, 50, 25)
    held = hold(split, WANTED, TERMS).orders
    assert held.beyond == [(3, 1), (4, 1)]
    assert held.locked_sells == 1
    halved = hold(changed(0, 1, 50, 50), WANTED, TERMS)
    assert halved.orders.locked_buys == 1
    # Nobody holds it then.
    assert hold(split, WANTED * [1, 0], TERMS).orders.beyond == []


def test_ties_share_the_last_places_and_one_score_for_all_is_the_universe() -> None:
    rng = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (40, 4)), axis=0))
    prices = Prices((np.datetime64("2024-01-01") + np.arange(40)).astype("datetime64[s]"), close, close)
    time, symbol = np.repeat(prices.time[:30], 4), np.tile(np.arange(4), 30)
    same = backtest(prices, time, symbol, np.full(120, 0.5), Terms(2, 3, 0, 0))
    assert same.equity == pytest.approx(same.benchmark)
    assert same.net.value == pytest.approx(0, abs=1e-15)
    many = backtest(prices, time, symbol, rng.random(120), Terms(4, 3, 0, 0))
    assert many.equity == pytest.approx(many.benchmark)


def test_moments_are_those_at_which_half_of_the_symbols_in_trade_have_a_bar() -> None:
    def on(symbol: str, days: list[int]) -> Bars:
        bars = bars_of(np.arange(1.0, 11.0), symbol=symbol, first_day=date(2024, 1, 1))
        return with_columns(bars, {name: getattr(bars, name)[days] for name in ("time", "open", "close")})

    # Day 7 is one symbol's alone; day 9 too, but by then nobody else is in trade.
    found = Prices.of([on("A", [0, 1, 2, 3, 7, 8, 9]), on("B", [1, 2, 8]), on("C", [1, 3, 8]), Bars.empty("D")])
    assert (found.time - np.datetime64("2024-01-01")).astype("timedelta64[D]").astype(int).tolist() == [
        0,
        1,
        2,
        3,
        8,
        9,
    ]
    assert found.passed_over == 1
    assert np.isnan(found.close[:, 3]).all()
    assert found.close[2].tolist()[:2] == [3.0, 3.0]
    assert np.isnan(found.close[2, 2])


@pytest.mark.parametrize(
    ("equity", "told"),
    [
        ([1.0, 1.2, 0.9, 1.1, 1.3], (0.25, 1, 2, 4)),
        ([1.0, 0.8, 0.9], (0.2, 0, 1, None)),
        ([1.0, 1.1, 1.2], (0.0, 0, 0, 0)),
    ],
)
def test_the_deepest_fall_has_a_peak_a_trough_and_a_recovery(
    equity: list[float], told: tuple[float, int, int, int | None]
) -> None:
    found = drawdown(np.array(equity))
    assert found.depth == pytest.approx(told[0])
    assert (found.peak, found.trough, found.recovered) == told[1:]


@pytest.mark.parametrize(("cost_bp", "near"), [(0.0, 1e-12), (25.0, 1e-4)])
def test_sleeves_are_worth_what_a_library_says(cost_bp: float, near: float) -> None:
    """Each sleeve is a strategy of bt, which trades at opens and marks at closes.

    It buys for what it has before the costs of its sales, on credit, where ours has paid them: a difference of costs of
    costs, which take 3 % of the capital here.
    """
    rng = np.random.default_rng(5)
    days, symbols, horizon = 60, 6, 3
    steps = rng.normal(0, 0.02, (2 * days, symbols))
    path = 100 * np.exp(np.cumsum(steps, axis=0))
    opened, closed = path[::2], path[1::2]
    wanted = np.zeros((days, symbols))
    for row in wanted[:-4]:
        row[rng.choice(symbols, 2, replace=False)] = 0.5
    time = (np.datetime64("2024-01-01") + np.arange(days)).astype("datetime64[s]")
    found = hold(Prices(time, opened, closed), wanted, Terms(2, horizon, cost_bp, 0))

    stamps = [time + np.timedelta64(hour, "h") for hour in (9, 15)]
    table = pd.DataFrame(path, index=np.column_stack(stamps).ravel(), columns=[f"S{n}" for n in range(symbols)])
    worth: Floats = np.zeros(days)
    paid = 0.0
    for sleeve in range(horizon):
        turns = [at for at in range(1, days) if at % horizon == sleeve]
        weights = pd.DataFrame(wanted[[at - 1 for at in turns]], index=stamps[0][turns], columns=table.columns)
        algos = [bt.algos.RunOnDate(*weights.index), bt.algos.WeighTarget(weights), bt.algos.Rebalance()]
        test = bt.Backtest(
            bt.Strategy("sleeve", algos),
            table,
            initial_capital=1 / horizon,
            commissions=lambda shares, price: abs(shares) * price * cost_bp / 2 / 10_000,
            integer_positions=False,
            progress_bar=False,
        )
        test.run()
        worth += test.strategy.values.loc[stamps[1]].to_numpy()
        paid += test.strategy.fees.sum()
    assert found.equity == pytest.approx(worth, rel=near)
    assert found.orders.costs == pytest.approx(paid, rel=0.005)
    assert (paid > 0.02) == (cost_bp > 0)
