"""Statistics of rows as sums over dates, so that a draw of dates is a weighted sum and no row is touched again."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import Statistic

_BINS = 1000
"""Places of a ranking that are told apart in a draw; the AUC of all rows is exact."""

RELIABILITY_BINS = 10

Positions = NDArray[np.int64]

ByGroup = Callable[[Floats], tuple[Floats, Floats]]
"""From how often each draw has each date to a value a draw and group, NaN for none, and rows: (draws, groups) each."""


def over(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    found = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=found, where=denominator > 0)
    return found


def total(values: Floats, group: Positions, groups: int) -> Floats:
    """Sum of values by group, shape (groups,)."""
    sums: Floats = np.bincount(group, values, groups).astype(np.float64)
    return sums


def count(group: Positions, groups: int) -> Floats:
    """Rows by group, shape (groups,)."""
    return np.bincount(group, minlength=groups).astype(np.float64)


def mean_of(values: Floats, date: Positions, dates: int) -> Statistic:
    """Mean of values of rows.

    Parameters
    ----------
    values
        Shape (rows,).
    date
        Number of each row's date, shape (rows,).
    dates
        How many dates there are.
    """
    sums, counts = total(values, date, dates), count(date, dates)
    return lambda weights: over(weights @ sums, weights @ counts)


def auc_of(label: Floats, score: Floats, date: Positions, dates: int) -> Statistic:
    """Area under the ROC curve of all rows together, the ranking cut into `_BINS` places of equal size.

    Rows of one place count as ties. A draw without one of the classes has none.
    """
    place = ((grouped_ranks(score, np.zeros(len(score), dtype=np.int64)) - 0.5) * _BINS / len(score)).astype(np.int64)
    cells = date * _BINS + np.minimum(place, _BINS - 1)
    ones = total(label, cells, dates * _BINS).reshape(dates, _BINS)
    zeros = total(1 - label, cells, dates * _BINS).reshape(dates, _BINS)

    def statistic(weights: Floats) -> Floats:
        above, below = weights @ ones, weights @ zeros
        beaten = np.cumsum(below, axis=1) - below / 2
        return over((above * beaten).sum(axis=1), above.sum(axis=1) * below.sum(axis=1))

    return statistic


def reliability(label: Floats, probability: Floats, date: Positions, dates: int) -> tuple[Floats, Floats, Floats]:
    """Rows, ones and probabilities summed by date and bin of equal width, each of shape (dates, bins)."""
    in_bin = np.minimum((probability * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    cells, size = date * RELIABILITY_BINS + in_bin, dates * RELIABILITY_BINS
    rows, ones, said = (total(values, cells, size) for values in (np.ones(len(label)), label, probability))
    shape = (dates, RELIABILITY_BINS)
    return rows.reshape(shape), ones.reshape(shape), said.reshape(shape)


def ece_of(rows: Floats, ones: Floats, said: Floats) -> Statistic:
    """Expected calibration error of what `reliability` sums."""
    return lambda weights: over(np.abs(weights @ ones - weights @ said).sum(axis=1), weights @ rows.sum(axis=1))


def mean_of_dates(values: Floats) -> Statistic:
    """Mean of a value a date, shape (dates,), over the dates that have one."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0), known.astype(np.float64)
    return lambda weights: over(weights @ sums, weights @ counts)


def ratio_of_dates(values: Floats) -> Statistic:
    """Mean over standard deviation of a value a date; none where it does not vary."""
    known = np.isfinite(values)
    counts, sums = known.astype(np.float64), np.where(known, values, 0.0)

    def statistic(weights: Floats) -> Floats:
        number = weights @ counts
        mean = over(weights @ sums, number)
        variance = over(weights @ (sums * sums), number) - mean * mean
        spread = np.sqrt(np.maximum(variance, 0.0))
        # A sum of squares knows a deviation to some eight digits of the mean.
        return over(mean, np.where(spread > np.maximum(1e-7 * np.abs(mean), 1e-12), spread, 0.0))

    return statistic


def correlation_of_sums(number: Floats, x: Floats, y: Floats, xx: Floats, yy: Floats, xy: Floats) -> Floats:
    """Pearson correlation from how many there are and their sums, all of one shape; NaN where a side is constant."""
    mean_x, mean_y = over(x, number), over(y, number)
    spread = (over(xx, number) - mean_x**2) * (over(yy, number) - mean_y**2)
    found: Floats = (over(xy, number) - mean_x * mean_y) / np.sqrt(np.where(spread > 1e-20, spread, np.nan))
    return found


