"""Walk-forward judgement: what models said of the window after theirs, pooled over the universe, and what it is worth.

Every number stands on rows that its model has not seen, with an interval over dates, and beside baselines that need no
model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats, day_of
from sensequant_assets.core.judging import metrics, sums
from sensequant_assets.core.judging.bootstrap import UNKNOWN, Estimate, Resampling, or_null, resample

FEWEST_SYMBOLS = 3
"""Symbols of a moment below which it has no cross-section: the correlation of two is 1 or -1 whatever they are."""

TOP = 0.1
"""Share of the symbols of a moment that a top decile holds; one symbol at least."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Test rows of many pairs, each of the window after the one that its model was trained on.

    Attributes
    ----------
    time
        Start of each row's bar, shape (rows,), `datetime64`.
    symbol
        Number of each row's symbol, shape (rows,).
    window
        Number of the window that each row's model was trained on, in order, shape (rows,).
    label
        0.0 or 1.0, shape (rows,).
    forward_return
        What the label was cut from, shape (rows,).
    training_rate
        Share of ones among the universe's training labels of the window, shape (rows,).
    horizon
        Bars that a label looks ahead.
    """

    time: NDArray[np.datetime64]
    symbol: Codes
    window: Codes
    label: Floats
    forward_return: Floats
    training_rate: Floats
    horizon: int

    def __len__(self) -> int:
        return len(self.label)

    def where(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Some of the rows."""
        names = ("time", "symbol", "window", "label", "forward_return", "training_rate")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was said of rows before they came true.

    Attributes
    ----------
    name
        Of the model or baseline.
    raw
        By which rows are ranked, shape (rows,); NaN where nothing was said.
    served
        Probability of label 1 that is acted on, shape (rows,); None for what is an order and no probability.
    follows
        Name of the forecast that it was distilled from; empty if it was not.
    """

    name: str
    raw: Floats
    served: Floats | None = None
    follows: str = ""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows of which a probability between `low` and `high` was said: how many, its mean, and the share of ones."""

    low: float
    high: float
    rows: int
    said: float
    happened: float


@dataclass(frozen=True, slots=True)
class Score:
    """What a forecast is worth.

    Attributes
    ----------
    name
        Of the forecast.
    rows, dates, blocks
        How many it stands on; blocks are about the independent observations among the dates.
    estimates
        By metric as `METRICS`, each with its interval; NaN where the rows cannot answer.
    reliability
        Bins that have rows, of the served probability.
    daily
        `rank_ic`, `top_return_net` and, of a probability, `log_loss` by date, each of shape (dates,); NaN where a date
        has none.
    """

    name: str
    rows: int
    dates: int
    blocks: int
    estimates: Mapping[str, Estimate]
    reliability: Sequence[ReliabilityBin] = field(default_factory=tuple)
    daily: Mapping[str, Floats] = field(default_factory=dict, compare=False)

    def __getitem__(self, metric: str) -> Estimate:
        return self.estimates.get(metric, UNKNOWN)

    def as_json(self) -> dict[str, Any]:
        """The score as one JSON object; a null is a number that the rows cannot answer."""
        bare = ("log_loss", "brier", "ece")
        head: dict[str, Any] = {"score": self.name, "rows": self.rows, "dates": self.dates, "blocks": self.blocks}
        for name in ("auc", "rank_ic"):
            head |= self[name].named(name)
        head |= {name: or_null(self[name].value) for name in bare}
        rest: dict[str, Any] = {}
        for name in METRICS:
            if name not in ("auc", "rank_ic"):
                rest |= self[name].named(name)
        bins = [{name: getattr(one, name) for name in ReliabilityBin.__slots__} for one in self.reliability]
        return head | {name: value for name, value in rest.items() if name not in head} | {"reliability": bins}


