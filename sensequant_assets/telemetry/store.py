"""`telemetry.duckdb`: one idempotent ingest writes it, any number of readers ask it.

DuckDB lets one process write a file or several read it, and refuses everybody else with an error. So every opening of
the file happens under a readers-writer `flock` on a file beside it, which the kernel releases when its holder dies.
filelock's `ReadWriteLock` would do the same through a SQLite database, but refuses to work in a forked child.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.journal import CLOSED_LINE, RecordKind, writer_is_gone
from sensequant_assets.telemetry.schema import KINDS, MIGRATIONS, SCHEMA_VERSION, TABLES, VIEWS

_WAIT_S = 30.0
_FRESH_WAIT_S = 0.2
# Parsing takes many times the bytes of the lines in memory, and a run ingests beside its models.
_CHUNK_BYTES = 4 * 2**20

Parameters = Sequence[object] | Mapping[str, object]


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
    busy
        The database stayed in use for as long as the ingest would wait: nothing was done and nothing is lost, the
        next ingest takes it all.
    """

    rows: int = 0
    shards: int = 0
    broken_lines: int = 0
    busy: bool = False


class TelemetryStore:
    """The telemetry of one installation.

    Parameters
    ----------
    directory
        Holds ``telemetry.duckdb``, ``shards/`` and a lock file; created when first used.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._seen: dict[str, tuple[bool, int]] | None = None
        self._session: duckdb.DuckDBPyConnection | None = None

    @property
    def database(self) -> Path:
        """The DuckDB file. Open it through `connect`: opened past the lock, it blocks the ingest."""
        return self.directory / "telemetry.duckdb"

    @property
    def shards(self) -> Path:
        """Where journals write."""
        return self.directory / "shards"

    def ingest(self, wait_s: float = _WAIT_S) -> IngestReport:
        """Move what runs have written into the database.

        Idempotent: rows and the place reached in each shard are committed together. Shards that their writer closed
        are removed after the commit.

        Parameters
        ----------
        wait_s
            How long to wait for readers and other ingests.

        Raises
        ------
        UsageError
            The database is of a newer version, or no DuckDB database.
        """
        if self._seen is not None and self.database.exists() and self._state() == self._seen:
            return IngestReport()
        deadline = time.monotonic() + wait_s
        with self._locked(fcntl.LOCK_EX, deadline) as locked:
            if not locked:
                return IngestReport(busy=True)
            state = self._state()
            connection = self._open(read_only=False, deadline=deadline)
            if connection is None:
                return IngestReport(busy=True)
            try:
                _migrate(connection, self.database)
                report, finished = self._ingest(connection, state)
            finally:
                connection.close()
            for name in finished:
                (self.shards / name).unlink(missing_ok=True)
                state.pop(name)
            self._seen = state
        return report

    @contextmanager
    def connect(self, *, fresh: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database read only, closed to files and other databases.

        While it is open no ingest can run, so ask and leave; runs are not held up, they only append to shards.
        Errors of DuckDB inside the block become `UsageError`.

        Parameters
        ----------
        fresh
            Ingest first, unless another reader or ingest keeps the database for longer than a moment.

        Raises
        ------
        UsageError
            The statement is wrong or would write, the database is in the hands of another program, or it is of a
            newer version.
        """
        if fresh or not self.database.exists():
            self.ingest(_FRESH_WAIT_S if self.database.exists() else _WAIT_S)
        deadline = time.monotonic() + _WAIT_S
        while True:
            with self._locked(fcntl.LOCK_SH, deadline) as locked:
                found = self.database.exists() if locked else False
                connection = self._open(read_only=True, deadline=deadline) if found else None
                if connection is not None:
                    try:
                        if _version(connection, self.database) == SCHEMA_VERSION:
                            yield connection
                            return
                    except duckdb.Error as error:
                        raise UsageError(f"Telemetry cannot answer: {error}") from error
                    finally:
                        connection.close()
            # The file is missing, half made or of an older version: an ingest puts it right.
            self._seen = None
            if time.monotonic() > deadline or self.ingest(max(0.0, deadline - time.monotonic())).busy:
                raise UsageError(
                    f"{self.database} stayed in use for {_WAIT_S:.0f} s. Close the program that has it open, "
                    "or end its long query, and try again; runs go on meanwhile and nothing is lost."
                )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Answer the questions of a block through one opening of the database, as it is at the beginning."""
        with self.connect() as connection:
            self._session = connection
            try:
                yield
            finally:
                self._session = None

    def query(self, sql: str, parameters: Parameters | None = None, *, fresh: bool = True) -> pa.Table:
        """Answer one question.

        Parameters
        ----------
        sql
            One SELECT, EXPLAIN, DESCRIBE, SHOW or SUMMARIZE.
        parameters
            Values of its ``?`` or ``$name`` places.
        fresh
            As of `connect`.

        Returns
        -------
        pyarrow.Table
            Times are in UTC, JSON columns are text.

        Raises
        ------
        UsageError
            As of `connect`.
        """
        with nullcontext(self._session) if self._session else self.connect(fresh=fresh) as connection:
            statements = connection.extract_statements(sql)
            kinds = [statement.type.name for statement in statements]
            if kinds not in (["SELECT"], ["EXPLAIN"]):
                asked = " and ".join(kinds) or "an empty statement"
                raise UsageError(
                    f"Telemetry is read only: it takes one statement that selects, not {asked}. "
                    "Ask with SELECT, DESCRIBE, SHOW or EXPLAIN; rows come from runs alone."
                )
            table: pa.Table = connection.sql(statements[0], params=parameters).to_arrow_table()
        return table

    def latest_batch(self) -> str | None:
        """The batch that started last; None before the first."""
        rows = self._rows("SELECT batch_id FROM batches ORDER BY started_at DESC, batch_id DESC LIMIT 1")
        return str(rows[0]["batch_id"]) if rows else None

    def batch_summary(self, batch_id: str) -> list[dict[str, Any]]:
        """One row a model of the view ``batch_summary``, teachers first."""
        return self._rows("SELECT * FROM batch_summary WHERE batch_id = ? ORDER BY model DESC", [batch_id])

    def missing_pairs(self, batch_id: str, model: str | None = None) -> list[tuple[str, str, str]]:
        """(model, symbol, window start) that were planned and have no row."""
        rows = self._rows(
            """
            SELECT model, symbol, window_start FROM window_status
            WHERE outcome = 'not_attempted' AND batch_id = $batch AND ($model IS NULL OR model = $model)
            ORDER BY model DESC, symbol, window_start
            """,
            {"batch": batch_id, "model": model},
        )
        return [(str(row["model"]), str(row["symbol"]), str(row["window_start"])) for row in rows]

    def latest_teacher_batch(self, pairs: Iterable[tuple[str, date | str]], universe: str | None = None) -> str | None:
        """The batch of the last teacher attempt (trained, reused or failed) at any of these (symbol, window start).

        Of one universe if it is named: two may share a symbol.
        """
        asked = [(symbol, str(window)) for symbol, window in pairs]
        rows = self._rows(
            """
            SELECT batch_id FROM window_runs
            WHERE model = 'teacher' AND outcome <> 'skipped' AND ($universe IS NULL OR universe = $universe)
            AND (symbol, window_start) IN (
                SELECT (unnest($symbols::VARCHAR[]), unnest($windows::DATE[]))
            )
            ORDER BY ended_at DESC, batch_id DESC LIMIT 1
            """,
            {
                "symbols": [symbol for symbol, _ in asked],
                "windows": [window for _, window in asked],
                "universe": universe,
            },
        )
        return str(rows[0]["batch_id"]) if rows else None

    def verdict(self, batch_id: str, model: str, check_name: str = "max_failure_rate") -> dict[str, Any] | None:
        """What the check said of a model of a batch.

        Returns
        -------
        dict or None
            The whole batch's verdict if one is recorded; else its runs' verdicts together: counts added, the rate
            taken from them, passed if all passed. None if the check never ran.
        """
        rows = self._rows(
            """
            SELECT batch_id, '' AS run_id, model, check_name, bool_and(passed) AS passed,
                   sum(failed) / nullif(sum(trained + reused + failed), 0) AS failure_rate,
                   max(max_failure_rate) AS max_failure_rate, sum(trained)::INTEGER AS trained,
                   sum(reused)::INTEGER AS reused, sum(skipped)::INTEGER AS skipped,
                   sum(failed)::INTEGER AS failed, sum(not_attempted)::INTEGER AS not_attempted,
                   max(evaluated_at) AS evaluated_at
            FROM verdicts WHERE batch_id = $batch AND model = $model AND check_name = $check AND run_id <> ''
            GROUP BY ALL
            UNION ALL BY NAME
            SELECT * FROM verdicts
            WHERE batch_id = $batch AND model = $model AND check_name = $check AND run_id = ''
            """,
            {"batch": batch_id, "model": model, "check": check_name},
        )
        return rows[-1] if rows else None

    def outcomes(self, batch_id: str, model: str) -> dict[tuple[str, str], str]:
        """Outcome, or ``not_attempted``, by (symbol, window start) of a batch's latest attempts."""
        rows = self._rows(
            "SELECT symbol, window_start, outcome FROM window_status WHERE batch_id = ? AND model = ?",
            [batch_id, model],
        )
        return {(str(row["symbol"]), str(row["window_start"])): str(row["outcome"]) for row in rows}

    def _rows(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        table = self.query(sql, parameters)
        columns = [_cells(column) for column in table.columns]
        return [dict(zip(table.column_names, cells, strict=True)) for cells in zip(*columns, strict=True)]

    @contextmanager
    def _locked(self, how: int, deadline: float) -> Iterator[bool]:
        """Hold the lock, shared or exclusive; gives False when it could not be had by the deadline."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.directory / "telemetry.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            pause = 0.002
            while True:
                try:
                    fcntl.flock(fd, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        yield False
                        return
                time.sleep(pause)
                pause = min(2 * pause, 0.05)
            try:
                yield True
            finally:
                # A child forked meanwhile shares the lock: closing alone would leave it held.
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def _open(self, *, read_only: bool, deadline: float) -> duckdb.DuckDBPyConnection | None:
        """Open the database; None when another program, past our lock, keeps it beyond the deadline."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        if read_only:
            config |= {"enable_external_access": "false", "python_enable_replacements": "false"}
        else:
            # A second thread makes no ingest faster, takes memory of its own, and a core that trains. What DuckDB keeps
            # of the file in memory would grow with it, up to most of the machine's.
            config |= {"threads": 1, "memory_limit": "256MB"}
        while True:
            try:
                connection = duckdb.connect(self.database, read_only=read_only, config=config)
                break
            except duckdb.Error as error:
                if "lock" not in str(error):
                    raise UsageError(
                        f"{self.database} cannot be opened: {error}. Move it away: what is still in "
                        f"{self.shards.name}/ is taken in anew."
                    ) from error
                if time.monotonic() >= deadline:
                    return None
            time.sleep(0.05)
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _state(self) -> dict[str, tuple[bool, int]]:
        """Whether each shard's writer is gone, and how many bytes the shard then has."""
        state = {}
        for path in sorted(self.shards.glob("*.jsonl")):
            with suppress(FileNotFoundError):
                # In this order: the size of a shard whose writer is gone is final.
                state[path.name] = (writer_is_gone(path), path.stat().st_size)
        return state

    def _ingest(
        self, connection: duckdb.DuckDBPyConnection, state: dict[str, tuple[bool, int]]
    ) -> tuple[IngestReport, list[str]]:
        offsets = dict.fromkeys(state, 0)
        finished = set()
        for name, offset, complete in connection.execute(
            "SELECT name, offset_bytes, complete FROM shards WHERE name IN (SELECT unnest(?::VARCHAR[]))",
            [list(state)],
        ).fetchall():
            offsets[name] = offset
            if complete:
                finished.add(name)
        rows, broken, touched = 0, 0, set()
        while True:
            pieces: list[_Piece] = []
            for name, (_, size) in state.items():
                if name not in finished and offsets[name] < size:
                    piece = _read(self.shards / name, offsets[name], size)
                    if piece.lines:
                        pieces.append(piece)
                if sum(piece.end - piece.start for piece in pieces) >= _CHUNK_BYTES:
                    break
            if not pieces:
                break
            connection.begin()
            good, bad = _take(connection, pieces)
            connection.commit()
            rows, broken = rows + good, broken + bad
            touched |= {piece.name for piece in pieces}
            offsets |= {piece.name: piece.end for piece in pieces}
            finished |= {piece.name for piece in pieces if piece.closed}
        _settle_runs(connection, [name for name, (gone, _) in state.items() if not gone])
        return IngestReport(rows, len(touched), broken), sorted(finished)


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


def _take(connection: duckdb.DuckDBPyConnection, pieces: list[_Piece]) -> tuple[int, int]:
    """Write the rows of these pieces and how far they reach; return how many lines were good and broken."""
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
    for kind in RecordKind:
        if kind in present:
            connection.execute(_TAKE[kind])
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
    return int(read - broken), int(broken)


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


def _cells(column: "pa.ChunkedArray[Any]") -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    microseconds = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
    return [None if after is None else _EPOCH + timedelta(microseconds=after) for after in microseconds]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWN = ", ".join(f"'{kind}'" for kind in RecordKind)

_STAGE = f"""
CREATE OR REPLACE TEMP TABLE lines AS
SELECT shard, shard_offset, line, batch_id, run_id, TRY_CAST("at" AS TIMESTAMPTZ) AS happened_at,
       CASE WHEN record IN ({_KNOWN}) AND batch_id IS NOT NULL AND run_id IS NOT NULL
                 AND TRY_CAST("at" AS TIMESTAMPTZ) IS NOT NULL THEN record END AS record
FROM (
    SELECT shard, shard_offset, line, unnest(TRY(from_json(
        line, '{{"record":"VARCHAR","batch_id":"VARCHAR","run_id":"VARCHAR","at":"VARCHAR"}}'
    ))) FROM staged WHERE line NOT IN ('', '{CLOSED_LINE.decode()}')
);
CREATE OR REPLACE TEMP VIEW known AS SELECT * FROM lines WHERE record IS NOT NULL;
CREATE OR REPLACE TEMP TABLE broken AS SELECT shard, shard_offset FROM lines WHERE record IS NULL;

INSERT INTO batches (batch_id, status, started_at, last_event_at)
SELECT batch_id, 'running', min(happened_at), max(happened_at) FROM known WHERE batch_id <> '' GROUP BY batch_id
ON CONFLICT (batch_id) DO UPDATE SET last_event_at = greatest(batches.last_event_at, excluded.last_event_at);
INSERT INTO runs (batch_id, run_id, status, started_at)
SELECT batch_id, run_id, 'running', min(happened_at) FROM known WHERE run_id <> '' GROUP BY batch_id, run_id
ON CONFLICT DO NOTHING;
"""  # noqa: S608 - constants of this module


def _take_sql(kind: RecordKind) -> str:
    """SQL that parses the lines of one kind, sets broken ones apart and stores the rest."""
    fields = KINDS[kind].fields
    shape = ",".join(f'"{name}":{_JSON_SHAPES.get(type_, chr(34) + type_ + chr(34))}' for name, type_ in fields.items())
    columns = ", ".join(f"TRY_CAST(fields.{name} AS {type_}) AS {name}" for name, type_ in fields.items())
    return f"""
        CREATE OR REPLACE TEMP TABLE parsed AS
        SELECT shard, shard_offset, batch_id, run_id, happened_at, {columns}
        FROM (SELECT *, from_json(line, '{{{shape}}}') AS fields FROM lines WHERE record = '{kind}');
        INSERT INTO broken SELECT shard, shard_offset FROM parsed WHERE ({KINDS[kind].valid}) IS NOT TRUE;
        CREATE OR REPLACE TEMP VIEW good AS SELECT * FROM parsed WHERE {KINDS[kind].valid};
        {KINDS[kind].insert}
    """  # noqa: S608 - constants of this package


# Dates and times are read as text and cast with TRY_CAST: an unreadable one is NULL.
_JSON_SHAPES = {"TIMESTAMPTZ": '"VARCHAR"', "DATE": '"VARCHAR"', "VARCHAR[][]": '[["VARCHAR"]]'}

_TAKE = {kind: _take_sql(kind) for kind in RecordKind}

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


def _settle_runs(connection: duckdb.DuckDBPyConnection, written: list[str]) -> None:
    """Derive what no record says: a run without an end is running while one of its shards is being written.

    Without a living writer it was interrupted; a batch is what its runs are.
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
        UPDATE batches SET status = derived.status, ended_at = derived.ended_at
        FROM (
            SELECT batch_id,
                   CASE WHEN bool_or(status = 'running') THEN 'running'
                        WHEN bool_or(status = 'failed') THEN 'failed'
                        WHEN bool_or(status = 'interrupted') THEN 'interrupted'
                        ELSE 'succeeded' END AS status,
                   CASE WHEN NOT bool_or(status = 'running') THEN max(ended_at) END AS ended_at
            FROM runs GROUP BY batch_id
        ) AS derived
        WHERE batches.batch_id = derived.batch_id
          AND (batches.status, batches.ended_at) IS DISTINCT FROM (derived.status, derived.ended_at)
        """
    )
    connection.commit()


def _version(connection: duckdb.DuckDBPyConnection, database: Path) -> int:
    """Version of the layout; 0 of an empty database."""
    tables = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version'").fetchall()
    rows = connection.execute("SELECT max(version) FROM schema_version").fetchall() if tables[0][0] else [(0,)]
    version = int(rows[0][0] or 0)
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{database} has layout version {version}, this code knows {SCHEMA_VERSION}. "
            "Update sensequant-assets, or point it at another telemetry directory."
        )
    return version


def _migrate(connection: duckdb.DuckDBPyConnection, database: Path) -> None:
    version = _version(connection, database)
    if version == SCHEMA_VERSION:
        return
    connection.begin()
    if version == 0:
        connection.execute(TABLES)
    for target, sql in MIGRATIONS:
        if 0 < version < target:
            connection.execute(sql)
    connection.execute("DELETE FROM schema_version")
    connection.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA_VERSION])
    connection.execute(VIEWS)
    connection.commit()
