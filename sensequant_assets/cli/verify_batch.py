"""`sensequant verify-batch`: every number of a batch computed again from bars and models, and what differs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import NO_BATCH, known_batch, telemetry_store
from sensequant_assets.errors import Exit, UsageError
from sensequant_assets.settings import read_settings
from sensequant_assets.text import json_text

if TYPE_CHECKING:
    from sensequant_assets.batch.certificate import Certificate, Tell

_SHOWN = 20


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
def verify_batch(batch_id: str, as_json: bool) -> int:
    """Compute every number of a batch again, from bars and models, and name what differs.

    It needs the data directory alone: bars are those that the batch has read, by digest, from the tables that are kept
    of them, or else from where they came. Nothing is trained.

    \b
    Exit codes: 0 everything is as it was told; 1 something differs, which is named; 2 something cannot be verified.

    \b
    sensequant verify-batch 20260131-184502-3f9a
    """
    from sensequant_assets.batch.certificate import certify
    from sensequant_assets.models.store import ModelStore
    from sensequant_assets.telemetry.questions.batches import batch
    from sensequant_assets.telemetry.store import DamagedError

    settings, telemetry = read_settings(), telemetry_store()
    try:
        found = known_batch(telemetry, batch_id)
        if found is None:
            raise UsageError(NO_BATCH)
        universe = batch(telemetry, found)["universe"]
        if not universe:
            raise UsageError(f"Telemetry does not know the universe of batch {found}, so that nothing can be verified.")
        with _progress() as tell:
            made = certify(telemetry, found, ModelStore(settings.models_dir, universe), settings.features, tell)
    except DamagedError as error:
        say(f"differs: {error}", err=True)
        return Exit.EXCEEDED
    if as_json:
        click.echo(json_text(made.as_json()))
    else:
        _tell(made)
    return Exit.EXCEEDED if made.differences else Exit.USAGE if made.unverifiable else Exit.DONE


def _tell(made: "Certificate") -> None:
    from sensequant_assets.batch.certificate import NOT_COVERED

    for name, number in made.checked.items():
        say(f"compared {number:,} {name}")
    for remark in (*made.remarks, *NOT_COVERED):
        say(f"note {remark}")
    for kind, lines in (("differs", made.differences), ("cannot be verified", made.unverifiable)):
        for line in lines[:_SHOWN]:
            say(f"{kind}: {line}", err=True)
        if len(lines) > _SHOWN:
            say(f"{kind}: {len(lines) - _SHOWN:,} more; `--json` has them all.", err=True)
    if made.verified:
        say(f"Batch {made.batch_id} is verified: all of it is as it was told.")
    else:
        counts = f"{len(made.differences):,} differences, {len(made.unverifiable):,} things that cannot be verified"
        say(f"Batch {made.batch_id} is not verified: {counts}.", err=True)


@contextmanager
def _progress() -> Iterator["Tell"]:
    """Show on standard error what is verified, and how much of it is."""
    out = console(sys.stderr, unwatched=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
