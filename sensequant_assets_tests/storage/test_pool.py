"""Claims about kept connections, on plain SQLite files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection

from sensequant_assets.storage.pool import ConnectionPool, sqlite_engine


class Files:
    """A directory of databases, and how often each was opened."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.opened: list[str] = []
        self.pool = ConnectionPool(self.path("index"), **options)

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def opener(self, name: str) -> Callable[[], Connection]:
        def open_connection() -> Connection:
            self.opened.append(name)
            return sqlite_engine(f"sqlite:///{self.path(name)}").connect()

        return open_connection

    def write(self, name: str, value: int = 1, *, keep: bool = True) -> None:
        """Append a number to a table of a file."""
        with self.pool.connection(self.path(name), self.opener(name), keep=keep) as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS numbers (value)"))
            connection.execute(text(f"INSERT INTO numbers VALUES ({value})"))

    def numbers(self, name: str) -> list[int]:
        with sqlite_engine(f"sqlite:///{self.path(name)}").connect() as connection:
            return list(connection.scalars(text("SELECT value FROM numbers")))

    def kept(self) -> list[str]:
        return [Path(path).name for path in self.pool.kept]


def test_a_kept_file_is_opened_once_and_another_every_time(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for _ in range(3):
        files.write("a")
        files.write("b", keep=False)
    assert files.opened == ["a", "b", "b", "b"]
    assert files.numbers("a") == files.numbers("b") == [1, 1, 1]


def test_the_file_used_longest_ago_is_closed_first_and_the_pinned_one_never(tmp_path: Path) -> None:
    files = Files(tmp_path, max_files=2)
    for name in ("index", "a", "b", "a", "c"):
        files.write(name)
    assert files.kept() == ["index", "a", "c"]


def test_an_idle_file_is_closed_at_the_next_use_of_any_other(tmp_path: Path) -> None:
    files = Files(tmp_path, idle_s=-1.0)
    for name in ("index", "a", "index"):
        files.write(name)
    assert files.kept() == ["index"]
    assert not (tmp_path / "a-wal").exists()


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write("a", 1)
    (tmp_path / "a").rename(tmp_path / "old")
    files.write("a", 2)
    assert files.opened == ["a", "a"]
    assert files.numbers("a") == [2]


def test_a_thread_that_asks_again_joins_its_own_transaction_and_an_error_takes_back_all_of_it(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write("a", 1)

    def write_and_fail() -> None:
        with files.pool.connection(files.path("a"), files.opener("a"), keep=True):
            files.write("a", 2)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        write_and_fail()
    assert files.opened == ["a"]
    assert files.numbers("a") == [1]
    assert files.kept() == []
    files.write("a", 3)
    assert files.numbers("a") == [1, 3]
