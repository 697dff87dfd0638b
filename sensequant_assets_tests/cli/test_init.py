"""Claims about a directory of one's own."""

import runpy
import sys
import tomllib
from pathlib import Path

import dagster as dg
import yaml
from click.testing import CliRunner
from dagster_dg_core.config import DgRawCliConfig
from dagster_dg_core.context import DgContext

from sensequant_assets.cli.main import main
from sensequant_assets.defs.home import WORKSPACE
from sensequant_assets.settings import PROJECT
from sensequant_assets_tests.running import leave


def test_a_new_directory_has_a_lattice_at_once_and_its_example_is_a_feature(tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    made = CliRunner().invoke(main, ["init", "desk"])
    assert made.exit_code == 0, made.output
    monkeypatch.chdir(tmp_path / "desk")
    env = Path(".env")
    env.write_text(env.read_text().replace("#SENSEQUANT_FEATURES", "SENSEQUANT_FEATURES"))
    for name in ("SENSEQUANT_DATA_DIR", "SENSEQUANT_UNIVERSE", "SENSEQUANT_BARS"):
        monkeypatch.delenv(name, raising=False)
    planned = CliRunner().invoke(main, ["plan", "--symbols", "IBM"])
    assert planned.exit_code == 0, planned.output
    assert "8 pairs: 8 eligible, 0 skipped" in planned.output


def test_what_is_there_already_stays_as_it_is(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "mine").write_text("1")
    refused = CliRunner().invoke(main, ["init", "desk"])
    assert refused.exit_code == 2
    assert "desk" in refused.output
    assert [path.name for path in (tmp_path / "desk").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["desk"]


def test_there_is_one_workspace_wherever_the_ui_is_started(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["init", "desk"]).exit_code == 0
    assert Path("desk/workspace.yaml").read_text() == WORKSPACE.read_text()
    assert (PROJECT / "workspace.yaml").resolve() == WORKSPACE
    (location,) = yaml.safe_load(WORKSPACE.read_text())["load_from"]
    theirs, ours = (
        tomllib.loads(path.read_text())["tool"]["dg"]
        for path in (Path("desk/pyproject.toml"), PROJECT / "pyproject.toml")
    )
    assert theirs == ours
    project = ours["project"]
    assert location["python_module"]["location_name"] == project["code_location_name"]
    assert location["python_module"]["module_name"] == project["code_location_target_module"]


def test_two_directories_side_by_side_share_no_data_and_no_instance(tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    homes = set()
    for name in ("first", "second"):
        assert CliRunner().invoke(main, ["init", name]).exit_code == 0
        monkeypatch.chdir(tmp_path / name)
        prepared = CliRunner().invoke(main, ["prepare"])
        assert prepared.exit_code == 0, prepared.output
        homes.add(tmp_path / name / "data" / "dagster")
        assert f"Dagster home {tmp_path / name / 'data' / 'dagster'}" in prepared.output
        monkeypatch.chdir(tmp_path)
    assert {path.parent for path in tmp_path.rglob("opening.lock")} == homes


def test_what_dg_scaffolds_is_loaded_beside_the_market(tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    assert CliRunner().invoke(main, ["init", "desk"]).exit_code == 0
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.syspath_prepend(tmp_path / "desk")
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        monkeypatch.delitem(sys.modules, name)
    project = DgContext.for_project_environment(tmp_path / "desk", DgRawCliConfig())
    assert project.code_location_name == "sensequant_assets"
    (project.defs_path / "mine.py").write_text(
        "import dagster as dg\n\n@dg.asset(deps=['predictions'])\ndef mine(): ...\n"
    )

    loaded = runpy.run_module(project.code_location_target_module_name)["defs"]

    assert loaded.resolve_asset_graph().get(dg.AssetKey("mine")).parent_keys == {dg.AssetKey("predictions")}
