"""How many training rows parameters need, and how large a tree so many rows can carry."""

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil

import numpy as np

from sensequant_assets.core.parameters import BoosterParameters, StudentParameters, TeacherParameters
from sensequant_assets.core.splits import purged_folds


@dataclass(frozen=True, slots=True)
class Floor:
    """Fewest training rows of a pair.

    Attributes
    ----------
    rows
        How many.
    why
        Which parameters ask for them, in a clause; empty where the recipe's minimum does.
    way_out
        What to do about a window that has fewer.
    """

    rows: int
    why: str
    way_out: str


def rows_to_split(parameters: BoosterParameters) -> int:
    """Fewest rows of which the average tree can be split.

    A split leaves `min_child_samples` rows on either side. LightGBM throws a coin for every row of every tree
    (`BaggingSampleStrategy::BaggingHelper`), so that a tree sees `subsample` times the rows on average and rarely all
    of them: from this many rows on, half of the trees or more see enough. With fewer rows than two leaves take none
    ever does.

    Examples
    --------
    >>> rows_to_split(TeacherParameters(min_child_samples=20, subsample=0.8))
    50
    """
    # A quotient that is whole but for rounding, such as 42 / 0.7, is whole.
    return ceil(2 * parameters.min_child_samples / parameters.subsample - 1e-9)


def smallest_fold(rows: int, horizon: int, folds: int) -> int:
    """Fewest rows that a purged fold of `rows` neighbouring rows trains on; gaps between rows leave it more.

    Examples
    --------
    >>> smallest_fold(80, horizon=7, folds=5)  # 80 less 16 of the fold, and 7 on either side of it
    50
    """
    return min((len(fold.train) for fold in purged_folds(np.arange(rows), horizon, folds)), default=0)


def floor_of(teacher: TeacherParameters, student: StudentParameters, horizon: int, min_samples: int) -> Floor:
    """Fewest training rows of a pair of which teacher, its folds and student can learn.

    What learns from fewer rows gives one probability for all: a teacher's fold gives soft targets that know nothing,
    and a student of nothing else is a constant. What a pool teaches needs no rows of its own; `pool_floor` is the
    pool's.

    Parameters
    ----------
    teacher, student
        Their parameters.
    horizon
        Bars that a label looks ahead, purged on either side of a fold.
    min_samples
        What is asked for in any case.
    """
    if teacher.scope == "pool":
        return Floor(min_samples, "", "Widen the window or shorten the horizon.")
    needed = rows_to_split(teacher)
    # Of folds >= 2 the smallest trains on half of the rows or more, less the purge.
    enough = range(2 * (needed + 2 * horizon) + teacher.folds + 1)
    of_teacher = bisect_left(enough, needed, key=lambda rows: smallest_fold(rows, horizon, teacher.folds))
    of_student = rows_to_split(student)
    if min_samples >= max(of_teacher, of_student):
        return Floor(min_samples, "", "Widen the window or shorten the horizon.")
    if of_student > of_teacher:
        return Floor(
            of_student,
            f"student trees split from {of_student} rows on (min_child_samples {student.min_child_samples} at "
            f"subsample {student.subsample:g})",
            "Lower STUDENT_MIN_CHILD_SAMPLES or widen the window.",
        )
    return Floor(
        of_teacher,
        f"teacher trees split from {needed} rows on (min_child_samples {teacher.min_child_samples} at subsample "
        f"{teacher.subsample:g}), and of {of_teacher} rows the smallest of {teacher.folds} purged folds trains on "
        f"{smallest_fold(of_teacher, horizon, teacher.folds)}",
        "Lower TEACHER_MIN_CHILD_SAMPLES, widen the window or shorten the horizon.",
    )


def pool_floor(teacher: TeacherParameters, student: StudentParameters, horizon: int, symbols: int) -> Floor:
    """Fewest training rows of a pool of which teacher, its folds and student can learn.

    Parameters
    ----------
    teacher, student
        Their parameters.
    horizon
        Bars that a label looks ahead: so many times on either side of a fold all symbols' rows are purged.
    symbols
        How many symbols the pool has rows of.
    """
    needed = rows_to_split(teacher)
    folded = ceil((needed + 2 * horizon * symbols) * teacher.folds / (teacher.folds - 1))
    shared = student.shared
    of_student = rows_to_split(shared)
    why = (
        f"pooled trees split from {needed} rows on (min_child_samples {teacher.min_child_samples} at subsample "
        f"{teacher.subsample:g}), and {teacher.folds} folds by date of {symbols} symbols are purged by {horizon} bars "
        "on either side"
    )
    if of_student > folded:
        why = f"shared students split from {of_student} rows on (min_child_samples {shared.min_child_samples})"
    return Floor(
        max(folded, of_student),
        why,
        "Lower TEACHER_MIN_CHILD_SAMPLES and STUDENT_MIN_CHILD_SAMPLES, widen the window, or train by "
        "TEACHER_SCOPE=symbol.",
    )


def usual_leaves(parameters: BoosterParameters, rows: int) -> int:
    """Leaves of a tree on so many rows that only `min_child_samples` holds back.

    LightGBM estimates a leaf's rows by its share of the hessian, so that a tree may have more: up to 1.75 times as many
    were seen.
    """
    return max(1, rows // parameters.min_child_samples)
