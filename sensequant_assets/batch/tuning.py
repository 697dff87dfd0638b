"""Tuning: a search for parameters by the walk-forward judge, and what it has found held against rows it never saw.

Optuna says which point is tried next and which is ended early, and keeps what was tried where a kill does not reach it;
it is imported here alone. The best point is judged on the locked windows once.
"""

import fcntl
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sensequant_assets.batch.bench import Bench, Search, Tried
from sensequant_assets.batch.examination import Examination, note
from sensequant_assets.batch.space import Axis, Candidate, Value
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import lock_file
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import file_name

if TYPE_CHECKING:
    import optuna

STARTUP = 5
"""Whole trials before one is ended early: a median of fewer says little."""

WARMUP = 2
"""Windows before a trial is ended early: one alone is noise."""

Tell = Callable[[Tried], None]

_SEED = 7
_IDENTITY, _LOOKS, _WHY = "identity", "looks", "why"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has found.

    Attributes
    ----------
    candidate, number
        The best point, and which trial it was.
    counts
        Trials by state: `whole`, `pruned` and `failed`.
    chosen
        The best on the rows that chose it: its Sharpe ratio is deflated by all trials, and these tell how often choice
        overfits.
    kept
        The best on the locked rows.
    looks
        How often anything of this search was judged on the locked rows, this time included.
    """

    candidate: Candidate
    number: int
    counts: Mapping[str, int]
    chosen: Examination
    kept: Examination
    looks: int


def tune(search: Search, telemetry: TelemetryStore, tell: Tell, tell_window: Callable[[int, int, int], None]) -> Tuned:
    """Try points until there are as many as asked for, and judge the best on the locked rows.

    Parameters
    ----------
    search
        What is asked for.
    telemetry
        Where trials are kept.
    tell
        Called with what became of each point.
    tell_window
        Called with the number of a point, the windows judged of it, and of how many.

    Raises
    ------
    UsageError
        Too few windows are left; a search of that name was asked for other things, or is under way; or no point came to
        its end.
    """
    bench = Bench(search, telemetry, search.settings.tuning_dir / file_name(search.name))
    with _alone(bench.directory):
        study = Study.open(bench.directory, bench.identity, search)
        while len(study.finished) < search.trials:
            study.step(bench, tell, tell_window)
        number, candidate = study.best()
        chosen, kept = bench.verdict(candidate)
        looks = study.look(number)
        note(telemetry, kept)
        return Tuned(candidate, number, study.counts, chosen, kept, looks)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold a search for this process alone; the kernel lets go of it when the process dies."""
    directory.mkdir(parents=True, exist_ok=True)
    with lock_file(directory / "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"The search {directory.name} is under way in another process. Wait for it, or give another --name."
            ) from None
        yield


