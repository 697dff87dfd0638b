"""Claims about the deployment: its services as compose starts them, without Docker, on a PostgreSQL server.

The commands are those of `deploy/compose.yaml`; ports, paths and the name of the host are this machine's.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as db
import yaml

from sensequant_assets.settings import PROJECT
from sensequant_assets_tests.postgres_server import empty_database, running_server
from sensequant_assets_tests.running import (
    HASTE,
    Home,
    Ui,
    clean_environment,
    descendants,
    free_port,
    sample_bars,
    until,
    write_universe,
)

pytest.importorskip("dagster_postgres", reason="pip install 'sensequant-assets[postgres]'")

from sensequant_assets.storage.postgres import psycopg2_url  # only after its extra is known to be there

COMPOSE = yaml.safe_load((PROJECT / "deploy" / "compose.yaml").read_text())
SERVICES = ("code", "webserver", "daemon")
SYMBOLS = ("AAPL", "IBM")
ROWS = "SELECT * FROM window_runs ORDER BY ALL"


@dataclass
class Service:
    """A service that is started again whenever it ends, as `restart: unless-stopped` says."""

    supervisor: "subprocess.Popen[str]"

    def pid(self) -> int | None:
        """The process that is the service now."""
        return next(iter(descendants(self.supervisor.pid)[1:]), None)

    def kill(self) -> None:
        """Kill it, and wait until another is in its place."""
        killed = until(self.pid, "the service")
        os.kill(killed, signal.SIGKILL)
        until(lambda: self.pid() not in (killed, None), "the service that comes back")


def here(command: Sequence[str], ports: dict[str, str]) -> list[str]:
    """A command of compose's as it is called on this machine."""
    at_home = {"0.0.0.0": "127.0.0.1", **ports}  # noqa: S104  # within a container it is its own network
    program, *arguments = [at_home.get(word, word).replace("/opt/sensequant", str(PROJECT)) for word in command]
    return [str(PROJECT / ".venv" / "bin" / program), *arguments]


@contextmanager
def service(name: str, home: Home, ports: dict[str, str]) -> Iterator[Service]:
    log = (home.directory / f"{name}.log").open("w")
    again = ["sh", "-c", 'while :; do "$@"; sleep 0.2; done', "sh"]
    supervisor = subprocess.Popen(
        [*again, *here(COMPOSE["services"][name]["command"], ports)],
        cwd=home.directory,
        env=clean_environment(PYTHONPATH=HASTE, **home.variables),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield Service(supervisor)
    finally:
        family = descendants(supervisor.pid)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        supervisor.wait(20)
        log.close()


def has_assets(ui: Ui) -> bool:
    """Whether the web server has found the code server: one that came up earlier looks for it again and again."""
    found = ui.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
    return bool(found["repositoriesOrError"]["nodes"])


@dataclass
class Deployed:
    """What came of it when each service had been killed once and the lattice was backfilled from the UI."""

    home: Home
    status: str
    runs: list[str]
    backup: Path


def installation(directory: Path, url: str, ports: dict[str, str]) -> Home:
    """A data directory, and the variables that compose gives each service."""
    told = COMPOSE["services"]["code"]["environment"]
    assert set(told) == {"DAGSTER_CODE_SERVER_HOST", "DAGSTER_CODE_SERVER_PORT", "DAGSTER_POSTGRES_URL"}
    return Home(
        directory,
        {
            "DAGSTER_CODE_SERVER_HOST": "127.0.0.1",
            "DAGSTER_CODE_SERVER_PORT": ports[told["DAGSTER_CODE_SERVER_PORT"]],
            "DAGSTER_POSTGRES_URL": url,
            "DAGSTER_HOME": str(directory / "data" / "dagster"),
            "SENSEQUANT_DATA_DIR": str(directory / "data"),
            "SENSEQUANT_UNIVERSE": str(directory / "universe.csv"),
            "SENSEQUANT_BARS": str(directory / "bars"),
            "SENSEQUANT_END": "2009-12-27",
            "TEACHER_N_ESTIMATORS": "10",
            "STUDENT_N_ESTIMATORS": "5",
        },
    )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as address:
        yield address


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, server: str) -> Deployed:
    directory = tmp_path_factory.mktemp("deployed")
    sample_bars(directory / "bars", SYMBOLS)
    write_universe(directory / "universe.csv", SYMBOLS)
    ports = {"4000": str(free_port()), "3000": str(free_port())}
    home = installation(directory, empty_database(server), ports)
    prepared = home.run(*COMPOSE["services"]["prepare"]["command"][1:])
    assert prepared.code == 0, prepared.err
    with ExitStack() as stack:
        services = {name: stack.enter_context(service(name, home, ports)) for name in SERVICES}
        ui = Ui(int(ports["3000"]), services["webserver"].supervisor, directory / "webserver.log")
        until(ui.answers, "the UI")
        for name in SERVICES:
            services[name].kill()
        until(lambda: ui.answers() and has_assets(ui), "the UI after a kill of every service")
        _, state = ui.backfill()
        backed_up = home.run("backup", str(directory / "kept"))
        assert backed_up.code == 0, backed_up.err
    return Deployed(home, state["status"], [run["status"] for run in state["runs"]], directory / "kept")


def test_a_backfill_from_the_ui_passes_after_every_service_was_killed(deployed: Deployed) -> None:
    assert (deployed.status, deployed.runs) == ("COMPLETED_SUCCESS", ["SUCCESS", "SUCCESS"])
    told = deployed.home.rows("SELECT model, outcome, count(*) AS n FROM window_runs GROUP BY ALL ORDER BY 1")
    assert told == [{"model": model, "outcome": "trained", "n": 4} for model in ("student", "teacher")]


def history(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of Dagster's that tells of what was, as text."""
    engine = db.create_engine(psycopg2_url(url), poolclass=db.NullPool)
    names = ("runs", "event_logs", "asset_keys", "bulk_actions", "dynamic_partitions", "run_tags")
    with engine.connect() as connection:
        return {
            name: sorted(tuple(map(str, row)) for row in connection.execute(db.text(f"SELECT * FROM {name}")))
            for name in names
        }


def test_a_backup_gives_the_same_rows_in_another_data_directory_and_database(
    deployed: Deployed, server: str, tmp_path: Path
) -> None:
    url = empty_database(server)
    other = Home(tmp_path, deployed.home.variables | {"DAGSTER_POSTGRES_URL": url})
    other.variables["SENSEQUANT_DATA_DIR"] = str(other.data)
    restored = other.run("restore", str(deployed.backup))
    assert restored.code == 0, restored.err
    assert other.rows(ROWS) == deployed.home.rows(ROWS)
    found = history(url)
    assert found == history(deployed.home.variables["DAGSTER_POSTGRES_URL"])
    assert all(found.values()), {name: len(rows) for name, rows in found.items()}
    again = other.run("restore", str(deployed.backup), SENSEQUANT_DATA_DIR=str(tmp_path / "third"))
    assert again.code == 2
    assert "has tables" in again.err
    assert not (tmp_path / "third").exists()


def test_the_services_find_dagsters_tables_in_postgresql_alone(deployed: Deployed) -> None:
    assert re.search("PooledPostgresStorage", (deployed.home.data / "dagster" / "dagster.yaml").read_text())
    assert list(deployed.home.data.rglob("*.db")) == []
