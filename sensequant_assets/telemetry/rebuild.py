"""`telemetry.duckdb` made anew: the archive and the living shards are taken in as they were written, in their order."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from sensequant_assets.telemetry.archive import begins_at, kept, shard_name, unpack
from sensequant_assets.telemetry.ingest import WRITING, take_in
from sensequant_assets.telemetry.schema import ORDER_BY_CLOCK, migrate

_AT_ONCE_BYTES = 32 * 2**20
"""Unpacked shards on the disk at a time."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did.

    Attributes
    ----------
    rows
        Records taken in from shards.
    shards
        Shards they came from.
    copied
        Rows taken from the old database, because their shards are not kept.
    lost
        Kept shards that cannot be read; their files stay where they are.
    old_is_whole
        Whether the old database could be read to its end, or there was none.
    aside
        Where the old database is, if it could not.
    """

    rows: int = 0
    shards: int = 0
    copied: int = 0
    lost: list[Path] = field(default_factory=list)
    old_is_whole: bool = True
    aside: list[Path] = field(default_factory=list)


def rebuild(
    new: Path,
    archive: Path,
    shards: Path,
    state: dict[str, tuple[bool, int]],
    old: Path | None,
    *,
    current: bool,
    tell: Callable[[int, int], None],
) -> Rebuilt:
    """Make a database of shards, and of what an old one has beyond them.

    Parameters
    ----------
    new
        The file to make; beside it there is room for some unpacked shards.
    archive, shards
        Where shards are kept, and where living ones are.
    state
        Whether the writer of each living shard is gone, and how many bytes of it are to be read.
    old
        The database that was there; None if there was none.
    current
        Whether it has all that the shards tell.
    tell
        Called with how many bytes of the shards are taken in, and of how many.
    """
    files = [file for file in kept(archive) if shard_name(file) not in state]
    total = sum(file.stat().st_size for file in files)
    rows, done, taken = 0, 0, 0
    with closing(duckdb.connect(new, config=WRITING)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        migrate(connection, new)
        with TemporaryDirectory(prefix=f".rebuild-{os.getpid()}-", dir=new.parent) as unpacked:
            room = Path(unpacked)
            order, lost = _in_order(files, shards, state, room)
            while order:
                group: dict[str, tuple[bool, int]] = {}
                while order and sum(size for _, size in group.values()) < _AT_ONCE_BYTES:
                    source = order.pop(0)
                    if source.parent == shards:
                        (room / source.name).symlink_to(source.absolute())
                        group[source.name] = state[source.name]
                    else:
                        unpack(source, room)
                        done += source.stat().st_size
                        name = shard_name(source)
                        group[name] = (True, (room / name).stat().st_size)
                rows += take_in(connection, room, group)[0].rows
                taken += len(group)
                for name in group:
                    (room / name).unlink()
                tell(done, total)
        # Which runs are over is seen of the living shards together.
        take_in(connection, shards, state)
    copied, whole = _copy(new, old, current=current) if old else (0, True)
    return Rebuilt(rows, taken, copied, lost, whole)


def _in_order(
    files: list[Path], shards: Path, state: dict[str, tuple[bool, int]], room: Path
) -> tuple[list[Path], list[Path]]:
    """Kept and living shards in the order in which they were begun, and those kept that cannot be read.

    Of what several records tell of a batch the last stays, so the order is that of the records.
    """
    begun, lost = [], []
    for file in files:
        copy = room / shard_name(file)
        try:
            unpack(file, room)
            begun.append((begins_at(copy), file.name, file))
        except OSError:
            lost.append(file)
        finally:
            copy.unlink(missing_ok=True)
    begun += [(begins_at(shards / name), name, shards / name) for name in state]
    return [source for _, _, source in sorted(begun)], lost


# Batches of which the old database has a shard that is not kept.
_BEYOND = """
CREATE TEMP TABLE beyond AS
SELECT DISTINCT batch_id FROM old.shards WHERE name NOT IN (SELECT name FROM shards)
UNION SELECT batch_id FROM old.batches WHERE batch_id NOT IN (SELECT batch_id FROM batches)
"""
TABLES = (
    "batches",
    "runs",
    "planned_windows",
    "window_runs",
    "verdicts",
    "trials",
    "evaluations",
    "predictions",
    "outcomes",
    "profiles",
    "events",
    "shards",
)
"""All tables with rows of batches."""


def _copy(new: Path, old: Path, *, current: bool) -> tuple[int, bool]:
    """Take the rows of such batches from the old database; gives how many, and whether all could be read.

    Where it is current, its rows are all that a batch has, and stand in for those that came of kept shards.
    """
    copied, whole = 0, True
    with closing(duckdb.connect(new, config=WRITING)) as connection:
        try:
            connection.execute(f"ATTACH '{str(old).replace(chr(39), chr(39) * 2)}' AS old (READ_ONLY)")
            connection.execute(_BEYOND)
        except duckdb.Error:
            return 0, False
        for table in TABLES:
            try:
                connection.execute(
                    f"CREATE OR REPLACE TEMP TABLE told AS FROM old.{table} AS told "
                    "SEMI JOIN beyond ON told.batch_id IS NOT DISTINCT FROM beyond.batch_id"
                )
            except duckdb.FatalException:
                return copied, False
            except duckdb.Error:
                whole = False
                continue
            if current:
                connection.execute(
                    f"DELETE FROM {table} USING beyond "  # noqa: S608 - a constant
                    f"WHERE {table}.batch_id IS NOT DISTINCT FROM beyond.batch_id"
                )
            (inserted,) = connection.execute(f"INSERT OR IGNORE INTO {table} BY NAME FROM told").fetchall()
            copied += int(inserted[0])
        connection.execute(ORDER_BY_CLOCK)
    return copied, whole
