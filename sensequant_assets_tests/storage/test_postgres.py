"""The pooled PostgreSQL storage, against a real server that these tests start on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorage

from sensequant_assets_tests.storage.sample_events import (
    STUDENT,
    TEACHER,
    check_evaluated,
    check_planned,
    materialized,
    whole_run,
)
from sensequant_assets_tests.storage.test_sqlite import CLOCK_COLUMNS, materialize_four_partitions

dagster_postgres = pytest.importorskip("dagster_postgres", reason="pip install 'sensequant-assets[postgres]'")

from sensequant_assets.storage.postgres import (  # noqa: E402  # only after its extra is known to be there
    PooledPostgresEventLogStorage,
    psycopg2_url,
)


def server_binary(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else shutil.which(name)


def start_server(directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start PostgreSQL on a free port of loopback; it refuses to run as root."""
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(directory, user)
    arguments = ["--auth=trust", "--username=dagster", "--no-sync", "-D", str(directory / "data")]
    subprocess.run(
        [str(server_binary("initdb")), *arguments], user=user, check=True, capture_output=True, cwd=directory
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(directory), "-F", "-D", str(directory / "data")]
    server = subprocess.Popen(
        [str(server_binary("postgres")), *options], user=user, stderr=subprocess.DEVNULL, cwd=directory
    )
    return server, f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Host and port of a server with no databases of ours."""
    if not server_binary("initdb") or not server_binary("postgres"):
        pytest.skip("no PostgreSQL server binaries; on Debian: apt-get install postgresql")
    # Not under pytest's own directory, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as directory:
        process, address = start_server(Path(directory))
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(tuple(address.split(":")), 1).close()
                administrator(address).connect().close()
                break
            except (OSError, db.exc.OperationalError):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield address
        process.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for clients
        process.wait(20)


def administrator(address: str) -> db.Engine:
    return db.create_engine(
        f"postgresql+psycopg2://dagster@{address}/postgres",
        poolclass=db.NullPool,
        isolation_level="AUTOCOMMIT",
    )


@pytest.fixture
def database(server: str) -> str:
    """Plain URL of an empty database."""
    with administrator(server).connect() as connection:
        count = connection.scalar(db.text("SELECT count(*) FROM pg_database"))
        connection.execute(db.text(f"CREATE DATABASE d{count}"))
    return f"postgresql://dagster@{server}/d{count}"


def connections(url: str) -> int:
    engine = administrator(url.partition("@")[2].partition("/")[0])
    with engine.connect() as connection:
        return int(
            connection.scalar(
                db.text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"),
                {"name": url.rpartition("/")[2]},
            )
        )


def table_rows(url: str, table: str) -> list[tuple[Any, ...]]:
    """Rows without ids that a transaction of another shape numbers differently."""
    engine = db.create_engine(psycopg2_url(url), poolclass=db.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(db.text(f"SELECT * FROM {table}")).mappings().all()
    ids = {"id"} if table == "asset_keys" else set()
    return sorted(
        tuple(
            str((value is not None) if key in CLOCK_COLUMNS else value) for key, value in row.items() if key not in ids
        )
        for row in rows
    )


TABLES = ["event_logs", "asset_keys", "asset_event_tags", "asset_check_executions"]


@pytest.mark.parametrize("batched", [False, True])
def test_every_row_is_dagster_postgres_s(database: str, batched: bool) -> None:
    pooled = PooledPostgresEventLogStorage(database)
    events = whole_run("run-1") + whole_run("run-2", second=50)
    if batched:
        pooled.store_event_batch(events)
    else:
        for event in events:
            pooled.store_event(event)
    ours = {table: table_rows(database, table) for table in TABLES}

    pooled.wipe()
    engine = db.create_engine(psycopg2_url(database), poolclass=db.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(db.text(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY"))
    pooled.dispose()
    stock = dagster_postgres.PostgresEventLogStorage(psycopg2_url(database))
    for event in events:
        stock.store_event(event)
    assert ours == {table: table_rows(database, table) for table in TABLES}
    assert len(ours["event_logs"]) == len(events)


def test_a_batch_that_fails_leaves_nothing_behind(database: str) -> None:
    storage = PooledPostgresEventLogStorage(database)
    twice_planned = [check_planned("run-1", TEACHER, "max_failure_rate")] * 2
    storage.store_event_batch(twice_planned)
    with pytest.raises(DagsterInvariantViolationError):
        storage.store_event_batch(
            [
                materialized("run-1", TEACHER, "TCS"),
                check_evaluated("run-1", TEACHER, "max_failure_rate", passed=True),
            ]
        )
    assert run_events(storage, "run-1") == twice_planned
    assert storage.get_materialized_partitions(TEACHER) == set()
    storage.dispose()


def run_events(storage: SqlEventLogStorage, run_id: str) -> list[EventLogEntry]:
    return [record.event_log_entry for record in storage.get_records_for_run(run_id).records]


@pytest.mark.parametrize("batch_size", ["0", "3"])
def test_a_run_of_dagster_yaml_logs_what_a_stock_instance_logs_over_few_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str, batch_size: str
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("TEST_POSTGRES_URL", database)
    with dg.DagsterInstance.local_temp(overrides={"telemetry": {"enabled": False}}) as stock:
        expected = materialize_four_partitions(stock)
    (tmp_path / "dagster.yaml").write_text(
        "storage:\n"
        "  custom:\n"
        "    module: sensequant_assets.storage.postgres\n"
        "    class: PooledPostgresStorage\n"
        "    config: {postgres_url: {env: TEST_POSTGRES_URL}}\n"
        "telemetry: {enabled: false}\n"
    )
    most = 0
    ended = threading.Event()

    def count() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, connections(database))

    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, PooledPostgresEventLogStorage)
        counter = threading.Thread(target=count)
        counter.start()
        assert materialize_four_partitions(instance) == expected
        ended.set()
        counter.join()
        assert len(instance.get_materialized_partitions(STUDENT)) == 4
        assert 1 <= connections(database) <= 2
    assert 1 <= most <= 4
    assert connections(database) == 0


def test_the_pool_bounds_the_connections_of_many_threads(database: str) -> None:
    storage = PooledPostgresEventLogStorage(database)
    start = threading.Barrier(30)

    def store(i: int) -> None:
        start.wait()
        for _ in range(3):
            storage.store_event(materialized(f"run-{i}", TEACHER, f"S{i}"))

    threads = [threading.Thread(target=store, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, connections(database))
    assert most <= 20
    assert connections(database) <= 2
    assert len(storage.get_materialized_partitions(TEACHER)) == 30
    storage.dispose()


def test_a_missing_dagster_postgres_is_named_with_the_extra_that_brings_it() -> None:
    code = "import sys; sys.modules['dagster_postgres'] = None; import sensequant_assets.storage.postgres"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: The PostgreSQL storage needs dagster-postgres" in process.stderr
    assert "pip install 'sensequant-assets[postgres]'" in process.stderr


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p%40@h:1/d?x=1", "postgres://u:p%40@h:1/d?x=1", "postgresql+psycopg://u:p%40@h:1/d?x=1"],
)
def test_a_url_gets_the_driver_that_dagster_postgres_speaks(url: str) -> None:
    assert psycopg2_url(url) == "postgresql+psycopg2://u:p%40@h:1/d?x=1"
