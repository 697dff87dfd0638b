"""`sensequant profile`: what parameters take, make and are worth on a sample, setting by setting."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from sensequant_assets.batch.grid import settings_of as grid_settings
from sensequant_assets.batch.profiling import Asked, asked_before, begin, left_of, made_by, measure_all, require
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import market_options, setting_option, settings_of, telemetry_store
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.errors import BrokeOffError, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.report.page import profile_path, write_profile
from sensequant_assets.report.profile import Profile, Table, read_profile, tables
from sensequant_assets.settings import Settings, absolute_market
from sensequant_assets.telemetry.journal import new_name
from sensequant_assets.telemetry.questions.profiles import measurements
from sensequant_assets.telemetry.records import Measurement
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import json_text

LATEST = "latest"
_DEVICES = get_args(TeacherParameters.model_fields["device_type"].annotation)


@click.command()
@click.option(
    "--grid", multiple=True, metavar="NAME=V,V", help="Values of a parameter, student_NAME for a student's; repeatable."
)
@click.option(
    "--param", "params", multiple=True, metavar="K=V", help="A parameter that all settings share; repeatable."
)
@click.option("--device", type=click.Choice(_DEVICES), help="Where teachers are trained, as TEACHER_DEVICE_TYPE.")
@click.option(
    "--repeats", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs of each setting, one a turn."
)
@click.option(
    "--resume", is_flag=False, flag_value=LATEST, metavar="[ID]", help="Go on with a profile, the latest unless named."
)
@click.option("--compare", metavar="ID", help="Compare with this profile; with each setting's last one unless given.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Page to write; <data_dir>/reports/profile-<ID>.html unless given.",
)
@market_options
@setting_option("workers")
@setting_option("cost_bp")
@setting_option("noise_windows")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a run, each on its line.")
def profile(
    resume: str | None, compare: str | None, out: Path | None, as_json: bool, repeats: int, **options: Any
) -> None:
    """Measure what settings of parameters take, make and are worth on a sample, and compare them.

    Each setting of the grid trains the symbols and windows that are named, as a batch would, --repeats times in turn,
    each time in a process of its own; the models are judged once, as by `evaluate`, and not kept. Telemetry keeps every
    run as it ends (table `profiles`), so that a profile that was killed goes on with --resume, and one of another day
    stands beside the next of the same.

    \b
    sensequant profile --grid num_leaves=63,127,255 --grid max_depth=9,12 --symbols TCS,INFY,SBIN
    sensequant profile --grid device_type=cpu,gpu --repeats 5 --symbols TCS,INFY,SBIN
    sensequant profile --grid student_num_leaves=7,15 --windows 2024-01-01,2024-06-29
    sensequant profile --resume
    """
    settings = settings_of(options)
    telemetry = telemetry_store()
    telemetry.require()
    if resume is None:
        asked = _asked(settings, repeats, options)
        require(asked)
        begin(asked, telemetry)
    else:
        asked = _resumed(telemetry, resume, options)
    left = left_of(asked, measurements(telemetry, asked.profile))
    if resume is not None and left:
        require(asked)
    _measure(asked, left, telemetry, settings)
    found = read_profile(telemetry, asked.profile, len(asked.turns), compare)
    if found is None:
        raise BrokeOffError(f"Profile {asked.profile} has no run. Go on with `sensequant profile --resume`.")
    if as_json:
        for row in measurements(telemetry, asked.profile):
            click.echo(json_text({name: _plain(value) for name, value in row.items()}))
    else:
        _show(console(width=170), found)
    page = write_profile(found, out or profile_path(settings.data_dir, asked.profile))
    say(f"page  {page}", err=as_json)
    if found.broke_off:
        named = ", ".join(each.name for each in found.broke_off)
        raise BrokeOffError(f"Not every run came to its end: {named}. {found.broke_off[0].failure}")


def _asked(settings: Settings, repeats: int, options: dict[str, Any]) -> Asked:
    grid = grid_settings(options["grid"], options["params"], options["device"])
    settings = settings.dated()
    first = grid[0]
    market = Market.open(settings, first.teacher, first.student, settings.features, options["symbols"])
    return Asked(
        profile=new_name(),
        market={
            name: None if value is None else str(value) for name, value in absolute_market(settings.market).items()
        },
        features=settings.features,
        symbols=list(market.universe.symbols),
        windows=list(market.window_keys if options["windows"] is None else market.select_windows(options["windows"])),
        settings=grid,
        repeats=repeats,
        workers=settings.worker_count,
        window_timeout_s=settings.window_timeout_s,
        noise_windows=settings.noise_windows,
        cost_bp=settings.cost_bp,
        code=made_by(),
    )


def _resumed(telemetry: TelemetryStore, resume: str, options: dict[str, Any]) -> Asked:
    """A profile as it was asked before.

    Raises
    ------
    UsageError
        It is given other settings, or is unfinished and of other code.
    """
    for option, name in (("grid", "grid"), ("param", "params"), ("device",) * 2, ("symbols",) * 2, ("windows",) * 2):
        if options[name]:
            raise UsageError(f"--resume goes on with a profile as it was asked, and --{option} asks for another one.")
    asked = asked_before(telemetry, None if resume == LATEST else resume)
    if asked.code != made_by() and left_of(asked, measurements(telemetry, asked.profile)):
        raise UsageError(
            f"Profile {asked.profile} was begun by other code, whose times are others. Begin it anew, without --resume."
        )
    return asked


def _measure(asked: Asked, left: list[tuple[int, int]], telemetry: TelemetryStore, settings: Settings) -> None:
    out = console(sys.stderr, unwatched=True)
    if not left:
        return
    out.print(f"profile {asked.profile}; if it is killed: sensequant profile --resume {asked.profile}", soft_wrap=True)
    with _progress(out, asked, len(left)) as tell:
        measure_all(asked, left, telemetry, settings.profiles_dir, tell)


@contextmanager
def _progress(out: Console, asked: Asked, left: int) -> Iterator[Callable[[int, int, Measurement | None], None]]:
    """Show how far a profile is; what comes out of it is called before and after each run."""
    total = len(asked.turns)
    done = total - left
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=out, transient=True, disable=not out.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=total, completed=done)

        def tell(number: int, turn: int, found: Measurement | None) -> None:
            nonlocal done
            name = f"{asked.settings[number - 1].name}, run {turn} of {asked.repeats}"
            if found is None:
                bar.update(task, description=name)
                if number == turn == 1 and asked.noise_windows:
                    out.print("the noise twin is trained after the first run, if it is not there", soft_wrap=True)
                return
            done += 1
            bar.update(task, completed=done)
            took = f"{found.wall_s:.2f} s" if found.wall_s is not None else f"broke off: {found.failure}"
            out.print(f"{done} of {total}: {name}: {took}", soft_wrap=True)

        yield tell


def _show(out: Console, found: Profile) -> None:
    out.print(found.head, soft_wrap=True)
    for table in tables(found):
        out.print()
        out.print(_table(table))
        for note in table.notes:
            out.print(note, soft_wrap=True)


def _table(found: Table) -> RichTable:
    table = RichTable(title=found.title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(found.heads):
        table.add_column(head, justify="left" if place == 0 or head == "setting" else "right", no_wrap=place == 0)
    for line in found.lines:
        table.add_row(line.name, *line.cells)
    return table


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, dict, list, type(None))) else str(value)
