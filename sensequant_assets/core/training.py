"""One window in, one model out: what is trained, how it is judged and what it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from sensequant_assets.core.bars import Floats, day_of
from sensequant_assets.core.boosting import Expired, check_parameters, effective_parameters, never, trees_fingerprint
from sensequant_assets.core.judging import metrics
from sensequant_assets.core.lattice import Pair, Recipe, WindowRows, window_rows
from sensequant_assets.core.parameters import BoosterParameters, StudentParameters, TeacherParameters
from sensequant_assets.core.provenance import arrays_fingerprint, parameters_fingerprint
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.student import train_student
from sensequant_assets.core.teacher import predict, train_teacher
from sensequant_assets.errors import FailureKind, WindowError

if TYPE_CHECKING:
    import lightgbm as lgb

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What a model was made from; equal fingerprints mean equal trees.

    Attributes
    ----------
    data
        Features, labels and times of the training and validation rows; a student's includes its soft targets.
    parameters
        Parameters asked for, and the recipe's horizon.
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
    fingerprints
        What it was made from.
    trees_fingerprint
        Identity of its trees.
    metrics
        Out of sample: `valid_*` on the validation tail, `test_*` on the next window, a teacher's `oof_*` on its
        training rows out of fold, a student's `fidelity_*`; NaN where the rows cannot answer. `trees` counts the trees.
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
    """

    model: str
    text: str
    parameters: Mapping[str, str]
    fingerprints: Fingerprints
    trees_fingerprint: str
    metrics: Metrics
    rows: Mapping[str, int]
    effective_end: date
    tested_on: str
    unseen: Floats
    soft_targets: Floats = field(default_factory=lambda: np.empty(0))


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
        Horizon and threshold.
    judging
        Fingerprint of the code that judges; it is no part of what a model is made from.
    """

    pair: Pair
    samples: Samples
    rows: WindowRows
    recipe: Recipe
    judging: str = ""

    @classmethod
    def of(cls, pair: Pair, samples: Samples, recipe: Recipe, judging: str = "") -> "Lesson":
        """Cut the rows of an eligible pair."""
        return cls(pair, samples, window_rows(samples, pair.window, pair.effective_start, recipe), recipe, judging)

    def fingerprints(
        self, parameters: BoosterParameters, code: str, soft_targets: Floats | None = None
    ) -> Fingerprints:
        """What a model of this pair would be made from."""
        return Fingerprints(
            data=self._fingerprint(np.concatenate([self.rows.train, self.rows.valid]), soft_targets),
            parameters=parameters_fingerprint(
                parameters.model_dump() | {"horizon": self.recipe.horizon, "train_rows": len(self.rows.train)}
            ),
            code=code,
        )

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

    def _fingerprint(self, rows: np.ndarray, extra: Floats | None = None) -> str:
        samples = self.samples
        arrays = [samples.time[rows], samples.features[rows], samples.label[rows], samples.forward_return[rows]]
        return arrays_fingerprint(arrays if extra is None else [*arrays, extra], samples.feature_names)

    def unseen(self, booster: "lgb.Booster") -> Floats:
        """Probabilities of the validation rows, then of the test rows."""
        rows = np.concatenate([self.rows.valid, self.rows.test])
        return predict(booster, self.samples.features[rows])

    def scores(
        self, unseen: Floats, *, soft_targets: Floats | None = None, teacher_unseen: Floats | None = None
    ) -> dict[str, float]:
        """Everything that is judged of a model.

        Parameters
        ----------
        unseen
            What `unseen` returns of it, for `valid_*` and `test_*`.
        soft_targets
            A teacher's out-of-fold probabilities of the training rows, for `oof_*`.
        teacher_unseen
            What `unseen` returns of a student's teacher, for `fidelity_*`.
        """
        held = len(self.rows.valid)
        spans = [("valid", self.rows.valid, unseen[:held]), ("test", self.rows.test, unseen[held:])]
        if soft_targets is not None:
            spans.insert(0, ("oof", self.rows.train, soft_targets))
        found = {
            f"{span}_{name}": value
            for span, rows, probability in spans
            for name, value in metrics.scores(
                self.samples.label[rows], probability, self.samples.forward_return[rows]
            ).items()
        }
        return found if teacher_unseen is None else found | metrics.fidelity(unseen, teacher_unseen)


def teach(lesson: Lesson, parameters: TeacherParameters, code: str, expired: Expired = never) -> TrainedModel:
    """Train and judge the teacher of a pair.

    Raises
    ------
    WindowError
        Of kind `single_class`, `parameter_mismatch` or `timeout`.
    """
    rows = lesson.rows
    teacher = train_teacher(
        lesson.samples, rows.train, rows.valid, parameters, horizon=lesson.recipe.horizon, expired=expired
    )
    unseen = lesson.unseen(teacher.booster)
    found = lesson.scores(unseen, soft_targets=teacher.soft_targets)
    fingerprints = lesson.fingerprints(parameters, code)
    return _finished("teacher", teacher.booster, lesson, parameters, fingerprints, found, unseen, teacher.soft_targets)


def distil(
    lesson: Lesson,
    soft_targets: Floats,
    teacher_unseen: Floats,
    parameters: StudentParameters,
    code: str,
    expired: Expired = never,
) -> TrainedModel:
    """Train and judge the student of a pair.

    Parameters
    ----------
    lesson
        The same rows as the teacher's.
    soft_targets
        The teacher's out-of-fold probabilities of the training rows.
    teacher_unseen
        The teacher's probabilities of the validation and test rows, which neither has seen, for the fidelity.
    parameters, code, expired
        As for `teach`.

    Raises
    ------
    WindowError
        Of kind `missing_teacher` if the soft targets are of other rows; `parameter_mismatch`; `timeout`.
    """
    counts = lesson.row_counts
    if len(soft_targets) != counts["train"] or len(teacher_unseen) != counts["valid"] + counts["test"]:
        raise WindowError(
            FailureKind.MISSING_TEACHER,
            f"The teacher of {lesson.pair.key} was made from other rows than the window has now "
            f"({len(soft_targets)} training rows against {len(lesson.rows.train)}). Train the teacher again.",
        )
    booster = train_student(lesson.samples, lesson.rows.train, soft_targets, parameters, expired=expired)
    unseen = lesson.unseen(booster)
    found = lesson.scores(unseen, teacher_unseen=teacher_unseen)
    fingerprints = lesson.fingerprints(parameters, code, soft_targets)
    return _finished("student", booster, lesson, parameters, fingerprints, found, unseen)


def _finished(
    model: str,
    booster: "lgb.Booster",
    lesson: Lesson,
    parameters: BoosterParameters,
    fingerprints: Fingerprints,
    found: dict[str, float],
    unseen: Floats,
    soft_targets: Floats | None = None,
) -> TrainedModel:
    text = booster.model_to_string()
    effective = effective_parameters(text)
    check_parameters(parameters.lightgbm(), effective)
    return TrainedModel(
        model=model,
        text=text,
        parameters=effective,
        fingerprints=fingerprints,
        trees_fingerprint=trees_fingerprint(text),
        metrics=found | {"trees": float(text.count("\nTree="))},
        rows=lesson.row_counts,
        effective_end=lesson.effective_end,
        tested_on=lesson.tested_on,
        unseen=unseen,
        soft_targets=np.empty(0) if soft_targets is None else soft_targets,
    )
