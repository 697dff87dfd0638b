"""Chronological splits whose training rows never share a bar with the rows they are judged on.

Positions are bar numbers of the symbol's history, increasing; the label of position p reads bars p to p + horizon.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Positions to train on and positions to judge on."""

    train: Positions
    test: Positions


def purged_tail(rows: Positions, horizon: int, fraction: float) -> Split:
    """Keep the last rows for validation and purge the training rows whose labels reach into them.

    Parameters
    ----------
    rows
        Positions, shape (rows,), increasing.
    horizon
        Bars that a label looks ahead.
    fraction
        Share of `rows` kept for validation, rounded down; in [0, 1).

    Returns
    -------
    Split
        `train` ends more than `horizon` bars before `test` begins.

    Examples
    --------
    >>> split = purged_tail(np.arange(10), horizon=2, fraction=0.3)
    >>> split.train, split.test
    (array([0, 1, 2, 3, 4]), array([7, 8, 9]))
    """
    held = int(len(rows) * fraction)
    if held == 0:
        return Split(rows, rows[:0])
    test = rows[-held:]
    return Split(rows[rows + horizon < test[0]], test)


def purged_folds(rows: Positions, horizon: int, folds: int) -> tuple[Split, ...]:
    """Cut rows into contiguous folds; each is judged by what trains on the others, purged on both sides.

    Parameters
    ----------
    rows
        Positions, shape (rows,), increasing.
    horizon
        Bars that a label looks ahead. A training row is purged when its label span meets a test row's label span.
    folds
        Number of folds, at least 2.

    Returns
    -------
    tuple of Split
        The `test` parts are disjoint and together are `rows`. Purging after the test span stands for an embargo of
        `horizon` bars (Lopez de Prado 2018, ch. 7).

    Examples
    --------
    >>> [(s.train.tolist(), s.test.tolist()) for s in purged_folds(np.arange(6), horizon=1, folds=3)]
    [([3, 4, 5], [0, 1]), ([0, 5], [2, 3]), ([0, 1, 2], [4, 5])]
    """
    splits = []
    for test in np.array_split(rows, folds):
        if len(test):
            clear = (rows + horizon < test[0]) | (rows > test[-1] + horizon)
            splits.append(Split(rows[clear], test))
    return tuple(splits)
