"""Claims about copies of databases that are in use."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.storage.copying import copy_sqlite, dump, is_sqlite


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a b?.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n INTEGER)")
    return path


def rows(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT n FROM t")]


def test_a_copy_has_what_lies_in_the_log_and_nothing_that_is_not_committed(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t VALUES (2)")
        assert database.with_name(f"{database.name}-wal").stat().st_size > 0
        copy_sqlite(database, copy)
        writer.execute("COMMIT")
    assert rows(copy) == [1]
    assert rows(database) == [1, 2]


def test_a_copy_is_one_file_and_leaves_none_beside_the_original(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy_sqlite(database, copy)
    assert sorted(tmp_path.iterdir()) == sorted([database, copy])
    assert is_sqlite(copy)


def test_a_damaged_database_is_named_and_not_copied(database: Path, tmp_path: Path) -> None:
    database.write_bytes(database.read_bytes()[:100] + bytes(4000))
    with pytest.raises(UsageError, match="cannot be copied"):
        copy_sqlite(database, tmp_path / "copy.db")


def test_no_password_stands_in_what_a_program_of_postgresql_is_called_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@ $PGPASSWORD" > {tmp_path}/called\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    dump("postgresql+psycopg2://me:se%40cret@host:5/runs?sslmode=require", tmp_path / "dump")
    called, _, password = (tmp_path / "called").read_text().strip().rpartition(" ")
    assert password == "se@cret"  # noqa: S105
    assert called == (
        f"--dbname=postgresql://me@host:5/runs?sslmode=require --no-password --format=custom --file={tmp_path}/dump"
    )


def test_without_the_client_of_postgresql_an_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="pg_dump is not installed"):
        dump("postgresql://host/runs", tmp_path / "dump")
