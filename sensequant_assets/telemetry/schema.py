"""Tables, views and migrations of `telemetry.duckdb`, and which journal fields fill them."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.journal import RecordKind

SCHEMA_VERSION = 2

TABLES = """
CREATE TABLE schema_version (version INTEGER NOT NULL);

CREATE TABLE batches (
    batch_id VARCHAR PRIMARY KEY,
    backfill_id VARCHAR,
    source VARCHAR,
    universe VARCHAR,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    last_event_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    planned_teachers INTEGER,
    planned_students INTEGER,
    settings JSON,
    parameters JSON,
    versions JSON,
    max_failure_rate DOUBLE
);

CREATE TABLE runs (
    batch_id VARCHAR,
    run_id VARCHAR,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    wall_s DOUBLE,
    cpu_s DOUBLE,
    pid INTEGER,
    workers INTEGER,
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
    backfill_id VARCHAR,
    model VARCHAR,
    universe VARCHAR,
    symbol VARCHAR,
    window_start DATE,
    window_end DATE,
    effective_start DATE,
    effective_end DATE,
    outcome VARCHAR NOT NULL,
    reason VARCHAR,
    failure_kind VARCHAR,
    error_type VARCHAR,
    error_message VARCHAR,
    attempt INTEGER,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ NOT NULL,
    duration_s DOUBLE,
    cpu_s DOUBLE,
    train_rows INTEGER,
    valid_rows INTEGER,
    test_rows INTEGER,
    metrics JSON,
    parameters JSON,
    data_fingerprint VARCHAR,
    parameters_fingerprint VARCHAR,
    code_fingerprint VARCHAR,
    trees_fingerprint VARCHAR,
    device VARCHAR,
    early_life BOOLEAN,
    open BOOLEAN,
    model_path VARCHAR,
    PRIMARY KEY (batch_id, run_id, model, symbol, window_start, attempt)
);

CREATE TABLE verdicts (
    batch_id VARCHAR,
    run_id VARCHAR,
    model VARCHAR,
    check_name VARCHAR,
    passed BOOLEAN NOT NULL,
    failure_rate DOUBLE,
    max_failure_rate DOUBLE,
    trained INTEGER,
    reused INTEGER,
    skipped INTEGER,
    failed INTEGER,
    not_attempted INTEGER,
    evaluated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (batch_id, run_id, model, check_name)
);

CREATE TABLE events (
    happened_at TIMESTAMPTZ,
    batch_id VARCHAR,
    run_id VARCHAR,
    level VARCHAR,
    kind VARCHAR,
    symbol VARCHAR,
    window_start DATE,
    message VARCHAR,
    data JSON,
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

# Views hold no rows, so every version creates its own anew.
VIEWS = """
CREATE OR REPLACE VIEW window_status AS
WITH latest AS (
    SELECT * FROM window_runs
    QUALIFY row_number() OVER (
        PARTITION BY batch_id, model, symbol, window_start ORDER BY attempt DESC, ended_at DESC, run_id DESC
    ) = 1
)
SELECT
    batch_id, model, symbol, window_start,
    coalesce(latest.outcome, 'not_attempted') AS outcome,
    latest.reason, latest.failure_kind, latest.error_type, latest.error_message, latest.attempt,
    coalesce(latest.run_id, planned.run_id) AS run_id,
    latest.started_at, latest.ended_at, latest.duration_s,
    planned.run_id IS NOT NULL AS planned
FROM planned_windows AS planned
FULL OUTER JOIN latest USING (batch_id, model, symbol, window_start);

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
        min(started_at) FILTER (outcome <> 'skipped') AS started_at,
        max(ended_at) FILTER (outcome <> 'skipped') AS ended_at
    FROM window_status
    GROUP BY batch_id, model
)
SELECT
    batch_id, model, planned, trained, reused, skipped, failed, not_attempted, attempted,
    failed / nullif(attempted, 0) AS failure_rate,
    started_at, ended_at,
    attempted / nullif(epoch(ended_at) - epoch(started_at), 0) AS windows_per_s
FROM counted;
"""

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
]
"""Each version and the SQL that makes it of the one before; oldest first."""


