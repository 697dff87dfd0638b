"""Parameters of teacher and student, with their bounds, and their LightGBM names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

ModelKind = Literal["teacher", "student"]
MODELS: tuple[ModelKind, ...] = ("teacher", "student")

LightGBMValue = int | float | str | bool

Scope = Literal["symbol", "pool"]
"""Whose rows a model is trained on: its symbol's, or those of the whole universe."""

DeviceType = Literal["cpu", "gpu", "cuda"]
"""LightGBM's `device_type`; `gpu` is OpenCL."""


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """What LightGBM builds trees on, by its own numbers.

    Attributes
    ----------
    type
        Its kind.
    platform_id, device_id
        `gpu_platform_id` and `gpu_device_id`, from 0; a CPU has none, and CUDA knows no platforms.
    """

    type: DeviceType = "cpu"
    platform_id: int = 0
    device_id: int = 0

    @classmethod
    def of(cls, effective: Mapping[str, str]) -> Self:
        """The device that a booster was trained on, by the parameters in its text."""
        kind = effective.get("device_type")
        if kind not in ("gpu", "cuda"):
            return cls()
        platform = int(effective["gpu_platform_id"]) if kind == "gpu" else 0
        return cls("gpu" if kind == "gpu" else "cuda", platform, int(effective["gpu_device_id"]))

    def __str__(self) -> str:
        if self.type == "cpu":
            return "cpu"
        return f"gpu {self.platform_id}:{self.device_id}" if self.type == "gpu" else f"cuda {self.device_id}"


CPU = Device()


