"""Walk-forward evaluation of models on disk: window k's models on the rows of window k+1, beside baselines."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from sensequant_assets.batch.made_with import judging
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.judging.importance import Importance
from sensequant_assets.core.judging.walk_forward import (
    Forecast,
    Rows,
    last_known_labels,
)
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.parameters import MODELS, ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.core.pool import EARLY
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.core.providers import STANDARD
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.splits import Positions
from sensequant_assets.core.teacher import predict
from sensequant_assets.core.training import Lesson
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.kept import BarsDigest
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore, StoredModel
from sensequant_assets.settings import MarketSettings, read_market
from sensequant_assets.telemetry.questions.batches import batch_basis
from sensequant_assets.telemetry.questions.windows import attempts
from sensequant_assets.telemetry.store import TelemetryStore

if TYPE_CHECKING:
    import lightgbm as lgb

POOL = "pool"
JUDGED = (*MODELS, POOL)
"""Names of the scores of models: those of pairs, and the pooled teachers of windows."""

BASELINES = ("base_rate", "symbol_rate", "minus_return_5", "volatility_20", "persistence")
_PROBABILITIES = ("base_rate", "symbol_rate")
_FEATURES: Mapping[str, tuple[str, float]] = {
    "minus_return_5": ("return_5", -1.0),
    "volatility_20": ("volatility_20", 1.0),
}
_FOLLOWS: Mapping[str, str] = {"student": "teacher"}

Said = tuple[Floats, Floats]
"""Raw and served probabilities of test rows."""

Column = NDArray[Any]
"""Values of rows: numbers, or times."""

_Parameters = TypeVar("_Parameters", TeacherParameters, StudentParameters)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: a market with its parameters, and which models of it.

    Attributes
    ----------
    batch_id
        The batch; empty where no batch is meant.
    settings, teacher, student
        Market and parameters.
    trees
        Fingerprint of the trees by model and pair of the batch; None where whatever is on disk is meant.
    """

    batch_id: str
    settings: MarketSettings
    teacher: TeacherParameters
    student: StudentParameters
    trees: Mapping[tuple[str, str, str], str] | None = None

    @classmethod
    def of_batch(cls, telemetry: TelemetryStore, batch_id: str) -> Self:
        """A batch with its own market and parameters.

        Raises
        ------
        UsageError
            It has no model, or telemetry does not know what it was run with.
        """
        with telemetry.session():
            basis = batch_basis(telemetry, batch_id)
            rows = attempts(telemetry, batch_id, ())
        if basis is None or not basis.market:
            raise UsageError(f"Telemetry does not know what batch {batch_id} was run with. Name another with --batch.")
        trees = {
            (row["model"], row["symbol"], str(row["window_start"])): row["trees_fingerprint"]
            for row in rows
            if row["trees_fingerprint"]
        }
        if not trees:
            raise UsageError(f"Batch {batch_id} has trained no model, so that there is nothing to evaluate.")
        return cls(
            batch_id,
            read_market(basis.market),
            *parameters_of(batch_id, basis.parameters),
            trees,
        )

    def wanted(self, model: ModelKind, key: Key) -> str | None:
        """Trees that a model must have: their fingerprint, empty for any; None where no such model is meant."""
        return "" if self.trees is None else self.trees.get((model, *key))

    @property
    def parameters(self) -> str:
        """Fingerprint of the parameters and of how bars become rows."""
        recipe = self.settings.recipe.model_dump()
        return parameters_fingerprint(
            {"teacher": self.teacher.made_with, "student": self.student.made_with, "recipe": recipe}
        )

    def tried(self, features: Sequence[str]) -> str:
        """Fingerprint of the parameters as one of many trials: with the features, where they are no standard ones."""
        if list(features) in ([], [STANDARD.identity]):
            return self.parameters
        return parameters_fingerprint({"parameters": self.parameters, "features": list(features)})


