"""Claims about `sensequant check-bars`."""

import json
from pathlib import Path

import pandas as pd
import pytest

from sensequant_assets_tests.making import random_walk
from sensequant_assets_tests.running import Home, spoil

SPAN = ("--start", "2022-01-01", "--end", "2023-01-01", "--window-days", "90")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Four walks: one has a split, one a negative close in line 202, one a name that is markup."""
    directory = tmp_path_factory.mktemp("checked")
    bars = directory / "bars"
    bars.mkdir()
    for number, symbol in enumerate(("AAA", "BBB", "CCC", "DDD")):
        walk = random_walk(400, number, symbol=symbol)
        columns = {name: getattr(walk, name) for name in ("open", "high", "low", "close", "volume")}
        frame = pd.DataFrame({"date": walk.time.astype("datetime64[D]").astype(str), **columns})
        if symbol == "BBB":
            frame.loc[250:, ["open", "high", "low", "close"]] /= 5
        frame.to_csv(bars / f"{symbol}.csv", index=False)
    spoil(bars / "CCC.csv", 202)
    (directory / "four.csv").write_text("symbol\nAAA\nBBB\nCCC\nDDD\n")
    variables = {"SENSEQUANT_UNIVERSE": str(directory / "four.csv"), "SENSEQUANT_BARS": str(bars)}
    return Home(directory, variables)


def test_findings_are_one_json_object_a_line_and_an_error_is_exit_code_1(home: Home) -> None:
    finished = home.anew.run("check-bars", *SPAN, "--json")
    assert finished.code == 1, finished.err
    found = [json.loads(line) for line in finished.out.splitlines()]
    split, bad = found
    assert list(split) == ["symbol", "rule", "severity", "first", "last", "rows", "file", "message", "windows"]
    file = str(home.directory / "bars" / "BBB.csv")
    assert split["message"].startswith(f"{file}, row 252: BBB: it opens on 2022-09-08 at ")
    assert {name: split[name] for name in split if name != "message"} == {
        "symbol": "BBB", "rule": "corporate_action", "severity": "error", "first": "2022-09-08", "last": "2022-09-08",
        "rows": 1, "file": file, "windows": ["2022-06-30", "2022-09-28"],
    }  # fmt: skip
    assert (bad["symbol"], bad["rule"], bad["rows"]) == ("CCC", "non_positive", 1)
    assert "CCC.csv, row 202: CCC: close is not positive (close is -1.0)." in bad["message"]
    assert "2 errors and 0 warnings in 4 symbols; 3 windows of 2 symbols read them." in finished.err


def test_symbols_and_windows_choose_what_is_shown_and_the_exit_code(home: Home) -> None:
    finished = home.run("check-bars", *SPAN, "--symbols", "AAA,DDD")
    assert (finished.code, finished.out) == (0, "The rules on bars found nothing in 2 symbols.\n")
    finished = home.run("check-bars", *SPAN, "--windows", "2022-01-01")
    assert (finished.code, "found nothing in 4 symbols" in finished.out) == (0, True)
    finished = home.run("check-bars", *SPAN, "--windows", "2022-09-28")
    assert finished.code == 1
    assert "BBB" in finished.out
    assert "corporate_action" in finished.out


def test_what_cannot_be_read_is_a_sentence_and_exit_code_2(home: Home, tmp_path: Path) -> None:
    finished = home.run("check-bars", "--bars", str(tmp_path / "none"))
    assert (finished.code, finished.out) == (2, "")
    assert "There are no bars at" in finished.err
    assert home.run("check-bars", "--symbols", "NOBODY").code == 2


def test_help_says_what_exit_codes_mean_and_shows_an_example(home: Home) -> None:
    shown = home.run("check-bars", "--help").out
    assert "Exit codes: 0 no error was found" in shown
    assert "sensequant check-bars --universe nifty100.csv --bars nse_daily.parquet" in shown


def test_the_plan_counts_findings_and_a_setting_skips_the_windows_that_read_them_with_the_reason(home: Home) -> None:
    said = "warning The rules on bars found 2 errors and 0 warnings in 4 symbols; 3 windows of 2 symbols read them."
    assert f"{said} `sensequant check-bars` names each." in home.run("plan", *SPAN).out
    planned = home.run("plan", *SPAN, "--json", BARS_ON_CORPORATE_ACTION="skip")
    rows = [json.loads(line) for line in planned.out.splitlines()]
    skipped = [row for row in rows if row["reason"] == "suspect_bars"]
    assert [(row["symbol"], row["window_start"]) for row in skipped] == [("BBB", "2022-06-30"), ("BBB", "2022-09-28")]
    assert "BBB.csv, row 252: BBB: it opens on 2022-09-08 at " in skipped[0]["detail"]
    assert skipped[0]["detail"].endswith("BARS_ON_CORPORATE_ACTION is skip.")
    assert [row["window_start"] for row in rows if row["error"]] == ["2022-06-30"]
    assert "CCC.csv, row 202: CCC: close is not positive" in next(row["error"] for row in rows if row["error"])
