"""Claims about what commands share: a copy elsewhere is taken from before they read."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner

from sensequant_assets import load_champions
from sensequant_assets.cli.main import main
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.settings import read_settings
from sensequant_assets_tests.models.test_champions import promoted
from sensequant_assets_tests.running import leave

PLACE = "memory://desk"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    leave(monkeypatch, tmp_path)
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", PLACE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    yield
    fsspec.filesystem("memory").store.clear()


def asked(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(main, arguments)
    return found.exit_code, found.stdout, found.stderr


def test_a_data_directory_at_an_address_is_taken_before_a_command_reads_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings()
    promoted(ChampionStore(settings.champions_dir, "sample"), "one")
    code, out, err = asked("champions")
    assert (code, "Version 1 serves universe sample." in out) == (0, True)
    assert f"0 files taken from memory://desk to {settings.data_dir}" in err
    # Another machine.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    code, out, err = asked("champions")
    assert (code, "Version 1 serves universe sample." in out, "3 files taken" in err) == (0, True, True)
    assert asked("query", "SELECT 1 AS one")[0] == 0
    # And a notebook on a third.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "three"))
    with suppress(UsageError):
        load_champions()
    assert len(ChampionStore(read_settings().champions_dir, "sample").history()) == 1
    assert not (tmp_path / "memory:").exists()


def test_what_cannot_be_reached_is_told_and_nothing_is_read_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError("the network is down")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "ls", away)
    code, out, err = asked("query", "SELECT 1 AS one")
    assert (code, out) == (2, "")
    assert "cannot be read or written: the network is down. Look at its address" in err
    assert f"work without it: set SENSEQUANT_DATA_DIR={read_settings().data_dir}" in err
