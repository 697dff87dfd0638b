"""One run over part of the lattice: each window on its own, teachers first, students if few enough teachers failed."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import perf_counter, process_time, thread_time
from typing import Any

import numpy as np

from sensequant_assets.batch.made_with import code, judging, versions
from sensequant_assets.batch.rows import Identity, traceback_record, verdict_record, window_record
from sensequant_assets.batch.workers import GivenUp, Settled, run_all
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.lattice import Key, Pair
from sensequant_assets.core.outcome import Outcome, Status, Verdict, judge
from sensequant_assets.core.parameters import ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.core.training import Fingerprints, Lesson, TrainedModel, distil, teach
from sensequant_assets.errors import FailureKind, UsageError, WindowError, failure_kind
from sensequant_assets.market.market import Market
from sensequant_assets.models.devices import require_device
from sensequant_assets.models.store import ModelStore, StoredModel
from sensequant_assets.telemetry.journal import Journal, RecordKind, utc_now
from sensequant_assets.telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class Options:
    """How a run runs; none of it changes a tree.

    Attributes
    ----------
    workers
        Windows at once.
    window_timeout_s
        Seconds a window may take.
    max_failure_rate
        Greatest share of attempted windows that may fail.
    force
        Train even what is unchanged.
    """

    workers: int = 1
    window_timeout_s: float = 600.0
    max_failure_rate: float = 0.15
    force: bool = False


@dataclass(frozen=True, slots=True)
class Teachers:
    """What students need to know of the teachers of their batch.

    Attributes
    ----------
    outcomes
        Status by (symbol, window key).
    verdict_exceeded
        Whether too many of them failed.
    described
        Where the teachers come from, in words.
    """

    outcomes: Mapping[Key, str]
    verdict_exceeded: bool
    described: str


@dataclass
class Run:
    """Trains part of the lattice and writes every window's row to the journal as it finishes.

    Parameters
    ----------
    market
        Universe, windows and bars.
    keys
        The pairs to attempt.
    store
        Where models lie.
    journal
        Where telemetry goes.
    identity
        Which run of which batch this is.
    teacher, student
        Parameters.
    options
        How the run runs.
    earlier_teachers
        Asked for the teachers of a run that trains students alone.
    """

    market: Market
    keys: Sequence[Key]
    store: ModelStore
    journal: Journal
    identity: Identity
    teacher: TeacherParameters
    student: StudentParameters
    options: Options
    earlier_teachers: Callable[[], Teachers] = field(default=lambda: Teachers({}, False, "any batch"))
    _outcomes: dict[str, dict[Key, Outcome]] = field(default_factory=dict)
    _verdicts: dict[str, Verdict] = field(default_factory=dict)
    _blocked: str = ""
    _started: float = field(default_factory=perf_counter)
    _cpu_started: float = field(default_factory=process_time)

    def begin(self, models: Sequence[ModelKind], settings: Mapping[str, Any]) -> None:
        """Check the device, and note the batch and its plan.

        Raises
        ------
        UsageError
            The device that the teacher asks for is not there.
        """
        teacher, self._models = self.teacher, models
        self._device = require_device(
            teacher.device_type, teacher.gpu_platform_id, teacher.gpu_device_id, teacher.gpu_use_dp
        )
        self.journal.append(
            RecordKind.BATCH,
            {
                "backfill_id": self.identity.backfill_id,
                "source": self.identity.source,
                "universe": self.market.universe.name,
                "started_at": utc_now(),
                "settings": dict(settings),
                "parameters": {"teacher": teacher.model_dump(), "student": self.student.model_dump()},
                "versions": versions(),
                "max_failure_rate": self.options.max_failure_rate,
                "workers": self.options.workers,
            },
        )
        for model in models:
            self.journal.append(RecordKind.PLAN, {"model": model, "windows": list(self.keys)})

    def train(self, model: ModelKind) -> Iterator[Outcome]:
        """Train a model's windows; outcomes as they come.

        Students are trained on this run's teachers, or on those of an earlier run of the batch; none is where too many
        of those failed.
        """
        if model == "teacher":
            return self._stream("teacher", self._teach)
        teachers = self._own_teachers() if "teacher" in self._verdicts else self.earlier_teachers()
        if teachers.verdict_exceeded:
            self._blocked = f"No student was trained: too many teachers failed in {teachers.described}."
            return iter(())
        return self._stream("student", lambda pair: self._distil(pair, teachers))

    def verdict(self, model: ModelKind) -> Verdict:
        """Judge a model's windows against the limit, and note the verdict, and why they were blocked if they were."""
        blocked = self._blocked if model == "student" else ""
        verdict = self._verdicts[model] = judge(
            model,
            self._outcomes.get(model, {}).values(),
            planned=len(self.keys),
            max_failure_rate=self.options.max_failure_rate,
            blocked=blocked,
        )
        if blocked:
            self.journal.append(RecordKind.EVENT, {"level": "error", "kind": "blocked", "message": blocked})
        self.journal.append(RecordKind.VERDICT, verdict_record(verdict))
        return verdict

    def end(self) -> None:
        """Note that the run is over, and close its journal. A run that has not judged all its models broke off."""
        exceeded = any(verdict.exceeded for verdict in self._verdicts.values())
        self.journal.append(
            RecordKind.END,
            {
                "ended_at": utc_now(),
                "status": "failed" if exceeded or self._verdicts.keys() != set(self._models) else "succeeded",
                "wall_s": perf_counter() - self._started,
                "cpu_s": process_time() - self._cpu_started,
            },
        )
        self.journal.close()

    def outcomes(self, model: ModelKind) -> Sequence[Outcome]:
        """What became of a model's windows so far, in the order of the plan, without metrics and parameters."""
        found = self._outcomes.get(model, {})
        return [found[key] for key in self.keys if key in found]

    def _own_teachers(self) -> Teachers:
        statuses = {key: outcome.status for key, outcome in self._outcomes["teacher"].items()}
        return Teachers(statuses, self._verdicts["teacher"].exceeded, "this run")

    def _stream(self, model: ModelKind, prepare: Callable[[Pair], "Outcome | _Training"]) -> Iterator[Outcome]:
        outcomes = self._outcomes.setdefault(model, {})
        given_up: set[Key] = set()
        rows = threading.Lock()

        def tasks() -> Iterator["_Training | Settled[_Finished]"]:
            for key in self.keys:
                started, wall, cpu = utc_now(), perf_counter(), thread_time()
                pair = self.market.pair(*key)
                try:
                    prepared = prepare(pair) if pair.eligible else _skipped(model, pair)
                except Exception as error:  # noqa: BLE001  # a window's error, whatever it is, is its outcome
                    prepared = self._broken(model, pair, error)
                if isinstance(prepared, Outcome):
                    row = self._row(prepared, started, perf_counter() - wall, thread_time() - cpu)
                    self.journal.append(RecordKind.WINDOW_RUN, row)
                    yield Settled((prepared, None))
                else:
                    yield prepared

        def work(training: _Training, expired: Expired) -> _Finished:
            started, wall, cpu = utc_now(), perf_counter(), thread_time()
            pair = training.pair
            try:
                outcome = training.train(expired)
            except Exception as error:  # noqa: BLE001  # a window's error, whatever it is, is its outcome
                outcome = self._broken(model, pair, error, training.made_from)
            row = self._row(outcome, started, perf_counter() - wall, thread_time() - cpu)
            if outcome.failure is FailureKind.TIMEOUT:
                # Its time is up, or the run was broken off: then nobody takes the row, and nothing is blamed on it.
                return outcome, row
            with rows:
                # A window that comes back after it was given up has its row, and was judged by it.
                if _key(pair) not in given_up:
                    self.journal.append(RecordKind.WINDOW_RUN, row)
            return outcome, None

        workers, timeout_s = self.options.workers, self.options.window_timeout_s
        for finished in run_all(tasks(), work, workers=workers, timeout_s=timeout_s):
            if isinstance(finished, Settled):
                outcome, _ = finished.result
            elif isinstance(finished[1], GivenUp):
                training, result = finished[0], finished[1]
                error = WindowError(FailureKind.TIMEOUT, f"It did not come back within {result.after_s:g} s.")
                outcome = _failed(model, training.pair, error)
                row = self._row(outcome, utc_now() - timedelta(seconds=result.after_s), result.after_s, 0.0)
                with rows:
                    given_up.add(_key(training.pair))
                    self.journal.append(RecordKind.WINDOW_RUN, row)
            else:
                outcome, timed_out = finished[1]
                if timed_out:
                    self.journal.append(RecordKind.WINDOW_RUN, timed_out)
            # Metrics and parameters are in the journal; kept here, they would be most of the memory of a large run.
            outcomes[_key(outcome.pair)] = replace(outcome, metrics={}, parameters={})
            yield outcome

    def _broken(self, model: ModelKind, pair: Pair, error: Exception, made_from: Fingerprints | None = None) -> Outcome:
        """The outcome of an error; one of the code leaves its traceback."""
        outcome = replace(_failed(model, pair, error), fingerprints=made_from)
        if outcome.failure is FailureKind.CODE_ERROR:
            self.journal.append(RecordKind.EVENT, traceback_record(pair, error))
        return outcome

    def _lesson(self, pair: Pair) -> Lesson:
        samples = self.market.plan(pair.symbol).samples
        if isinstance(samples, WindowError):
            raise samples
        return Lesson.of(pair, samples, self.market.recipe, judging())

    def _teach(self, pair: Pair) -> "Outcome | _Training":
        lesson = self._lesson(pair)
        made_from = lesson.fingerprints(self.teacher, code())
        return self._unchanged("teacher", lesson, made_from) or _Training(
            pair, made_from, lambda expired: self._saved(teach(lesson, self.teacher, code(), expired), pair, "teacher")
        )

    def _distil(self, pair: Pair, teachers: Teachers) -> "Outcome | _Training":
        status = teachers.outcomes.get(_key(pair))
        stored = self.store.find("teacher", *_key(pair))
        if status not in (Status.TRAINED, Status.REUSED) or stored is None:
            what = "failed" if status == Status.FAILED else "was not trained" if status is None else "is not on disk"
            raise WindowError(FailureKind.MISSING_TEACHER, f"The teacher of {pair.key} {what} in {teachers.described}.")
        lesson = self._lesson(pair)
        soft_targets, unseen = np.array(stored.record["soft_targets"]), np.array(stored.record["unseen"])
        made_from = lesson.fingerprints(self.student, code(), soft_targets)

        def train(expired: Expired) -> Outcome:
            return self._saved(distil(lesson, soft_targets, unseen, self.student, code(), expired), pair, "student")

        return self._unchanged("student", lesson, made_from, unseen) or _Training(pair, made_from, train)

    def _saved(self, trained: TrainedModel, pair: Pair, kind: ModelKind) -> Outcome:
        return _outcome(Status.TRAINED, pair, kind, self.store.save(trained, pair, kind))

    def _unchanged(
        self, kind: ModelKind, lesson: Lesson, made_from: Fingerprints, teacher_unseen: Floats | None = None
    ) -> "Outcome | _Training | None":
        """What becomes of a window whose model is on disk and made from the same; None if it is to be trained."""
        pair = lesson.pair
        if self.options.force:
            return None
        stored = self.store.find(kind, *_key(pair))
        if stored is None or stored.fingerprints != made_from:
            return None
        if stored.record["tested_on"] == lesson.tested_on:
            return _outcome(Status.REUSED, pair, kind, stored)

        def judge_again(_: Expired) -> Outcome:
            # The model is unchanged, and the next window has grown or the judge is another: judge it on what is there.
            unseen = lesson.unseen(stored.booster())
            soft_targets = np.array(stored.record["soft_targets"]) if kind == "teacher" else None
            found = lesson.scores(unseen, soft_targets=soft_targets, teacher_unseen=teacher_unseen)
            found["trees"] = stored.record["metrics"]["trees"]
            rescored = self.store.rescored(stored, found, unseen, lesson.row_counts, lesson.tested_on)
            return _outcome(Status.REUSED, pair, kind, rescored)

        return _Training(pair, made_from, judge_again)

    def _row(self, outcome: Outcome, started: datetime, duration_s: float, cpu_s: float) -> dict[str, Any]:
        device = self._device if outcome.model == "teacher" else "cpu"
        return window_record(self.identity, self.market.universe.name, outcome, device, started, duration_s, cpu_s)