METRICS = (
    "auc",
    "rank_ic",
    "icir",
    "time_series_ic",
    "log_loss",
    "log_loss_over_base_rate",
    "brier",
    "brier_over_base_rate",
    "ece",
    "accuracy",
    "majority_accuracy",
    "accuracy_over_majority",
    "called",
    "precision",
    "top_return",
    "turnover",
    "top_return_net",
    "fidelity_kappa",
    "fidelity_spearman",
    "fidelity_spearman_by_date",
)
"""Every metric of a score, in the order of its JSON; docs/judging.md says what each one is."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of forecasts on the same rows.

    Attributes
    ----------
    scores
        In the order of the forecasts.
    first, last
        First and last date of the rows.
    calendar
        The dates of the rows in order, shape (dates,).
    day
        Number of each row's date, shape (rows,).
    resampling
        The draws of dates on which every interval stands.
    """

    scores: Sequence[Score]
    first: date
    last: date
    calendar: NDArray[np.datetime64] = field(compare=False)
    day: Codes = field(compare=False)
    resampling: Resampling = field(compare=False)

    @property
    def dates(self) -> int:
        """How many dates there are."""
        return len(self.calendar)

    @property
    def blocks(self) -> int:
        """How many whole blocks they hold."""
        return self.resampling.blocks

    @property
    def block_length(self) -> int:
        """How many dates a block of the bootstrap has."""
        return self.resampling.block


def judge_forecasts(
    rows: Rows, forecasts: Sequence[Forecast], *, cost_bp: float, tell: Callable[[str], None] = lambda _name: None
) -> Judgement:
    """Judge forecasts on the rows of which each says something.

    Parameters
    ----------
    rows
        Of the windows after those that the models were trained on; one at least.
    forecasts
        Of these rows; `follows` names another one of them.
    cost_bp
        Costs of a round trip, in hundredths of a percent of what is traded.
    tell
        Called with the name of each forecast before it is judged.
    """
    calendar, day = np.unique(rows.time.astype("datetime64[D]"), return_inverse=True)
    stages = [_Stage(rows, day, len(calendar), each, cost_bp) for each in forecasts]
    resampling = resample(len(calendar), days_ahead(rows), [stage.daily_ics for stage in stages])
    by_name = {each.name: each for each in forecasts}
    scores = []
    for stage in stages:
        tell(stage.forecast.name)
        scores.append(stage.score(resampling, by_name.get(stage.forecast.follows)))
    first, last = day_of(calendar[0]), day_of(calendar[-1])
    return Judgement(scores, first, last, calendar, day, resampling)


def last_known_labels(label: Floats, horizon: int) -> Floats:
    """The label of a symbol that was known last at each bar: persistence.

    Parameters
    ----------
    label
        0.0, 1.0 or NaN, shape (bars,).
    horizon
        Bars after which a label is known.

    Returns
    -------
    ndarray of shape (bars,)
        NaN while none is known.

    Examples
    --------
    >>> last_known_labels(np.array([1.0, np.nan, 0.0, 1.0]), 1)
    array([nan,  1.,  1.,  0.])
    """
    known = np.where(np.isnan(label), -1, np.arange(len(label)))
    last = np.maximum.accumulate(known) if len(label) else known
    found = np.full(len(label), np.nan)
    then = last[: max(len(label) - horizon, 0)]
    found[horizon:] = np.where(then >= 0, label[np.maximum(then, 0)], np.nan)
    return found


