"""What a score of one window is worth against what noise would give."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import erf, sqrt
from statistics import quantiles

Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Skill:
    """Per-window test AUC of one model against what noise would give.

    Attributes
    ----------
    windows
        How many windows have a test AUC.
    unanswered
        How many models have none: no test rows, or a single class among them.
    mean, median
        Of the AUC; NaN without windows.
    outside, above, below
        Windows outside their own 95 % null band, and on which side.
    outside_overlap
        Windows outside the band widened by the square root of the horizon, as if only every horizon-th row were new.
    horizon
        Bars that a label looks ahead, by which neighbouring labels overlap.
    accuracy, majority
        Shares of all test rows: named right, and named right by always naming the window's more frequent class. NaN
        without rows.
    beats_majority
        Windows whose accuracy is above their majority share.
    rows
        Test rows of all these windows.
    """

    windows: int
    unanswered: int
    mean: float
    median: float
    outside: int
    above: int
    below: int
    outside_overlap: int
    horizon: int
    accuracy: float
    majority: float
    beats_majority: int
    rows: int


def null_auc_sd(positives: int, negatives: int) -> float | None:
    """Standard deviation of the AUC of a ranking that knows nothing, `sqrt((n0 + n1 + 1) / (12 n0 n1))`.

    The AUC is the Mann-Whitney statistic over n0 n1 (Mann and Whitney 1947); its mean is then one half. None without
    both classes.
    """
    if positives <= 0 or negatives <= 0:
        return None
    return sqrt((positives + negatives + 1) / (12 * positives * negatives))


def null_counts(sds: Iterable[float], edges: Sequence[float], *, widened: float = 1.0) -> list[float]:
    """How many windows would fall between neighbouring edges of AUC if no model knew anything.

    Each window is normal about one half with its own `null_auc_sd`, times `widened`.
    """
    counts = [0.0] * (len(edges) - 1)
    for sd in sds:
        below = [(1 + erf((edge - 0.5) / (widened * sd * sqrt(2)))) / 2 for edge in edges]
        # Nothing is beyond 0 and 1: the outermost bins take the tails of the normal.
        below[0], below[-1] = 0.0, 1.0
        for index in range(len(counts)):
            counts[index] += below[index + 1] - below[index]
    return counts


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The 10th, 50th and 90th percentile, linear between ranks; NaN without values."""
    if not values:
        return (float("nan"),) * 3
    if len(values) == 1:
        return (values[0],) * 3
    cuts = quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[4], cuts[8]
