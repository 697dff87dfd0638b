"""Claims about the demonstration."""

from pathlib import Path

from click.testing import CliRunner

from sensequant_assets.cli import demo as module
from sensequant_assets.cli.backfill import backfill
from sensequant_assets.cli.evaluate import evaluate
from sensequant_assets.cli.main import main
from sensequant_assets_tests.running import leave


def test_the_demonstration_trains_and_predicts_in_a_directory_of_its_own_and_nowhere_else(
    tmp_path: Path, monkeypatch
) -> None:
    leave(monkeypatch, tmp_path)
    mine = tmp_path / "mine"
    for name, value in {"DATA_DIR": mine, "BARS": mine, "UNIVERSE": mine, "REMOTE": f"file://{mine}"}.items():
        monkeypatch.setenv(f"SENSEQUANT_{name}", str(value))
    monkeypatch.setenv("TEACHER_NUM_LEAVES", "1")
    # An evaluation takes ten times as long as the rest, and has tests of its own.
    monkeypatch.setattr(module, "_STEPS", [step for step in module._STEPS if step[0] is not evaluate])

    shown = CliRunner().invoke(main, ["demo"])

    assert shown.exit_code == 0, shown.output
    assert f"Everything is in {tmp_path}/sensequant-demo;" in shown.output
    assert "AAPL    2013-03-01" in shown.output
    assert "sensequant dev " in shown.output
    assert [path.name for path in tmp_path.iterdir()] == ["sensequant-demo"]


def test_a_directory_with_settings_of_a_person_is_none_for_a_demonstration(tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    assert CliRunner().invoke(main, ["init", "desk"]).exit_code == 0
    with Path("desk/.env").open("a") as env:
        env.write("SENSEQUANT_START=2010-01-01\n")
    refused = CliRunner().invoke(main, ["demo", "desk"])
    assert refused.exit_code == 2
    assert "desk" in refused.output
    assert Path.cwd() == tmp_path
    assert not Path("desk/data").exists()


def test_a_command_that_fails_is_the_end_of_the_demonstration(tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "_STEPS", [(backfill, ("--max-failure-rate", "2")), *module._STEPS])
    shown = CliRunner().invoke(main, ["demo"])
    assert shown.exit_code == 2
    assert "What to look at next" not in shown.output
