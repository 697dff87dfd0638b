"""The floor of `TEACHER_SCOPE=pool`: the same pools, folds, students and predictions with LightGBM and threads only."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.lattice import Key, window_rows
from sensequant_assets.core.teacher import with_base_rate
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings, read_student, read_teacher


def main(out: Path) -> int:
    """Train every window's pool and shared student, write their texts, and each pair's predictions; how many pairs."""
    settings, teacher, student = read_settings(), read_teacher(), read_student()
    market = Market.open(settings, teacher, student)
    recipe = market.recipe
    pools = market.pools

    def fit(features: Floats, target: Floats, names: tuple[str, ...], parameters: dict[str, Any]) -> lgb.Booster:
        table = lgb.Dataset(features, target, feature_name=list(names), params=parameters)
        return lgb.train(parameters, table, keep_training_booster=True)

    def predict(booster: lgb.Booster, features: Floats) -> Floats:
        return np.asarray(booster.predict(features, num_threads=1))

    def train(window: str) -> tuple[lgb.Booster, lgb.Booster]:
        rows = market.pool_rows(window)
        rate, soft = rows.label.mean(), np.empty(len(rows.label))
        for known, left_out in rows.folds(teacher.folds):
            said = predict(fit(rows.features[known], rows.label[known], rows.feature_names, teacher.lightgbm()),
                           rows.features[left_out])  # fmt: skip
            soft[left_out] = with_base_rate(said, rows.label[known].mean(), rate)
        made = (
            fit(rows.features, rows.label, rows.feature_names, teacher.lightgbm()),
            fit(rows.features, soft, rows.feature_names, student.lightgbm()),
        )
        for name, booster in zip(("pool", "shared_student"), made, strict=True):
            (out / name).mkdir(parents=True, exist_ok=True)
            (out / name / f"{window}.txt").write_text(booster.model_to_string())
        return made

    def tell(key: Key, boosters: tuple[lgb.Booster, lgb.Booster]) -> int:
        pair = market.pair(*key)
        samples = market.plan(pair.symbol).samples
        if not pair.eligible or isinstance(samples, WindowError):
            return 0
        rows = window_rows(samples, pair.window, pair.effective_start, recipe)
        unseen = samples.features[np.concatenate([rows.valid, rows.test])]
        for name, booster in zip(("teacher", "student"), boosters, strict=True):
            path = out / name / pair.symbol / f"{pair.window.key}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(predict(booster, unseen).tolist() if len(unseen) else []))
        return 1

    with ThreadPoolExecutor(settings.worker_count) as threads:
        made = dict(zip(pools, threads.map(train, pools), strict=True))
        keys = market.keys()
        return sum(threads.map(lambda key: tell(key, made[market.pool_of(market.pair(*key)).name]), keys))


if __name__ == "__main__":
    print(main(Path(sys.argv[1])), "windows")
