"""Metrics of probabilities in plain numpy; a missing value says that the rows cannot answer."""

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.splits import Positions

LOG_FLOOR = 1e-15


def auc(label: Floats, probability: Floats) -> float:
    """Area under the ROC curve by ranks, ties counted half (Mann and Whitney 1947).

    NaN with a single class, or where a label or a probability is NaN.

    Examples
    --------
    >>> auc(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    if not _known(label, probability):
        return float("nan")
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = _ranks(probability)
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(label: Floats, probability: Floats) -> float:
    """Mean negative log likelihood; soft labels are allowed. NaN without rows."""
    if not len(label):
        return float("nan")
    clipped = np.clip(probability, LOG_FLOOR, 1 - LOG_FLOOR)
    return float(-(label * np.log(clipped) + (1 - label) * np.log1p(-clipped)).mean())


def brier(label: Floats, probability: Floats) -> float:
    """Mean squared error of the probability (Brier 1950); NaN without rows."""
    return float(((probability - label) ** 2).mean()) if len(label) else float("nan")


def ece(label: Floats, probability: Floats, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015); NaN without rows or where one is NaN."""
    if not _known(label, probability):
        return float("nan")
    bin_of = np.minimum((probability * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    gaps = np.abs(np.bincount(bin_of, label, bins) - np.bincount(bin_of, probability, bins))
    return float(gaps[counts > 0].sum() / len(label))


def rank_ic(probability: Floats, forward_return: Floats) -> float:
    """Spearman correlation with the forward return over time, within one symbol; NaN if one is constant or has NaN."""
    if not _known(probability, forward_return) or len(probability) < 2:
        return float("nan")
    return correlation(_ranks(probability), _ranks(forward_return))


def correlation(left: Floats, right: Floats) -> float:
    """Pearson correlation; NaN if either side is constant or there are fewer than two rows."""
    if len(left) < 2:
        return float("nan")
    a, b = left - left.mean(), right - right.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 1e-12 else float("nan")


def design_effect(score: Floats, position: Positions, horizon: int) -> float:
    """By how much overlapping labels widen the chance of a rank statistic, as a ratio of variances (Kish 1965).

    A score that moves slowly meets the same return in many labels. If scores and returns know nothing of each other,
    labels of bars that are k apart have a correlation of `1 - k / horizon`, and the variance of the sum of products of
    centred ranks and labels is that of independent rows times `sum_k (1 - |k| / horizon) r_k`, with the sample
    autocorrelation `r_k` of the score's ranks.

    Parameters
    ----------
    score
        By which rows of one symbol are ranked, shape (rows,).
    position
        Bar number of each row, shape (rows,), increasing.
    horizon
        Bars that a label looks ahead.

    Returns
    -------
    float
        1 where labels do not overlap; NaN without rows, for a constant score and where a score is NaN.

    Examples
    --------
    >>> rising = np.arange(4.0)
    >>> design_effect(rising, np.arange(4), 1), design_effect(rising, np.arange(4), 2)
    (1.0, 1.25)
    """
    if not _known(score) or np.ptp(score) == 0:
        return float("nan")
    ranks = np.zeros(int(position[-1] - position[0]) + 1)
    ranks[position - position[0]] = _ranks(score) - (len(score) + 1) / 2
    lags = range(1, min(horizon, len(ranks)))
    shared = sum(2 * (1 - lag / horizon) * float(ranks[lag:] @ ranks[:-lag]) for lag in lags)
    return 1 + shared / float(ranks @ ranks)


def scores(
    label: Floats, probability: Floats, forward_return: Floats, *, served: Floats | None = None
) -> dict[str, float]:
    """All metrics of one set of rows that the model has not seen.

    Parameters
    ----------
    label
        0.0 or 1.0, shape (rows,).
    probability
        Predicted probability of 1, shape (rows,), by which rows are ranked.
    forward_return
        What the label was cut from, shape (rows,).
    served
        Calibrated probability, shape (rows,), by which losses and accuracy are taken; `probability` by default.

    Returns
    -------
    dict
        `auc`, `log_loss`, `brier`, `ece`, `rank_ic` (over time), `accuracy` at one half, `majority` (accuracy of always
        naming the more frequent class) and `base_rate`; NaN where the rows cannot answer.
    """
    base_rate = float(label.mean()) if len(label) else float("nan")
    served = probability if served is None else served
    known = _known(label, served)
    return {
        "auc": auc(label, probability),
        "log_loss": log_loss(label, served),
        "brier": brier(label, served),
        "ece": ece(label, served),
        "rank_ic": rank_ic(probability, forward_return),
        "accuracy": float(((served > 0.5) == (label == 1)).mean()) if known else float("nan"),
        "majority": max(base_rate, 1 - base_rate),
        "base_rate": base_rate,
    }


def fidelity(student: Floats, teacher: Floats) -> dict[str, float]:
    """How closely a student follows its teacher on rows neither has seen.

    Returns
    -------
    dict
        `fidelity_mae` (mean absolute difference of probabilities), `fidelity_correlation`, `fidelity_agreement` (share
        of rows on the same side of one half); NaN without rows, or where a probability is NaN.
    """
    if not _known(student, teacher):
        return dict.fromkeys(("fidelity_mae", "fidelity_correlation", "fidelity_agreement"), float("nan"))
    return {
        "fidelity_mae": float(np.abs(student - teacher).mean()),
        "fidelity_correlation": correlation(student, teacher),
        "fidelity_agreement": float(((student > 0.5) == (teacher > 0.5)).mean()),
    }


def _known(*columns: Floats) -> bool:
    """Whether there are rows and every value of theirs is known."""
    return all(len(column) and not np.isnan(column).any() for column in columns)


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2
    ranks: Floats = mean_rank[inverse]
    return ranks
