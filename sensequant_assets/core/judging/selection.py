"""What it costs to choose the best of many trials: Sharpe ratios deflated by their number, and how often luck won."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging import sums
from sensequant_assets.core.judging.bootstrap import Estimate, Resampling

SPLITS = 10
"""Spans that the periods are cut into; half of them choose and the other half judge, in all 252 ways."""

FEWEST_PERIODS = 4 * SPLITS
"""Periods below which a span has too few of them for a Sharpe ratio."""


@dataclass(frozen=True, slots=True)
class Sharpe:
    """Net return of the top decile above its universe, over its standard deviation, a period of one horizon.

    Attributes
    ----------
    ratio
        Over all dates, with its interval.
    periods
        That do not overlap: every horizon-th date. The probabilities stand on so many, and are means over the ways to
        begin.
    probabilistic
        Probability that the true ratio is above 0 (Bailey and Lopez de Prado 2012).
    deflated
        Probability that it is above what the best of so many trials without skill would show (Bailey and Lopez de Prado
        2014); NaN with one trial alone, or where their ratios do not differ.
    trials, spread
        How many trials there were, and the standard deviation of the ratios of those that keep a series.
    """

    ratio: Estimate
    periods: int
    probabilistic: float
    deflated: float
    trials: int
    spread: float


@dataclass(frozen=True, slots=True)
class Overfitting:
    """How often the trial that was best on half of the periods was below the median on the other half.

    Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado and Zhu 2017).

    Attributes
    ----------
    probability
        Share of the splits, mean over the ways to begin.
    trials, periods, splits
        Of which series, over how many periods that do not overlap, in how many ways.
    """

    probability: float
    trials: int
    periods: int
    splits: int


def sharpe(daily: Floats, resampling: Resampling, trials: int, others: Sequence[float]) -> Sharpe:
    """Judge a series of returns that somebody may have chosen among others.

    Parameters
    ----------
    daily
        Return over a horizon by date, shape (dates,); NaN where a date has none.
    resampling
        Draws of these dates.
    trials
        How many series there were to choose from, this one included.
    others
        Ratios of those that are known, this one included.
    """
    # Whoever trains never comes here, and does not pay for what this imports.
    from purgedcv import deflated_sharpe_ratio, probabilistic_sharpe_ratio

    ways = _ways(daily[None], resampling.horizon)
    periods = min(way.shape[1] for way in ways)
    spread = float(np.std(others, ddof=1)) if len(others) > 1 else float("nan")
    found = resampling.estimate(sums.ratio_of_dates(daily))
    if periods < 2 or min(float(np.ptp(way)) for way in ways) < 1e-12:
        return Sharpe(found, periods, float("nan"), float("nan"), trials, spread)
    try:
        above = float(np.mean([probabilistic_sharpe_ratio(way[0], 0.0) for way in ways]))
        best = [deflated_sharpe_ratio(way[0], trials, spread**2) for way in ways] if spread > 0 else [float("nan")]
    except ValueError:
        # So few returns are so skewed that the ratio has no normal error.
        above, best = float("nan"), [float("nan")]
    return Sharpe(found, periods, above, float(np.mean(best)), trials, spread)


def ratio(daily: Floats) -> float:
    """Sharpe ratio of a series over all of its dates, by which trials differ; NaN where it does not vary."""
    return float(sums.ratio_of_dates(daily)(np.ones((1, len(daily))))[0])


def overfitting(series: Sequence[Floats], horizon: int) -> Overfitting | None:
    """Tell how much the choice among trials overfits.

    Parameters
    ----------
    series
        Return over a horizon by date of each trial, all of the same dates; NaN where a date has none.
    horizon
        Dates of a period.

    Returns
    -------
    Overfitting or None
        On the periods that all of them have; None with fewer than two trials, or fewer than `FEWEST_PERIODS`.
    """
    if len(series) < 2:
        return None
    ways = _ways(np.array(series), horizon)
    periods = min(way.shape[1] for way in ways)
    if periods < FEWEST_PERIODS:
        return None
    from purgedcv import probability_of_backtest_overfitting

    found = [probability_of_backtest_overfitting(way, n_splits=SPLITS) for way in ways]
    return Overfitting(float(np.mean([each.pbo for each in found])), len(series), periods, int(found[0].n_combos))


def _ways(series: Floats, horizon: int) -> list[Floats]:
    """Every horizon-th date that all series have a value of, from each of the first: shape (series, periods)."""
    ways = [series[:, start::horizon] for start in range(horizon)]
    return [way[:, np.isfinite(way).all(axis=0)] for way in ways]
