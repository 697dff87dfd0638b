"""What a portfolio of the symbols with the highest scores would have come to, bar by bar, net of costs.

A simulation of past bars: an order is filled at the open, at any size, or not at all. It knows nothing of an order's
own effect on the price, of taxes on gains, or of days to come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Bars, Floats, Times
from sensequant_assets.core.judging import sums
from sensequant_assets.core.judging.bootstrap import Estimate, Resampling, resample
from sensequant_assets.core.judging.walk_forward import Codes, top_shares

QUORUM = 0.5
"""Share of the symbols in trade that must have a bar for a moment to be one of the market's: on any other a sleeve
could hardly trade."""

AT_LIMIT = 0.001
"""By how much less or more than its band a price at its limit may have moved: it is rounded to the tick."""

_NOTHING = 1e-12
"""Share of a sleeve below which an order is the dust of a division."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a portfolio is held.

    Attributes
    ----------
    top
        Symbols that are bought at a time, in equal parts.
    horizon
        Bars that they are held: those that a label looks ahead.
    cost_bp
        Costs of a round trip in basis points of what is traded; a purchase costs half of it, and so does a sale.
    band
        Share by which a price can move from its last close: at its limit nobody sells, or nobody buys, and beyond it
        nobody trades at all. 0 is none.
    """

    top: int
    horizon: int
    cost_bp: float
    band: float


@dataclass(frozen=True, slots=True)
class Prices:
    """Opens and closes of symbols at the moments of their market.

    Attributes
    ----------
    time
        Start of each moment's bar, shape (moments,), `datetime64[s]`, strictly increasing.
    open, close
        Shape (moments, symbols); NaN where a symbol has no bar.
    passed_over
        Times at which too few symbols have a bar.
    """

    time: Times
    open: Floats
    close: Floats
    passed_over: int = 0

    @classmethod
    def of(cls, bars: Sequence[Bars]) -> "Prices":
        """Bring bars to the moments at which `QUORUM` of the symbols that trade by then have one.

        Parameters
        ----------
        bars
            One a symbol, in order; may be empty.
        """
        time, shown = np.unique(np.concatenate([each.time for each in bars]), return_counts=True)
        alive = np.zeros(len(time) + 1)
        for each in bars:
            if len(each):
                alive[np.searchsorted(time, each.time[0])] += 1
                alive[np.searchsorted(time, each.time[-1]) + 1] -= 1
        kept = shown >= QUORUM * np.cumsum(alive)[:-1]
        time = time[kept]
        opened, closed = (np.full((len(time), len(bars)), np.nan) for _ in range(2))
        for number, each in enumerate(bars):
            own = np.isin(each.time, time)
            at = np.searchsorted(time, each.time[own])
            opened[at, number], closed[at, number] = each.open[own], each.close[own]
        return cls(time, opened, closed, int((~kept).sum()))

    def between(self, first: int, end: int) -> "Prices":
        """Those of some moments, by position."""
        return Prices(self.time[first:end], self.open[first:end], self.close[first:end], self.passed_over)


@dataclass(slots=True)
class Orders:
    """What became of orders.

    Attributes
    ----------
    buys, sells
        Filled ones.
    locked_buys, locked_sells
        Those of a price at its limit or beyond it.
    absent_buys, absent_sells
        Those of a symbol without a bar.
    costs
        Paid for them, of a capital of 1.
    beyond
        Moves of what was held that are larger than the band: (moment, symbol). None can be traded through.
    """

    buys: int = 0
    sells: int = 0
    locked_buys: int = 0
    locked_sells: int = 0
    absent_buys: int = 0
    absent_sells: int = 0
    costs: float = 0.0
    beyond: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Holding:
    """A portfolio over the moments.

    Attributes
    ----------
    equity
        Its value at each close, shape (moments,), of a capital of 1 at the first.
    turnover
        Half of what was bought and sold at each moment, as a share of its value, shape (moments,).
    orders
        What became of its orders.
    stranded
        Numbers of the symbols that it still waits to sell at the end, valued at their last close.
    """

    equity: Floats
    turnover: Floats
    orders: Orders
    stranded: tuple[int, ...]


def hold(prices: Prices, wanted: Floats, terms: Terms) -> Holding:
    """Hold a portfolio in as many sleeves as a horizon has bars, of which one trades at each open.

    At the open after a moment a sleeve sells what it holds no longer and buys what is wanted, in the parts that are
    wanted, with what it has. What cannot be bought stays in cash until the sleeve's next turn, a horizon later. What
    cannot be sold waits, and is sold at the first open at which it can be.

    Parameters
    ----------
    prices
        From the first moment of which something is wanted.
    wanted
        Parts of a sleeve that are decided on after each moment's close, shape (moments, symbols); of a moment 1
        together or 0.
    terms
        Horizon, costs and band.
    """
    moments, symbols = prices.open.shape
    book = _Book(terms, symbols)
    equity, turnover = np.ones(moments), np.zeros(moments)
    for at in range(moments):
        before = equity[at - 1] if at else 1.0
        if at:
            turnover[at] = book.trade(prices.open[at], at % terms.horizon, wanted[at - 1]) / 2 / before
        book.mark(prices.close[at], at)
        equity[at] = book.value
    return Holding(equity, turnover, book.orders, tuple(np.flatnonzero(book.waiting.any(axis=0)).tolist()))


class _Book:
    """Shares and cash of the sleeves."""

    def __init__(self, terms: Terms, symbols: int) -> None:
        shape = (terms.horizon, symbols)
        self.shares = np.zeros(shape)
        self.cash = np.full(terms.horizon, 1 / terms.horizon)
        self.waiting = np.zeros(shape, dtype=np.bool_)
        self.last = np.full(symbols, np.nan)
        self.orders = Orders()
        self._cost = terms.cost_bp / 2 / 10_000
        band = terms.band or np.inf
        self._limit, self._through = band - AT_LIMIT, band + AT_LIMIT

    @property
    def value(self) -> float:
        """What all of it is worth at the last closes."""
        return float(self.cash.sum() + (self.shares.sum(axis=0) * np.nan_to_num(self.last)).sum())

    def mark(self, closed: Floats, at: int) -> None:
        """Take in closes."""
        known = np.isfinite(closed)
        with np.errstate(invalid="ignore"):
            moved = np.abs(closed / self.last - 1) > self._through
        held = np.flatnonzero(moved & self.shares.any(axis=0))
        self.orders.beyond += [(at, symbol) for symbol in held.tolist()]
        self.last = np.where(known, closed, self.last)

    def trade(self, opened: Floats, sleeve: int, wanted: Floats) -> float:
        """Sell what waits in any sleeve, then let one have what is wanted; gives the value of all that was traded."""
        known = np.isfinite(opened)
        # Nobody holds what has had no bar yet.
        price = np.nan_to_num(np.where(known, opened, self.last))
        with np.errstate(invalid="ignore"):
            move = np.nan_to_num(opened / self.last - 1)
        sound = known & (np.abs(move) <= self._through)
        # At its upper limit a share has buyers alone, at its lower one sellers alone.
        buyable, sellable = sound & (move < self._limit), sound & (move > -self._limit)
        due = self.waiting & sellable
        traded = self._sell(due.astype(np.float64), price)
        self.waiting &= ~due
        held = self.shares[sleeve] * price
        worth = self.cash[sleeve] + held.sum()
        change = wanted * worth - held
        change[np.abs(change) <= _NOTHING * worth] = 0.0
        less = change < 0
        unsold = less & ~sellable
        self.orders.locked_sells += int((unsold & known & ~self.waiting[sleeve]).sum())
        self.orders.absent_sells += int((unsold & ~known & ~self.waiting[sleeve]).sum())
        # What is wanted of in part stays whole until the next turn.
        self.waiting[sleeve] = unsold & (wanted == 0)
        part = np.zeros_like(self.shares)
        np.divide(-change, held, out=part[sleeve], where=less & sellable)
        traded += self._sell(part, price)
        return traded + self._buy(sleeve, np.maximum(change, 0.0), price, known, buyable)

    def _sell(self, part: Floats, price: Floats) -> float:
        """Sell parts of what each sleeve has of each symbol."""
        sold = self.shares * part * price
        self.cash += sold.sum(axis=1) * (1 - self._cost)
        self.shares *= 1 - part
        self.orders.sells += int((sold > 0).sum())
        self.orders.costs += float(sold.sum()) * self._cost
        return float(sold.sum())

    def _buy(self, sleeve: int, asked: Floats, price: Floats, known: Flags, buyable: Flags) -> float:
        """Buy for what a sleeve has: costs, and sales that wait, leave less than is asked for."""
        unbought = (asked > 0) & ~buyable
        self.orders.locked_buys += int((unbought & known).sum())
        self.orders.absent_buys += int((unbought & ~known).sum())
        spent = np.where(buyable, asked, 0.0)
        needed = spent.sum() * (1 + self._cost)
        if needed <= 0:
            return 0.0
        spent *= max(min(1.0, self.cash[sleeve] / needed), 0.0)
        self.cash[sleeve] -= spent.sum() * (1 + self._cost)
        self.shares[sleeve] += np.divide(spent, price, out=np.zeros_like(spent), where=spent > 0)
        self.orders.buys += int((spent > 0).sum())
        self.orders.costs += float(spent.sum()) * self._cost
        return float(spent.sum())


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of a value from its highest before.

    Attributes
    ----------
    depth
        As a share of the highest; 0 where it never fell.
    peak, trough
        Positions of the highest, and of the lowest after it.
    recovered
        Position at which it was as high again; None where it has not been since.
    """

    depth: float
    peak: int
    trough: int
    recovered: int | None


