"""What old batches leave behind that nothing needs: runs of Dagster, shards, pages, and files of what was killed."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg

from sensequant_assets.defs.runs import identity_of
from sensequant_assets.report.page import default_path
from sensequant_assets.telemetry.questions.batches import batches_over
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import file_name

_TEMPORARY = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}(\.wal)?|.+\.(\d+)-[0-9a-f]{8}\.new")
"""Names of files on their way to their place, with the process that writes them: of `replacing`, and of a journal."""

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that can go.

    Attributes
    ----------
    kind
        What it is.
    paths
        Files and directories of it, as far as there are any.
    run_id
        The Dagster run it is, or nothing.
    """

    kind: str
    paths: tuple[Path, ...]
    run_id: str = ""

    @property
    def bytes(self) -> int:
        """What its files take on the disk."""
        return sum(_size(file) for path in self.paths for file in (path.rglob("*") if path.is_dir() else (path,)))


def waste(
    instance: dg.DagsterInstance, telemetry: TelemetryStore, *, keep_batches: int, before: datetime
) -> Iterator[Waste]:
    """What can go of the batches that ended before a time and are none of the newest.

    A run stays that holds the latest materialization or observation of a partition, which the grid shows. Files on
    their way to their place are waste if their process is gone and they are older than the time.

    Parameters
    ----------
    instance
        Of the data directory.
    telemetry
        Beside whose directory models and pages lie.
    keep_batches
        How many of the newest batches stay whatever their age.
    before
        What is younger stays.
    """
    data_dir, home = telemetry.directory.parent, Path(instance.root_directory)
    over = batches_over(telemetry, keep=keep_batches, before=before)
    needed = _shown(instance)
    for run in instance.get_runs():
        if run.is_finished and identity_of(run).batch_id in over and run.run_id not in needed:
            events = home / "history" / "runs" / f"{run.run_id}.db"
            yield Waste("Dagster runs", (events, home / "storage" / run.run_id), run.run_id)
    for batch in sorted(over):
        shards = telemetry.archive / file_name(batch)
        if shards.is_dir():
            yield Waste("kept shards", (shards,))
        page = default_path(data_dir, batch)
        if page.is_file():
            yield Waste("report pages", (page,))
    for path in data_dir.rglob("*"):
        found = _TEMPORARY.fullmatch(path.name)
        old = found and path.is_file() and path.stat().st_mtime < before.timestamp()
        if found and old and not Path(f"/proc/{found[1] or found[3]}").exists():
            yield Waste("temporary files", (path,))


def remove(instance: dg.DagsterInstance, found: Waste) -> None:
    """Remove it; what is gone already is uneventful."""
    if found.run_id:
        instance.delete_run(found.run_id)
    for path in found.paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        if file.is_file():
            return file.stat().st_blocks * 512
    return 0


def _shown(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold the latest event of an asset or of one of its partitions."""
    runs = set()
    sources = (
        (dg.DagsterEventType.ASSET_MATERIALIZATION, instance.fetch_materializations),
        (dg.DagsterEventType.ASSET_OBSERVATION, instance.fetch_observations),
    )
    for key in instance.get_asset_keys():
        for kind, fetch in sources:
            latest = [record.run_id for record in fetch(key, limit=1).records]
            ids = sorted(instance.get_latest_storage_id_by_partition(key, kind).values())
            for first in range(0, len(ids), _AT_ONCE):
                chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[first : first + _AT_ONCE])
                latest += [record.run_id for record in fetch(chosen, limit=_AT_ONCE).records]
            runs.update(latest)
    return runs
