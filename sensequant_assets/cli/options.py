"""Options that commands share, and what they name: settings, pairs, a batch, and who asks."""

import getpass
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from sensequant_assets.cli.console import say
from sensequant_assets.core.lattice import Key, Recipe
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import MarketSettings, Settings, describe_default, prepare_data_dir, read_settings
from sensequant_assets.telemetry.questions.batches import batch_ids
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

NO_BATCH = "No batch yet: `sensequant backfill` starts one."
_NAMED = 8
_COPIED = f"{__name__}.copied"

_TYPES: dict[Any, Any] = {int: int, float: float, Path: click.Path()}
"""How click reads an option of a field's type; it leaves any other to the settings as text."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A number within bounds, which click does not ask of what is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number; click calls it so."""
        number = super().convert(value, param, ctx)
        return self.fail(f"{value} is not a number.", param, ctx) if isnan(number) else number


def setting_option(name: str) -> Callable[[_Command], _Command]:
    """The option that sets a field of `Settings`: its name, its type, and its description with its default."""
    field = Settings.model_fields[name]
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if field.annotation is bool:
        # Not given, it leaves the word to the environment.
        return click.option(f"--{name.replace('_', '-')}", is_flag=True, default=None, help=field.description)
    kind = click.Choice(choices) if choices else _TYPES.get(field.annotation)
    default = describe_default(Settings, name)
    shown = f"{str(field.description).removesuffix('.')} ({default})." if default else field.description
    return click.option(f"--{name.replace('_', '-')}", type=kind, help=shown)


def market_options(command: _Command) -> _Command:
    """Add the options that say which lattice is meant, and which part of it."""
    windows = click.option("--windows", callback=parts_of, help="Only these, by start date, separated by commas.")
    return symbols_options(windows(command))


def symbols_options(command: _Command) -> _Command:
    """Add the options that say which lattice is meant, and which symbols of it."""
    return lattice_options(
        click.option("--symbols", callback=parts_of, help="Only these, separated by commas.")(command)
    )


def lattice_options(command: _Command) -> _Command:
    """Add the options that say which lattice is meant, the recipe after the others."""
    for name in reversed(sorted(MarketSettings.model_fields, key=Recipe.model_fields.__contains__)):  # noqa: C413
        command = setting_option(name)(command)
    return command


def params_option(command: _Command) -> _Command:
    """Add the option that sets parameters one by one."""
    help_text = "A parameter, such as TEACHER_NUM_LEAVES=31; repeatable."
    return click.option("--param", "params", multiple=True, metavar="K=V", help=help_text)(command)


def settings_of(options: Mapping[str, Any], *, remembered: bool = False) -> Settings:
    """Settings of those options of a command that are fields of `Settings`."""
    given = {name: value for name, value in options.items() if name in Settings.model_fields}
    return read_settings(given, remembered=remembered)


def parts_of(context: click.Context, option: click.Parameter, text: str | None) -> list[str] | None:  # noqa: ARG001
    """The parts of an option that holds several, separated by commas; None if it was not given. Click calls it so."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise click.BadParameter("it names nothing; leave it out for all.")
    return parts


def selected(market: Market, symbols: Sequence[str] | None, windows: Sequence[str] | None) -> list[Key]:
    """Pairs of these symbols and windows, symbol by symbol; None stands for all, and an unknown name is an error."""
    return market.keys(
        None if symbols is None else market.universe.select(symbols),
        None if windows is None else market.select_windows(windows),
    )


def known_batch(store: TelemetryStore, asked: str | None) -> str | None:
    """The batch asked for, or the latest; None before the first.

    Raises
    ------
    UsageError
        Telemetry has no batch of that name; it names the last ones it has.
    """
    known = batch_ids(store)
    if asked is None:
        return known[0] if known else None
    if asked not in known:
        more = f" and {len(known) - _NAMED} earlier ones" if len(known) > _NAMED else ""
        there = f"There are: {', '.join(known[:_NAMED])}{more}." if known else NO_BATCH
        raise UsageError(f"{store.database} has no batch {asked}. {there}")
    return asked


def named_batch(store: TelemetryStore, asked: str | None) -> str:
    """The batch that was asked for, or the latest.

    Raises
    ------
    UsageError
        Telemetry has no such batch, or none yet.
    """
    found = known_batch(store, asked)
    if found is None:
        raise UsageError(NO_BATCH)
    return found


def telemetry_store(*, older: bool = False) -> TelemetryStore:
    """The telemetry of the data directory; if `older`, one that answers of an earlier state and says so."""
    settings = read_settings()
    prepare_data_dir(settings)
    copied(settings)
    return TelemetryStore(settings.telemetry_dir, (lambda said: say(said, err=True)) if older else None)


def copied(settings: Settings, *, alone: bool = False) -> None:
    """Take what the copy elsewhere has and the data directory lacks, and put what the command writes at its end.

    Once a command, the first time as it is asked for; `alone` is as of `settled`.

    Raises
    ------
    UsageError
        As of `settled`.
    """
    context = click.get_current_context(silent=True)
    if settings.remote is None or context is None or context.meta.setdefault(_COPIED, False):
        return
    # Who has no copy pays for no client.
    from sensequant_assets.batch.remote import settled

    taken = context.with_resource(settled(settings, lambda said: say(said, err=True), alone=alone))
    context.meta[_COPIED] = True
    if taken:
        say(f"{counted(taken.files, 'file')} taken from {settings.remote} to {settings.data_dir}.", err=True)
        if taken.company:
            say(f"At work with it is {taken.company}: what it has not ended is not seen here.", err=True)


def who() -> str:
    """Name of the person, as far as the machine knows one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
