"""`sensequant demo`: the embedded sample from bars to predictions, in a directory of its own."""

import os
from pathlib import Path

import click

from sensequant_assets.cli.backfill import backfill
from sensequant_assets.cli.console import say
from sensequant_assets.cli.evaluate import evaluate
from sensequant_assets.cli.init import is_as_made, make_project
from sensequant_assets.cli.predict import predict
from sensequant_assets.errors import Exit
from sensequant_assets.settings import is_setting

_STEPS: tuple[tuple[click.Command, tuple[str, ...]], ...] = (
    (backfill, ()),
    (evaluate, ()),
    (predict, ("--unproven",)),
)
_NEXT = {
    "sensequant dev": "the same in a browser: the graph, the grid of windows, checks and runs",
    "sensequant report": "one page about the batch, to be opened offline",
    'sensequant query "SELECT * FROM batch_summary"': "its telemetry, by SQL",
    "sensequant promote --dry-run": "whether these students may serve, condition by condition",
}


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("sensequant-demo"))
def demo(directory: Path) -> Exit:
    """Train, judge and ask the embedded sample, in DIRECTORY (sensequant-demo) and with the settings of that alone.

    The directory is one as `sensequant init` makes it. A second call goes on in it and reuses its models. Settings of
    the environment are left out, so that nothing of yours is read or written.

    \b
    sensequant demo
    cd sensequant-demo
    sensequant dev
    """
    directory = directory.resolve()
    if not is_as_made(directory):
        make_project(directory)
    say(f"Everything is in {directory}; remove it when you have seen enough.")
    # All that this process does from here on is of this directory.
    os.chdir(directory)
    for name in filter(_would_disturb, list(os.environ)):
        del os.environ[name]
    for command, arguments in _STEPS:
        say("")
        say(f"$ sensequant {' '.join((str(command.name), *arguments))}")
        code = command.main(list(arguments), f"sensequant {command.name}", standalone_mode=False)
        if code:
            return Exit(code)
    say("")
    say(f"What to look at next, after: cd {directory}")
    for line, what in _NEXT.items():
        say(f"  {line:48} {what}")
    return Exit.DONE


def _would_disturb(variable: str) -> bool:
    """Whether a variable says which data, how they are trained, or where Dagster keeps its instance."""
    return is_setting(variable) or variable.startswith("DAGSTER_")
