"""Offices that the daemon works in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensequant_assets.defs.names import BATCH_TAG
from sensequant_assets_tests.operating import (
    Office,
    opened,
)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with opened(tmp_path, monkeypatch) as office:
        yield office


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str | None]:
    """A directory in which the sensor has trained the whole lattice, and its cursor then."""
    directory = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as monkeypatch, opened(directory, monkeypatch) as office:
        (request,) = office.tick("new_bars").run_requests
        assert len(office.outcomes(request.tags[BATCH_TAG])) == 8
        cursor = office.cursors["new_bars"]
    return directory, cursor


@pytest.fixture
def trained(template: tuple[Path, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A copy of that office."""
    directory, cursor = template
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    with opened(tmp_path, monkeypatch) as office:
        office.cursors["new_bars"] = cursor
        yield office
