"""Features of intraday bars: those of every bar without the nights, and what a bar knows of its session.

A session is one day of exchange time, so that a session must not run over midnight. A night holds as much variance as
dozens of five-minute bars: left inside the lookbacks it would swell every volatility until it drops out of them, at a
time of day that the lookback alone decides. So the sessions are joined, each scaled to open where the one before it
closed, and the night stands once, as `session_gap`. The return over 20 bars is then that of 20 bars of trading.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.features import FEATURE_NAMES, causal_features

LOOKBACK_SESSIONS = 3
"""Earlier sessions that `session_volume` reads."""

SESSION_NAMES = (
    "session_hours", "session_return", "session_gap", "session_location", "session_range", "session_volatility",
    "session_volume",
)  # fmt: skip
"""Names of what a bar knows of its session, in order."""

# Volume has its shape of every day, and against the bars before it would tell the time. Intraday files begin where the
# vendor's memory does, so that days since their first bar would tell the date.
_DAILY_ONLY = ("volume_zscore_20", "volume_ratio_5_20", "post_ipo_days")

INTRADAY_NAMES = (*(name for name in FEATURE_NAMES if name not in _DAILY_ONLY), *SESSION_NAMES)
"""Names of the columns of intraday features, in order."""


def intraday_features(bars: Bars) -> Floats:
    """Compute all features of a symbol with more than one bar a day.

    Parameters
    ----------
    bars
        Its whole history.

    Returns
    -------
    ndarray of shape (bars, features)
        Columns as `INTRADAY_NAMES`: those of `causal_features` over joined sessions, then those of `session_features`.
    """
    kept = [FEATURE_NAMES.index(name) for name in INTRADAY_NAMES if name in FEATURE_NAMES]
    return np.column_stack([causal_features(joined_sessions(bars), None)[:, kept], session_features(bars)])


def joined_sessions(bars: Bars) -> Bars:
    """Scale the prices of each session so that it opens at the close before it.

    Only ratios of the result mean anything. A bar's scale depends on earlier bars and its session's open alone, as in
    forward ratio-adjusted futures.
    """
    first = _first_bars(bars)[1:]
    steps = np.ones(len(bars))
    steps[first] = bars.close[first - 1] / bars.open[first]
    scale = np.cumprod(steps)
    return replace(bars, open=bars.open * scale, high=bars.high * scale, low=bars.low * scale, close=bars.close * scale)


def session_features(bars: Bars) -> Floats:
    """What each bar knows of its session so far.

    Parameters
    ----------
    bars
        The whole history of a symbol.

    Returns
    -------
    ndarray of shape (bars, features)
        Columns as `SESSION_NAMES`:

        - `session_hours` since the start of the session's first bar;
        - `session_return`, logarithmic, from the session's open to the close;
        - `session_gap`, from the close of the session before to the session's open; missing in the first session;
        - `session_location` of the close between low and high of the session so far; 0.5 while they are equal;
        - `session_range`, high less low of the session so far, over close;
        - `session_volatility`, root of the mean squared log return of the session's bars so far, the first one's from
          its open: realised volatility (Andersen and Bollerslev 1998) a bar, so that it does not grow with the session;
        - `session_volume`, log volume less its mean over the bars of the same time of day in the last
          `LOOKBACK_SESSIONS` sessions that have one; missing where fewer have one.
    """
    if not len(bars):
        return np.empty((0, len(SESSION_NAMES)))
    first = _first_bars(bars)
    number = np.zeros(len(bars), dtype=np.int64)
    number[first[1:]] = 1
    at_open = first[np.cumsum(number)]
    close, log_close = bars.close, np.log(bars.close)
    opened = bars.open[at_open]

    def so_far(values: Floats, accumulate: Callable[[Floats], Floats]) -> Floats:
        return np.concatenate([accumulate(part) for part in np.split(values, first[1:])])

    high, low = so_far(bars.high, np.maximum.accumulate), so_far(bars.low, np.minimum.accumulate)
    gap = np.full(len(bars), np.nan)
    later = at_open > 0
    gap[later] = opened[later] / close[at_open[later] - 1] - 1.0
    steps = np.diff(log_close, prepend=np.nan)
    steps[first] = log_close[first] - np.log(bars.open[first])
    bar_of_session = np.arange(len(bars)) - at_open + 1
    columns = {
        "session_hours": (bars.time - bars.time[at_open]).astype(np.float64) / 3600,
        "session_return": log_close - np.log(opened),
        "session_gap": gap,
        "session_location": np.where(high > low, (close - low) / np.where(high > low, high - low, 1.0), 0.5),
        "session_range": (high - low) / close,
        "session_volatility": np.sqrt(so_far(steps * steps, np.cumsum) / bar_of_session),
        "session_volume": _against_earlier_sessions(bars, np.log1p(bars.volume)),
    }
    return np.column_stack([columns[name] for name in SESSION_NAMES])


def _first_bars(bars: Bars) -> NDArray[np.int64]:
    """Position of the first bar of each session."""
    days = bars.time.astype("datetime64[D]")
    return np.flatnonzero(np.append(True, days[1:] != days[:-1])[: len(bars)])


def _against_earlier_sessions(bars: Bars, values: Floats) -> Floats:
    time_of_day = (bars.time - bars.time.astype("datetime64[D]")).astype(np.int64)
    order = np.argsort(time_of_day, kind="stable")
    usual = np.full_like(values, np.nan)
    for rows in np.split(order, np.flatnonzero(np.diff(time_of_day[order])) + 1):
        if len(rows) > LOOKBACK_SESSIONS:
            usual[rows[LOOKBACK_SESSIONS:]] = sliding_window_view(values[rows[:-1]], LOOKBACK_SESSIONS).mean(axis=1)
    return values - usual