def drawdown(equity: Floats) -> Drawdown:
    """The deepest fall.

    Parameters
    ----------
    equity
        Shape (dates,), one at least.

    Examples
    --------
    >>> drawdown(np.array([1.0, 1.2, 0.9, 1.1, 1.3]))
    Drawdown(depth=0.25, peak=1, trough=2, recovered=4)
    """
    falls = fallen(equity)
    trough = int(np.argmax(falls))
    peak = int(np.argmax(equity[: trough + 1]))
    back = np.flatnonzero(equity[trough:] >= equity[peak])
    return Drawdown(float(falls[trough]), peak, trough, trough + int(back[0]) if len(back) else None)


def fallen(equity: Floats) -> Floats:
    """By what share a value lies below its highest so far, shape (dates,)."""
    below: Floats = 1 - equity / np.maximum.accumulate(equity)
    return below


@dataclass(frozen=True, slots=True)
class Backtest:
    """A portfolio beside its universe, date by date.

    Attributes
    ----------
    terms
        How both were held; the universe pays no costs.
    calendar
        Dates on which orders may have been filled, shape (dates,).
    prices
        Of the moments from the first signal on.
    portfolio, before_costs, universe
        The portfolio, the same without costs, and all symbols that have a signal, in equal parts.
    equity, benchmark
        Values of portfolio and universe at the last close of each date, shape (dates,).
    net, gross
        Return of the portfolio a date above the universe's, with and without costs: means with intervals.
    excess
        The same by date, net, shape (dates,).
    signals, signal_dates
        How many scores there are, and of how many dates.
    resampling
        The draws of dates on which every interval stands.
    """

    terms: Terms
    calendar: NDArray[np.datetime64]
    prices: Prices
    portfolio: Holding
    before_costs: Holding
    universe: Holding
    equity: Floats
    benchmark: Floats
    net: Estimate
    gross: Estimate
    excess: Floats
    signals: int
    signal_dates: int
    resampling: Resampling

    @property
    def by_period(self) -> Floats:
        """Net return above the universe over the horizon that begins with each date, shape (dates,).

        NaN where it is not over: as many as the horizon has dates, less one.
        """
        length = self.resampling.horizon
        found = np.full(len(self.excess), np.nan)
        if len(self.excess) >= length:
            found[: len(self.excess) - length + 1] = np.convolve(self.excess, np.ones(length), "valid")
        return found

    @property
    def turnover(self) -> float:
        """Share of the portfolio that is replaced over a horizon, mean over the moments."""
        return float(self.portfolio.turnover[1:].mean() * self.terms.horizon)


