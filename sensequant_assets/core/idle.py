"""Settings that do nothing: another value of theirs would train the same windows to the same trees."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from sensequant_assets.core.capacity import floor_of, usual_leaves
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import BoosterParameters, StudentParameters, TeacherParameters

_SLACK = 2
"""Times the usual leaves of a tree that none was seen to have."""


@dataclass(frozen=True, slots=True)
class IdleSetting:
    """A setting that does nothing, and why.

    Attributes
    ----------
    name, value
        The variable, and what it is set to.
    why
        A clause.
    misleading
        Whether who set it must think that it does something else: that a GPU trains.
    """

    name: str
    value: object
    why: str
    misleading: bool = False

    def __str__(self) -> str:
        shown = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.name}={shown} does nothing: {self.why}."


def idle_settings(
    teacher: TeacherParameters, student: StudentParameters, recipe: Recipe, rows: int
) -> tuple[IdleSetting, ...]:
    """Settings that do nothing on this device and so many rows.

    Those that are only switched off, such as a GPU's platform on a CPU, are named where they differ from their default.

    Parameters
    ----------
    teacher, student
        Their parameters.
    recipe
        As it is set, before `Recipe.used_by`.
    rows
        Training rows of the largest window; 0 if there is none, and nothing is said of trees then.
    """
    found = [*_device(teacher), *_label(recipe), *_validation(teacher, recipe), *_minimum(teacher, student, recipe)]
    found += _pooled(teacher, student)
    models: tuple[tuple[str, BoosterParameters], ...] = (("TEACHER", teacher), ("STUDENT", student))
    for prefix, parameters in models:
        found += [*_seed(prefix, parameters), *(_tree(prefix, parameters, rows) if rows else ())]
    return tuple(found)


def _changed(kind: type[BaseModel], model: BaseModel, field: str) -> bool:
    """Whether a field differs from the default of the class that declares it; a subclass may have another."""
    return bool(getattr(model, field) != kind.model_fields[field].default)


def _device(teacher: TeacherParameters) -> Iterator[IdleSetting]:
    of_auto = ("auto_gpu_from",)
    idle = {
        "auto": (),
        "cpu": ("gpu_platform_id", "gpu_device_id", "gpu_device_ids", "gpu_use_dp", *of_auto),
        "gpu": of_auto,
        # LightGBM's CUDA learner knows no platforms and always sums in double precision.
        "cuda": ("gpu_platform_id", "gpu_use_dp", *of_auto),
    }
    for field in idle[teacher.device_type]:
        if _changed(TeacherParameters, teacher, field):
            why = f"TEACHER_DEVICE_TYPE is {teacher.device_type}"
            yield IdleSetting(f"TEACHER_{field.upper()}", getattr(teacher, field), why, misleading=True)
    several = teacher.gpu_device_ids and teacher.device_type != "cpu"
    if several and _changed(TeacherParameters, teacher, "gpu_device_id"):
        why = f"TEACHER_GPU_DEVICE_IDS is {teacher.gpu_device_ids}"
        yield IdleSetting("TEACHER_GPU_DEVICE_ID", teacher.gpu_device_id, why, misleading=True)


def _label(recipe: Recipe) -> Iterator[IdleSetting]:
    for field in ("threshold", "deviations"):
        if field not in recipe.asks and _changed(Recipe, recipe, field):
            why = f"SENSEQUANT_LABEL is {recipe.label}"
            yield IdleSetting(f"SENSEQUANT_{field.upper()}", getattr(recipe, field), why, misleading=True)


def _validation(teacher: TeacherParameters, recipe: Recipe) -> Iterator[IdleSetting]:
    if teacher.early_stopping_rounds and not recipe.validation_fraction:
        yield IdleSetting(
            "TEACHER_EARLY_STOPPING_ROUNDS",
            teacher.early_stopping_rounds,
            "SENSEQUANT_VALIDATION_FRACTION is 0 and leaves no row to stop early by",
        )
    if not teacher.early_stopping_rounds and _changed(Recipe, recipe, "validation_fraction"):
        yield IdleSetting(
            "SENSEQUANT_VALIDATION_FRACTION",
            recipe.validation_fraction,
            "without TEACHER_EARLY_STOPPING_ROUNDS a teacher trains on all rows",
        )


def _minimum(teacher: TeacherParameters, student: StudentParameters, recipe: Recipe) -> Iterator[IdleSetting]:
    floor = floor_of(teacher, student, recipe.horizon, recipe.min_samples)
    if _changed(Recipe, recipe, "min_samples") and floor.rows > recipe.min_samples:
        why = f"the parameters need {floor.rows} rows"
        yield IdleSetting("SENSEQUANT_MIN_SAMPLES", recipe.min_samples, why)


def _pooled(teacher: TeacherParameters, student: StudentParameters) -> Iterator[IdleSetting]:
    for field in ("pool_history", "early_life") if teacher.scope == "symbol" else ():
        if _changed(TeacherParameters, teacher, field):
            why = "TEACHER_SCOPE is symbol, and there is no pool"
            yield IdleSetting(f"TEACHER_{field.upper()}", getattr(teacher, field), why)
    corrects = teacher.scope == "pool" and student.scope == "symbol"
    if not corrects and _changed(StudentParameters, student, "own_rounds"):
        why = "only a student of STUDENT_SCOPE=symbol corrects that of a pool"
        yield IdleSetting("STUDENT_OWN_ROUNDS", student.own_rounds, why)


def _seed(prefix: str, parameters: BoosterParameters) -> Iterator[IdleSetting]:
    if _changed(BoosterParameters, parameters, "seed") and parameters.subsample == parameters.colsample_bytree == 1:
        yield IdleSetting(f"{prefix}_SEED", parameters.seed, "every tree sees all rows and all features")


def _tree(prefix: str, parameters: BoosterParameters, rows: int) -> Iterator[IdleSetting]:
    usual, deepest = usual_leaves(parameters, rows), 2**parameters.max_depth
    if parameters.num_leaves > deepest:
        why = f"a tree of {prefix}_MAX_DEPTH={parameters.max_depth} has {deepest} leaves at most"
        yield IdleSetting(f"{prefix}_NUM_LEAVES", parameters.num_leaves, why)
    elif parameters.num_leaves > _SLACK * usual:
        yield IdleSetting(
            f"{prefix}_NUM_LEAVES",
            parameters.num_leaves,
            f"{rows} rows with {prefix}_MIN_CHILD_SAMPLES={parameters.min_child_samples} make about {usual} leaves",
        )
    most = min(parameters.num_leaves, _SLACK * usual)
    # Every split of the deepest leaf makes a tree one deeper.
    if parameters.max_depth >= most - 1:
        leaves = f"at most {most}" if most == parameters.num_leaves else f"about {usual}"
        yield IdleSetting(f"{prefix}_MAX_DEPTH", parameters.max_depth, f"a tree of {leaves} leaves is no deeper")
