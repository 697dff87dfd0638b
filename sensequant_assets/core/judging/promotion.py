"""Whether models may take the place of those that serve: conditions on rows that neither has seen, each in numbers.

A number that the rows cannot answer passes no condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging import sums
from sensequant_assets.core.judging.bootstrap import (
    COVERAGE,
    ENOUGH_DATES,
    UNKNOWN,
    Estimate,
    Resampling,
    or_null,
    resample,
)
from sensequant_assets.core.judging.walk_forward import FEWEST_SYMBOLS, Codes, Rows, days_ahead

CONDITIONS = {
    "dates": f"at least {ENOUGH_DATES} dates",
    "rank_ic": "rank IC surely above 0",
    "rank_ic_of_trials": "rank IC surely above 0 though it may be the best of all trials",
    "brier": "Brier score surely below that of the training rate",
    "rank_ic_over_incumbent": f"rank IC not surely below the incumbent's, on at least {ENOUGH_DATES} dates of both",
    "brier_over_incumbent": f"Brier score not surely above the incumbent's, on at least {ENOUGH_DATES} dates of both",
}
"""What a challenger must show, by the condition's name; the last two where there is an incumbent."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a challenger must show.

    Attributes
    ----------
    name
        As of `CONDITIONS`.
    passed
        Whether it does.
    found
        The number that decides, with its interval: of Brier scores and of an incumbent the difference from the
        baseline. NaN where the rows cannot answer.
    baseline
        What it is held against: dates, the rank IC of no knowledge, the training rate's Brier score, or the incumbent's
        number.
    rows, dates, blocks
        How many it stands on.
    """

    name: str
    passed: bool
    found: Estimate
    baseline: float
    rows: int
    dates: int
    blocks: int

    def __str__(self) -> str:
        wanted = CONDITIONS[self.name]
        stands = f"on {self.rows:,} rows of {self.dates:,} dates, {self.blocks} blocks"
        if self.name == "dates":
            return f"{wanted}: {self.dates:,}."
        if np.isnan(self.found.value):
            return f"{wanted}: the rows cannot answer ({stands})."
        ends = "without an interval"
        if np.isfinite(self.found.low):
            ends = f"[{self.found.low:+.5f}, {self.found.high:+.5f}]"
        return f"{wanted}: {self.found.value:+.5f} {ends} against {self.baseline:.5f} {stands}."

    def as_json(self) -> dict[str, Any]:
        """As one JSON object; a null is a number that the rows cannot answer."""
        return {
            "condition": self.name, "wanted": CONDITIONS[self.name], "passed": self.passed, **self.found.ends,
            "baseline": or_null(self.baseline), "rows": self.rows, "dates": self.dates, "blocks": self.blocks,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a challenger shows.

    Attributes
    ----------
    conditions
        All of them, in the order of `CONDITIONS`.
    trials
        How many models there were to choose from, this one included.
    block_length
        Dates in a block of the bootstrap.
    """

    conditions: tuple[Condition, ...]
    trials: int
    block_length: int

    @property
    def passed(self) -> bool:
        """Whether it may be promoted."""
        return all(each.passed for each in self.conditions)

    @property
    def failed(self) -> list[Condition]:
        """Conditions that it does not pass."""
        return [each for each in self.conditions if not each.passed]


def judge_promotion(rows: Rows, challenger: Floats, trials: int, incumbent: Floats | None = None) -> Promotion:
    """Hold what a challenger serves against the training rate, and against what serves in its place.

    Parameters
    ----------
    rows
        Test rows, each of the window after the one that its model was trained on.
    challenger
        Probabilities that it serves, shape (rows,); NaN where it says nothing.
    trials
        How many models there were to choose from, this one included; at least 1.
    incumbent
        What the incumbent served of the same rows before they came true, likewise; None where nothing serves. The two
        are compared on the rows of both.

    Returns
    -------
    Promotion
        Ranks are of what is served. A moment of which the same is served of all symbols has a rank IC of 0: nobody can
        act on an order that is not there.
    """
    spoken = ~np.isnan(challenger)
    rows, challenger = rows.where(spoken), challenger[spoken]
    calendar, day = np.unique(rows.time.astype("datetime64[D]"), return_inverse=True)
    judge = _Judge(rows, day, len(calendar))
    ics = [judge.daily_ics(challenger)]
    both = np.zeros(len(rows), dtype=bool)
    if incumbent is not None:
        incumbent = incumbent[spoken]
        both = ~np.isnan(incumbent)
        # Of the rows of both: an IC across other symbols is another one.
        ics += [judge.daily_ics(np.where(both, said, np.nan)) for said in (challenger, incumbent)]
    resampling = resample(len(calendar), days_ahead(rows) if len(rows) else 1, [one for one in ics if len(one)])
    conditions = [*judge.alone(challenger, ics[0], trials, resampling)]
    if incumbent is not None:
        conditions += judge.beside(challenger, incumbent, both, (ics[1], ics[2]), resampling)
    return Promotion(tuple(conditions), trials, resampling.block)


