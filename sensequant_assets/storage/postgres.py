"""Dagster's PostgreSQL storage over pooled connections.

dagster-postgres connects anew for every call. Here the storages of one process share one small pool for each
database, and events are stored in one transaction with what they change in the index.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine

from sensequant_assets.errors import UsageError
from sensequant_assets.storage import dagster_private as private
from sensequant_assets.storage.indexing import store_indexed

try:
    from dagster_postgres import (
        DagsterPostgresStorage,
        PostgresEventLogStorage,
        PostgresRunStorage,
        PostgresScheduleStorage,
    )
    from dagster_postgres.utils import (
        DagsterPostgresException,
        create_pg_engine,
        get_token_provider_from_config,
        pg_url_from_config,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        "The PostgreSQL storage needs dagster-postgres: pip install 'sensequant-assets[postgres]'."
    ) from error

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider

    from sensequant_assets.storage.dagster_private import ConfigurableClassData

# Two connections stay open in each process; a burst of threads may open eighteen more, closed after use.
_POOL_SIZE, _MAX_OVERFLOW = 2, 18
_Storage = TypeVar("_Storage")

# Parameters of the stock methods that are overridden or called here.
_SIGNATURES = {
    "__init__": ["self", "postgres_url", "should_autocreate_tables", "inst_data", "token_provider"],
    "_connect": ["self"],
    "_event_to_row": ["self", "event"],
    "_get_asset_entry_values": ["self", "event", "event_id", "has_asset_key_index_cols"],
    "_store_asset_event_tags": ["self", "conn", "events", "event_ids"],
    "dispose": ["self"],
    "has_secondary_index": ["self", "name"],
    "has_table": ["self", "table_name"],
    "index_connection": ["self"],
    "index_transaction": ["self"],
    "store_asset_check_event": ["self", "event", "event_id"],
    "store_event": ["self", "event"],
    "store_event_batch": ["self", "events"],
}
# What the stock methods that are replaced here refer to.
_BODIES = {
    "store_event": "ASSET_CHECK_EVENTS ASSET_EVENTS CHANNEL_NAME DagsterInvariantViolationError EventLogEntry"
    " SqlEventLogStorageTable _connect _store_asset_event _store_asset_event_tags asset_key c check close dagster_event"
    " dagster_event_type db execute fetchone id index_transaction inst_param int is_dagster_event prepare_insert_event"
    " returning run_id store_asset_check_event str text",
    "_store_asset_event": "ASSET_KEY_INDEX_COLS AssetKeyTable _get_asset_entry_values asset_key c dagster_event dict"
    " execute has_secondary_index insert on_conflict_do_nothing on_conflict_do_update postgresql to_string values",
}
# Private attributes in which the stock classes keep what is replaced here.
_SET = {
    PostgresEventLogStorage: ["_engine"],
    PostgresRunStorage: ["_engine"],
    PostgresScheduleStorage: ["_engine"],
    DagsterPostgresStorage: ["_event_log_storage", "_run_storage", "_schedule_storage"],
}


def psycopg2_url(url: str) -> str:
    """Name the driver that dagster-postgres is written for; SQLAlchemy 2.1 picks another for a plain URL.

    Parameters
    ----------
    url
        Of a PostgreSQL database.

    Returns
    -------
    str
        The same URL as `postgresql+psycopg2://`, whatever driver it named.

    Examples
    --------
    >>> psycopg2_url("postgresql://dagster:secret@localhost/runs")
    'postgresql+psycopg2://dagster:secret@localhost/runs'
    """
    return "postgresql+psycopg2://" + url.partition("://")[2]


@cache
def _pooled_engine(url: str, token_provider: "PgTokenProvider | None") -> Engine:
    engine = create_pg_engine(
        url,
        token_provider,
        isolation_level="AUTOCOMMIT",
        pool_size=_POOL_SIZE,
        max_overflow=_MAX_OVERFLOW,
        pool_pre_ping=True,
        pool_recycle=1800,
    )
    if hasattr(os, "register_at_fork"):  # absent on Windows, which has no fork
        os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    return engine


def _arguments(config_value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "postgres_url": psycopg2_url(pg_url_from_config(config_value)),
        "should_autocreate_tables": config_value.get("should_autocreate_tables", True),
        "token_provider": get_token_provider_from_config(config_value),
    }


def unsupported_reason() -> str | None:
    """Tell why the pooled storages cannot stand in for those of the installed dagster-postgres.

    Returns
    -------
    str or None
        What is changed and what is done instead, or None when everything that they build on is as they expect.
    """
    found = private.changed(PostgresEventLogStorage, _SIGNATURES, _BODIES)
    for stock, attributes in _SET.items():
        for attribute in attributes:
            if not found and attribute not in stock.__init__.__code__.co_names:
                found = f"changed {stock.__name__}: it has no {attribute}"
    return private.POOLED.closed or (found and private.POOLED.because(found))


def _made(
    pooled: Callable[..., _Storage],
    stock: Callable[..., _Storage],
    inst_data: "ConfigurableClassData | None",
    config_value: Mapping[str, Any],
) -> _Storage:
    """Make a storage of its configuration, or say in one sentence why its database cannot be used."""
    private.look_sooner()
    reason = unsupported_reason()
    if reason:
        warnings.warn(reason, stacklevel=3)
    try:
        return (stock if reason else pooled)(inst_data=inst_data, **_arguments(config_value))
    except DagsterPostgresException as error:
        # What the driver said stands below SQLAlchemy's words; neither has the password.
        said = str(getattr(error.__cause__, "orig", error)).strip().partition("\n")[0]
        raise UsageError(f"The PostgreSQL database of dagster.yaml cannot be used: {said}") from error


class PooledPostgresEventLogStorage(PostgresEventLogStorage):
    """Event log in PostgreSQL over the process's pool.

    Parameters
    ----------
    postgres_url
        Of the database, with any or no driver.
    should_autocreate_tables
        Create missing tables.
    inst_data
        How Dagster configured this object.
    token_provider
        Gives passwords that expire.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: "ConfigurableClassData | None" = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        self._storing = threading.local()
        self._known_tables: set[str] = set()
        super().__init__(psycopg2_url(postgres_url), should_autocreate_tables, inst_data, token_provider)
        self._engine = _pooled_engine(self.postgres_url, token_provider)

    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's base class promises this very class
        cls, inst_data: "ConfigurableClassData | None", config_value: Mapping[str, Any]
    ) -> PostgresEventLogStorage:
        """Make the storage that `dagster.yaml` names, or the stock one, with a warning, where it cannot work."""
        return _made(cls, PostgresEventLogStorage, inst_data, config_value)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event."""
        self._store([event])

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in one transaction; all of them or none."""
        dropped = dg.DagsterEventType.ASSET_FAILED_TO_MATERIALIZE  # as dagster-postgres drops it from batches
        self._store([event for event in events if event.dagster_event_type != dropped])

    def _store(self, events: Sequence[dg.EventLogEntry]) -> None:
        if not events:
            return
        dated = self.has_secondary_index(private.ASSET_KEY_INDEX_COLS)
        rows = [(event, self._event_to_row(event)) for event in events]
        with self.index_transaction() as connection:
            self._storing.connection = connection
            try:
                store_indexed(self, connection, rows, dated=dated, insert=postgresql.insert, bare_keys=True)
            finally:
                del self._storing.connection

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        joined = getattr(self._storing, "connection", None)
        if joined is not None:
            yield joined
            return
        with super()._connect() as connection:
            yield connection

    def has_table(self, table_name: str) -> bool:
        """Tell whether a table exists; a table once seen is not looked for again."""
        if table_name not in self._known_tables:
            if not super().has_table(table_name):
                return False
            self._known_tables.add(table_name)
        return True

    def dispose(self) -> None:
        """Stop watching and close the unused connections."""
        super().dispose()
        self._engine.dispose()


