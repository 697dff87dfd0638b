"""Claims about files that give back the room of deleted rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sensequant_assets.storage.compacting import compact


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file of which half of the rows are deleted."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n INTEGER, x BLOB)")
        connection.executemany("INSERT INTO t VALUES (?, randomblob(1000))", [(number,) for number in range(1, 201)])
        connection.execute("DELETE FROM t WHERE n > 100")
    return path


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
        return int(count)


def test_the_room_of_deleted_rows_is_given_back_and_the_others_stay(database: Path) -> None:
    before = database.stat().st_size
    given = compact(database)
    assert given == before - database.stat().st_size > 100_000
    assert rows(database) == 100
    assert compact(database) == 0


def test_a_database_in_use_stays_as_it_is(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensequant_assets.storage.compacting._WAIT_S", 0.1)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert compact(database) == 0
    assert rows(database) == 100
