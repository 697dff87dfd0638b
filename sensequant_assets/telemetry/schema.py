"""Tables, views and migrations of `telemetry.duckdb`, and how each kind of record fills them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import duckdb

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.records import (
    RECORDS,
    BatchStart,
    CheckVerdict,
    ElseLineTime,
    Event,
    OfRun,
    OneOf,
    Plan,
    Record,
    RunEnd,
    Trial,
    WindowRun,
)

SCHEMA_VERSION = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a record as SQL sees it.

    Attributes
    ----------
    name, type
        Of the column.
    value
        SQL of what is stored: the field, or what stands for it where a line lacks it.
    valid
        SQL condition without which a line is broken; empty if there is none.
    known
        Whether every record has a value: it tells one, or the time of its line is taken.
    of_run
        Whether it is true of a run, though it is told with the batch.
    """

    name: str
    type: str
    value: str
    valid: str
    known: bool
    of_run: bool


def columns_of(record: type[Record]) -> list[Column]:
    """The columns of a kind of record, derived from its fields."""
    hints, columns = get_type_hints(record, include_extras=True), []
    for field in fields(record):
        annotated = hints[field.name]
        hint, *marks = get_args(annotated) if get_origin(annotated) is Annotated else (annotated,)
        required, line_time = field.default is MISSING, any(isinstance(mark, ElseLineTime) for mark in marks)
        other = "happened_at" if line_time else "" if required or field.default is None else repr(field.default)
        allowed = [mark.values for mark in marks if isinstance(mark, OneOf)]
        columns.append(
            Column(
                name=field.name,
                type=_sql_type(hint),
                value=f"coalesce({field.name}, {other})" if other else field.name,
                valid=f"{field.name} IN {allowed[0]}" if allowed else f"{field.name} IS NOT NULL" if required else "",
                known=required or line_time,
                of_run=any(isinstance(mark, OfRun) for mark in marks),
            )
        )
    return columns


_SQL_TYPES: Mapping[object, str] = {
    str: "VARCHAR",
    int: "INTEGER",
    float: "DOUBLE",
    bool: "BOOLEAN",
    date: "DATE",
    datetime: "TIMESTAMPTZ",
    Mapping: "JSON",
    # Pairs of a plan.
    Sequence: "VARCHAR[][]",
}


def _sql_type(hint: Any) -> str:
    if get_origin(hint) is UnionType or NoneType in get_args(hint):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    return _SQL_TYPES[get_origin(hint) or hint]


COLUMNS = {record.record: columns_of(record) for record in RECORDS}
"""Columns of each kind of record."""

_OF_BATCH = [column for column in COLUMNS[BatchStart.record] if not column.of_run]
_OF_RUN = [column for column in COLUMNS[BatchStart.record] if column.of_run or column.name == "started_at"]


def _told(columns: Iterable[Column]) -> str:
    """Columns of a table whose rows are one record each."""
    return ",\n    ".join(f"{each.name} {each.type}{' NOT NULL' if each.known else ''}" for each in columns)


def _gathered(columns: Iterable[Column]) -> str:
    """Columns of a table whose rows are gathered from several records, and lack what was not told yet."""
    return ",\n    ".join(f"{each.name} {each.type}{' NOT NULL' if each.valid else ''}" for each in columns)


TABLES = f"""
CREATE TABLE schema_version (version INTEGER NOT NULL);

CREATE TABLE batches (
    batch_id VARCHAR PRIMARY KEY,
    {_gathered(_OF_BATCH)},
    ended_at TIMESTAMPTZ,
    last_event_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    planned_teachers INTEGER,
    planned_students INTEGER
);

CREATE TABLE runs (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_gathered(_OF_RUN)},
    {_gathered(COLUMNS[RunEnd.record])},
    PRIMARY KEY (batch_id, run_id)
);

CREATE TABLE planned_windows (
    batch_id VARCHAR,
    run_id VARCHAR NOT NULL,
    model VARCHAR,
    symbol VARCHAR,
    window_start DATE,
    PRIMARY KEY (batch_id, model, symbol, window_start)
);

CREATE TABLE window_runs (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told(COLUMNS[WindowRun.record])},
    PRIMARY KEY (batch_id, run_id, model, symbol, window_start, attempt)
);

CREATE TABLE verdicts (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told(COLUMNS[CheckVerdict.record])},
    PRIMARY KEY (batch_id, run_id, model, check_name)
);

CREATE TABLE trials (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told(COLUMNS[Trial.record])},
    PRIMARY KEY (batch_id, run_id, evaluation, score)
);

CREATE TABLE events (
    happened_at TIMESTAMPTZ,
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told(COLUMNS[Event.record])},
    shard VARCHAR,
    shard_offset BIGINT,
    PRIMARY KEY (shard, shard_offset)
);

CREATE TABLE shards (
    name VARCHAR PRIMARY KEY,
    offset_bytes BIGINT NOT NULL,
    complete BOOLEAN NOT NULL,
    broken_lines INTEGER NOT NULL,
    batch_id VARCHAR,
    run_id VARCHAR
);
"""