class _Stage:
    """One forecast on its own rows."""

    def __init__(self, rows: Rows, day: Codes, days: int, forecast: Forecast, cost_bp: float) -> None:
        self.known = ~np.isnan(forecast.raw)
        self.forecast = forecast
        self.rows = rows.where(self.known)
        self.raw = forecast.raw[self.known]
        self.served = None if forecast.served is None else forecast.served[self.known]
        self.day, self.days, self.cost_bp = day[self.known], days, cost_bp
        moments, self.moment = np.unique(self.rows.time, return_inverse=True)
        self.moments = len(moments)
        self.day_of_moment = np.zeros(self.moments, dtype=np.int64)
        self.day_of_moment[self.moment] = self.day
        self.daily_ics = self._by_day(self._cross_sections(self.raw, self.rows.forward_return))

    def score(self, resampling: Resampling, teacher: Forecast | None) -> Score:
        """All that can be said of the forecast."""
        counted = len(np.unique(self.day))
        blocks = counted // resampling.block if resampling.block else 0
        if not len(self.rows):
            return Score(self.forecast.name, 0, 0, 0, {})
        portfolio = self._portfolio()
        daily = {"rank_ic": self.daily_ics, "top_return_net": portfolio["top_return_net"]}
        found = self._ranking(resampling)
        found |= {name: resampling.estimate(sums.mean_of_dates(values)) for name, values in portfolio.items()}
        bins: tuple[ReliabilityBin, ...] = ()
        if self.served is not None:
            found |= self._probability(resampling, self.served)
            daily["log_loss"] = _means(log_losses(self.rows.label, self.served), self.day, self.days)
            bins = _bins(*sums.reliability(self.rows.label, self.served, self.day, self.days))
        if teacher is not None:
            found |= self._fidelity(resampling, teacher)
        return Score(self.forecast.name, len(self.rows), counted, blocks, found, bins, daily)

    def _ranking(self, resampling: Resampling) -> dict[str, Estimate]:
        rows, raw = self.rows, self.raw
        constant = np.ptp(raw) == 0
        area = metrics.auc(rows.label, raw)
        auc = (
            UNKNOWN
            if constant or np.isnan(area)
            else resampling.estimate(sums.auc_of(rows.label, raw, self.day, self.days), area)
        )
        over_time = sums.correlation_within(raw, rows.forward_return, rows.symbol, self.day, self.days)
        return {
            "auc": auc,
            "rank_ic": resampling.estimate(sums.mean_of_dates(self.daily_ics)),
            "icir": resampling.estimate(sums.ratio_of_dates(self.daily_ics)),
            "time_series_ic": resampling.estimate(over_time),
        }

    def _probability(self, resampling: Resampling, served: Floats) -> dict[str, Estimate]:
        rows, label = self.rows, self.rows.label

        def mean(values: Floats) -> Estimate:
            return resampling.estimate(sums.mean_of(values, self.day, self.days))

        loss, rate_loss = log_losses(label, served), log_losses(label, rows.training_rate)
        square, rate_square = (served - label) ** 2, (rows.training_rate - label) ** 2
        called = served > 0.5
        right = (called == (label == 1)).astype(np.float64)
        majority = ((rows.training_rate > 0.5) == (label == 1)).astype(np.float64)
        table = sums.reliability(label, served, self.day, self.days)
        hits = sums.mean_of(label[called], self.day[called], self.days)
        return {
            "log_loss": mean(loss),
            "log_loss_over_base_rate": mean(loss - rate_loss),
            "brier": mean(square),
            "brier_over_base_rate": mean(square - rate_square),
            "ece": resampling.estimate(sums.ece_of(*table)),
            "accuracy": mean(right),
            "majority_accuracy": mean(majority),
            "accuracy_over_majority": mean(right - majority),
            "called": mean(called.astype(np.float64)),
            "precision": resampling.estimate(hits),
        }

    def _portfolio(self) -> dict[str, Floats]:
        """By date, the return of the top decile above its universe over a horizon, before and after costs."""
        shares = _top_shares(self.raw, self.moment, self.moments)
        held = np.bincount(self.moment, shares, self.moments)
        gained = np.bincount(self.moment, shares * self.rows.forward_return, self.moments)
        everybody = _means(self.rows.forward_return, self.moment, self.moments)
        excess = np.where(held > 0, gained - everybody, np.nan)
        traded = self._turnover(shares)
        net = excess - traded * self.cost_bp / 10_000
        return {
            name: self._by_day(values)
            for name, values in (("top_return", excess), ("turnover", traded), ("top_return_net", net))
        }

    def _turnover(self, shares: Floats) -> Floats:
        """Share of the top decile that a horizon later is replaced, by the later moment; NaN where one has none."""
        symbols = int(self.rows.symbol.max()) + 1
        book = np.zeros((self.moments, symbols))
        book[self.moment, self.rows.symbol] = shares
        traded = np.full(self.moments, np.nan)
        lag = self.rows.horizon
        if self.moments > lag:
            traded[lag:] = np.abs(book[lag:] - book[:-lag]).sum(axis=1) / 2
            empty = book.sum(axis=1) == 0
            traded[lag:][empty[lag:] | empty[:-lag]] = np.nan
        return traded

    def _fidelity(self, resampling: Resampling, teacher: Forecast) -> dict[str, Estimate]:
        theirs = teacher.raw[self.known]
        both = ~np.isnan(theirs)
        if not both.any():
            return {}
        mine, theirs, rows = self.raw[both], theirs[both], self.rows.where(both)
        day, moment = self.day[both], self.moment[both]
        rate = rows.training_rate
        daily = self._by_day(sums.correlations(mine, theirs, moment, self.moments, FEWEST_SYMBOLS))
        together = np.zeros(len(rows), dtype=np.int64)
        return {
            "fidelity_kappa": resampling.estimate(sums.kappa_of(mine > rate, theirs > rate, day, self.days)),
            "fidelity_spearman": resampling.estimate(sums.correlation_within(mine, theirs, together, day, self.days)),
            "fidelity_spearman_by_date": resampling.estimate(sums.mean_of_dates(daily)),
        }

    def _cross_sections(self, left: Floats, right: Floats) -> Floats:
        return sums.correlations(left, right, self.moment, self.moments, FEWEST_SYMBOLS)

    def _by_day(self, values: Floats) -> Floats:
        """Mean by date of a value a moment, NaN where a date has none."""
        known = np.isfinite(values)
        day = self.day_of_moment[known]
        return _means(values[known], day, self.days)


