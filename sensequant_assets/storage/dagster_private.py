"""The private names of Dagster that this package uses: why each, and what is done where one is gone.

Every other module takes them from here, as attributes and at the time of use, so that all can be imported without them.
`dagster` is pinned to a minor release, but its patch releases owe nobody a private name.
"""

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    # How mypy calls what is passed through unread; nothing is asked of them at run time.
    from dagster._config.config_schema import UserConfigSchema as UserConfigSchema
    from dagster._core.storage.event_log import SqlEventLogStorage as SqlEventLogStorage
    from dagster._serdes import ConfigurableClassData as ConfigurableClassData


@dataclass(frozen=True, slots=True)
class Way:
    """Something that takes private names, and the public way that stands in for it.

    Parameters
    ----------
    instead
        What is done where a name of it is gone, as the start of a sentence.
    """

    instead: str
    _gone: list[str] = field(default_factory=list)

    @contextmanager
    def needs(self, why: str) -> Iterator[None]:
        """Import one name of this way, or note that it is gone.

        Parameters
        ----------
        why
            What the name is needed for, after "which".
        """
        try:
            yield
        except ImportError as error:
            *names, module = re.findall(r"'([\w.]+)'", error.msg)
            self._gone.append(f"has no {'.'.join([module, *names])}, which {why}")

    @property
    def closed(self) -> str | None:
        """Why the public way is taken, and which it is, in two sentences; None while every name is there."""
        return self.because(self._gone[0]) if self._gone else None

    def because(self, found: str) -> str:
        """Say what Dagster does otherwise, and what is done instead."""
        return f"Dagster {dg.__version__} {found}. {self.instead}; a newer sensequant-assets may know this release."


def changed(stock: type, signatures: Mapping[str, list[str]], bodies: Mapping[str, str] | None = None) -> str | None:
    """Tell what Dagster changed in a class that is built upon.

    Parameters
    ----------
    stock
        The class.
    signatures
        Parameters by method of what is overridden or called.
    bodies
        Names that a method refers to, separated by spaces, where it is replaced: another name means that another thing
        is done.

    Returns
    -------
    str or None
        What to put after "Dagster 1.2.3", or None while everything is as it was.
    """
    bodies = bodies or {}
    for method in {**signatures, **bodies}:
        function: Callable[..., object] = inspect.unwrap(getattr(stock, method, _missing))
        parameters = list(inspect.signature(function).parameters)
        rewritten = set(function.__code__.co_names) ^ set(bodies[method].split()) if method in bodies else set()
        if function is _missing:
            found = f"{method} is gone"
        elif parameters != signatures.get(method, parameters):
            found = f"{method} takes ({', '.join(parameters)})"
        elif rewritten:
            found = f"{method} is rewritten around {', '.join(sorted(rewritten))}"
        else:
            continue
        return f"changed {stock.__name__}: {found}"
    return None


def _missing() -> None: ...


POOLED = Way("Its own class is used instead, which is slower and otherwise the same")
"""Events over kept connections (`storage.sqlite`, `storage.postgres`)."""

with POOLED.needs("tells which events change the row of an asset"):
    from dagster._core.events import ASSET_EVENTS as ASSET_EVENTS
with POOLED.needs("tells which events change the row of a check"):
    from dagster._core.events import ASSET_CHECK_EVENTS as ASSET_CHECK_EVENTS
with POOLED.needs("tells which events of a run stand in the index too"):
    from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS as EVENT_TYPE_TO_PIPELINE_RUN_STATUS
with POOLED.needs("is the table of events, of which a whole batch is written at once"):
    from dagster._core.storage.event_log import SqlEventLogStorageTable as SqlEventLogStorageTable
with POOLED.needs("is the table of assets, of which a batch writes each row once"):
    from dagster._core.storage.event_log import AssetKeyTable as AssetKeyTable
with POOLED.needs("names the migration after which the table of assets has times"):
    from dagster._core.storage.event_log.migration import ASSET_KEY_INDEX_COLS as ASSET_KEY_INDEX_COLS
with POOLED.needs("is the event log in SQLite files that the pooled one extends"):
    from dagster._core.storage.event_log import SqliteEventLogStorage as SqliteEventLogStorage

if not TYPE_CHECKING and "SqliteEventLogStorage" not in globals():
    # An instance without configuration has it, wherever it lives.
    with dg.DagsterInstance.local_temp() as _instance:
        SqliteEventLogStorage = type(_instance.event_log_storage)


TOGETHER = Way("Each event is logged alone instead, which takes longer than some windows")
"""Many events of a step in one transaction (`defs.events`)."""

with TOGETHER.needs("tells the storage which events come together"):
    from dagster._core.events import DagsterEventBatchMetadata as DagsterEventBatchMetadata
