"""Claims about what is said of the newest bars, and with which flags."""

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from sensequant_assets.batch.prediction import Newest, newest_bars, predict
from sensequant_assets.batch.serving import ANYBODY, Standing
from sensequant_assets.core.boosting import fit
from sensequant_assets.core.features import FEATURE_NAMES, LOOKBACK
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.samples import build_samples
from sensequant_assets.core.scoring.distance import FARTHEST
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.pack import Pack, Served, write_pack
from sensequant_assets_tests.making import QUICK_STUDENT, bars_of, with_bad_rows

NOW = datetime(2025, 3, 1, tzinfo=UTC)
NAMES = ("first", "second")
TRAINING = np.random.default_rng(1).normal(size=(80, 2))


def student(symbol: str, **changes: Any) -> Served:
    text = fit(TRAINING, TRAINING[:, 0] % 1, QUICK_STUDENT.lightgbm(), feature_names=NAMES).model_to_string()
    told: dict[str, Any] = {"window": "2022-01-01", "trees_fingerprint": "t", "calibration": None, "constant": False}
    told |= {"fallback": "", "reference": "rows"}
    return Served(symbol=symbol, text=text, **told | changes)


def standing(tmp_path: Path, *students: Served, champion: int | None = 3) -> Standing:
    write_pack(tmp_path / "pack", students, {"rows": TRAINING}, NAMES)
    market = cast(Market, SimpleNamespace(universe=SimpleNamespace(name="five")))
    return Standing(
        Pack.open(tmp_path / "pack"), market, QUICK_STUDENT, "b", champion, {"LOST": "LOST has no student."}
    )


def bars(*symbols: str, **changes: Any) -> Newest:
    count = len(symbols)
    told: dict[str, Any] = {
        "time": np.array(["2025-01-02"] * count, dtype="datetime64[s]"),
        "features": TRAINING[:count],
        "feature_names": NAMES,
        "bars_fingerprints": symbols,
        "spoiled": (False,) * count,
        "day": date(2025, 1, 2),
        "missing": {},
    }
    return Newest(symbols, **told | changes)


def test_a_row_like_those_of_training_by_a_student_of_the_newest_window_is_fresh(tmp_path: Path) -> None:
    (row,) = predict(standing(tmp_path, student("A")), bars("A"), NOW).rows
    assert (row.flags, row.model, row.champion, row.universe) == ("fresh", "champion", 3, "five")
    assert row.distance is not None
    assert row.distance < FARTHEST


def test_each_flag_is_raised_by_what_it_means(tmp_path: Path) -> None:
    stands = standing(
        tmp_path, student("A", fallback="too few rows"), student("B", constant=True), student("C"), student("D"),
        student("E"), champion=None,
    )  # fmt: skip
    time = np.array(["2025-01-02"] * 5, dtype="datetime64[s]")
    time[2] = np.datetime64("2024-12-30")
    features = TRAINING[:5].copy()
    features[3] = 50.0
    asked = bars(*"ABCDE", time=time, features=features, spoiled=(False,) * 4 + (True,))
    rows = predict(stands, asked, NOW).rows
    assert [row.flags for row in rows] == ["fallback", "constant", "stale", "out of range", "bad rows"]
    assert {row.model for row in rows} == {"unproven"}


def test_a_symbol_that_joined_later_is_served_by_what_the_pool_shares_and_one_without_is_named(tmp_path: Path) -> None:
    found = predict(standing(tmp_path, student("A"), student(ANYBODY, fallback="shared")), bars("A", "NEW"), NOW)
    assert [row.flags for row in found.rows] == ["fresh", "fallback"]
    found = predict(standing(tmp_path, student("A")), bars("A", "NEW", "LOST"), NOW)
    assert [row.symbol for row in found.rows] == ["A"]
    assert found.missing == {"NEW": "NEW has no student.", "LOST": "LOST has no student."}


def test_students_of_other_features_are_not_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="made with the features first, second, and these bars have first, third"):
        predict(standing(tmp_path, student("A")), bars("A", feature_names=("first", "third")), NOW)


CLOSE = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.01, 120)))


def market_of(**histories: Any) -> Market:
    def bars(symbol: str) -> Any:
        if isinstance(histories[symbol], WindowError):
            raise histories[symbol]
        return histories[symbol]

    def samples(symbol: str) -> Any:
        return build_samples(bars(symbol), Listing(symbol), 7, 0.02)

    return cast(Market, SimpleNamespace(bars=bars, samples=samples, recipe=Recipe()))


def test_the_newest_bar_of_each_symbol_is_taken_or_it_is_said_why_not() -> None:
    market = market_of(
        OLD=bars_of(CLOSE, symbol="OLD"),
        YOUNG=bars_of(CLOSE[:20], symbol="YOUNG"),
        BAD=WindowError(FailureKind.CORRUPT_BARS, "BAD cannot be read."),
    )
    found = newest_bars(market, ["OLD", "YOUNG", "BAD"])
    assert found.symbols == ("OLD",)
    assert (found.day, found.feature_names) == (date(2022, 4, 30), FEATURE_NAMES)
    assert found.missing["BAD"] == "BAD cannot be read."
    assert "YOUNG has 20 bars up to then" in found.missing["YOUNG"]
    assert f"the first {LOOKBACK} bars warm the features up" in found.missing["YOUNG"]


def test_nothing_after_the_day_is_read_and_a_day_before_all_bars_has_none() -> None:
    whole, cut = market_of(A=bars_of(CLOSE, symbol="A")), market_of(A=bars_of(CLOSE[:100], symbol="A"))
    asked, known = newest_bars(whole, ["A"], date(2022, 4, 10)), newest_bars(cut, ["A"])
    assert asked.day == known.day
    np.testing.assert_array_equal(asked.features, known.features)
    assert asked.bars_fingerprints == known.bars_fingerprints
    with pytest.raises(UsageError, match="A has no bar on 2021-12-31 or before; its first is of 2022-01-01"):
        newest_bars(whole, ["A"], date(2021, 12, 31))


def test_a_bad_row_spoils_the_bars_whose_features_read_it() -> None:
    market = market_of(A=with_bad_rows(bars_of(CLOSE, symbol="A"), 60))
    spoiled = {
        day: newest_bars(market, ["A"], day).spoiled[0]
        for day in (date(2022, 2, 28), date(2022, 3, 1), date(2022, 3, 3), date(2022, 4, 20), date(2022, 4, 25))
    }
    assert list(spoiled.values()) == [False, False, True, True, False]
