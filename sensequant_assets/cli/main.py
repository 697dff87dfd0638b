"""The command `sensequant`: which commands there are, and how its process starts and ends."""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import StringIO
from typing import Any, NoReturn

import click

from sensequant_assets import __version__
from sensequant_assets.cli.interrupts import answer_interrupts
from sensequant_assets.errors import Exit, SenseQuantError
from sensequant_assets.text import printable, printable_lines

_COLLECT_EVERY = 100_000
"""New objects after which Python looks for garbage; 700 is its default."""


GROUPS = {
    "Begin": {
        "demo": ("demo", "see it all on the embedded sample, in a directory of its own"),
        "init": ("init", "make a directory of your own"),
    },
    "Bring bars": {
        "ingest": ("ingest", "fetch bars from a vendor"),
        "plan": ("plan", "what would be trained, and what is skipped and why"),
        "coverage": ("coverage", "which bars there are, by symbol and month"),
        "check-bars": ("check_bars", "what is wrong with the bars, by rule, day, file and row"),
    },
    "Train": {
        "backfill": ("backfill", "train it"),
        "progress": ("progress", "how far a batch is, whoever started it"),
        "limit": ("limit", "let more or fewer windows of a batch fail, also while it runs"),
        "failures": ("telemetry", "what fails again and again, and what to do"),
        "replay": ("replay", "what another limit, or other attempts, would have made of past batches"),
    },
    "Judge": {
        "evaluate": ("evaluate", "what its models are worth on the windows after theirs"),
        "backtest": ("backtest", "what their predictions would have come to as a portfolio, net of costs"),
        "stress": ("stress", "how the champion bears crashes of the past, and shocks to the newest bars"),
        "profile": ("profile", "what parameters take, make and are worth, setting by setting"),
        "tune": ("tune", "search parameters, and judge the best on windows that the search never saw"),
        "report": ("telemetry", "one HTML page about a batch"),
        "briefing": ("briefing", "what is to be known of a batch before its students serve"),
        "verify-batch": ("verify_batch", "every number of it computed again, and what differs"),
    },
    "Serve": {
        "promote": ("champions", "let the students of a batch serve, if they show enough"),
        "champions": ("champions", "who serves, since when and on what evidence"),
        "rollback": ("champions", "let an earlier version serve again"),
        "predict": ("predict", "what the champion says of the newest bars"),
        "serve": ("serve", "the same over HTTP"),
        "explain": ("explain", "why it says that, feature by feature"),
        "why": ("why", "why a model is another one than before"),
        "monitor": ("monitor", "what came of it, and whether the champion still is what it was promoted for"),
    },
    "Keep it running": {
        "dev": ("dev", "the Dagster UI on the same data"),
        "prepare": ("dev", "make Dagster's instance for services that are started each by itself"),
        "query": ("telemetry", "ask the telemetry"),
        "telemetry": ("telemetry", "make a damaged or lost telemetry.duckdb anew"),
        "prune": ("prune", "remove what old batches leave behind"),
        "backup": ("backup", "copy the data directory and Dagster's instance while they are in use"),
        "restore": ("backup", "put such a copy into an empty data directory"),
        "completion": ("completion", "let the Tab key complete commands and options"),
    },
}
"""What `--help` shows: of each command its module, which no other command pays for, and what it is for."""

COMMANDS = {name: module for group in GROUPS.values() for name, (module, _) in group.items()}
"""The module of each command."""


class _Group(click.Group):
    """Imports a command when it is asked for, and turns whatever it raises into a sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"sensequant_assets.cli.{COMMANDS[cmd_name]}"), cmd_name.replace("-", "_")
        )
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        """Print what each is for, group by group, without importing one."""
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, what) for name, (_, what) in group.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _unread():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _unread():
            return super().invoke(ctx)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        call = super().main
        sys.exit(exit_code_of(lambda: call(*args, **extra | {"standalone_mode": False})))


class _UnreadError(Exception):
    """Whoever read the output has gone."""


class _Verbatim(StringIO):
    """Takes what click writes as it is; of what goes to anything but a terminal click cuts parts out."""

    def isatty(self) -> bool:
        return True


@contextmanager
def _unread() -> Iterator[None]:
    """Tell a reader that has gone from other exits, before click makes one of it with the code 1."""
    try:
        yield
    except BrokenPipeError as error:
        raise _UnreadError from error


def exit_code_of(command: Callable[[], Any]) -> int:
    """Call a command, say in a sentence what it raises, and give the exit code.

    Parameters
    ----------
    command
        What it returns is the exit code; nothing is 0.
    """
    try:
        with _unread():
            code = command()
            sys.stdout.flush()
    except SenseQuantError as error:
        return _say(str(error), error.exit_code)
    except click.ClickException as error:
        # It quotes what was asked for, and says so on several lines.
        with suppress(OSError), _Verbatim() as said:
            error.show(said)
            click.echo(printable_lines(said.getvalue()), err=True, nl=False)
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted.", Exit.INTERRUPTED)
    except _UnreadError:
        return Exit.UNREAD
    except BaseException as error:  # noqa: BLE001  # this is the door: nothing leaves it as a traceback
        if isinstance(error, SystemExit) and error.code == 0:
            return Exit.DONE  # so click ends what has answered the Tab key of a shell
        return _say(_fault(error), Exit.BROKE_OFF)
    return Exit.DONE if code is None else int(code)


def _say(message: str, code: int) -> int:
    # Where nobody can be told, the code still tells.
    with suppress(OSError):
        click.echo(f"sensequant: {printable(message)}", err=True)
    return code


def _fault(error: BaseException) -> str:
    from sensequant_assets.cli.faults import describe, write_log

    log = write_log(error)
    where = f"its traceback is in {log}" if log else "and no file can be written that would hold its traceback"
    return f"{describe(error)} - a fault of the program or of its machine; {where}"


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sensequant")
def main() -> None:
    """Train, check and govern a teacher and a student model for every (symbol, window) of an equity universe.

    \b
    sensequant backfill                                     train the embedded sample
    sensequant plan --universe nifty100.csv --bars bars/    what your own market would be
    sensequant backfill --symbols TCS,INFY --param TEACHER_NUM_LEAVES=31
    sensequant COMMAND --help                               what it takes, and its defaults

    Every option can be set in the environment or in .env; an option wins over both.
    """


def run() -> NoReturn:
    """Be the process `sensequant`: `main`, started and ended at less cost.

    What is imported are hundred thousands of objects that stay. Python's collector would look through them again and
    again, and its end would take them down one by one: a second and a half between them, a fifth of a batch that
    reuses every model. Mypy, for one, does both. Until the command is imported nothing is collected, and what it
    imported never.
    """
    gc.disable()
    gc.set_threshold(_COLLECT_EVERY)
    answer_interrupts()
    code: Any = Exit.INTERRUPTED
    with suppress(KeyboardInterrupt):
        try:
            main()
        except SystemExit as end:
            code = end.code
        # What is left to do is short, and Ctrl-C would cut it in two; a second one still ends the process.
        signal.signal(signal.SIGINT, lambda *_: None)
    atexit._run_exitfuncs()  # noqa: SLF001  # what `os._exit` leaves out, and Python runs under no other name
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else Exit.BROKE_OFF)