class PooledPostgresRunStorage(PostgresRunStorage):
    """Run storage in PostgreSQL over the process's pool; parameters as of `PooledPostgresEventLogStorage`."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: "ConfigurableClassData | None" = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        super().__init__(psycopg2_url(postgres_url), should_autocreate_tables, inst_data, token_provider)
        self._engine = _pooled_engine(self.postgres_url, token_provider)

    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's base class promises this very class
        cls, inst_data: "ConfigurableClassData | None", config_value: Mapping[str, Any]
    ) -> PostgresRunStorage:
        """Make the storage that `dagster.yaml` names, or the stock one, with a warning, where it cannot work."""
        return _made(cls, PostgresRunStorage, inst_data, config_value)


class PooledPostgresScheduleStorage(PostgresScheduleStorage):
    """Schedule storage in PostgreSQL over the process's pool; parameters as of `PooledPostgresEventLogStorage`."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: "ConfigurableClassData | None" = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        super().__init__(psycopg2_url(postgres_url), should_autocreate_tables, inst_data, token_provider)
        self._engine = _pooled_engine(self.postgres_url, token_provider)

    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's base class promises this very class
        cls, inst_data: "ConfigurableClassData | None", config_value: Mapping[str, Any]
    ) -> PostgresScheduleStorage:
        """Make the storage that `dagster.yaml` names, or the stock one, with a warning, where it cannot work."""
        return _made(cls, PostgresScheduleStorage, inst_data, config_value)


class PooledPostgresStorage(DagsterPostgresStorage):
    """All three storages in one database; parameters as of `PooledPostgresEventLogStorage`."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: "ConfigurableClassData | None" = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        url = psycopg2_url(postgres_url)
        super().__init__(url, should_autocreate_tables, inst_data, token_provider)
        self._event_log_storage = PooledPostgresEventLogStorage(url, False, token_provider=token_provider)
        self._run_storage = PooledPostgresRunStorage(url, False, token_provider=token_provider)
        self._schedule_storage = PooledPostgresScheduleStorage(url, False, token_provider=token_provider)

    @classmethod
    def from_config_value(  # type: ignore[override]  # Dagster's base class promises this very class
        cls, inst_data: "ConfigurableClassData | None", config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        """Make the storage that `dagster.yaml` names, or the stock one, with a warning, where it cannot work."""
        return _made(cls, DagsterPostgresStorage, inst_data, config_value)
