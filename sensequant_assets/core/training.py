"""One window in, one model out: what is trained, how it is judged and what it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from sensequant_assets.core.bars import Floats, day_of
from sensequant_assets.core.boosting import (
    Expired,
    Trees,
    check_parameters,
    effective_parameters,
    never,
    trees_fingerprint,
    trees_of,
)
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.judging import metrics
from sensequant_assets.core.lattice import Pair, Recipe, WindowRows, pair_rows
from sensequant_assets.core.parameters import (
    CPU,
    BoosterParameters,
    Device,
    LightGBMValue,
    StudentParameters,
    TeacherParameters,
)
from sensequant_assets.core.provenance import arrays_fingerprint, parameters_fingerprint
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.splits import Positions
from sensequant_assets.core.student import train_student
from sensequant_assets.core.teacher import predict, train_teacher
from sensequant_assets.errors import FailureKind, WindowError

if TYPE_CHECKING:
    import lightgbm as lgb

Metrics = Mapping[str, float]

TREE_METRICS = ("trees", "largest_tree_leaves", "largest_tree_depth")
"""Metrics of a model's trees, which no row can change."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What a model was made from; equal fingerprints mean equal trees, on equal devices where a machine may choose.

    Attributes
    ----------
    data
        Features, labels and times of the training and validation rows, a pooled one's of all its pool's; a student's
        includes its soft targets.
    parameters
        Parameters asked for, what the recipe's labels ask, its validation tail, and a student's teacher's parameters.
    code
        Source of the core and versions of the libraries.
    """

    data: str
    parameters: str
    code: str


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model of one window, ready to be stored.

    Attributes
    ----------
    model
        `teacher` or `student`.
    text
        LightGBM model text.
    parameters
        Effective parameters, read back from the text.
    asked
        Parameters asked for, under their own names.
    taught_by
        Parameters that a student's teacher was asked for; empty for a teacher.
    label
        What a label asks of a forward return, as of `Recipe.asks`.
    providers
        Of its features, as of `Samples`.
    fingerprints
        What it was made from.
    trees_fingerprint
        Identity of its trees.
    metrics
        Out of sample: `valid_*` on the validation tail if there is one, `test_*` on the next window, a teacher's
        `oof_*` on its training rows out of fold, a student's `fidelity_*`; NaN where the rows cannot answer. And
        `TREE_METRICS`.
    constant
        Whether it says the same of every row.
    rows
        Row counts: `train`, `valid`, `test`.
    effective_end
        Day of the last training row.
    soft_targets
        A teacher's out-of-fold probabilities, shape (training rows,); empty for a student.
    unseen
        Its probabilities of the validation rows, then of the test rows, shape (valid + test rows,).
    tested_on
        Fingerprint of the test rows that the metrics were taken on, and of the code that took them.
    calibration
        From what it says to what is served; None for a model of its symbol's rows alone, which serves what it says.
    pool
        Name of the pool that taught it; empty where its symbol's own rows did.
    placed_because
        Why it was trained on its device, where nobody asked for that one; empty otherwise.
    """

    model: str
    text: str
    parameters: Mapping[str, str]
    asked: Mapping[str, LightGBMValue]
    taught_by: Mapping[str, LightGBMValue]
    label: Mapping[str, LightGBMValue]
    providers: tuple[str, ...]
    fingerprints: Fingerprints
    trees_fingerprint: str
    metrics: Metrics
    constant: bool
    rows: Mapping[str, int]
    effective_end: date
    tested_on: str
    unseen: Floats
    soft_targets: Floats = field(default_factory=lambda: np.empty(0))
    calibration: Calibration | None = None
    pool: str = ""
    placed_because: str = ""


@dataclass(frozen=True, slots=True)
class Grown:
    """A booster as text, and what that text says of it.

    Attributes
    ----------
    booster, text
        The model.
    parameters
        Effective parameters, read back from the text.
    trees
        What its trees are.
    trees_fingerprint
        Their identity.
    calibration
        As of `TrainedModel`.
    """

    booster: "lgb.Booster"
    text: str
    parameters: Mapping[str, str]
    trees: Trees
    trees_fingerprint: str
    calibration: Calibration | None = None

    @classmethod
    def of(cls, booster: "lgb.Booster", asked: BoosterParameters, calibration: Calibration | None = None) -> "Grown":
        """Write a booster down; `WindowError` of kind `parameter_mismatch` where it is not what was asked for."""
        return cls.read(booster, booster.model_to_string(), asked, calibration)

    @classmethod
    def read(
        cls, booster: "lgb.Booster", text: str, asked: BoosterParameters, calibration: Calibration | None = None
    ) -> "Grown":
        """A booster whose text is at hand; as `of`."""
        effective = effective_parameters(text)
        check_parameters(asked.lightgbm(), effective)
        return cls(booster, text, effective, trees_of(text), trees_fingerprint(text), calibration)


