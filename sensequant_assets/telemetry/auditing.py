"""Rows of a batch against the shards that told them: what `telemetry.duckdb` says, and what was written down."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from sensequant_assets.telemetry.archive import packed_again, shard_name, unpack
from sensequant_assets.telemetry.ingest import READING
from sensequant_assets.telemetry.rebuild import TABLES, rebuild
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import brief, file_name

_KEYS = "SELECT table_name, constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"

_FIRST_STAYS = ("predictions", "outcomes")
"""Tables in which a row that another batch told earlier stands in for this one's."""

_Row = Mapping[str, str | None]
_Rows = Mapping[tuple[str | None, ...], _Row]


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of the comparison.

    Attributes
    ----------
    rows
        How many rows were compared, by table.
    shards
        How many shards they came from.
    differences
        Cells, rows and shards that are not what they were, in sentences: table, key and column.
    missing
        Shards of the batch that are not kept, so that rows have nothing to be compared with.
    remarks
        What is to be said besides.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    shards: int = 0
    differences: Sequence[str] = ()
    missing: Sequence[str] = ()
    remarks: Sequence[str] = ()


def audit(store: TelemetryStore, batch_id: str, tell: Callable[[int, int], None] = lambda _done, _all: None) -> Audit:
    """Take the shards of a batch in anew, and compare what comes of them with the database, cell by cell.

    Parameters
    ----------
    store
        Where telemetry lies.
    batch_id
        The batch.
    tell
        Called with how many tables are compared, and of how many.

    Raises
    ------
    BusyError, UsageError
        As of `TelemetryStore.connect`.
    """
    with store.session():
        keys = {row["table_name"]: tuple(row["constraint_column_names"]) for row in store.rows(_KEYS)}
        told = {table: _by_key(store.rows(_cells(table), [batch_id]), keys[table]) for table in TABLES}
    kept = sorted((store.archive / file_name(batch_id)).glob("*.jsonl.zst"))
    living = [path for path in sorted(store.shards.glob(f"{file_name(batch_id)}.*.jsonl")) if path.is_file()]
    there = {*map(shard_name, kept), *(path.name for path in living)}
    if missing := sorted(str(name) for (name,) in told["shards"] if name not in there):
        return Audit(missing=missing)
    with TemporaryDirectory(prefix="sensequant-") as directory:
        room = Path(directory)
        remarks, lost = _look_at(kept, room)
        new = _taken_in(room, store.archive / file_name(batch_id), living)
        with closing(duckdb.connect(new, read_only=True, config=READING)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows, differences = {}, list(lost)
            for number, table in enumerate(TABLES):
                made = _by_key(_rows(connection, _cells(table), batch_id), keys[table])
                differences += _differences(table, keys[table], told[table], made)
                rows[table] = len(told[table])
                tell(number + 1, len(TABLES))
    return Audit(rows, len(there), differences, (), remarks)


def _look_at(kept: Sequence[Path], room: Path) -> tuple[list[str], list[str]]:
    """Kept shards that cannot be read, and those whose bytes are others than what they hold would be packed into."""
    remarks, lost = [], []
    for file in kept:
        copy = room / shard_name(file)
        try:
            unpack(file, room)
            if packed_again(copy) != file.read_bytes():
                remarks.append(
                    f"{file} is not packed as this version packs what it holds: another version of Arrow wrote it, or "
                    "bytes of it that hold nothing were changed."
                )
        except (OSError, pa.ArrowException) as error:
            lost.append(f"{file} cannot be read: {error}.")
        finally:
            copy.unlink(missing_ok=True)
    return remarks, lost


def _taken_in(room: Path, kept: Path, living: Sequence[Path]) -> Path:
    """A database of the shards of one batch alone."""
    archive, shards, new = room / "archive", room / "shards", room / "telemetry.duckdb"
    archive.mkdir()
    shards.mkdir()
    if kept.is_dir():
        (archive / kept.name).symlink_to(kept.absolute(), target_is_directory=True)
    state = {}
    for path in living:
        (shards / path.name).symlink_to(path.absolute())
        state[path.name] = (True, path.stat().st_size)
    rebuild(new, archive, shards, state, None, current=False, tell=lambda _done, _all: None)
    return new


def _cells(table: str) -> str:
    """The question for all cells of a batch's rows, as text, which is exact for numbers and times too."""
    return f"SELECT COLUMNS(*)::VARCHAR FROM {table} WHERE batch_id = ?"  # noqa: S608 - a name of this package


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, batch_id: str) -> list[_Row]:
    asked = connection.execute(sql, [batch_id])
    names = [column[0] for column in asked.description or ()]
    return [dict(zip(names, cells, strict=True)) for cells in asked.fetchall()]


def _by_key(rows: Sequence[_Row], key: Sequence[str]) -> _Rows:
    return {tuple(row[name] for name in key): row for row in rows}


def _differences(table: str, key: Sequence[str], told: _Rows, made: _Rows) -> Iterator[str]:
    """Cells and rows that the database and the shards tell differently."""
    for place, row in told.items():
        where = f"{table} ({', '.join(f'{name} {value}' for name, value in zip(key, place, strict=True))})"
        other = made.get(place)
        if other is None:
            yield f"{where} stands in telemetry.duckdb, and no shard tells it."
            continue
        for column, value in row.items():
            if value != other[column]:
                yield (
                    f"{where}, column {column}: telemetry.duckdb has {_shown(value, other[column])}, the shards have "
                    f"{_shown(other[column], value)}."
                )
    for place in made.keys() - told.keys() if table not in _FIRST_STAYS else ():
        where = ", ".join(f"{name} {value}" for name, value in zip(key, place, strict=True))
        yield f"{table} ({where}) is told by the shards, and is missing in telemetry.duckdb."


def _shown(value: str | None, other: str | None) -> str:
    """A cell, of a long one the part that differs."""
    if value is None:
        return "nothing"
    same = next((at for at, pair in enumerate(zip(value, other or "", strict=False)) if pair[0] != pair[1]), 0)
    begin = max(0, same - 30) if len(value) > 100 else 0
    return f"{'...' if begin else ''}{brief(value[begin:])}"
