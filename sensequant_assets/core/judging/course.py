"""How the rank IC went, month by month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import COVERAGE, UNKNOWN, Estimate
from sensequant_assets.core.judging.walk_forward import Judgement

_FEWEST_SPANS = 3


@dataclass(frozen=True, slots=True)
class Month:
    """Mean of the daily rank IC in a month, as `2024-01`, and over how many dates."""

    month: str
    dates: int
    rank_ic: Estimate


def months(judged: Judgement, daily: Floats) -> Sequence[Month]:
    """Mean of a value a date by month.

    Parameters
    ----------
    judged
        With the dates.
    daily
        Shape (dates,); NaN where a date has none.

    Returns
    -------
    sequence of Month
        The interval is how far the means of all spans of so many dates lie from that of all dates, which counts the
        overlap of labels as it is; none where the dates do not hold three such spans.
    """
    known = np.isfinite(daily)
    values, month = daily[known], judged.calendar[known].astype("datetime64[M]")
    found = []
    for each in np.unique(month):
        own = values[month == each]
        found.append(Month(str(each), len(own), _about(float(own.mean()), values, len(own))))
    return found


def span_of(calendar: NDArray[np.datetime64], daily: Floats, first: date, last: date) -> tuple[int, Estimate]:
    """Mean of a value a date from one day to another, both of them in it, and over how many dates.

    Parameters
    ----------
    calendar, daily
        Dates in order and the value of each, shape (dates,); NaN where a date has none.
    first, last
        Days.

    Returns
    -------
    tuple of int and Estimate
        The interval as of `months`; NaN where no date has a value.
    """
    known = np.isfinite(daily)
    values, days = daily[known], calendar[known]
    own = values[(days >= np.datetime64(first)) & (days <= np.datetime64(last))]
    return (len(own), _about(float(own.mean()), values, len(own))) if len(own) else (0, UNKNOWN)


def _about(value: float, values: Floats, length: int) -> Estimate:
    if len(values) < _FEWEST_SPANS * length:
        return Estimate(value)
    round_again = np.concatenate([values, values[: length - 1]])
    spans = np.convolve(round_again, np.full(length, 1 / length), "valid") - values.mean()
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(spans, [tail, 1 - tail])
    # What spans above the mean are, the mean is below a span.
    return Estimate(value, value - float(high), value - float(low))
