"""Promotion: the students of a batch against those that serve, on the same rows, and the step into their place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from sensequant_assets.batch.evaluation import Gathered, Subject, gather
from sensequant_assets.batch.examination import examine, findings_of, note
from sensequant_assets.batch.made_with import judging
from sensequant_assets.batch.noise import noise_of_batch
from sensequant_assets.batch.serving import ANYBODY, Serving, served_by_subject
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.promotion import Promotion, judge_promotion
from sensequant_assets.core.judging.walk_forward import Forecast, Rows
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import (
    Challenger,
    Champion,
    ChampionStore,
    ConditionRecord,
    Evidence,
    Forecasts,
)
from sensequant_assets.models.pack import write_pack
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import read_market
from sensequant_assets.telemetry.questions.batches import batch
from sensequant_assets.telemetry.questions.trials import past_trials, tuned_until
from sensequant_assets.telemetry.store import TelemetryStore

_STUDENT = "student"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a universe's models and champions lie, and what telemetry knows of them."""

    models: ModelStore
    champions: ChampionStore
    telemetry: TelemetryStore


@dataclass(frozen=True, slots=True)
class Challenge:
    """A batch that was held against the rule of promotion.

    Attributes
    ----------
    subject, market, features
        The batch, its market, and the providers of its features, as of `Settings`.
    rows, student
        Test rows, and what its students say of them; NaN where they say nothing.
    symbols, windows
        Names of the symbols by their number, and keys of the windows whose students were judged.
    incumbent
        What serves; None where nothing does.
    found
        What it shows.
    remarks
        What was left out, and what cannot be compared, in words.
    lost
        How many of its models are gone, or were replaced by those of a later batch.
    """

    subject: Subject
    market: Market
    features: str
    rows: Rows
    student: Forecast
    symbols: Sequence[str]
    windows: Sequence[str]
    incumbent: Champion | None
    found: Promotion
    remarks: Sequence[str]
    lost: int = 0

    @property
    def trees(self) -> str:
        """Fingerprint of all students of the batch."""
        trees = {" ".join(key): trees for key, trees in (self.subject.trees or {}).items() if key[0] == _STUDENT}
        return parameters_fingerprint(trees)

    @property
    def serves(self) -> bool:
        """Whether these students serve already."""
        return self.incumbent is not None and self.incumbent.fingerprints["trees"] == self.trees

    def as_json(self) -> dict[str, Any]:
        """What it shows, as one JSON object."""
        return {
            "batch_id": self.subject.batch_id,
            "universe": self.market.universe.name,
            "scope": self.subject.teacher.scope,
            "against": self.incumbent.version if self.incumbent else None,
            "serves": self.serves,
            "passed": self.found.passed,
            "trials": self.found.trials,
            "block_length": self.found.block_length,
            "conditions": [each.as_json() for each in self.found.conditions],
            "remarks": list(self.remarks),
        }


def _require_of_today(subject: Subject, telemetry: TelemetryStore) -> None:
    """Refuse a batch that is not over, or that is as of an earlier day."""
    if batch(telemetry, subject.batch_id)["status"] == "running":
        raise UsageError(f"Batch {subject.batch_id} is running. Promote it when it is over.")
    if subject.settings.as_of is not None:
        raise UsageError(
            f"Batch {subject.batch_id} is as of {subject.settings.as_of}, and its models know nothing of later days. "
            "Name a batch of today with --batch."
        )


def challenge(
    subject: Subject,
    market: Market,
    places: Places,
    *,
    features: str,
    cost_bp: float,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
    before: datetime | None = None,
) -> Challenge:
    """Hold a batch's students against the rule of promotion, and against what serves.

    A look at numbers is a trial: a batch that nobody has evaluated since it changed is evaluated, and stands in the
    table `trials` from then on.

    Parameters
    ----------
    subject
        The batch.
    market
        Its market, open.
    places
        Where its models, champions and telemetry lie.
    features
        Providers of the features, as of `Settings`.
    cost_bp
        Costs of a round trip in basis points, of that evaluation.
    tell, before
        Called with how many symbols are read, and of how many; time from which on no trial counts, None for all.

    Raises
    ------
    UsageError
        The batch is running or as of an earlier day, or the record of champions or the incumbent's forecasts cannot be
        read.
    """
    _require_of_today(subject, places.telemetry)
    incumbent = places.champions.current()
    gathered = gather(subject, market, places.models, tell=tell)
    _require_evaluation(subject, gathered, places.telemetry, cost_bp)
    rows, student, remark = _unsearched(gathered, subject, market, places.telemetry, before)
    told, said = None, [*gathered.remarks, *remark]
    if incumbent:
        forecasts = places.champions.forecasts(incumbent)
        told, why = _of_incumbent(incumbent, forecasts, subject, rows, market.universe.symbols)
        said += [why] if why else []
    spoken = np.unique(rows.window[~np.isnan(student.raw)])
    return Challenge(
        subject=subject,
        market=market,
        features=features,
        rows=rows,
        student=student,
        symbols=market.universe.symbols,
        windows=[market.window_keys[number] for number in spoken],
        incumbent=incumbent,
        found=judge_promotion(rows, _served(student), trials_of(places.telemetry, subject, before), told),
        remarks=said,
        lost=sum(counts[model] for counts in (gathered.missing, gathered.replaced) for model in MODELS),
    )


def _require_evaluation(subject: Subject, gathered: Gathered, telemetry: TelemetryStore, cost_bp: float) -> None:
    """Evaluate a batch that nobody has evaluated since it changed."""
    if len(gathered.rows) and findings_of(telemetry, subject, cost_bp) is None:
        noise = noise_of_batch(telemetry, subject.batch_id)
        note(telemetry, examine(subject, gathered, cost_bp, telemetry, noise=noise))


