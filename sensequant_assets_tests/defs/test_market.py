"""Claims about the assets before the models, in a real instance."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from sensequant_assets.core.features import FEATURE_NAMES
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets_tests.running import corrupt, instance_of, leave, sample_bars, spoil, write_universe


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    leave(monkeypatch, tmp_path)
    universe = write_universe(tmp_path / "two.csv", ["AAPL", "IBM"])
    bars = sample_bars(tmp_path / "bars", ["AAPL", "IBM", "MSFT"])
    given = {"data_dir": tmp_path / "data", "universe": universe, "bars": str(bars), "end": date(2010, 6, 25)}
    return read_settings(given)


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with instance_of(settings) as made:
        yield made


def materialize(settings: Settings, instance: dg.DagsterInstance, asset: str, *symbols: str) -> None:
    """Materialize one asset, of the symbols from the first to the last if any are named."""
    definitions = build_definitions(settings, TeacherParameters(scope="symbol"), StudentParameters(scope="symbol"))
    edges = zip(("start", "end"), (symbols[0], symbols[-1]) if symbols else (), strict=False)
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset)],
        tags={f"dagster/asset_partition_range_{edge}": symbol for edge, symbol in edges},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success


def test_a_new_listing_is_a_partition_as_soon_as_the_universe_is_materialized(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    materialize(settings, instance, "universe")
    assert set(instance.get_dynamic_partitions("symbols_two")) == {"AAPL", "IBM"}
    write_universe(settings.universe, ["AAPL", "IBM", "MSFT"])
    materialize(settings, instance, "universe")
    assert set(instance.get_dynamic_partitions("symbols_two")) == {"AAPL", "IBM", "MSFT"}
    newest = instance.get_latest_materialization_event(dg.AssetKey("universe"))
    assert newest is not None
    assert newest.asset_materialization is not None
    metadata = newest.asset_materialization.metadata
    assert metadata["symbols"].value == 3
    assert metadata["new_partitions"].value == 1
    listings = metadata["listings"]
    assert isinstance(listings, dg.TableMetadataValue)
    assert [record.data["symbol"] for record in listings.records] == ["AAPL", "IBM", "MSFT"]


def test_bars_and_features_are_tables_of_one_row_a_bar(settings: Settings, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("symbols_two", ["AAPL", "IBM"])
    for asset in ("bars", "features"):
        materialize(settings, instance, asset, "AAPL", "IBM")
    given = pd.read_csv(settings.bars + "/IBM.csv")
    bars = pd.read_parquet(settings.data_dir / "bars" / "two" / "IBM.parquet")
    assert list(bars.columns) == ["time", "open", "high", "low", "close", "volume"]
    # Prices are adjusted by the ratio that makes the close the adjusted close.
    np.testing.assert_allclose(bars["close"], given["adj_close"])
    np.testing.assert_allclose(bars["open"], given["open"] * given["adj_close"] / given["close"])
    features = pd.read_parquet(settings.data_dir / "features" / "two" / "IBM.parquet")
    assert list(features.columns) == ["time", *FEATURE_NAMES, "forward_return", "label"]
    assert len(features) == len(bars) == len(given)
    np.testing.assert_allclose(features["forward_return"][0], bars["close"][7] / bars["close"][0] - 1)
    assert features["label"].isna().sum() == 7
    assert instance.get_materialized_partitions(dg.AssetKey("features")) == {"AAPL", "IBM"}


def test_corrupt_bars_are_noted_and_cost_no_other_symbol(settings: Settings, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("symbols_two", ["AAPL", "IBM"])
    corrupt(Path(settings.bars) / "AAPL.csv", line=77)
    materialize(settings, instance, "bars", "AAPL", "IBM")
    assert instance.get_materialized_partitions(dg.AssetKey("bars")) == {"IBM"}
    (record,) = instance.fetch_observations(dg.AssetKey("bars"), limit=10).records
    observation = record.event_log_entry.asset_observation
    assert observation is not None
    assert observation.partition == "AAPL"
    assert "AAPL.csv, row 77" in str(observation.metadata["error"].value)
    assert not (settings.data_dir / "bars" / "two" / "AAPL.parquet").exists()


def test_rows_that_are_no_bars_are_a_table_and_the_check_shows_what_is_found(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("symbols_two", ["AAPL", "IBM"])
    spoil(Path(settings.bars) / "AAPL.csv", 77, 78)
    materialize(settings, instance, "bars", "AAPL", "IBM")
    assert instance.get_materialized_partitions(dg.AssetKey("bars")) == {"AAPL", "IBM"}
    quarantine = settings.data_dir / "quarantine" / "two"
    assert [path.name for path in quarantine.iterdir()] == ["AAPL.parquet"]
    rows = pd.read_parquet(quarantine / "AAPL.parquet")
    assert rows[["row", "rule"]].to_numpy().tolist() == [[77, "non_positive"], [78, "non_positive"]]
    assert rows["said"][0] == "close is not positive (close is -1.0)"
    whole = len(pd.read_csv(Path(settings.bars) / "AAPL.csv"))
    assert len(pd.read_parquet(settings.data_dir / "bars" / "two" / "AAPL.parquet")) == whole - 2

    (record,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("bars"), "sound"), limit=1
    )
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    (shown,) = evaluation.metadata["findings"].records
    assert (shown.data["symbol"], shown.data["rule"], shown.data["rows"]) == ("AAPL", "non_positive", 2)
