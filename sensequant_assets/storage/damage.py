"""Which file of Dagster's SQLite storage is damaged, and the way back."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_SUFFIXES = (".db", ".sqlite")


def find_damage(home: Path) -> str | None:
    """Say in a sentence which database below Dagster's home is damaged.

    It reads them whole, so it is for when something has failed.

    Returns
    -------
    str or None
        None if all of them are sound.
    """
    # First those that every run needs, then those of single runs, the latest first.
    files = [path for path in home.rglob("*") if path.suffix in _SUFFIXES]
    for path in sorted(files, key=lambda path: (len(path.stem) >= _RUN_ID, -path.lstat().st_mtime_ns)):
        if why := _damage(path):
            return f"{path} is damaged: {why}. {WAY_BACK}"
    return None


_RUN_ID = 36
"""Characters of a run's id, for which its file is named."""

WAY_BACK = "Move it away: Dagster makes a new one, and only its history of runs is lost; models and telemetry stay."


def _damage(path: Path) -> str:
    if not path.is_file():
        return "it is no regular file"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if said == "ok" and (foreign := _foreign(path, connection)):
                return foreign
    except sqlite3.Error as error:
        # In use is not damaged.
        return "" if isinstance(error, sqlite3.OperationalError) and "locked" in str(error) else str(error)
    return "" if said == "ok" else str(said).splitlines()[-1]


_OWN = {"runs.db": ("runs", "run_body"), "schedules.db": ("jobs", "job_body")}
_EVENTS = ("event_logs", "event")
"""A table and column without which a file is none of Dagster's, by name; any other file holds events."""


def _foreign(path: Path, connection: sqlite3.Connection) -> str:
    """What says that a sound file is another's; nothing of one that has no table yet, which Dagster fills."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        return ""
    for table, column in (_OWN.get(path.name, _EVENTS), ("alembic_version", "version_num")):
        if (column,) not in connection.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall():
            return f"it is another program's, without a column {column} of a table {table}"
    return ""