def correlation_within(left: Floats, right: Floats, group: Positions, date: Positions, dates: int) -> Statistic:
    """Mean over groups of the Spearman correlation within each, a group as heavy as it has rows.

    Ranks are those among all rows of the group, also in a draw. A group in which a side is constant has none.
    """
    within = correlations_within(left, right, group, date, dates)

    def statistic(weights: Floats) -> Floats:
        found, rows = within(weights)
        known = np.isfinite(found)
        return over(np.where(known, found * rows, 0.0).sum(axis=1), np.where(known, rows, 0.0).sum(axis=1))

    return statistic


def correlations_within(left: Floats, right: Floats, group: Positions, date: Positions, dates: int) -> ByGroup:
    """Spearman correlation within each group, and its rows; ranks as in `correlation_within`."""
    groups = int(group.max()) + 1 if len(group) else 0
    a, b = grouped_ranks(left, group), grouped_ranks(right, group)
    cells, size = date * groups + group, dates * groups
    columns = (np.ones(len(a)), a, b, a * a, b * b, a * b)
    tables = [total(values, cells, size).reshape(dates, groups) for values in columns]

    def within(weights: Floats) -> tuple[Floats, Floats]:
        rows, *others = (weights @ table for table in tables)
        return correlation_of_sums(rows, *others), rows

    return within


def aucs_within(label: Floats, score: Floats, group: Positions, date: Positions, dates: int) -> ByGroup:
    """Area under the ROC curve within each group, and its rows.

    A draw weighs the placements of rows among the other class of their group (DeLong et al. 1988) and ranks nothing
    again. A group without one of the classes has none.
    """
    groups = int(group.max()) + 1 if len(group) else 0
    ones = label == 1
    beaten = grouped_ranks(score, group) - grouped_ranks(score, 2 * group + ones)
    others = count(2 * group + ones, 2 * groups)[2 * group + ~ones]
    place = over(np.where(ones, beaten, others - beaten), others)
    place = np.where(np.isfinite(place), place, 0.0)
    area = over(total(place * ones, group, groups), total(ones.astype(np.float64), group, groups))
    cells, size = date * groups + group, dates * groups
    tables = [
        total(values.astype(np.float64), cells, size).reshape(dates, groups)
        for values in (place * ones, ones, place * ~ones, ~ones)
    ]

    def within(weights: Floats) -> tuple[Floats, Floats]:
        above, number, below, rest = (weights @ table for table in tables)
        return over(above, number) + over(below, rest) - area, number + rest

    return within


def kappa_of(first: NDArray[np.bool_], second: NDArray[np.bool_], date: Positions, dates: int) -> Statistic:
    """Agreement of two calls beyond chance (Cohen 1960); none where chance alone agrees always."""
    rows = np.ones(len(first))
    both, one, other, all_rows = (
        total(values.astype(np.float64), date, dates) for values in (first == second, first, second, rows)
    )

    def statistic(weights: Floats) -> Floats:
        number = weights @ all_rows
        agree, p, q = (over(weights @ sums, number) for sums in (both, one, other))
        chance = p * q + (1 - p) * (1 - q)
        return over(agree - chance, np.where(1 - chance > 1e-12, 1 - chance, 0.0))

    return statistic


def grouped_ranks(values: Floats, group: Positions) -> Floats:
    """Ranks from 1 within each group, ties share their mean rank; shape (rows,)."""
    order = np.lexsort((values, group))
    sorted_values, sorted_group = values[order], group[order]
    new_group = np.append(True, sorted_group[1:] != sorted_group[:-1])[: len(values)]
    new_value = new_group | np.append(True, sorted_values[1:] != sorted_values[:-1])[: len(values)]
    place = np.arange(len(values), dtype=np.float64)
    starts = np.flatnonzero(new_value)
    ends = np.append(starts[1:], len(values))
    tie = np.cumsum(new_value) - 1
    group_start = place[np.flatnonzero(new_group)][np.cumsum(new_group) - 1]
    found = np.empty(len(values))
    found[order] = ((starts + ends - 1) / 2)[tie] - group_start + 1
    return found


def correlations(left: Floats, right: Floats, group: Positions, groups: int, fewest: int) -> Floats:
    """Spearman correlation within each group, shape (groups,).

    NaN where a group has fewer rows than `fewest`, or one side of it is constant.
    """
    rows = count(group, groups)
    a, b = grouped_ranks(left, group), grouped_ranks(right, group)
    # The mean of ranks with shared ties is that of 1 to rows.
    a, b = a - (rows[group] + 1) / 2, b - (rows[group] + 1) / 2
    ab, aa, bb = (total(values, group, groups) for values in (a * b, a * a, b * b))
    return np.where((rows >= fewest) & (aa > 0) & (bb > 0), ab / np.sqrt(np.where(aa * bb > 0, aa * bb, 1.0)), np.nan)
