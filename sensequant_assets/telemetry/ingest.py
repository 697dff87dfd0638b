"""How shards become rows: whole lines are parsed by DuckDB, and broken ones are set apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from sensequant_assets.telemetry.journal import CLOSED_LINE, ENVELOPE
from sensequant_assets.telemetry.schema import COLUMNS, KINDS, TOLD_AT

_ALONE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
READING = _ALONE | {"enable_external_access": "false", "python_enable_replacements": "false"}
"""How a reader opens the database: closed to files and other databases."""

# A second thread makes no ingest faster, takes memory of its own, and a core that trains. What DuckDB keeps of the file
# in memory would grow with it, up to most of the machine's.
WRITING = _ALONE | {"threads": 1, "memory_limit": "256MB"}
"""How an ingest opens it."""

# Parsing takes many times the bytes of the lines in memory, and a run ingests beside its models.
_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class IngestReport:
    """What one ingest did.

    Parameters
    ----------
    rows
        Records taken in.
    shards
        Shards they came from.
    broken_lines
        Lines kept out; each stands in `events` with level ``error``.
    unknown_fields
        How many of the records taken in have a field that their class lacks, by ``kind.field``: another version wrote
        them. The record is stored without it; an event of level ``warning`` tells it once a shard and field.
    busy
        The database stayed in use for as long as the ingest would wait: nothing was done and nothing is lost, the
        next ingest takes it all.
    """

    rows: int = 0
    shards: int = 0
    broken_lines: int = 0
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    busy: bool = False


def take_in(
    connection: duckdb.DuckDBPyConnection, shards: Path, state: dict[str, tuple[bool, int]]
) -> tuple[IngestReport, list[str]]:
    """Move what shards hold into the database, and settle which runs are over.

    Parameters
    ----------
    connection
        To the database, of this version's layout.
    shards
        Their directory.
    state
        Whether each shard's writer is gone, and how many bytes of it are to be read.

    Returns
    -------
    tuple of IngestReport and list
        What was taken, and the shards that are complete and may go.
    """
    offsets = dict.fromkeys(state, 0)
    finished = set()
    for name, offset, complete in connection.execute(
        "SELECT name, offset_bytes, complete FROM shards WHERE name IN (SELECT unnest(?::VARCHAR[]))",
        [list(state)],
    ).fetchall():
        offsets[name] = offset
        if complete:
            finished.add(name)
    rows, broken, unknown, touched = 0, 0, Counter[str](), set()
    while True:
        pieces: list[_Piece] = []
        for name, (_, size) in state.items():
            if name not in finished and offsets[name] < size:
                piece = _read(shards / name, offsets[name], size)
                if piece.lines:
                    pieces.append(piece)
            if sum(piece.end - piece.start for piece in pieces) >= _CHUNK_BYTES:
                break
        if not pieces:
            break
        connection.begin()
        good, bad, odd = _take(connection, pieces)
        connection.commit()
        rows, broken, unknown = rows + good, broken + bad, unknown + odd
        touched |= {piece.name for piece in pieces}
        offsets |= {piece.name: piece.end for piece in pieces}
        finished |= {piece.name for piece in pieces if piece.closed}
    _settle_runs(connection, [name for name, (gone, _) in state.items() if not gone])
    return IngestReport(rows, len(touched), broken, dict(unknown)), sorted(finished)


@dataclass(frozen=True)
class _Piece:
    """Complete lines of one shard, from byte ``start`` to byte ``end``."""

    name: str
    start: int
    end: int
    lines: list[bytes]
    closed: bool


def _read(path: Path, start: int, size: int) -> _Piece:
    with path.open("rb") as shard:
        shard.seek(start)
        data = shard.read(min(_CHUNK_BYTES, size - start))
        while b"\n" not in data and start + len(data) < size:
            data += shard.read(min(_CHUNK_BYTES, size - start - len(data)))
    end = data.rfind(b"\n") + 1
    lines = data[: end - 1].split(b"\n") if end else []
    return _Piece(path.name, start, start + end, lines, bool(lines) and lines[-1] == CLOSED_LINE)


def _take(connection: duckdb.DuckDBPyConnection, pieces: list[_Piece]) -> tuple[int, int, Counter[str]]:
    """Write the rows of these pieces and how far they reach.

    Returns how many lines were good and broken, and how many of the good ones have each unknown field.
    """
    lines = [line for piece in pieces for line in piece.lines]
    starts = [piece.start + np.cumsum([0] + [len(line) + 1 for line in piece.lines[:-1]]) for piece in pieces]
    staged = pa.table(
        {
            "shard": _texts([piece.name.encode() for piece in pieces for _ in piece.lines]),
            "shard_offset": _integers(np.concatenate(starts)),
            "line": _texts(lines),
        }
    )
    connection.register("staged", staged)
    connection.execute(_STAGE)
    connection.unregister("staged")
    present = {record for (record,) in connection.execute("SELECT DISTINCT record FROM lines").fetchall()}
    for kind, sql in _TAKE.items():
        if kind in present:
            connection.execute(sql)
    read, broken = connection.execute("SELECT (SELECT count(*) FROM lines), (SELECT count(*) FROM broken)").fetchall()[
        0
    ]
    connection.register(
        "pieces",
        pa.table(
            {
                "name": _texts([piece.name.encode() for piece in pieces]),
                "offset_bytes": _integers([piece.end for piece in pieces]),
                "complete": _integers([piece.closed for piece in pieces]),
            }
        ),
    )
    connection.execute(_FINISH)
    connection.unregister("pieces")
    unknown = Counter[str]()
    for _, name, lines, _ in connection.execute(_UNKNOWN).fetchall():
        unknown[name] += lines
    if unknown:
        connection.execute(_TELL_UNKNOWN)
    return int(read - broken), int(broken), unknown


# What Arrow makes from Python objects, and of times, imports pandas, which takes as long as an ingest. So columns are
# made from their bytes, and times from their microseconds.


def _texts(cells: Sequence[bytes]) -> "pa.Array[Any]":
    try:
        b"\n".join(cells).decode()
    except UnicodeDecodeError:
        cells = [cell.decode(errors="replace").encode() for cell in cells]
    ends = np.cumsum([0, *map(len, cells)], dtype=np.int64)
    return pa.Array.from_buffers(
        pa.large_string(), len(cells), [None, pa.py_buffer(ends.data), pa.py_buffer(b"".join(cells))]
    )


def _integers(cells: "Sequence[int] | np.ndarray[Any, Any]") -> "pa.Array[Any]":
    numbers = np.asarray(cells, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers.data)])


_KNOWN = ", ".join(f"'{kind}'" for kind in KINDS)

_STAGE = f"""
CREATE OR REPLACE TEMP TABLE lines AS
SELECT shard, shard_offset, line, batch_id, run_id, TRY_CAST("at" AS TIMESTAMPTZ) AS happened_at,
       TRY_CAST(ordered_at AS TIMESTAMPTZ) AS ordered_at,
       CASE WHEN record IN ({_KNOWN}) AND batch_id IS NOT NULL AND run_id IS NOT NULL
                 AND TRY_CAST("at" AS TIMESTAMPTZ) IS NOT NULL THEN record END AS record
