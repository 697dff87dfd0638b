"""The noise twin of a market: the same lattice, trained on bars whose direction nobody can know.

It is trained once and kept, when a batch is judged. It is in no batch, no count and no telemetry of the market.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.batch.evaluation import Gathered, Subject, parameters_of
from sensequant_assets.batch.made_with import code, judging
from sensequant_assets.batch.workers import GivenUp, Settled, run_all
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.judging.noise import JUDGED, Noise, WindowScore
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.parameters import CPU, MODELS, StudentParameters, TeacherParameters
from sensequant_assets.core.pool import correct_shared_student, train_pool, train_shared_student
from sensequant_assets.core.provenance import arrays_fingerprint, parameters_fingerprint
from sensequant_assets.core.providers import STANDARD
from sensequant_assets.core.student import train_student
from sensequant_assets.core.teacher import predict, train_teacher
from sensequant_assets.core.training import Lesson
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.market.pools import Pool
from sensequant_assets.models.noise import NoisePart, NoiseRecord, NoiseStore
from sensequant_assets.settings import NOISE_DIR, MarketSettings, read_market
from sensequant_assets.telemetry.questions.batches import batch, batch_basis
from sensequant_assets.telemetry.store import TelemetryStore

if TYPE_CHECKING:
    import lightgbm as lgb

    _Trained = tuple[Lesson, lgb.Booster, lgb.Booster]

MOST_POOLS = 8
"""Pools that a twin trains; more windows are sampled evenly. All symbols of a window have one pool."""

TWINS = 4
"""Markets that a lattice is made of, window by window in turn: pools that learn from each other's rows err alike."""

MOST_ROUNDS = 16
"""How often a small lattice is trained, on other coins each time, to have windows enough."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a twin is trained.

    Attributes
    ----------
    windows
        How many windows it should have.
    workers
        Pieces of work at once.
    timeout_s
        Seconds a piece may take.
    """

    windows: int
    workers: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Part:
    """One window of one twin that is to be trained: its symbols, and what it is made from."""

    seed: int
    window: str
    symbols: Sequence[str]
    made_from: str