with TOGETHER.needs("is what the event of a materialization carries"):
    from dagster._core.events import StepMaterializationData as StepMaterializationData
with TOGETHER.needs("is what the event of an observation carries"):
    from dagster._core.events import AssetObservationData as AssetObservationData


PLANNED = Way("A block keeps its colour instead where a choice of pairs fails in it")
"""That a run is to materialize partitions beyond its range (`defs.events`)."""

with PLANNED.needs("is what the event of a planned materialization carries"):
    from dagster._core.events import AssetMaterializationPlannedData as AssetMaterializationPlannedData


SILENT = Way("What the run prints is captured instead, by four processes more")
"""A run whose output stays in the terminal (`defs.home`)."""

with SILENT.needs("captures nothing of what a run prints"):
    from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager as NoOpComputeLogManager


LIGHT = Way("The plan of a run stays in memory instead, a kilobyte for each partition and asset")
"""What is left in memory of the events with which a run is planned (`forget_plan`)."""

with LIGHT.needs("is the event of a planned check"):
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationPlanned as AssetCheckEvaluationPlanned,
    )


def forget_plan() -> None:
    """Have Dagster let go of the events of the first plan that this process makes.

    It completes this class when the first of its objects is made, and keeps for good whatever is in sight there: in a
    plan, all events so far. Of 76,800 pairs they are 200 MB. Here nothing is in sight.
    """
    if closed := LIGHT.closed:
        warnings.warn(closed, stacklevel=2)
        return
    AssetCheckEvaluationPlanned(asset_key=dg.AssetKey("none"), check_name="none")


PLACED = Way("A run of the command line has no place on the timeline instead, and stands among all runs as before")
"""A run of the command line on the timeline of the UI (`defs.runs.of_location`)."""

with PLACED.needs("names a code location wherever it is served"):
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin as RegisteredCodeLocationOrigin
with PLACED.needs("names what a code location defines"):
    from dagster._core.remote_origin import RemoteRepositoryOrigin as RemoteRepositoryOrigin


SOONER = Way("A backfill from the UI may wait 30 seconds instead")
"""How soon the daemon looks for new backfills (`look_sooner`)."""

LOOK_S = 5
"""Seconds between two looks of Dagster's daemon at backfills."""


def look_sooner() -> None:
    """Let Dagster's daemon look at backfills every `LOOK_S` seconds where this is its process; elsewhere do nothing.

    It looks every 30 seconds, which no setting changes: half of that is a sixth of a backfill of the whole lattice. A
    look at one of 768 pairs under way takes at most 0.2 seconds of CPU. Whoever has it look even sooner keeps that.
    """
    controller, name = sys.modules.get("dagster._daemon.controller"), "DEFAULT_DAEMON_INTERVAL_SECONDS"
    if controller is None:
        return
    if not hasattr(controller, name):
        warnings.warn(SOONER.because(f"has no {name}, which says how often it looks at backfills"), stacklevel=2)
        return
    setattr(controller, name, min(getattr(controller, name), LOOK_S))


AHEAD = Way("The plan of a backfill grows with each of its runs instead")
"""What a backfill is to cover, before all its runs have begun (`defs.plans`)."""


def targeted_partitions(backfill: Any, asset: str) -> list[str]:
    """Keys of the partitions of an asset that a backfill is to cover, sorted.

    Dagster shows them on its pages, and has no public name for them. A backfill of a job covers all its assets alike.

    Parameters
    ----------
    backfill
        What `DagsterInstance.get_backfill` gives.
    asset
        Key of the asset.

    Returns
    -------
    list of str
        Empty, with a warning, where Dagster keeps them otherwise.
    """
    key = dg.AssetKey(asset)
    try:
        if backfill.asset_backfill_data is None:
            chosen = backfill.asset_selection
            return sorted(backfill.partition_names or ()) if chosen is None or key in chosen else []
        subset = backfill.asset_backfill_data.target_subset.partitions_subsets_by_asset_key.get(key)
        return sorted(subset.get_partition_keys()) if subset is not None else []
    except (AttributeError, TypeError) as error:
        warnings.warn(AHEAD.because(f"keeps otherwise what a backfill covers ({error})"), stacklevel=2)
        return []


LOCAL_STORAGE = """\
run_storage:
  module: dagster._core.storage.runs
  class: SqliteRunStorage
  config: {base_dir: data/dagster/history}
event_log_storage:
  module: sensequant_assets.storage.sqlite
  class: PooledSqliteEventLogStorage
  config: {base_dir: data/dagster/history/runs}
schedule_storage:
  module: dagster._core.storage.schedules
  class: SqliteScheduleStorage
  config: {base_dir: data/dagster/schedules}
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config: {base_dir: data/dagster}
compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config: {base_dir: data/dagster/storage}
"""
"""Storage of an instance below data/dagster, as `dagster.yaml` names it where another directory is the home."""
