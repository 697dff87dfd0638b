"""Whether models that serve still are what they were promoted for: live predictions against what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import UNKNOWN, Estimate
from sensequant_assets.core.judging.walk_forward import Codes, Score

FEWEST_DATES = 60
"""Dates with outcomes below which nothing is said of live predictions: about three blocks of a week's horizon."""

DRIFTED = 0.25
"""Population stability index from which a feature has drifted (Siddiqi 2006: below .10 none, to .25 some)."""

_BINS = 10
_FLOOR = 1e-4
"""Least share of a bin: an empty one would make the index endless."""

CHECKS = ("drift", "calibrated", "degraded")


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of one side of models that serve.

    Attributes
    ----------
    check
        One of `CHECKS`.
    passed
        Whether all is well; None where that cannot be told yet.
    said
        In a sentence, with the numbers.
    numbers
        The same as JSON.
    """

    check: str
    passed: bool | None
    said: str
    numbers: dict[str, Any]


def stability(reference: Floats, recent: Floats) -> Floats:
    """Population stability index of each feature, shape (features,).

    Parameters
    ----------
    reference, recent
        Rows of training and of late, each of shape (rows, features), finite; one row at least.

    Returns
    -------
    ndarray of shape (features,)
        Sum over ten bins, each with a tenth of the reference, of the difference of the shares times the logarithm of
        their ratio (Siddiqi 2006). 0 is no change.

    Examples
    --------
    >>> grid = np.linspace(0, 1, 101).reshape(-1, 1)
    >>> stability(grid, grid).round(2)
    array([0.])
    >>> stability(grid, grid + 1).round(1)
    array([8.1])
    """
    found: Floats = stabilities(reference, [recent])[0]
    return found


def stabilities(reference: Floats, spans: Sequence[Floats]) -> Floats:
    """As `stability` of several spans of rows against the same reference, shape (spans, features)."""
    found = np.empty((len(spans), reference.shape[1]))
    for column in range(reference.shape[1]):
        edges = np.unique(np.quantile(reference[:, column], np.linspace(0, 1, _BINS + 1)[1:-1]))
        before = _shares(reference[:, column], edges)
        for place, span in enumerate(spans):
            now = _shares(span[:, column], edges)
            found[place, column] = float(((now - before) * np.log(now / before)).sum())
    return found


def _shares(values: Floats, edges: Floats) -> Floats:
    """Share of the values in each bin, none less than the least."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    shares: Floats = np.maximum(counts / len(values), _FLOOR)
    return shares


def drift(names: Sequence[str], reference: Floats, recent: Floats, dates: int, usual: Floats) -> Watched:
    """Whether features of late lie where those of training did.

    Parameters
    ----------
    names
        Of the features.
    reference, recent
        Rows of training and of late, each of shape (rows, features).
    dates
        Over which those of late reach: few dates differ from all others whatever the market does.
    usual
        Index of spans of so many dates of training, shape (spans, features): the noise band. A limit is so many times a
        feature's median over spans as no feature reaches in 95 % of them, and `DRIFTED` at least.
    """
    index = stability(reference, recent)
    limit = np.full(len(names), DRIFTED)
    if len(usual) > 1:
        median = np.maximum(np.median(usual, axis=0), _FLOOR)
        limit = np.maximum(limit, median * float(np.quantile((usual / median).max(axis=1), 0.95)))
    drifted = np.flatnonzero(index > limit).tolist()
    worst = int(np.argmax(index - limit))
    stands = f"{len(recent):,} rows of {dates:,} dates against {len(reference):,} training rows"
    said = (
        f"{len(drifted)} of {len(names)} features drifted ({stands}); {names[worst]} has the stability index "
        f"{index[worst]:.2f}, its limit is {limit[worst]:.2f}."
    )
    numbers = {
        "features": len(names), "drifted": [names[place] for place in drifted], "rows": len(recent), "dates": dates,
        "training_rows": len(reference),
        "index": {name: round(float(value), 4) for name, value in zip(names, index, strict=True)},
    }  # fmt: skip
    return Watched("drift", not len(drifted), said, numbers)


