"""What becomes of one pair: its model is on disk and made from the same, or it is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from sensequant_assets.batch.devices import Devices
from sensequant_assets.batch.engines.engine import Engine, Local
from sensequant_assets.batch.made_with import code, judging
from sensequant_assets.batch.pools import Pools
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.lattice import Key, Pair
from sensequant_assets.core.outcome import Outcome, Status
from sensequant_assets.core.parameters import ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.core.pool import PoolRows, correct_shared_student
from sensequant_assets.core.training import (
    TREE_METRICS,
    Fingerprints,
    Grown,
    Lesson,
    Taught,
    TrainedModel,
    distil,
    judge_student,
    teach,
    teach_from_pool,
)
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore, StoredModel


@dataclass(frozen=True, slots=True)
class Teachers:
    """What students need to know of the teachers of their batch.

    Attributes
    ----------
    outcomes
        Status by (symbol, window key); none, or None, of one that was not attempted.
    verdict_exceeded
        Whether too many of them failed.
    described
        Where the teachers come from, in words.
    """

    outcomes: Mapping[Key, str | None]
    verdict_exceeded: bool
    described: str


@dataclass(frozen=True, slots=True)
class Training:
    """What is left to do for a pair, and what its model is made from."""

    pair: Pair
    made_from: Fingerprints
    train: Callable[[Expired], Outcome]


@dataclass(frozen=True, slots=True)
class Trainer:
    """Finds the models of pairs unchanged, or says how they are made.

    Parameters
    ----------
    market
        Universe, windows and bars.
    store
        Where models lie.
    teacher, student
        Parameters.
    force
        Train even what is unchanged.
    devices
        Where teachers are trained.
    pools
        What teaches the pairs; None where their own rows do.
    engine
        Who trains. A pair whose pool has its trees is judged where it is asked for: to send it would cost more.
    """

    market: Market
    store: ModelStore
    teacher: TeacherParameters
    student: StudentParameters
    force: bool
    devices: Devices
    pools: Pools | None = None
    engine: Engine = field(default_factory=Local)

    def teach(self, pair: Pair) -> Outcome | Training:
        """What becomes of the teacher of an eligible pair.

        Raises
        ------
        WindowError
            The symbol's bars cannot be used.
        """
        lesson = self.market.lesson(pair, judging())
        made_from = lesson.fingerprints(self.teacher, code())

        def train(expired: Expired) -> Outcome:
            return self._saved(self._taught(lesson, expired), pair, "teacher")

        return self._unchanged("teacher", lesson, made_from) or Training(pair, made_from, train)

    def distil(self, pair: Pair, teachers: Teachers) -> Outcome | Training:
        """What becomes of the student of an eligible pair.

        Raises
        ------
        WindowError
            Of kind `missing_teacher` if its teacher was neither trained nor reused in its batch, or is not on disk; of
            kind `corrupt_model` if what is on disk cannot be relied on; the symbol's bars cannot be used.
        """
        status = teachers.outcomes.get(key_of(pair))
        stored = self.store.read("teacher", *key_of(pair)) if status in (Status.TRAINED, Status.REUSED) else None
        if stored is None:
            what = "failed" if status == Status.FAILED else "was not trained" if status is None else "is not on disk"
            raise WindowError(FailureKind.MISSING_TEACHER, f"The teacher of {pair.key} {what} in {teachers.described}.")
        lesson = self.market.lesson(pair, judging())
        taught = stored.taught
        if stored.record.tested_on != lesson.tested_on:
            # The teacher is of an earlier batch, and the next window has grown since.
            taught = replace(taught, unseen=lesson.unseen(stored.booster()))
        made_from = lesson.fingerprints(self.student, code(), taught)

        def train(expired: Expired) -> Outcome:
            return self._saved(self._distilled(lesson, taught, expired), pair, "student")

        return self._unchanged("student", lesson, made_from, taught.unseen) or Training(pair, made_from, train)

    def _taught(self, lesson: Lesson, expired: Expired) -> TrainedModel:
        if self.pools is None:
            work = partial(teach, lesson, self.teacher, code())
            placed = self.devices.train(work, lesson.pair.rows, expired)
            return replace(placed.result, placed_because=placed.because) if placed.because else placed.result
        pool = self.pools.teacher_of(lesson.pair).grown_teacher
        return teach_from_pool(lesson, pool, self.pools.soft_targets(lesson.pair), self.teacher, code())

    def _distilled(self, lesson: Lesson, taught: Taught, expired: Expired) -> TrainedModel:
        if self.pools is None:
            return self.engine.call(partial(distil, lesson, taught, self.student, code()), expired)
        student = self.pools.student_of(lesson.pair).grown_student
        if self.student.scope == "symbol":
            asked = self.student.correction
            work = partial(_corrected, student, *self.pools.own_of(lesson.pair), asked, taught.calibration)
            student = self.engine.call(work, expired)
        return judge_student(lesson, taught, student, self.student, code())

    def _saved(self, trained: TrainedModel, pair: Pair, kind: ModelKind) -> Outcome:
        # What serves another window was trained for its own.
        status = Status.REUSED if pair.served_by else Status.TRAINED
        return _outcome(status, pair, kind, self.store.save(trained, pair, kind))

    def _unchanged(
        self, kind: ModelKind, lesson: Lesson, made_from: Fingerprints, teacher_unseen: Floats | None = None
    ) -> Outcome | Training | None:
        """What becomes of a window whose model is on disk and made from the same; None if it is to be trained."""
        pair = lesson.pair
        if self.force:
            return None
        stored = self.store.find(kind, *key_of(pair))
        if stored is None or stored.record.fingerprints != made_from:
            return None
        if stored.record.tested_on == lesson.tested_on:
            return _outcome(Status.REUSED, pair, kind, stored)

        def judge_again(_: Expired) -> Outcome:
            # The model is unchanged, and the next window has grown or the judge is another: judge it on what is there.
            unseen = lesson.unseen(stored.booster())
            soft_targets = stored.soft_targets if kind == "teacher" else None
            found = lesson.scores(
                unseen,
                soft_targets=soft_targets,
                teacher_unseen=teacher_unseen,
                calibration=stored.record.calibration,
            )
            found |= {name: stored.record.metrics[name] or 0.0 for name in TREE_METRICS}
            rescored = self.store.rescored(stored, found, unseen, lesson.row_counts, lesson.tested_on)
            return _outcome(Status.REUSED, pair, kind, rescored)

        return Training(pair, made_from, judge_again)


def _corrected(
    shared: Grown,
    rows: PoolRows,
    soft_targets: Floats,
    asked: StudentParameters,
    calibration: Calibration | None,
    expired: Expired,
) -> Grown:
    return Grown.of(correct_shared_student(shared.booster, rows, soft_targets, asked, expired), asked, calibration)


def key_of(pair: Pair) -> Key:
    """Symbol and window key of a pair."""
    return pair.symbol, pair.window.key


def _outcome(status: Status, pair: Pair, kind: ModelKind, stored: StoredModel) -> Outcome:
    record = stored.record
    return Outcome(
        model=kind,
        pair=pair,
        status=status,
        metrics=record.metrics,
        constant=record.constant,
        parameters=record.parameters | {f"teacher_{name}": str(value) for name, value in record.taught_by.items()},
        rows=record.rows.model_dump(),
        fingerprints=record.fingerprints,
        trees_fingerprint=record.trees_fingerprint,
        effective_end=record.effective_end,
        path=str(stored.path),
        pool=record.pool or "",
        device=str(record.device),
    )
