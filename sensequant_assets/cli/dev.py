"""`sensequant dev`: the Dagster UI and daemon on the data of the command line."""

import os
import sys
from typing import Any, NoReturn

import click

from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import market_options, settings_of
from sensequant_assets.defs.home import naming_damage, open_instance, prepare_home
from sensequant_assets.defs.models import pool_of
from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
from sensequant_assets.defs.runs import fail_dead_runs, limit_pool
from sensequant_assets.settings import PROJECT, environment, read_teacher
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.telemetry.store import TelemetryStore


@click.command()
@market_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True, help="Port to listen on.")
def dev(host: str, port: int, **options: Any) -> None:
    """Start the Dagster UI and daemon on the data that the command line trained.

    It shows the market of the options, else of the environment, else of the last batch.
    """
    if not host.strip():
        raise click.BadParameter("it names no address.", param_hint="--host")
    settings = settings_of(options, remembered=True)
    universe = read_universe(settings.universe)
    home = prepare_home(settings)
    # The webserver and the daemon open it at once; and what was killed with the last ones still reads as started.
    with naming_damage(home), open_instance(home) as instance:
        fail_dead_runs(instance, TelemetryStore(settings.telemetry_dir), settings)
        add_symbols(instance, symbol_partitions(universe.name), universe.symbols)
        limit_pool(instance, pool_of(read_teacher()))
    say(f"Universe {settings.universe}, bars {settings.bars}, windows {settings.start} to {settings.end}.")
    say(f"Dagster home {home}; UI on http://{host}:{port}")
    workspace = PROJECT / "workspace.yaml"
    where = ["-w", str(workspace)] if workspace.exists() else ["-m", "sensequant_assets.definitions"]
    _become(
        [sys.executable, "-m", "dagster", "dev", *where, "-h", host, "-p", str(port)],
        {**os.environ, **environment(settings)},
    )


def _become(command: list[str], variables: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(command[0], command, variables)  # noqa: S606  # no shell, and no text of a user but host and port
