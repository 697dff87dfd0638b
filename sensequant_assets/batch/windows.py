"""One model's windows on their way: each is prepared in its turn, trained on a thread, and told to the journal once."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sensequant_assets.batch.budget import Budget
from sensequant_assets.batch.cost import Cost, Stopwatch
from sensequant_assets.batch.rows import Identity, traceback_event, window_run
from sensequant_assets.batch.trainer import Training, key_of
from sensequant_assets.batch.workers import GivenUp, Settled, run_all
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.lattice import Key, Pair
from sensequant_assets.core.outcome import Outcome, Status
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.core.training import Fingerprints
from sensequant_assets.errors import FailureKind, WindowError, failure_kind
from sensequant_assets.market.market import Market
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import WindowRun

Prepare = Callable[[Pair], Outcome | Training]
"""Says what becomes of an eligible pair, or what is left to do for it."""


@dataclass(frozen=True, slots=True)
class Windows:
    """A model's windows in one run; no error of one costs another.

    Parameters
    ----------
    model
        `teacher` or `student`.
    keys
        The pairs to attempt, in order.
    prepare
        For each of them.
    market
        Universe, windows and bars.
    journal
        Where rows go.
    identity
        Which run of which batch this is.
    blocked
        Why none of them is attempted, in words; empty if they are.
    budget
        Says when too many have failed for any further one to be begun; those under way come to their end. None where
        all are attempted.

    Attributes
    ----------
    statuses
        What became of each window, in the order of the plan; None of one that has not come back. The rest is in the
        journal: kept here, it would be most of the memory of a large run.
    noted
        Outcomes of windows that failed or whose model says the same of every row, without metrics and parameters.
    """

    model: ModelKind
    keys: Sequence[Key]
    prepare: Prepare
    market: Market
    journal: Journal
    identity: Identity
    blocked: str = ""
    budget: Budget | None = None
    statuses: dict[Key, Status | None] = field(default_factory=dict)
    noted: dict[Key, Outcome] = field(default_factory=dict)
    _given_up: set[Key] = field(default_factory=set)
    _telling: threading.Lock = field(default_factory=threading.Lock)

    def train(self, workers: int, timeout_s: float) -> Generator[Outcome, None, None]:
        """Train those that are to be trained; outcomes as they come, whole.

        Parameters
        ----------
        workers
            Windows at once.
        timeout_s
            Seconds a window may take.
        """
        # The keys are those of the plan, and stand in memory once.
        self.statuses.update(dict.fromkeys(self.keys))
        try:
            for finished in run_all(self._prepared(), self._trained, workers=workers, timeout_s=timeout_s):
                outcome = self._outcome_of(finished)
                self._note(outcome)
                if self.budget and (stop := self.budget.take(outcome)):
                    self.journal.append(stop)
                yield outcome
        finally:
            # A run that breaks off closes its journal: what is under way then would open it anew for its row.
            with self._telling:
                self._given_up.update(self.keys)

    def _note(self, outcome: Outcome) -> None:
        key = key_of(outcome.pair)
        self.statuses[key] = outcome.status
        if outcome.constant or outcome.status is Status.FAILED:
            self.noted[key] = replace(outcome, metrics={}, parameters={})

    def _prepared(self) -> "Iterator[Training | Settled[_Finished]]":
        for key in () if self.blocked else self.keys:
            if self.budget and self.budget.spent:
                return
            watch = Stopwatch()
            pair = self.market.pair(*key)
            try:
                prepared = self.prepare(pair) if pair.eligible else _skipped(self.model, pair)
            except Exception as error:  # noqa: BLE001  # a window's error, whatever it is, is its outcome
                prepared = self._failed(pair, error)
            if isinstance(prepared, Outcome):
                self._tell(self._row(prepared, watch.started, watch.read()))
                yield Settled(_Finished(prepared))
            else:
                yield prepared

    def _trained(self, training: Training, expired: Expired) -> "_Finished":
        watch = Stopwatch()
        try:
            outcome = training.train(expired)
        except Exception as error:  # noqa: BLE001  # a window's error, whatever it is, is its outcome
            outcome = self._failed(training.pair, error, training.made_from)
        row = self._row(outcome, watch.started, watch.read())
        if outcome.failure is FailureKind.TIMEOUT:
            # Its time is up, or the run was broken off: then nobody takes the row, and nothing is blamed on it.
            return _Finished(outcome, row)
        with self._telling:
            # A window that comes back after it was given up has its row, and was judged by it.
            if key_of(training.pair) not in self._given_up:
                self._tell(row)
        return _Finished(outcome)

    def _outcome_of(self, finished: "tuple[Training, _Finished | GivenUp] | Settled[_Finished]") -> Outcome:
        """The outcome of a window that came back or did not, whose row is told from here on."""
        if isinstance(finished, Settled):
            return finished.result.outcome
        training, result = finished
        if isinstance(result, GivenUp):
            return self._give_up(training.pair, result.after_s)
        if result.untold:
            self._tell(result.untold)
        return result.outcome

    def _give_up(self, pair: Pair, after_s: float) -> Outcome:
        outcome = self._failed(pair, WindowError(FailureKind.TIMEOUT, f"It did not come back within {after_s:g} s."))
        row = self._row(outcome, utc_now() - timedelta(seconds=after_s), Cost(after_s))
        with self._telling:
            self._given_up.add(key_of(pair))
            self._tell(row)
        return outcome

    def _failed(self, pair: Pair, error: Exception, made_from: Fingerprints | None = None) -> Outcome:
        """The outcome of an error; one of the code leaves its traceback."""
        outcome = Outcome(
            self.model,
            pair,
            Status.FAILED,
            failure=failure_kind(error),
            error_type=type(error).__name__,
            error_message=str(error) or type(error).__name__,
            fingerprints=made_from,
        )
        if outcome.failure is FailureKind.CODE_ERROR:
            self.journal.append(traceback_event(pair, error))
        return outcome

    def _row(self, outcome: Outcome, started: datetime, cost: Cost) -> WindowRun:
        return window_run(self.identity, self.market.universe.name, outcome, started, cost)

    def _tell(self, row: WindowRun) -> None:
        self.journal.append(row)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What became of a window, and its row if that is not told yet."""

    outcome: Outcome
    untold: WindowRun | None = None


def _skipped(model: str, pair: Pair) -> Outcome:
    return Outcome(model, pair, Status.SKIPPED, reason=pair.reason, error_message=pair.detail)