FROM (
    SELECT shard, shard_offset, line, unnest(TRY(from_json(
        line, '{{{", ".join(f'"{name}": "VARCHAR"' for name in ENVELOPE)}}}'
    ))) FROM staged WHERE line NOT IN ('', '{CLOSED_LINE.decode()}')
);
CREATE OR REPLACE TEMP VIEW known AS SELECT * FROM lines WHERE record IS NOT NULL;
CREATE OR REPLACE TEMP TABLE broken AS SELECT shard, shard_offset FROM lines WHERE record IS NULL;

INSERT INTO batches (batch_id, status, started_at, last_event_at, ordered_at)
SELECT batch_id, 'running', min(happened_at), max(happened_at), min({TOLD_AT})
FROM known WHERE batch_id <> '' GROUP BY batch_id
ON CONFLICT (batch_id) DO UPDATE SET last_event_at = greatest(batches.last_event_at, excluded.last_event_at);
INSERT INTO runs (batch_id, run_id, status, started_at, ordered_at)
SELECT batch_id, run_id, 'running', min(happened_at), min({TOLD_AT})
FROM known WHERE run_id <> '' GROUP BY batch_id, run_id
ON CONFLICT DO NOTHING;
"""  # noqa: S608 - constants of this module


def _take_sql(kind: str) -> str:
    """SQL that parses the lines of one kind, sets broken ones apart and stores the rest."""
    types = {column.name: column.type for column in COLUMNS[kind]}
    shape = ",".join(f'"{name}":{_JSON_SHAPES.get(type_, chr(34) + type_ + chr(34))}' for name, type_ in types.items())
    columns = ", ".join(f"TRY_CAST(fields.{name} AS {type_}) AS {name}" for name, type_ in types.items())
    return f"""
        CREATE OR REPLACE TEMP TABLE parsed AS
        SELECT shard, shard_offset, batch_id, run_id, happened_at, ordered_at, {columns}
        FROM (SELECT *, from_json(line, '{{{shape}}}') AS fields FROM lines WHERE record = '{kind}');
        INSERT INTO broken SELECT shard, shard_offset FROM parsed WHERE ({KINDS[kind].valid}) IS NOT TRUE;
        CREATE OR REPLACE TEMP VIEW good AS SELECT * FROM parsed WHERE {KINDS[kind].valid};
        {KINDS[kind].insert}
    """  # noqa: S608 - constants of this package


# Dates and times are read as text and cast with TRY_CAST: an unreadable one is NULL.
_JSON_SHAPES = {
    "TIMESTAMPTZ": '"VARCHAR"',
    "TIMESTAMP": '"VARCHAR"',
    "DATE": '"VARCHAR"',
    "VARCHAR[][]": '[["VARCHAR"]]',
}

_TAKE = {kind: _take_sql(kind) for kind in KINDS}

_FINISH = """
INSERT INTO shards (name, offset_bytes, complete, broken_lines, batch_id, run_id)
SELECT name, offset_bytes, complete,
       (SELECT count(*) FROM broken WHERE broken.shard = name),
       (SELECT arg_min(batch_id, shard_offset) FROM known WHERE known.shard = name),
       (SELECT arg_min(run_id, shard_offset) FROM known WHERE known.shard = name AND run_id <> '')
