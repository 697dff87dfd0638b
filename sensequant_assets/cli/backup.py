"""`sensequant backup` and `restore`: a copy of all that an installation keeps, and back."""

import os
from pathlib import Path

import click

from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import copied
from sensequant_assets.defs.backup import Backup, back_up
from sensequant_assets.defs.backup import restore as put_back
from sensequant_assets.defs.home import POSTGRES_URL, naming_damage, open_instance, prepare_home
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import read_settings
from sensequant_assets.text import counted

_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("directory", type=_DIRECTORY)
def backup(directory: Path) -> None:
    """Copy the data directory and Dagster's instance into DIRECTORY, also while a batch runs.

    Models, records, champions, shards, telemetry and tables are copied, and Dagster's databases as they are at one
    moment: SQLite's by its own backup, PostgreSQL's by pg_dump. The directory is made whole or not at all, with a
    digest of every file in backup.json. What is trained meanwhile may be trained again after a restore.
    """
    settings = read_settings()
    copied(settings)
    if not settings.data_dir.is_dir():
        raise UsageError(
            f"{settings.data_dir} is no directory, so there is nothing to back up. Set SENSEQUANT_DATA_DIR."
        )
    home = prepare_home(settings)
    with naming_damage(home), open_instance(home, capture_output=False) as instance:
        made = back_up(instance, settings, directory)
    _tell("backed up", made, settings.data_dir, directory)


@click.command()
@click.argument("directory", type=_DIRECTORY)
def restore(directory: Path) -> None:
    """Put the backup in DIRECTORY into the data directory, which must be empty or not there.

    Every file is compared with its digest before anything is in place. A dump of PostgreSQL goes into the empty
    database that DAGSTER_POSTGRES_URL names, in one transaction. Let no service run meanwhile.
    """
    settings = read_settings()
    kept = put_back(directory, settings, os.environ.get(POSTGRES_URL))
    _tell("restored", kept, directory, settings.data_dir)


def _tell(did: str, backup: Backup, source: Path, target: Path) -> None:
    instance = "Dagster's PostgreSQL database" if backup.dump else "Dagster's files among them"
    taken = f"{backup.taken_at:%Y-%m-%d %H:%M:%S}Z"
    say(f"{did} {counted(len(backup.files), 'file')}, {backup.size / 2**20:.1f} MiB, as of {taken}, and {instance}")
    say(f"from {source} to {target}")
    for name in backup.left_out:
        say(f"{name} is left out: it is no regular file, or its name is no text", err=True)
