"""Live predictions against what came of them, and the features of late against those of training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.batch.outcomes import Filled, asks_of, fill_outcomes
from sensequant_assets.batch.serving import Standing
from sensequant_assets.core.bars import Floats, Times
from sensequant_assets.core.judging import monitoring, sums
from sensequant_assets.core.judging.bootstrap import UNKNOWN, Estimate
from sensequant_assets.core.judging.monitoring import NOTHING, Watched
from sensequant_assets.core.judging.walk_forward import Codes, Forecast, Judgement, Rows, Score, judge_forecasts
from sensequant_assets.core.lattice import EARLY_LIFE_DAYS
from sensequant_assets.core.samples import Samples
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.telemetry.questions.predictions import with_outcome
from sensequant_assets.telemetry.store import TelemetryStore

RATE_DATES = 250
"""Dates of labels known before a prediction of which the rolling rate is made: about a year."""

RECENT_DATES = 20
"""Dates of the features of late: about a month."""


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What is known of students that serve.

    Attributes
    ----------
    title
        Which they are, in words.
    filled
        Outcomes that became known.
    watched
        One a check, in the order of `monitoring.CHECKS`.
    scores
        By name: `live`, `rolling_rate`, and `early_life` and `grown` apart.
    reward
        Mean by date of the reward of the sides that were taken.
    """

    title: str
    filled: Filled
    watched: Sequence[Watched]
    scores: Mapping[str, Score]
    reward: Estimate

    @property
    def passed(self) -> bool:
        """Whether no check fails; one that cannot tell yet does not."""
        return all(each.passed is not False for each in self.watched)

    def as_json(self) -> dict[str, Any]:
        """The whole as one JSON object."""
        return {
            "standing": self.title,
            "outcomes": {"new": len(self.filled.rows), "waiting": self.filled.waiting, "gone": list(self.filled.gone)},
            "checks": [
                {"check": each.check, "passed": each.passed, "said": each.said, **each.numbers} for each in self.watched
            ],
            "scores": [score.as_json() for score in self.scores.values()],
            "reward": self.reward.named("reward") | {"rows": self.live.rows, "dates": self.live.dates},
        }

    @property
    def live(self) -> Score:
        """Of all live predictions."""
        return self.scores["live"]


def monitor(telemetry: TelemetryStore, standing: Standing, cost_bp: float, evidence: Estimate = UNKNOWN) -> Monitoring:
    """Fill outcomes, and hold live predictions against them.

    Parameters
    ----------
    telemetry
        Has the predictions.
    standing
        Whose predictions.
    cost_bp
        Costs of a round trip in basis points.
    evidence
        Rank IC at promotion; unknown for students that nobody promoted.
    """
    market = standing.market
    filled = fill_outcomes(telemetry, market)
    samples = {each.symbol: each for each in market.readable_samples()}
    features = _drift(market, standing, list(samples.values()))
    live = _live(telemetry, standing, samples)
    if live is None:
        rest = [monitoring.calibrated(UNKNOWN, NOTHING), monitoring.degraded(NOTHING, evidence)]
        return Monitoring(standing.title, filled, [features, *rest], {"live": NOTHING}, UNKNOWN)
    rows, forecasts = live
    judged = judge_forecasts(rows, forecasts, cost_bp=cost_bp)
    scores = {score.name: score for score in judged.scores}
    said, served = forecasts[0].raw, forecasts[0].served
    error = UNKNOWN if served is None else _mean(judged, served - rows.label)
    moment = np.unique(rows.time, return_inverse=True)[1]
    return Monitoring(
        standing.title,
        filled,
        [features, monitoring.calibrated(error, scores["live"]), monitoring.degraded(scores["live"], evidence)],
        scores,
        _mean(judged, monitoring.reward(said, rows.forward_return, moment)),
    )


