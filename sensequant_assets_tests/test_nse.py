"""Claims about the NSE universe: 96 symbols in eight windows, on real bars."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.core.boosting import trees_of
from sensequant_assets.settings import PROJECT
from sensequant_assets_tests.running import Finished, Home

NSE = PROJECT.parent / "shared" / "market"
UNIVERSE, BARS = NSE / "nifty100_universe.csv", NSE / "nse_daily_adjusted.parquet"
SPAN = ("--universe", str(UNIVERSE), "--start", "2022-01-01", "--end", "2025-12-10")
LICI_STARTS = "2022-05-17"

pytestmark = pytest.mark.skipif(
    not BARS.is_file(), reason=f"there is no {BARS}: NSE's bars carry no licence to come with the repository"
)


def plan(home: Home, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What `sensequant plan` says, by pair."""
    finished = home.run("plan", *SPAN, "--json", *arguments)
    assert finished.code == 0, finished.err
    rows = [json.loads(line) for line in finished.out.splitlines()]
    return {(row["symbol"], row["window_start"]): row for row in rows}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    return plan(Home(tmp_path_factory.mktemp("plan")), "--bars", str(BARS))


def test_every_one_of_the_768_pairs_is_eligible_or_skipped_with_a_reason(
    planned: dict[tuple[str, str], dict[str, Any]],
) -> None:
    assert len(planned) == 768
    eligible = [row for row in planned.values() if row["eligible"]]
    skipped = [row for row in planned.values() if not row["eligible"]]
    assert len(eligible) + len(skipped) == 768
    assert all(row["reason"] is None and row["rows"] >= 80 for row in eligible)
    reasons = {"pre_listing", "insufficient_bars", "insufficient_future", "no_bars"}
    assert {row["reason"] for row in skipped} <= reasons
    assert len(eligible) > 600


def test_lici_is_not_trained_before_it_was_listed(planned: dict[tuple[str, str], dict[str, Any]]) -> None:
    first, second = planned["LICI", "2022-01-01"], planned["LICI", "2022-06-30"]
    if first["eligible"]:
        assert first["early_life"]
    else:
        assert first["reason"] in ("pre_listing", "insufficient_bars")
    assert first["effective_start"] == LICI_STARTS
    assert second["early_life"]
    # Two windows later more than 180 days have passed.
    assert not planned["LICI", "2022-12-27"]["early_life"]
    assert not planned["TCS", "2022-01-01"]["early_life"]


NEWEST = "2025-06-14"


def test_the_plan_says_which_parameters_keep_the_newest_window_from_being_trained_and_what_to_do(
    planned: dict[tuple[str, str], dict[str, Any]],
) -> None:
    row = planned["ACC", NEWEST]
    assert (row["reason"], row["rows"]) == ("insufficient_bars", 60)
    assert row["detail"] == (
        f"Window {NEWEST} of ACC has 60 training rows after warm-up and purge, needs 80: teacher trees split from 50 "
        "rows on (min_child_samples 20 at subsample 0.8), and of 80 rows the smallest of 5 purged folds trains on 50. "
        "Lower TEACHER_MIN_CHILD_SAMPLES, widen the window or shorten the horizon."
    )
    assert {row["reason"] for (_, window), row in planned.items() if window == NEWEST} == {"insufficient_bars"}


def test_a_model_without_a_split_is_trained_only_under_a_flag(tmp_path: Path) -> None:
    home = Home(tmp_path)
    lower = ("--param", "TEACHER_MIN_CHILD_SAMPLES=10")
    finished = home.backfill(*SPAN, "--bars", str(BARS), "--windows", NEWEST, *lower)
    assert finished.code == 0, finished.err
    assert finished.json["teacher"]["trained"] >= 94
    rows = home.rows("SELECT model_path, constant FROM window_runs WHERE outcome = 'trained'")
    assert len(rows) >= 188
    for row in rows:
        trees = trees_of(gzip.decompress(Path(row["model_path"]).read_bytes()).decode())
        assert row["constant"] is trees.constant
        assert trees.largest_leaves > 1 or row["constant"]
    # Folds that can split leave soft targets to learn from.
    assert sum(row["constant"] for row in rows) == 0


class Spoiled:
    """The NSE bars with those of the first symbols made corrupt, and a backfill of two windows on them."""

    def __init__(self, directory: Path, symbols: int) -> None:
        names = sorted(pd.read_csv(UNIVERSE)["symbol"])
        self.bad = set(names[:symbols])
        table = pd.read_parquet(BARS)
        # More than a tenth of a symbol's rows, for which the whole symbol fails.
        fifth = (table.groupby("symbol").cumcount() % 5 == 0) & table["symbol"].isin(self.bad)
        table["high"] = np.where(fifth, table["low"] / 2, table["high"])
        path = directory / "bars.parquet"
        table.to_parquet(path, index=False)
        self.home = Home(directory)
        self.finished: Finished = self.home.backfill(*SPAN, "--bars", str(path), "--windows", "2023-06-25,2023-12-22")


def outcomes(spoiled: Spoiled) -> dict[str, set[str]]:
    """Symbols by outcome of their teachers."""
    rows = spoiled.home.rows("SELECT DISTINCT outcome, symbol FROM window_runs WHERE model = 'teacher'")
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["outcome"], set()).add(row["symbol"])
    return found


def test_ten_corrupt_symbols_of_96_cost_their_own_windows_only(tmp_path: Path) -> None:
    spoiled = Spoiled(tmp_path, 10)
    assert spoiled.finished.code == 0, spoiled.finished.err
    teacher = spoiled.finished.json["teacher"]
    found = outcomes(spoiled)
    assert found["failed"] == spoiled.bad
    assert not found["trained"] & spoiled.bad
    assert len(set.union(*found.values())) == 96
    assert teacher["failed"] == 20
    assert teacher["eligible"] == teacher["trained"] + teacher["failed"]
    assert teacher["failure_rate"] == pytest.approx(20 / teacher["eligible"])
    # A student whose teacher failed has none to learn from; the others are trained.
    assert spoiled.finished.json["student"]["trained"] == teacher["trained"]
    assert spoiled.finished.json["student"]["failed"] == 20


def test_twenty_corrupt_symbols_of_96_fail_the_check_and_no_student_is_trained(tmp_path: Path) -> None:
    spoiled = Spoiled(tmp_path, 20)
    assert spoiled.finished.code == 1, spoiled.finished.err
    assert spoiled.finished.json["teacher"]["failed"] == 40
    assert spoiled.finished.json["teacher"]["trained"] > 130
    assert not spoiled.home.rows("SELECT * FROM window_runs WHERE model = 'student'")
    (verdict,) = spoiled.home.rows("SELECT passed FROM verdicts WHERE model = 'teacher'")
    assert verdict["passed"] is False
