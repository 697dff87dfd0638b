"""Steps over night that stay, such as splits, bonuses and demergers that nobody took out of the prices.

A step is looked for where the open is far from the close before. What tells one from a night of news: the level keeps
it, the day is otherwise an ordinary one in range and turnover, and it is many times the symbol's usual move. Simple
fractions are no evidence: a fifth is the usual band of an exchange. docs/data.md has what was measured.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Bars, Floats

STRONG, WEAK = log(1.3), log(1.15)
"""Steps from which on they are found, and from which on they are if there is more evidence."""

LEVEL = 5
"""Sessions on either side whose median close is the level."""

PAST = 60
"""Sessions of which the usual move is taken, and within which what comes back belongs to a step."""

USUAL_TURNOVER = 20
"""Sessions of which the usual turnover is taken."""

BACK_FROM, BACK_BY = log(2.0), 0.25
"""Steps from which on those are looked for that come back, and what may be left of them then, as a share."""

NEWS, NO_NEWS = 9.0, log(3.0)
"""Times the usual turnover beyond which a step is news, and steps from which on twice as much is allowed. AAPL opened
on 2000-09-29 at 1/1.9 on ten times; no news is known to take two thirds of a price and leave an ordinary day."""

NO_SHARE_SPLITS = log(50.0)
"""The largest splits of large companies are 50 for 1; what steps further and stays is another instrument or unit."""

POWER = 0.05
"""How far a unit may be from a power of ten, as a logarithm: nights move as well."""

BLOCK = 20
"""Bars of one file on either side of a step that make it a seam: with a file a day, every step lies between two."""

_FEWEST = 10
Kind = Literal["corporate_action", "unit", "wrong_instrument", "seam"]


@dataclass(frozen=True, slots=True)
class Daily:
    """Bars by session, each of shape (days,); `gaps` is the logarithm of a session's open over the close before."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    turnover: Floats
    days: NDArray[np.datetime64]
    gaps: Floats

    @classmethod
    def of(cls, bars: Bars, first: NDArray[np.int64], days: NDArray[np.datetime64]) -> "Daily":
        """Bars whose sessions begin at the positions `first`."""
        last = np.append(first[1:], len(bars))[: len(first)] - 1
        daily = len(first) == len(bars)
        high, low, volume = bars.high, bars.low, bars.volume
        if not daily and len(first):
            high, low = np.maximum.reduceat(high, first), np.minimum.reduceat(low, first)
            volume = np.add.reduceat(volume, first)
        opens, close = bars.open[first], bars.close[last]
        gaps = np.zeros(len(first))
        gaps[1:] = np.log(opens[1:] / close[:-1])
        return cls(opens, high, low, close, volume * close, days, gaps)


@dataclass(frozen=True, slots=True)
class Step:
    """A step over night.

    Attributes
    ----------
    at
        Position of the session that opens with it.
    back
        Position of the session that opens back at the old level; `at` where none does.
    gap
        Logarithm of open over the close before.
    kept
        Share of it that the level keeps.
    spread
        The session's logarithmic range over it.
    noise
        Its size in usual moves of so many sessions as lie between, robust standard deviations.
    turnover
        The session's over the usual; NaN where nothing is known.
    before, open
        Close before it, and open with it.
    seam
        Whether one file ends before it and another one begins with it.
    """

    at: int
    back: int
    gap: float
    kept: float
    spread: float
    noise: float
    turnover: float
    before: float
    open: float
    seam: bool = False

    def kind(self, market: float) -> tuple[Kind, bool] | None:
        """What it is where the market moved by so much that night, and whether that is strong; None for a mere move."""
        size = min(abs(self.gap), abs(self.gap - market))
        if size < WEAK:
            return None
        power = round(self.gap / log(10))
        a_power = power != 0 and abs(self.gap - power * log(10)) < POWER
        if self.back > self.at:
            return ("unit" if a_power else "wrong_instrument"), True
        if not 0.6 <= self.kept <= 1.5:
            return None
        if size > NO_SHARE_SPLITS:
            return ("unit" if a_power else "wrong_instrument"), True
        if self.turnover > (NEWS if size < NO_NEWS else 2 * NEWS):
            return None
        strong = size >= STRONG and self.noise > 6 and self.spread < 0.7
        weak = self.noise > 10 and self.spread < 0.5
        if not (strong or weak):
            return None
        return ("seam" if self.seam else "corporate_action"), strong


def steps_of(daily: Daily, seams: NDArray[np.bool_]) -> tuple[Step, ...]:
    """Steps that may be more than the market's.

    Parameters
    ----------
    daily
        Bars of a symbol by session.
    seams
        Where one file ends and another one begins, shape (days,).
    """
    large = np.flatnonzero(np.abs(daily.gaps) >= WEAK)
    if not len(large):
        return ()
    level = np.log(daily.close)
    steps, covered = [], -1
    for at in large.tolist():
        if at <= covered:
            continue
        back = _back(daily, large, at)
        covered = back if back > at else covered
        steps.append(_measured(daily, level, at, back, bool(seams[at])))
    return tuple(steps)


def _back(daily: Daily, large: NDArray[np.int64], at: int) -> int:
    """Where a step comes back, which no split does; its own position where it stays."""
    gap = daily.gaps[at]
    if abs(gap) >= BACK_FROM:
        for other in large[(large > at) & (large <= at + PAST)].tolist():
            if abs(gap + daily.gaps[other]) < BACK_BY * abs(gap):
                return int(other)
    return at


def _measured(daily: Daily, level: Floats, at: int, back: int, seam: bool) -> Step:
    gap = float(daily.gaps[at])
    kept = (np.median(level[at : at + LEVEL]) - np.median(level[max(0, at - LEVEL) : at])) / gap
    moves = np.diff(level[max(0, at - PAST - 1) : at])
    if len(moves) < _FEWEST:
        # An audit may look ahead; a feature must not.
        moves = np.diff(level[at : at + PAST + 1])
    usual = 1.4826 * float(np.median(np.abs(moves - np.median(moves)))) if len(moves) else 0.0
    elapsed = max(1, int(np.busday_count(daily.days[at - 1], daily.days[at])))
    usual_turnover = float(np.median(daily.turnover[max(0, at - USUAL_TURNOVER) : at]))
    return Step(
        at,
        back,
        gap,
        float(kept),
        float(np.log(daily.high[at] / daily.low[at]) / abs(gap)),
        abs(gap) / (usual * elapsed**0.5) if usual else float("inf"),
        float(daily.turnover[at]) / usual_turnover if usual_turnover else float("nan"),
        float(daily.close[at - 1]),
        float(daily.open[at]),
        seam,
    )


def seams_of(bars: Bars, first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Sessions with which a file begins that has a stretch of bars of its own, after one that has."""
    origin = bars.delivery.origin
    edges = np.flatnonzero(np.diff(origin)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [len(bars)]]))
    begun = edges[np.minimum(lengths[:-1], lengths[1:]) >= BLOCK]
    return np.isin(first, begun)