@dataclass(frozen=True)
class Kind:
    """How ingest reads and stores one kind of record.

    Parameters
    ----------
    fields
        SQL type of each field a record may carry, by name. Others are ignored; a missing one is NULL.
    valid
        SQL condition on the fields: a record that does not meet it counts as a broken line.
    insert
        SQL that moves the rows of the table ``good`` (the fields, and shard, shard_offset, batch_id, run_id and
        happened_at of the line) into their tables. No row may meet the same key twice in one statement.
    """

    fields: dict[str, str]
    valid: str
    insert: str


def _upsert(table: str, keys: str, values: dict[str, str], order: str) -> str:
    """Insert ``values`` (column by SQL expression); of rows with equal keys the one latest by ``order`` stays."""
    columns = ", ".join(values)
    expressions = ", ".join(f"{expression} AS {column}" for column, expression in values.items())
    updates = ", ".join(f"{column} = excluded.{column}" for column in values if column not in keys.split(", "))
    return f"""
        INSERT INTO {table} ({columns})
        SELECT {columns} FROM (SELECT {expressions}, shard, shard_offset FROM good)
        QUALIFY row_number() OVER (
            PARTITION BY {keys} ORDER BY {order} DESC, shard DESC, shard_offset DESC
        ) = 1
        ON CONFLICT ({keys}) DO UPDATE SET {updates} WHERE excluded.{order} >= {table}.{order};
    """  # noqa: S608 - every part is a constant of this module


_BATCH = {
    "backfill_id": "VARCHAR",
    "source": "VARCHAR",
    "universe": "VARCHAR",
    "started_at": "TIMESTAMPTZ",
    "settings": "JSON",
    "parameters": "JSON",
    "versions": "JSON",
    "max_failure_rate": "DOUBLE",
    "pid": "INTEGER",
    "workers": "INTEGER",
}
_PLAN = {"model": "VARCHAR", "windows": "VARCHAR[][]"}
_WINDOW_RUN = {
    "backfill_id": "VARCHAR",
    "model": "VARCHAR",
    "universe": "VARCHAR",
    "symbol": "VARCHAR",
    "window_start": "DATE",
    "window_end": "DATE",
    "effective_start": "DATE",
    "effective_end": "DATE",
    "outcome": "VARCHAR",
    "reason": "VARCHAR",
    "failure_kind": "VARCHAR",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    "attempt": "INTEGER",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "duration_s": "DOUBLE",
    "cpu_s": "DOUBLE",
    "train_rows": "INTEGER",
    "valid_rows": "INTEGER",
    "test_rows": "INTEGER",
    "metrics": "JSON",
    "parameters": "JSON",
    "data_fingerprint": "VARCHAR",
    "parameters_fingerprint": "VARCHAR",
    "code_fingerprint": "VARCHAR",
    "trees_fingerprint": "VARCHAR",
    "device": "VARCHAR",
    "early_life": "BOOLEAN",
    "open": "BOOLEAN",
    "model_path": "VARCHAR",
}
_VERDICT = {
    "model": "VARCHAR",
    "check_name": "VARCHAR",
    "passed": "BOOLEAN",
    "failure_rate": "DOUBLE",
    "max_failure_rate": "DOUBLE",
    "trained": "INTEGER",
    "reused": "INTEGER",
    "skipped": "INTEGER",
    "failed": "INTEGER",
    "not_attempted": "INTEGER",
    "evaluated_at": "TIMESTAMPTZ",
}
_EVENT = {
    "level": "VARCHAR",
    "kind": "VARCHAR",
    "symbol": "VARCHAR",
    "window_start": "DATE",
    "message": "VARCHAR",
    "data": "JSON",
}
_END = {"status": "VARCHAR", "ended_at": "TIMESTAMPTZ", "wall_s": "DOUBLE", "cpu_s": "DOUBLE"}
_MODELS = "('teacher', 'student')"


def _same(fields: dict[str, str], **changed: str) -> dict[str, str]:
    own = {"batch_id": "batch_id", "run_id": "run_id"}
    return own | {name: name for name in fields} | changed


