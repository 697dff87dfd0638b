"""The command line and the UI as real processes, in a data directory of their own and away from anybody's settings."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import pytest

from sensequant_assets.batch.run import Options
from sensequant_assets.defs.home import open_instance, prepare_home
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.sources.sample import sample_table
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.forked import Forked

if TYPE_CHECKING:
    from dagster import DagsterInstance

# What a shell starts in the background ignores Ctrl-C, and so would all that these tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FEW = ("--param", "TEACHER_N_ESTIMATORS=10", "--param", "STUDENT_N_ESTIMATORS=5")
"""Options that make training quick."""

DEADLINE_S = 300.0
"""How long a process may take before a test gives up on it; far more than it needs."""

HASTE = os.pathsep.join([str(Path(__file__).with_name("haste")), *filter(None, [os.environ.get("PYTHONPATH")])])
"""Search path of Python under which Dagster's daemon looks often."""

_LAUNCH_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""
_BACKFILL = """query($backfill: String!) { partitionBackfillOrError(backfillId: $backfill) { ... on PartitionBackfill {
    status
    runs(limit: 100) { status }
    assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
        assetKey { path } numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed
    } } }
} } }"""
_REPOSITORY = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
_START_SENSOR = """mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
    ... on Sensor { sensorState { status } } ... on PythonError { message }
} }"""
_TICKS = """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { status ticks(limit: 100) { tickId status skipReason runIds error { message } } }
} } }"""

_OURS = (
    "SENSEQUANT_", "TEACHER_", "STUDENT_", "BATCH_TRAINING_", "OPEN_WINDOWS", "PARALLEL_RETRY_", "STALLED_AFTER_",
    "DAGSTER_", "POOL_HISTORY", "EARLY_LIFE",
)  # fmt: skip


Process: TypeAlias = "subprocess.Popen[str] | Forked"
"""A command that has been started."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The line that `--json` ends with."""
        line: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return line


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without any setting of this project, and with these variables.

    Teachers learn from their symbol's rows unless a test says otherwise: what most tests claim holds of either scope,
    and their figures are of this one. Evaluations train no noise twin, which costs as much as a batch.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    ours = {"TEACHER_SCOPE": "symbol", "SENSEQUANT_NOISE_WINDOWS": "0"}
    return inherited | {"PYTHONUNBUFFERED": "1"} | ours | variables


