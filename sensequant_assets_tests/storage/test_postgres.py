"""The pooled PostgreSQL storage, against a real server that these tests start on loopback."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorage

from sensequant_assets.errors import UsageError
from sensequant_assets_tests.postgres_server import connections, empty_database, running_server
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

from sensequant_assets.storage import postgres  # noqa: E402  # only after its extra is known to be there
from sensequant_assets.storage.postgres import (  # noqa: E402  # as above
    PooledPostgresEventLogStorage,
    psycopg2_url,
    unsupported_reason,
)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Host and port of a server with no databases of ours."""
    with running_server() as address:
        yield address


@pytest.fixture
def database(server: str) -> str:
    """Plain URL of an empty database."""
    return empty_database(server)


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


@pytest.mark.parametrize(
    ("stock", "method", "replacement", "complaint"),
    [
        ("PostgresEventLogStorage", "store_event", lambda self, event: None, "store_event is rewritten around"),
        ("PostgresEventLogStorage", "_connect", lambda self, shard: None, r"_connect takes \(self, shard\)"),
        ("PostgresRunStorage", "__init__", lambda self, postgres_url: None, "it has no _engine"),
    ],
)
def test_a_dagster_postgres_that_changed_gets_its_own_classes_and_a_warning(
    monkeypatch: pytest.MonkeyPatch, database: str, stock: str, method: str, replacement: Any, complaint: str
) -> None:
    assert unsupported_reason() is None
    with monkeypatch.context() as other_release:
        other_release.setattr(getattr(dagster_postgres, stock), method, replacement)
        reason = unsupported_reason()
    assert reason
    assert re.search(f"changed {stock}: {complaint}", reason)
    monkeypatch.setattr("sensequant_assets.storage.postgres.unsupported_reason", lambda: reason)
    for kind in ("EventLogStorage", "RunStorage", "ScheduleStorage", "Storage"):
        pooled = getattr(postgres, f"PooledPostgres{kind}")
        with pytest.warns(UserWarning, match="Its own class is used instead"):
            storage = pooled.from_config_value(None, {"postgres_url": database})
        assert type(storage).__module__.startswith("dagster_postgres.")
        assert isinstance(storage, pooled.__bases__)


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


def test_a_database_that_cannot_be_used_is_one_sentence_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda seconds: None)  # between its attempts
    (tmp_path / "dagster.yaml").write_text(
        "storage:\n"
        "  custom:\n"
        "    module: sensequant_assets.storage.postgres\n"
        "    class: PooledPostgresStorage\n"
        f"    config: {{postgres_url: 'postgresql://dagster:hunter2@{server}/nothing'}}\n"
    )
    with pytest.raises(UsageError, match=r'database "nothing" does not exist$') as said:
        dg.DagsterInstance.from_config(str(tmp_path))
    assert "hunter2" not in str(said.value)
    assert "\n" not in str(said.value)
