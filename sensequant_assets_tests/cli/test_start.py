"""Claims about what a process of the command line loads and leaves, which every batch pays for."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from sensequant_assets_tests.running import Home, finish, sample_bars, write_universe

SYMBOLS = ("AAPL", "IBM")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose bars are one parquet file."""
    directory = tmp_path_factory.mktemp("start")
    files = sample_bars(directory / "csv", SYMBOLS)
    frames = [pd.read_csv(files / f"{symbol}.csv", parse_dates=["date"]).assign(symbol=symbol) for symbol in SYMBOLS]
    pd.concat(frames).to_parquet(directory / "bars.parquet", index=False)
    universe = write_universe(directory / "two.csv", SYMBOLS)
    return Home(
        directory,
        {
            "SENSEQUANT_UNIVERSE": str(universe),
            "SENSEQUANT_BARS": str(directory / "bars.parquet"),
            "SENSEQUANT_START": "2009-01-01",
            "SENSEQUANT_END": "2010-06-25",
        },
    )


def imported(err: str) -> set[str]:
    """Top-level packages of the import times that Python prints."""
    return set(re.findall(r"^import time:.*\| +(\w+)", err, re.MULTILINE))


def test_a_batch_loads_no_pandas_and_one_that_reuses_all_its_models_no_lightgbm(home: Home) -> None:
    first = home.backfill(PYTHONPROFILEIMPORTTIME="1")
    assert first.code == 0, first.err
    assert "lightgbm" in imported(first.err)
    # LightGBM looks for both, which leaves a line for each, and finds neither.
    assert not re.search(r"^import time:.*\| +(pandas|sklearn)\.", first.err, re.MULTILINE)
    again = home.backfill(PYTHONPROFILEIMPORTTIME="1")
    assert again.json["teacher"]["reused"] == again.json["student"]["reused"] == 6
    assert "dagster" in imported(again.err)
    assert not {"pandas", "lightgbm", "scipy"} & imported(again.err)


def test_a_run_of_the_command_line_captures_no_output_and_prints_it(home: Home) -> None:
    finished = home.backfill()
    assert finished.code == 0, finished.err
    assert "Batch " in finished.err
    assert not list((home.data / "dagster").rglob("compute_logs"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--version",), 0),
        (("backfill", "--symbols", "NONE"), 2),
        (("backfill", "--nonsense"), 2),
        (("plan",), 0),
        (("query", "SELECT 1"), 0),
    ],
)
def test_a_command_ends_with_its_exit_code_and_all_it_printed(
    home: Home, arguments: tuple[str, ...], code: int
) -> None:
    finished = home.anew.run(*arguments)
    assert finished.code == code
    assert (finished.out if code == 0 else finished.err).endswith("\n")


@pytest.mark.parametrize("arguments", [("plan", "--json"), ("plan",), ("--help",), ("plan", "--help")])
def test_a_reader_that_has_gone_ends_a_command_without_a_word(home: Home, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as unread:  # noqa: PTH123  # a descriptor
        finished = finish(home.anew.start(*arguments, stdout=unread))
    assert (finished.code, finished.err) == (141, "")


def test_no_write_ahead_log_is_left_behind(home: Home) -> None:
    assert home.backfill().code == 0
    left: list[Path] = [*home.data.rglob("*-wal"), *home.data.rglob("*-shm"), *home.data.rglob(".*.*")]
    assert [path.name for path in left] == []
