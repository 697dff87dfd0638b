"""A market of random walks into which tests plant what is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from sensequant_assets.core.bars import PRICES, Bars
from sensequant_assets.core.quality.findings import findings_of
from sensequant_assets.core.quality.outline import Days, outline
from sensequant_assets.core.quality.rules import Finding
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.windows import build_windows
from sensequant_assets_tests.making import FIRST_DAY, random_walk

WINDOWS = build_windows(FIRST_DAY, FIRST_DAY + timedelta(days=400), 100)


def market(count: int = 12, bars: int = 400) -> list[Bars]:
    """Walks of so many symbols, S00 the first, a bar a day, that open where they closed."""
    return [random_walk(bars, seed, symbol=f"S{seed:02d}") for seed in range(count)]


def found(bars: Sequence[Bars], exchange: Days | None = None) -> list[Finding]:
    """What the rules find in them; labels look 7 bars ahead."""
    outlines = [outline(one, 7) for one in bars]
    return findings_of(outlines, Sessions.of(outlines, exchange), WINDOWS)


def rules(bars: Sequence[Bars]) -> list[tuple[str, str]]:
    """Symbol and rule of each finding."""
    return [(one.symbol, one.rule) for one in found(bars)]


def scaled(bars: Bars, rows: slice, factor: float, turned: float = 1.0) -> Bars:
    """The bars with the prices of some rows times a factor, and their volume times another."""
    columns = {name: getattr(bars, name).copy() for name in (*PRICES, "volume")}
    for name in PRICES:
        columns[name][rows] *= factor
    columns["volume"][rows] *= turned
    return replace(bars, **columns)


def without(bars: Bars, *days: int) -> Bars:
    """The bars without those of some days, counted from the first."""
    kept = ~np.isin((bars.time.astype("datetime64[D]") - np.datetime64(FIRST_DAY)).astype(int), days)
    return replace(bars, **{name: getattr(bars, name)[kept] for name in ("time", *PRICES, "volume")})


def day_of_bar(at: int) -> str:
    """Day of a bar of these markets."""
    return (FIRST_DAY + timedelta(days=at)).isoformat()
