"""Small bars, samples and models that tests are made from."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensequant_assets.core.bars import PRICES, BadRow, Bars, Delivery, Floats
from sensequant_assets.core.capacity import Floor
from sensequant_assets.core.judging.canaries import synthetic_bars
from sensequant_assets.core.lattice import Recipe, plan_symbol
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.samples import Samples, build_samples
from sensequant_assets.core.training import Lesson, Taught, TrainedModel
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window

FIRST_DAY = date(2022, 1, 1)
"""Day of the first bar, unless a test says otherwise; every calendar day has a bar, so that days count bars."""

QUICK_TEACHER = TeacherParameters(
    scope="symbol", num_leaves=7, max_depth=3, n_estimators=12, learning_rate=0.1, min_child_samples=5
)
QUICK_STUDENT = StudentParameters(scope="symbol", num_leaves=4, max_depth=2, n_estimators=5)

ANY_ROWS = Floor(20, "", "Widen the window or shorten the horizon.")
"""The floor of parameters that ask for nothing: a recipe's default minimum alone."""


def bars_frame(rows: int = 5, **columns: Any) -> pd.DataFrame:
    """Bars of consecutive days that break no rule; `columns` replace or add whole columns."""
    frame = pd.DataFrame(
        {
            "date": [f"2024-01-{day:02d}" for day in range(1, rows + 1)],
            "open": 10.0,
            "high": 12.0,
            "low": 9.0,
            "close": 11.0,
            "volume": 100.0,
        }
    )
    return frame.assign(**columns)


def with_cell(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    """The frame with one cell changed."""
    changed = frame.astype({column: object})
    changed.iloc[row, list(changed.columns).index(column)] = value
    return changed


def written(frame: pd.DataFrame, path: Path) -> Path:
    """The path of a CSV or parquet file, by its name, that holds the frame."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def bars_of(close: Floats, *, symbol: str = "AAA", first_day: date = FIRST_DAY, volume: Floats | None = None) -> Bars:
    """Bars with these closes, one a calendar day: opened at the close before, two percent above and below."""
    close = np.asarray(close, dtype=np.float64)
    opened = np.concatenate([close[:1], close[:-1]])
    return Bars(
        symbol=symbol,
        time=(np.datetime64(first_day, "D") + np.arange(len(close))).astype("datetime64[s]"),
        open=opened,
        high=np.maximum(opened, close) * 1.02,
        low=np.minimum(opened, close) * 0.98,
        close=close,
        volume=np.full(len(close), 1000.0) if volume is None else volume,
    )


def with_bad_rows(bars: Bars, *positions: int) -> Bars:
    """The bars as they are when the rows at these positions are no bars; a file's first row is its second line."""
    kept = np.setdiff1d(np.arange(len(bars)), positions)
    origin = f"{bars.symbol}.csv"
    bad = tuple(
        BadRow(
            bars.symbol, origin, at + 2, "ohlc", "high is below open or close (high is 1)", bars.time[at],
            bars.time[at - 1] if at else np.datetime64("NaT"),
        )
        for at in positions
    )  # fmt: skip
    columns = {name: getattr(bars, name)[kept] for name in ("time", *PRICES, "volume")}
    return replace(bars, **columns, delivery=Delivery.of(origin, kept + 2, len(bars), 0, bad))


def with_columns(bars: Bars, columns: dict[str, Any]) -> Bars:
    """The bars with some columns replaced."""
    return replace(bars, **columns)


def random_walk(count: int, seed: int, *, symbol: str = "AAA", first_day: date = FIRST_DAY, drift: float = 0.0) -> Bars:
    """Bars of a geometric random walk with daily steps of two percent and random volume."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(drift, 0.02, count)))
    return bars_of(close, symbol=symbol, first_day=first_day, volume=rng.integers(1_000, 9_000, count).astype(float))


def samples_of(bars: Bars, *, horizon: int = 7, threshold: float = 0.0, listing: Listing | None = None) -> Samples:
    """Samples of bars whose symbol is listed, unless said otherwise, on an unknown day."""
    return build_samples(bars, listing or Listing(bars.symbol), horizon, threshold)


def lesson_of(
    bars: Bars, *, start: date = FIRST_DAY + timedelta(days=60), days: int = 120, recipe: Recipe | None = None
) -> Lesson:
    """The lesson of one window of a symbol."""
    recipe = recipe or Recipe(threshold=0.0)
    window = Window(start, start + timedelta(days=days))
    listing = Listing(bars.symbol)
    samples = build_samples(bars, listing, recipe.horizon, recipe.threshold)
    (pair,) = plan_symbol(listing, samples, (window,), recipe, ANY_ROWS)
    assert pair.eligible, pair.detail
    return Lesson.of(pair, samples, recipe)


def taught_of(teacher: TrainedModel) -> Taught:
    """What a teacher that was not stored leaves for its student."""
    made_from = teacher.fingerprints
    return Taught(made_from.data, made_from.parameters, teacher.asked, teacher.soft_targets, teacher.unseen)


def market_with_an_edge(directory: Path, symbols: int = 8, windows: int = 4, edge: float = 0.6) -> dict[str, str]:
    """Write a market whose last moves go on, and give the environment that names it.

    Every calendar day has a bar, so that four windows are tested on more than 500 dates. The pools of such a market are
    small, and are trained quickly.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"S{number}" for number in range(symbols)]
    first, end = date(2020, 1, 1), date(2020, 6, 1) + timedelta(days=180 * windows)
    days = np.arange(str(first), str(end + timedelta(days=190)), dtype="datetime64[D]").astype("datetime64[s]")
    frames = []
    for name in names:
        bars = synthetic_bars(name, days, 0.02, seed=3, edge=edge)
        frames.append(pd.DataFrame({"symbol": name, "date": days} | {one: getattr(bars, one) for one in PRICES}))
        frames[-1]["volume"] = bars.volume
    pd.concat(frames).to_parquet(directory / "bars.parquet", index=False)
    (directory / "edge.csv").write_text("symbol,listing_date\n" + "".join(f"{name},1995-01-02\n" for name in names))
    return {
        "SENSEQUANT_UNIVERSE": str(directory / "edge.csv"),
        "SENSEQUANT_BARS": str(directory / "bars.parquet"),
        "SENSEQUANT_START": "2020-06-01",
        "SENSEQUANT_END": end.isoformat(),
        "TEACHER_SCOPE": "pool",
        "TEACHER_N_ESTIMATORS": "20",
        "TEACHER_LEARNING_RATE": "0.2",
    }
