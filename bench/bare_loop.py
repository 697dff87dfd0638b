"""The floor: the same windows, features, parameters and model files with LightGBM and threads, and nothing else."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightgbm as lgb
import numpy as np

from sensequant_assets.core.lattice import window_rows
from sensequant_assets.core.splits import purged_folds
from sensequant_assets.core.teacher import with_base_rate
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings, read_student, read_teacher


def main(out: Path, only: tuple[str, str] | None = None) -> int:
    """Train every eligible window, or one, and write its two model texts and the predictions; how many."""
    settings, teacher, student = read_settings(), read_teacher(), read_student().lightgbm()
    market, recipe = Market.open(settings), settings.recipe
    keys = [only] if only else market.keys()

    def fit(features, target, parameters):
        table = lgb.Dataset(features, target, feature_name=list(names), params=parameters)
        return lgb.train(parameters, table, keep_training_booster=True)

    def train(key):
        pair = market.pair(*key)
        if not pair.eligible:
            return 0
        samples = market.plan(pair.symbol).samples
        rows = window_rows(samples, pair.window, pair.effective_start, recipe)
        features, label = samples.features, samples.label
        parameters = teacher.lightgbm()
        soft = np.empty(len(rows.train))
        for fold in purged_folds(rows.train, recipe.horizon, teacher.folds):
            known = label[fold.train]
            at = np.searchsorted(rows.train, fold.test)
            if known.min() == known.max():
                soft[at] = known[0]
                continue
            said = fit(features[fold.train], known, parameters).predict(features[fold.test], num_threads=1)
            soft[at] = with_base_rate(said, known.mean(), label[rows.train].mean())
        unseen = features[np.concatenate([rows.valid, rows.test])]
        for name, booster in (
            ("teacher", fit(features[rows.train], label[rows.train], parameters)),
            ("student", fit(features[rows.train], soft, student)),
        ):
            path = out / name / pair.symbol / f"{pair.window.key}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(booster.model_to_string())
            path.with_suffix(".json").write_text(json.dumps(booster.predict(unseen, num_threads=1).tolist()))
        return 1

    names = market.plan(keys[0][0]).samples.feature_names
    with ThreadPoolExecutor(settings.worker_count) as pool:
        return sum(pool.map(train, keys))


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), tuple(sys.argv[2:4]) if len(sys.argv) > 2 else None), "windows")
