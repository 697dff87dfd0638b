"""What models look at: how far each feature moves what they say of rows that they have not seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.core.bars import Floats

if TYPE_CHECKING:
    import lightgbm as lgb

EVERY = 10
"""One test row in so many is asked: contributions cost more than predictions."""


@dataclass(slots=True)
class Importance:
    """Contributions of features to what models say, summed over rows.

    Attributes
    ----------
    names
        Of the features.
    total
        Sum over rows of the absolute contribution to the log-odds, shape (features,).
    rows, models
        How many were asked.
    """

    names: Sequence[str] = ()
    total: Floats = field(default_factory=lambda: np.empty(0))
    rows: int = 0
    models: int = 0

    def add(self, booster: "lgb.Booster", names: Sequence[str], features: Floats, *, new: bool) -> None:
        """Ask a model about one row in `EVERY`.

        Parameters
        ----------
        booster
            The model; LightGBM computes the contributions (Lundberg et al. 2018).
        names
            Of the features; rows with others than the first ones had are left out.
        features
            Test rows, shape (rows, features).
        new
            Whether the model has not been asked before.
        """
        asked = features[::EVERY]
        if not self.names:
            self.names, self.total = tuple(names), np.zeros(len(names))
        if not len(asked) or tuple(names) != self.names:
            return
        told = np.asarray(booster.predict(asked, pred_contrib=True, num_threads=1), dtype=np.float64)
        # The last column is what a model says without any feature.
        self.total += np.abs(told[:, :-1]).sum(axis=0)
        self.rows += len(asked)
        self.models += new

    def as_json(self) -> dict[str, Any]:
        """Features by their share, the largest first; a model that never splits has none."""
        order = np.argsort(-self.total, kind="stable")
        return {
            "every": EVERY,
            "rows": self.rows,
            "models": self.models,
            "features": [
                {"feature": self.names[at], "log_odds": float(self.total[at]) / self.rows,
                 "share": float(self.total[at] / self.total.sum())}
                for at in order
                if self.total[at] > 0
            ],
        }  # fmt: skip
