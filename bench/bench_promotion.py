"""How often the rule of promotion promotes: seeded tries of synthetic markets of which the answer is known.

    python bench/bench_promotion.py [--tries N] [--markets edge.2,noise] [--keep DIRECTORY] [--synthetic DIRECTORY]

Each try makes a market of 96 symbols, trains the pools and shared students of its eight windows by the product's
defaults, and asks whether what the students serve of the windows after theirs may be promoted, with no incumbent.
A directory keeps what was forecast, so that another rule is tried without training, and more tries are added to it.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.promotion import judge_promotion
from sensequant_assets.core.judging.walk_forward import Rows
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.pool import train_pool, train_shared_student
from sensequant_assets.core.teacher import predict
from sensequant_assets.market.market import Market
from sensequant_assets.settings import MarketSettings

HERE = Path(__file__).resolve().parent
MARKETS = {
    "noise": {"vol": "same", "market": 0.0, "edge": 0.0},
    "garch": {"vol": "garch", "market": 0.35, "edge": 0.0},
    "edge.1": {"vol": "same", "market": 0.0, "edge": 0.1},
    "edge.2": {"vol": "same", "market": 0.0, "edge": 0.2},
}
SYMBOLS, FIRST, LAST = 96, date(2022, 1, 1), date(2025, 12, 11)
FIRST_SEED = 1001
TRIALS = (1, 10, 100, 1000)
"""Among how many trials a challenger is judged."""


def maker(directory: Path) -> ModuleType:
    """The module that makes the markets, which stands outside of the repository."""
    file = directory / "make.py"
    spec = importlib.util.spec_from_file_location("make", file)
    if not file.is_file() or spec is None or spec.loader is None:
        sys.exit(f"{file} is not there. Name the directory that has it with --synthetic.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(make: ModuleType, name: str, seed: int, directory: Path) -> Market:
    """A market of a seed, written to a directory and opened by the defaults."""
    days = pd.bdate_range("2021-09-01", "2026-07-15")
    bars, _ = make.make(SYMBOLS, days, seed, **MARKETS[name])
    bars.to_parquet(directory / "bars.parquet", index=False)
    listings = pd.DataFrame({"symbol": sorted(bars.symbol.unique()), "listing_date": "1995-01-02"})
    listings.to_csv(directory / "walk.csv", index=False)
    settings = MarketSettings(
        universe=directory / "walk.csv", bars=str(directory / "bars.parquet"), start=FIRST, end=LAST
    )
    return Market.open(settings, TeacherParameters(), StudentParameters())


def forecast(market: Market) -> tuple[Rows, Floats]:
    """Test rows of all windows, and the probabilities that students serve of them."""
    teacher, student = TeacherParameters(), StudentParameters()
    columns: dict[str, list[Any]] = {}
    for number, window in enumerate(market.window_keys):
        rows = market.pool_rows(window)
        taught = train_pool(rows, teacher)
        shared = train_shared_student(rows, taught.soft_targets, taught.calibration, student.shared)
        own = [market.lesson(market.pair(symbol, window)) for symbol in market.universe.symbols]
        known = np.concatenate([each.samples.label[np.concatenate([each.rows.train, each.rows.valid])] for each in own])
        for code, lesson in enumerate(own):
            samples, test = lesson.samples, lesson.rows.test
            for name, values in {
                "time": samples.time[test],
                "symbol": np.full(len(test), code),
                "window": np.full(len(test), number),
                "label": samples.label[test],
                "forward_return": samples.forward_return[test],
                "training_rate": np.full(len(test), known.mean()),
                "served": taught.calibration.serve(predict(shared.booster, samples.features[test])),
            }.items():
                columns.setdefault(name, []).append(values)
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    served: Floats = found.pop("served")
    return Rows(**found, horizon=market.recipe.horizon), served


def tried(make: ModuleType, name: str, seed: int, keep: Path) -> tuple[Rows, Floats]:
    """What is forecast of a market; what is kept of an earlier run is read."""
    file = keep / f"{name}-{seed}.npz"
    if not file.exists():
        with tempfile.TemporaryDirectory() as scratch:
            rows, served = forecast(opened(make, name, seed, Path(scratch)))
        keep.mkdir(parents=True, exist_ok=True)
        fields = {field: getattr(rows, field) for field in Rows.__slots__}
        np.savez_compressed(file, served=served, **fields)
    with np.load(file) as kept:
        found: dict[str, Any] = dict(kept)
    served, horizon = found.pop("served"), int(found.pop("horizon"))
    return Rows(**found, horizon=horizon), served


def main() -> None:
    """Try each market with each seed, and count what the rule lets pass as one of so many trials."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tries", type=int, default=9, help="Seeds of each market, from 1001 on.")
    arguments.add_argument("--markets", default=",".join(MARKETS))
    arguments.add_argument("--keep", type=Path, help="Where forecasts are kept; nowhere unless given.")
    arguments.add_argument("--synthetic", type=Path, default=HERE.parent.parent / "shared" / "synthetic")
    given = arguments.parse_args()
    make, began = maker(given.synthetic), time.process_time()
    print(
        f"{'market':8} {'tries':>5} " + " ".join(f"{f'of {trials:,}':>9}" for trials in TRIALS) + "  failed, of 1 trial"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.markets.split(","):
            promoted, failed, tries = Counter[int](), Counter[str](), 0
            for seed in range(FIRST_SEED, FIRST_SEED + given.tries):
                rows, served = tried(make, name, seed, given.keep or Path(scratch))
                found = {trials: judge_promotion(rows, served, trials) for trials in TRIALS}
                promoted.update(trials for trials, one in found.items() if one.passed)
                failed.update(each.name for each in found[TRIALS[0]].failed)
                tries += 1
            why = ", ".join(f"{condition} {number}" for condition, number in failed.items()) or "-"
            print(
                f"{name:8} {tries:5} " + " ".join(f"{promoted[trials]:9}" for trials in TRIALS) + f"  {why}", flush=True
            )
    print(f"{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