def _live(
    telemetry: TelemetryStore, standing: Standing, samples: Mapping[str, Samples]
) -> tuple[Rows, list[Forecast]] | None:
    """Predictions whose outcome is known, and what was said of them, by the live students first; None without any."""
    market = standing.market
    said = with_outcome(
        telemetry,
        market.universe.name,
        asks_of(market),
        "unproven" if standing.champion is None else "champion",
        [standing.pack.entry(symbol).trees_fingerprint for symbol in standing.pack.symbols],
    )
    if not len(said):
        return None
    column = {name: said.column(name).to_numpy(zero_copy_only=False) for name in said.column_names}
    names, number = np.unique(column["symbol"].astype(str), return_inverse=True)
    time = column["time"].astype("datetime64[s]")
    rows = Rows(
        time=time,
        symbol=number,
        window=np.zeros(len(time), dtype=np.int64),
        label=column["label"].astype(np.float64),
        forward_return=column["ret"],
        training_rate=rolling_rate(list(samples.values()), market.recipe.horizon, time),
        horizon=market.recipe.horizon,
    )
    young = _young(samples, names.tolist(), number, time)
    live = Forecast("live", column["p_raw"], column["p"])
    apart = [_some(live, name, chosen) for name, chosen in (("early_life", young), ("grown", ~young)) if chosen.any()]
    return rows, [live, Forecast("rolling_rate", rows.training_rate, rows.training_rate), *apart]


def rolling_rate(samples: Sequence[Samples], horizon: int, time: Times) -> Floats:
    """Share of ones among the labels of a universe that were known at each time, over `RATE_DATES` dates.

    Parameters
    ----------
    samples
        Of the universe.
    horizon
        Bars after which a label is known.
    time
        Shape (rows,), in order.

    Returns
    -------
    ndarray of shape (rows,)
        One half where no label was known.
    """
    known_at, label = [], []
    for each in samples:
        places = np.flatnonzero(~np.isnan(each.label[: max(len(each.time) - horizon, 0)]))
        known_at.append(each.time[places + horizon])
        label.append(each.label[places])
    days = np.concatenate(known_at).astype("datetime64[D]") if known_at else np.empty(0, "datetime64[D]")
    calendar, day = np.unique(days, return_inverse=True)
    ones = np.append(0.0, np.cumsum(np.bincount(day, np.concatenate(label) if label else None, len(calendar))))
    rows = np.append(0.0, np.cumsum(np.bincount(day, minlength=len(calendar))))
    end = np.searchsorted(calendar, time.astype("datetime64[D]"), side="right")
    start = np.maximum(end - RATE_DATES, 0)
    count = rows[end] - rows[start]
    return np.where(count > 0, (ones[end] - ones[start]) / np.maximum(count, 1), 0.5)


def _young(samples: Mapping[str, Samples], names: Sequence[str], number: Codes, time: Times) -> NDArray[np.bool_]:
    """Rows of symbols in their early life."""
    ends = np.full(len(names), np.datetime64("0001-01-01", "s"))
    for place, name in enumerate(names):
        since = samples[name].listed_since if name in samples else None
        if since is not None:
            ends[place] = np.datetime64(since + timedelta(days=EARLY_LIFE_DAYS), "s")
    young: NDArray[np.bool_] = time < ends[number]
    return young


def _some(live: Forecast, name: str, chosen: NDArray[np.bool_]) -> Forecast:
    served = live.raw if live.served is None else live.served
    return Forecast(name, np.where(chosen, live.raw, np.nan), np.where(chosen, served, np.nan))


def _mean(judged: Judgement, values: Floats) -> Estimate:
    return judged.resampling.estimate(sums.mean_of(values, judged.day, judged.dates))


def _drift(market: Market, standing: Standing, samples: Sequence[Samples]) -> Watched:
    """Features of the last dates against those of training, with what spans of training differ by as the band."""
    newest = standing.newest
    ends = {window.key: window.end for window in market.windows}
    if newest not in ends:
        raise UsageError(f"The market has no window {newest}, which the students are of.")
    names = standing.pack.feature_names
    known = [each for each in samples if each.feature_names == names]
    features = np.concatenate([each.features for each in known])
    time = np.concatenate([each.time for each in known]).astype("datetime64[D]")
    sound = np.isfinite(features).all(axis=1)
    features, time = features[sound], time[sound]
    calendar, day = np.unique(time, return_inverse=True)
    trained = day < np.searchsorted(calendar, np.datetime64(ends[newest]))
    last = day >= len(calendar) - RECENT_DATES
    reference = features[trained]
    spans = day[trained] // RECENT_DATES
    usual = monitoring.stabilities(reference, [reference[spans == span] for span in np.unique(spans)])
    return monitoring.drift(names, reference, features[last], min(RECENT_DATES, len(calendar)), usual)
