"""`telemetry.duckdb`: one idempotent ingest writes it, any number of readers ask it.

DuckDB lets one process write a file or several read it, and refuses everybody else with an error. So every opening of
the file happens under a readers-writer `flock` on a file beside it, which the kernel releases when its holder dies.
filelock's `ReadWriteLock` would do the same through a SQLite database, but refuses to work in a forked child.
"""

import fcntl
import glob
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sensequant_assets.errors import BusyError, UsageError
from sensequant_assets.replacing import lock_file
from sensequant_assets.telemetry.archive import keep, kept
from sensequant_assets.telemetry.ingest import READING, WRITING, IngestReport, take_in
from sensequant_assets.telemetry.journal import utc_now, writer_is_gone
from sensequant_assets.telemetry.ordering import ORDER_FILE, begin_after, has_base
from sensequant_assets.telemetry.rebuild import Rebuilt, rebuild
from sensequant_assets.telemetry.schema import LAST_ORDERED, SCHEMA_VERSION, layout_version, migrate
from sensequant_assets.text import file_name

_WAIT_S = 30.0
_OLDER_WAIT_S = 1.0
_STAND_BACK_S = 5.0
"""How long a reader leaves the way to an ingest that waits; no reader of this package keeps the database for longer."""

_HEADERS_BYTES = 3 * 4096
"""What DuckDB begins a file with: one that is no longer holds no row."""

_MAGIC = slice(8, 12), b"DUCK"
"""Where in a file DuckDB says that it is its own, and how."""

_IN_USE = "Could not set lock on file"
"""What DuckDB says where another program has the file open."""

_DAMAGED = re.compile("Corrupt database file|not a valid DuckDB database file|Could not read|Failed to (de)?serialize")
"""What DuckDB says of a file that is cut or overwritten; it has no exception of its own for it."""

Parameters = Sequence[object] | Mapping[str, object]


class DamagedError(UsageError):
    """The database cannot be read; `TelemetryStore.rebuild` makes it anew."""


