"""Dagster's SQLite event log over kept connections.

It reads and writes the files of the stock class, which can take over at any time.
"""

import fcntl
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as db
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection, Engine

from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import lock_file, replacing
from sensequant_assets.storage import dagster_private as private
from sensequant_assets.storage.indexing import insert_events, store_indexed
from sensequant_assets.storage.pool import ConnectionPool, sqlite_engine

if TYPE_CHECKING:
    from sensequant_assets.storage.dagster_private import ConfigurableClassData, UserConfigSchema

_INDEX = "index"
_VERSION = "alembic_version"
_RUN_ENDS = {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}

# Parameters of the stock methods that are overridden or called here.
_SIGNATURES = {
    "__init__": ["self", "base_dir", "inst_data"],
    "_connect": ["self", "shard"],
    "_event_to_row": ["self", "event"],
    "_get_asset_entry_values": ["self", "event", "event_id", "has_asset_key_index_cols"],
    "_has_asset_key_col_on_connection": ["self", "conn", "column_name"],
    "_has_asset_key_index_cols_on_connection": ["self", "conn"],
    "_initdb": ["self", "engine", "for_index_shard"],
    "_store_asset_event_tags": ["self", "conn", "events", "event_ids"],
    "conn_string_for_shard": ["self", "shard_name"],
    "delete_events": ["self", "run_id"],
    "dispose": ["self"],
    "has_table": ["self", "table_name"],
    "index_connection": ["self"],
    "path_for_shard": ["self", "run_id"],
    "run_connection": ["self", "run_id"],
    "store_asset_check_event": ["self", "event", "event_id"],
    "store_event": ["self", "event"],
    "store_event_batch": ["self", "events"],
    "wipe": ["self"],
}
# What the stock methods that are replaced here refer to: another name means that another thing is written.
_BODIES = {
    "store_event": "ASSET_CHECK_EVENTS ASSET_EVENTS DagsterInvariantViolationError EVENT_TYPE_TO_PIPELINE_RUN_STATUS"
    " EventLogEntry _store_asset_event _store_asset_event_tags check dagster_event_type db_result execute"
    " index_connection index_transaction inserted_primary_key inst_param is_dagster_event prepare_insert_event"
    " run_connection run_id store_asset_check_event",
    "_store_asset_event": "AssetKeyTable IntegrityError _get_asset_entry_values"
    " _has_asset_key_index_cols_on_connection asset_key c dagster_event db_exc execute insert to_string update values"
    " where",
    "_connect": "NullPool SQLITE_BUSY_TIMEOUT_SECONDS _db_lock _initdb _initialized_dbs add begin check"
    " conn_string_for_shard connect create_engine dispose str_param",
}


def unsupported_reason() -> str | None:
    """Tell why the pooled event log cannot stand in for the installed Dagster's own.

    Returns
    -------
    str or None
        What is changed and what is done instead, or None when everything that `PooledSqliteEventLogStorage` builds on
        is as it expects.
    """
    found = private.changed(private.SqliteEventLogStorage, _SIGNATURES, _BODIES)
    return private.POOLED.closed or (found and private.POOLED.because(found))


def _base_dir(config: Mapping[str, Any]) -> str:
    home = os.environ.get("DAGSTER_HOME")
    if not config.get("base_dir") and not home:
        raise UsageError(
            "event_log_storage in dagster.yaml names no base_dir and DAGSTER_HOME is not set. Set one of them."
        )
    return str(config.get("base_dir") or Path(str(home), "history", "runs"))


