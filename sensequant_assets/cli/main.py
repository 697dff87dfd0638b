"""The command `sensequant`: which commands there are, and how its process starts and ends."""

import atexit
import gc
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from sensequant_assets import __version__
from sensequant_assets.errors import SenseQuantError

EXIT_USAGE = 2

_COLLECT_EVERY = 100_000
"""New objects after which Python looks for garbage; 700 is its default."""


COMMANDS = {
    "plan": "plan",
    "backfill": "backfill",
    "progress": "progress",
    "report": "telemetry",
    "failures": "telemetry",
    "query": "telemetry",
    "dev": "dev",
}
"""The module of each command; what one imports, no other pays for."""


class _Group(click.Group):
    """Imports a command when it is asked for, and prints an error of ours as one sentence, with exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"sensequant_assets.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print nothing: the text of the group names every command."""

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
    atexit._run_exitfuncs()  # noqa: SLF001  # what `os._exit` leaves out, and Python runs under no other name
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else code is not None)
