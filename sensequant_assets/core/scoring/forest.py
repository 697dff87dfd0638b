"""Trees of many LightGBM models as flat arrays, walked for all rows and trees at once, without LightGBM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import trees_of
from sensequant_assets.errors import UsageError

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

_ZERO = float(np.float32(1e-35))
"""Greatest size of a feature that LightGBM takes for zero."""

_CURSORS = 1 << 19
"""Places in trees that are walked at once: 30 MB."""

_CATEGORICAL, _DEFAULT_LEFT, _ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2, 4, 8
"""Bits of LightGBM's `decision_type`; without one of the last two, a missing value is the number zero."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees of one or more models, node after node; inner nodes of a tree before its leaves, its root first.

    Attributes
    ----------
    feature
        Column that an inner node asks, shape (nodes,); 0 for a leaf.
    value
        Of an inner node its threshold: a row whose feature is not above it goes left. Of a leaf what it adds to the
        log-odds. Shape (nodes,).
    children
        Left and right child of a node, shape (nodes, 2); a leaf is its own.
    nan_left, zero_left
        Whether a row whose feature is NaN, or zero, goes left, shape (nodes,).
    root
        Node that a tree begins with, shape (trees,).
    first
        Place in `root` of the first tree of a model, and behind the last one of all, shape (models + 1,).
    depth
        Of the deepest tree of a model, shape (models,).
    sigmoid
        What a model multiplies its log-odds with, shape (models,).
    """

    feature: Ints
    value: Floats
    children: Ints
    nan_left: Bools
    zero_left: Bools
    root: Ints
    first: Ints
    depth: Ints
    sigmoid: Floats

    def probability(self, model: NDArray[np.int64], features: Floats) -> Floats:
        """What models say of rows: the numbers of LightGBM's `predict`, for each row those of one model.

        Parameters
        ----------
        model
            Number of the model that is asked of a row, shape (rows,).
        features
            Shape (rows, features); any of them may be NaN or infinite.

        Returns
        -------
        ndarray
            Probability of label 1, shape (rows,). What is said of a row does not depend, to the last bit, on the rows
            that are asked beside it.
        """
        trees = self.first[1:] - self.first[:-1]
        rows = max(1, _CURSORS // max(1, int(trees.max(initial=0))))
        # LightGBM never hands on a feature of this size.
        near = np.where(np.abs(features) <= _ZERO, 0.0, features)
        log_odds = np.empty(len(model))
        for begin in range(0, len(model), rows):
            part = slice(begin, begin + rows)
            log_odds[part] = self._log_odds(model[part], near[part])
        with np.errstate(over="ignore"):
            probability: Floats = 1 / (1 + np.exp(-self.sigmoid[model] * log_odds))
        return probability

    def _log_odds(self, model: NDArray[np.int64], features: Floats) -> Floats:
        """Sums over the trees of each row's model, in their order."""
        trees = self.first[model + 1] - self.first[model]
        row = np.repeat(np.arange(len(model)), trees)
        within = np.arange(len(row)) - np.repeat(np.cumsum(trees) - trees, trees)
        node = self.root[self.first[model][row] + within]
        asked, start, children = features.ravel(), row * features.shape[1], self.children.ravel()
        for _ in range(int(self.depth[model].max(initial=0))):
            value = asked[start + self.feature[node]]
            left = value <= self.value[node]
            left = np.where(value == 0, self.zero_left[node], left)
            left = np.where(np.isnan(value), self.nan_left[node], left)
            node = children[2 * node + ~left]
        # It adds one number after the other, as LightGBM does; `sum` adds pairs, other ones for other shapes.
        added: Floats = np.bincount(row, weights=self.value[node], minlength=len(model)).astype(np.float64, copy=False)
        return added


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree; attributes as of `Forest`, children counted from its root."""

    feature: Ints
    value: Floats
    children: Ints
    nan_left: Bools
    zero_left: Bools


def forest_of(texts: Mapping[str, str], feature_names: Sequence[str]) -> Forest:
    """Read models' texts, as LightGBM 4 writes them.

    Parameters
    ----------
    texts
        A name of each model by its text; the models are numbered in this order. They say probabilities, by numerical
        splits and leaves that are numbers.
    feature_names
        Of the columns of a row.

    Raises
    ------
    UsageError
        A text is something else.
    """
    models = []
    for text, name in texts.items():
        try:
            models.append(_model(text, feature_names))
        except ValueError as error:
            raise UsageError(f"The model of {name} {error}. It cannot be asked without LightGBM.") from error
    trees = [tree for model in models for tree in model.trees]
    root = np.cumsum([0, *(len(tree.value) for tree in trees)])[:-1]
    children = [tree.children + first for tree, first in zip(trees, root, strict=True)]
    return Forest(
        feature=np.concatenate([tree.feature for tree in trees]),
        value=np.concatenate([tree.value for tree in trees]),
        children=np.concatenate(children).astype(np.int32),
        nan_left=np.concatenate([tree.nan_left for tree in trees]),
        zero_left=np.concatenate([tree.zero_left for tree in trees]),
        root=root.astype(np.int32),
        first=np.cumsum([0, *(len(model.trees) for model in models)]).astype(np.int32),
        depth=np.array([model.depth for model in models], dtype=np.int32),
        sigmoid=np.array([model.sigmoid for model in models]),
    )


@dataclass(frozen=True, slots=True)
class _Model:
    """One model; depth and sigmoid as of `Forest`."""

    trees: Sequence[_Tree]
    depth: int
    sigmoid: float


def _model(text: str, feature_names: Sequence[str]) -> _Model:
    """A model of its text; `ValueError` for one that is not understood, whose sentence goes on from its name."""
    grown, end, _ = text.partition("\nend of trees")
    header, *blocks = grown.split("\nTree=")
    said = _entries(header)
    if not header.startswith("tree\n") or said.get("version") != "v4":
        raise ValueError("is no text of LightGBM's version v4")
    if not end or not blocks or len(blocks) != len(said.get("tree_sizes", "").split()):
        raise ValueError("is cut: it has not the trees that its header tells of")
    objective, _, details = said.get("objective", "").partition(" ")
    if objective not in ("binary", "cross_entropy") or said.get("num_tree_per_iteration") != "1":
        raise ValueError(f"has the objective {objective or 'of nobody'}, which gives no probability of a label")
    if "\naverage_output" in header:
        raise ValueError("is a random forest, whose trees are averaged and not added")
    if said.get("feature_names", "").split() != list(feature_names):
        raise ValueError("asks for other features than the rows have, or in another order")
    trees = [_tree(_entries(block), len(feature_names)) for block in blocks]
    sigmoid = float(details.removeprefix("sigmoid:")) if objective == "binary" else 1.0
    return _Model(trees, trees_of(text).largest_depth, sigmoid)


def _entries(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _tree(said: dict[str, str], features: int) -> _Tree:
    """One tree of its entries."""
    if said.get("is_linear", "0") != "0":
        raise ValueError("has linear trees, whose leaves are no numbers")
    leaves = _floats(said, "leaf_value")
    inner, nodes = len(leaves) - 1, 2 * len(leaves) - 1
    feature, decision = _integers(said, "split_feature", inner), _integers(said, "decision_type", inner)
    if (decision & _CATEGORICAL).any() or said.get("num_cat") != "0":
        raise ValueError("asks for categories, and a row has numbers alone")
    children = np.stack([_integers(said, "left_child", inner), _integers(said, "right_child", inner)], axis=1)
    # A negative child is a leaf: -1 the first, -2 the second; leaves stand behind the inner nodes.
    children = np.where(children < 0, inner + ~children, children)
    threshold = _floats(said, "threshold")
    whole = sorted(children.ravel().tolist()) == list(range(1, nodes)) and (children > np.arange(inner)[:, None]).all()
    if not whole or len(threshold) != inner or ((feature < 0) | (feature >= features)).any():
        raise ValueError("has a tree whose nodes are not all reached, each once")
    default, zero = (decision & _DEFAULT_LEFT) != 0, threshold >= 0
    leaf = np.arange(inner, nodes)
    either = np.zeros(len(leaves), dtype=np.bool_)
    # A missing value takes the default way where the split knows missing values, and is a zero where it knows none.
    knows = (decision & (_ZERO_IS_MISSING | _NAN_IS_MISSING)) != 0
    return _Tree(
        feature=np.concatenate([feature, np.zeros(len(leaves), dtype=np.int32)]),
        value=np.concatenate([threshold, leaves]),
        children=np.concatenate([children, np.stack([leaf, leaf], axis=1)]).astype(np.int32),
        nan_left=np.concatenate([np.where(knows, default, zero), either]),
        zero_left=np.concatenate([np.where((decision & _ZERO_IS_MISSING) != 0, default, zero), either]),
    )


def _floats(said: dict[str, str], name: str) -> Floats:
    return np.array([float(number) for number in said.get(name, "").split()])


def _integers(said: dict[str, str], name: str, count: int) -> Ints:
    numbers = np.array([int(number) for number in said.get(name, "").split()], dtype=np.int32)
    if len(numbers) != count:
        raise ValueError(f"has a tree with {len(numbers)} entries of {name} where {count} belong")
    return numbers
