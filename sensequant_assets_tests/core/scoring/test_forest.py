"""Claims about trees that are asked without LightGBM, which is asked beside them."""

import re
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import fit, fit_further
from sensequant_assets.core.scoring.forest import forest_of
from sensequant_assets.errors import UsageError
from sensequant_assets_tests.making import QUICK_STUDENT

NAMES = ("first", "second", "third", "fourth")
TINY = float(np.float32(1e-35))


def grown(seed: int, target: str = "cross_entropy", *, missing: bool = True, **parameters: Any) -> lgb.Booster:
    """A model of rows some of which are NaN, zero, tiny or huge."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(60, 200))
    features = rng.normal(size=(rows, len(NAMES))) * rng.choice([1e-3, 1.0, 1e6], size=len(NAMES))
    features[rng.random(features.shape) < 0.2] = 0.0
    if missing:
        features[rng.random(features.shape) < 0.2] = np.nan
    label = (np.nan_to_num(features[:, 0]) + rng.normal(size=rows) > 0).astype(float)
    asked = {"objective": target, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": seed, **parameters}
    return lgb.train(asked, lgb.Dataset(features, label, feature_name=list(NAMES)), int(rng.integers(1, 25)))


def asked_of(booster: lgb.Booster, seed: int) -> Floats:
    """Rows of every kind: ordinary, at the very thresholds and next to them, missing, infinite, zero, tiny."""
    rng = np.random.default_rng(seed)
    trees = booster.trees_to_dataframe()
    thresholds = trees["threshold"].dropna().to_numpy(dtype=float)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, TINY, -TINY, 1e-36, 2e-35, -2e-35, 1e300, -1e300, *thresholds]
    odd += [np.nextafter(one, to) for one in thresholds for to in (np.inf, -np.inf)]
    rows = rng.normal(size=(400, len(NAMES))) * rng.choice([1e-3, 1.0, 1e6], size=(400, 1))
    mixed: Floats = np.where(rng.random(rows.shape) < 0.6, rng.choice(odd, size=rows.shape), rows)
    return mixed


KINDS: dict[str, dict[str, Any]] = {
    "missing": {},
    "none missing": {"missing": False},
    "zero as missing": {"zero_as_missing": True},
    "missing as zero": {"use_missing": False},
    "binary": {"target": "binary", "sigmoid": 0.7},
    "from zero": {"boost_from_average": False},
    "deep": {"num_leaves": 60, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0},
    "constant": {"min_data_in_leaf": 1000},
    "dart": {"boosting": "dart"},
    "stumps": {"num_leaves": 2, "bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_a_forest_says_what_lightgbm_says(kind, seed):
    booster = grown(seed, **KINDS[kind])
    features = asked_of(booster, seed)
    forest = forest_of({booster.model_to_string(): "AAA"}, NAMES)
    said = forest.probability(np.zeros(len(features), dtype=np.int64), features)
    np.testing.assert_allclose(said, booster.predict(features), rtol=0, atol=1e-15)


def test_each_row_is_asked_of_its_own_model_whatever_the_order():
    boosters = [grown(seed, num_leaves=leaves) for seed, leaves in enumerate((2, 31, 7))]
    forest = forest_of({one.model_to_string(): str(at) for at, one in enumerate(boosters)}, NAMES)
    features = asked_of(boosters[1], 5)
    model = np.random.default_rng(1).integers(0, 3, size=len(features))
    each = np.array([one.predict(features) for one in boosters])
    np.testing.assert_allclose(
        forest.probability(model, features), each[model, np.arange(len(model))], rtol=0, atol=1e-15
    )


def test_an_answer_does_not_depend_on_the_rows_beside_it_to_the_last_bit(monkeypatch):
    booster = grown(3, num_leaves=31)
    forest = forest_of({booster.model_to_string(): "AAA"}, NAMES)
    features = asked_of(booster, 3)
    model = np.zeros(len(features), dtype=np.int64)
    together = forest.probability(model, features)
    alone = [forest.probability(model[:1], features[at : at + 1]) for at in range(len(features))]
    assert np.concatenate(alone).tobytes() == together.tobytes()
    monkeypatch.setattr("sensequant_assets.core.scoring.forest._CURSORS", 100)
    assert forest.probability(model, features).tobytes() == together.tobytes()


def test_no_row_has_no_answer():
    forest = forest_of({grown(0).model_to_string(): "AAA"}, NAMES)
    assert forest.probability(np.empty(0, dtype=np.int64), np.empty((0, len(NAMES)))).shape == (0,)


def test_an_early_stopped_model_is_asked_with_the_trees_that_its_text_has():
    rng = np.random.default_rng(2)
    features, label = rng.normal(size=(200, 4)), rng.integers(0, 2, size=200).astype(float)
    booster = fit(
        features[:100],
        label[:100],
        QUICK_STUDENT.lightgbm() | {"num_iterations": 60},
        feature_names=NAMES,
        validation=(features[100:], label[100:]),
        early_stopping_rounds=3,
    )
    assert booster.best_iteration < booster.current_iteration()
    forest = forest_of({booster.model_to_string(): "AAA"}, NAMES)
    said = forest.probability(np.zeros(200, dtype=np.int64), features)
    np.testing.assert_allclose(said, booster.predict(features), rtol=0, atol=1e-15)


def test_a_corrected_model_is_asked_with_the_trees_of_both():
    rng = np.random.default_rng(2)
    features, label = rng.normal(size=(200, 4)), rng.random(200)
    asked = QUICK_STUDENT.lightgbm()
    begun = fit(features, label, asked, feature_names=NAMES)
    booster = fit_further(begun, features[:50], label[:50], asked, feature_names=NAMES)
    forest = forest_of({booster.model_to_string(): "AAA"}, NAMES)
    said = forest.probability(np.zeros(200, dtype=np.int64), features)
    np.testing.assert_allclose(said, booster.predict(features), rtol=0, atol=1e-15)
    assert (said != begun.predict(features)).any()


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"linear_tree": True}, "has linear trees"),
        ({"categories": [0]}, "asks for categories"),
        ({"objective": "regression"}, "has the objective regression, which gives no probability of a label"),
        ({"objective": "multiclass", "num_class": 2}, "has the objective multiclass"),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "is a random forest"),
    ],
    ids=["linear", "categorical", "regression", "multiclass", "averaged"],
)
def test_a_model_of_another_kind_is_refused_by_its_name(parameters, why):
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.integers(0, 9, size=300), *rng.normal(size=(3, 300))]).astype(float)
    label = ((features[:, 0] % 2 == 0) ^ (features[:, 1] > 0)).astype(float)
    asked = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_per_group": 1} | parameters
    categories = asked.pop("categories", [])
    table = lgb.Dataset(features, label, feature_name=list(NAMES), categorical_feature=categories)
    text = lgb.train(asked, table, 3).model_to_string()
    with pytest.raises(UsageError, match=f"^The model of AAA {why}.*without LightGBM.$"):
        forest_of({text: "AAA"}, NAMES)


TEXT = grown(1).model_to_string()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no text"),
        (TEXT.replace("version=v4", "version=v5"), "is no text of LightGBM's version v4"),
        (TEXT[: TEXT.index("\nTree=1")], "is cut"),
        (TEXT[: TEXT.index("\nend of trees")], "is cut"),
        (TEXT.replace("\nTree=0", "\nTeee=0"), "is cut"),
        (TEXT.replace("left_child=", "left_child=0 "), "entries of left_child"),
        (
            re.sub(r"left_child=.*\nright_child=(.*)", r"left_child=\1\nright_child=\1", TEXT),
            "nodes are not all reached",
        ),
        (TEXT.replace("leaf_value=", "leaf_value=x "), "could not convert"),
        (TEXT.replace("feature_names=first second", "feature_names=second first"), "other features"),
    ],
)
def test_a_damaged_text_is_refused_by_its_name(text, why):
    with pytest.raises(UsageError, match=f"^The model of BBB .*{why}"):
        forest_of({TEXT: "AAA", text: "BBB"}, NAMES)