def of_trials(found: Estimate, blocks: int, trials: int) -> Estimate:
    """Widen an interval so that the best of so many trials without skill is rarely above 0 by it.

    Bonferroni's bound: each of the trials has its share of the error that one alone would have. The ends move away from
    the value as Student's quantile does with a degree of freedom less than blocks; draws are too few to be asked for
    such tails.

    Parameters
    ----------
    found
        A number with its interval.
    blocks
        It stands on.
    trials
        At least 1.

    Examples
    --------
    >>> of_trials(Estimate(0.1, 0.02, 0.18), 40, 1)
    Estimate(value=0.1, low=0.02, high=0.18)
    >>> round(of_trials(Estimate(0.1, 0.02, 0.18), 40, 20).low, 3)
    -0.028
    """
    if trials <= 1 or blocks < 2:
        return found
    from scipy.stats import t

    tail = (1 - COVERAGE) / 2
    wider = float(t.ppf(1 - tail / trials, blocks - 1) / t.ppf(1 - tail, blocks - 1))
    return Estimate(
        found.value, found.value + wider * (found.low - found.value), found.value + wider * (found.high - found.value)
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Rows of the challenger, and the number of each one's date."""

    rows: Rows
    day: Codes
    days: int

    def daily_ics(self, said: Floats) -> Floats:
        """Rank IC across symbols by date, shape (days,); NaN where a date has no moment of enough symbols."""
        known = ~np.isnan(said)
        said, day, time = said[known], self.day[known], self.rows.time[known]
        moments, moment = np.unique(time, return_inverse=True)
        number = len(moments)
        found = sums.correlations(said, self.rows.forward_return[known], moment, number, FEWEST_SYMBOLS)
        lowest, highest = np.full(number, np.inf), np.full(number, -np.inf)
        np.minimum.at(lowest, moment, said)
        np.maximum.at(highest, moment, said)
        found = np.where((lowest == highest) & (sums.count(moment, number) >= FEWEST_SYMBOLS), 0.0, found)
        day_of = np.zeros(number, dtype=np.int64)
        day_of[moment] = day
        has = np.isfinite(found)
        return sums.over(sums.total(found[has], day_of[has], self.days), sums.count(day_of[has], self.days))

    def alone(self, said: Floats, ics: Floats, trials: int, resampling: Resampling) -> Iterator[Condition]:
        """Conditions that need no incumbent."""
        every = np.ones(len(self.rows), dtype=bool)
        yield Condition("dates", self.days >= ENOUGH_DATES, Estimate(float(self.days)), float(ENOUGH_DATES),
                        len(self.rows), self.days, resampling.blocks)  # fmt: skip
        found = self._mean_of_dates(ics, resampling)
        dates, blocks = _dates(ics, resampling)
        for name, estimate in (("rank_ic", found), ("rank_ic_of_trials", of_trials(found, blocks, trials))):
            yield Condition(name, estimate.low > 0, estimate, 0.0, len(self.rows), dates, blocks)
        rate = (self.rows.training_rate - self.rows.label) ** 2
        square = (said - self.rows.label) ** 2
        estimate = self._mean_of_rows(square - rate, every, resampling)
        yield Condition("brier", estimate.high < 0, estimate, _mean(rate), len(self.rows), self.days, resampling.blocks)

    def beside(
        self,
        challenger: Floats,
        incumbent: Floats,
        both: np.ndarray[Any, np.dtype[np.bool_]],
        ics: tuple[Floats, Floats],
        resampling: Resampling,
    ) -> Iterator[Condition]:
        """Conditions against an incumbent, on the rows of both, of which there must be enough as well."""
        gap = ics[0] - ics[1]
        dates, blocks = _dates(gap, resampling)
        found, enough, rows = self._mean_of_dates(gap, resampling), dates >= ENOUGH_DATES, int(both.sum())
        incumbents = float(np.nanmean(ics[1])) if np.isfinite(ics[1]).any() else float("nan")
        yield Condition("rank_ic_over_incumbent", enough and found.high >= 0, found, incumbents, rows, dates, blocks)
        losses = [(said - self.rows.label) ** 2 for said in (challenger, incumbent)]
        found = self._mean_of_rows(losses[0] - losses[1], both, resampling)
        dates = len(np.unique(self.day[both]))
        blocks = dates // resampling.block if resampling.block else 0
        enough = dates >= ENOUGH_DATES
        yield Condition("brier_over_incumbent", enough and found.low <= 0, found, _mean(losses[1][both]), rows, dates,
                        blocks)  # fmt: skip

    @staticmethod
    def _mean_of_dates(values: Floats, resampling: Resampling) -> Estimate:
        _, blocks = _dates(values, resampling)
        if not np.isfinite(values).any():
            return UNKNOWN
        statistic = sums.mean_of_dates(values)
        value = float(statistic(np.ones((1, len(values))))[0])
        return resampling.weigh(statistic(resampling.weights), value, value, blocks).estimate

    def _mean_of_rows(
        self, values: Floats, known: np.ndarray[Any, np.dtype[np.bool_]], resampling: Resampling
    ) -> Estimate:
        day = self.day[known]
        if not len(day):
            return UNKNOWN
        statistic = sums.mean_of(values[known], day, self.days)
        value = float(statistic(np.ones((1, self.days)))[0])
        blocks = len(np.unique(day)) // max(resampling.block, 1)
        return resampling.weigh(statistic(resampling.weights), value, value, blocks).estimate


def _dates(values: Floats, resampling: Resampling) -> tuple[int, int]:
    """How many dates have a value, and the blocks that they make."""
    dates = int(np.isfinite(values).sum())
    return dates, dates // resampling.block if resampling.block else 0


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