def leave(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Move this process away from anybody's settings, for what is run in it."""
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEACHER_SCOPE", "symbol")
    monkeypatch.setenv("SENSEQUANT_NOISE_WINDOWS", "0")
    monkeypatch.chdir(directory)
    # Set by the code, and taken back with the rest.
    for name in ("DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@cache
def _databases() -> Path:
    """A Dagster home whose databases have no row.

    To make them takes a third of a second and a hundred waits for the disk, which hardly a test is about.
    """
    directory = Path(mkdtemp(prefix="sensequant-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave(monkeypatch, directory)
        with open_instance(home := prepare_home(read_settings({"data_dir": directory}))):
            return home


def copy_databases(data: Path) -> None:
    """Give a data directory without a Dagster home one whose databases are there."""
    if not (data / "dagster").exists():
        shutil.copytree(_databases(), data / "dagster")


@contextmanager
def instance_of(settings: Settings) -> "Iterator[DagsterInstance]":
    """The instance of the settings as a run opens it, with databases that are copied where it has none."""
    from dagster import DagsterInstance

    copy_databases(settings.data_dir)
    prepare_home(settings)
    with DagsterInstance.get() as instance:
        yield instance


@dataclass
class Home:
    """A data directory, and the commands that work in it.

    Parameters
    ----------
    directory
        An empty directory: the commands run in it, `.env` is read from it, and the data lie in `data` below it.
    variables
        Environment of every command.
    fresh
        Whether every command is an interpreter of its own: where it is about what a process imports, or how it starts.
    """

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)
    fresh: bool = False

    @property
    def data(self) -> Path:
        """Models, telemetry and Dagster's home."""
        return self.directory / "data"

    @property
    def anew(self) -> "Home":
        """The same, where every command is an interpreter of its own."""
        return replace(self, fresh=True)

    @property
    def telemetry(self) -> TelemetryStore:
        """Telemetry, read in this process."""
        return TelemetryStore(self.data / "telemetry")

    def start(self, *arguments: str, stdout: IO[str] | None = None, **variables: str) -> "Process":
        """Start `sensequant` in a session of its own: forked, unless `fresh` or told what Python reads at its start."""
        environment = clean_environment(**{"SENSEQUANT_DATA_DIR": str(self.data), **self.variables, **variables})
        if not (self.fresh or any(name.startswith("PYTHON") for name in variables)):
            return Forked(arguments, self.directory, environment, stdout)
        return subprocess.Popen(
            [sys.executable, "-m", "sensequant_assets.cli", *arguments],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> Finished:
        """Run `sensequant` to its end."""
        return finish(self.start(*arguments, stdout=None, **variables))

    def backfill(self, *arguments: str, **variables: str) -> Finished:
        """Run a quick backfill that ends with a line of JSON, in a Dagster home whose databases are there."""
        copy_databases(self.data)
        return self.run("backfill", "--json", *FEW, *arguments, **variables)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of `sensequant query`."""
        finished = self.run("query", "--format", "json", sql)
        assert finished.code == 0, finished.err
        rows: list[dict[str, Any]] = json.loads(finished.out)
        return rows

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of telemetry without a process of their own."""
        rows: list[dict[str, Any]] = self.telemetry.query(sql, list(parameters)).to_pylist()
        return rows

    def models(self) -> list[Path]:
        """Every model text."""
        return sorted((self.data / "models").rglob("*.txt.gz"))


def finish(process: "Process") -> Finished:
    """Wait for a process; it is killed with its children when it does not end."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        kill(process)
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end.\n{out}\n{err}") from None
    return Finished(process.wait(), out, err)


def kill(process: "Process") -> None:
    """Kill a process that `Home.start` started, and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> Any:
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Break off what this thread does when it takes longer: it hangs."""

    def hangs(*_: object) -> None:
        raise TimeoutError(f"It has not come to an end in {seconds} s.")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do without the rights of root, who may read and write everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def sample_bars(
    directory: Path, symbols: Sequence[str] = ("AAPL", "GOOG", "IBM", "MSFT"), until: str = "2013-12-31"
) -> Path:
    """Write the sample's bars from 2008 to a day as one CSV file a symbol."""
    stocks = sample_table()
    directory.mkdir(parents=True, exist_ok=True)
    for symbol in symbols:
        table = stocks[stocks["ticker"] == symbol]
        known = table["date"].between("2008-01-01", until)
        table[known].drop(columns="ticker").to_csv(directory / f"{symbol}.csv", index=False)
    return directory


def write_universe(path: Path, symbols: Sequence[str] = ("AAPL", "GOOG", "IBM", "MSFT")) -> Path:
    """Write a universe of these symbols; FB is listed in 2012, the others long ago."""
    listed = {symbol: "2012-05-18" if symbol == "FB" else "1990-01-01" for symbol in symbols}
    path.write_text("symbol,name,listing_date\n" + "".join(f"{symbol},,{day}\n" for symbol, day in listed.items()))
    return path


def how_it_runs(**changed: Any) -> Options:
    """How a run runs, with the settings' defaults on one worker."""
    defaults = {name: Settings.model_fields[name].default for name in ("window_timeout_s", "max_failure_rate")}
    return Options(**{"workers": 1} | defaults | changed)


def corrupt(bars: Path, line: int = 100) -> None:
    """Turn the close of a fifth of a CSV file's lines negative, so that its symbol is refused whole.

    Parameters
    ----------
    bars
        The file.
    line
        The first of them. Lines count from 1, the header included.
    """
    count = len(bars.read_text().splitlines()) // 5
    spoil(bars, *range(line, line + count))


def spoil(bars: Path, *lines: int) -> None:
    """Turn the close of some lines of a CSV file negative, which costs the windows that read them."""
    written = bars.read_text().splitlines()
    close = written[0].split(",").index("close")
    for line in lines:
        cells = written[line - 1].split(",")
        cells[close] = "-1"
        written[line - 1] = ",".join(cells)
    bars.write_text("\n".join(written) + "\n")


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(frozen=True)
class Ui:
    """A running `sensequant dev`."""

    port: int
    process: "subprocess.Popen[str]"
    log: Path

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Data of a GraphQL request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": dict(variables or {})}).encode(),
            {"Content-Type": "application/json"},
        )
        # The scheme stands right above.
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def backfill(self) -> tuple[str, dict[str, Any]]:
        """Backfill all teachers and students, and wait for the end; the id, and what it then has."""
        models = [{"path": ["teacher_models"]}, {"path": ["student_models"]}]
        launched = self.ask(_LAUNCH_BACKFILL, {"params": {"assetSelection": models, "allPartitions": True}})
        backfill: str = launched["launchPartitionBackfill"]["backfillId"]
        state: dict[str, Any] = until(
            lambda: (
                (found := self.ask(_BACKFILL, {"backfill": backfill})["partitionBackfillOrError"])["status"]
                not in ("REQUESTED", "CANCELING")
                and found
            ),
            "the backfill",
        )
        return backfill, state

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on."""
        started = self.ask(_START_SENSOR, {"selector": self._selector(name)})["startSensor"]
        assert started["sensorState"]["status"] == "RUNNING", started

    def is_on(self, sensor: str) -> bool:
        """Whether a sensor is switched on."""
        return bool(self._state(sensor)["status"] == "RUNNING")

    def ticks(self, sensor: str) -> list[dict[str, Any]]:
        """Ticks of a running sensor that are over, oldest first."""
        state = self._state(sensor)
        assert state["status"] == "RUNNING"
        return [tick for tick in reversed(state["ticks"]) if tick["status"] != "STARTED"]

    def _state(self, sensor: str) -> dict[str, Any]:
        state: dict[str, Any] = self.ask(_TICKS, {"selector": self._selector(sensor)})["sensorOrError"]["sensorState"]
        return state

    def _selector(self, sensor: str) -> dict[str, str]:
        (found,) = self.ask(_REPOSITORY)["repositoriesOrError"]["nodes"]
        location = found["location"]["name"]
        return {"repositoryLocationName": location, "repositoryName": found["name"], "sensorName": sensor}

    def answers(self) -> bool:
        """Whether it serves its code location already."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            data = self.ask(_LOCATIONS)
        except (OSError, ValueError):
            return False
        # One that could not be loaded yet has come to its end too.
        loaded = [entry["locationOrLoadError"] for entry in data["workspaceOrError"].get("locationEntries", [])]
        return any(entry and entry["__typename"] == "RepositoryLocation" for entry in loaded)


@contextmanager
def ui(home: Home, *arguments: str, **variables: str) -> Iterator[Ui]:
    """Run `sensequant dev` on a free port of the loopback; at the end nothing of it is left."""
    port = free_port()
    log = home.directory / "dev.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "sensequant_assets.cli", "dev", "--port", str(port), *arguments],
            cwd=home.directory,
            env=clean_environment(SENSEQUANT_DATA_DIR=str(home.data), PYTHONPATH=HASTE, **(home.variables | variables)),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    running = Ui(port, process, log)
    try:
        until(running.answers, "the UI")
        yield running
    finally:
        family = descendants(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        kill(process)
        # Dagster gives some of its servers a session of their own.
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """A process and its children and theirs, as `/proc` has them now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold spaces.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found


def listening_addresses(pids: Sequence[int]) -> set[str]:
    """Addresses of the IPv4 and IPv6 sockets on which these processes listen, as the kernel writes them in hex."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                sockets.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and cells[9] in sockets:
                found.add(cells[1])
    return found
