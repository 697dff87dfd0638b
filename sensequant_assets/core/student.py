"""The student: a small booster distilled from a teacher's out-of-fold probabilities."""

from typing import TYPE_CHECKING

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import Expired, fit, never
from sensequant_assets.core.parameters import StudentParameters
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.splits import Positions

if TYPE_CHECKING:
    import lightgbm as lgb


def train_student(
    samples: Samples,
    train: Positions,
    soft_targets: Floats,
    parameters: StudentParameters,
    *,
    expired: Expired = never,
) -> "lgb.Booster":
    """Train a student on the rows its teacher was trained on.

    Parameters
    ----------
    samples
        Features of the symbol.
    train
        Positions of the training rows, shape (rows,).
    soft_targets
        The teacher's out-of-fold probabilities of those rows, shape (rows,). Out of fold, because what a teacher says
        of rows it was fitted to is nearly their label, and carries nothing that the label does not
        (Stacking: Wolpert 1992).
    parameters
        Of the student.
    expired
        Asked once a boosting round.
    """
    return fit(
        samples.features[train],
        soft_targets,
        parameters.lightgbm(),
        feature_names=samples.feature_names,
        expired=expired,
    )
