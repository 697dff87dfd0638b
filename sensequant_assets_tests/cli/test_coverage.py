"""Claims about `sensequant coverage`."""

import json

import pandas as pd
import pytest

from sensequant_assets_tests.making import random_walk
from sensequant_assets_tests.running import Home

SPAN = ("--start", "2022-01-01", "--end", "2022-04-01", "--window-days", "90")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three walks with a bar on each day, of which one lacks half of February; and a symbol without bars."""
    directory = tmp_path_factory.mktemp("covered")
    bars = directory / "bars"
    bars.mkdir()
    for number, symbol in enumerate(("AAA", "BBB", "CCC")):
        walk = random_walk(100, number, symbol=symbol)
        columns = {name: getattr(walk, name) for name in ("open", "high", "low", "close", "volume")}
        frame = pd.DataFrame({"date": walk.time.astype("datetime64[D]").astype(str), **columns})
        (frame if symbol != "BBB" else frame.drop(range(31, 45))).to_csv(bars / f"{symbol}.csv", index=False)
    (directory / "four.csv").write_text("symbol\nAAA\nBBB\nCCC\nGONE\n")
    variables = {"SENSEQUANT_UNIVERSE": str(directory / "four.csv"), "SENSEQUANT_BARS": str(bars)}
    return Home(directory, variables)


def test_each_symbol_and_month_is_a_line_of_json_and_a_symbol_without_bars_is_named_and_exit_code_1(home: Home) -> None:
    finished = home.run("coverage", *SPAN, "--json")
    assert finished.code == 1, finished.err
    found = {(row["symbol"], row["month"]): row for row in map(json.loads, finished.out.splitlines())}
    assert len(found) == 12
    assert found["BBB", "2022-02"] == {"symbol": "BBB", "month": "2022-02", "bars": 14, "days": 14, "sessions": 28}
    assert found["GONE", "2022-03"] == {"symbol": "GONE", "month": "2022-03", "bars": 0, "days": 0, "sessions": 31}
    assert "4 symbols, 2022-01 to 2022-03, 90 sessions. No bar of GONE (1 of 4)." in finished.err


def test_a_month_is_a_mark_and_symbols_choose_what_is_shown_and_the_exit_code(home: Home) -> None:
    finished = home.run("coverage", *SPAN, "--symbols", "AAA,BBB")
    assert finished.code == 0, finished.err
    table = [line.split() for line in finished.out.splitlines()]
    assert ["AAA", "90", "90", "90", "###"] in table
    assert ["BBB", "76", "90", "76", "#5#"] in table
    assert finished.out.endswith("2 symbols, 2022-01 to 2022-03, 90 sessions.\n")


def test_its_help_says_what_exit_codes_mean_and_shows_an_example(home: Home) -> None:
    shown = home.run("coverage", "--help").out
    assert "Exit codes: 0 there are bars; 1 a symbol has none" in shown
    assert "sensequant coverage --universe nifty100.csv" in shown