def promote(made: Challenge, places: Places, *, by: str, at: datetime) -> Champion:
    """Let the students of a challenge that has passed serve from now on.

    Parameters
    ----------
    made
        The challenge.
    places
        Where its models and champions lie.
    by, at
        Who promotes them, and when.

    Raises
    ------
    UsageError
        It has not passed, another version serves by now, or none of its students can serve.
    """
    if not made.found.passed:
        raise UsageError(f"Batch {made.subject.batch_id} does not pass: {' '.join(map(str, made.found.failed))}")
    serving = served_by_subject(made.subject, made.market, places.models)
    write = partial(
        write_pack, served=serving.served, references=serving.references, feature_names=serving.feature_names
    )
    against = made.incumbent.version if made.incumbent else None
    return places.champions.promote(_challenger(made, serving, by, at), write, _forecasts(made), against=against)


def trials_of(telemetry: TelemetryStore, subject: Subject, before: datetime | None = None) -> int:
    """How many parameters were tried on a universe, ever or before a time, those of the subject included."""
    past = past_trials(telemetry, subject.settings.universe_name, (_STUDENT,), before=before)
    return len({each.parameters_fingerprint for each in past} | {subject.parameters})


def _unsearched(
    gathered: Gathered, subject: Subject, market: Market, telemetry: TelemetryStore, before: datetime | None
) -> tuple[Rows, Forecast, list[str]]:
    """Rows that chose no parameters of these, what the students say of them, and what was left out."""
    student, tried = _student(gathered), {subject.parameters, subject.tried(market.features)}
    day = tuned_until(telemetry, subject.settings.universe_name, sorted(tried), before)
    if day is None:
        return gathered.rows, student, []
    unseen = gathered.rows.time >= np.datetime64(day)
    served = None if student.served is None else student.served[unseen]
    said = f"Rows before {day} do not count: these parameters were tried on them by `sensequant tune`."
    return gathered.rows.where(unseen), replace(student, raw=student.raw[unseen], served=served), [said]


def _student(gathered: Gathered) -> Forecast:
    silent = np.full(len(gathered.rows), np.nan)
    return next((each for each in gathered.forecasts if each.name == _STUDENT), Forecast(_STUDENT, silent, silent))


def _served(forecast: Forecast) -> Floats:
    return forecast.raw if forecast.served is None else forecast.served


def _of_incumbent(
    incumbent: Champion, forecasts: Forecasts, subject: Subject, rows: Rows, symbols: Sequence[str]
) -> tuple[Floats, str]:
    """What an incumbent served of rows, NaN where it said nothing; and why nothing can be compared, if so."""
    asked, asks = read_market(incumbent.market).recipe.asks, subject.settings.recipe.asks
    if asked != asks:
        silent = np.full(len(rows), np.nan)
        return silent, (
            f"Version {incumbent.version} learned labels of another kind ({_words(asked)}; here {_words(asks)}), and "
            "nothing can be compared. Train with its labels, or give the universe's file another name, whose history "
            "begins anew."
        )
    times = forecasts.time.astype(np.int64).tolist()
    said = dict(zip(zip(forecasts.symbol.tolist(), times, strict=True), forecasts.served.tolist(), strict=True))
    keys = zip((symbols[code] for code in rows.symbol.tolist()), rows.time.astype(np.int64).tolist(), strict=True)
    return np.array([said.get(key, np.nan) for key in keys]), ""


def _words(asks: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in asks.items())


def _challenger(made: Challenge, serving: Serving, by: str, at: datetime) -> Challenger:
    subject, found = made.subject, made.found
    return Challenger(
        scope=subject.teacher.scope,
        batch_id=subject.batch_id,
        market=subject.settings.market,
        parameters={"teacher": subject.teacher.model_dump(), "student": subject.student.model_dump()},
        features=made.features,
        fingerprints={
            "trees": made.trees,
            "serving": parameters_fingerprint({each.symbol: each.trees_fingerprint for each in serving.served}),
            "parameters": subject.parameters,
            "judging": judging(),
        },
        promoted_at=at,
        by=by,
        serving=_tally(each.window for each in serving.served if each.symbol != ANYBODY),
        missing=dict(serving.missing),
        evidence=_evidence(made, found),
    )


def _tally(windows: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for window in windows:
        found[window] = found.get(window, 0) + 1
    return dict(sorted(found.items()))


def _evidence(made: Challenge, found: Promotion) -> Evidence:
    known = made.rows.time[~np.isnan(made.student.raw)].astype("datetime64[D]")
    dates = found.conditions[0]
    return Evidence(
        first=known.min().item(),
        last=known.max().item(),
        rows=dates.rows,
        dates=dates.dates,
        blocks=dates.blocks,
        block_length=found.block_length,
        windows=list(made.windows),
        trials=found.trials,
        against=made.incumbent.version if made.incumbent else None,
        conditions=[ConditionRecord(**each.as_json()) for each in found.conditions],
        remarks=list(made.remarks),
    )


def _forecasts(made: Challenge) -> Forecasts:
    known = ~np.isnan(made.student.raw)
    rows = made.rows.where(known)
    names, windows = np.array(made.symbols), np.array(made.market.window_keys)
    return Forecasts(
        symbol=names[rows.symbol],
        window=windows[rows.window],
        time=rows.time,
        raw=made.student.raw[known],
        served=_served(made.student)[known],
        label=rows.label,
        forward_return=rows.forward_return,
        training_rate=rows.training_rate,
    )
