"""Claims about production: UI, daemon, runs and command line on a real PostgreSQL server, which one variable names.

The daemon looks after a backfill every 30 seconds and takes three looks to one with failed windows; most of the time
here is waiting for it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as db

from sensequant_assets_tests.postgres_server import administrator, connections, empty_database, running_server
from sensequant_assets_tests.running import Home, corrupt, descendants, sample_bars, ui, until, write_universe

pytest.importorskip("dagster_postgres", reason="pip install 'sensequant-assets[postgres]'")

from sensequant_assets.storage.postgres import psycopg2_url  # only after its extra is known to be there

# FB is listed after the last window, and a row of IBM's is broken.
SYMBOLS = ("AAPL", "FB", "IBM", "MSFT")
WINDOWS = ("2009-01-01", "2009-06-30")
PAIRS = {(symbol, window) for symbol in SYMBOLS for window in WINDOWS}
OUTCOMES = {pair: {"FB": "skipped", "IBM": "failed"}.get(pair[0], "trained") for pair in PAIRS}
MODELS = ("teacher", "student")

PASSWORD = "hunter2-swordfish"  # noqa: S105  # of a server that trusts everybody
MOST_CONNECTIONS = 20
"""Of the UI, the daemon, the code servers and two runs together; a server takes 100 unless told otherwise."""

OUTCOME_EVENTS = """
    SELECT asset_key, partition, dagster_event_type FROM event_logs
    WHERE run_id IN (SELECT run_id FROM run_tags WHERE key = :tag AND value = :value)
    AND asset_key IN ('["teacher_models"]', '["student_models"]')
    AND dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
