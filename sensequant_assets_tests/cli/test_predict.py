"""Claims about `sensequant predict` and `sensequant monitor` as processes on the embedded sample."""

import json
import shutil
from math import exp
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets_tests.running import Finished, Home

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
FIRST_LINE = (
    "symbol", "time", "p", "p_raw", "distance", "flags", "unproven", "champion", "window", "trees_fingerprint",
    "bars_fingerprint", "made_at",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A batch on four symbols in four windows."""
    home = Home(tmp_path_factory.mktemp("predicting"))
    finished = home.backfill("--symbols", ",".join(SYMBOLS), "--end", "2010-12-22")
    assert finished.code == 0, finished.err
    return home


@pytest.fixture
def home(trained: Home, tmp_path: Path) -> Home:
    shutil.copytree(trained.data, tmp_path / "data")
    return Home(tmp_path)


def objects(finished: Finished) -> list[dict[str, Any]]:
    assert finished.code == 0, finished.err
    return [json.loads(line) for line in finished.out.splitlines()]


def test_without_a_champion_nothing_is_predicted_and_the_way_out_is_said(home: Home) -> None:
    finished = home.run("predict")
    assert finished.code == 2
    assert "Universe sample has no champion: `sensequant promote` makes one" in finished.err
    assert "give --unproven, or name one with --batch ID" in finished.err
    assert home.rows("FROM predictions") == []


def test_every_symbol_has_a_prediction_or_a_reason_why_not(home: Home) -> None:
    finished = home.run("predict", "--unproven", "--date", "2010-12-31", "--json")
    rows = objects(finished)
    assert tuple(rows[0]) == FIRST_LINE
    assert [row["symbol"] for row in rows] == list(SYMBOLS)
    assert all(row["unproven"] and row["champion"] is None for row in rows)
    assert {row["time"] for row in rows} == {"2010-12-31T00:00:00"}
    assert all(0 < row["p"] < 1 and 0 < row["p_raw"] < 1 and row["distance"] >= 0 for row in rows)
    assert "No prediction of FB: FB has no bar on 2010-12-31 or before; its first is of 2012-05-18." in finished.err
    assert "4 predictions from the bars of 2010-12-31, 4 new rows" in finished.err
    assert "unproven students of batch" in finished.err


def test_a_prediction_never_changes(home: Home) -> None:
    first = objects(home.run("predict", "--unproven", "--date", "2010-12-31", "--json"))
    kept = home.rows("FROM predictions ORDER BY ALL")
    again = home.run("predict", "--unproven", "--date", "2010-12-31", "--json")
    assert objects(again) == first
    assert "0 new rows" in again.err
    assert "4 predictions of these bars stood there already; none changes." in again.err
    other = ("--end", "2010-12-22", "--param", "STUDENT_LEARNING_RATE=0.3")
    assert home.backfill("--symbols", ",".join(SYMBOLS), *other).code == 0
    changed = objects(home.run("predict", "--unproven", "--date", "2010-12-31", "--json"))
    assert [row["trees_fingerprint"] for row in changed] != [row["trees_fingerprint"] for row in first]
    assert [row for row in home.rows("FROM predictions ORDER BY ALL") if row in kept] == kept


def test_a_symbol_whose_day_is_missing_is_stale_and_one_without_a_student_is_named(home: Home) -> None:
    named = home.run("predict", "--unproven", "--symbols", "AAPL,FB")
    assert named.code == 0, named.err
    assert "No prediction of FB: FB has no student in any window." in named.out
    unknown = home.run("predict", "--unproven", "--symbols", "NOBODY")
    assert unknown.code == 2
    assert "NOBODY" in unknown.err


def test_outcomes_are_told_when_their_bars_are_there_and_too_few_prove_nothing(home: Home) -> None:
    days = ("2011-01-03", "2011-01-04", "2013-02-28")
    for day in days:
        assert home.run("predict", "--unproven", "--date", day).code == 0
    finished = home.run("monitor", "--unproven", "--json")
    assert finished.code in (0, 1), finished.err
    found = finished.json
    assert found["outcomes"]["new"] == 8
    assert found["outcomes"]["waiting"] == 4
    checks = {each["check"]: each for each in found["checks"]}
    assert list(checks) == ["drift", "calibrated", "degraded"]
    assert checks["degraded"]["passed"] is None
    assert "2 dates have outcomes, 60 are needed" in checks["degraded"]["said"]
    (told,) = home.rows("SELECT ret, label FROM outcomes WHERE symbol = 'AAPL' AND time = '2011-01-03'")
    assert told["label"] == int(told["ret"] > 0.02)
    again = home.run("monitor", "--unproven")
    assert "0 new outcomes" in again.out
    assert "degraded: unknown. Nothing can be said yet" in again.out


def test_where_a_student_is_lost_the_one_before_serves_and_says_so(home: Home) -> None:
    newest = home.data / "models" / "sample" / "student" / "AAPL" / "2010-06-25.txt.gz"
    newest.unlink()
    rows = {row["symbol"]: row for row in objects(home.run("predict", "--unproven", "--date", "2010-12-31", "--json"))}
    assert rows["AAPL"]["window"] == "2009-12-27"
    assert "fallback" in rows["AAPL"]["flags"]
    assert "fallback" not in rows["IBM"]["flags"]
    told = home.run("explain", "AAPL", "2010-12-31", "--unproven")
    assert "The student of window 2010-06-25 is not on disk any longer: that of window 2009-12-27 serves." in told.out


def test_an_explanation_adds_up_to_what_is_said(home: Home) -> None:
    finished = home.run("explain", "IBM", "2010-12-31", "--unproven", "--json")
    assert finished.code == 0, finished.err
    found = finished.json
    log_odds = found["base_log_odds"] + sum(one["pool"] + one["symbol"] for one in found["features"])
    assert 1 / (1 + exp(-log_odds)) == pytest.approx(found["p_raw"], abs=1e-9)
    assert all(one["pool"] == 0 for one in found["features"])
    assert home.run("explain", "NOBODY", "--unproven").code == 2
