"""All that an evaluation finds: scores, how they differ, how symbols do, and what the choice among trials costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.batch.evaluation import JUDGED, Gathered, Subject
from sensequant_assets.batch.made_with import judging
from sensequant_assets.batch.noise import window_scores
from sensequant_assets.batch.rows import bars_event
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import COVERAGE, UNKNOWN, or_null
from sensequant_assets.core.judging.comparison import ConfidenceSet, Difference, confidence_set, differences
from sensequant_assets.core.judging.course import Month, months
from sensequant_assets.core.judging.noise import Noise, Outside
from sensequant_assets.core.judging.selection import Overfitting, Sharpe, overfitting, ratio, sharpe
from sensequant_assets.core.judging.symbols import BySymbol, judge_symbols
from sensequant_assets.core.judging.walk_forward import Judgement, Score, judge_forecasts
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import absolute_market
from sensequant_assets.telemetry.journal import Journal, new_name, utc_now
from sensequant_assets.telemetry.questions.trials import PastTrial, latest_findings, past_trials
from sensequant_assets.telemetry.records import Evaluation, Trial
from sensequant_assets.telemetry.store import TelemetryStore

MOST_MISSING = 0.1
"""Share of an evaluation's dates that a trial's series may lack to be weighed with it."""

_FORM = 1
"""Of the findings: with another one those of before are not read."""

_SETS = ("log_loss", "rank_ic")


@dataclass(frozen=True)
class Examination:
    """What an evaluation found.

    Attributes
    ----------
    subject, gathered, judged, cost_bp
        What was evaluated, its rows, its scores, and costs of a round trip in basis points.
    differences
        Of scores from each other.
    sets
        Confidence sets of the best scores by metric, where there are any.
    by_symbol, months
        Of each model.
    sharpes
        Of each score that has a top decile.
    trials
        How many parameters and models were tried on this universe, this evaluation's included.
    overfitting
        Of those that keep a series of its dates; None where they are too few.
    noise
        The band of its windows; None where there is no noise twin.
    """

    subject: Subject
    gathered: Gathered
    judged: Judgement
    cost_bp: float
    differences: Sequence[Difference]
    sets: Mapping[str, ConfidenceSet]
    by_symbol: Mapping[str, BySymbol]
    months: Mapping[str, Sequence[Month]]
    sharpes: Mapping[str, Sharpe]
    trials: int
    overfitting: Overfitting | None
    noise: Noise | None = None

    @cached_property
    def outside(self) -> dict[str, dict[str, Outside]]:
        """Windows outside the noise band, by model and number; none without a band."""
        return self.noise.outside(window_scores(self.gathered)) if self.noise else {}

    @property
    def scores(self) -> list[dict[str, Any]]:
        """Each score as one JSON object, with what it is against others, and against noise."""
        beside: dict[str, dict[str, Any]] = (
            {name: self.noise.as_json(name, self.outside) for name in MODELS} if self.noise else {}
        )
        return [score.as_json() | self._beyond(score) | beside.get(score.name, {}) for score in self.judged.scores]

    def _beyond(self, score: Score) -> dict[str, Any]:
        """What is known of a score from outside of it."""
        symbols, found = self.by_symbol.get(score.name), self.sharpes.get(score.name)
        chosen = self.overfitting if score.name in MODELS else None
        return {
            "differences": [_difference(each) for each in self.differences if each.score == score.name],
            "confidence_sets": {
                metric: {"p": each.p[score.name], "stays": each.stays(score.name), "dates": each.dates}
                for metric, each in self.sets.items()
                if score.name in each.p
            },
            "symbols_judged": None if symbols is None else symbols.judged,
            "symbols_stay": None if symbols is None else len(symbols.stay),
            **(UNKNOWN if found is None else found.ratio).named("sharpe"),
            "periods": None if found is None else found.periods,
            "probabilistic_sharpe": None if found is None else or_null(found.probabilistic),
            "deflated_sharpe": None if found is None else or_null(found.deflated),
            "trials": self.trials if score.name in MODELS else None,
            "overfitting": None if chosen is None else chosen.probability,
            "overfitting_trials": None if chosen is None else chosen.trials,
        }

    def as_json(self) -> dict[str, Any]:
        """The whole as one JSON object."""
        gathered, judged, chosen = self.gathered, self.judged, self.overfitting
        return {
            "head": {
                "models": dict(gathered.models), "windows": [window.key for window in gathered.windows],
                "rows": len(gathered.rows), "symbols": len(np.unique(gathered.rows.symbol)),
                "dates": judged.dates, "blocks": judged.blocks, "block_length": judged.block_length,
                "first": str(judged.first), "last": str(judged.last), "horizon": gathered.rows.horizon,
                "period": judged.resampling.horizon, "coverage": COVERAGE, "cost_bp": self.cost_bp,
                "remarks": gathered.remarks,
            },
            "scores": self.scores,
            "confidence_sets": [each.as_json() for each in self.sets.values()],
            "symbols": {name: each.as_json(gathered.symbols) for name, each in self.by_symbol.items()},
            "months": {name: [_month(each) for each in course] for name, course in self.months.items()},
            "importance": gathered.importance.as_json(),
            "trials": self.trials,
            "overfitting": None if chosen is None else {
                "probability": chosen.probability, "trials": chosen.trials, "periods": chosen.periods,
                "splits": chosen.splits,
            },
        }  # fmt: skip


def examine(
    subject: Subject,
    gathered: Gathered,
    cost_bp: float,
    telemetry: TelemetryStore,
    tell: Callable[[str], None] = lambda _name: None,
    noise: Noise | None = None,
    before: datetime | None = None,
    ratios: Sequence[float] = (),
) -> Examination:
    """Judge what was gathered.

    Parameters
    ----------
    subject, gathered
        What is evaluated.
    cost_bp
        Costs of a round trip in basis points.
    telemetry
        Knows what was tried before.
    tell
        Called with the name of what is judged next.
    noise
        The band of its windows, where there is a noise twin.
    before
        Time from which on no trial is known; None for all.
    ratios
        Sharpe ratios of trials on other dates, where these have been kept from them: by their spread, too, is deflated.

    Raises
    ------
    UsageError
        No model is left.
    """
    if not len(gathered.rows):
        raise UsageError(" ".join(["No model is left to evaluate.", *gathered.remarks]))
    rows, forecasts = gathered.rows, gathered.forecasts
    judged = judge_forecasts(rows, forecasts, cost_bp=cost_bp, tell=tell)
    tell("differences and symbols")
    scores = {score.name: score for score in judged.scores if score.rows}
    sets = {metric: found for metric in _SETS if (found := confidence_set(judged, metric)) is not None}
    models = [each for each in forecasts if each.name in MODELS and each.name in scores]
    trials = _trials(subject, judged, past_trials(telemetry, subject.settings.universe_name, MODELS, before))
    series = [daily for told in trials.values() if (daily := of_dates(told, judged.calendar)) is not None]
    known = [*(value for daily in series if np.isfinite(value := ratio(daily))), *ratios]
    return Examination(
        subject=subject,
        gathered=gathered,
        judged=judged,
        cost_bp=cost_bp,
        differences=differences(rows, forecasts, judged),
        sets=sets,
        by_symbol={each.name: judge_symbols(rows, each, judged) for each in models},
        months={each.name: months(judged, scores[each.name].daily["rank_ic"]) for each in models},
        sharpes=_sharpes(scores, judged, len(trials), known),
        trials=len(trials),
        overfitting=overfitting(series, judged.resampling.horizon),
        noise=noise,
    )


def fingerprint(subject: Subject, cost_bp: float) -> str:
    """Identity of what an evaluation would find: models, parameters, costs and the code that judges."""
    trees = {" ".join(key): trees for key, trees in (subject.trees or {}).items()}
    return parameters_fingerprint(
        {"trees": trees, "parameters": subject.parameters, "cost_bp": cost_bp, "judging": judging(), "form": _FORM}
    )


def findings_of(telemetry: TelemetryStore, subject: Subject, cost_bp: float) -> dict[str, Any] | None:
    """What was found of a batch as it is; None where nobody has evaluated it since it changed."""
    return latest_findings(telemetry, subject.batch_id, fingerprint(subject, cost_bp))


def note(telemetry: TelemetryStore, examined: Examination) -> None:
    """Write what was found, and a row of `trials` for every score.

    Whoever picks the best of many must know how many there were.
    """
    subject, judged, windows, now = examined.subject, examined.judged, examined.gathered.windows, utc_now()
    name, universe = new_name(), subject.settings.universe_name
    told = {score["score"]: score for score in examined.scores}
    with Journal(telemetry.shards, batch_id=subject.batch_id, run_id="", clock=utc_now) as journal:
        journal.append_many(
            trial_of(name, subject, judged, windows, score, told[score.name]) for score in judged.scores if score.rows
        )
        journal.append(
            Evaluation(
                evaluation=name,
                universe=universe,
                subject_fingerprint=fingerprint(subject, examined.cost_bp),
                findings=examined.as_json(),
                evaluated_at=now,
            )
        )
        read, told = examined.gathered.bars_read, absolute_market(subject.settings.market)
        journal.append(bars_event(read, told, judging(), evaluation=name))


def _sharpes(scores: Mapping[str, Score], judged: Judgement, trials: int, known: Sequence[float]) -> dict[str, Sharpe]:
    return {
        name: sharpe(score.daily["top_return_net"], judged.resampling, trials, known)
        for name, score in scores.items()
        if name in JUDGED and np.isfinite(score.daily["top_return_net"]).any()
    }


def trial_of(
    evaluation: str,
    subject: Subject,
    judged: Judgement,
    windows: Sequence[Window],
    score: Score,
    metrics: Mapping[str, Any],
    features: Sequence[str] = (),
) -> Trial:
    """A score as a row of `trials`.

    Parameters
    ----------
    evaluation
        Its name.
    subject, judged, windows
        What was judged, and the windows whose models were.
    score
        One of those.
    metrics
        All that is told of it.
    features
        Providers of the features where they are part of what was tried, as of `Market.features`.
    """
    return Trial(
        evaluation=evaluation,
        score=score.name,
        universe=subject.settings.universe_name,
        first_window=windows[0].start,
        last_window=windows[-1].start,
        first_date=judged.first,
        last_date=judged.last,
        rows=score.rows,
        dates=score.dates,
        blocks=score.blocks,
        block_length=judged.block_length,
        **score["auc"].named("auc"),
        **score["rank_ic"].named("rank_ic"),
        metrics=metrics,
        series=_series(score, judged) if score.name in MODELS else None,
        parameters_fingerprint=subject.tried(features),
        evaluated_at=utc_now(),
    )


def _trials(
    subject: Subject, judged: Judgement, past: Sequence[PastTrial]
) -> dict[tuple[str, str], Mapping[str, float]]:
    """Series of every trial by parameters and model; those of this evaluation are its own."""
    found: dict[tuple[str, str], Mapping[str, float]] = {
        (each.parameters_fingerprint, each.score): each.series for each in past
    }
    for score in judged.scores:
        if score.name in MODELS and score.rows:
            told = _series(score, judged)
            found[subject.parameters, score.name] = dict(zip(told["date"], told["top_return_net"], strict=True))
    # Sums depend on the order of what is summed.
    return dict(sorted(found.items()))


def _series(score: Score, judged: Judgement) -> dict[str, list[Any]]:
    return series_of(score.daily["top_return_net"], judged.calendar)


def series_of(daily: Floats, calendar: NDArray[np.datetime64]) -> dict[str, list[Any]]:
    """A net return over a horizon by date, as a trial keeps it."""
    known = np.isfinite(daily)
    return {"date": calendar[known].astype(str).tolist(), "top_return_net": daily[known].round(7).tolist()}


def of_dates(series: Mapping[str, float], calendar: NDArray[np.datetime64]) -> Floats | None:
    """A trial's returns on the dates of an evaluation, shape (dates,); None where it lacks many of them."""
    found = np.array([series.get(day, np.nan) for day in calendar.astype(str).tolist()])
    return found if np.isfinite(found).mean() >= 1 - MOST_MISSING else None


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "less": found.less, "metric": found.metric, **found.tested.estimate.ends,
        "p": or_null(found.tested.p), "rows": found.rows, "dates": found.dates, "blocks": found.blocks,
    }  # fmt: skip


def _month(found: Month) -> dict[str, Any]:
    ends = found.rank_ic.ends
    return {"month": found.month, "dates": found.dates, "rank_ic": ends.pop("value"), **ends}
