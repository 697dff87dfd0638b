"""Where a teacher is trained when the machine may choose: a device pays for many rows and large trees only."""

from collections.abc import Callable
from dataclasses import dataclass

from sensequant_assets.core.capacity import usual_leaves
from sensequant_assets.core.parameters import TeacherParameters


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a GPU trains, and why, in a sentence."""

    gpu: bool
    why: str


def size_of(teacher: TeacherParameters, rows: int) -> int:
    """What a tree costs: training rows times the leaves that are asked for and that so many rows usually make.

    Examples
    --------
    >>> size_of(TeacherParameters(num_leaves=15, min_child_samples=100), 40_000)
    600000
    """
    return rows * min(teacher.num_leaves, 1 << teacher.max_depth, usual_leaves(teacher, rows))


def choose(teacher: TeacherParameters, rows: int, there: Callable[[], str]) -> Choice:
    """Choose between the CPU and the GPUs that are there.

    Parameters
    ----------
    teacher
        Its leaves and `auto_gpu_from`.
    rows
        Training rows.
    there
        Asked where rows are enough: names of the GPUs; empty without one.
    """
    size = size_of(teacher, rows)
    counted = f"{rows:,} rows x {size // max(rows, 1)} leaves = {size:,}"
    if size < teacher.auto_gpu_from:
        return Choice(False, f"{counted}, below TEACHER_AUTO_GPU_FROM={teacher.auto_gpu_from}.")
    names = there()
    if not names:
        return Choice(False, f"{counted}, enough for a GPU, and there is none that LightGBM can use.")
    return Choice(True, f"{counted}, at least TEACHER_AUTO_GPU_FROM={teacher.auto_gpu_from}, and there is {names}.")
