"""Parameters of teacher and student, with their bounds, and their LightGBM names."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ModelKind = Literal["teacher", "student"]
MODELS: tuple[ModelKind, ...] = ("teacher", "student")

LightGBMValue = int | float | str | bool


class BoosterParameters(BaseModel):
    """What teacher and student have in common; a subclass sets the defaults and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_leaves: int
    max_depth: int
    learning_rate: float
    n_estimators: int
    min_child_samples: int
    subsample: float
    colsample_bytree: float
    seed: int = Field(7, ge=0, le=2**31 - 1, description="Seed of bagging and feature sampling.")

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

    device_type: Literal["cpu", "gpu", "cuda"] = Field("cpu", description="Where LightGBM builds its trees.")
    gpu_platform_id: int = Field(0, ge=0, le=7, description="OpenCL platform.")
    gpu_device_id: int = Field(0, ge=0, le=7, description="Device of the platform.")
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

    def lightgbm(self) -> dict[str, LightGBMValue]:
        """As for every booster, with the binary objective and the device."""
        parameters = super().lightgbm() | {"objective": "binary", "device_type": self.device_type}
        if self.device_type != "cpu":
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

    num_leaves: int = Field(7, ge=2, le=1024, description="Most leaves a tree.")
    max_depth: int = Field(3, ge=1, le=20, description="Greatest depth of a tree.")
    learning_rate: float = Field(0.1, ge=0.001, le=1, description="Shrinkage of each tree.")
    n_estimators: int = Field(50, ge=1, le=5000, description="Boosting rounds.")
    min_child_samples: int = Field(10, ge=1, le=1000, description="Fewest rows a leaf.")
    subsample: float = Field(1.0, ge=0.1, le=1, description="Share of rows drawn anew for every tree.")
    colsample_bytree: float = Field(1.0, ge=0.1, le=1, description="Share of features drawn for every tree.")

    def lightgbm(self) -> dict[str, LightGBMValue]:
        """As for every booster, with an objective that takes probabilities as labels."""
        return super().lightgbm() | {"objective": "cross_entropy"}
