"""Commands that only read telemetry: `sensequant progress`, `sensequant failures` and `sensequant report`."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sensequant_assets.telemetry.store import TelemetryStore

NO_BATCH = "No batch yet: `sensequant backfill` starts one."
_NAMED = 8


@click.command()
@click.option("--watch", is_flag=True, help="Show it again and again until the batch ends.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds between two looks."
)
@click.option("--batch", "batch_id", metavar="ID", help="A batch or Dagster backfill; the latest unless given.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a look, each on its line.")
def progress(watch: bool, interval: float, batch_id: str | None, as_json: bool) -> None:
    """Say how far a batch is, whoever started it: percent of its plan, counts, pace, time to go, first failures."""
    # Who looks on stops looking by Ctrl-C; the batch goes on.
    with suppress(KeyboardInterrupt):
        _show_progress(watch, interval, batch_id, as_json)


def _show_progress(watch: bool, interval: float, batch_id: str | None, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from sensequant_assets.progress import follow, view

    store = _store()
    found = known_batch(store, batch_id)
    if found is None:
        click.echo(json.dumps({"batch_id": None}) if as_json else NO_BATCH)
        return
    looks = follow(store, found, clock=lambda: datetime.now(UTC), pause=lambda: time.sleep(interval))
    console = Console(highlight=False)
    if watch and console.is_terminal and not as_json:
        with Live(console=console, auto_refresh=False) as live:
            for look in looks:
                live.update(view(look), refresh=True)
        return
    for look in looks:
        if as_json:
            click.echo(json.dumps(look.as_json(), ensure_ascii=False))
        else:
            console.print(view(look), soft_wrap=True)
        if not watch:
            return


@click.command()
@click.option(
    "--batches",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Failed in each of so many attempted batches in a row.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def failures(batches: int, as_json: bool) -> None:
    """List permanent failures: what failed every time it was tried of late, since when, and what to do about it.

    A batch that skipped a window neither breaks nor lengthens its row of failures.
    """
    from rich.console import Console

    from sensequant_assets.ledger import permanent_failures, view

    found = permanent_failures(_store(), batches)
    if as_json:
        for entry in found:
            click.echo(json.dumps(entry.as_json(), ensure_ascii=False))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 200)
    console.print(view(found, batches))


@click.command()
@click.option("--batch", "batch_id", metavar="ID", help="A batch or Dagster backfill; the latest unless given.")
@click.option("--against", metavar="ID", help="An earlier batch: say what has changed since.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; <data_dir>/reports/<batch>.html unless given.",
)
def report(batch_id: str | None, against: str | None, out: Path | None) -> None:
    """Write one HTML page about a batch that opens anywhere, offline, and print its path."""
    from sensequant_assets.report import read_report
    from sensequant_assets.report_page import default_path, write_page

    store = _store()
    found = known_batch(store, batch_id)
    if found is None:
        click.echo(NO_BATCH)
        return
    other = None if against is None else known_batch(store, against)
    read = read_report(store, found, against=other)
    click.echo(write_page(read, out or default_path(store.directory.parent, found)))


def known_batch(store: "TelemetryStore", asked: str | None) -> str | None:
    """The batch asked for, or the latest; None before the first.

    Raises
    ------
    UsageError
        Telemetry has no batch of that name; it names the last ones it has.
    """
    from sensequant_assets.errors import UsageError

    known = [
        str(row["batch_id"])
        for row in store.query("SELECT batch_id FROM batches ORDER BY started_at DESC, batch_id DESC").to_pylist()
    ]
    if asked is None:
        return known[0] if known else None
    if asked not in known:
        more = f" and {len(known) - _NAMED} earlier ones" if len(known) > _NAMED else ""
        there = f"There are: {', '.join(known[:_NAMED])}{more}." if known else NO_BATCH
        raise UsageError(f"{store.database} has no batch {asked}. {there}")
    return asked


def _store() -> "TelemetryStore":
    from sensequant_assets.settings import read_settings
    from sensequant_assets.telemetry.store import TelemetryStore

    return TelemetryStore(read_settings().data_dir / "telemetry")
