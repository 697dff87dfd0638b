"""Causal, stationary features of one symbol, computed once over its whole history.

Every feature of a bar reads that bar and earlier ones only, so its value depends neither on the window that uses it
nor on bars that come later. All are ratios, returns or scores; none is a price level.
"""

from collections.abc import Callable
from datetime import date

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sensequant_assets.core.bars import Bars, Floats

LOOKBACK = 50
"""Longest lookback in bars: features of the first `LOOKBACK` bars of a history are missing."""

MAX_POST_IPO_DAYS = 730
"""Cap of `post_ipo_days`, so that the feature says young from old and not which year it is. It is also the value of a
symbol whose listing is not known: a column of one value, in which no tree can split."""

FEATURE_NAMES = (
    "return_1", "return_2", "return_3", "return_5", "return_10", "return_20",
    "volatility_5", "volatility_10", "volatility_20", "volatility_ratio_5_20",
    "close_zscore_20", "mean_ratio_10_50", "rsi_14", "true_range_14",
    "range", "close_location", "gap", "body",
    "volume_zscore_20", "volume_ratio_5_20",
    "drawdown_50", "runup_50", "down_share_10", "skewness_20",
    "post_ipo_days",
)  # fmt: skip
"""Names of the columns, in order."""


def causal_features(bars: Bars, listed_since: date | None) -> Floats:
    """Compute all features of a symbol.

    Parameters
    ----------
    bars
        Its whole history.
    listed_since
        First day of the symbol's life on the exchange, for `post_ipo_days`; None if it is not known, and the column is
        then `MAX_POST_IPO_DAYS` throughout.

    Returns
    -------
    ndarray of shape (bars, features)
        Columns as `FEATURE_NAMES`; NaN until a feature's lookback is full. Returns are logarithmic. Volatility is the
        standard deviation (ddof 0) of daily log returns. `rsi_14` is Cutler's, with simple means, in [0, 1], because a
        Wilder average has no finite lookback. `true_range_14` is the mean true range (Wilder 1978) over close.
    """
    close, high, low, volume = bars.close, bars.high, bars.low, bars.volume
    count = len(bars)
    log_close = np.log(close)
    previous = _shifted(close, 1)
    daily = log_close - _shifted(log_close, 1)
    log_volume = np.log1p(volume)

    gains, losses = np.maximum(daily, 0.0), np.maximum(-daily, 0.0)
    mean_gain, mean_loss = _rolling(gains, 14, np.mean), _rolling(losses, 14, np.mean)
    volatility = {span: _rolling(daily, span, np.std) for span in (5, 10, 20)}
    mean = {span: _rolling(close, span, np.mean) for span in (10, 20, 50)}
    true_range = np.maximum(high, previous) - np.minimum(low, previous)
    skewness_numerator = _rolling(daily, 20, _third_moment)

    columns = {f"return_{span}": log_close - _shifted(log_close, span) for span in (1, 2, 3, 5, 10, 20)}
    columns |= {f"volatility_{span}": value for span, value in volatility.items()}
    columns |= {
        "volatility_ratio_5_20": _ratio(volatility[5], volatility[20], 1.0),
        "close_zscore_20": _ratio(close - mean[20], _rolling(close, 20, np.std), 0.0, scale=mean[20]),
        "mean_ratio_10_50": mean[10] / mean[50] - 1.0,
        "rsi_14": _ratio(mean_gain, mean_gain + mean_loss, 0.5),
        "true_range_14": _rolling(true_range, 14, np.mean) / close,
        "range": (high - low) / close,
        "close_location": _ratio(close - low, high - low, 0.5),
        "gap": bars.open / previous - 1.0,
        "body": close / bars.open - 1.0,
        "volume_zscore_20": _ratio(
            log_volume - _rolling(log_volume, 20, np.mean), _rolling(log_volume, 20, np.std), 0.0
        ),
        "volume_ratio_5_20": _rolling(log_volume, 5, np.mean) - _rolling(log_volume, 20, np.mean),
        "drawdown_50": close / _rolling(high, 50, np.max) - 1.0,
        "runup_50": close / _rolling(low, 50, np.min) - 1.0,
        "down_share_10": _rolling(np.where(np.isnan(daily), np.nan, daily < 0), 10, np.mean),
        "skewness_20": _ratio(skewness_numerator, volatility[20] ** 3, 0.0),
        "post_ipo_days": _post_ipo_days(bars, listed_since),
    }
    table = np.column_stack([columns[name] for name in FEATURE_NAMES])
    table[:LOOKBACK] = np.nan
    return table.reshape(count, len(FEATURE_NAMES))


def _post_ipo_days(bars: Bars, listed_since: date | None) -> Floats:
    if listed_since is None:
        return np.full(len(bars), float(MAX_POST_IPO_DAYS))
    days = (bars.time.astype("datetime64[D]") - np.datetime64(listed_since, "D")).astype(np.float64)
    return np.minimum(days, MAX_POST_IPO_DAYS)


def _third_moment(values: Floats, axis: int) -> Floats:
    centred = values - values.mean(axis=axis, keepdims=True)
    moment: Floats = (centred * centred * centred).mean(axis=axis)
    return moment


def _shifted(values: Floats, bars: int) -> Floats:
    shifted = np.full_like(values, np.nan)
    shifted[bars:] = values[:-bars]
    return shifted


def _rolling(values: Floats, span: int, reduce: Callable[..., Floats]) -> Floats:
    result = np.full_like(values, np.nan)
    if len(values) >= span:
        result[span - 1 :] = reduce(sliding_window_view(values, span), axis=1)
    return result


def _ratio(numerator: Floats, denominator: Floats, if_zero: float, scale: Floats | float = 1.0) -> Floats:
    """Divide; where the denominator is zero to rounding at this scale, the neutral value stands, and NaN stays NaN."""
    flat = np.abs(denominator) <= 1e-12 * np.maximum(scale, np.abs(numerator))
    safe = np.where(flat, 1.0, denominator)
    return np.where(flat & ~np.isnan(numerator), if_zero, numerator / safe)
