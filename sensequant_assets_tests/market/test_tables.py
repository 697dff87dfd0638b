"""Claims about tables of bars and features on disk."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.market.tables import bars_table, features_table, is_current, table_path, write_parquet
from sensequant_assets_tests.making import random_walk, samples_of
from sensequant_assets_tests.running import within

BARS = random_walk(80, 3)


def test_bars_come_back_as_they_were(tmp_path: Path) -> None:
    table = pq.read_table(write_parquet(bars_table(BARS), tmp_path / "bars" / "AAA.parquet", "one"))
    assert table.column_names == ["time", "open", "high", "low", "close", "volume"]
    for name in table.column_names:
        np.testing.assert_array_equal(table[name].to_numpy(), getattr(BARS, name))


def test_what_is_not_known_yet_is_null() -> None:
    samples = samples_of(BARS, horizon=7)
    table = features_table(samples)
    # The last seven bars have no forward return and no label yet.
    assert table["forward_return"].null_count == table["label"].null_count == 7
    for name, column in zip(samples.feature_names, samples.features.T, strict=True):
        assert table[name].null_count == np.isnan(column).sum()


def test_a_table_is_current_for_the_fingerprint_that_it_was_written_with_alone(tmp_path: Path) -> None:
    path = tmp_path / "AAA.parquet"
    assert not is_current(path, "one")
    write_parquet(bars_table(BARS), path, "one")
    assert is_current(path, "one")
    assert not is_current(path, "two")
    write_parquet(bars_table(BARS), path, "two")
    assert is_current(path, "two")


def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "AAPL.parquet")
    with within(10):
        assert not is_current(tmp_path / "AAPL.parquet", "one")


def test_a_table_that_was_cut_is_not_current(tmp_path: Path) -> None:
    path = write_parquet(bars_table(BARS), tmp_path / "AAA.parquet", "one")
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_current(path, "one")


def test_the_path_of_a_table_stays_below_its_directory(tmp_path: Path) -> None:
    assert table_path(tmp_path, "bars", "five", "AAA") == tmp_path / "bars" / "five" / "AAA.parquet"
    for universe, symbol in (("..", "AAA"), ("five", ".."), ("five", "../AAA"), ("a/b", "AAA")):
        with pytest.raises(UsageError, match=r"cannot name a universe|is not a symbol"):
            table_path(tmp_path, "bars", universe, symbol)
