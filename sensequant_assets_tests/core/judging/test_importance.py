"""Claims about what models look at."""

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.judging.importance import EVERY, Importance

QUIET = {"objective": "binary", "verbose": -1, "num_leaves": 2, "min_data_in_leaf": 1, "num_threads": 1}


def booster(column: int) -> lgb.Booster:
    """One split on a column of two."""
    rng = np.random.default_rng(1)
    table = rng.normal(size=(200, 2))
    label = (table[:, column] > 0).astype(float)
    return lgb.train(QUIET | {"num_iterations": 1}, lgb.Dataset(table, label))


def test_a_feature_counts_by_how_far_it_moves_what_is_said() -> None:
    found, rows = Importance(), np.random.default_rng(2).normal(size=(95, 2))
    found.add(booster(1), ["quiet", "loud"], rows, new=True)
    assert (found.rows, found.models) == (-(-95 // EVERY), 1)
    told = found.as_json()
    assert [(each["feature"], each["share"]) for each in told["features"]] == [("loud", 1.0)]
    said = np.asarray(booster(1).predict(rows[::EVERY], raw_score=True))
    level = np.asarray(booster(1).predict(rows[::EVERY], pred_contrib=True))[:, -1]
    assert told["features"][0]["log_odds"] == pytest.approx(np.abs(said - level).mean())
    found.add(booster(0), ["quiet", "loud"], rows, new=True)
    found.add(booster(0), ["quiet", "loud"], rows, new=False)
    assert (found.rows, found.models) == (30, 2)
    assert [each["feature"] for each in found.as_json()["features"]] == ["quiet", "loud"]


def test_rows_of_other_features_are_left_out_and_nobody_asked_has_no_share() -> None:
    found = Importance()
    assert found.as_json()["features"] == []
    found.add(booster(1), ["quiet", "loud"], np.zeros((5, 2)), new=True)
    found.add(booster(1), ["other", "loud"], np.zeros((5, 2)), new=True)
    found.add(booster(1), ["quiet", "loud"], np.zeros((0, 2)), new=True)
    assert (found.rows, found.models) == (1, 1)