_Finished = tuple[Outcome, dict[str, Any] | None]
"""What became of a window, and its row if that was not written yet."""


@dataclass(frozen=True, slots=True)
class _Training:
    """What is left to do for a pair, and what its model is made from."""

    pair: Pair
    made_from: Fingerprints
    train: Callable[[Expired], Outcome]


def _key(pair: Pair) -> Key:
    return pair.symbol, pair.window.key


def _skipped(model: str, pair: Pair) -> Outcome:
    return Outcome(model, pair, Status.SKIPPED, reason=pair.reason, error_message=pair.detail)


def _failed(model: str, pair: Pair, error: Exception) -> Outcome:
    return Outcome(
        model,
        pair,
        Status.FAILED,
        failure=failure_kind(error),
        error_type=type(error).__name__,
        error_message=str(error) or type(error).__name__,
    )


def _outcome(status: Status, pair: Pair, kind: ModelKind, stored: StoredModel) -> Outcome:
    record = stored.record
    return Outcome(
        model=kind,
        pair=pair,
        status=status,
        metrics=record["metrics"],
        parameters=record["parameters"],
        rows=record["rows"],
        fingerprints=stored.fingerprints,
        trees_fingerprint=record["trees_fingerprint"],
        effective_end=datetime.fromisoformat(record["effective_end"]).date(),
        path=str(stored.path),
    )


def keys_in(market: Market, keys: Sequence[Key], warn: Callable[[str], None]) -> list[Key]:
    """Those pairs that the market has: the partition of a symbol outlives its row in the universe.

    Raises
    ------
    UsageError
        None is left.
    """
    symbols, windows = set(market.universe.symbols), set(market.window_keys)
    known = [(symbol, window) for symbol, window in keys if symbol in symbols and window in windows]
    lost = [f"{symbol}|{window}" for symbol, window in keys if symbol not in symbols or window not in windows]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        said = f"Universe {market.universe.name} has no {lost[0]}{more}; partitions of what it no longer lists remain."
        if not known:
            raise UsageError(said)
        warn(said)
    return known


def earlier_teachers(telemetry: TelemetryStore, keys: Sequence[Key], universe: str) -> Teachers:
    """The teachers of the latest batch that attempted some of these pairs of a universe."""
    telemetry.ingest()
    batch = telemetry.latest_teacher_batch(keys, universe)
    if batch is None:
        return Teachers({}, False, "any batch")
    verdict = telemetry.verdict(batch, "teacher")
    return Teachers(
        telemetry.outcomes(batch, "teacher"), verdict is not None and not verdict["passed"], f"batch {batch}"
    )
