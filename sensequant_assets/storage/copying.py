"""Dagster's databases, copied while they are in use: SQLite by its own backup, PostgreSQL by `pg_dump`."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sensequant_assets.errors import UsageError

if TYPE_CHECKING:
    from dagster import DagsterInstance

_MAGIC = b"SQLite format 3\0"
_WAIT_S = 30
BESIDE_SQLITE = ("-wal", "-shm", "-journal")
"""What SQLite appends to the name of a database for files that belong to it."""


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, with what lies in its log; whoever writes it goes on.

    Raises
    ------
    UsageError
        It is damaged, or stays locked for half a minute.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            # A copy in the mode of a log is two files until somebody closes it well.
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise UsageError(f"{source} cannot be copied: {error}. Mend it or move it away, then try again.") from error


def postgres_url(instance: "DagsterInstance") -> str | None:
    """The address of the PostgreSQL database that keeps an instance; None if files keep it.

    Raises
    ------
    UsageError
        It is kept by something else than SQLite and PostgreSQL.
    """
    storage = instance.event_log_storage
    if url := getattr(storage, "postgres_url", None):
        return str(url)
    if any("sqlite" in kind.__name__.lower() for kind in type(storage).__mro__):
        return None
    raise UsageError(
        f"Dagster's instance is kept by {type(storage).__name__}, of which nobody here knows how it is copied. "
        "Copy it by its own tools."
    )


def dump(url: str, file: Path) -> None:
    """Write a database into a file, as it is at one moment; `UsageError` if that cannot be done."""
    _postgres("pg_dump", url, ["--format=custom", f"--file={file}"])


def refuse_tables(url: str) -> None:
    """See that a database has no table; `UsageError` if it has one or cannot be asked."""
    # A schema of a database without tables is a dump without one.
    said = _postgres("pg_dump", url, ["--schema-only"])
    if "CREATE TABLE" in said:
        raise UsageError("The database that DAGSTER_POSTGRES_URL names has tables. Name an empty one.")


def undump(url: str, file: Path) -> None:
    """Fill an empty database from a file, whole or not at all; `UsageError` if that cannot be done."""
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
    _postgres("pg_restore", url, [*options, str(file)])


def _postgres(program: str, url: str, options: Sequence[str]) -> str:
    """Run a program of PostgreSQL's on a database; gives what it prints.

    The password goes by the environment: what stands on a command line, everybody on the machine can read.
    """
    if not (found := shutil.which(program)):
        raise UsageError(
            f"{program} is not installed; it comes with PostgreSQL's client, of the server's version or a later one."
        )
    address, password = _parted(url)
    finished = subprocess.run(  # noqa: S603  # no shell, and no text of a user but the address
        [found, f"--dbname={address}", "--no-password", *options],
        env={**os.environ, **password},
        capture_output=True,
        check=False,
        text=True,
    )
    if finished.returncode:
        told = " ".join(finished.stderr.split())
        raise UsageError(f"{program} could not do it: {told}. Mend that, then try again.")
    return finished.stdout


def _parted(url: str) -> tuple[str, Mapping[str, str]]:
    """A database's address without its password, and the variable that has it."""
    from sqlalchemy.engine import URL, make_url

    whole = make_url(url)
    bare = URL.create("postgresql", whole.username, None, whole.host, whole.port, whole.database, whole.query)
    return bare.render_as_string(), {} if whole.password is None else {"PGPASSWORD": str(whole.password)}