class PooledSqliteEventLogStorage(private.SqliteEventLogStorage):
    """Event log in one SQLite file a run and an index, over connections that stay open.

    A run's file is kept open while this process stores its events, and closed when the run ends, so that no
    write-ahead log is left beside it.

    Parameters
    ----------
    base_dir
        Directory of the files.
    inst_data
        How Dagster configured this object.
    """

    def __init__(self, base_dir: str, inst_data: "ConfigurableClassData | None" = None) -> None:
        index_path = str(Path(base_dir).absolute() / f"{_INDEX}.db")
        self._pool = ConnectionPool(pinned=index_path)
        self._known_tables: set[str] = set()
        self._known_columns: set[str] = set()
        self._mirrored = (
            private.ASSET_EVENTS | private.ASSET_CHECK_EVENTS | private.EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys()
        )
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> "UserConfigSchema":
        """Accept `base_dir`; without it the stock place under DAGSTER_HOME is used."""
        return {"base_dir": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(  # type: ignore[override]  # the stock signature names a TypedDict that requires base_dir
        cls, inst_data: "ConfigurableClassData | None", config_value: Mapping[str, Any]
    ) -> private.SqliteEventLogStorage:
        """Make the storage that `dagster.yaml` names, or the stock one, with a warning, where it cannot work."""
        base_dir = _base_dir(config_value)
        private.look_sooner()
        reason = unsupported_reason()
        if reason:
            warnings.warn(reason, stacklevel=2)
            return private.SqliteEventLogStorage(base_dir, inst_data)
        return cls(base_dir, inst_data)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event."""
        self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in one transaction of the index and one of each run's file; all of them or none."""
        rows = [self._event_to_row(event) for event in events]
        by_run: dict[str, list[dict[str, Any]]] = {}
        for event, row in zip(events, rows, strict=True):
            by_run.setdefault(event.run_id, []).append(row)
        mirrored = [
            (event, row) for event, row in zip(events, rows, strict=True) if event.dagster_event_type in self._mirrored
        ]
        with ExitStack() as runs:
            # Runs first and in order, the index last: no two processes wait for each other.
            for run_id in sorted(by_run):
                runs.enter_context(self._connect(run_id, keep=True)).execute(insert_events(), by_run[run_id])
            if mirrored:
                with self.index_connection() as connection:
                    store_indexed(
                        self,
                        connection,
                        mirrored,
                        dated=self._has_asset_key_index_cols_on_connection(connection),
                        insert=sqlite.insert,
                    )
        for run_id in by_run:
            # A commit changes only the write-ahead log; watchers look at the file itself.
            with suppress(FileNotFoundError):
                os.utime(self.path_for_shard(run_id))
        for event in events:
            if event.dagster_event_type in _RUN_ENDS:
                self._pool.close(self.path_for_shard(event.run_id))

    @contextmanager
    def _connect(self, shard: str, keep: bool = False) -> Iterator[Connection]:
        path = self.path_for_shard(shard)
        with self._pool.connection(path, lambda: self._open(shard), keep=keep or shard == _INDEX) as connection:
            yield connection

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        with self._making(), engine.connect() as connection:
            # As the stock method, which loads every migration of Dagster's history to find that out.
            versioned = connection.dialect.has_table(connection, _VERSION)
            if versioned and connection.scalar(db.text(f"SELECT count(*) FROM {_VERSION}")):  # noqa: S608  # a constant
                return
            connection.close()
            super()._initdb(engine, for_index_shard)

    @contextmanager
    def _making(self) -> Iterator[None]:
        # Of two processes that make the tables at once, one takes those of the other for an old version's and notes so;
        # with two versions noted, no process opens the file again.
        with lock_file(Path(self._base_dir, "making.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _open(self, shard: str) -> Connection:
        engine = sqlite_engine(self.conn_string_for_shard(shard))
        path = Path(self.path_for_shard(shard))
        if shard not in self._initialized_dbs or not path.exists():
            if shard != _INDEX and not path.exists():
                self._copy_empty(path)
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine.connect()

    def _copy_empty(self, path: Path) -> None:
        """Make a run's file as a copy of an empty one: making its tables anew takes as long as a dozen windows."""
        empty = Path(self._base_dir, f"empty-{dg.__version__}.sqlite")
        if not empty.exists():
            with replacing(empty) as temporary:
                self._initdb(sqlite_engine(f"sqlite:///{temporary}"))
        with self._making():
            if not path.exists():
                with replacing(path) as temporary:
                    shutil.copyfile(empty, temporary)

    def has_table(self, table_name: str) -> bool:
        """Tell whether the index has a table; a table once seen is not looked for again."""
        if table_name not in self._known_tables:
            with self.index_connection() as connection:
                if not connection.dialect.has_table(connection, table_name):
                    return False
            self._known_tables.add(table_name)
        return True

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if column_name not in self._known_columns:
            if not super()._has_asset_key_col_on_connection(conn, column_name):
                return False
            self._known_columns.add(column_name)
        return True

    def wipe(self) -> None:
        """Delete every event."""
        with self._pool.lock:
            self._pool.close()
            super().wipe()

    def delete_events(self, run_id: str) -> None:
        """Delete the events of a run."""
        super().delete_events(run_id)
        self._pool.close(self.path_for_shard(run_id))

    def dispose(self) -> None:
        """Stop watching and close every file."""
        super().dispose()
        self._pool.close()
