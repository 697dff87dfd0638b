"""Tables, views and migrations of `telemetry.duckdb`, and how each kind of record fills them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import duckdb
import numpy as np

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.records import (
    RECORDS,
    BarOutcome,
    BatchStart,
    CheckVerdict,
    ElseLineTime,
    Evaluation,
    Event,
    Measurement,
    OfRun,
    OneOf,
    Plan,
    Prediction,
    Record,
    RunEnd,
    Trial,
    WindowRun,
)

SCHEMA_VERSION = 12


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
    np.datetime64: "TIMESTAMP",
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

TOLD_AT = "coalesce(ordered_at, happened_at)"
"""SQL of the time by which a line is later or earlier than another; an old journal has the clock's alone."""


def _ordered(name: str, record: type[Record], time: str) -> Column:
    """The column that orders rows, where a line lacks it by a time that the record tells.

    What is told later than it was, such as the start of a run that died before it could tell, is ordered earlier by as
    much.
    """
    (told,) = (column.value for column in COLUMNS[record.record] if column.name == time)
    value = f"coalesce(ordered_at - greatest(happened_at - {told}, INTERVAL 0 SECONDS), {told})"
    return Column(name, "TIMESTAMPTZ", value, valid="", known=False, of_run=True)


_STARTED = _ordered("ordered_at", BatchStart, "started_at")
_TRIED = _ordered("ordered_at", WindowRun, "ended_at")
_JUDGED = _ordered("ordered_at", CheckVerdict, "evaluated_at")
_SCORED = _ordered("ordered_at", Trial, "evaluated_at")
_EVALUATED = _ordered("ordered_at", Evaluation, "evaluated_at")
_PREDICTED = _ordered("ordered_at", Prediction, "made_at")
_CAME = _ordered("ordered_at", BarOutcome, "known_at")
_MEASURED = _ordered("ordered_at", Measurement, "measured_at")
_ENDED = _ordered("end_ordered_at", RunEnd, "ended_at")

_OF_BATCH = [*(column for column in COLUMNS[BatchStart.record] if not column.of_run), _STARTED]
_OF_RUN = [*(column for column in COLUMNS[BatchStart.record] if column.of_run or column.name == "started_at"), _STARTED]


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
    {_gathered([*COLUMNS[RunEnd.record], _ENDED])},
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
    {_told([*COLUMNS[WindowRun.record], _TRIED])},
    PRIMARY KEY (batch_id, run_id, model, symbol, window_start, attempt)
);

CREATE TABLE verdicts (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told([*COLUMNS[CheckVerdict.record], _JUDGED])},
    PRIMARY KEY (batch_id, run_id, model, check_name)
);

CREATE TABLE trials (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told([*COLUMNS[Trial.record], _SCORED])},
    PRIMARY KEY (batch_id, run_id, evaluation, score)
);

CREATE TABLE evaluations (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told([*COLUMNS[Evaluation.record], _EVALUATED])},
    PRIMARY KEY (batch_id, run_id, evaluation)
);

CREATE TABLE predictions (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told([*COLUMNS[Prediction.record], _PREDICTED])},
    PRIMARY KEY (symbol, time, model, trees_fingerprint)
);

CREATE TABLE outcomes (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told([*COLUMNS[BarOutcome.record], _CAME])},
    PRIMARY KEY (universe, symbol, time, asks)
);

