"""How far rows are from those that a model was trained on: FreqAI's dissimilarity index."""

from dataclasses import dataclass

import numpy as np

from sensequant_assets.core.bars import Floats

MOST_ROWS = 1000
"""Training rows that are kept to measure distances to. A window of one symbol has fewer. Fewer rows lie further away:
of the 149,000 of an NSE universe, all make the median distance of a new bar .20, and this many .32."""

FARTHEST = 1.0
"""Distance beyond which a row is out of the training rows' range: further from each than these are from one another;
the threshold that FreqAI's `DI_threshold` starts from. Newest bars of 96 NSE symbols reach .52 from a pool's rows, and
.87 from those of their own symbol's window."""
_NUMBERS = 1 << 17
"""Differences that are held at once: 1 MB, which a processor's cache takes."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Training rows to measure distances to.

    Attributes
    ----------
    rows
        Standardised, shape (rows, features).
    centre, spread
        Mean and standard deviation of each feature over all training rows, shape (features,).
    span
        Mean distance of two different rows; NaN where there are none.
    """

    rows: Floats
    centre: Floats
    spread: Floats
    span: float

    def distance(self, features: Floats) -> Floats:
        """Dissimilarity index of rows: distance to the nearest training row, over the mean one between two of those.

        As of FreqAI, whose features are scaled by their range and not by their deviation.

        Parameters
        ----------
        features
            Shape (rows, features).

        Returns
        -------
        ndarray
            Shape (rows,). NaN where a feature is NaN, and where the training rows have no span. A feature that is the
            same in all training rows is left out: no tree asks for it.
        """
        told = self.spread > 0
        with np.errstate(invalid="ignore", over="ignore"):
            asked = (features[:, told] - self.centre[told]) / self.spread[told]
            nearest = np.sqrt(_squares(asked, self.rows[:, told]).min(axis=1, initial=np.inf))
        distance: Floats = nearest / self.span
        return np.where(np.isnan(features).any(axis=1), np.nan, distance)


def reference_of(rows: Floats) -> Reference:
    """Keep of training rows what distances are measured to.

    Parameters
    ----------
    rows
        Features of all training rows in the order of training, shape (rows, features), all finite.

    Returns
    -------
    Reference
        With at most `MOST_ROWS` of them, at even steps, the first and the last among them.
    """
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    # Rounding gives equal numbers a deviation.
    spread = np.where(np.ptp(rows, axis=0) > 0, spread, 0.0)
    kept = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(np.int64))
    scaled = (rows[kept] - centre) / np.where(spread > 0, spread, 1.0)
    total = float(np.sqrt(_squares(scaled, scaled)).sum())
    # A row's distance to itself adds nothing.
    return Reference(scaled, centre, spread, total / (len(kept) * (len(kept) - 1)) if total > 0 else float("nan"))


def _squares(one: Floats, other: Floats) -> Floats:
    """Squared distances of rows, shape (rows of one, rows of the other).

    Of differences: the product of the two that is quicker loses the distance of near rows.
    """
    squares = np.empty((len(one), len(other)))
    step = max(1, _NUMBERS // max(1, other.size))
    for begin in range(0, len(one), step):
        apart = one[begin : begin + step, None] - other
        squares[begin : begin + step] = np.einsum("ijk,ijk->ij", apart, apart)
    return squares
