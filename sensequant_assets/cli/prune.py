"""`sensequant prune`: remove what old batches leave behind."""

from collections import Counter
from datetime import timedelta

import click

from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import Number, telemetry_store
from sensequant_assets.defs.home import naming_damage, open_instance, prepare_home
from sensequant_assets.defs.pruning import remove, waste
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.journal import utc_now


@click.command()
@click.option(
    "--keep-batches", type=click.IntRange(min=1), required=True, help="So many of the newest stay, whatever their age."
)
@click.option("--older-than", type=Number(min=0, max=36500), required=True, help="In days; the rest stays.")
@click.option("--dry-run", is_flag=True, help="Remove nothing.")
def prune(keep_batches: int, older_than: float, dry_run: bool) -> None:
    """Remove what old batches leave behind, and say how much of each kind.

    Of a batch that is over, not among the newest and older than that: its runs and their events in Dagster, its kept
    shards and its report page. Temporary files of that age go if their process is gone. Models stay, and so do the
    rows in telemetry.duckdb, which are small; a later `telemetry rebuild` takes those of removed shards from the old
    database, as far as it can be read. A run stays that holds what the grid shows of a partition.

    \b
    sensequant prune --keep-batches 10 --older-than 30 --dry-run
    """
    settings = read_settings()
    home = prepare_home(settings)
    counts, sizes = Counter[str](), Counter[str]()
    with naming_damage(home), open_instance(home, capture_output=False) as instance:
        before = utc_now() - timedelta(days=older_than)
        for found in list(waste(instance, telemetry_store(), keep_batches=keep_batches, before=before)):
            counts[found.kind] += 1
            sizes[found.kind] += found.bytes
            if not dry_run:
                remove(instance, found)
    did = "would remove" if dry_run else "removed"
    for kind, count in counts.items():
        say(f"{did} {count} {kind}, {sizes[kind] / 1024:.0f} KiB")
    if not counts:
        say("Nothing to remove.")
