"""Claims about the asset `champions` in a real instance: promoted and rolled back by the config of a run."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.core.judging.promotion import CONDITIONS
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.models.champions import Challenger, Champion, ChampionStore
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets_tests.making import market_with_an_edge
from sensequant_assets_tests.running import Home, instance_of, leave


@dataclass
class Platform:
    """A batch of a small market with an edge, and the instance of its data directory."""

    settings: Settings
    instance: dg.DagsterInstance
    batch: str

    def run(self, *, job: str = "promotion", asset: str = "champions", **config: Any) -> dg.ExecuteInProcessResult:
        """Launch a job with this config of its asset."""
        return (
            build_definitions(self.settings, TeacherParameters(), StudentParameters())
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance, run_config={"ops": {asset: {"config": config}}}, raise_on_error=False
            )
        )

    def shown(self, **config: Any) -> dict[str, Any]:
        """Metadata of what such a run materializes."""
        result = self.run(**config)
        assert result.success
        (event,) = result.asset_materializations_for_node("champions")
        return {name: value.value for name, value in event.metadata.items()}

    @property
    def store(self) -> ChampionStore:
        return ChampionStore(self.settings.champions_dir, "edge")

    @property
    def champion(self) -> Champion:
        """Who serves."""
        found = self.store.current()
        assert found is not None
        return found


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("champions")
    home = Home(directory, market_with_an_edge(directory / "market"))
    finished = home.run("backfill", "--json")
    assert finished.code == 0, finished.err
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave(monkeypatch, directory)
        for name, value in home.variables.items():
            monkeypatch.setenv(name, value)
        settings = read_settings({"data_dir": home.data})
        with instance_of(settings) as instance:
            yield Platform(settings, instance, finished.json["batch_id"])


@pytest.fixture(autouse=True)
def _without_champions(platform: Platform) -> None:
    shutil.rmtree(platform.settings.champions_dir, ignore_errors=True)


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    return event.step_failure_data


def promote_again(platform: Platform, **changed: Any) -> None:
    """Put those that serve in their own place, as a set of which some things are said otherwise."""
    store, serves = platform.store, platform.champion

    def copied(path: Path) -> str:
        shutil.copy(store.directory / serves.pack, path)
        return serves.pack_digest

    said = {name: getattr(serves, name) for name in Challenger.model_fields}
    store.promote(Challenger(**said | changed), copied, store.forecasts(serves), against=serves.version)


def test_the_graph_has_champions_after_walk_forward(platform: Platform) -> None:
    definitions = build_definitions(platform.settings, TeacherParameters(), StudentParameters())
    node = definitions.resolve_asset_graph().get(dg.AssetKey("champions"))
    assert node.parent_keys == {dg.AssetKey("walk_forward")}


def test_a_run_promotes_the_latest_batch_and_shows_evidence_history_and_where_it_lies(platform: Platform) -> None:
    shown, champion = platform.shown(), platform.champion
    assert (shown["version"], shown["batch"], shown["scope"]) == (1, platform.batch, "pool")
    assert shown["standing"] == champion.standing
    assert [row.data["condition"] for row in shown["evidence"].records] == list(CONDITIONS.values())[:4]
    assert all(row.data["passed"] for row in shown["evidence"].records)
    (row,) = (row.data for row in shown["history"].records)
    assert (row["version"], row["batch"], row["supersedes"]) == (1, platform.batch, "-")
    assert row["by"].startswith("run ")
    assert 0 < shown["rank_ic"] < 1
    for name in ("record", "pack", "forecasts"):
        assert Path(shown[name]).is_file()


def test_a_run_brings_an_earlier_version_back(platform: Platform) -> None:
    platform.shown()
    # Another set has served in between.
    promote_again(platform)
    shown = platform.shown(action="rollback")
    assert (shown["version"], shown["restores"], shown["supersedes"]) == (3, 1, 2)
    assert [row.data["version"] for row in shown["history"].records] == [3, 2, 1]
    assert platform.shown(action="rollback", to=2)["restores"] == 2
    refused = platform.run(action="rollback", to=9)
    assert not refused.success
    assert "no version 9" in failure_of(refused).error.to_string()


def test_a_batch_that_does_not_pass_fails_its_run_with_every_condition(platform: Platform) -> None:
    platform.shown()
    # Who has learned other labels cannot be compared with.
    promote_again(platform, market=platform.champion.market | {"threshold": 0.03}, fingerprints={"trees": "others"})
    result = platform.run(batch=platform.batch)
    assert not result.success
    failed = failure_of(result).user_failure_data
    assert f"Batch {platform.batch} is not promoted: rank IC not surely below the incumbent's" in failed.description
    rows = [row.data for row in failed.metadata["conditions"].records]
    assert [row["condition"] for row in rows if not row["passed"]] == list(CONDITIONS.values())[4:]
    assert "learned labels of another kind" in failed.metadata["remarks"].text
    assert platform.champion.version == 2


def test_a_run_backtests_a_batch_and_shows_what_it_came_to_with_its_page(platform: Platform) -> None:
    result = platform.run(job="backtesting", asset="backtest", top=2)
    assert result.success
    (event,) = result.asset_materializations_for_node("backtest")
    shown: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    assert shown["batch"] == platform.batch
    assert "on these dates surely more than the universe." in shown["verdict"]
    assert [row.data["held"] for row in shown["sides"].records] == ["portfolio, net", "universe"]
    assert (shown["symbols"], shown["windows"]) == (8, 4)
    assert shown["excess"] > 0
    assert shown["excess_interval"].startswith("[+0.00")
    assert Path(shown["page"].removeprefix("file://")).is_file()
    refused = platform.run(job="backtesting", asset="backtest", top=8)
    assert "are all of them, and no choice" in failure_of(refused).error.to_string()


def test_a_promotion_ends_with_the_stress_check_which_stops_nothing(platform: Platform) -> None:
    result = platform.run()
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.blocking) == ("stress", False)
    # No default period lies where every day has a bar and a prediction, but for that of 2022, and that in part.
    assert not check.passed
    states = {row.data["test"]: row.data["state"] for row in check.metadata["tests"].value.records}
    assert states["crash of March 2020"] == "not covered"
    assert "not at all: nobody knows what would have been" in str(check.description).replace("\\", "")