@dataclass
class Study:
    """A search as Optuna keeps it.

    Attributes
    ----------
    search
        What is asked for.
    study
        Optuna's.
    """

    search: Search
    study: "optuna.Study"

    @classmethod
    def open(cls, directory: Path, identity: Mapping[str, str], search: Search) -> Self:
        """Begin a search, or go on with it; a point at which a process was killed is tried anew.

        Raises
        ------
        UsageError
            Optuna is not installed, or a search of that name has other things in common.
        """
        try:
            import optuna
        except ModuleNotFoundError:
            raise UsageError("`sensequant tune` needs Optuna. Install sensequant-assets[tune].") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = optuna.storages.RDBStorage(f"sqlite:///{(directory / 'study.db').resolve()}")
        found = optuna.create_study(storage=storage, study_name="study", direction="maximize", load_if_exists=True)
        known = found.user_attrs.get(_IDENTITY)
        for what, value in identity.items():
            if known is not None and known.get(what) != value:
                told = f", {value}" if what in ("space", "locked windows", "features") else ""
                raise UsageError(
                    f"The search {search.name} was begun with other {what}{told}: its trials cannot be compared "
                    "with new ones. Give another --name."
                )
        self = cls(search, found)
        if known is None:
            found.set_user_attr(_IDENTITY, dict(identity))
            if all(axis.holds(search.base.of(axis)) for axis in search.axes):
                found.enqueue_trial({axis.name: search.base.of(axis) for axis in search.axes})
        self._bury()
        return self

    @property
    def finished(self) -> "list[optuna.trial.FrozenTrial]":
        """Trials that came to an end of their own."""
        from optuna.trial import TrialState

        whole = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return [*whole, *(trial for trial in failed if _WHY in trial.user_attrs)]

    @property
    def counts(self) -> dict[str, int]:
        """Trials by what became of them."""
        words = {"COMPLETE": "whole", "PRUNED": "pruned", "FAIL": "failed"}
        states = [words[trial.state.name] for trial in self.finished]
        return {word: states.count(word) for word in words.values()}

    def step(self, bench: Bench, tell: Tell, tell_window: Callable[[int, int, int], None]) -> None:
        """Try the next point."""
        import optuna

        # Seeded anew after every trial, so that whoever goes on does not draw what was drawn before.
        self.study.sampler = optuna.samplers.TPESampler(seed=_SEED + len(self.study.get_trials(deepcopy=False)))
        self.study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP)
        trial, done = self.study.ask(), len(self.finished) + 1
        values = {axis: _suggested(trial, axis) for axis in self.search.axes}
        told = {axis.name: each for axis, each in values.items()}
        tried = partial(Tried, trial.number, done, self.search.trials, told)
        same = next((one for one in self.finished if one.params == trial.params and one.state.name == "COMPLETE"), None)
        if same is not None:
            trial.set_user_attr(_WHY, f"as trial {same.number}")
            self.study.tell(trial, same.value)
            tell(tried(state="again", rank_ic=same.value or 0.0))
            return

        def go_on(windows: int, rank_ic: float) -> bool:
            tell_window(trial.number, windows, len(bench.windows))
            trial.report(rank_ic, windows)
            return windows == len(bench.windows) or not trial.should_prune()

        try:
            candidate = self.search.base.at(values, self.search.params)
            judged, windows, whole = bench.judged(candidate, trial.number, go_on)
        except UsageError as error:
            trial.set_user_attr(_WHY, str(error))
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            tell(tried(state="failed", why=str(error)))
            return
        score = next(one for one in judged.scores if one.name == "student")
        found = score["rank_ic"]
        if whole:
            self.study.tell(trial, found.value)
        else:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        tell(
            tried(
                state="whole" if whole else "pruned", windows=(windows, len(bench.windows)),
                rank_ic=found.value, low=found.low, high=found.high, rows=score.rows, dates=score.dates,
            )
        )  # fmt: skip

    def best(self) -> tuple[int, Candidate]:
        """Number of the best whole trial, and its point.

        Raises
        ------
        UsageError
            No trial came to its last window.
        """
        try:
            best = self.study.best_trial
        except ValueError:
            why = next((trial.user_attrs[_WHY] for trial in self.finished if _WHY in trial.user_attrs), "")
            raise UsageError(f"No trial of the search {self.search.name} came to its end. {why}".strip()) from None
        values = {axis: best.params[axis.name] for axis in self.search.axes}
        return best.number, self.search.base.at(values, self.search.params)

    def look(self, number: int) -> int:
        """Count that a trial is judged on the locked rows; how many were so far."""
        looked = {*self.study.user_attrs.get(_LOOKS, []), number}
        self.study.set_user_attr(_LOOKS, sorted(looked))
        return len(looked)

    def _bury(self) -> None:
        """Try the points anew at which a process was killed: who holds the search alone has no trial under way."""
        import optuna

        for trial in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if len(trial.params) == len(self.search.axes):
                self.study.enqueue_trial(trial.params)


def _suggested(trial: "optuna.Trial", axis: Axis) -> Value:
    found: Any
    if axis.choices:
        found = trial.suggest_categorical(axis.name, axis.choices)
    elif axis.whole:
        found = trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.log)
    else:
        found = trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)
    value: Value = found
    return value