@dataclass(frozen=True, slots=True)
class Taught:
    """What a teacher leaves for its student.

    Attributes
    ----------
    data, parameters
        Fingerprints of what the teacher was made from.
    asked
        Parameters that it was asked for.
    soft_targets
        Its out-of-fold probabilities of its training rows, shape (training rows,).
    unseen
        Its probabilities of the validation rows, then of the test rows, which neither has seen, for the fidelity.
    calibration
        The teacher's, which its student serves by too.
    """

    data: str
    parameters: str
    asked: Mapping[str, LightGBMValue]
    soft_targets: Floats
    unseen: Floats
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """Everything that training and judging one pair need but the parameters.

    Attributes
    ----------
    pair
        The pair.
    samples
        Features and labels of its symbol.
    rows
        Its rows.
    recipe
        What labels ask, and over which horizon.
    judging
        Fingerprint of the code that judges; it is no part of what a model is made from.
    pool, pool_name
        Fingerprint of the rows of the pool that teaches the pair, and its name; empty where its own rows do.
    """

    pair: Pair
    samples: Samples
    rows: WindowRows
    recipe: Recipe
    judging: str = ""
    pool: str = ""
    pool_name: str = ""

    @classmethod
    def of(
        cls, pair: Pair, samples: Samples, recipe: Recipe, judging: str = "", pool: str = "", pool_name: str = ""
    ) -> "Lesson":
        """Cut the rows of an eligible pair."""
        return cls(pair, samples, pair_rows(samples, pair, recipe), recipe, judging, pool, pool_name)

    def fingerprints(self, parameters: BoosterParameters, code: str, taught: Taught | None = None) -> Fingerprints:
        """What a model of this pair would be made from; a student with what its teacher left."""
        asked = parameters.made_with | self.recipe.made_with
        return Fingerprints(
            data=self.data if taught is None else arrays_fingerprint([taught.soft_targets], (self.data,)),
            parameters=parameters_fingerprint(asked if taught is None else asked | {"teacher": taught.parameters}),
            code=code,
        )

    @property
    def data(self) -> str:
        """Fingerprint of what a teacher is made from besides its parameters: the pair's rows, and those of its pool."""
        return arrays_fingerprint((), (self.own_data, self.pool)) if self.pool else self.own_data

    @property
    def own_data(self) -> str:
        """Fingerprint of the pair's own training and validation rows."""
        return self._fingerprint(self.rows.train, self.rows.valid)

    @property
    def tested_on(self) -> str:
        """Fingerprint of the test rows and of the code that judges: another one means other metrics."""
        return parameters_fingerprint({"rows": self._fingerprint(self.rows.test), "judging": self.judging})

    @property
    def row_counts(self) -> dict[str, int]:
        """How many rows there are to `train`, `valid` and `test` on."""
        return {"train": len(self.rows.train), "valid": len(self.rows.valid), "test": len(self.rows.test)}

    @property
    def effective_end(self) -> date:
        """Day of the last training row."""
        return day_of(self.samples.time[self.rows.train[-1]])

    def _fingerprint(self, *spans: Positions) -> str:
        samples = self.samples
        columns = (samples.time, samples.features, samples.label, samples.forward_return)
        return arrays_fingerprint((column[rows] for rows in spans for column in columns), samples.names)

    def unseen(self, booster: "lgb.Booster") -> Floats:
        """Probabilities of the validation rows, then of the test rows."""
        rows = np.concatenate([self.rows.valid, self.rows.test])
        return predict(booster, self.samples.features[rows])

    def scores(
        self,
        unseen: Floats,
        *,
        soft_targets: Floats | None = None,
        teacher_unseen: Floats | None = None,
        calibration: Calibration | None = None,
    ) -> dict[str, float]:
        """Everything that is judged of a model.

        Parameters
        ----------
        unseen
            What `unseen` returns of it, for `test_*`, and `valid_*` if there are validation rows.
        soft_targets
            A teacher's out-of-fold probabilities of the training rows, for `oof_*`.
        teacher_unseen
            What `unseen` returns of a student's teacher, for `fidelity_*`.
        calibration
            From what the model says, by which rows are ranked, to what is served, by which losses are taken.
        """
        held = len(self.rows.valid)
        spans = [("test", self.rows.test, unseen[held:])]
        if held:
            spans.insert(0, ("valid", self.rows.valid, unseen[:held]))
        if soft_targets is not None:
            spans.insert(0, ("oof", self.rows.train, soft_targets))
        found = {
            f"{span}_{name}": value
            for span, rows, probability in spans
            for name, value in metrics.scores(
                self.samples.label[rows],
                probability,
                self.samples.forward_return[rows],
                served=calibration.serve(probability) if calibration else None,
            ).items()
        }
        found["test_design_effect"] = metrics.design_effect(unseen[held:], self.rows.test, self.recipe.horizon)
        if calibration:
            found["calibration_slope"] = calibration.slope
        return found if teacher_unseen is None else found | metrics.fidelity(unseen, teacher_unseen)


