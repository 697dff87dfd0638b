"""Claims about what the Tab key is told."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sensequant_assets.cli.main import main


def test_the_tab_key_is_told_the_commands_and_nothing_is_called_a_fault(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    for name, value in (("COMP_WORDS", "sensequant back"), ("COMP_CWORD", "1"), ("_X_COMPLETE", "bash_complete")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(prog_name="x", complete_var="_X_COMPLETE")
    assert ended.value.code == 0
    out, err = capfd.readouterr()
    assert "plain,backfill" in out.splitlines()
    assert not err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shell", "name"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_a_shell_that_starts_completes_once_it_is_installed(tmp_path: Path, monkeypatch, shell, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / name
    file.write_text("alias x=y")
    for _ in range(2):
        assert CliRunner().invoke(main, ["completion", shell, "--install"]).exit_code == 0
    assert file.read_text() == f'alias x=y\neval "$(_SENSEQUANT_COMPLETE={shell}_source sensequant)"\n'


def test_the_function_of_a_shell_is_printed():
    assert (
        "complete -o nosort -F _sensequant_completion sensequant"
        in CliRunner().invoke(main, ["completion", "bash"]).output
    )
