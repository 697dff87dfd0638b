"""Students of three symbols that serve, without a market on disk."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from sensequant_assets.batch.prediction import Newest, predict
from sensequant_assets.batch.serving import ANYBODY, Standing
from sensequant_assets.core.boosting import fit, trees_fingerprint
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.market.market import Market
from sensequant_assets.models.pack import Pack, Served, write_pack
from sensequant_assets.service.current import Current
from sensequant_assets_tests.making import QUICK_STUDENT

NAMES = ("first", "second")
NOW = datetime(2026, 1, 31, 18, 45, tzinfo=UTC)
ROWS = np.random.default_rng(0).normal(size=(80, 2))


def standing_in(
    directory: Path, symbols: Sequence[str] = ("AAA", "BBB", ANYBODY), champion: int | None = 3
) -> Standing:
    """Students of these symbols; BBB is served by an earlier window's, CCC by none."""
    target = np.random.default_rng(1).random(80)
    text = fit(ROWS, target, QUICK_STUDENT.lightgbm(), feature_names=NAMES).model_to_string()
    served = [
        Served(
            symbol=symbol,
            window="2025-01-01",
            trees_fingerprint=trees_fingerprint(text),
            text=text,
            calibration=Calibration(0.5, 0.1),
            constant=False,
            fallback="it is an earlier one" if symbol == "BBB" else "",
            reference="all",
        )
        for symbol in symbols
    ]
    write_pack(directory / "pack", served, {"all": ROWS}, NAMES)
    market = SimpleNamespace(universe=SimpleNamespace(name="three", symbols=("AAA", "BBB", "CCC")))
    missing = {} if ANYBODY in symbols else {"CCC": "CCC has no student in any window."}
    return Standing(Pack.open(directory / "pack"), cast("Market", market), QUICK_STUDENT, "b1", champion, missing)


def current_of(standing: Standing, day: date = date(2026, 1, 30)) -> Current:
    """What they say of two bars of a day, one of which is far from all that they know."""
    bars = Newest(
        symbols=("AAA", "BBB"),
        time=np.array([day, day], dtype="datetime64[s]"),
        features=np.array([[0.1, 0.2], [50.0, -50.0]]),
        feature_names=NAMES,
        bars_fingerprints=("a", "b"),
        spoiled=(False, False),
        day=day,
        missing={"CCC": "CCC has no bars."},
    )
    return Current(standing, None, bars, predict(standing, bars, NOW), NOW)


Answer = dict[str, Any]
