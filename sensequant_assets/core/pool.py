"""The pool: one booster on the rows of the whole universe, in a window and in those before it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats, Times
from sensequant_assets.core.boosting import Expired, fit, fit_further, never
from sensequant_assets.core.calibration import Calibration, calibrated
from sensequant_assets.core.lattice import Key, WindowRows
from sensequant_assets.core.parameters import CPU, BoosterParameters, Device, StudentParameters, TeacherParameters
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.teacher import out_of_fold, predict
from sensequant_assets.errors import FailureKind, WindowError

if TYPE_CHECKING:
    import lightgbm as lgb

Rows = NDArray[np.int64]

EARLY = "-early"
"""What the name of a pool of young symbols' pairs ends with; it begins with the key of its window, which is the name of
the window's other pool."""


@dataclass(frozen=True, slots=True)
class PoolRows:
    """Training rows of many symbols and windows, one pair after the other.

    Attributes
    ----------
    features, label
        Shapes (rows, features) and (rows,).
    feature_names
        Names of the columns.
    time, known_at
        Time of a row's bar, and of the bar at which its label is known, shape (rows,).
    held_features, held_label
        Rows of the pool's own window to stop early by, of all symbols; empty without early stopping.
    """

    features: Floats
    label: Floats
    feature_names: tuple[str, ...]
    time: Times
    known_at: Times
    held_features: Floats
    held_label: Floats

    @classmethod
    def of(
        cls, parts: Iterable[tuple[Key, Samples, WindowRows]], horizon: int, window: str, feature_names: tuple[str, ...]
    ) -> "PoolRows":
        """Put the rows of pairs together.

        Parameters
        ----------
        parts
            Pairs, with the samples of their symbol and their rows.
        horizon
            Bars that a label looks ahead.
        window
            Key of the pool's own window.
        feature_names
            Of the samples.
        """
        features, label, time, known_at, held = [], [], [], [], []
        empty = np.empty((0, len(feature_names)))
        for key, samples, rows in parts:
            train = rows.train
            features.append(samples.features[train])
            label.append(samples.label[train])
            time.append(samples.time[train])
            known_at.append(samples.time[train + horizon])
            if key[1] == window:
                held.append((samples.features[rows.valid], samples.label[rows.valid]))
        return cls(
            np.concatenate([empty, *features]),
            np.concatenate([np.empty(0), *label]),
            feature_names,
            np.concatenate([np.empty(0, "datetime64[s]"), *time]),
            np.concatenate([np.empty(0, "datetime64[s]"), *known_at]),
            np.concatenate([empty, *(one for one, _ in held)]),
            np.concatenate([np.empty(0), *(one for _, one in held)]),
        )

    def folds(self, folds: int) -> list[tuple[Rows, Rows]]:
        """Cut rows into folds of neighbouring times, all symbols of a time in one, purged on both sides.

        A row is purged when the span of its label, from its bar to the one at which it is known, meets the span of the
        rows that are left out. Holes in a symbol's bars make spans longer, so that this is decided by time.

        Returns
        -------
        list of tuple
            Rows to train on and rows left out; the latter are disjoint and together all rows.
        """
        cut = []
        for times in np.array_split(np.unique(self.time), folds):
            if len(times):
                left_out = (self.time >= times[0]) & (self.time <= times[-1])
                until = self.known_at[left_out].max()
                clear = (self.known_at < times[0]) | (self.time > until)
                cut.append((np.flatnonzero(clear), np.flatnonzero(left_out)))
        return cut


@dataclass(frozen=True, slots=True)
class Pooled:
    """A model of a pool.

    Attributes
    ----------
    booster
        The model.
    soft_targets
        A teacher's out-of-fold probabilities of the rows, as of `core.teacher.Teacher`; empty for a student.
    calibration
        Fitted on a teacher's soft targets. A student has its teacher's: what a student says of the rows it was fitted
        to knows their labels, because the soft targets of other times do.
    """

    booster: "lgb.Booster"
    soft_targets: Floats
    calibration: Calibration


def train_pool(rows: PoolRows, parameters: TeacherParameters, expired: Expired = never, device: Device = CPU) -> Pooled:
    """Train a pooled teacher, its out-of-fold soft targets and its calibration.

    Parameters
    ----------
    rows
        Of all eligible pairs.
    parameters
        Of the teacher.
    expired
        Asked once a boosting round.
    device
        What trains it.

    Raises
    ------
    WindowError
        Of kind `single_class` when all training labels are the same; `timeout`.
    """
    label, placed = rows.label, parameters.on(device)
    if not len(label) or label.min() == label.max():
        known = f"{label[0]:.0f}" if len(label) else "missing"
        raise WindowError(
            FailureKind.SINGLE_CLASS,
            f"All {len(label)} training labels of the pool are {known}. "
            "Widen the window, or change the threshold or the horizon.",
        )

    def said(train: Rows, left_out: Rows) -> Floats:
        return predict(_fitted(rows, label, train, placed, expired), rows.features[left_out])

    soft_targets = out_of_fold(label, rows.folds(parameters.folds), said)
    booster = _fitted(rows, label, np.arange(len(label)), placed, expired)
    return Pooled(booster, soft_targets, calibrated(soft_targets, label))


def train_shared_student(
    rows: PoolRows,
    soft_targets: Floats,
    calibration: Calibration,
    parameters: StudentParameters,
    expired: Expired = never,
    teacher: "lgb.Booster | None" = None,
) -> Pooled:
    """Train the student that all symbols of a window share on all rows of its pool.

    Parameters
    ----------
    rows, soft_targets, calibration
        The pool's, and what its teacher left.
    parameters, expired
        As for `train_pool`.
    teacher
        Its booster, if it has just been trained: the rows need not be binned again. It trains no further.
    """
    booster = _fitted(rows, soft_targets, np.arange(len(rows.label)), parameters, expired, teacher)
    return Pooled(booster, np.empty(0), calibration)


def correct_shared_student(
    shared: "lgb.Booster", rows: PoolRows, soft_targets: Floats, parameters: StudentParameters, expired: Expired = never
) -> "lgb.Booster":
    """Let the rows of one symbol correct the student that all symbols of its pool share.

    Parameters
    ----------
    shared
        The student; it stays as it is.
    rows, soft_targets
        Those of the symbol in the pool, of all its windows, and what the pooled teacher says of them out of fold.
    parameters
        Of the correction: `StudentParameters.correction`.
    expired
        As for `train_pool`.

    Returns
    -------
    Booster
        The shared student's trees and the correction's. The shared student knows these rows' soft targets, and what is
        left over of them is small: fewer rounds on fewer rows follow noise less.
    """
    return fit_further(
        shared,
        rows.features,
        soft_targets,
        parameters.lightgbm(),
        feature_names=rows.feature_names,
        expired=expired,
    )


def _fitted(
    rows: PoolRows,
    target: Floats,
    chosen: Rows,
    parameters: BoosterParameters,
    expired: Expired,
    same_features: "lgb.Booster | None" = None,
) -> "lgb.Booster":
    stopping = parameters.early_stopping_rounds if isinstance(parameters, TeacherParameters) else 0
    return fit(
        rows.features[chosen],
        target[chosen],
        parameters.lightgbm(),
        feature_names=rows.feature_names,
        expired=expired,
        validation=(rows.held_features, rows.held_label) if stopping and len(rows.held_label) else None,
        early_stopping_rounds=stopping,
        same_features=same_features,
    )