def teach(
    lesson: Lesson, parameters: TeacherParameters, code: str, expired: Expired = never, device: Device = CPU
) -> TrainedModel:
    """Train and judge the teacher of a pair on a device.

    Raises
    ------
    WindowError
        Of kind `single_class`, `parameter_mismatch` or `timeout`.
    """
    rows, placed = lesson.rows, parameters.on(device)
    teacher = train_teacher(
        lesson.samples, rows.train, rows.valid, placed, horizon=lesson.recipe.horizon, expired=expired
    )
    unseen = lesson.unseen(teacher.booster)
    found = lesson.scores(unseen, soft_targets=teacher.soft_targets)
    fingerprints = lesson.fingerprints(parameters, code)
    grown = Grown.of(teacher.booster, placed)
    return _finished("teacher", grown, lesson, parameters, fingerprints, found, unseen, teacher.soft_targets)


def teach_from_pool(
    lesson: Lesson, pool: Grown, soft_targets: Floats, parameters: TeacherParameters, code: str
) -> TrainedModel:
    """Judge the pool on the rows of a pair: it is the pair's teacher, and its soft targets of the pair's rows are its.

    Parameters
    ----------
    lesson
        Of the pair, with the pool's fingerprint.
    pool
        The pooled teacher of the window.
    soft_targets
        What it says out of fold of the pair's training rows, shape (training rows,).
    parameters, code
        As for `teach`.
    """
    unseen = lesson.unseen(pool.booster)
    found = lesson.scores(unseen, soft_targets=soft_targets, calibration=pool.calibration)
    fingerprints = lesson.fingerprints(parameters, code)
    return _finished("teacher", pool, lesson, parameters, fingerprints, found, unseen, soft_targets)


def distil(
    lesson: Lesson, taught: Taught, parameters: StudentParameters, code: str, expired: Expired = never
) -> TrainedModel:
    """Train and judge the student of a pair.

    Parameters
    ----------
    lesson
        The same rows as the teacher's.
    taught
        What the teacher left.
    parameters, code, expired
        As for `teach`.

    Raises
    ------
    WindowError
        As `check_taught`; of kind `parameter_mismatch`; `timeout`.
    """
    check_taught(lesson, taught)
    booster = train_student(lesson.samples, lesson.rows.train, taught.soft_targets, parameters, expired=expired)
    return judge_student(lesson, taught, Grown.of(booster, parameters, taught.calibration), parameters, code)


def judge_student(
    lesson: Lesson, taught: Taught, grown: Grown, parameters: StudentParameters, code: str
) -> TrainedModel:
    """Judge a student on the rows of a pair: its own, or the one that all symbols of the window share.

    Parameters
    ----------
    lesson, taught, parameters, code
        As for `distil`, and checked as there.
    grown
        The student.
    """
    check_taught(lesson, taught)
    unseen = lesson.unseen(grown.booster)
    found = lesson.scores(unseen, teacher_unseen=taught.unseen, calibration=grown.calibration)
    fingerprints = lesson.fingerprints(parameters, code, taught)
    return _finished("student", grown, lesson, parameters, fingerprints, found, unseen, taught_by=taught.asked)


def check_taught(lesson: Lesson, taught: Taught) -> None:
    """Make sure that what a teacher left is of this lesson.

    Raises
    ------
    WindowError
        Of kind `missing_teacher` if the teacher was made from other data; `corrupt_model` if it left other rows than
        those, or something else than probabilities.
    """
    if taught.data != lesson.data:
        raise WindowError(
            FailureKind.MISSING_TEACHER,
            f"The teacher of {lesson.pair.key} was made from other data than the window has now. "
            "Train the teacher again.",
        )
    counts = lesson.row_counts
    for name, said, rows in (
        ("soft targets", taught.soft_targets, counts["train"]),
        ("probabilities of unseen rows", taught.unseen, counts["valid"] + counts["test"]),
    ):
        # A comparison with NaN is false.
        if len(said) != rows or not ((said >= 0) & (said <= 1)).all():
            raise WindowError(
                FailureKind.CORRUPT_MODEL,
                f"The teacher of {lesson.pair.key} left {len(said)} {name} of {rows} rows, or some that are none in "
                "[0, 1]. Train the teacher again.",
            )


def _finished(
    model: str,
    grown: Grown,
    lesson: Lesson,
    parameters: BoosterParameters,
    fingerprints: Fingerprints,
    found: dict[str, float],
    unseen: Floats,
    soft_targets: Floats | None = None,
    taught_by: Mapping[str, LightGBMValue] | None = None,
) -> TrainedModel:
    trees = grown.trees
    return TrainedModel(
        model=model,
        text=grown.text,
        parameters=grown.parameters,
        asked=parameters.model_dump(),
        taught_by=taught_by or {},
        label=lesson.recipe.asks,
        providers=lesson.samples.providers,
        fingerprints=fingerprints,
        trees_fingerprint=grown.trees_fingerprint,
        metrics=found
        | dict(zip(TREE_METRICS, map(float, (trees.count, trees.largest_leaves, trees.largest_depth)), strict=True)),
        constant=trees.constant,
        rows=lesson.row_counts,
        effective_end=lesson.effective_end,
        tested_on=lesson.tested_on,
        unseen=unseen,
        soft_targets=np.empty(0) if soft_targets is None else soft_targets,
        calibration=grown.calibration,
        pool=lesson.pool_name,
    )
