"""Claims about which database is damaged."""

import sqlite3
from pathlib import Path

import pytest

from sensequant_assets.storage.damage import find_damage

RUN = "cf599eb0-0b03-442a-9c4d-0560578cbb95.db"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Sound databases, as a home has them."""
    for name in ("history/runs.db", "history/runs/index.db", f"history/runs/{RUN}", "history/runs/empty-1.sqlite"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        connection = sqlite3.connect(path)
        table, column = ("runs", "run_body") if name.endswith("runs.db") else ("event_logs", "event")
        connection.execute(f"CREATE TABLE {table} AS SELECT randomblob(100) AS {column}")
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.commit()
        connection.close()
    return tmp_path


def test_of_sound_databases_nothing_is_said(home: Path) -> None:
    (home / "dagster.yaml").write_text("x")
    (home / "history" / "new.db").write_bytes(b"")
    assert find_damage(home) is None
    assert find_damage(home / "nowhere") is None


def test_the_one_that_every_run_needs_is_named_before_that_of_a_single_run(home: Path) -> None:
    (home / "history" / "runs.db").write_text("rubbish" * 1000)
    (home / "history" / "runs" / RUN).write_text("rubbish" * 1000)
    assert str(find_damage(home)).startswith(f"{home}/history/runs.db is damaged: file is not a database. Move it away")
    (home / "history" / "runs.db").unlink()
    assert str(find_damage(home)).startswith(f"{home}/history/runs/{RUN} is damaged: ")


def test_one_that_is_in_use_is_not_damaged(home: Path) -> None:
    connection = sqlite3.connect(home / "history" / "runs.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    assert find_damage(home) is None
    connection.close()
