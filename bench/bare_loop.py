"""The floor: the same windows, features, parameters and model files with LightGBM and threads, and nothing else."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.lattice import Key, window_rows
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.splits import purged_folds
from sensequant_assets.core.teacher import with_base_rate
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings, read_student, read_teacher


def main(out: Path, only: Key | None = None) -> int:
    """Train every eligible window, or one, and write its two model texts and the predictions; how many."""
    settings, teacher, student = read_settings(), read_teacher(), read_student()
    market = Market.open(settings, teacher, student)
    recipe = market.recipe
    keys = [only] if only else market.keys()

    def samples_of(symbol: str) -> Samples:
        samples = market.plan(symbol).samples
        if isinstance(samples, WindowError):
            raise samples
        return samples

    def fit(features: Floats, target: Floats, parameters: dict[str, Any]) -> lgb.Booster:
        table = lgb.Dataset(features, target, feature_name=list(names), params=parameters)
        return lgb.train(parameters, table, keep_training_booster=True)

    def predict(booster: lgb.Booster, features: Floats) -> Floats:
        return np.asarray(booster.predict(features, num_threads=1))

    def train(key: Key) -> int:
        pair = market.pair(*key)
        if not pair.eligible:
            return 0
        samples = samples_of(pair.symbol)
        rows = window_rows(samples, pair.window, pair.effective_start, recipe)
        features, label = samples.features, samples.label
        parameters = teacher.lightgbm()
        soft = np.empty(len(rows.train))
        for fold in purged_folds(rows.train, recipe.horizon, teacher.folds):
            known = label[fold.train]
            at = np.searchsorted(rows.train, fold.test)
            if known.min() == known.max():
                soft[at] = label[rows.train].mean()
                continue
            said = predict(fit(features[fold.train], known, parameters), features[fold.test])
            soft[at] = with_base_rate(said, known.mean(), label[rows.train].mean())
        unseen = features[np.concatenate([rows.valid, rows.test])]
        for name, booster in (
            ("teacher", fit(features[rows.train], label[rows.train], parameters)),
            ("student", fit(features[rows.train], soft, student.lightgbm())),
        ):
            path = out / name / pair.symbol / f"{pair.window.key}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(booster.model_to_string())
            path.with_suffix(".json").write_text(json.dumps(predict(booster, unseen).tolist()))
        return 1

    names = samples_of(keys[0][0]).feature_names
    with ThreadPoolExecutor(settings.worker_count) as pool:
        return sum(pool.map(train, keys))


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), (sys.argv[2], sys.argv[3]) if len(sys.argv) > 2 else None), "windows")
