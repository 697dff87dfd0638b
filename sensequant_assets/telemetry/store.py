"""`telemetry.duckdb`: one idempotent ingest writes it, any number of readers ask it.

DuckDB lets one process write a file or several read it, and refuses everybody else with an error. So every opening of
the file happens under a readers-writer `flock` on a file beside it, which the kernel releases when its holder dies.
filelock's `ReadWriteLock` would do the same through a SQLite database, but refuses to work in a forked child.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.ingest import IngestReport, take_in
from sensequant_assets.telemetry.journal import writer_is_gone
from sensequant_assets.telemetry.schema import SCHEMA_VERSION, layout_version, migrate

_WAIT_S = 30.0
_FRESH_WAIT_S = 0.2

Parameters = Sequence[object] | Mapping[str, object]


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
                migrate(connection, self.database)
                report, finished = take_in(connection, self.shards, state)
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
                        if layout_version(connection, self.database) == SCHEMA_VERSION:
                            yield connection
                            return
                    except duckdb.Error as error:
                        raise UsageError(f"Telemetry cannot answer: {' '.join(str(error).split())}") from error
                    finally:
                        connection.close()
            # The file is missing, half made or of an older version: an ingest puts it right.
            self._seen = None
            if time.monotonic() > deadline or self.ingest(max(0.0, deadline - time.monotonic())).busy:
                raise self._in_use()

    @contextmanager
    def session(self, *, complete: bool = False) -> Iterator[None]:
        """Answer the questions of a block through one opening of the database, as it is at the beginning.

        Parameters
        ----------
        complete
            Wait until all that runs have written is taken in, however long others keep the database; otherwise what
            is there answers.

        Raises
        ------
        UsageError
            As of `connect`.
        """
        if self._session is not None:
            yield
            return
        if complete and self.ingest().busy:
            raise self._in_use()
        with self.connect() as connection:
            self._session = connection
            try:
                yield
            finally:
                self._session = None

    def _in_use(self) -> UsageError:
        return UsageError(
            f"{self.database} stayed in use for {_WAIT_S:.0f} s. Close the program that has it open, "
            "or end its long query, and try again; runs go on meanwhile and nothing is lost."
        )

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

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Answer one question as `query` does, in one dict a row; times are aware."""
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


def _cells(column: "pa.ChunkedArray[Any]") -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    microseconds = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
    return [None if after is None else _EPOCH + timedelta(microseconds=after) for after in microseconds]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
