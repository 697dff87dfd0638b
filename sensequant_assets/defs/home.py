"""Dagster's home below the data directory: where the command line records and the UI reads."""

import fcntl
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.replacing import lock_file, replacing
from sensequant_assets.settings import Settings, prepare_data_dir
from sensequant_assets.sources.regular import reason
from sensequant_assets.storage.damage import find_damage

if TYPE_CHECKING:
    from dagster import DagsterInstance


POSTGRES_URL = "DAGSTER_POSTGRES_URL"
"""The variable that, where it is set, names the database of the instance."""

_STORAGE = """\
event_log_storage:
  module: sensequant_assets.storage.sqlite
  class: PooledSqliteEventLogStorage
"""
_POSTGRES_STORAGE = f"""\
storage:
  custom:
    module: sensequant_assets.storage.postgres
    class: PooledPostgresStorage
    config: {{postgres_url: {{env: {POSTGRES_URL}}}}}
"""
DAGSTER_YAML = f"""\
# Written once by sensequant; change it as you like.
telemetry: {{enabled: false}}
nux: {{enabled: false}}
# What runs print; at DEBUG, Dagster's default, that is every event with its list of partitions.
python_logs: {{python_log_level: INFO}}
{_STORAGE}# A run takes seconds to submit, whatever its size; several at once keep the cores busy.
backfills: {{use_threads: true, num_workers: 2, num_submit_workers: 4}}
# Two runs of a pool (the CPU, or a GPU) at once: while one starts, the other trains. Further ones wait in the queue.
concurrency: {{pools: {{granularity: run, default_limit: 2}}}}
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {{dequeue_interval_seconds: 1}}
"""
"""Of an instance in SQLite."""

POSTGRES_YAML = DAGSTER_YAML.replace(_STORAGE, _POSTGRES_STORAGE)
"""Of an instance in PostgreSQL, which any number of machines share."""

WORKSPACE = Path(__file__).with_name("workspace.yaml")
"""Which code location the web server and the daemon load, and its name, wherever they are started."""

_YAML = "dagster.yaml"
_NEW_YAML = "Correct it, or delete it to have a new one."

EVENT_BATCH_SIZE = 1000
"""Events that Dagster hands to the storage together where it can, such as the planned ones of a run."""


def project_yaml() -> str:
    """The `dagster.yaml` of a directory in which people call `dagster` or `dg`: it names the home below its data."""
    from sensequant_assets.storage.dagster_private import LOCAL_STORAGE

    told = (
        "# What `dagster` and `dg` use in this directory where DAGSTER_HOME is not set: the home that\n"
        "# `sensequant` keeps below data/, so that both see the same runs.\n"
    )
    return told + DAGSTER_YAML.partition("\n")[2].replace(_STORAGE, LOCAL_STORAGE)


def prepare_home(settings: Settings) -> Path:
    """Make Dagster's home with its `dagster.yaml`, and point this process and its children at it.

    A new `dagster.yaml` names PostgreSQL if `DAGSTER_POSTGRES_URL` is set in the environment, else SQLite.

    Returns
    -------
    Path
        Absolute path of the home.

    Raises
    ------
    UsageError
        The data directory or the home cannot be written.
    """
    prepare_data_dir(settings)
    home = settings.dagster_home
    try:
        home.mkdir(exist_ok=True)
        if not (home / _YAML).exists():
            with replacing(home / _YAML) as temporary:
                temporary.write_text(POSTGRES_YAML if os.environ.get(POSTGRES_URL) else DAGSTER_YAML)
    except OSError as error:
        raise UsageError(
            f"{home} cannot be Dagster's home: {reason(error)}. Move it away to have a new one."
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH_SIZE))
    return home


@contextmanager
def open_instance(home: Path, *, capture_output: bool = True) -> Iterator["DagsterInstance"]:
    """Open the Dagster instance of a home, one process after another.

    Dagster makes the tables of its databases at the first opening, and two processes that do so at once break each
    other. The lock is held for the opening alone.

    Parameters
    ----------
    home
        With its `dagster.yaml`.
    capture_output
        Whether what a run prints is kept for its page in the UI. That costs four processes a run, which pass on to the
        terminal what they keep.

    Raises
    ------
    UsageError
        Dagster cannot make sense of `dagster.yaml`, a variable is not set that it names, or a database is damaged.
    """
    from dagster import DagsterInstance

    overrides = None if capture_output else _no_capture()
    with ExitStack() as stack:
        with _naming_yaml(home / _YAML), naming_damage(home), lock_file(home / "opening.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The only public way to override a part of `dagster.yaml`; nothing of it is temporary.
            instance = stack.enter_context(DagsterInstance.local_temp(str(home), overrides))
            _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
        yield instance


@contextmanager
def naming_damage(home: Path, kind: type[SenseQuantError] = UsageError) -> Iterator[None]:
    """Name the damaged database of a home, if there is one, in place of whatever comes of it; `kind` is the error."""
    try:
        yield
    except SenseQuantError:
        raise
    except Exception as error:
        if damage := find_damage(home):
            raise kind(damage) from error
        raise


@contextmanager
def _naming_yaml(yaml: Path) -> Iterator[None]:
    """Name a `dagster.yaml` that is not ours in place of whatever comes of it."""
    if not yaml.is_file():
        raise UsageError(f"{yaml} is no regular file. {_NEW_YAML}")
    try:
        yield
    except SenseQuantError:
        raise
    except Exception as error:
        if yaml.read_bytes() == DAGSTER_YAML.encode():
            raise
        raise UsageError(f"{yaml} cannot be used: {_what_dagster_says(error)}") from error


def _what_dagster_says(error: Exception) -> str:
    """Why Dagster cannot make sense of its configuration, on one line."""
    from dagster import DagsterInvalidConfigError

    told = error.errors if isinstance(error, DagsterInvalidConfigError) else ()
    # Dagster's messages go on with a traceback.
    said = " ".join(re.split(r"\s+Stack Trace:", one.message)[0] for one in told) or str(error)
    return f"{' '.join(said.split()).rstrip('.') or type(error).__name__}. {_NEW_YAML}"


def _no_capture() -> dict[str, Any] | None:
    """What keeps Dagster from capturing output, where it still can."""
    from sensequant_assets.storage import dagster_private as private

    if closed := private.SILENT.closed:
        warnings.warn(closed, stacklevel=2)
        return None
    manager = private.NoOpComputeLogManager
    return {"compute_logs": {"module": manager.__module__, "class": manager.__name__}}
