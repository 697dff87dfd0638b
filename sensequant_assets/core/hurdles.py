"""Hurdles: what a forward return must exceed for a label of 1.

A label is 1 where the forward return is above its hurdle, 0 where it is not, and missing where either is. The hurdle is
a number, or what the symbol's own volatility makes of the horizon, or the median of the universe.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sensequant_assets.core.bars import Bars, Floats, Times
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.samples import returns_ahead
from sensequant_assets.core.sessions import joined_sessions
from sensequant_assets.core.splits import Positions

VOLATILITY_BARS = 20
"""Returns that a volatility-neutral hurdle takes the volatility of: about a month of days."""

FEWEST_SYMBOLS = 3
"""Symbols of a moment below which it has no median: one is its own, and of two each is the other's label."""


@dataclass(frozen=True, slots=True)
class CrossSection:
    """Hurdles of a universe whose labels compare its symbols.

    Attributes
    ----------
    hurdles
        By symbol, each of shape (bars,): the median forward return of the symbols whose forward return has the same
        first and last moment. NaN where the symbol's equals it, and where fewer than `FEWEST_SYMBOLS` are to compare.
    returns, ties, alone
        How many forward returns there are, how many of them equal their median, and how many have too few to compare.
    """

    hurdles: Mapping[str, Floats] = field(default_factory=dict)
    returns: int = 0
    ties: int = 0
    alone: int = 0

    @property
    def unlabelled(self) -> str:
        """Which forward returns have no label, in words; empty if all have one."""
        why = [
            f"{self.ties:,} equal the median of their moment" if self.ties else "",
            f"{self.alone:,} are of fewer than {FEWEST_SYMBOLS} symbols over the same bars" if self.alone else "",
        ]
        told = " and ".join(filter(None, why))
        return f"Of {self.returns:,} forward returns {told}: they have no label." if told else ""


def hurdle_of(bars: Bars, recipe: Recipe) -> float | Floats:
    """What the forward returns of a symbol must exceed, where that is not the universe's: a number, or one a bar."""
    if recipe.label == "threshold":
        return recipe.threshold
    held = bars.intraday and recipe.overnight_labels == "drop"
    # A label that holds over no night asks for the volatility without them.
    close = joined_sessions(bars).close if held else bars.close
    expected: Floats = trailing_volatility(close) * np.sqrt(recipe.horizon)
    return recipe.deviations * expected


_FLAT = 1e-12
"""Standard deviation of log returns that is rounding."""


def trailing_volatility(close: Floats) -> Floats:
    """Standard deviation (ddof 0) of the last `VOLATILITY_BARS` log returns, known at the bar's close.

    Parameters
    ----------
    close
        Adjusted closes, shape (bars,).

    Returns
    -------
    ndarray of shape (bars,)
        NaN until so many returns are there, and where they are all the same: nothing is known of such a price's spread.
    """
    found = np.full_like(close, np.nan)
    if len(close) > VOLATILITY_BARS:
        spread = sliding_window_view(np.diff(np.log(close)), VOLATILITY_BARS).std(axis=1)
        found[VOLATILITY_BARS:] = np.where(spread > _FLAT, spread, np.nan)
    return found


def cross_section(histories: Iterable[Bars], recipe: Recipe) -> CrossSection:
    """Hurdles of a universe: the median of its forward returns, moment by moment.

    Forward returns are compared that begin and end at the same moments. A symbol whose bars have holes looks further
    ahead than the others: a median that took it in would know of a time after the label, which no purge takes away.

    Parameters
    ----------
    histories
        Bars of each symbol.
    recipe
        Horizon, and whether intraday labels hold over night.
    """
    symbols, known, begins, ends, ahead = [], [], [], [], []
    for bars in histories:
        forward_return = returns_ahead(bars, recipe.horizon, recipe.overnight_labels)
        rows = np.flatnonzero(~np.isnan(forward_return))
        symbols.append((bars.symbol, len(bars)))
        known.append(rows)
        begins.append(bars.time[rows])
        ends.append(bars.time[rows + recipe.horizon])
        ahead.append(forward_return[rows])
    if not symbols:
        return CrossSection()
    returns = np.concatenate(ahead)
    medians, sizes = _medians(_numbered(np.concatenate(begins), np.concatenate(ends)), returns)
    alone, ties = sizes < FEWEST_SYMBOLS, returns == medians
    medians[alone | ties] = np.nan
    hurdles = {}
    for (symbol, bars_of_it), rows, own in zip(symbols, known, _parts(medians, known), strict=True):
        hurdles[symbol] = np.full(bars_of_it, np.nan)
        hurdles[symbol][rows] = own
    return CrossSection(hurdles, len(returns), int((ties & ~alone).sum()), int(alone.sum()))


def _numbered(begins: Times, ends: Times) -> Positions:
    """One number for each pair of moments."""
    _, begin = np.unique(begins, return_inverse=True)
    moments, end = np.unique(ends, return_inverse=True)
    return begin * len(moments) + end


def _medians(group: Positions, values: Floats) -> tuple[Floats, Positions]:
    """The median of each value's group, and how many values that has, each of shape (values,)."""
    order = np.lexsort((values, group))
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    ordered = values[order]
    middle = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2
    medians, counts = np.empty_like(values), np.empty(len(values), np.int64)
    medians[order], counts[order] = np.repeat(middle, sizes), np.repeat(sizes, sizes)
    return medians, counts


def _parts(values: Floats, like: Iterable[Positions]) -> list[Floats]:
    """The values cut into parts as long as these."""
    return np.split(values, np.cumsum([len(one) for one in like])[:-1])
