"""`sensequant prune`: remove what old batches leave behind."""

from datetime import timedelta

import click

from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import Number, telemetry_store
from sensequant_assets.defs.home import naming_damage, open_instance, prepare_home
from sensequant_assets.defs.pruning import prune as remove
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
    shards, those that killed writers left, and its report page. Temporary files of that age go if their process is
    gone. Models stay, and so do the rows in telemetry.duckdb, which are small; a later `telemetry rebuild` takes those
    of removed shards from the old database, as far as it can be read. A run stays that holds what the grid shows of a
    partition. Dagster's databases give back the room of what was removed of them. The schedule `prune` does the same,
    once it is switched on.

    \b
    sensequant prune --keep-batches 10 --older-than 30 --dry-run
    """
    settings = read_settings()
    home = prepare_home(settings)
    before = utc_now() - timedelta(days=older_than)
    with naming_damage(home), open_instance(home, capture_output=False) as instance:
        pruned = remove(instance, telemetry_store(), keep_batches=keep_batches, before=before, dry_run=dry_run)
    for line in pruned.told("would remove" if dry_run else "removed"):
        say(line)
