"""Claims about blocks of symbols as partitions, in a real instance: a green block has no failed window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from sensequant_assets.cli.launch import Launch, launch
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.parameters import MODELS, StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.names import ASSETS, BATCH_TAG
from sensequant_assets.defs.runs import config_of
from sensequant_assets.market.market import Market
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.telemetry.questions.batches import batch_summary
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import corrupt, how_it_runs, instance_of, leave, sample_bars, write_universe

TEACHER, STUDENT = TeacherParameters(scope="symbol", n_estimators=10), StudentParameters(scope="symbol", n_estimators=5)
SYMBOLS, WINDOW = ("AAPL", "FB", "GOOG", "IBM", "MSFT"), "2009-01-01"
YOUNG, SICK, REST = (f"{name}|{WINDOW}" for name in ("AAPL~FB~2", "GOOG~IBM~2", "MSFT~MSFT~1"))


@dataclass
class Platform:
    """Five symbols in one window by blocks of two: FB is listed later."""

    settings: Settings
    instance: dg.DagsterInstance

    def launch(self, name: str, keys: Sequence[Key] = ()) -> dg.DagsterRun:
        """Run a batch the way the command line does, in which half of the windows may fail."""
        chosen = keys or Market.open(self.settings, TEACHER, STUDENT).keys()
        how = how_it_runs(max_failure_rate=0.5, workers=1)
        assert launch(Launch(self.settings, TEACHER, STUDENT, chosen, MODELS, how, name)) is None
        (run,) = self.instance.get_runs(dg.RunsFilter(tags={BATCH_TAG: name}))
        return run

    def grid(self, asset: str = "teacher_models") -> tuple[set[str], set[str]]:
        """Partitions that the UI shows green, and red."""
        key = dg.AssetKey(asset)
        lattice = build_definitions(self.settings, TEACHER, STUDENT).resolve_asset_graph().get(key).partitions_def
        assert lattice is not None
        cached = get_and_update_asset_status_cache_value(self.instance, key, lattice, self.instance)
        assert cached is not None
        with dg.partition_loading_context(dynamic_partitions_store=self.instance):
            red = set(cached.deserialize_failed_partition_subsets(lattice).get_partition_keys())
            return set(cached.deserialize_materialized_partition_subsets(lattice).get_partition_keys()) - red, red

    def counts(self, name: str) -> list[dict[str, Any]]:
        """What became of the windows of a batch, model by model."""
        return batch_summary(TelemetryStore(self.settings.telemetry_dir), name)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    bars = sample_bars(tmp_path / "bars", SYMBOLS)
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave(monkeypatch, tmp_path)
        settings = read_settings(
            {"data_dir": tmp_path / "data", "universe": write_universe(tmp_path / "five.csv", SYMBOLS),
             "bars": str(bars), "end": date(2009, 6, 30), "partition_by": "block", "block_size": 2}
        )  # fmt: skip
        with instance_of(settings) as instance:
            yield Platform(settings, instance)


def shown(record: Any) -> dict[str, Any]:
    """Metadata of an event; of a table its rows."""
    event = record.asset_materialization or record.event_log_entry.asset_observation
    return {
        name: [dict(row.data) for row in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
        for name, value in event.metadata.items()
    }


def test_a_block_is_green_only_while_none_of_its_windows_has_failed(platform: Platform, tmp_path: Path) -> None:
    good = (tmp_path / "bars" / "IBM.csv").read_bytes()
    corrupt(tmp_path / "bars" / "IBM.csv", line=50)

    first = platform.launch("first")

    # The failures are within the limit, so that the batch passes; its run says which block is not whole.
    assert first.status is dg.DagsterRunStatus.FAILURE
    for asset in ASSETS.values():
        assert platform.grid(asset) == ({YOUNG, REST}, {SICK})
    teachers = platform.counts("first")[0]
    assert [teachers[name] for name in ("planned", "trained", "skipped", "failed")] == [5, 3, 1, 1]
    (failed,) = platform.instance.all_logs(first.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert failed.dagster_event is not None
    assert f"teacher_models {SICK}: 1 failed of 2" in str(failed.dagster_event.step_failure_data.error)
    checks = platform.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("teacher_models"), "max_failure_rate"), limit=10
    )
    (verdict,) = (one.event.dagster_event.asset_check_evaluation_data for one in checks if one.event)
    assert verdict.passed
    assert (verdict.metadata["trained"].value, verdict.metadata["failed"].value) == (3, 1)

    (record,) = platform.instance.fetch_observations(dg.AssetKey("teacher_models"), limit=10).records
    told = shown(record)
    assert (told["status"], told["windows"], told["trained"], told["failed"]) == ("incomplete", 2, 1, 1)
    assert [(row["symbol"], row["cause"]) for row in told["failed_windows"]] == [("IBM", "corrupt_bars")]
    assert [(row["symbol"], row["outcome"]) for row in told["pairs"]] == [("GOOG", "trained"), ("IBM", "failed")]
    asked = TelemetryStore(platform.settings.telemetry_dir).query(told["query"]).to_pylist()
    assert {row["symbol"]: row["outcome"] for row in asked} == {"GOOG": "trained", "IBM": "failed"}

    # What failed alone is tried again: its block is whole by what an earlier batch knows of the others.
    (tmp_path / "bars" / "IBM.csv").write_bytes(good)
    assert platform.launch("mended", [("IBM", WINDOW)]).status is dg.DagsterRunStatus.SUCCESS
    for asset in ASSETS.values():
        assert platform.grid(asset) == ({YOUNG, SICK, REST}, set())
    told = shown(platform.instance.fetch_materializations(dg.AssetKey("teacher_models"), limit=1).records[0])
    assert (told["status"], told["windows"], told["planned"], told["trained"]) == ("complete", 2, 1, 2)
    assert all(float(row["test_auc"]) > 0 for row in told["pairs"])

    # A choice that Dagster has no range for takes the green from each block in which it fails.
    corrupt(tmp_path / "bars" / "MSFT.csv", line=50)
    scattered = platform.launch("scattered", [("AAPL", WINDOW), ("MSFT", WINDOW)])
    assert scattered.tags["dagster/asset_partition_range_end"] == YOUNG
    assert platform.grid() == ({YOUNG, SICK}, {REST})


def test_a_block_waits_for_what_nobody_tried_and_not_for_what_is_to_be_skipped(platform: Platform) -> None:
    # FB is listed later; GOOG is to be trained, and was never tried.
    platform.launch("some", [("AAPL", WINDOW), ("IBM", WINDOW)])
    assert platform.grid() == ({YOUNG}, {SICK})
    told = shown(platform.instance.fetch_materializations(dg.AssetKey("teacher_models"), limit=1).records[0])
    assert [told[name] for name in ("windows", "planned", "trained", "skipped", "not_attempted")] == [2, 1, 1, 1, 0]
    assert [row["why"][:11] for row in told["pairs"]] == ["", "pre_listing"]
    told = shown(platform.instance.fetch_observations(dg.AssetKey("teacher_models"), limit=1).records[0])
    assert [told[name] for name in ("windows", "planned", "trained", "failed", "not_attempted")] == [2, 1, 1, 0, 1]


def test_a_run_whose_blocks_are_whole_is_a_success_and_asks_for_a_range(platform: Platform) -> None:
    run = platform.launch("whole")
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert config_of(run)["pairs"] == []
    for asset in ASSETS.values():
        assert platform.grid(asset) == ({YOUNG, SICK, REST}, set())
        assert len(platform.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records) == 3