FROM pieces
ON CONFLICT (name) DO UPDATE SET
    offset_bytes = excluded.offset_bytes, complete = excluded.complete,
    broken_lines = shards.broken_lines + excluded.broken_lines,
    batch_id = coalesce(shards.batch_id, excluded.batch_id), run_id = coalesce(shards.run_id, excluded.run_id);

INSERT INTO events (happened_at, batch_id, run_id, level, kind, message, shard, shard_offset)
SELECT lines.happened_at, shards.batch_id, shards.run_id, 'error', 'broken_line',
       'Line at byte ' || shard_offset || ' of shard ' || shard || ' was kept out: ' || left(line, 200),
       shard, shard_offset
FROM broken JOIN lines USING (shard, shard_offset) JOIN shards ON shards.name = shard
ON CONFLICT DO NOTHING;

UPDATE batches SET
    planned_teachers = planned.teachers, planned_students = planned.students
FROM (
    SELECT batch_id, count(*) FILTER (model = 'teacher') AS teachers,
           count(*) FILTER (model = 'student') AS students
    FROM planned_windows WHERE batch_id IN (SELECT batch_id FROM lines WHERE record = 'plan') GROUP BY batch_id
) AS planned
WHERE batches.batch_id = planned.batch_id;
"""

_FIELDS = ", ".join(
    f"'{kind}.{name}'" for kind in KINDS for name in (*ENVELOPE, *(column.name for column in COLUMNS[kind]))
)

# Lines of one kind mostly have the same fields, so those are compared once for all lines that have them.
_UNKNOWN = f"""
SELECT shard, name, sum(lines)::BIGINT AS lines, min(happened_at) AS happened_at
FROM (
    SELECT shard, record || '.' || unnest(names) AS name, lines, happened_at
    FROM (
        SELECT shard, record, json_keys(line) AS names, count(*) AS lines, min(happened_at) AS happened_at
        FROM known ANTI JOIN broken USING (shard, shard_offset) GROUP BY ALL
    )
)
WHERE name NOT IN ({_FIELDS}) GROUP BY shard, name
"""  # noqa: S608 - constants of this package

# They are told of the shard and of none of its lines, so they have places before its first byte.
_TELL_UNKNOWN = f"""
INSERT INTO events (happened_at, batch_id, run_id, level, kind, message, data, shard, shard_offset)
SELECT happened_at, shards.batch_id, shards.run_id, 'warning', 'unknown_field',
       'Field ' || split_part(unknown.name, '.', 2) || ' of records of kind ' || split_part(unknown.name, '.', 1) ||
       ' has no place in this version; shard ' || shard || ' was taken without it.',
       json_object('name', unknown.name), shard,
       coalesce(first, 0) - row_number() OVER (PARTITION BY shard ORDER BY unknown.name)
