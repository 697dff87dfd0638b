"""Claims about backups: the same files, rows and runs come back, or nothing does."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from sensequant_assets.defs.backup import RECORD, Backup
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import BatchStart
from sensequant_assets_tests.running import Home

ONE = ("--symbols", "IBM", "--end", "2009-12-27")
ROWS = "SELECT * FROM window_runs ORDER BY ALL"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A batch that has ended, and a run that is under way when the backup is taken."""
    home = Home(tmp_path_factory.mktemp("backup"))
    finished = home.backfill(*ONE)
    assert finished.code == 0, finished.err
    (home.data / "models" / f".half.{os.getpid()}.0123abcd").write_text("on its way")
    with Journal(home.telemetry.shards, batch_id="living", run_id="run", clock=utc_now) as journal:
        journal.append(BatchStart(universe="sample", source="cli", started_at=utc_now()))
        backed_up = home.run("backup", str(home.directory / "kept"))
    assert backed_up.code == 0, backed_up.err
    return home


@pytest.fixture
def kept(home: Home, tmp_path: Path) -> Path:
    """A copy of the backup, to be damaged."""
    return Path(shutil.copytree(home.directory / "kept", tmp_path / "kept"))


@pytest.fixture
def other(tmp_path: Path) -> Home:
    """An installation of which nothing is there."""
    return Home(tmp_path)


def history(home: Home) -> list[tuple[str, str, list[str]]]:
    """Runs of Dagster, with their status and events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home.data / "dagster"))
        with dg.DagsterInstance.get() as instance:
            return [
                (run.run_id, str(run.status), [repr(entry) for entry in instance.all_logs(run.run_id)])
                for run in instance.get_runs()
            ]


def test_a_backup_gives_the_same_rows_runs_events_and_models(home: Home, kept: Path, other: Home) -> None:
    restored = other.run("restore", str(kept))
    assert restored.code == 0, restored.err
    assert other.rows(ROWS) == home.rows(ROWS) != []
    assert history(other) == history(home) != []
    models = [path.relative_to(home.data) for path in home.models()]
    assert [path.relative_to(other.data) for path in other.models()] == models != []
    assert all((other.data / path).read_bytes() == (home.data / path).read_bytes() for path in models)


def test_a_batch_after_a_restore_trains_nothing_again(kept: Path, other: Home) -> None:
    assert other.run("restore", str(kept)).code == 0
    again = other.backfill(*ONE)
    assert (again.json["teacher"]["reused"], again.json["teacher"]["trained"]) == (2, 0), again.err


def test_a_run_that_was_under_way_is_in_the_backup_as_far_as_it_had_come(kept: Path, other: Home) -> None:
    assert other.run("restore", str(kept)).code == 0
    assert other.rows("SELECT count(*) AS n FROM batches WHERE batch_id = 'living'") == [{"n": 1}]


def test_what_is_on_its_way_to_its_place_is_not_in_a_backup(kept: Path) -> None:
    assert [path.name for path in kept.rglob("*") if ".half." in path.name] == []


def a_model(kept: Path) -> Path:
    return next((kept / "data" / "models").rglob("*.txt.gz"))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of a model": (lambda kept: a_model(kept).write_bytes(b"\0"), "is not what was written"),
    "a model": (lambda kept: a_model(kept).unlink(), "is not what was written"),
    "a byte of the record": (lambda kept: (kept / RECORD).write_bytes(b"{}"), "is no record of a backup"),
    "the record": (lambda kept: (kept / RECORD).unlink(), "is no record of a backup"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_named_and_nothing_of_it_is_restored(damage: str, kept: Path, other: Home) -> None:
    spoil, said = DAMAGES[damage]
    spoil(kept)
    restored = other.run("restore", str(kept))
    assert (restored.code, restored.out) == (2, "")
    assert said in restored.err
    assert sorted(other.directory.iterdir()) == [kept]


def test_a_record_that_names_a_file_outside_is_refused(kept: Path, other: Home) -> None:
    told = Backup.unsealed((kept / RECORD).read_bytes())
    (kept / "data" / ".." / "stray").write_text("stray")
    outside = told.model_copy(update={"files": told.files | {"../stray": next(iter(told.files.values()))}})
    (kept / RECORD).write_bytes(outside.sealed())
    restored = other.run("restore", str(kept))
    assert restored.code == 2
    assert "which lies outside" in restored.err


@pytest.mark.parametrize(("command", "filled"), [("backup", "kept"), ("restore", "data")])
def test_what_is_there_is_never_overwritten(command: str, filled: str, home: Home, kept: Path, other: Home) -> None:
    (kept.parent / filled).mkdir(exist_ok=True)
    (kept.parent / filled / "mine").write_text("mine")
    running = other if command == "restore" else replace(other, variables={"SENSEQUANT_DATA_DIR": str(home.data)})
    refused = running.run(command, str(kept))
    assert refused.code == 2
    assert "is not empty" in refused.err
    assert (kept.parent / filled / "mine").read_text() == "mine"


def test_a_backup_is_not_made_within_what_it_is_a_copy_of(home: Home) -> None:
    refused = home.run("backup", str(home.data / "kept"))
    assert refused.code == 2
    assert "lies in the data directory" in refused.err
    assert not (home.data / "kept").exists()


def test_a_data_directory_that_is_not_there_is_not_made_by_a_backup(other: Home) -> None:
    refused = other.run("backup", str(other.directory / "kept"))
    assert refused.code == 2
    assert list(other.directory.iterdir()) == []


def test_a_dump_is_restored_into_no_database_that_nobody_named(kept: Path, other: Home) -> None:
    told = Backup.unsealed((kept / RECORD).read_bytes())
    (kept / RECORD).write_bytes(told.model_copy(update={"dump": "0"}).sealed())
    refused = other.run("restore", str(kept))
    assert refused.code == 2
    assert "DAGSTER_POSTGRES_URL" in refused.err
    assert not other.data.exists()


def test_the_record_names_every_file_with_its_digest(kept: Path) -> None:
    named = json.loads((kept / RECORD).read_text())["files"]
    assert set(named) == {
        path.relative_to(kept / "data").as_posix() for path in (kept / "data").rglob("*") if path.is_file()
    }
