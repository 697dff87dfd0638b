"""Claims about pools as Dagster shows them, in a real instance."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.cli.launch import Launch, launch
from sensequant_assets.core.parameters import MODELS, StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
from sensequant_assets.market.market import Market
from sensequant_assets.models.pools import PoolStore
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets_tests.running import how_it_runs, instance_of, leave, sample_bars, write_universe

SYMBOLS = ("AAPL", "GOOG", "IBM")
WINDOWS = ["2009-01-01", "2009-06-30", "2009-12-27"]
POOLED = {"scope": "pool", "n_estimators": 10, "min_child_samples": 20}
TEACHER, STUDENT = TeacherParameters.model_validate(POOLED), StudentParameters.model_validate(POOLED)


@dataclass
class Platform:
    """A Dagster instance on three symbols in three windows."""

    settings: Settings
    instance: dg.DagsterInstance

    @property
    def pools(self) -> PoolStore:
        return PoolStore(self.settings.data_dir / "models" / "three")

    def materialize(
        self, *assets: str, key: str, teacher: TeacherParameters, config: dict[str, Any] | None = None
    ) -> Any:
        """Materialize one partition of assets the way a click in the UI does."""
        definitions = build_definitions(self.settings, teacher, StudentParameters(scope=teacher.scope))
        job = definitions.resolve_implicit_job_def_def_for_assets([dg.AssetKey(asset) for asset in assets])
        assert job is not None
        resources = {name: {"config": values} for name, values in (config or {}).items()}
        return job.execute_in_process(
            instance=self.instance,
            partition_key=key,
            run_config={"resources": resources},
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            raise_on_error=False,
        )

    def metadata(self, asset: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Metadata by partition of what a run materialized."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
        events = [record.asset_materialization for record in records if record.run_id == run_id]
        return {str(one.partition): {key: value.value for key, value in one.metadata.items()} for one in events if one}


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    bars = sample_bars(tmp_path / "bars", SYMBOLS)
    leave(monkeypatch, tmp_path)
    settings = read_settings(
        {"data_dir": tmp_path / "data", "universe": write_universe(tmp_path / "three.csv", SYMBOLS),
         "bars": str(bars), "end": date(2010, 6, 25)}
    )  # fmt: skip
    with instance_of(settings) as instance:
        add_symbols(instance, symbol_partitions(settings.universe_name), SYMBOLS)
        yield Platform(settings, instance)


def test_a_pool_is_materialized_by_its_window(platform: Platform) -> None:
    result = platform.materialize("pooled_teachers", "shared_students", key=WINDOWS[1], teacher=TEACHER)

    assert result.success
    shown = platform.metadata("pooled_teachers", result.run_id)
    assert set(shown) == {WINDOWS[1]}
    market = Market.open(platform.settings, TEACHER, StudentParameters(scope="pool"))
    pool = shown[WINDOWS[1]]
    assert (pool["status"], pool["symbols"], pool["windows"]) == ("trained", 3, 2)
    assert pool["rows"] == market.pools[WINDOWS[1]].rows
    assert pool["calibration_slope"] >= 0
    assert set(platform.metadata("shared_students", result.run_id)) == {WINDOWS[1]}


def test_a_batch_of_models_shows_the_pools_that_taught_them(platform: Platform) -> None:
    market = Market.open(platform.settings, TEACHER, STUDENT)
    failure = launch(Launch(platform.settings, TEACHER, STUDENT, market.keys(), MODELS, how_it_runs(workers=2), "one"))

    assert failure is None
    (run,) = platform.instance.get_runs(limit=1)
    assert sorted(platform.metadata("pooled_teachers", run.run_id)) == WINDOWS
    teachers = platform.metadata("teacher_models", run.run_id)
    assert len(teachers) == 9
    flags = set()
    for window in WINDOWS:
        stored = platform.pools.find("pool", window)
        assert stored is not None
        of_window = [shown for key, shown in teachers.items() if key.endswith(window)]
        assert {shown["trees_fingerprint"] for shown in of_window} == {stored.record.trees_fingerprint}
        flagged = stored.record.calibration.nothing_learned
        assert {"nothing learned" in shown.get("flags", "") for shown in of_window} == {flagged}
        flags.add(flagged)
    assert flags == {True, False}


def test_one_pair_asked_alone_trains_its_windows_pool(platform: Platform) -> None:
    result = platform.materialize("teacher_models", "student_models", key=f"IBM|{WINDOWS[0]}", teacher=TEACHER)

    assert result.success
    assert set(platform.metadata("pooled_teachers", result.run_id)) == {WINDOWS[0]}
    assert set(platform.metadata("student_models", result.run_id)) == {f"IBM|{WINDOWS[0]}"}


def test_the_launchpad_pools_for_one_run_by_the_defaults_of_that_scope(platform: Platform) -> None:
    result = platform.materialize(
        "teacher_models",
        "student_models",
        key=f"IBM|{WINDOWS[1]}",
        teacher=TeacherParameters(scope="symbol", seed=3),
        config={
            "teacher": {"scope": "pool", "n_estimators": 11, "min_child_samples": 20},
            "student": {"scope": "pool", "min_child_samples": 20},
        },
    )

    assert result.success
    stored = platform.pools.find("pool", WINDOWS[1])
    assert stored is not None
    asked = stored.record.asked
    # What is set in the environment or for the run binds; the rest is that of the scope.
    assert (asked["seed"], asked["n_estimators"], asked["num_leaves"], asked["learning_rate"]) == (3, 11, 15, 0.05)


def test_where_nothing_is_pooled_the_asset_says_so(platform: Platform) -> None:
    result = platform.materialize(
        "pooled_teachers", "shared_students", key=WINDOWS[0], teacher=TeacherParameters(scope="symbol")
    )

    assert not result.success
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "TEACHER_SCOPE is symbol" in str(failure.step_failure_data.error)


def test_a_pool_that_cannot_be_made_fails_its_run_and_says_why(platform: Platform) -> None:
    # No return of seven days is above a thousand percent.
    settings = platform.settings.model_copy(update={"threshold": 10.0})
    result = Platform(settings, platform.instance).materialize(
        "pooled_teachers", "shared_students", key=WINDOWS[0], teacher=TEACHER
    )

    assert not result.success
    observed = platform.instance.fetch_observations(dg.AssetKey("pooled_teachers"), limit=1).records
    shown = {key: value.value for key, value in observed[0].asset_observation.metadata.items()}
    assert shown["cause"] == "single_class"


def test_a_window_that_another_serves_says_so_on_the_pages_of_its_pairs_and_of_its_pool(platform: Platform) -> None:
    sample_bars(Path(platform.settings.bars), SYMBOLS, until="2010-01-11")
    key = dg.MultiPartitionKey({"symbol": "IBM", "window": WINDOWS[2]})

    pairs = platform.materialize("teacher_models", "student_models", key=key, teacher=TEACHER)
    pool = platform.materialize("pooled_teachers", "shared_students", key=WINDOWS[2], teacher=TEACHER)

    assert pairs.success
    assert pool.success
    why = "The pool of window 2009-12-27 has 9 rows of that window, needs 20."
    for asset in ("teacher_models", "student_models"):
        (shown,) = platform.metadata(asset, pairs.run_id).values()
        assert (shown["status"], shown["served_by"]) == ("reused", WINDOWS[1])
        assert shown["why"] == f"The model of window {WINDOWS[1]} serves it: {why}"
    assert platform.metadata("pooled_teachers", pool.run_id) == {WINDOWS[2]: {"status": "skipped", "why": why}}
