"""What a SQLite file keeps of rows that were deleted, given back."""

import sqlite3
from contextlib import closing
from pathlib import Path

_WAIT_S = 5


def compact(path: Path) -> int:
    """Write a database anew without its free pages, unless it has none or is in use.

    Returns
    -------
    int
        How many bytes the file has lost.
    """
    before = path.stat().st_size
    with closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
        try:
            if connection.execute("PRAGMA freelist_count").fetchone() == (0,):
                return 0
            connection.execute("VACUUM")
            # With a write-ahead log, the new pages lie there first.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            return 0
    return before - path.stat().st_size