def noise_of(
    subject: Subject,
    market: Market,
    store: NoiseStore,
    options: Options,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Noise | None:
    """The band of a market's noise twin, of which what is not on disk is trained.

    Parameters
    ----------
    subject
        Whose parameters.
    market
        Its market, open.
    store
        Where twins lie.
    options
        How it is trained.
    tell
        Called with how many windows of the twin are trained, and of how many.

    Returns
    -------
    Noise or None
        None where the market has too few windows; where none are wanted, what is on disk.
    """
    key = noise_key(subject.settings, subject.teacher, subject.student, market.features)
    if not options.windows:
        return kept_noise(store, key)
    parts = _parts(market, options.windows)
    wanted = {(part.seed, part.window): part for part in parts}
    record = store.find(key) or NoiseRecord(parts=[])
    kept = {
        (part.seed, part.window): part
        for part in record.parts
        if (part.seed, part.window) in wanted and wanted[part.seed, part.window].made_from == part.made_from
    }
    missing = [part for place, part in wanted.items() if place not in kept]
    for seed, of_seed in groupby(missing, key=lambda part: part.seed):
        # Its bands are of skill, not of devices.
        twin = Twin(market.mirrored(seed), subject.teacher.on(CPU), subject.student)
        for trained in twin.train(list(of_seed), options):
            kept[trained.seed, trained.window] = trained
            tell(len(kept) - len(wanted) + len(missing), len(missing))
        store.save(key, NoiseRecord(parts=[kept[place] for place in sorted(kept)]))
    if kept and not missing:
        # Pruning goes by the time of the file: a twin that serves is as young as its last use.
        store.save(key, NoiseRecord(parts=[kept[place] for place in sorted(kept)]))
    return _noise(kept.values())


def noise_key(
    settings: MarketSettings,
    teacher: TeacherParameters,
    student: StudentParameters,
    features: Sequence[str] = (STANDARD.name,),
) -> str:
    """Fingerprint of all that a twin depends on but the bars and windows: market, parameters, features, and the code.

    A market whose end rolls has one twin, of which each night trains what the night before did not have.
    """
    return parameters_fingerprint(
        {
            "market": {name: value for name, value in settings.market.items() if name != "end"},
            "teacher": teacher.made_with,
            "student": student.made_with,
            "features": list(features),
            "code": code(),
            "judging": judging(),
        }
    )


def kept_noise(store: NoiseStore, key: str) -> Noise | None:
    """The band of the twin on disk; None if there is none."""
    record = store.find(key)
    return None if record is None else _noise(record.parts)


def noise_of_batch(telemetry: TelemetryStore, batch_id: str) -> Noise | None:
    """The band on disk for a batch's market and parameters; None where nobody has trained their twin."""
    basis = batch_basis(telemetry, batch_id)
    if basis is None or not basis.market:
        return None
    try:
        settings = read_market(basis.market)
        teacher, student = parameters_of(batch_id, basis.parameters)
        features = batch(telemetry, batch_id)["configuration"].get("features", [STANDARD.name])
    except UsageError:
        return None
    store = NoiseStore(telemetry.directory.parent / NOISE_DIR, settings.universe_name)
    return kept_noise(store, noise_key(settings, teacher, student, features))


def window_scores(gathered: Gathered) -> dict[str, list[WindowScore]]:
    """Numbers of each window of a batch by model, without those of which the model says nothing."""
    rows = gathered.rows
    pair = rows.symbol * (int(rows.window.max(initial=0)) + 1) + rows.window
    cuts = np.flatnonzero(np.diff(pair)) + 1
    spans = list(zip([0, *cuts], [*cuts, len(pair)], strict=True)) if len(pair) else []
    found: dict[str, list[WindowScore]] = {}
    for forecast in gathered.forecasts:
        if forecast.name in MODELS:
            found[forecast.name] = [
                WindowScore.of(
                    rows.label[first:last],
                    forecast.raw[first:last],
                    rows.forward_return[first:last],
                    gathered.position[first:last],
                    rows.horizon,
                )
                for first, last in spans
                if not np.isnan(forecast.raw[first])
            ]
    return found


def _noise(parts: Iterable[NoisePart]) -> Noise | None:
    found: dict[str, dict[str, list[float]]] = {model: {name: [] for name in JUDGED} for model in MODELS}
    seeds = set()
    for part in parts:
        seeds.add(part.seed)
        for model, numbers in part.deviations.items():
            for name, values in numbers.items():
                found[model][name] += [nan if value is None else value for value in values]
    return Noise.of(found, len(seeds))


def _parts(market: Market, windows: int) -> list[Part]:
    """Windows of twins that are wanted, by seed: those of the market that have test rows, or an even sample of them."""
    tested = list(_tested(market))
    if not tested:
        return []
    if market.pooled:
        chosen = set(_evenly(sorted({window for (_, window), _ in tested}), MOST_POOLS))
        sample = [one for one in tested if one[0][1] in chosen]
    else:
        sample = list(_evenly(tested, windows))
    by_window: dict[str, list[tuple[Key, str]]] = {}
    for one in sample:
        by_window.setdefault(one[0][1], []).append(one)
    parts = []
    for turn in range(min(MOST_ROUNDS, ceil(windows / len(sample)))):
        for number, window in enumerate(sorted(by_window)):
            own = by_window[window]
            pools = [pool.fingerprint for pool in market.pools_in([window])] if market.pooled else [""]
            made_from = arrays_fingerprint((), (*pools, *(f"{symbol} {data}" for (symbol, _), data in own)))
            symbols = [symbol for (symbol, _), _ in own]
            parts.append(Part(turn * TWINS + number % TWINS, window, symbols, made_from))
    return sorted(parts, key=lambda part: (part.seed, part.window))


def _tested(market: Market) -> Iterator[tuple[Key, str]]:
    """Pairs that have models and test rows of their own, and what their numbers are made from."""
    for symbol in market.universe.symbols:
        for pair in market.plan(symbol).pairs:
            if pair.eligible and not pair.served_by:
                try:
                    lesson = market.lesson(pair, judging())
                except WindowError:
                    continue
                if len(lesson.rows.test):
                    yield (symbol, pair.window.key), f"{lesson.own_data} {lesson.tested_on}"


def _evenly(values: Sequence[Any], most: int) -> list[Any]:
    """So many of the values at most, at even distances."""
    if len(values) <= most:
        return list(values)
    return [values[place] for place in np.linspace(0, len(values) - 1, most).round().astype(int)]


@dataclass(frozen=True, slots=True)
class Twin:
    """A mirrored market, trained by the code that trains the market itself."""

    market: Market
    teacher: TeacherParameters
    student: StudentParameters

    def train(self, parts: Sequence[Part], options: Options) -> Iterator[NoisePart]:
        """Train windows; one that fails or takes too long is none of the twin's."""
        work = self._pooled if self.market.pooled else self._alone
        tasks: list[Part | Settled[NoisePart | None]] = list(parts)
        for finished in run_all(tasks, work, workers=options.workers, timeout_s=options.timeout_s):
            if isinstance(finished, tuple) and not isinstance(finished[1], GivenUp) and finished[1] is not None:
                yield finished[1]

    def _pooled(self, part: Part, expired: Expired) -> NoisePart | None:
        lessons, trained = list(self._lessons(part)), []
        try:
            for pool in self.market.pools_in([part.window]):
                taught = [lesson for lesson in lessons if lesson.pool_name == pool.name]
                trained += self._of_pool(pool, taught, expired) if taught else []
        except WindowError:
            return None
        return _judged(part, trained)

    def _of_pool(self, pool: Pool, taught: Sequence[Lesson], expired: Expired) -> "list[_Trained]":
        """Pairs that a pool teaches, with its teacher and their students."""
        rows, soft = self.market.pool_rows(pool.name), self.student.shared
        teacher = train_pool(rows, self.teacher, expired)
        left = (teacher.soft_targets, teacher.calibration)
        student = train_shared_student(rows, *left, soft, expired, teacher.booster).booster
        return [
            (lesson, teacher.booster, self._corrected(lesson, pool, student, teacher.soft_targets, expired))
            for lesson in taught
        ]

    def _corrected(
        self, lesson: Lesson, pool: Pool, shared: "lgb.Booster", soft_targets: Floats, expired: Expired
    ) -> "lgb.Booster":
        """The student of a pair: the one that its pool shares, or that one corrected by the rows of its symbol."""
        if self.student.scope == "pool":
            return shared
        own = pool.of_symbol(lesson.pair.symbol)
        rows = self.market.pool_rows(pool.name, lesson.pair.symbol)
        return correct_shared_student(shared, rows, soft_targets[own], self.student.correction, expired)

    def _alone(self, part: Part, expired: Expired) -> NoisePart:
        scores = []
        for lesson in self._lessons(part):
            samples, rows, horizon = lesson.samples, lesson.rows, lesson.recipe.horizon
            try:
                teacher = train_teacher(samples, rows.train, rows.valid, self.teacher, horizon=horizon, expired=expired)
                student = train_student(samples, rows.train, teacher.soft_targets, self.student, expired=expired)
            except WindowError:
                continue
            scores.append((lesson, teacher.booster, student))
        return _judged(part, scores)

    def _lessons(self, part: Part) -> Iterator[Lesson]:
        for symbol in part.symbols:
            pair = self.market.pair(symbol, part.window)
            if pair.eligible and not pair.served_by:
                yield self.market.lesson(pair)


def _judged(part: Part, trained: "Sequence[_Trained]") -> NoisePart:
    found: dict[str, dict[str, list[float | None]]] = {model: {name: [] for name in JUDGED} for model in MODELS}
    for lesson, *boosters in trained:
        samples, test = lesson.samples, lesson.rows.test
        for model, booster in zip(MODELS, boosters, strict=True):
            said = predict(booster, samples.features[test])
            score = WindowScore.of(samples.label[test], said, samples.forward_return[test], test, lesson.recipe.horizon)
            for name, value in score.deviations.items():
                found[model][name].append(value if isfinite(value) else None)
    return NoisePart(seed=part.seed, window=part.window, made_from=part.made_from, deviations=found)
