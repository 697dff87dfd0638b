"""`sensequant promote`, `champions` and `rollback`: who serves, since when and on what evidence."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import (
    copied,
    named_batch,
    setting_option,
    settings_of,
    telemetry_store,
    who,
)
from sensequant_assets.errors import Exit
from sensequant_assets.models.champions import Champion, ChampionStore
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.text import json_text

if TYPE_CHECKING:
    from sensequant_assets.batch.evaluation import Subject
    from sensequant_assets.batch.promotion import Places
    from sensequant_assets.core.judging.promotion import Condition, Promotion
    from sensequant_assets.market.market import Market

_BY_DEFAULT = "the universe of the last batch"


@click.command()
@click.option("--batch", "batch_id", metavar="ID", help="A batch or Dagster backfill; the latest unless given.")
@click.option("--dry-run", is_flag=True, help="Judge it and change nothing.")
@setting_option("cost_bp")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def promote(batch_id: str | None, dry_run: bool, as_json: bool, **options: Any) -> int:
    """Let the students of a batch serve, if they show enough, and no less than those that serve.

    They are judged by what they serve of the windows after theirs: at least 500 dates, a rank IC surely above 0, also
    as the best of all trials of the universe, a Brier score surely below the training rate's, and neither surely worse
    than the incumbent's on the same rows. A number that the rows cannot answer passes nothing. A refusal names every
    condition that failed and ends with exit code 1.

    \b
    sensequant promote --dry-run
    sensequant promote --batch 20260131-184502-3f9a
    """
    from sensequant_assets.batch.promotion import challenge
    from sensequant_assets.batch.promotion import promote as step_up

    settings = settings_of(options)
    copied(settings, alone=not dry_run)
    subject, market, places = asked_about(batch_id, settings)
    found, universe = subject.batch_id, market.universe.name
    with reading() as tell:
        made = challenge(subject, market, places, features=settings.features, cost_bp=settings.cost_bp, tell=tell)
    stays = dry_run or made.serves or not made.found.passed
    champion = None if stays else step_up(made, places, by=who(), at=utc_now())
    if as_json:
        click.echo(json_text(made.as_json() | {"champion": _told(champion) if champion else None}))
    else:
        console(width=150).print(_conditions(made.found))
    for remark in made.remarks:
        say(remark, err=as_json)
    incumbent = f"version {made.incumbent.version}" if made.incumbent else "nothing"
    if made.serves:
        say(f"Batch {found} serves universe {universe} already, as {incumbent}.", err=as_json)
    elif not made.found.passed:
        for failed in made.found.failed:
            say(f"refused: {failed}", err=True)
        say(f"Batch {found} is not promoted; {incumbent} serves universe {universe}.", err=True)
        return Exit.EXCEEDED
    elif champion is None:
        say(f"Batch {found} passes; {incumbent} serves universe {universe} until it is promoted.", err=as_json)
    else:
        say(f"Version {champion.version} of universe {universe} is promoted. {champion.standing}", err=as_json)
    return Exit.DONE


@click.command()
@setting_option("universe")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a version, each on its line.")
def champions(as_json: bool, **options: Any) -> None:
    """Show who serves a universe, and the history: every promotion and rollback, with its evidence.

    \b
    sensequant champions
    sensequant champions --universe nifty100.csv --json
    """
    store = _store(settings_of(options, remembered=True), alone=False)
    history = store.history()
    if as_json:
        for champion in history:
            click.echo(json_text(_told(champion)))
        return
    if not history:
        say(f"Nothing serves universe {store.universe}: `sensequant promote` is first.")
        return
    console(width=150).print(_versions(history))
    say(f"Version {history[-1].version} serves universe {store.universe}. {history[-1].standing}")
    for symbol, why in history[-1].missing.items():
        say(f"{symbol} is served by none: {why}")


@click.command()
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="A version; the one before unless given.")
@setting_option("universe")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a sentence.")
def rollback(to: int | None, as_json: bool, **options: Any) -> None:
    """Let an earlier version serve again, at once and without a judgement.

    It becomes a version of its own that restores the earlier one: no row of the history is ever changed. Without --to
    it is the version that the promotion of those that serve took the place of.

    \b
    sensequant rollback
    sensequant rollback --to 3
    """
    store = _store(settings_of(options, remembered=True), alone=True)
    current = store.current()
    against = current.version if current else None
    champion = store.rollback(to, against=against, by=who(), at=utc_now())
    if as_json:
        click.echo(json_text(_told(champion)))
        return
    say(f"Version {champion.version} of universe {store.universe} restores version {champion.restores}.")
    say(champion.standing)


def _told(champion: Champion) -> dict[str, Any]:
    """A version as one JSON object."""
    return champion.model_dump(mode="json") | {"standing": champion.standing}


def _store(settings: Settings, *, alone: bool) -> ChampionStore:
    copied(settings, alone=alone)
    return ChampionStore(settings.champions_dir, settings.universe_name)


def _conditions(found: "Promotion") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("condition", "", "value", "interval", "against", "rows", "dates", "blocks"):
        table.add_column(name, justify="left" if name in ("condition", "") else "right", no_wrap=name != "condition")
    for each in found.conditions:
        table.add_row(*_cells(each))
    return table


def _cells(each: "Condition") -> tuple[str, ...]:
    said = each.as_json()
    value, interval = _number(said["value"]), "-"
    if said["low"] is not None:
        interval = f"[{said['low']:+.5f}, {said['high']:+.5f}]"
    if each.name == "dates":
        value = f"{each.dates:,}"
    against = f"{each.baseline:,.0f}" if each.name == "dates" else _number(said["baseline"], sign="")
    counts = (f"{number:,}" for number in (each.rows, each.dates, each.blocks))
    return (said["wanted"], "passed" if each.passed else "FAILED", value, interval, against, *counts)


def _number(value: float | None, sign: str = "+") -> str:
    return "-" if value is None or isnan(value) else f"{value:{sign}.5f}"


def _versions(history: Sequence[Champion]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("version", "since", "by", "batch", "scope", "supersedes", "restores", "rank IC", "dates", "trials"):
        table.add_column(name, no_wrap=True)
    for each in history:
        found = next((one for one in each.evidence.conditions if one.condition == "rank_ic"), None)
        rank_ic = "-" if found is None or found.value is None else f"{found.value:+.3f}"
        if found and found.low is not None and found.high is not None:
            rank_ic += f" [{found.low:+.3f}, {found.high:+.3f}]"
        numbers = ("-" if number is None else str(number) for number in (each.supersedes, each.restores))
        table.add_row(
            str(each.version), f"{each.promoted_at:%Y-%m-%d %H:%M}", each.by, each.batch_id, each.scope, *numbers,
            rank_ic, f"{each.evidence.dates:,}", str(each.evidence.trials),
        )  # fmt: skip
    return table


def asked_about(batch_id: str | None, settings: Settings) -> "tuple[Subject, Market, Places]":
    """A batch, the latest unless one is named, with its market, and where the models and champions of that lie.

    Raises
    ------
    UsageError
        Telemetry has no such batch, or none yet.
    """
    from sensequant_assets.batch.evaluation import Subject
    from sensequant_assets.batch.promotion import Places
    from sensequant_assets.market.market import Market
    from sensequant_assets.models.store import ModelStore

    telemetry = telemetry_store()
    subject = Subject.of_batch(telemetry, named_batch(telemetry, batch_id))
    market = Market.open(subject.settings, subject.teacher, subject.student, settings.features)
    universe = market.universe.name
    champions = ChampionStore(settings.champions_dir, universe)
    return subject, market, Places(ModelStore(settings.models_dir, universe), champions, telemetry)


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """Show on standard error how many symbols are read."""
    out = console(sys.stderr, unwatched=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=out, transient=True, disable=not out.is_terminal
    ) as bar:
        task = bar.add_task("reading models", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
