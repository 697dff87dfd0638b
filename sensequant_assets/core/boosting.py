"""One LightGBM booster: fit it, read its parameters back, identify its trees."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.parameters import LightGBMValue
from sensequant_assets.errors import FailureKind, WindowError

if TYPE_CHECKING:
    import lightgbm as lgb

Expired = Callable[[], bool]
"""Whether the window's time is up; asked once a boosting round."""

_PARAMETER = re.compile(r"^\[(\w+): (.*)\]$", re.MULTILINE)


def never() -> bool:
    """The deadline of work without one."""
    return False


def fit(
    features: Floats,
    target: Floats,
    parameters: Mapping[str, LightGBMValue],
    *,
    feature_names: tuple[str, ...],
    expired: Expired = never,
    validation: tuple[Floats, Floats] | None = None,
    early_stopping_rounds: int = 0,
) -> "lgb.Booster":
    """Train a booster, by the rounds that `lightgbm.train` would run.

    A round that finds no split adds no tree, and the next one, on another draw of rows and features, may find one.

    Parameters
    ----------
    features, target
        Shapes (rows, features) and (rows,).
    parameters
        Under LightGBM's own names, `num_iterations` included.
    feature_names
        Names of the columns.
    expired
        Asked once a round; when true the window fails with kind `timeout`.
    validation
        Features and labels to stop early by; needed only with `early_stopping_rounds`.
    early_stopping_rounds
        Rounds without a better loss on `validation` after which training stops; 0 is off.

    Raises
    ------
    WindowError
        Of kind `timeout`.
    """
    # A batch that reuses every model trains none, and LightGBM brings SciPy.
    import lightgbm as lgb

    passed = dict(parameters)
    rounds = int(passed["num_iterations"])
    table = lgb.Dataset(features, target, feature_name=list(feature_names), params=passed, free_raw_data=False)
    stopping = validation is not None and early_stopping_rounds > 0
    booster = lgb.Booster(passed, table)
    if stopping and validation is not None:
        booster.add_valid(table.create_valid(*validation), "valid")
    best_loss, best_round = float("inf"), 0
    for done in range(1, rounds + 1):
        if expired():
            raise WindowError(FailureKind.TIMEOUT, f"Time was up after {done - 1} of {rounds} boosting rounds.")
        booster.update()
        if stopping:
            loss = booster.eval_valid()[0][2]
            if loss < best_loss:
                best_loss, best_round = loss, done
            elif done - best_round >= early_stopping_rounds:
                booster.best_iteration = best_round
                break
    return booster


def effective_parameters(model_text: str) -> dict[str, str]:
    """The parameters as LightGBM wrote them into its model text, by name."""
    return dict(_PARAMETER.findall(model_text[model_text.rfind("\nparameters:") :]))


def check_parameters(asked: Mapping[str, LightGBMValue], effective: Mapping[str, str]) -> None:
    """Compare what was asked with what the booster took.

    Raises
    ------
    WindowError
        Of kind `parameter_mismatch`: names each parameter, the value asked for and the value taken.
    """
    wrong = [
        f"{name} was asked as {value} and is {effective.get(name, 'not there')}"
        for name, value in asked.items()
        if not _same(value, effective.get(name))
    ]
    if wrong:
        raise WindowError(
            FailureKind.PARAMETER_MISMATCH, "LightGBM did not take the parameters: " + "; ".join(wrong) + "."
        )


def _same(asked: LightGBMValue, effective: str | None) -> bool:
    if effective is None:
        return False
    if isinstance(asked, str):
        return asked == effective
    try:
        # LightGBM writes numbers with six digits.
        return float(effective) in (float(asked), float(f"{asked:.6g}"))
    except ValueError:
        return False


def trees_fingerprint(model_text: str) -> str:
    """Identity of the trees: the part of the model text before its parameters, hashed."""
    trees = model_text[: model_text.rfind("\nparameters:")]
    return hashlib.blake2b(trees.encode(), digest_size=16).hexdigest()