FROM ({_UNKNOWN}) AS unknown JOIN shards ON shards.name = shard
LEFT JOIN (SELECT shard, min(shard_offset) AS first FROM events WHERE shard_offset < 0 GROUP BY shard) USING (shard)
WHERE NOT EXISTS (
    SELECT * FROM events
    WHERE events.shard = unknown.shard AND kind = 'unknown_field' AND data->>'name' = unknown.name
)
"""  # noqa: S608 - constants of this package


def _settle_runs(connection: duckdb.DuckDBPyConnection, written: list[str]) -> None:
    """Derive what no record says: a run without an end is running while one of its shards is being written.

    Without a living writer it was interrupted; a batch is what its runs are, but for interrupted ones of which other
    runs have taken up every window.
    """
    connection.begin()
    connection.execute(
        """
        UPDATE runs SET status = derived.status
        FROM (
            SELECT batch_id, run_id, CASE WHEN (batch_id, run_id) IN (
                SELECT (batch_id, run_id) FROM shards WHERE name IN (SELECT unnest(?::VARCHAR[]))
            ) THEN 'running' ELSE 'interrupted' END AS status
            FROM runs WHERE ended_at IS NULL
        ) AS derived
        WHERE runs.batch_id = derived.batch_id AND runs.run_id = derived.run_id AND runs.status <> derived.status
        """,
        [written],
    )
    connection.execute(
        """
        WITH interrupted AS (
            SELECT batch_id, run_id FROM runs WHERE status = 'interrupted'
        ), planned AS (
            SELECT DISTINCT batch_id, run_id FROM planned_windows
            WHERE batch_id IN (SELECT batch_id FROM interrupted)
        ), repeated AS (
            SELECT batch_id, run_id FROM interrupted WHERE batch_id IN (SELECT batch_id FROM planned) AND NOT EXISTS (
                FROM planned
                WHERE planned.batch_id = interrupted.batch_id AND planned.run_id IN (interrupted.run_id, '')
            )
        )
        UPDATE batches SET status = derived.status, ended_at = derived.ended_at
        FROM (
            SELECT batch_id,
                   CASE WHEN bool_or(status = 'running') THEN 'running'
                        WHEN bool_or(status = 'failed') THEN 'failed'
                        WHEN bool_or(status = 'interrupted' AND repeated.run_id IS NULL) THEN 'interrupted'
                        ELSE 'succeeded' END AS status,
                   CASE WHEN NOT bool_or(status = 'running') THEN max(ended_at) END AS ended_at
            FROM runs LEFT JOIN repeated USING (batch_id, run_id) GROUP BY batch_id
        ) AS derived
        WHERE batches.batch_id = derived.batch_id
          AND (batches.status, batches.ended_at) IS DISTINCT FROM (derived.status, derived.ended_at)
        """
    )
    connection.commit()
