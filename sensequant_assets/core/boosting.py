"""One LightGBM booster: fit it, read its parameters back, identify its trees."""

import hashlib
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from threading import get_ident
from typing import TYPE_CHECKING

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.parameters import LightGBMValue
from sensequant_assets.errors import FailureKind, WindowError

if TYPE_CHECKING:
    from types import ModuleType

    import lightgbm as lgb

Expired = Callable[[], bool]
"""Whether the window's time is up; asked once a boosting round."""

_PARAMETER = re.compile(r"^\[(\w+): (.*)\]$", re.MULTILINE)
_CHILDREN = re.compile(r"\nleft_child=(.*)\nright_child=(.*)\n")
_LEAF_VALUES = re.compile(r"\nleaf_value=(.*)\n")

# What LightGBM imports if it is there, for classes and tables that nobody here hands it. On ARM under an old libc,
# scikit-learn can only be loaded before LightGBM.
_NOT_FOR_LIGHTGBM = {"pandas", "sklearn"} - ({"sklearn"} if platform.machine() == "aarch64" else set())

# Parameters by which trees grow on binned rows; the others may say how rows are binned.
_GROWING = {
    "bagging_fraction", "bagging_freq", "feature_fraction", "learning_rate", "max_depth", "num_iterations",
    "num_leaves", "objective",
}  # fmt: skip

# Leaves that differ by less than this are one: a split whose gain is rounding alone gives such leaves.
_SAME_LOG_ODDS = 1e-9


def never() -> bool:
    """The deadline of work without one."""
    return False


class _Hidden(MetaPathFinder):
    """Says of packages that they are not there, to the thread that has made it alone."""

    def __init__(self, packages: set[str]) -> None:
        self._packages = packages
        self._thread = get_ident()

    def find_spec(self, name: str, path: object = None, target: "ModuleType | None" = None) -> None:  # noqa: ARG002  # Python calls it so
        if name in self._packages and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not for this import", name=name)


@contextmanager
def training_alone() -> Iterator[None]:
    """Import LightGBM within this without what training does not need: it takes a fifth of the time.

    What is imported already is seen as ever, and other threads see everything.
    """
    hidden = _Hidden(_NOT_FOR_LIGHTGBM)
    sys.meta_path.insert(0, hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)