def log_losses(label: Floats, probability: Floats) -> Floats:
    """Negative log likelihood of each row, shape (rows,); NaN where nothing is said."""
    said = np.where(label == 1, probability, 1 - probability)
    losses: Floats = -np.log(np.maximum(said, metrics.LOG_FLOOR))
    return losses


def _means(values: Floats, group: Codes, groups: int) -> Floats:
    return sums.over(sums.total(values, group, groups), sums.count(group, groups))


def _top_shares(score: Floats, group: Codes, groups: int) -> Floats:
    """Share of the top decile of its group that each row is; a group too small or without an order has no decile."""
    rows = np.bincount(group, minlength=groups)
    lowest, highest = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(lowest, group, score)
    np.maximum.at(highest, group, score)
    spoken = (rows >= FEWEST_SYMBOLS) & (lowest < highest)
    return np.where(spoken[group], top_shares(score, group, np.maximum(np.round(rows * TOP), 1.0)), 0.0)


def top_shares(score: Floats, group: Codes, places: Floats) -> Floats:
    """Share of the places of its group that each row has, shape (rows,); those of a group are 1 together.

    Rows that tie for the last places share them.

    Parameters
    ----------
    score, group
        Of each row, shape (rows,).
    places
        How many there are in each group, no more than it has rows, shape (groups,).

    Examples
    --------
    >>> top_shares(np.array([0.9, 0.5, 0.5, 0.1]), np.array([0, 0, 0, 0]), np.array([2.0]))
    array([0.5 , 0.25, 0.25, 0.  ])
    """
    order = np.lexsort((-score, group))
    sorted_group, sorted_score, room = group[order], score[order], places[group[order]]
    begins = np.append(True, sorted_group[1:] != sorted_group[:-1])
    new = begins | np.append(True, sorted_score[1:] != sorted_score[:-1])
    starts = np.flatnonzero(new)
    tie, sizes = np.cumsum(new) - 1, np.diff(np.append(starts, len(score)))
    group_start = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    ahead = starts[tie] - group_start
    shares = np.empty(len(score))
    shares[order] = np.clip(room - ahead, 0.0, sizes[tie]) / sizes[tie] / room
    return shares


def days_ahead(rows: Rows) -> int:
    """Dates by which a label looks ahead: the horizon of daily bars, fewer where a date has several."""
    moments = np.unique(rows.time)
    a_day = max(1.0, float(np.median(np.unique(moments.astype("datetime64[D]"), return_counts=True)[1])))
    return max(1, int(np.ceil(rows.horizon / a_day)))


def _bins(rows: Floats, ones: Floats, said: Floats) -> tuple[ReliabilityBin, ...]:
    totals = zip(rows.sum(axis=0).tolist(), ones.sum(axis=0).tolist(), said.sum(axis=0).tolist(), strict=True)
    edges = np.linspace(0, 1, sums.RELIABILITY_BINS + 1).round(6).tolist()
    return tuple(
        ReliabilityBin(edges[place], edges[place + 1], int(count), said_of / count, came / count)
        for place, (count, came, said_of) in enumerate(totals)
        if count
    )