class BoosterParameters(BaseModel):
    """What teacher and student have in common; a subclass sets the defaults and bounds.

    A declared default is that of the scope `symbol`. What is not given takes the default of the scope that is; what is
    given always binds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    POOLED: ClassVar[Mapping[str, LightGBMValue]] = {}
    """Defaults of the scope `pool`, where they differ."""

    PLACING: ClassVar[frozenset[str]] = frozenset()
    """Fields that say which of several devices trains a window; no model is another one for them."""

    scope: Scope

    num_leaves: int
    max_depth: int
    learning_rate: float
    n_estimators: int
    min_child_samples: int
    subsample: float
    colsample_bytree: float
    seed: int = Field(7, ge=0, le=2**31 - 1, description="Seed of bagging and feature sampling.")

    @model_validator(mode="wrap")
    @classmethod
    def _take_defaults_of_scope(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(given, dict) or given.get("scope", cls.model_fields["scope"].default) != "pool":
            return handler(given)
        model = handler({**cls.POOLED, **given})
        # What the scope gives is not what somebody set.
        model.__pydantic_fields_set__ = {name for name in model.model_fields_set if name in given}
        return model

    @classmethod
    def default_of(cls, field: str, scope: Scope) -> Any:
        """What a field is in a scope where nobody sets it."""
        pooled = cls.POOLED if scope == "pool" else {}
        return pooled.get(field, cls.model_fields[field].default)

    @property
    def made_with(self) -> dict[str, LightGBMValue]:
        """The parameters that make a model another one, under their own names."""
        return self.model_dump(exclude=set(self.PLACING))

    def trained_as(self, effective: Mapping[str, str]) -> Self:  # noqa: ARG002  # a teacher's are of a device
        """The same on the device that a booster of these was trained on, by the parameters in its text."""
        return self

    def lightgbm(self) -> dict[str, LightGBMValue]:
        """The parameters under LightGBM's own names, as its model text spells them.

        One thread a window: windows run side by side, and two threads on a hundred rows cost more than they give.
        `deterministic` and a fixed histogram layout make trees identical over runs.
        """
        return {
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "num_iterations": self.n_estimators,
            "min_data_in_leaf": self.min_child_samples,
            "bagging_fraction": self.subsample,
            # Without a frequency LightGBM ignores the fraction.
            "bagging_freq": 1,
            "feature_fraction": self.colsample_bytree,
            "seed": self.seed,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


class TeacherParameters(BoosterParameters):
    """LightGBM parameters of a teacher (environment: `TEACHER_*`)."""

    # Chosen by walk-forward on synthetic markets and on NSE: docs/decisions/the-teacher-sees-the-universe.md.
    POOLED: ClassVar[Mapping[str, LightGBMValue]] = {
        "num_leaves": 15,
        "max_depth": 6,
        "learning_rate": 0.05,
        "n_estimators": 60,
        "min_child_samples": 100,
    }

    PLACING: ClassVar[frozenset[str]] = frozenset({"gpu_device_ids", "auto_gpu_from"})

    scope: Scope = Field(
        "pool", description="Rows that a teacher learns from: those of its symbol, or of the whole universe."
    )
    pool_history: str = Field(
        "all",
        pattern=r"^(all|[1-9]\d{0,3})$",
        description="Windows that a pooled teacher learns from: its own and those before it.",
    )
    early_life: Literal["pool", "separate"] = Field(
        "pool", description="Whether pairs of young symbols are in the pool, or have pools of their own."
    )
    device_type: Literal["auto", "cpu", "gpu", "cuda"] = Field(
        "cpu", description="Where LightGBM builds its trees; auto takes a GPU that is there for rows enough."
    )
    gpu_platform_id: int = Field(0, ge=0, le=7, description="OpenCL platform.")
    gpu_device_id: int = Field(0, ge=0, le=7, description="Device of the platform.")
    gpu_device_ids: str = Field(
        "",
        pattern=r"^(|all|[0-7](,[0-7])*)$",
        description="Devices of the platform that share the windows, such as 0,1; empty is the one above.",
    )
    auto_gpu_from: int = Field(
        2_000_000, ge=0, le=10**12, description="Training rows times leaves from which auto takes a GPU."
    )
    gpu_use_dp: bool = Field(False, description="Sum histograms in double precision on the GPU.")
    num_leaves: int = Field(127, ge=2, le=1024, description="Most leaves a tree.")
    max_depth: int = Field(9, ge=1, le=20, description="Greatest depth of a tree.")
    learning_rate: float = Field(0.01, ge=0.001, le=1, description="Shrinkage of each tree.")
    n_estimators: int = Field(500, ge=10, le=5000, description="Boosting rounds.")
    min_child_samples: int = Field(20, ge=1, le=1000, description="Fewest rows a leaf.")
    subsample: float = Field(0.8, ge=0.1, le=1, description="Share of rows drawn anew for every tree.")
    colsample_bytree: float = Field(0.8, ge=0.1, le=1, description="Share of features drawn for every tree.")
    early_stopping_rounds: int = Field(
        0, ge=0, le=1000, description="Rounds without a better validation loss; 0 is off."
    )
    folds: int = Field(5, ge=2, le=20, description="Purged folds of the out-of-fold soft targets.")

    def on(self, device: Device) -> Self:
        """The same on a device."""
        if device.type == self.device_type == "cpu":
            return self
        asked = {"device_type": device.type}
        ids = {} if device.type == "cpu" else {"gpu_platform_id": device.platform_id, "gpu_device_id": device.device_id}
        return self.model_copy(update=asked | ids)

    def trained_as(self, effective: Mapping[str, str]) -> Self:
        """As for every booster: what chose the device, or went elsewhere without it, stands in the record."""
        return self if self.device_type == "cpu" else self.on(Device.of(effective))

    def lightgbm(self) -> dict[str, LightGBMValue]:
        """As for every booster, with the binary objective and the device; `auto` that nobody has placed is the CPU."""
        device_type = "cpu" if self.device_type == "auto" else self.device_type
        parameters = super().lightgbm() | {"objective": "binary", "device_type": device_type}
        if device_type != "cpu":
            # The GPU learners build histograms by column only.
            del parameters["force_row_wise"]
            parameters |= {
                "force_col_wise": True,
                "gpu_platform_id": self.gpu_platform_id,
                "gpu_device_id": self.gpu_device_id,
                "gpu_use_dp": self.gpu_use_dp,
            }
        return parameters


class StudentParameters(BoosterParameters):
    """LightGBM parameters of a student (environment: `STUDENT_*`): far fewer leaves and rounds than a teacher."""

    POOLED: ClassVar[Mapping[str, LightGBMValue]] = {
        "num_leaves": 15,
        "max_depth": 4,
        "n_estimators": 60,
        "min_child_samples": 100,
    }

    scope: Scope = Field(
        "pool",
        description="Whose rows teach a student of a pooled teacher: the universe's; with symbol, its own correct it.",
    )
    num_leaves: int = Field(7, ge=2, le=1024, description="Most leaves a tree.")
    max_depth: int = Field(3, ge=1, le=20, description="Greatest depth of a tree.")
    learning_rate: float = Field(0.1, ge=0.001, le=1, description="Shrinkage of each tree.")
    n_estimators: int = Field(50, ge=1, le=5000, description="Boosting rounds.")
    min_child_samples: int = Field(10, ge=1, le=1000, description="Fewest rows a leaf.")
    subsample: float = Field(1.0, ge=0.1, le=1, description="Share of rows drawn anew for every tree.")
    colsample_bytree: float = Field(1.0, ge=0.1, le=1, description="Share of features drawn for every tree.")
    own_rounds: int = Field(
        10, ge=1, le=5000, description="Boosting rounds of a symbol's correction of its pool's shared student."
    )

    @property
    def shared(self) -> Self:
        """Parameters of the student that the symbols of a pool share: these, or with the scope `symbol` the pool's.

        What differs from the defaults of the scope `symbol` was set, and binds in both.
        """
        if self.scope == "pool":
            return self
        fields = type(self).model_fields.items()
        chosen = {name: value for name, field in fields if (value := getattr(self, name)) != field.default}
        return type(self).model_validate(chosen | {"scope": "pool"})

    @property
    def correction(self) -> Self:
        """Parameters of a symbol's correction of that student."""
        return self.model_copy(update={"n_estimators": self.own_rounds})

    def lightgbm(self) -> dict[str, LightGBMValue]:
        """As for every booster, with an objective that takes probabilities as labels."""
        return super().lightgbm() | {"objective": "cross_entropy"}