"""


@dataclass
class Covered:
    """A backfill of the whole lattice that has ended.

    Attributes
    ----------
    home
        Where it ran. The UI and the daemon are stopped.
    url
        Of its database.
    backfill
        Its id.
    state
        What `Ui.backfill` says of its end.
    log
        What the UI, the daemon and the runs printed.
    command_lines
        Of the UI, the daemon and all their processes.
    """

    home: Home
    url: str
    backfill: str
    state: dict[str, Any]
    log: str
    command_lines: list[str]

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        """Rows of the database that all of it was recorded in."""
        engine = db.create_engine(psycopg2_url(self.url), poolclass=db.NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(db.text(sql), values)]

    def outcome_events(self, tag: str, value: str) -> Counter[tuple[str, str, str]]:
        """How many events of models the runs with a tag have, by asset, partition and type."""
        found = self.rows(OUTCOME_EVENTS, tag=tag, value=value)
        return Counter((json.loads(asset)[0], partition, kind) for asset, partition, kind in found)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as address:
        yield address


@pytest.fixture(scope="module")
def url(server: str) -> str:
    """Of a database that belongs to an ordinary user, as in production: a superuser may connect without limit."""
    url = empty_database(server)
    name = url.rpartition("/")[2]
    with administrator(server).connect() as connection:
        limited = f"CONNECTION LIMIT {MOST_CONNECTIONS}"
        connection.execute(db.text(f"CREATE ROLE production LOGIN PASSWORD '{PASSWORD}' {limited}"))
        connection.execute(db.text(f"ALTER DATABASE {name} OWNER TO production"))
    return f"postgresql://production:{PASSWORD}@{server}/{name}"


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory, server: str, url: str) -> Covered:
    directory = tmp_path_factory.mktemp("production")
    corrupt(sample_bars(directory / "bars", SYMBOLS) / "IBM.csv")
    write_universe(directory / "universe.csv", SYMBOLS)
    home = Home(
        directory,
        {
            "DAGSTER_POSTGRES_URL": url,
            "SENSEQUANT_UNIVERSE": "universe.csv",
            "SENSEQUANT_BARS": "bars",
            "SENSEQUANT_END": "2009-12-27",
            "BATCH_TRAINING_MAX_FAILURE_RATE": "0.4",
            "TEACHER_N_ESTIMATORS": "10",
            "STUDENT_N_ESTIMATORS": "5",
        },
    )
    with ui(home) as running:
        backfill, state = running.backfill()
        command_lines = [command_line(pid) for pid in descendants(running.process.pid)]
    return Covered(home, url, backfill, state, running.log.read_text(), command_lines)


ONE_EVENT_EACH = Counter(
    (f"{model}_models", "|".join(pair), "ASSET_OBSERVATION" if outcome == "failed" else "ASSET_MATERIALIZATION")
    for model in MODELS
    for pair, outcome in OUTCOMES.items()
)


def test_a_backfill_of_the_lattice_counts_exactly_the_failed_windows_as_failed(covered: Covered) -> None:
    assert covered.state["status"] == "COMPLETED_FAILED"
    # One run a window, each of them within the limit.
    assert [run["status"] for run in covered.state["runs"]] == ["SUCCESS"] * len(WINDOWS)
    failed = list(OUTCOMES.values()).count("failed")
    counts = {
        "numPartitionsTargeted": len(PAIRS),
        "numPartitionsInProgress": 0,
        "numPartitionsMaterialized": len(PAIRS) - failed,
        "numPartitionsFailed": failed,
    }
    told = covered.state["assetBackfillData"]["assetBackfillStatuses"]
    assert len(told) == len(MODELS)
    for model in MODELS:
        assert {"assetKey": {"path": [f"{model}_models"]}} | counts in told


def test_postgresql_has_the_backfill_its_runs_and_one_event_for_each_window_of_each_model(covered: Covered) -> None:
    assert covered.rows("SELECT key, status FROM bulk_actions") == [(covered.backfill, "COMPLETED_FAILED")]
    of_it = "SELECT run_id FROM run_tags WHERE key = 'dagster/backfill' AND value = :backfill"
    runs = covered.rows(f"SELECT status FROM runs WHERE run_id IN ({of_it})", backfill=covered.backfill)
    assert runs == [("SUCCESS",)] * len(WINDOWS)
    assert covered.outcome_events("dagster/backfill", covered.backfill) == ONE_EVENT_EACH


def test_telemetry_has_every_window_of_the_backfill_once(covered: Covered) -> None:
    found = covered.home.rows(
        "SELECT model, symbol, window_start, outcome FROM window_runs WHERE backfill_id = ?", covered.backfill
    )
    became = Counter((row["model"], row["symbol"], str(row["window_start"]), row["outcome"]) for row in found)
    assert became == Counter((model, *pair, outcome) for model in MODELS for pair, outcome in OUTCOMES.items())
    batch = covered.home.rows("SELECT source, status FROM batches WHERE batch_id = ?", covered.backfill)
    assert batch == [{"source": "ui", "status": "succeeded"}]


def test_nothing_is_recorded_in_sqlite(covered: Covered) -> None:
    files = [path for path in covered.home.data.rglob("*") if path.is_file()]
    assert any(path.name == "dagster.yaml" for path in files)
    assert not [path for path in files if path.suffix == ".db" or path.read_bytes().startswith(b"SQLite format 3")]


def test_the_password_of_the_database_is_in_no_file_no_log_and_no_command_line(covered: Covered) -> None:
    files = [path for path in covered.home.data.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in covered.log
    assert any("dagster_webserver" in line for line in covered.command_lines)
    assert not [line for line in covered.command_lines if PASSWORD in line]


def test_all_processes_need_few_connections_use_each_again_and_again_and_leave_none(covered: Covered) -> None:
    assert "too many connections" not in covered.log
    # The server counts the work of a connection when that ends.
    until(lambda: connections(covered.url) == 0, "the end of all connections", 30)
    ((opened, transactions),) = covered.rows(
        "SELECT sessions, xact_commit FROM pg_stat_database WHERE datname = current_database()"
    )
    assert opened * 10 < transactions


def test_the_command_line_records_in_the_same_database(covered: Covered) -> None:
    finished = covered.home.backfill()
    assert finished.code == 0, finished.err
    for model in MODELS:
        assert {name: finished.json[model][name] for name in ("trained", "reused", "skipped", "failed")} == {
            "trained": 0,
            "reused": 4,
            "skipped": 2,
            "failed": 2,
        }
    assert covered.outcome_events("sensequant/batch", finished.json["batch_id"]) == ONE_EVENT_EACH
    until(lambda: connections(covered.url) == 0, "the end of its connections", 30)
