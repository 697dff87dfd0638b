"""`sensequant dev` and `prepare`: the Dagster UI and daemon on the data of the command line, or what they need."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from sensequant_assets.cli.addresses import LOOPBACK, listening, url_of, warn_if_open
from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import copied, lattice_options, settings_of
from sensequant_assets.defs.home import WORKSPACE, naming_damage, open_instance, prepare_home
from sensequant_assets.defs.models import pool_of
from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
from sensequant_assets.defs.runs import fail_dead_runs, limit_pool
from sensequant_assets.settings import TODAY, Settings, environment, read_teacher
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.telemetry.store import TelemetryStore

_PAGES = {
    "train": "/assets/student_models?view=partitions",
    "checks": "/assets/teacher_models?view=checks",
    "runs": "/runs",
    "new bars": "/automation",
}
"""What people look for first, and the page of the UI that has it."""


@click.command()
@lattice_options
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on; any other is open to others.")
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True, help="Port to listen on.")
@click.option(
    "--log-level",
    type=click.Choice(["critical", "error", "warning", "info", "debug"]),
    default="warning",
    show_default=True,
    help="What the web server and the daemon say in the terminal; the UI shows all of a run.",
)
def dev(host: str, port: int, log_level: str, **options: Any) -> None:
    """Start the Dagster UI and daemon on the data that the command line trained.

    It shows the market of the options, else of the environment, else of the last batch.
    """
    if not host.strip():
        raise click.BadParameter("it names no address.", param_hint="--host")
    # Before anything is started: where the port is taken, Dagster's daemon would go on without a UI.
    with listening(host, port) as listener:
        at = url_of(listener)
        warn_if_open(listener, "train, change and delete")
    settings = settings_of(options, remembered=True)
    home = _prepare(settings)
    say(f"Universe {settings.universe}, bars {settings.bars}, windows {settings.start} to {settings.end}.")
    if settings.end == TODAY:
        say("Windows end today: one that begins later is shown once its code location is reloaded, or after a restart.")
    say(f"Dagster home {home}; UI on {at}, in some seconds; Ctrl-C ends it.")
    for what, page in _PAGES.items():
        say(f"  {what:9} {at}{page}")
    # What stands beside the assets in a directory of one's own is named there.
    own = Path(WORKSPACE.name)
    workspace = own if own.is_file() else WORKSPACE
    command = [sys.executable, "-m", "sensequant_assets.cli.dagster_dev", "dev", "-w", str(workspace)]
    _become(
        [*command, "-h", host, "-p", str(port), "--log-level", log_level],
        {**os.environ, **environment(settings)},
    )


@click.command()
@lattice_options
def prepare(**options: Any) -> None:
    """Prepare the data directory for a web server, daemon and code server that are started each by itself.

    It writes Dagster's home with its dagster.yaml if there is none, makes the tables of its databases, adds the
    universe's symbols to the grid, and fails runs that were killed. With DAGSTER_POSTGRES_URL in the environment, a
    new dagster.yaml names that database. docs/deploy.md has the rest.
    """
    settings = settings_of(options, remembered=True)
    home = _prepare(settings)
    say(f"Universe {settings.universe}, bars {settings.bars}, windows {settings.start} to {settings.end}.")
    say(f"Dagster home {home}")


def _prepare(settings: Settings) -> Path:
    """Make the instance as the web server and the daemon are to find it; gives its home.

    They open it at once, and each would make its tables. What was killed with the last ones still reads as started.
    """
    universe = read_universe(settings.universe)
    home = prepare_home(settings)
    copied(settings)
    with naming_damage(home), open_instance(home) as instance:
        fail_dead_runs(instance, TelemetryStore(settings.telemetry_dir), settings)
        add_symbols(instance, symbol_partitions(universe.name), universe.symbols, settings.symbols_a_partition)
        limit_pool(instance, pool_of(read_teacher()))
    return home


def _become(command: list[str], variables: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(command[0], command, variables)  # noqa: S606  # no shell, and no text of a user but host and port