LATEST_BATCH_FIRST = "ended_at DESC, batch_id DESC"
"""The order of attempts in different batches; within a batch it is that of the view `last_attempts`."""

# Views hold no rows, so every version creates its own anew.
VIEWS = f"""
CREATE OR REPLACE VIEW last_attempts AS
SELECT * FROM window_runs
QUALIFY row_number() OVER (
    PARTITION BY batch_id, model, symbol, window_start ORDER BY attempt DESC, ended_at DESC, run_id DESC
) = 1;

CREATE OR REPLACE VIEW pair_status AS
SELECT * FROM last_attempts
QUALIFY row_number() OVER (
    PARTITION BY universe, model, symbol, window_start ORDER BY {LATEST_BATCH_FIRST}
) = 1;

CREATE OR REPLACE VIEW window_status AS
SELECT
    batch_id, model, symbol, window_start,
    coalesce(attempts.outcome, 'not_attempted') AS outcome,
    attempts.reason, attempts.failure_kind, attempts.error_type, attempts.error_message, attempts.attempt,
    coalesce(attempts.run_id, planned.run_id) AS run_id,
    attempts.started_at, attempts.ended_at, attempts.duration_s, attempts.constant,
    planned.run_id IS NOT NULL AS planned
FROM planned_windows AS planned
FULL OUTER JOIN last_attempts AS attempts USING (batch_id, model, symbol, window_start);

CREATE OR REPLACE VIEW batch_summary AS
WITH counted AS (
    SELECT
        batch_id, model,
        count(*) FILTER (planned) AS planned,
        count(*) FILTER (outcome = 'trained') AS trained,
        count(*) FILTER (outcome = 'reused') AS reused,
        count(*) FILTER (outcome = 'skipped') AS skipped,
        count(*) FILTER (outcome = 'failed') AS failed,
        count(*) FILTER (outcome = 'not_attempted') AS not_attempted,
        count(*) FILTER (outcome IN ('trained', 'reused', 'failed')) AS attempted,
        count(*) FILTER (constant) AS constant,
        min(started_at) FILTER (outcome <> 'skipped') AS started_at,
        max(ended_at) FILTER (outcome <> 'skipped') AS ended_at
    FROM window_status
    GROUP BY batch_id, model
)
SELECT
    batch_id, model, planned, trained, reused, skipped, failed, not_attempted, attempted, constant,
    failed / nullif(attempted, 0) AS failure_rate,
    started_at, ended_at,
    attempted / nullif(epoch(ended_at) - epoch(started_at), 0) AS windows_per_s
FROM counted;
"""  # noqa: S608 - a constant of this module

MIGRATIONS: list[tuple[int, str]] = [
    (
        2,
        """
        ALTER TABLE window_runs ADD COLUMN model_path VARCHAR;
        CREATE TABLE verdicts (
            batch_id VARCHAR, run_id VARCHAR, model VARCHAR, check_name VARCHAR, passed BOOLEAN NOT NULL,
            failure_rate DOUBLE, max_failure_rate DOUBLE, trained INTEGER, reused INTEGER, skipped INTEGER,
            failed INTEGER, not_attempted INTEGER, evaluated_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (batch_id, run_id, model, check_name)
        );
        """,
    ),
    (
        4,
        """
        ALTER TABLE window_runs ADD COLUMN constant BOOLEAN;
        ALTER TABLE batches ADD COLUMN configuration JSON;
        """,
    ),
    (
        5,
        """
        CREATE TABLE trials (
            batch_id VARCHAR, run_id VARCHAR, evaluation VARCHAR NOT NULL, score VARCHAR NOT NULL, universe VARCHAR,
            first_window DATE, last_window DATE, first_date DATE, last_date DATE, rows INTEGER, dates INTEGER,
            blocks INTEGER, block_length INTEGER, auc DOUBLE, auc_low DOUBLE, auc_high DOUBLE, rank_ic DOUBLE,
            rank_ic_low DOUBLE, rank_ic_high DOUBLE, metrics JSON, parameters_fingerprint VARCHAR,
            evaluated_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (batch_id, run_id, evaluation, score)
        );
        """,
    ),
]
"""Each version and the SQL that makes it of the one before; oldest first."""


@dataclass(frozen=True)
class Kind:
    """How ingest stores one kind of record.

    Parameters
    ----------
    valid
        SQL condition on the fields: a record that does not meet it counts as a broken line.
    insert
        SQL that moves the rows of the table ``good`` (the fields, and shard, shard_offset, batch_id, run_id and
        happened_at of the line) into their tables, where the batch and the run of each have their row already. No row
        may meet the same key twice in one statement.
    """

    valid: str
    insert: str