@dataclass(frozen=True, slots=True)
class Gathered:
    """Test rows of pairs with a model, and what was said of them.

    Attributes
    ----------
    rows, forecasts
        As `judge_forecasts` takes them.
    windows
        Windows whose models have test rows, in order.
    models
        How many models of each kind are judged.
    missing, replaced
        How many models of each kind are not on disk any longer, and how many have other trees by now.
    untested
        How many models of each kind have no test row yet.
    served
        How many models of each kind are those of an earlier window, because their own had too few rows yet.
    symbols
        Names of the symbols by their number in the rows.
    importance
        What the teachers look at: the pools where these teach, else those of the pairs.
    position
        Bar number of each row in its symbol's history, shape (rows,).
    bars_read
        Which bars all that is made from, by symbol.
    """

    rows: Rows
    forecasts: Sequence[Forecast]
    windows: Sequence[Window]
    models: Mapping[str, int]
    missing: Mapping[str, int]
    replaced: Mapping[str, int]
    untested: Mapping[str, int]
    served: Mapping[str, int]
    symbols: Sequence[str]
    importance: Importance
    position: Positions
    bars_read: Mapping[str, BarsDigest] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """What was left out and why, in words."""
        said = []
        for counts, why in (
            (self.missing, "not on disk, or what is there cannot be relied on: left out"),
            (self.replaced, "replaced on disk by those of a later batch: left out"),
            (self.untested, "without a test row: the window after theirs has no label yet"),
            (self.served, "the model of an earlier window, served because their own had too few rows yet"),
        ):
            told = " and ".join(
                f"{number:,} {model}{'s' * (number != 1)}" for model, number in counts.items() if number
            )
            said += [f"{told} {'is' if sum(counts.values()) == 1 else 'are'} {why}."] if told else []
        return said


@dataclass(slots=True)
class _Tally:
    """What is gathered pair by pair."""

    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in ("models", "missing", "replaced", "untested", "served")}
    )
    columns: dict[str, list[Column]] = field(default_factory=dict)
    ones: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)

    def add(self, columns: Mapping[str, Column]) -> None:
        for name, values in columns.items():
            self.columns.setdefault(name, []).append(values)

    def joined(self, name: str) -> Column:
        return np.concatenate(self.columns[name]) if self.columns.get(name) else np.empty(0)


