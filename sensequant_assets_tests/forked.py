"""Processes of the command line that are forked from one that has imported everything.

A process of its own costs the command line more than a second before it does anything, nearly all of it for imports.
What is forked has a process id, a session, an environment, a directory and pipes of its own, is killed and interrupted
like any other, and ends the way `sensequant` ends. Only what it imports it does not show.
"""

import io
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from sensequant_assets.cli.main import COMMANDS

_IMPORTED_LATE = (
    "arch.bootstrap", "exchange_calendars", "jinja2", "lightgbm", "pandas", "purgedcv",
    "pyarrow.parquet", "scipy.stats", "sensequant_assets.service.app", "sensequant_assets_tests.forked", "uvicorn",
)  # fmt: skip
"""What commands import when they need it."""

_context = get_context("forkserver")
_context.set_forkserver_preload([*(f"sensequant_assets.cli.{module}" for module in COMMANDS.values()), *_IMPORTED_LATE])


class Forked:
    """A process of `sensequant`, asked as one asks a `subprocess.Popen` whose streams are text, by one thread.

    Parameters
    ----------
    arguments
        Of the command line.
    directory
        Where it runs.
    environment
        All of its environment.
    stdout
        Where its output goes; None for a pipe.
    """

    def __init__(
        self, arguments: Sequence[str], directory: Path, environment: Mapping[str, str], stdout: IO[str] | None
    ) -> None:
        self.args = ("sensequant", *arguments)
        self.stdout: IO[str] | None = None
        if stdout is None:
            self.stdout, out = _pipe()
        else:
            out = Connection(os.dup(stdout.fileno()), readable=False)
        self.stderr, err = _pipe()
        self._process = _context.Process(
            target=_become, args=(list(self.args), str(directory), dict(environment), out, err)
        )
        self._process.start()
        for theirs in (out, err):
            theirs.close()
        self._readers = ThreadPoolExecutor(2)
        self._read: list[Future[str]] = []

    @property
    def pid(self) -> int:
        """Its process id, and that of its group and session."""
        pid = self._process.pid
        assert pid is not None
        return pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, as far as known; negative for a signal."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read what it writes until it ends."""
        if not self._read:
            self._read = [self._readers.submit(stream.read) for stream in (self.stdout, self.stderr) if stream]
        self.wait(timeout)
        *out, err = [each.result() for each in self._read]
        self._close()
        return "".join(out), err

    def _close(self) -> None:
        self._readers.shutdown()
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.wait()


def _pipe() -> tuple[IO[str], Any]:
    reader, writer = os.pipe()
    return os.fdopen(reader, encoding="utf-8"), Connection(writer, readable=False)


def _become(arguments: list[str], directory: str, environment: dict[str, str], out: Any, err: Any) -> None:
    """Be `sensequant` in the process that was forked."""
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for theirs, number in ((out, 1), (err, 2)):
        os.dup2(theirs.fileno(), number)
        theirs.close()
    sys.argv = arguments
    sys.stdout, sys.stderr = _unbuffered(1, sys.stdout), _unbuffered(2, sys.stderr)
    from sensequant_assets.cli.main import run

    run()


def _unbuffered(number: int, stream: Any) -> io.TextIOWrapper:
    """A standard stream as `PYTHONUNBUFFERED` has it."""
    raw: Any = os.fdopen(number, "wb", buffering=0)
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors=stream.errors, write_through=True)
