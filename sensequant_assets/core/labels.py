"""Labels: whether the forward return over the horizon exceeds its hurdle."""

import numpy as np

from sensequant_assets.core.bars import Floats, Times


def forward_returns(close: Floats, horizon: int) -> Floats:
    """Simple return from each bar's close to the close `horizon` bars later.

    Parameters
    ----------
    close
        Adjusted closes, shape (bars,).
    horizon
        Bars ahead, at least 1.

    Returns
    -------
    ndarray of shape (bars,)
        NaN for the last `horizon` bars, whose labels reach past the data.

    Examples
    --------
    >>> forward_returns(np.array([100.0, 110.0, 99.0]), 1)
    array([ 0.1, -0.1,  nan])
    """
    ahead = np.full_like(close, np.nan)
    ahead[:-horizon] = close[horizon:] / close[:-horizon] - 1.0
    return ahead


def within_sessions(forward_return: Floats, time: Times, horizon: int) -> Floats:
    """Forward returns of intraday bars without those that hold over a night.

    Parameters
    ----------
    forward_return
        Over `horizon` bars, shape (bars,).
    time
        Start of each bar in exchange time, shape (bars,).
    horizon
        Bars ahead, at least 1.

    Returns
    -------
    ndarray of shape (bars,)
        NaN also where the bar `horizon` bars later is of another day.
    """
    days = time.astype("datetime64[D]")
    stays = np.zeros(len(days), dtype=np.bool_)
    stays[:-horizon] = days[horizon:] == days[:-horizon]
    return np.where(stays, forward_return, np.nan)


def labels_above(forward_return: Floats, hurdle: float | Floats) -> Floats:
    """1.0 where the forward return is above its hurdle, 0.0 where not, NaN where either is not known.

    Parameters
    ----------
    forward_return
        Shape (bars,).
    hurdle
        One number for all bars, or shape (bars,).
    """
    missing = np.isnan(forward_return) | np.isnan(hurdle)
    return np.where(missing, np.nan, (forward_return > hurdle).astype(np.float64))