def fit(
    features: Floats,
    target: Floats,
    parameters: Mapping[str, LightGBMValue],
    *,
    feature_names: tuple[str, ...],
    expired: Expired = never,
    validation: tuple[Floats, Floats] | None = None,
    early_stopping_rounds: int = 0,
    same_features: "lgb.Booster | None" = None,
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
        Rounds without a better loss on `validation` after which training stops; 0 is off. The booster then predicts
        with, and is saved with, the rounds up to the best one, whether it stopped or not, as after `lightgbm.train`.
    same_features
        A booster that `fit` has trained on the same features, whose bins serve again if these parameters would make the
        same and it was not sent here by another process; it trains no further. Binning takes half as long as sixty
        small trees.

    Raises
    ------
    WindowError
        Of kind `timeout`.
    """
    # A batch that reuses every model trains none, and LightGBM brings SciPy.
    with training_alone():
        import lightgbm as lgb

    passed = dict(parameters)
    binned = getattr(same_features, "train_set", None)
    if same_features and binned and _binning(same_features.params) == _binning(passed):
        table = binned.set_label(target)
    else:
        table = lgb.Dataset(features, target, feature_name=list(feature_names), params=passed, free_raw_data=False)
    booster = lgb.Booster(passed, table)
    stopping = validation is not None and early_stopping_rounds > 0
    if stopping and validation is not None:
        booster.add_valid(table.create_valid(*validation), "valid")
    best_round = _boost(booster, int(passed["num_iterations"]), expired, early_stopping_rounds if stopping else 0)
    if stopping:
        booster.best_iteration = best_round
    return booster


def _boost(booster: "lgb.Booster", rounds: int, expired: Expired, early_stopping_rounds: int) -> int:
    """Run the rounds of `fit`; the best one of them where it stops early, else 0."""
    best_loss, best_round = float("inf"), 0
    for done in range(1, rounds + 1):
        if expired():
            raise WindowError(FailureKind.TIMEOUT, f"Time was up after {done - 1} of {rounds} boosting rounds.")
        booster.update()
        if early_stopping_rounds:
            loss = booster.eval_valid()[0][2]
            if loss < best_loss:
                best_loss, best_round = loss, done
            elif done - best_round >= early_stopping_rounds:
                break
    return best_round


def _binning(parameters: Mapping[str, LightGBMValue]) -> dict[str, LightGBMValue]:
    """Of parameters those by which rows may be binned otherwise."""
    return {"device_type": "cpu"} | {name: value for name, value in parameters.items() if name not in _GROWING}


def fit_further(
    begun: "lgb.Booster",
    features: Floats,
    target: Floats,
    parameters: Mapping[str, LightGBMValue],
    *,
    feature_names: tuple[str, ...],
    expired: Expired = never,
) -> "lgb.Booster":
    """Train a booster on what another one leaves over; arguments as of `fit`.

    Returns
    -------
    Booster
        With the trees of `begun`, which stays as it is, before its own.
    """
    import lightgbm as lgb

    passed = dict(parameters)
    rounds = int(passed.pop("num_iterations"))

    def look(round_: "lgb.callback.CallbackEnv") -> None:
        if expired():
            done = round_.iteration - round_.begin_iteration
            raise WindowError(FailureKind.TIMEOUT, f"Time was up after {done} of {rounds} further boosting rounds.")

    look.before_iteration = True  # type: ignore[attr-defined]  # how LightGBM tells such callbacks
    table = lgb.Dataset(features, target, feature_name=list(feature_names), params=passed, free_raw_data=False)
    return lgb.train(passed, table, num_boost_round=rounds, init_model=begun, callbacks=[look])


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


@dataclass(frozen=True, slots=True)
class Trees:
    """What the trees of a model text are.

    Attributes
    ----------
    count
        How many there are; one without a split, which holds the base rate, counts as well.
    largest_leaves, largest_depth
        Leaves of the tree that has most, and depth of the deepest; 1 and 0 where none splits.
    constant
        Whether the model says the same of every row: no tree splits, or only into leaves of one value.
    """

    count: int
    largest_leaves: int
    largest_depth: int
    constant: bool


def trees_of(model_text: str) -> Trees:
    """Read the trees of a model text: what came of `num_leaves` and `max_depth`."""
    # Hundreds of small trees have few shapes.
    shapes = {(left, right) for left, right in _CHILDREN.findall(model_text)}
    return Trees(
        count=model_text.count("\nTree="),
        largest_leaves=max((len(left.split()) for left, _ in shapes), default=0) + 1,
        largest_depth=max((_depth(left, right) for left, right in shapes), default=0),
        constant=all(_is_one_value(found.group(1)) for found in _LEAF_VALUES.finditer(model_text)),
    )


def _depth(left: str, right: str) -> int:
    """Depth of a tree by the children of its inner nodes; a negative child is a leaf, and none precedes its parent."""
    children = [(int(one), int(other)) for one, other in zip(left.split(), right.split(), strict=True)]
    depth = [1] * len(children)
    for node, both in enumerate(children):
        for child in both:
            if child >= 0:
                depth[child] = depth[node] + 1
    return max(depth, default=0)


def _is_one_value(leaves: str) -> bool:
    values = [float(value) for value in leaves.split()]
    return max(values) - min(values) <= _SAME_LOG_ODDS


def trees_fingerprint(model_text: str) -> str:
    """Identity of the trees: the part of the model text before its parameters, hashed."""
    trees = model_text[: model_text.rfind("\nparameters:")]
    return hashlib.blake2b(trees.encode(), digest_size=16).hexdigest()