class TelemetryStore:
    """The telemetry of one installation.

    An answer holds what every shard had when it was asked for, or there is none: whoever decides by it can take "no
    rows" for a fact.

    Parameters
    ----------
    directory
        Holds ``telemetry.duckdb``, ``shards/``, ``archive/`` and lock files; created when first used.
    tell_older
        For people, who would rather see an earlier state than wait: where the database is in use for longer than a
        moment, it answers as it is, and this is told in a sentence how much it lacks. Without it that is an error.
    """

    def __init__(self, directory: Path, tell_older: Callable[[str], None] | None = None) -> None:
        self.directory = directory
        self._tell_older = tell_older
        self._seen: dict[str, tuple[bool, int]] | None = None
        self._session: duckdb.DuckDBPyConnection | None = None

    @property
    def database(self) -> Path:
        """The DuckDB file. Open it through `connect`: opened past the lock, it blocks the ingest."""
        return self.directory / "telemetry.duckdb"

    @property
    def _wal(self) -> Path:
        """Where DuckDB keeps what it has not yet written into the database."""
        return self.database.with_name(f"{self.database.name}.wal")

    @property
    def shards(self) -> Path:
        """Where journals write."""
        return self.directory / "shards"

    @property
    def archive(self) -> Path:
        """Where closed shards are kept, of which the database can be made anew."""
        return self.directory / "archive"

    def tells_of(self, batch_id: str) -> bool:
        """Whether any record of a batch is kept in a shard, which is asked of no database."""
        name = file_name(batch_id)
        living = self.shards.glob(f"{glob.escape(name)}.*.jsonl")
        return any(shard.stat().st_size for shard in living) or (self.archive / name).is_dir()

    def taken_in(self) -> set[str]:
        """Names of the shards that the database has whole; none where it is not there or is damaged.

        Raises
        ------
        BusyError, UsageError
            As of `connect`.
        """
        if not self.database.exists():
            return set()
        try:
            with self.connect() as connection:
                return {name for (name,) in connection.execute("SELECT name FROM shards WHERE complete").fetchall()}
        except DamagedError:
            return set()

    def written(self) -> object:
        """What answers depend on, to be compared: equal for as long as nobody writes; None before anybody has."""
        if not self.directory.exists():
            return None
        database = self.database.stat() if self.database.exists() else None
        return self._state(), database and (database.st_ino, database.st_mtime_ns, database.st_size)

    def ingest(self, wait_s: float = _WAIT_S) -> IngestReport:
        """Move what runs have written into the database.

        Idempotent: rows and the place reached in each shard are committed together. Shards that their writer closed
        move to the archive after the commit.

        Parameters
        ----------
        wait_s
            How long to wait for readers and other ingests.

        Raises
        ------
        DamagedError
            The database is damaged, or lost while the archive is there.
        UsageError
            The database is of a newer version.
        """
        if self._seen is not None and self.database.exists() and self._state() == self._seen:
            return IngestReport()
        deadline = time.monotonic() + wait_s
        with self._locked(fcntl.LOCK_EX, deadline) as locked:
            if not locked:
                return IngestReport(busy=True)
            return self._take_in(deadline)

    def _take_in(self, deadline: float) -> IngestReport:
        """Ingest under the lock."""
        if self._is_unmade() and any(kept(self.archive)):
            raise self._damaged(f"holds nothing, though {self.archive} keeps shards that it had taken in")
        state = self._state()
        connection = self._open(read_only=False, deadline=deadline)
        if connection is None:
            return IngestReport(busy=True)
        try:
            migrate(connection, self.database)
            report, finished = take_in(connection, self.shards, state)
            self._keep_order(connection)
        except duckdb.Error as error:
            if damage := self._as_damage(error):
                raise damage from error
            raise
        finally:
            connection.close()
        for name in finished:
            # What cannot be moved stays, and a later ingest tries again.
            with suppress(OSError, UsageError):
                keep(self.shards / name, self.archive)
                state.pop(name)
        self._seen = state
        return report

    def _keep_order(self, connection: duckdb.DuckDBPyConnection) -> None:
        """See that what is written from here on comes after all rows, though the file that says so is lost."""
        file = self.directory / ORDER_FILE
        if not has_base(file):
            ((last,),) = connection.execute(LAST_ORDERED).fetchall()
            if last is not None:
                begin_after(file, _EPOCH + timedelta(microseconds=last), utc_now)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Keep the database, and which shards there are, as they are for a block, with all that shards had at first.

        Runs go on meanwhile: the shards of living writers grow.

        Raises
        ------
        BusyError, UsageError
            As of `connect`.
        """
        with self.connect():
            yield

    def require(self) -> None:
        """See that rows can be taken in, before work begins whose rows they will be.

        A database that is in use counts as one that can: the work takes longer than its reader.

        Raises
        ------
        UsageError
            As of `ingest`.
        """
        self._seen = None
        self.ingest(wait_s=0)

    def rebuild(self, tell: Callable[[int, int], None] = lambda _done, _all: None) -> Rebuilt:
        """Make the database anew from the archive and the shards that are still written.

        A new file takes the place of the old one once it is whole. Rows of batches that the archive does not hold are
        taken from the old one where it can be read; where it cannot, it is put aside.

        Parameters
        ----------
        tell
            Called with how many bytes of the shards are taken in, and of how many.

        Raises
        ------
        BusyError
            The database stays in use.
        UsageError
            It is of a newer version.
        """
        deadline = time.monotonic() + _WAIT_S
        with self._locked(fcntl.LOCK_EX, deadline) as locked:
            if not locked:
                raise self._in_use()
            self._seen = None
            aside = self._put_aside(self._wal) if self._log_is_strange() else []
            old, current = None if self._is_unmade() else self.database, False
            if old:
                try:
                    if self._take_in(deadline).busy:
                        raise self._in_use()
                    current = True
                except DamagedError:
                    old = old if old.is_file() else None
            place = Path(os.path.realpath(self.database))
            new = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}")
            try:
                rebuilt = rebuild(new, self.archive, self.shards, self._state(), old, current=current, tell=tell)
                aside += [] if current and rebuilt.old_is_whole else self._put_aside(place)
                # Of a database whose rows are all in the new one; it must not be taken for the new one's.
                self._wal.unlink(missing_ok=True)
                new.replace(place)
            finally:
                for left in (new, new.with_name(f"{new.name}.wal")):
                    left.unlink(missing_ok=True)
        return replace(rebuilt, aside=aside)

    def _put_aside(self, place: Path) -> list[Path]:
        """Move a damaged database, and what belongs to it, to names that are free; gives these."""
        number = 1
        while os.path.lexists(place.with_name(f"{place.name}.damaged-{number}")):
            number += 1
        moved = []
        for suffix in ("", ".wal"):
            found = place.with_name(f"{place.name}{suffix}")
            if os.path.lexists(found):
                moved.append(found.rename(place.with_name(f"{place.name}.damaged-{number}{suffix}")))
        return moved

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database read only, closed to files and other databases, with all that shards had when asked.

        While it is open no ingest can run, so ask and leave; runs are not held up, they only append to shards.
        Errors of DuckDB inside the block become `UsageError`.

        Raises
        ------
        BusyError
            Readers or another program kept the database for half a minute.
        UsageError
            The statement is wrong or would write, or the database is of a newer version.
        """
        deadline = time.monotonic() + _WAIT_S
        older = self._tell_older is not None and self.database.exists()
        behind = self.ingest(_OLDER_WAIT_S if older else _WAIT_S).busy
        if behind and not older:
            raise self._in_use()
        while True:
            with self._locked(fcntl.LOCK_SH, deadline) as locked:
                found = locked and not self._is_unmade()
                connection = self._open(read_only=True, deadline=deadline) if found else None
                if connection is not None:
                    try:
                        if layout_version(connection, self.database) == SCHEMA_VERSION:
                            if behind:
                                self._tell_what_waits(connection)
                            yield connection
                            return
                    except duckdb.Error as error:
                        said = UsageError(f"Telemetry cannot answer: {' '.join(str(error).split())}")
                        raise self._as_damage(error) or said from error
                    finally:
                        connection.close()
            # The file is missing, half made or of an older version: an ingest puts it right.
            self._seen = None
            if time.monotonic() > deadline or self.ingest(max(0.0, deadline - time.monotonic())).busy:
                raise self._in_use()
            behind = False

    @contextmanager
    def session(self) -> Iterator[None]:
        """Answer the questions of a block through one opening of the database, as it is at the beginning.

        Raises
        ------
        BusyError, UsageError
            As of `connect`.
        """
        if self._session is not None:
            yield
            return
        with self.connect() as connection, self._asked(connection):
            yield

    @contextmanager
    def copy(self) -> Iterator[None]:
        """Answer the questions of a block from a copy of the database, so that they hold up no ingest.

        The copy takes its bytes among the temporary files, until the end of the block or the process.

        Raises
        ------
        BusyError, UsageError
            As of `connect`.
        OSError
            There is no room for the copy.
        """
        with tempfile.TemporaryDirectory(prefix="sensequant-", ignore_cleanup_errors=True) as directory:
            copied = Path(directory) / self.database.name
            with self.connect():
                # What an ingest that was killed has committed lies in the log beside the file.
                for suffix in ("", ".wal"):
                    with suppress(FileNotFoundError) if suffix else nullcontext():
                        shutil.copyfile(f"{self.database}{suffix}", f"{copied}{suffix}")
            try:
                connection = duckdb.connect(copied, read_only=True, config=READING)
            except duckdb.Error as error:
                raise self._as_damage(error) or UsageError(f"{self.database} cannot be opened: {error}") from error
            connection.execute("SET TimeZone = 'UTC'")
            # The connection keeps the bytes; a process that is killed leaves none of them.
            for path in Path(directory).iterdir():
                path.unlink()
            try:
                with self._asked(connection):
                    yield
            except duckdb.Error as error:
                raise UsageError(f"Telemetry cannot answer: {' '.join(str(error).split())}") from error
            finally:
                connection.close()

    @contextmanager
    def _asked(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        self._session = connection
        try:
            yield
        finally:
            self._session = None

    def _tell_what_waits(self, connection: duckdb.DuckDBPyConnection) -> None:
        taken = dict(connection.execute("SELECT name, offset_bytes FROM shards").fetchall())
        waiting = [size - taken.get(name, 0) for name, (_, size) in self._state().items() if size > taken.get(name, 0)]
        if waiting and self._tell_older:
            shards = "1 shard" if len(waiting) == 1 else f"{len(waiting)} shards"
            self._tell_older(
                f"As of an earlier state: {sum(waiting):,} bytes of {shards} wait to be taken in, because "
                f"{self.database} is in use. Ask again for what is missing; nothing is lost."
            )

    def _is_unmade(self) -> bool:
        """Whether there is no database yet, or one that a kill or a full disk left before its first row."""
        if not self.database.is_file():
            return not self.database.exists()
        begin = self._begin()
        return len(begin) <= _HEADERS_BYTES and (begin[_MAGIC[0]] == _MAGIC[1] or not begin.strip(b"\0"))

    def _log_is_strange(self) -> bool:
        """Whether something is in the place of DuckDB's log that DuckDB would wait for, or write into."""
        return os.path.lexists(self._wal) and not self._wal.is_file()

    def _begin(self) -> bytes:
        with self.database.open("rb") as file:
            return file.read(_HEADERS_BYTES + 1)

    def _as_damage(self, error: duckdb.Error) -> DamagedError | None:
        """What an error of DuckDB says of the file; None if it is the fault of something else."""
        told = " ".join(str(error).split())
        damaged = isinstance(error, (duckdb.SerializationException, duckdb.FatalException)) or _DAMAGED.search(told)
        return self._damaged(f"is damaged ({told})") if damaged else None

    def _damaged(self, why: str) -> DamagedError:
        return DamagedError(
            f"{self.database} {why}. `sensequant telemetry rebuild` makes it anew from the shards that are kept; "
            "what is there is put aside."
        )

    def _in_use(self) -> BusyError:
        return BusyError(
            f"{self.database} stayed in use for {_WAIT_S:.0f} s. Close the program that has it open, "
            "or end its long query, and try again; runs go on meanwhile and nothing is lost."
        )

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Answer one question.

        Parameters
        ----------
        sql
            One SELECT, EXPLAIN, DESCRIBE, SHOW or SUMMARIZE.
        parameters
            Values of its ``?`` or ``$name`` places.

        Returns
        -------
        pyarrow.Table
            Times are in UTC. JSON columns are text, and so are values that Arrow has no type for: a time of a zone,
            bits, and integers beyond 127 bits.

        Raises
        ------
        BusyError, UsageError
            As of `connect`.
        """
        with nullcontext(self._session) if self._session else self.connect() as connection:
            statements = connection.extract_statements(sql)
            kinds = [statement.type.name for statement in statements]
            if kinds not in (["SELECT"], ["EXPLAIN"]):
                asked = " and ".join(kinds) or "an empty statement"
                raise UsageError(
                    f"Telemetry is read only: it takes one statement that selects, not {asked}. "
                    "Ask with SELECT, DESCRIBE, SHOW or EXPLAIN; rows come from runs alone."
                )
            answer = connection.sql(statements[0], params=parameters)
            casts = [_as_text(str(kind)) for kind in answer.types]
            if any(casts):
                # By number: two columns may have one name.
                columns = enumerate(zip(casts, answer.columns, strict=True), 1)
                answer = answer.project(", ".join(f"#{n}{cast} AS {_quoted(name)}" for n, (cast, name) in columns))
            table: pa.Table = answer.to_arrow_table()
        return table

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Answer one question as `query` does, in one dict a row; times are aware, but of bars."""
        table = self.query(sql, parameters)
        columns = [_cells(column) for column in table.columns]
        return [dict(zip(table.column_names, cells, strict=True)) for cells in zip(*columns, strict=True)]

    @contextmanager
    def _locked(self, how: int, deadline: float) -> Iterator[bool]:
        """Hold the lock, shared or exclusive; gives False when it could not be had by the deadline.

        Who wants it for itself alone announces that by a second lock, at which those who would share it stand back for
        a while: readers that come one after another would otherwise leave no moment between them.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        directory = self.directory
        with lock_file(directory / "telemetry.lock") as lock, lock_file(directory / "telemetry.next.lock") as announced:
            alone = how == fcntl.LOCK_EX
            stand_back = deadline if alone else min(deadline, time.monotonic() + _STAND_BACK_S)
            first = _flock(announced, how, stand_back)
            if first and not alone:
                fcntl.flock(announced, fcntl.LOCK_UN)
            locked = (first or not alone) and _flock(lock, how, deadline)
            if first and alone:
                fcntl.flock(announced, fcntl.LOCK_UN)
            try:
                yield locked
            finally:
                # A child forked meanwhile shares the lock: closing alone would leave it held.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _open(self, *, read_only: bool, deadline: float) -> duckdb.DuckDBPyConnection | None:
        """Open the database; None when another program, past our lock, keeps it beyond the deadline."""
        config = READING if read_only else WRITING
        if self.database.exists() and not self.database.is_file():
            raise self._damaged("is no regular file")
        if self._log_is_strange():
            raise self._damaged(f"cannot be opened: its log, {self._wal}, is no regular file")
        # DuckDB looks for extensions that could read what is another program's.
        if not self._is_unmade() and self._begin()[_MAGIC[0]] != _MAGIC[1]:
            raise self._damaged("is no DuckDB database")
        while True:
            try:
                connection = duckdb.connect(self.database, read_only=read_only, config=config)
                break
            except duckdb.Error as error:
                if _IN_USE not in str(error):
                    damage = self._as_damage(error)
                    if damage and not read_only and self._is_unmade():
                        # What it had not made yet is made here.
                        self.database.unlink()
                        self._wal.unlink(missing_ok=True)
                        continue
                    raise damage or UsageError(f"{self.database} cannot be opened: {error}") from error
                if time.monotonic() >= deadline:
                    return None
            time.sleep(0.05)
        connection.execute("SET TimeZone = 'UTC'")
        # A file that is cut opens, and tells so when a row is asked for that it has lost.
        ((used,),) = connection.execute("SELECT used_blocks * block_size FROM pragma_database_size()").fetchall()
        if self.database.stat().st_size < _HEADERS_BYTES + used:
            connection.close()
            raise self._damaged("is cut short")
        return connection

    def _state(self) -> dict[str, tuple[bool, int]]:
        """Whether each shard's writer is gone, and how many bytes the shard then has."""
        state = {}
        for path in sorted(self.shards.glob("*.jsonl")):
            # Whatever else has such a name is nobody's journal, and a pipe would be waited for.
            if not path.is_file():
                continue
            with suppress(FileNotFoundError):
                # In this order: the size of a shard whose writer is gone is final.
                state[path.name] = (writer_is_gone(path), path.stat().st_size)
        return state


def _flock(fd: int, how: int, deadline: float) -> bool:
    """Take a lock, shared or exclusive; False when it could not be had by the deadline."""
    pause = 0.002
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        else:
            return True
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _cells(column: "pa.ChunkedArray[Any]") -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    microseconds = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
    epoch = _EPOCH if column.type.tz else _EPOCH.replace(tzinfo=None)
    return [None if after is None else epoch + timedelta(microseconds=after) for after in microseconds]


_WITHOUT_ARROW = re.compile(r"\b(UHUGEINT|BIGNUM|BIT|TIME WITH TIME ZONE)\b")
"""Types that DuckDB hands to Arrow as another, whose values then are wrong or lack a part."""


def _as_text(kind: str) -> str:
    """The cast that a column of a type needs to become Arrow's; none mostly, and none where a type quotes values."""
    fit = kind if "'" in kind else _WITHOUT_ARROW.sub("VARCHAR", kind)
    return "" if fit == kind else f"::{fit}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
