"""Which forecasts are better than others: paired differences on the same draws of dates, and the set of the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging import sums
from sensequant_assets.core.judging.bootstrap import Tested
from sensequant_assets.core.judging.walk_forward import Forecast, Judgement, Rows, log_losses

PAIRS = (
    ("student", "teacher", "log_loss"),
    ("student", "teacher", "rank_ic"),
    ("teacher", "base_rate", "log_loss"),
    ("student", "base_rate", "log_loss"),
    ("teacher", "minus_return_5", "rank_ic"),
    ("student", "minus_return_5", "rank_ic"),
)
"""What is compared: a score, the one it is held against, and by which metric."""

SET_SIZE = 0.1
"""Share of the time that a confidence set loses a best score; Hansen, Lunde and Nason (2011) use it too."""

_REPLICATIONS = 1000
_SEED = 7


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of one score less another's, on the rows and dates of both.

    Attributes
    ----------
    score, less, metric
        Which is compared, with which, and by what.
    tested
        The difference, its interval, and the two-sided p-value of there being none.
    rows, dates, blocks
        How many it stands on.
    """

    score: str
    less: str
    metric: str
    tested: Tested
    rows: int
    dates: int
    blocks: int


@dataclass(frozen=True, slots=True)
class ConfidenceSet:
    """The scores of which the data cannot tell the best (Hansen, Lunde and Nason 2011).

    Attributes
    ----------
    metric
        By what; `rank_ic` is turned round into a loss.
    p
        By score: a score stays in the set at any size below its p-value. Scores with the same losses have the same.
    dates, block
        How many dates all of them have, and dates in a block.
    """

    metric: str
    p: Mapping[str, float]
    dates: int
    block: int

    def stays(self, score: str) -> bool:
        """Whether a score is in the set of `SET_SIZE`."""
        return self.p[score] > SET_SIZE

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        scores = {name: {"p": p, "stays": self.stays(name)} for name, p in self.p.items()}
        return {"metric": self.metric, "size": SET_SIZE, "dates": self.dates, "block_length": self.block} | {
            "scores": scores
        }


def differences(rows: Rows, forecasts: Sequence[Forecast], judged: Judgement) -> list[Difference]:
    """Compare the `PAIRS` that are there, each on what both sides know.

    Parameters
    ----------
    rows, forecasts
        As `judge_forecasts` had them.
    judged
        What came of it; its draws are used again.
    """
    said = {each.name: each for each in forecasts}
    scores = {each.name: each for each in judged.scores if each.rows}
    found = []
    for score, less, metric in PAIRS:
        if score in scores and less in scores:
            known = ~np.isnan(said[score].raw) & ~np.isnan(said[less].raw)
            day = judged.day[known]
            if metric == "rank_ic":
                gap = scores[score].daily["rank_ic"] - scores[less].daily["rank_ic"]
                dates = int(np.isfinite(gap).sum())
                tested = judged.resampling.test(sums.mean_of_dates(gap))
            else:
                losses = [
                    log_losses(rows.label, served)
                    for side in (score, less)
                    if (served := said[side].served) is not None
                ]
                dates = len(np.unique(day))
                tested = judged.resampling.test(sums.mean_of((losses[0] - losses[1])[known], day, judged.dates))
            blocks = dates // judged.block_length if judged.block_length else 0
            found.append(Difference(score, less, metric, tested, int(known.sum()), dates, blocks))
    return found


def confidence_set(judged: Judgement, metric: str) -> ConfidenceSet | None:
    """Find the scores of which none is surely worse than another, by their daily losses.

    Parameters
    ----------
    judged
        With daily values of the metric by score.
    metric
        `log_loss` or `rank_ic`.

    Returns
    -------
    ConfidenceSet or None
        None where fewer than two scores differ, or the dates hold fewer than two blocks.
    """
    sign = -1.0 if metric == "rank_ic" else 1.0
    daily = {
        score.name: sign * score.daily[metric]
        for score in judged.scores
        if metric in score.daily and np.isfinite(score.daily[metric]).any()
    }
    known = np.isfinite(list(daily.values())).all(axis=0) if daily else np.zeros(judged.dates, dtype=bool)
    groups = _alike({name: losses[known] for name, losses in daily.items()})
    if len(groups) < 2 or known.sum() < 2 * judged.block_length:
        return None
    # Whoever trains never comes here, and does not pay for what this imports.
    from arch.bootstrap import MCS

    losses = np.column_stack([daily[names[0]][known] for names in groups])
    found = MCS(
        losses, size=SET_SIZE, reps=_REPLICATIONS, block_size=judged.block_length, bootstrap="circular", seed=_SEED
    )
    found.compute()
    p = found.pvalues["Pvalue"]
    by_name = {name: float(p.loc[number]) for number, names in enumerate(groups) for name in names}
    return ConfidenceSet(metric, {name: by_name[name] for name in daily}, int(known.sum()), judged.block_length)


def _alike(daily: Mapping[str, Floats]) -> list[list[str]]:
    """Names whose losses are the same on every date together: between them there is nothing to test."""
    leader = {name: name for name in daily}
    for one, other in combinations(daily, 2):
        if leader[other] == other and np.allclose(daily[one], daily[other], rtol=0, atol=1e-12):
            leader[other] = leader[one]
    return [[name for name in daily if leader[name] == head] for head in dict.fromkeys(leader.values())]
