"""Claims about the asset `walk_forward` in a real instance."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.batch.evaluation import BASELINES
from sensequant_assets.cli.launch import Launch, launch
from sensequant_assets.core.parameters import MODELS, StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.market.market import Market
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import how_it_runs, instance_of, leave, sample_bars, write_universe

TEACHER = TeacherParameters(scope="symbol", n_estimators=10, min_child_samples=4)
STUDENT = StudentParameters(scope="symbol", n_estimators=5)
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
TRAINED, LAST = ["2009-01-01", "2009-06-30"], "2012-12-11"


@dataclass
class Platform:
    """Four symbols in ten windows, of which two are trained; the bars end within the last."""

    settings: Settings
    instance: dg.DagsterInstance

    def materialize(self, first: str, last: str) -> dict[str, dict[str, Any]]:
        """Metadata by window of what the job materializes of these windows."""
        result = (
            build_definitions(self.settings, TEACHER, STUDENT)
            .resolve_job_def("evaluation")
            .execute_in_process(
                instance=self.instance,
                tags={
                    "dagster/asset_partition_range_start": first,
                    "dagster/asset_partition_range_end": last,
                },
                run_config={"ops": {"judging": {"config": {"cost_bp": 10.0}}}},
            )
        )
        assert result.success
        records = self.instance.fetch_materializations(dg.AssetKey("walk_forward"), limit=100).records
        events = [record.asset_materialization for record in records if record.run_id == result.run_id]
        return {str(one.partition): {key: value.value for key, value in one.metadata.items()} for one in events if one}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("judged")
    bars = sample_bars(directory / "bars", SYMBOLS)
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave(monkeypatch, directory)
        settings = read_settings(
            {"data_dir": directory / "data", "universe": write_universe(directory / "four.csv", SYMBOLS),
             "bars": str(bars), "end": date(2013, 6, 9)}
        )  # fmt: skip
        keys = Market.open(settings, TEACHER, STUDENT).keys(windows=[*TRAINED, LAST])
        with instance_of(settings) as instance:
            how = how_it_runs(workers=2)
            assert launch(Launch(settings, TEACHER, STUDENT, keys, MODELS, how, "trained")) is None
            yield Platform(settings, instance)


def test_windows_show_their_numbers_with_rows_and_intervals_beside_baselines(platform: Platform) -> None:
    found = platform.materialize(TRAINED[0], TRAINED[1])
    assert sorted(found) == TRAINED
    for window, told in found.items():
        assert told["status"] == "judged"
        assert told["rows"] == 4 * told["dates"]
        assert told["first"] > window
        assert 0 < told["teacher_auc"] < 1
        assert -1 < told["student_rank_ic"] < 1
        assert told["blocks"] == told["dates"] // told["block_length"]
        low, high = map(float, told["teacher_rank_ic_interval"].strip("[]").split(", "))
        assert low < told["teacher_rank_ic"] < high
        scores = [record.data for record in told["scores"].records]
        assert [score["score"] for score in scores] == [*MODELS, *BASELINES]
        assert {score["rows"] for score in scores} == {told["rows"]}
    # Each of its evaluations is a trial of the batch that trained the models.
    trials = (
        TelemetryStore(platform.settings.data_dir / "telemetry")
        .query(
            "SELECT first_window::VARCHAR AS first, last_window::VARCHAR AS last, rows FROM trials "
            "WHERE score = 'teacher' AND batch_id = 'trained' ORDER BY first"
        )
        .to_pylist()
    )
    assert trials == [{"first": key, "last": key, "rows": found[key]["rows"]} for key in TRAINED]


def test_the_run_looks_for_leaks_and_shows_what_each_probe_found(platform: Platform) -> None:
    platform.materialize(TRAINED[0], TRAINED[1])
    (record,) = platform.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("walk_forward"), "no_leak"), limit=1
    )
    assert record.event is not None
    evaluation = record.event.asset_check_evaluation
    assert evaluation is not None
    assert not evaluation.blocking
    told = {name: value.value for name, value in evaluation.metadata.items()}
    assert (told["windows"], told["first_window"], told["last_window"]) == (2, *TRAINED)
    found = {row.data["probe"]: row.data for row in told["findings"].records}
    assert len(found) == told["probes"] == 8
    assert evaluation.passed == (told["found"] == 0)
    for name in ("features_know_no_future", "labels_keep_their_horizon", "test_rows_share_no_bar"):
        assert found[name]["found"] == "nothing"
        assert "rows " in found[name]["evidence"]


def test_a_window_without_test_rows_or_models_is_told_as_such_and_fails_nothing(platform: Platform) -> None:
    found = platform.materialize("2012-06-14", LAST)
    assert found["2012-06-14"] == {"status": "not judged", "why": "No model of this window is on disk."}
    assert found[LAST]["status"] == "not judged"
    assert (
        "teachers and 4 students are without a test row: the window after theirs has no label yet."
        in (found[LAST]["why"])
    )


def test_it_hangs_on_the_models_of_its_window(platform: Platform) -> None:
    graph = build_definitions(platform.settings, TEACHER, STUDENT).resolve_asset_graph()
    asset, window = dg.AssetKey("walk_forward"), TRAINED[1]
    windows, lattice = (graph.get(key).partitions_def for key in (asset, dg.AssetKey("teacher_models")))
    assert windows is not None
    assert lattice is not None
    for name in ("teacher_models", "student_models"):
        models = dg.AssetKey(name)
        found = graph.get_partition_mapping(asset, models).get_upstream_mapped_partitions_result_for_partitions(
            windows.subset_with_partition_keys([window]), windows, lattice,
            dynamic_partitions_store=platform.instance,
        )  # fmt: skip
        assert set(found.partitions_subset.get_partition_keys()) == {f"{symbol}|{window}" for symbol in SYMBOLS}
