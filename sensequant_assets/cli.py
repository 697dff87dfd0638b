"""`sensequant ...`: parse, call, print."""

import atexit
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from sensequant_assets import __version__
from sensequant_assets.cli_telemetry import failures, progress, report
from sensequant_assets.errors import SenseQuantError

EXIT_EXCEEDED, EXIT_USAGE = 1, 2

_COLLECT_EVERY = 100_000
"""New objects after which Python looks for garbage; 700 is its default."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Prints an error of ours as one sentence, and exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SenseQuantError as error:
            click.echo(f"sensequant: {error}", err=True)
            ctx.exit(EXIT_USAGE)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sensequant")
def main() -> None:
    """Train, check and govern a teacher and a student model for every (symbol, window) of an equity universe.

    \b
    sensequant plan        what would be trained, and what is skipped and why
    sensequant backfill    train it
    sensequant progress    how far a batch is, whoever started it
    sensequant report      one HTML page about a batch
    sensequant failures    what fails again and again, and what to do
    sensequant query SQL   ask the telemetry
    sensequant dev         the Dagster UI on the same data

    Every option can be set in the environment or in .env; an option wins over both.
    """


def _market_options(command: _Command) -> _Command:
    options = (
        click.option("--universe", type=click.Path(path_type=Path), help="Universe file: symbol, name, listing_date."),
        click.option("--bars", help="File or directory of bars, or 'sample' for the embedded ones."),
        click.option("--start", help="First day of the first window, such as 2022-01-01."),
        click.option("--end", help="Day after the last window."),
        click.option("--window-days", type=int, help="Calendar days a window (180)."),
        click.option("--horizon", type=int, help="Bars that a label looks ahead (7)."),
        click.option("--threshold", type=float, help="A label is 1 above this forward return (0.02)."),
        click.option("--timezone", help="Exchange time zone of zoned bars, such as Asia/Kolkata."),
        click.option("--symbols", help="Only these, separated by commas."),
        click.option("--windows", help="Only these, by start date, separated by commas."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _settings(options: dict[str, Any], names: Sequence[str] = ()) -> Any:
    from sensequant_assets.settings import MARKET_FIELDS, read_settings

    return read_settings({name: options.get(name) for name in (*MARKET_FIELDS, *names)})


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _selected(market: Any, options: dict[str, Any]) -> list[tuple[str, str]]:
    symbols, windows = _split(options["symbols"]), _split(options["windows"])
    keys: list[tuple[str, str]] = market.keys(
        None if symbols is None else market.universe.select(symbols),
        None if windows is None else market.select_windows(windows),
    )
    return keys


@main.command()
@_market_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
def plan(as_json: bool, **options: Any) -> None:
    """Show the lattice before anything is trained: every pair, eligible or skipped and why, and its rows."""
    from sensequant_assets.market import Market
    from sensequant_assets.show import plan_records, plan_table

    market = Market.open(_settings(options))
    # One at a time: a large market keeps only the symbols asked for last.
    pairs = (market.pair(*key) for key in _selected(market, options))
    if as_json:
        for record in plan_records(market, pairs):
            click.echo(json.dumps(record))
    else:
        plan_table(market, list(pairs))


@main.command()
@_market_options
@click.option(
    "--select",
    type=click.Choice(["all", "missing", "failed"]),
    default="all",
    show_default=True,
    help="missing: without both models on disk; failed: whose last attempt failed.",
)
@click.option("--teachers-only", is_flag=True, help="Train no students.")
@click.option("--students-only", is_flag=True, help="Train students on the teachers of their last batch.")
@click.option("--workers", type=int, help="Windows at once (the number of cores).")
@click.option("--max-failure-rate", type=float, help="Greatest share of attempted windows that may fail (0.15).")
@click.option(
    "--param", "params", multiple=True, metavar="K=V", help="A parameter, such as TEACHER_NUM_LEAVES=31; repeatable."
)
@click.option("--force", is_flag=True, help="Train even what is unchanged.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def backfill(
    select: Any,
    teachers_only: bool,
    students_only: bool,
    params: tuple[str, ...],
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train teachers, check their failure rate, train students.

    Without options it trains the embedded sample: five US companies, eight windows of 180 days from 2009. What is
    unchanged since it was trained is reused. It is recorded where `sensequant dev` shows it.

    \b
    Exit codes: 0 done; 1 more windows failed than allowed; 2 bad usage or input.

    \b
    sensequant backfill --universe nifty100.csv --bars nse_daily.parquet --start 2022-01-01 --end 2025-12-10
    sensequant backfill --symbols AAPL,IBM --param TEACHER_NUM_LEAVES=31
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    if teachers_only and students_only:
        raise click.UsageError("--teachers-only and --students-only exclude each other.")
    from sensequant_assets.operate import Request, run_batch
    from sensequant_assets.settings import parse_overrides, read_student, read_teacher

    settings = _settings(options, ("workers", "max_failure_rate"))
    teacher, student = parse_overrides(params)
    summary = run_batch(
        Request(
            settings=settings,
            teacher=read_teacher(teacher),
            student=read_student(student),
            symbols=_split(options["symbols"]),
            windows=_split(options["windows"]),
            select=select,
            models=("teacher",) if teachers_only else ("student",) if students_only else ("teacher", "student"),
            force=force,
        ),
        progress=sys.stderr,
        report=sys.stderr if as_json else sys.stdout,
    )
    if as_json:
        spent = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu_started}
        click.echo(json.dumps(summary.as_json() | {name: round(value, 3) for name, value in spent.items()}))
    sys.exit(EXIT_EXCEEDED if summary.exceeded else 0)


@main.command()
@click.argument("sql")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Of the rows.",
)
def query(sql: str, form: str) -> None:
    """Ask the telemetry in SQL, also while a batch writes it.

    \b
    Tables: batches, runs, window_runs, planned_windows, verdicts, events
    Views:  window_status, batch_summary

    \b
    sensequant query "SELECT outcome, count(*) FROM window_runs GROUP BY outcome"
    """
    from sensequant_assets.settings import read_settings
    from sensequant_assets.telemetry.render import render
    from sensequant_assets.telemetry.store import TelemetryStore

    store = TelemetryStore(read_settings().data_dir / "telemetry")
    click.echo(render(store.query(sql), form))  # type: ignore[arg-type]  # click has checked the choice


@main.command()
@_market_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
def dev(host: str, port: int, **options: Any) -> None:
    """Start the Dagster UI and daemon on the data that the command line trained.

    It shows the market of the options, else of the environment, else of the last batch.
    """
    from sensequant_assets.defs.batches import fail_dead_runs, limit_pool
    from sensequant_assets.defs.models import pool_of
    from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
    from sensequant_assets.home import environment, open_instance, prepare_home
    from sensequant_assets.settings import MARKET_FIELDS, PROJECT, read_settings, read_teacher
    from sensequant_assets.sources.files import read_universe
    from sensequant_assets.telemetry.store import TelemetryStore

    settings = read_settings({name: options.get(name) for name in MARKET_FIELDS}, remembered=True)
    universe = read_universe(settings.universe)
    home = prepare_home(settings)
    # The webserver and the daemon open it at once; and what was killed with the last ones still reads as started.
    with open_instance(home) as instance:
        fail_dead_runs(instance, TelemetryStore(settings.data_dir / "telemetry"))
        add_symbols(instance, symbol_partitions(universe.name), universe.symbols)
        limit_pool(instance, pool_of(read_teacher()))
    click.echo(f"Universe {settings.universe}, bars {settings.bars}, windows {settings.start} to {settings.end}.")
    click.echo(f"Dagster home {home}; UI on http://{host}:{port}")
    workspace = PROJECT / "workspace.yaml"
    where = ["-w", str(workspace)] if workspace.exists() else ["-m", "sensequant_assets.definitions"]
    _become(
        [sys.executable, "-m", "dagster", "dev", *where, "-h", host, "-p", str(port)],
        {**os.environ, **environment(settings)},
    )


def _become(command: list[str], variables: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(command[0], command, variables)  # noqa: S606  # no shell, and no text of a user but host and port


main.add_command(progress)
main.add_command(failures)
main.add_command(report)


def run() -> NoReturn:
    """Be the process `sensequant`: `main`, started and ended at less cost.

    What is imported are hundred thousands of objects that stay. Python's collector would look through them again and
    again, and its end would take them down one by one: a second and a half between them, a fifth of a batch that
    reuses every model. Mypy, for one, does both.
    """
    gc.set_threshold(_COLLECT_EVERY)
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    run()
