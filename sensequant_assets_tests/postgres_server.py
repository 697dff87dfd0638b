"""A real PostgreSQL server of the tests' own, on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as db


def server_binary(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else shutil.which(name)


def start_server(directory: Path) -> tuple["subprocess.Popen[bytes]", str]:
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


@contextmanager
def running_server() -> Iterator[str]:
    """Host and port of a server with no databases of ours; a test that asks for it is skipped where there is none."""
    if not server_binary("initdb") or not server_binary("postgres"):
        pytest.skip("no PostgreSQL server binaries; on Debian: apt-get install postgresql")
    # Not under pytest's own directory, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as directory:
        process, address = start_server(Path(directory))
        try:
            _wait_for(process, address)
            yield address
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for clients
            process.wait(20)


def _wait_for(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            host, port = address.split(":")
            socket.create_connection((host, int(port)), 1).close()
            administrator(address).connect().close()
            return
        except (OSError, db.exc.OperationalError):
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.1)


def administrator(address: str) -> db.Engine:
    return db.create_engine(
        f"postgresql+psycopg2://dagster@{address}/postgres",
        poolclass=db.NullPool,
        isolation_level="AUTOCOMMIT",
    )


def empty_database(address: str) -> str:
    """Make a database; its plain URL."""
    with administrator(address).connect() as connection:
        count = connection.scalar(db.text("SELECT count(*) FROM pg_database"))
        connection.execute(db.text(f"CREATE DATABASE d{count}"))
    return f"postgresql://dagster@{address}/d{count}"


def connections(url: str) -> int:
    """How many clients are connected to a database now, asked over another one."""
    engine = administrator(url.partition("@")[2].partition("/")[0])
    with engine.connect() as connection:
        return int(
            connection.scalar(
                db.text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND backend_type = 'client backend'"
                ),
                {"name": url.rpartition("/")[2]},
            )
        )