def _valid(record: type[Record], *more: str) -> str:
    return " AND ".join([*(column.valid for column in COLUMNS[record.record] if column.valid), *more]) or "true"


def _latest(table: str, keys: str, record: type[Record], order: str) -> str:
    """Store records as rows; of those with equal keys the one latest by the column ``order`` stays."""
    values = {"batch_id": "batch_id", "run_id": "run_id"}
    values |= {column.name: column.value for column in COLUMNS[record.record]}
    columns = ", ".join(values)
    expressions = ", ".join(f"{expression} AS {column}" for column, expression in values.items())
    updates = ", ".join(f"{column} = excluded.{column}" for column in values if column not in keys.split(", "))
    return f"""
        INSERT INTO {table} ({columns})
        SELECT {columns} FROM (SELECT {expressions}, shard, shard_offset FROM good)
        QUALIFY row_number() OVER (
            PARTITION BY {keys} ORDER BY {order} DESC, shard DESC, shard_offset DESC
        ) = 1
        ON CONFLICT ({keys}) DO UPDATE SET {updates} WHERE (excluded.{order} >= {table}.{order}) IS NOT FALSE;
    """  # noqa: S608 - every part is a constant of this package


def _merged(table: str, keys: str, columns: Sequence[Column]) -> str:
    """Add what records tell to the rows of a table: the earliest time, and of the rest what was told last."""
    times = [column for column in columns if column.type == "TIMESTAMPTZ"]
    rest = [column for column in columns if column not in times]
    told = ", ".join(
        [f"min({each.value}) AS {each.name}" for each in times]
        + [f"arg_max({each.value}, happened_at) AS {each.name}" for each in rest]
    )
    kept = ", ".join(
        [f"{each.name} = least({table}.{each.name}, told.{each.name})" for each in times]
        + [f"{each.name} = coalesce(told.{each.name}, {table}.{each.name})" for each in rest]
    )
    same = " AND ".join(f"{table}.{key} = told.{key}" for key in keys.split(", "))
    return f"""
        UPDATE {table} SET {kept}
        FROM (SELECT {keys}, {told} FROM good GROUP BY {keys}) AS told WHERE {same};
    """  # noqa: S608 - every part is a constant of this package


_EVENT = ", ".join(column.name for column in COLUMNS[Event.record])

KINDS: dict[str, Kind] = {
    BatchStart.record: Kind(
        valid=_valid(BatchStart),
        insert=_merged("batches", "batch_id", _OF_BATCH) + _merged("runs", "batch_id, run_id", _OF_RUN),
    ),
    Plan.record: Kind(
        valid=_valid(
            Plan,
            "list_bool_and(list_transform(windows, lambda pair: "
            "len(pair) = 2 AND pair[1] IS NOT NULL AND try_cast(pair[2] AS DATE) IS NOT NULL)) IS NOT FALSE",
        ),
        insert="""
            INSERT INTO planned_windows (batch_id, run_id, model, symbol, window_start)
            SELECT batch_id, coalesce(arg_max(run_id, happened_at) FILTER (run_id <> ''), ''), model, pair[1],
                   pair[2]::DATE
            FROM (SELECT batch_id, run_id, happened_at, model, unnest(windows) AS pair FROM good)
            GROUP BY ALL
            ON CONFLICT (batch_id, model, symbol, window_start) DO UPDATE SET run_id = excluded.run_id
            WHERE excluded.run_id <> '';
        """,
    ),
    WindowRun.record: Kind(
        valid=_valid(WindowRun),
        insert=_latest("window_runs", "batch_id, run_id, model, symbol, window_start, attempt", WindowRun, "ended_at"),
    ),
    CheckVerdict.record: Kind(
        valid=_valid(CheckVerdict),
        insert=_latest("verdicts", "batch_id, run_id, model, check_name", CheckVerdict, "evaluated_at"),
    ),
    Trial.record: Kind(
        valid=_valid(Trial),
        insert=_latest("trials", "batch_id, run_id, evaluation, score", Trial, "evaluated_at"),
    ),
    Event.record: Kind(
        valid=_valid(Event),
        insert=f"""
            INSERT INTO events (happened_at, batch_id, run_id, {_EVENT}, shard, shard_offset)
            SELECT happened_at, batch_id, run_id, {", ".join(column.value for column in COLUMNS[Event.record])},
                   shard, shard_offset
            FROM good
            ON CONFLICT DO NOTHING;
        """,  # noqa: S608 - every part is a constant of this package
    ),
    RunEnd.record: Kind(
        valid=_valid(RunEnd, "run_id <> ''"),
        insert=_latest("runs", "batch_id, run_id", RunEnd, "ended_at"),
    ),
}


def layout_version(connection: duckdb.DuckDBPyConnection, database: Path) -> int:
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


def migrate(connection: duckdb.DuckDBPyConnection, database: Path) -> None:
    """Bring the layout of a database to this version."""
    version = layout_version(connection, database)
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
