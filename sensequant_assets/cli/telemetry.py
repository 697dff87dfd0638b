"""Commands about telemetry: `sensequant query`, `failures` and `report` read it, `telemetry rebuild` mends it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import NO_BATCH, known_batch, telemetry_store
from sensequant_assets.errors import advice
from sensequant_assets.telemetry.questions.failures import BATCHES, PermanentFailure, permanent_failures
from sensequant_assets.telemetry.render import Format, render
from sensequant_assets.text import json_text


@click.command()
@click.argument("sql")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Of the rows.",
)
def query(sql: str, form: Format) -> None:
    """Ask the telemetry in SQL, also while a batch writes it.

    \b
    Tables: batches, runs, window_runs, planned_windows, verdicts, trials, evaluations, profiles, events
    Views:  last_attempts, pair_status, window_status, batch_summary, costs, batch_costs

    \b
    sensequant query "SELECT outcome, count(*) FROM window_runs GROUP BY outcome"
    sensequant query "SELECT batch_id, model, models, cpu_s, peak_mb FROM batch_costs ORDER BY ALL"
    """
    if not sql.isascii() and sql.encode(errors="replace").decode() != sql:
        raise click.BadParameter("it is no UTF-8 text.", param_hint="SQL")
    store = telemetry_store(older=True)
    with store.copy():
        click.echo(render(store.query(sql), form))


@click.command()
@click.option(
    "--batches",
    type=click.IntRange(min=1),
    default=BATCHES,
    show_default=True,
    help="Failed in each of so many attempted batches in a row.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def failures(batches: int, as_json: bool) -> None:
    """List permanent failures: what failed every time it was tried of late, since when, and what to do about it.

    A batch that skipped a window neither breaks nor lengthens its row of failures.
    """
    found = permanent_failures(telemetry_store(), batches)
    if as_json:
        for entry in found:
            click.echo(json_text(entry.as_json()))
        return
    console(width=200).print(failures_view(found, batches))


@click.command()
@click.option("--batch", "batch_id", metavar="ID", help="A batch or Dagster backfill; the latest unless given.")
@click.option("--against", metavar="ID", help="An earlier batch: say what has changed since.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; <data_dir>/reports/<batch>.html unless given.",
)
def report(batch_id: str | None, against: str | None, out: Path | None) -> None:
    """Write one HTML page about a batch that opens anywhere, offline, and print its path.

    A batch that nobody has evaluated since it changed is evaluated first.
    """
    from sensequant_assets.batch.noise import noise_of_batch
    from sensequant_assets.cli.findings import backtest_or_none, findings_or_why
    from sensequant_assets.report.facts import read_report
    from sensequant_assets.report.page import default_path, write_page

    store = telemetry_store(older=True)
    found = known_batch(store, batch_id)
    if found is None:
        click.echo(NO_BATCH)
        return
    other = None if against is None else known_batch(store, against)
    findings, why = findings_or_why(store, found)
    noise, tested = noise_of_batch(store, found), backtest_or_none(store, found)
    read = read_report(store, found, against=other, findings=findings, no_findings=why, noise=noise, backtest=tested)
    say(write_page(read, out or default_path(store.directory.parent, found)))


@click.group()
def telemetry() -> None:
    """Mend the telemetry of the data directory."""


@telemetry.command()
def rebuild() -> None:
    """Make telemetry.duckdb anew, row for row, from the shards that runs wrote.

    Closed shards are kept in telemetry/archive; batches from before that are taken from the old database as far as it
    can be read. The new file takes the place of the old one once it is whole, and a damaged one is put aside as
    telemetry.duckdb.damaged-1. Runs may go on meanwhile.
    """
    store = telemetry_store()
    out = console(sys.stderr)
    with Progress(*Progress.get_default_columns(), console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("bytes of shards", total=None)
        rebuilt = store.rebuild(lambda done, total: bar.update(task, completed=done, total=total))
    say(f"{store.database}: {rebuilt.rows} records of {rebuilt.shards} shards.")
    if rebuilt.copied:
        say(f"{rebuilt.copied} rows whose shards are not kept are from the old database.")
    for file in rebuilt.aside:
        say(f"The old one could not be read to its end; it is {file}.")
    for file in rebuilt.lost:
        say(f"{file} cannot be read, and its rows are missing where the old database did not have them.", err=True)


def failures_view(found: Sequence[PermanentFailure], batches: int) -> RenderableType:
    """The ledger for a terminal."""
    if not found:
        return Text(f"No window failed in each of its last {batches} attempted batches.")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "symbol", "window", "batches", "since", "kind"):
        table.add_column(name, justify="right" if name == "batches" else "left", no_wrap=True)
    table.add_column("last error", overflow="fold")
    for entry in found:
        cells = (
            entry.model,
            entry.symbol,
            str(entry.window_start),
            str(entry.batches),
            f"{entry.since:%Y-%m-%d %H:%M}Z",
            entry.failure_kind,
            entry.error_message,
        )
        table.add_row(*(styled(cell) for cell in cells))
    kinds = dict.fromkeys(entry.failure_kind for entry in found)
    return Group(table, Text(""), *(styled(f"{kind}: {advice(kind)}") for kind in kinds))