KINDS: dict[RecordKind, Kind] = {
    RecordKind.BATCH: Kind(
        fields=_BATCH,
        valid="true",
        insert="""
            INSERT INTO batches (batch_id, status, started_at, backfill_id, source, universe, settings, parameters,
                                 versions, max_failure_rate)
            SELECT batch_id, 'running', min(coalesce(started_at, happened_at)), arg_max(backfill_id, happened_at),
                   arg_max(source, happened_at), arg_max(universe, happened_at), arg_max(settings, happened_at),
                   arg_max(parameters, happened_at), arg_max(versions, happened_at),
                   arg_max(max_failure_rate, happened_at)
            FROM good GROUP BY batch_id
            ON CONFLICT (batch_id) DO UPDATE SET
                started_at = least(batches.started_at, excluded.started_at),
                backfill_id = coalesce(excluded.backfill_id, batches.backfill_id),
                source = coalesce(excluded.source, batches.source),
                universe = coalesce(excluded.universe, batches.universe),
                settings = coalesce(excluded.settings, batches.settings),
                parameters = coalesce(excluded.parameters, batches.parameters),
                versions = coalesce(excluded.versions, batches.versions),
                max_failure_rate = coalesce(excluded.max_failure_rate, batches.max_failure_rate);
            INSERT INTO runs (batch_id, run_id, status, started_at, pid, workers)
            SELECT batch_id, run_id, 'running', min(coalesce(started_at, happened_at)), arg_max(pid, happened_at),
                   arg_max(workers, happened_at)
            FROM good WHERE run_id <> '' GROUP BY batch_id, run_id
            ON CONFLICT (batch_id, run_id) DO UPDATE SET
                started_at = least(runs.started_at, excluded.started_at),
                pid = coalesce(excluded.pid, runs.pid),
                workers = coalesce(excluded.workers, runs.workers);
        """,
    ),
    RecordKind.PLAN: Kind(
        fields=_PLAN,
        valid=f"model IN {_MODELS} AND windows IS NOT NULL AND list_bool_and(list_transform(windows, lambda pair: "
        "len(pair) = 2 AND pair[1] IS NOT NULL AND try_cast(pair[2] AS DATE) IS NOT NULL)) IS NOT FALSE",
        insert="""
            INSERT INTO planned_windows (batch_id, run_id, model, symbol, window_start)
            SELECT batch_id, arg_max(run_id, happened_at), model, pair[1], pair[2]::DATE
            FROM (SELECT batch_id, run_id, happened_at, model, unnest(windows) AS pair FROM good)
            GROUP BY ALL
            ON CONFLICT (batch_id, model, symbol, window_start) DO UPDATE SET run_id = excluded.run_id;
        """,
    ),
    RecordKind.WINDOW_RUN: Kind(
        fields=_WINDOW_RUN,
        valid=f"model IN {_MODELS} AND symbol IS NOT NULL AND window_start IS NOT NULL "
        "AND outcome IN ('trained', 'reused', 'skipped', 'failed')",
        insert=_upsert(
            "window_runs",
            "batch_id, run_id, model, symbol, window_start, attempt",
            _same(_WINDOW_RUN, attempt="coalesce(attempt, 1)", ended_at="coalesce(ended_at, happened_at)"),
            "ended_at",
        ),
    ),
    RecordKind.VERDICT: Kind(
        fields=_VERDICT,
        valid=f"model IN {_MODELS} AND passed IS NOT NULL",
        insert=_upsert(
            "verdicts",
            "batch_id, run_id, model, check_name",
            _same(
                _VERDICT,
                check_name="coalesce(check_name, 'max_failure_rate')",
                evaluated_at="coalesce(evaluated_at, happened_at)",
            ),
            "evaluated_at",
        ),
    ),
    RecordKind.EVENT: Kind(
        fields=_EVENT,
        valid="true",
        insert="""
            INSERT INTO events (happened_at, batch_id, run_id, level, kind, symbol, window_start, message, data,
                                shard, shard_offset)
            SELECT happened_at, batch_id, run_id, coalesce(level, 'info'), kind, symbol, window_start, message, data,
                   shard, shard_offset
            FROM good
            ON CONFLICT DO NOTHING;
        """,
    ),
    RecordKind.END: Kind(
        fields=_END,
        valid="run_id <> '' AND status IN ('succeeded', 'failed', 'interrupted')",
        insert="""
            INSERT INTO runs (batch_id, run_id, started_at, status, ended_at, wall_s, cpu_s)
            SELECT batch_id, run_id, min(happened_at), arg_max(status, happened_at),
                   max(coalesce(ended_at, happened_at)), arg_max(wall_s, happened_at), arg_max(cpu_s, happened_at)
            FROM good GROUP BY batch_id, run_id
            ON CONFLICT (batch_id, run_id) DO UPDATE SET
                status = excluded.status, ended_at = excluded.ended_at, wall_s = excluded.wall_s,
                cpu_s = excluded.cpu_s;
        """,
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
