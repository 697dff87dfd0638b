"""How long a pack of students takes to be written, opened and asked, beside plain LightGBM on the same texts.

    python bench/bench_pack.py [--market DIRECTORY] [--repeats 200]

DIRECTORY holds `nse_daily_adjusted.parquet` and `nifty100_universe.csv`. Students of both scopes are trained on the
bars' last 260 rows: one a symbol, and one that all share. Each is asked of the newest bar of every symbol.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm as lgb
import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import fit, trees_fingerprint
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.features import FEATURE_NAMES, causal_features
from sensequant_assets.core.parameters import Scope, StudentParameters
from sensequant_assets.errors import SenseQuantError
from sensequant_assets.models.pack import Pack, Served, write_pack
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.universes import read_universe

HERE = Path(__file__).resolve().parent
ROWS, AHEAD = 260, 7

OPENED = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
from sensequant_assets.models.pack import Pack
loaded = time.perf_counter()
Pack.open(Path(sys.argv[1]))
print(f"{loaded - begun:.2f} s import, {time.perf_counter() - loaded:.3f} s open")
"""

Rows = dict[str, tuple[Floats, Floats]]


def rows_of(market: Path) -> tuple[Rows, dict[str, Floats]]:
    """Training rows and targets of each symbol, and the features of its newest bar."""
    universe = read_universe(market / "nifty100_universe.csv")
    source = FileBars(market / "nse_daily_adjusted.parquet")
    train, newest = {}, {}
    for listing in universe.listings:
        try:
            bars = source.bars(listing)
        except SenseQuantError as error:
            print(f"  left out: {error}")
            continue
        features = causal_features(bars, None)
        up = (bars.close[AHEAD:] > bars.close[:-AHEAD]).astype(np.float64)
        known = np.flatnonzero(np.isfinite(features[:-AHEAD]).all(axis=1))[-ROWS:]
        if len(known) > 50:
            train[listing.symbol], newest[listing.symbol] = (features[known], up[known]), features[-1]
    return train, newest


def students_of(scope: Scope, rows: Rows) -> tuple[list[Served], dict[str, Floats]]:
    """Students of a scope, and the rows that they learned from."""
    asked = StudentParameters(scope=scope).lightgbm()
    together = {
        "pool": (np.concatenate([one for one, _ in rows.values()]), np.concatenate([y for _, y in rows.values()]))
    }
    taught = rows if scope == "symbol" else together
    texts = {
        name: fit(features, target, asked, feature_names=FEATURE_NAMES).model_to_string()
        for name, (features, target) in taught.items()
    }
    served = [
        Served(
            symbol=symbol,
            window="2024-01-01",
            trees_fingerprint=trees_fingerprint(texts[name]),
            text=texts[name],
            calibration=Calibration(0.7, 0.1) if scope == "pool" else None,
            constant=False,
            fallback="",
            reference=name,
        )
        for symbol in rows
        for name in [symbol if scope == "symbol" else "pool"]
    ]
    return served, {name: features for name, (features, _) in taught.items()}


def spent(what: Callable[[], object], repeats: int) -> str:
    """Milliseconds of a call: median, 99th percentile and most, with how many."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - begun)
    median, most = np.quantile(seconds, [0.5, 0.99]) * 1000
    return f"{median:8.2f} ms median, {most:8.2f} ms p99, {max(seconds) * 1000:8.2f} ms most of {repeats}"


def bench(scope: Scope, rows: Rows, newest: dict[str, Floats], directory: Path, repeats: int) -> None:
    """Print times and the greatest difference of one scope."""
    served, references = students_of(scope, rows)
    symbols, features = [one.symbol for one in served], np.array([newest[one.symbol] for one in served])
    path = directory / f"{scope}.pack"
    begun = time.perf_counter()
    digest = write_pack(path, served, references, FEATURE_NAMES)
    wrote = time.perf_counter() - begun
    texts, size = {one.text for one in served}, path.stat().st_size / 1e6
    print(f"{scope}: {len(served)} symbols, {len(texts)} models, {size:.2f} MB, written in {wrote:.2f} s")
    pack = Pack.open(path, digest)
    boosters = [lgb.Booster(model_str=one.text) for one in served]

    def plainly() -> Floats:
        asked = zip(boosters, features, strict=True)
        return np.array([booster.predict(row[None], num_threads=1)[0] for booster, row in asked])

    apart = np.abs(pack.predict(symbols, features).raw - plainly()).max()
    print(f"  open the pack      {spent(lambda: Pack.open(path, digest), 20)}")
    print(f"  read the texts     {spent(lambda: [lgb.Booster(model_str=one.text) for one in served], 3)}")
    print(f"  ask the pack       {spent(lambda: pack.predict(symbols, features), repeats)}")
    print(f"  ask plain boosters {spent(plainly, max(3, repeats // 10))}")
    print(f"  greatest difference {apart:.1e}")
    fresh = subprocess.run([sys.executable, "-c", OPENED, path], check=True, capture_output=True, text=True)
    print(f"  in a new process: {fresh.stdout.strip()}")


def main() -> None:
    """Print the times of both scopes."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--market", type=Path, default=HERE.parent.parent / "shared" / "market")
    arguments.add_argument("--repeats", type=int, default=200)
    given = arguments.parse_args()
    rows, newest = rows_of(given.market)
    with tempfile.TemporaryDirectory() as directory:
        for scope in ("symbol", "pool"):
            bench(scope, rows, newest, Path(directory), given.repeats)


if __name__ == "__main__":
    main()
