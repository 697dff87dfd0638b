"""How models bear what is rare: periods of the past, and shocks to the newest bars.

A period that the predictions do not reach is not covered. It never counts as passed: nobody knows what would have been.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import PRICES, Bars, Floats
from sensequant_assets.core.judging import sums
from sensequant_assets.core.judging.backtest import Backtest, drawdown
from sensequant_assets.core.judging.bootstrap import Estimate, or_null
from sensequant_assets.core.judging.course import span_of
from sensequant_assets.core.judging.periods import Period

GAP = -0.1
"""By what share the last bar opens and stays below where it did: half of NSE's widest band."""

LOUDER, LOUD_BARS = 3.0, 20
"""How many times as large the moves of the last bars are, and of how many: those that volatilities of features read."""

LOST_BARS = 5
"""Bars that are missing, or behind which a feed has stopped, or since which a price is halved: a week of days."""

SPLIT = 2.0
"""Shares that each share became."""

_FEWEST_BARS = 2 * LOUD_BARS


class State(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    PARTLY = "covered in part"
    NOT_COVERED = "not covered"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a test may come to.

    Attributes
    ----------
    drawdown
        Deepest fall of the portfolio in a period.
    answered
        Least share of the symbols that have a prediction under a shock.
    change
        How far a probability may move under a shock without a flag that says so.
    """

    drawdown: float
    answered: float
    change: float


@dataclass(frozen=True, slots=True)
class Endured:
    """What one test came to.

    Attributes
    ----------
    kind, name
        `period` or `shock`, and which.
    state
        What became of it.
    said
        The same in a sentence, with the numbers.
    numbers
        As JSON; a null cannot be told.
    """

    kind: str
    name: str
    state: State
    said: str
    numbers: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"test": self.kind, "name": self.name, "state": str(self.state), "said": self.said, **self.numbers}


def bear_period(
    period: Period,
    calendar: NDArray[np.datetime64],
    daily_ics: Floats,
    held: Backtest,
    sessions: NDArray[np.datetime64],
    limits: Limits,
) -> Endured:
    """Tell what predictions came to in a period of the past.

    Parameters
    ----------
    period
        Which.
    calendar, daily_ics
        Dates of walk-forward predictions in order, and the rank IC of each, shape (dates,); NaN where there is none.
    held
        The portfolio of all of them.
    sessions
        Dates of the bars in order, also of those that nobody predicted.
    limits
        Only `drawdown` counts.

    Returns
    -------
    Endured
        A period is covered where the bars reach past both of its ends and each of its sessions has predictions. In part
        covered it can fail, and cannot pass.
    """
    bounds = np.datetime64(period.first), np.datetime64(period.last)
    own = sessions[(sessions >= bounds[0]) & (sessions <= bounds[1])]
    covered = np.intersect1d(own, calendar)
    numbers: dict[str, Any] = {
        "first": str(period.first), "last": str(period.last), "dates": len(covered), "sessions": len(own),
    }  # fmt: skip
    if not len(covered):
        why = _why_not_covered(calendar, sessions, len(own))
        return Endured("period", period.name, State.NOT_COVERED, f"{period} is not covered: {why}.", numbers)
    dates, ic = span_of(calendar, daily_ics, period.first, period.last)
    inside = np.flatnonzero((held.calendar >= bounds[0]) & (held.calendar <= bounds[1]))
    equities = {"portfolio": held.equity, "benchmark": held.benchmark}
    sides = {name: _stretch(equity, inside) for name, equity in equities.items()}
    fall = drawdown(sides["portfolio"]).depth
    returns = {name: float(side[-1] / side[0] - 1) for name, side in sides.items()}
    numbers |= {**ic.named("rank_ic"), "rank_ic_dates": dates, "traded_dates": len(inside), "max_drawdown": fall}
    numbers |= {"total_return": returns["portfolio"], "benchmark_return": returns["benchmark"]}
    whole = len(covered) == len(own) and sessions[0] <= bounds[0] and sessions[-1] >= bounds[1]
    broken = fall > limits.drawdown or ic.high < 0
    state = State.FAILED if broken else State.PASSED if whole else State.PARTLY
    said = (
        f"{period}: {len(covered):,} of {len(own):,} sessions with predictions. Rank IC {_shown(ic)} of {dates:,} "
        f"dates. The portfolio returned {returns['portfolio']:+.1%}, its universe {returns['benchmark']:+.1%}, on "
        f"{len(inside):,} dates; its deepest fall is {fall:.1%} (limit {limits.drawdown:.0%})."
    )
    return Endured("period", period.name, state, said, numbers)


def _shown(ic: Estimate) -> str:
    if np.isnan(ic.value):
        return "unknown"
    if np.isnan(ic.low):
        return f"{ic.value:+.3f} (without an interval: the period is too large a part of all dates)"
    return f"{ic.value:+.3f} [{ic.low:+.3f}, {ic.high:+.3f}]{', surely below 0,' if ic.high < 0 else ''}"


def _why_not_covered(calendar: NDArray[np.datetime64], sessions: NDArray[np.datetime64], own: int) -> str:
    if not own:
        return f"there are bars from {sessions[0]} to {sessions[-1]}" if len(sessions) else "there are no bars"
    if not len(calendar):
        return "no model was tested on any date"
    return f"models were tested from {calendar[0]} to {calendar[-1]}, and on none of its {own:,} sessions"


def _stretch(equity: Floats, inside: NDArray[np.int64]) -> Floats:
    """What a portfolio is worth at the end of each date of a period, behind what it was before."""
    if not len(inside):
        return np.ones(1)
    before = equity[inside[0] - 1] if inside[0] else 1.0
    return np.append(before, equity[inside])


def bear_shock(shock: "Shock", before: Floats, after: Floats, doubted: NDArray[np.bool_], limits: Limits) -> Endured:
    """Tell what a shock does to predictions.

    Parameters
    ----------
    shock
        Which.
    before, after
        Probabilities of the symbols that it struck, without and with it, shape (symbols,); NaN where nothing is said.
        One at least was said before.
    doubted
        Whether the answer with it carries a flag that its bars are in doubt, shape (symbols,).
    limits
        `answered` and `change` count.

    Returns
    -------
    Endured
        It passes where enough of those that had an answer have one, and no probability has moved by more than `change`
        without a flag.
    """
    known = ~np.isnan(before)
    before, after, doubted = before[known], after[known], doubted[known]
    answered = ~np.isnan(after)
    moved = np.abs(after - before)[answered]
    silent = int((moved[~doubted[answered]] > limits.change).sum())
    share = float(answered.mean())
    order = float("nan")
    if answered.sum() > 1:
        together = np.zeros(int(answered.sum()), dtype=np.int64)
        order = float(sums.correlations(before[answered], after[answered], together, 1, 2)[0])
    mean, most = (float(moved.mean()), float(moved.max())) if len(moved) else (float("nan"), float("nan"))
    numbers = {
        "symbols": len(before), "answered": int(answered.sum()), "flagged": int(doubted[answered].sum()),
        "mean_change": or_null(mean), "max_change": or_null(most), "order": or_null(order), "silent": silent,
    }  # fmt: skip
    passed = share >= limits.answered and not silent
    moves = "" if not len(moved) else f"; probabilities moved by {mean:.3f} in the mean and {most:.3f} at most"
    kept = "" if np.isnan(order) else f", their order is kept by {order:+.2f} (Spearman)"
    if answered.sum() > 1 and not np.ptp(before):
        kept = ", all of which were the same before: there is no order to keep"
    said = (
        f"{shock.told}: {answered.sum():,} of {len(before):,} symbols answered (least {limits.answered:.0%}), "
        f"{int(doubted[answered].sum()):,} of them flagged{moves}{kept}; {silent:,} moved by more than "
        f"{limits.change:g} without a flag."
    )
    return Endured("shock", str(shock), State.PASSED if passed else State.FAILED, said, numbers)


class Shock(StrEnum):
    """What happens to the newest bars of a symbol."""

    GAP = "gap"
    VOLATILITY = "volatility"
    MISSING_DAYS = "missing_days"
    STALE_FEED = "stale_feed"
    SPLIT = "split"

    @property
    def told(self) -> str:
        """What happens, in words."""
        return _TOLD[self]

    def strikes(self, symbols: Sequence[str], foremost: str) -> Sequence[str]:
        """Whom it strikes.

        Parameters
        ----------
        symbols
            Those with a prediction.
        foremost
            The one with the highest probability.
        """
        if self is Shock.SPLIT:
            return [foremost]
        # A feed that has stopped for all shows no bar that others have.
        return symbols[::2] if self is Shock.STALE_FEED else symbols

    def on(self, bars: Bars) -> Bars:
        """Bars of a symbol that it has struck; those of fewer than 40 bars stay as they are."""
        return bars if len(bars) < _FEWEST_BARS else _STRIKE[self](bars)


def _scaled(bars: Bars, count: int, scale: Callable[[Floats], Floats], volume: float = 1.0) -> Bars:
    """The bars with the prices of the last ones changed."""
    columns = {}
    for name in PRICES:
        values = getattr(bars, name).copy()
        values[-count:] = scale(values[-count:])
        columns[name] = values
    traded = bars.volume.copy()
    traded[-count:] *= volume
    return replace(bars, **columns, volume=traded)


def _louder(bars: Bars) -> Bars:
    base = bars.close[-LOUD_BARS - 1]
    return _scaled(bars, LOUD_BARS, lambda prices: base * (prices / base) ** LOUDER)


def _some(bars: Bars, kept: NDArray[np.int64]) -> Bars:
    """Some of the bars, which no source has delivered like that."""
    return Bars(bars.symbol, *(getattr(bars, name)[kept] for name in ("time", *PRICES, "volume")))


_TOLD = {
    Shock.GAP: f"Over night all prices fall by {-GAP:.0%}",
    Shock.VOLATILITY: f"The moves of the last {LOUD_BARS} bars are {LOUDER:g} times as large",
    Shock.MISSING_DAYS: f"{LOST_BARS} bars before the last one are missing",
    Shock.STALE_FEED: f"The last {LOST_BARS} bars of every second symbol never came",
    Shock.SPLIT: f"The symbol with the highest probability was split 1 to {SPLIT:g}, {LOST_BARS} bars ago, and nobody "
    "adjusted its prices",
}
_STRIKE: Mapping[Shock, Callable[[Bars], Bars]] = {
    Shock.GAP: lambda bars: _scaled(bars, 1, lambda prices: prices * (1 + GAP)),
    Shock.VOLATILITY: _louder,
    Shock.MISSING_DAYS: lambda bars: _some(bars, np.delete(np.arange(len(bars)), np.s_[-LOST_BARS - 1 : -1])),
    Shock.STALE_FEED: lambda bars: _some(bars, np.arange(len(bars) - LOST_BARS)),
    Shock.SPLIT: lambda bars: _scaled(bars, LOST_BARS, lambda prices: prices / SPLIT, SPLIT),
}
