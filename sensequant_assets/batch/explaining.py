"""Why a student says what it says of a bar: how far each feature moves it, by the pool's trees and by the symbol's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.batch.prediction import MEANING, Flag, newest_bars, predict
from sensequant_assets.batch.serving import Standing
from sensequant_assets.core.bars import Floats
from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.records import Prediction

if TYPE_CHECKING:
    import lightgbm as lgb


@dataclass(frozen=True, slots=True)
class Moved:
    """What a feature does.

    Attributes
    ----------
    feature, value
        Its name, and what it is at this bar.
    pool, symbol
        By how much it moves the log-odds: by trees that all symbols of a pool share, and by those that learned from
        this symbol alone.
    """

    feature: str
    value: float
    pool: float
    symbol: float

    @property
    def together(self) -> float:
        """By both."""
        return self.pool + self.symbol


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a student says what it says of a bar.

    Attributes
    ----------
    prediction
        What it says.
    base
        Log-odds that it says without any feature.
    moved
        By feature, what moves most first; with the base they are the log-odds of what is said.
    remarks
        What is to be known of it, in words.
    """

    prediction: Prediction
    base: float
    moved: Sequence[Moved]
    remarks: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        said = self.prediction
        return {
            "symbol": said.symbol, "time": str(said.time), "p": said.p, "p_raw": said.p_raw, "base_log_odds": self.base,
            "features": [
                {"feature": one.feature, "value": one.value, "pool": one.pool, "symbol": one.symbol}
                for one in self.moved
            ],
            "remarks": list(self.remarks),
        }  # fmt: skip


def explain(standing: Standing, symbol: str, day: date | None) -> Explanation:
    """Explain what the student of a symbol says of its last bar on a day or before it.

    Parameters
    ----------
    standing
        The students.
    symbol, day
        Which bar; None for the newest.

    Returns
    -------
    Explanation
        Contributions are LightGBM's own (SHAP values of trees, Lundberg et al. 2018).

    Raises
    ------
    UsageError
        There is no such bar, or no student.
    """
    import lightgbm as lgb

    bars = newest_bars(standing.market, [symbol], day)
    said = predict(standing, bars, utc_now())
    if not said.rows:
        raise UsageError(said.missing[symbol])
    who = standing.who_serves(symbol) or symbol
    booster = lgb.Booster(model_str=standing.pack.text(who))
    shared = booster.num_trees() if standing.market.pooled else 0
    if standing.student.scope == "symbol":
        shared = max(shared - standing.student.own_rounds, 0)
    whole, by_pool = (_contributions(booster, bars.features, trees) for trees in (booster.num_trees(), shared))
    of_symbol = whole - by_pool
    moved = [
        Moved(name, float(bars.features[0, place]), float(by_pool[place]), float(of_symbol[place]))
        for place, name in enumerate(bars.feature_names)
    ]
    entry = standing.pack.entry(who)
    flags = [Flag(flag) for flag in str(said.rows[0].flags).split(", ")]
    remarks = [f"{flag}: {MEANING[flag]}." for flag in flags]
    remarks += [entry.fallback] if entry.fallback else []
    if entry.calibration and entry.calibration.nothing_learned:
        remarks.append("Rows that its teacher had not seen did not bear it out: every row is served the base rate.")
    return Explanation(said.rows[0], float(whole[-1]), sorted(moved, key=lambda one: -abs(one.together)), remarks)


def _contributions(booster: "lgb.Booster", features: Floats, trees: int) -> Floats:
    """Contribution of each feature and, last, of none, by the first trees of a model, shape (features + 1,)."""
    if not trees:
        return np.zeros(features.shape[1] + 1)
    told = booster.predict(features, pred_contrib=True, num_iteration=trees, num_threads=1)
    by_feature: Floats = np.asarray(told, dtype=np.float64)[0]
    return by_feature
