"""What old batches leave behind that nothing needs: runs of Dagster, shards, pages, and files of what was killed."""

import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg

from sensequant_assets.defs.resources import with_default
from sensequant_assets.defs.runs import identity_of
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.models.champions import named_batches
from sensequant_assets.report.briefing import briefing_paths
from sensequant_assets.report.page import backtest_path, default_path
from sensequant_assets.settings import CHAMPIONS_DIR, NOISE_DIR, Settings
from sensequant_assets.storage.compacting import compact
from sensequant_assets.telemetry.journal import utc_now, writer_is_gone
from sensequant_assets.telemetry.questions.batches import batches_over
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import file_name

TEMPORARY = re.compile(
    r"\..+\.(?P<replacing>\d+)\.[0-9a-f]{8}(\.wal)?|.+\.(?P<journal>\d+)-[0-9a-f]{8}\.new|\.rebuild-(?P<rebuild>\d+)-\w+"
)
"""Names of what is on its way to its place, with the process that makes it: of `replacing`, a journal, a rebuild."""

_AT_ONCE = 1000
_DATABASES = ("history/runs/index.db", "history/runs.db")
"""Those of Dagster's that lose rows with a run."""

PRUNING = "pruning"


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

    A run stays that holds the latest materialization or observation of a partition, which the grid shows, and so does
    all that is left of a batch whose students serve or ever served. Files on their way to their place are waste if
    their process is gone and they are older than the time.

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

    Raises
    ------
    UsageError
        A record of champions cannot be read, so that nobody can tell what it names.
    """
    data_dir = telemetry.directory.parent
    over = batches_over(telemetry, keep=keep_batches, before=before) - named_batches(data_dir / CHAMPIONS_DIR)
    yield from _runs(instance, over, before)
    yield from _files(telemetry, over, before)
    yield from _twins(data_dir / NOISE_DIR, before)
    yield from _left_behind(data_dir, before)


def _runs(instance: dg.DagsterInstance, over: Collection[str], before: datetime) -> Iterator[Waste]:
    home, needed = Path(instance.root_directory), _shown(instance)
    batches = [run for run in instance.get_runs() if identity_of(run).batch_id in over]
    own = instance.get_runs(filters=dg.RunsFilter(job_name=PRUNING, created_before=before))
    for kind, runs in (("Dagster runs", batches), ("earlier prunings", own)):
        for run in runs:
            if run.is_finished and run.run_id not in needed:
                events = home / "history" / "runs" / f"{run.run_id}.db"
                yield Waste(kind, (events, home / "storage" / run.run_id), run.run_id)


def _files(telemetry: TelemetryStore, over: Collection[str], before: datetime) -> Iterator[Waste]:
    names = {file_name(batch): batch for batch in over}
    for name, batch in sorted(names.items()):
        shards = telemetry.archive / name
        if shards.is_dir():
            yield Waste("kept shards", (shards,))
        data_dir = telemetry.directory.parent
        for page in (default_path(data_dir, batch), backtest_path(data_dir, batch), *briefing_paths(data_dir, batch)):
            if page.is_file():
                yield Waste("report pages", (page,))
    for shard in sorted(telemetry.shards.glob("*.jsonl")):
        # What was written before that time is taken in: the batches were asked for after it.
        if (
            shard.name.split(".", 1)[0] in names
            and _is_old(shard, before)
            and shard.is_file()
            and writer_is_gone(shard)
        ):
            yield Waste("shards of killed writers", (shard,))


def _twins(directory: Path, before: datetime) -> Iterator[Waste]:
    """Noise twins that no evaluation has used since a time; one that is wanted again is trained again."""
    for path in sorted(directory.glob("*/*.json")):
        if path.is_file() and _is_old(path, before):
            yield Waste("noise twins", (path,))


def _left_behind(data_dir: Path, before: datetime) -> Iterator[Waste]:
    for path in data_dir.rglob("*"):
        found = TEMPORARY.fullmatch(path.name)
        if found and path.is_dir() == bool(found["rebuild"]) and _is_old(path, before):
            process = found["replacing"] or found["journal"] or found["rebuild"]
            if not Path(f"/proc/{process}").exists():
                yield Waste("temporary files", (path,))


def _is_old(path: Path, before: datetime) -> bool:
    return path.lstat().st_mtime < before.timestamp()


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning removed, or would.

    Attributes
    ----------
    found
        Count and bytes by kind.
    compacted
        Bytes that Dagster's databases gave back for what was removed of them.
    """

    found: Mapping[str, tuple[int, int]]
    compacted: int = 0

    def told(self, did: str = "removed") -> list[str]:
        """The same in lines, one a kind."""
        lines = [f"{did} {count} {kind}, {size / 1024:.0f} KiB" for kind, (count, size) in self.found.items()]
        if self.compacted:
            lines.append(f"compacted Dagster's databases, {self.compacted / 1024:.0f} KiB")
        return lines or ["Nothing to remove."]


def prune(
    instance: dg.DagsterInstance,
    telemetry: TelemetryStore,
    *,
    keep_batches: int,
    before: datetime,
    dry_run: bool = False,
) -> Pruned:
    """Remove what old batches leave behind; parameters as of `waste`, and nothing goes in a dry run."""
    found: dict[str, tuple[int, int]] = {}
    for one in list(waste(instance, telemetry, keep_batches=keep_batches, before=before)):
        count, size = found.get(one.kind, (0, 0))
        found[one.kind] = count + 1, size + one.bytes
        if not dry_run:
            remove(instance, one)
    databases = [path for name in _DATABASES if (path := Path(instance.root_directory) / name).is_file()]
    return Pruned(found, 0 if dry_run else sum(map(compact, databases)))


def pruning_job(desk: Desk) -> dg.JobDefinition:
    """The job that prunes; its Launchpad has the settings' values as defaults."""
    settings, fields = desk.settings, Settings.model_fields

    class Config(dg.Config):
        """What stays."""

        keep_batches: int = with_default(fields["prune_keep_batches"], settings.prune_keep_batches)
        older_than_d: float = with_default(fields["prune_older_than_d"], settings.prune_older_than_d)

    @dg.op(name="prune", description="Removes what old batches leave behind, and logs how much of each kind.")
    def carry_out(context: dg.OpExecutionContext, config: Config) -> None:
        before = utc_now() - timedelta(days=config.older_than_d)
        pruned = prune(context.instance, desk.telemetry, keep_batches=config.keep_batches, before=before)
        for line in pruned.told():
            context.log.info(line)

    @dg.job(name=PRUNING, description="Removes runs, kept shards and pages of old batches; models and rows stay.")
    def pruning() -> None:
        carry_out()

    return pruning


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