def backtest(prices: Prices, time: Times, symbol: Codes, score: Floats, terms: Terms) -> Backtest:
    """Hold the symbols with the highest scores, and the universe beside them.

    Parameters
    ----------
    prices
        Of all symbols, by number.
    time, symbol, score
        When each score was known (its bar's close), of whom, and how high, shape (rows,); one row at least whose time
        is among the moments and has another after it. Symbols that tie for the last places share them.
    terms
        How it is held. Moments with fewer scores than `top` hold all that have one.

    Returns
    -------
    Backtest
        It ends when the last sleeve is sold, or with the bars. The interval is of dates drawn again in blocks of three
        horizons at least, though returns of single dates do not overlap: who is held changes but once a horizon.
    """
    at = np.minimum(np.searchsorted(prices.time, time), len(prices.time) - 1)
    own = prices.time[at] == time
    at, symbol, score = at[own], symbol[own], score[own]
    first, end = int(at.min()), min(int(at.max()) + terms.horizon + 2, len(prices.time))
    prices = prices.between(first, end)
    at = at - first
    moments, symbols = prices.open.shape
    rows = np.bincount(at, minlength=moments)
    wanted, all_of_them = np.zeros((moments, symbols)), np.zeros((moments, symbols))
    wanted[at, symbol] = top_shares(score, at, np.minimum(rows, terms.top).astype(np.float64))
    all_of_them[at, symbol] = 1 / rows[at]
    free = Terms(terms.top, terms.horizon, 0.0, terms.band)
    paths = [hold(prices, wanted, terms), hold(prices, wanted, free), hold(prices, all_of_them, free)]
    days = prices.time.astype("datetime64[D]")[1:]
    last = np.flatnonzero(np.append(days[1:] != days[:-1], True)) + 1
    returns = [np.diff(path.equity[last], prepend=1.0) / np.append(1.0, path.equity[last][:-1]) for path in paths]
    net, gross = (each - returns[2] for each in returns[:2])
    dates_ahead = ceil(terms.horizon * len(last) / len(days))
    resampling = resample(len(last), dates_ahead, [net])
    return Backtest(
        terms=terms,
        calendar=days[last - 1],
        prices=prices,
        portfolio=paths[0],
        before_costs=paths[1],
        universe=paths[2],
        equity=paths[0].equity[last],
        benchmark=paths[2].equity[last],
        net=resampling.estimate(sums.mean_of_dates(net)),
        gross=resampling.estimate(sums.mean_of_dates(gross)),
        excess=net,
        signals=int(own.sum()),
        signal_dates=len(np.unique(prices.time[at].astype("datetime64[D]"))),
        resampling=resampling,
    )
