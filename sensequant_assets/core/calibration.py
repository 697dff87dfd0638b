"""From what a model says to what is served: a probability that is right as often as it says."""

from dataclasses import dataclass

import numpy as np

from sensequant_assets.core.bars import Floats

_STEPS = 50
_ENOUGH = 1e-10


@dataclass(frozen=True, slots=True)
class Calibration:
    """A line through log-odds: served = sigmoid(slope * logit(said) + intercept).

    Attributes
    ----------
    slope
        0 where nothing was learned: then every row is served the base rate, and rows are ranked by what is said.
    intercept
        Log-odds that are served where a model says one half.
    """

    slope: float
    intercept: float

    @property
    def nothing_learned(self) -> bool:
        """Whether rows that the model had not seen do not bear out what it says."""
        return self.slope == 0

    def serve(self, said: Floats) -> Floats:
        """Probabilities to act on, of those that a model says, in (0, 1), shape (rows,).

        Examples
        --------
        >>> Calibration(0.5, 0.0).serve(np.array([0.5, 0.9])).round(3)
        array([0.5 , 0.75])
        >>> Calibration(0.0, 0.0).serve(np.array([0.5, 0.9]))
        array([0.5, 0.5])
        """
        served: Floats = 1 / (1 + np.exp(-(self.slope * _logit(said) + self.intercept)))
        return served


def calibrated(said: Floats, label: Floats) -> Calibration:
    """Fit a line through log-odds by maximum likelihood (Platt 1999), or none where it would fall.

    Parameters
    ----------
    said
        Probabilities of rows that the model has not seen, in (0, 1), shape (rows,).
    label
        0.0 or 1.0 of the same rows, both among them.

    Returns
    -------
    Calibration
        With a slope of 0 where the best line falls: a model that is wrong more often than not has learned nothing, and
        turned round it would be a bet that it stays wrong. Its intercept is then the base rate's.
    """
    rate = label.mean()
    log_odds = _logit(said)
    flat = Calibration(0.0, float(np.log(rate / (1 - rate))))
    if np.ptp(log_odds) < _ENOUGH:
        return flat
    design = np.column_stack([log_odds, np.ones(len(said))])
    line = np.array([0.0, flat.intercept])
    for _ in range(_STEPS):
        # Newton's step; the loss is convex, and its start, the base rate, is near its end.
        probability = 1 / (1 + np.exp(-(design @ line)))
        weight = probability * (1 - probability)
        step = np.linalg.solve((design * weight[:, None]).T @ design, design.T @ (label - probability))
        line = line + step
        if np.abs(step).max() < _ENOUGH:
            break
    return Calibration(float(line[0]), float(line[1])) if line[0] > 0 else flat


def _logit(probability: Floats) -> Floats:
    odds: Floats = np.log(probability / (1 - probability))
    return odds