def calibrated(error: Estimate, live: Score) -> Watched:
    """Whether as many come true as is said.

    Parameters
    ----------
    error
        Mean of what is said less what came, on all live rows.
    live
        Of the served probabilities.
    """
    stands = _stands(live)
    numbers = {**error.named("said_less_came"), **live["ece"].named("ece"), "rows": live.rows, "dates": live.dates}
    if live.dates < FEWEST_DATES or not isfinite(error.low):
        return Watched("calibrated", None, _too_few(live), numbers)
    passed = error.low <= 0 <= error.high
    verdict = "which covers 0" if passed else "which does not cover 0"
    said = (
        f"Said less came is {error.value:+.4f} [{error.low:+.4f}, {error.high:+.4f}], {verdict}; ECE "
        f"{live['ece'].value:.4f} ({stands})."
    )
    return Watched("calibrated", passed, said, numbers)


def degraded(live: Score, evidence: Estimate) -> Watched:
    """Whether live predictions are surely worse than what models were promoted for, or than the base rate.

    Parameters
    ----------
    live
        Of the live predictions; its base rate is the rolling one.
    evidence
        Rank IC at promotion; unknown for models that nobody promoted.
    """
    ic, loss = live["rank_ic"], live["brier_over_base_rate"]
    numbers = {
        **ic.named("rank_ic"), **evidence.named("evidence_rank_ic"), **loss.named("brier_over_base_rate"),
        "rows": live.rows, "dates": live.dates, "blocks": live.blocks,
    }  # fmt: skip
    if live.dates < FEWEST_DATES or not (isfinite(ic.low) and isfinite(loss.low)):
        return Watched("degraded", None, _too_few(live), numbers)
    worse = isfinite(evidence.low) and ic.high < evidence.low
    costly = loss.low > 0
    against = (
        f"at promotion it was {evidence.value:+.3f} [{evidence.low:+.3f}, {evidence.high:+.3f}]"
        if isfinite(evidence.low)
        else "nobody promoted these models"
    )
    said = (
        f"Rank IC {ic.value:+.3f} [{ic.low:+.3f}, {ic.high:+.3f}]{', surely below' if worse else ''}; {against}. Brier "
        f"over the rolling rate {loss.value:+.4f} [{loss.low:+.4f}, {loss.high:+.4f}]"
        f"{', surely above' if costly else ''} ({_stands(live)})."
    )
    return Watched("degraded", not (worse or costly), said, numbers)


def reward(said: Floats, ahead: Floats, moment: Codes) -> Floats:
    """What a side taken of each row earned: the return of what is held, its negative of what is sold.

    Parameters
    ----------
    said
        Score of each row, shape (rows,).
    ahead
        Its return over the horizon, shape (rows,).
    moment
        Number of its moment, shape (rows,).

    Returns
    -------
    ndarray of shape (rows,)
        A row above the middle score of its moment is held, one below is sold, one in the middle is neither.

    Examples
    --------
    >>> reward(np.array([0.9, 0.1]), np.array([0.02, -0.03]), np.array([0, 0]))
    array([0.02, 0.03])
    """
    found = np.zeros(len(said))
    for one in np.unique(moment):
        rows = moment == one
        found[rows] = np.sign(said[rows] - np.median(said[rows])) * ahead[rows]
    return found


def _stands(live: Score) -> str:
    return f"{live.rows:,} rows of {live.dates:,} dates, {live.blocks} blocks"


def _too_few(live: Score) -> str:
    return f"Nothing can be said yet: {live.dates:,} dates have outcomes, {FEWEST_DATES} are needed."


NOTHING = Score("live", 0, 0, 0, {"rank_ic": UNKNOWN})
"""Where no prediction has an outcome yet."""