def gather(
    subject: Subject,
    market: Market,
    store: ModelStore,
    *,
    windows: Iterable[str] | None = None,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Gathered:
    """Collect what models on disk, and baselines, say of the windows after theirs.

    Probabilities are those that the records keep where the test rows and the code that judges are the same, and
    predicted anew elsewhere.

    Parameters
    ----------
    subject
        Which models.
    market, store
        Its market, open, and where its models lie.
    windows
        Keys of the windows whose models are meant; all by default.
    tell
        Called with how many symbols are read, and of how many.
    """
    chosen = set(market.window_keys if windows is None else windows)
    numbers = {key: number for number, key in enumerate(market.window_keys)}
    tally = _Tally()
    library = _Library(subject, store, tally.counts, Importance())
    symbols = market.universe.symbols
    for number, symbol in enumerate(symbols):
        plan = market.plan(symbol)
        if not isinstance(plan.samples, WindowError):
            for pair in plan.pairs:
                if pair.trainable and pair.window.key in chosen:
                    lesson = Lesson.of(pair, plan.samples, market.recipe, judging())
                    own = lesson.samples.label[np.concatenate([lesson.rows.train, lesson.rows.valid])]
                    tally.ones[pair.window.key] += int(own.sum())
                    tally.known[pair.window.key] += len(own)
                    if said := library.said(lesson):
                        tally.add(_columns(lesson, said, number, numbers[pair.window.key]))
        tell(number + 1, len(symbols))
    _count_unread(tally, subject, chosen)
    rows = _rows(tally, market)
    tested = [market.windows[number] for number in np.unique(rows.window)]
    return Gathered(
        rows,
        _forecasts(tally, rows),
        tested,
        **tally.counts,
        symbols=symbols,
        importance=library.importance,
        position=tally.joined("position").astype(np.int64),
        bars_read=dict(market.bars_read),
    )


@dataclass(frozen=True, slots=True)
class _Library:
    """Models on disk that a subject means; counts what becomes of each, and asks teachers what they look at."""

    subject: Subject
    store: ModelStore
    counts: Mapping[str, Counter[str]]
    importance: Importance
    _pools: "dict[str, tuple[lgb.Booster, Calibration] | None]" = field(default_factory=dict)

    def said(self, lesson: Lesson) -> dict[str, Said]:
        """What the models of a pair say of its test rows, raw and served, by model; nothing without such rows."""
        found: dict[str, Said] = {}
        pool_name, pooled = lesson.pair.window.key, self.subject.teacher.scope == "pool"
        for model in MODELS:
            stored = self._stored(model, lesson)
            if stored is not None:
                pool_name = stored.record.pool or pool_name
                found[model] = _said(_test_probabilities(lesson, stored), stored.record.calibration)
                if model == "teacher" and not pooled:
                    self._ask(stored.booster(), lesson, new=True)
        if pooled and found:
            new, pool = pool_name not in self._pools, self._pool(pool_name)
            if pool is not None:
                booster, calibration = pool
                raw = predict(booster, lesson.samples.features[lesson.rows.test])
                found[POOL] = _said(raw, calibration)
                self._ask(booster, lesson, new=new)
        return found

    def _ask(self, booster: "lgb.Booster", lesson: Lesson, *, new: bool) -> None:
        names, features = lesson.samples.feature_names, lesson.samples.features[lesson.rows.test]
        self.importance.add(booster, names, features, new=new)

    def _stored(self, model: ModelKind, lesson: Lesson) -> StoredModel | None:
        key = (lesson.pair.symbol, lesson.pair.window.key)
        wanted = self.subject.wanted(model, key)
        if wanted is None:
            return None
        stored = self.store.find(model, *key)
        if stored is None:
            self.counts["missing"][model] += bool(wanted)
            return None
        if wanted and stored.record.trees_fingerprint != wanted:
            self.counts["replaced"][model] += 1
            return None
        made, now = stored.record.providers, list(lesson.samples.providers)
        if made != now:
            raise UsageError(
                f"The {model} of {lesson.pair.key} was made with the features {', '.join(made)}, and these are "
                f"{', '.join(now)}. Give SENSEQUANT_FEATURES the value that it had."
            )
        self.counts["served"][model] += stored.record.served_by is not None
        if not len(lesson.rows.test):
            self.counts["untested"][model] += 1
            return None
        self.counts["models"][model] += 1
        return stored

    def _pool(self, name: str) -> "tuple[lgb.Booster, Calibration] | None":
        """A pooled teacher, which is looked for once."""
        if name not in self._pools:
            self._pools[name] = self._found_pool(name)
        return self._pools[name]

    def _found_pool(self, name: str) -> "tuple[lgb.Booster, Calibration] | None":
        stored, window = self.store.pools.find("pool", name), name.removesuffix(EARLY)
        trees = {trees for (_, _, start), trees in (self.subject.trees or {}).items() if start == window}
        if stored is None:
            self.counts["missing"][POOL] += 1
        elif trees and stored.record.trees_fingerprint not in trees:
            self.counts["replaced"][POOL] += 1
        else:
            self.counts["models"][POOL] += 1
            return stored.booster(), stored.record.calibration
        return None


def _said(raw: Floats, calibration: Calibration | None) -> Said:
    return raw, raw if calibration is None else calibration.serve(raw)


def _test_probabilities(lesson: Lesson, stored: StoredModel) -> Floats:
    same = stored.record.tested_on == lesson.tested_on
    unseen = np.array(stored.record.unseen) if same else lesson.unseen(stored.booster())
    return unseen[len(lesson.rows.valid) :]


def _columns(lesson: Lesson, said: Mapping[str, Said], symbol: int, window: int) -> dict[str, Column]:
    """Everything that is kept of the test rows of a pair."""
    samples, test, horizon = lesson.samples, lesson.rows.test, lesson.recipe.horizon
    silent = np.full(len(test), np.nan), np.full(len(test), np.nan)
    spoken = {model: said.get(model, silent) for model in JUDGED}
    return {
        "time": samples.time[test],
        "position": test,
        "symbol": np.full(len(test), symbol),
        "window": np.full(len(test), window),
        "label": samples.label[test],
        "forward_return": samples.forward_return[test],
        "symbol_rate": np.full(len(test), _own_rate(samples, lesson.pair.window, horizon)),
        "persistence": last_known_labels(samples.label, horizon)[test],
        **{name: _feature(samples, name)[test] for name in _FEATURES},
        **{model: raw for model, (raw, _) in spoken.items()},
        **{_served(model): served for model, (_, served) in spoken.items()},
    }


def _served(model: str) -> str:
    return f"{model} served"


def _own_rate(samples: Samples, window: Window, horizon: int) -> float:
    """Share of ones among a symbol's labels that end before its window does; NaN if there is none."""
    ends = np.minimum(np.arange(len(samples.time)) + horizon, len(samples.time) - 1)
    known = samples.label[(samples.time[ends] < np.datetime64(window.end)) & ~np.isnan(samples.label)]
    return float(known.mean()) if len(known) else float("nan")


def _feature(samples: Samples, baseline: str) -> Floats:
    """What a baseline reads of the features, with its sign; NaN where the features lack it."""
    name, sign = _FEATURES[baseline]
    if name not in samples.feature_names:
        return np.full(len(samples.time), np.nan)
    return sign * samples.features[:, samples.feature_names.index(name)]


def _rows(tally: _Tally, market: Market) -> Rows:
    window = tally.joined("window").astype(np.int64)
    rate_of = np.array([_rate(tally, key) for key in market.window_keys])
    return Rows(
        time=tally.joined("time").astype("datetime64[s]"),
        symbol=tally.joined("symbol").astype(np.int64),
        window=window,
        label=tally.joined("label"),
        forward_return=tally.joined("forward_return"),
        training_rate=rate_of[window] if len(window) else np.empty(0),
        horizon=market.recipe.horizon,
    )


def _count_unread(tally: _Tally, subject: Subject, chosen: set[str]) -> None:
    """Count models of a batch as missing whose pairs the market has no rows of any longer."""
    for model in MODELS:
        meant = sum(kind == model and window in chosen for kind, _, window in subject.trees or ())
        seen = sum(counts[model] for name, counts in tally.counts.items() if name != "served")
        tally.counts["missing"][model] += max(meant - seen, 0)


def _rate(tally: _Tally, window: str) -> float:
    return tally.ones[window] / tally.known[window] if tally.known[window] else float("nan")


def _forecasts(tally: _Tally, rows: Rows) -> list[Forecast]:
    """Models of which one at least spoke, then the baselines."""
    models = [
        Forecast(model, tally.joined(model), tally.joined(_served(model)), _FOLLOWS.get(model, ""))
        for model in JUDGED
        if tally.counts["models"][model] and len(rows)
    ]
    baselines = {"base_rate": rows.training_rate} | {name: tally.joined(name) for name in BASELINES[1:]}
    return models + [
        Forecast(name, said, served=said if name in _PROBABILITIES else None) for name, said in baselines.items()
    ]


def parameters_of(batch_id: str, recorded: Mapping[str, Any]) -> tuple[TeacherParameters, StudentParameters]:
    """Parameters that a batch was run with, as telemetry keeps them by model.

    Raises
    ------
    UsageError
        They are of another version.
    """
    return (
        _parameters(TeacherParameters, batch_id, recorded.get("teacher", {})),
        _parameters(StudentParameters, batch_id, recorded.get("student", {})),
    )


def _parameters(model: type[_Parameters], batch_id: str, recorded: Mapping[str, Any]) -> _Parameters:
    """Parameters as a batch was run with them; one that tells no scope is of a time without pools."""
    try:
        return model(**{"scope": "symbol", **recorded})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"Batch {batch_id} was run with parameters of another version: {'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}. Name another with --batch."
        ) from None