CREATE TABLE profiles (
    batch_id VARCHAR,
    run_id VARCHAR,
    {_told([*COLUMNS[Measurement.record], _MEASURED])},
    PRIMARY KEY (profile, setting, turn)
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

LATEST_BATCH_FIRST = "ordered_at DESC, batch_id DESC"
"""The order of attempts in different batches; within a batch it is that of the view `last_attempts`."""

LAST_ORDERED = """
SELECT epoch_us(greatest(
    (SELECT max(ordered_at) FROM batches), (SELECT greatest(max(ordered_at), max(end_ordered_at)) FROM runs),
    (SELECT max(ordered_at) FROM window_runs), (SELECT max(ordered_at) FROM verdicts),
    (SELECT max(ordered_at) FROM trials), (SELECT max(ordered_at) FROM evaluations),
    (SELECT max(ordered_at) FROM predictions), (SELECT max(ordered_at) FROM outcomes),
    (SELECT max(ordered_at) FROM profiles)
))
"""
"""The latest time that orders a row, in microseconds since 1970; null where there is none."""

# Views hold no rows, so every version creates its own anew.
VIEWS = f"""
CREATE OR REPLACE VIEW last_attempts AS
SELECT * FROM window_runs
QUALIFY row_number() OVER (
    PARTITION BY batch_id, model, symbol, window_start ORDER BY attempt DESC, ordered_at DESC, run_id DESC
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

CREATE OR REPLACE VIEW costs AS
SELECT
    batch_id, run_id, model, symbol, window_start, outcome, train_rows AS rows,
    duration_s AS wall_s, cpu_s, peak_mb, device_s, joules
FROM window_runs WHERE outcome <> 'skipped'
UNION ALL
SELECT
    batch_id, run_id, data->>'model', NULL, window_start, data->>'status', TRY_CAST(data->>'rows' AS INTEGER),
    TRY_CAST(data->>'seconds' AS DOUBLE), TRY_CAST(data->>'cpu_s' AS DOUBLE), TRY_CAST(data->>'peak_mb' AS DOUBLE),
    TRY_CAST(data->>'device_s' AS DOUBLE), TRY_CAST(data->>'joules' AS DOUBLE)
FROM events WHERE kind = 'pool';

CREATE OR REPLACE VIEW batch_costs AS
SELECT
    batch_id, model, count(*) AS models, sum(wall_s) AS wall_s, sum(cpu_s) AS cpu_s, max(peak_mb) AS peak_mb,
    sum(device_s) AS device_s, sum(joules) AS joules
FROM costs
GROUP BY batch_id, model
UNION ALL
SELECT
    batch_id, 'all', NULL, sum(wall_s), sum(cpu_s),
    (SELECT max(peak_mb) FROM costs WHERE costs.batch_id = runs.batch_id),
    (SELECT sum(device_s) FROM costs WHERE costs.batch_id = runs.batch_id),
    (SELECT sum(joules) FROM costs WHERE costs.batch_id = runs.batch_id)
FROM runs
GROUP BY batch_id;
"""  # noqa: S608 - a constant of this module

ORDER_BY_CLOCK = """
UPDATE batches SET ordered_at = started_at WHERE ordered_at IS NULL;
UPDATE runs SET ordered_at = started_at WHERE ordered_at IS NULL;
UPDATE runs SET end_ordered_at = ended_at WHERE end_ordered_at IS NULL;
UPDATE window_runs SET ordered_at = ended_at WHERE ordered_at IS NULL;
UPDATE verdicts SET ordered_at = evaluated_at WHERE ordered_at IS NULL;
UPDATE trials SET ordered_at = evaluated_at WHERE ordered_at IS NULL;
"""
"""SQL that gives rows of an older version the times that order them."""

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
    (
        6,
        """
        ALTER TABLE batches ADD COLUMN ordered_at TIMESTAMPTZ;
        ALTER TABLE runs ADD COLUMN ordered_at TIMESTAMPTZ;
        ALTER TABLE runs ADD COLUMN end_ordered_at TIMESTAMPTZ;
        ALTER TABLE window_runs ADD COLUMN ordered_at TIMESTAMPTZ;
        ALTER TABLE verdicts ADD COLUMN ordered_at TIMESTAMPTZ;
        ALTER TABLE trials ADD COLUMN ordered_at TIMESTAMPTZ;
        """
        + ORDER_BY_CLOCK,
    ),
    (7, "ALTER TABLE window_runs ADD COLUMN served_by DATE;"),
    (
        8,
        """
        ALTER TABLE trials ADD COLUMN series JSON;
        CREATE TABLE evaluations (
            batch_id VARCHAR, run_id VARCHAR, evaluation VARCHAR NOT NULL, universe VARCHAR,
            subject_fingerprint VARCHAR, findings JSON, evaluated_at TIMESTAMPTZ NOT NULL, ordered_at TIMESTAMPTZ,
            PRIMARY KEY (batch_id, run_id, evaluation)
        );
        """,
    ),
    (
        9,
        """
        CREATE TABLE predictions (
            batch_id VARCHAR, run_id VARCHAR, symbol VARCHAR, time TIMESTAMP, model VARCHAR, trees_fingerprint VARCHAR,
            champion INTEGER, universe VARCHAR, window_start DATE, bars_fingerprint VARCHAR, p_raw DOUBLE, p DOUBLE,
            distance DOUBLE, flags VARCHAR, made_at TIMESTAMPTZ NOT NULL, ordered_at TIMESTAMPTZ,
            PRIMARY KEY (symbol, time, model, trees_fingerprint)
        );
        CREATE TABLE outcomes (
            batch_id VARCHAR, run_id VARCHAR, universe VARCHAR, symbol VARCHAR, time TIMESTAMP, asks VARCHAR,
            ret DOUBLE NOT NULL, label INTEGER, bars_fingerprint VARCHAR, known_at TIMESTAMPTZ NOT NULL,
            ordered_at TIMESTAMPTZ,
            PRIMARY KEY (universe, symbol, time, asks)
        );
        """,
    ),
    (
        10,
        """
        ALTER TABLE window_runs ADD COLUMN peak_mb DOUBLE;
        ALTER TABLE window_runs ADD COLUMN device_s DOUBLE;
        ALTER TABLE window_runs ADD COLUMN joules DOUBLE;
        """,
    ),
    (
        11,
        """
        ALTER TABLE runs ADD COLUMN engine VARCHAR;
        ALTER TABLE window_runs ADD COLUMN worker VARCHAR;
        """,
    ),
    (
        12,
        """
        CREATE TABLE profiles (
            batch_id VARCHAR, run_id VARCHAR, profile VARCHAR, setting INTEGER, turn INTEGER, universe VARCHAR,
            symbols INTEGER, windows INTEGER, sample_fingerprint VARCHAR, name VARCHAR, grid JSON, parameters JSON,
            parameters_fingerprint VARCHAR, data_fingerprint VARCHAR, code_fingerprint VARCHAR,
            trees_fingerprint VARCHAR, device VARCHAR, workers INTEGER, models INTEGER, failed INTEGER,
            failure VARCHAR, boosters INTEGER, rows INTEGER, wall_s DOUBLE, cpu_s DOUBLE, cpu_by_model JSON,
            read_mb DOUBLE, peak_mb DOUBLE, others_cpu DOUBLE, device_s DOUBLE, device_utilisation DOUBLE,
            joules DOUBLE, effective JSON, largest_leaves INTEGER, largest_depth INTEGER, scores JSON,
            measured_at TIMESTAMPTZ NOT NULL, ordered_at TIMESTAMPTZ,
            PRIMARY KEY (profile, setting, turn)
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
        SQL that moves the rows of the table ``good`` (the fields, and shard, shard_offset, batch_id, run_id,
        happened_at and ordered_at of the line) into their tables, where the batch and the run of each have their row
        already. No row may meet the same key twice in one statement.
    """

    valid: str
    insert: str


def _valid(record: type[Record], *more: str) -> str:
    return " AND ".join([*(column.valid for column in COLUMNS[record.record] if column.valid), *more]) or "true"


def _kept(table: str, keys: str, record: type[Record], ordered: Column, *, latest: bool = True) -> str:
    """Store records as rows; of those with equal keys the latest stays, or the earliest."""
    of_both = f"excluded.{ordered.name}", f"{table}.{ordered.name}"
    order_by, stays = ("DESC", "({} >= {}) IS NOT FALSE") if latest else ("ASC", "{} < {}")
    values, order = {"batch_id": "batch_id", "run_id": "run_id"}, ordered.name
    values |= {column.name: column.value for column in (*COLUMNS[record.record], ordered)}
    columns = ", ".join(values)
    expressions = ", ".join(f"{expression} AS {column}" for column, expression in values.items())
    updates = ", ".join(f"{column} = excluded.{column}" for column in values if column not in keys.split(", "))
    return f"""
        INSERT INTO {table} ({columns})
        SELECT {columns} FROM (SELECT {expressions}, shard, shard_offset FROM good)
        QUALIFY row_number() OVER (
            PARTITION BY {keys} ORDER BY {order} {order_by}, shard {order_by}, shard_offset {order_by}
        ) = 1
        ON CONFLICT ({keys}) DO UPDATE SET {updates} WHERE {stays.format(*of_both)};
    """  # noqa: S608 - every part is a constant of this package


def _merged(table: str, keys: str, columns: Sequence[Column]) -> str:
    """Add what records tell to the rows of a table: the earliest time, and of the rest what was told last."""
    times = [column for column in columns if column.type == "TIMESTAMPTZ"]
    rest = [column for column in columns if column not in times]
    told = ", ".join(
        [f"min({each.value}) AS {each.name}" for each in times]
        + [f"arg_max({each.value}, {TOLD_AT}) AS {each.name}" for each in rest]
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
        insert=f"""
            INSERT INTO planned_windows (batch_id, run_id, model, symbol, window_start)
            SELECT batch_id, coalesce(arg_max(run_id, told_at) FILTER (run_id <> ''), ''), model, pair[1],
                   pair[2]::DATE
            FROM (SELECT batch_id, run_id, {TOLD_AT} AS told_at, model, unnest(windows) AS pair FROM good)
            GROUP BY ALL
            ON CONFLICT (batch_id, model, symbol, window_start) DO UPDATE SET run_id = excluded.run_id
            WHERE excluded.run_id <> '';
        """,  # noqa: S608 - every part is a constant of this package
    ),
    WindowRun.record: Kind(
        valid=_valid(WindowRun),
        insert=_kept("window_runs", "batch_id, run_id, model, symbol, window_start, attempt", WindowRun, _TRIED),
    ),
    CheckVerdict.record: Kind(
        valid=_valid(CheckVerdict),
        insert=_kept("verdicts", "batch_id, run_id, model, check_name", CheckVerdict, _JUDGED),
    ),
    Trial.record: Kind(
        valid=_valid(Trial),
        insert=_kept("trials", "batch_id, run_id, evaluation, score", Trial, _SCORED),
    ),
    Evaluation.record: Kind(
        valid=_valid(Evaluation),
        insert=_kept("evaluations", "batch_id, run_id, evaluation", Evaluation, _EVALUATED),
    ),
    Prediction.record: Kind(
        valid=_valid(Prediction),
        insert=_kept("predictions", "symbol, time, model, trees_fingerprint", Prediction, _PREDICTED, latest=False),
    ),
    BarOutcome.record: Kind(
        valid=_valid(BarOutcome),
        insert=_kept("outcomes", "universe, symbol, time, asks", BarOutcome, _CAME, latest=False),
    ),
    Measurement.record: Kind(
        valid=_valid(Measurement),
        insert=_kept("profiles", "profile, setting, turn", Measurement, _MEASURED, latest=False),
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
        insert=_kept("runs", "batch_id, run_id", RunEnd, _ENDED),
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
