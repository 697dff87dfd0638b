"""`sensequant tune`: search parameters, and judge the best on windows that the search never saw."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import lattice_options, params_option, setting_option, settings_of, telemetry_store
from sensequant_assets.core.judging.bootstrap import ENOUGH_DATES
from sensequant_assets.settings import Settings, parse_overrides, read_student, read_teacher
from sensequant_assets.text import counted, file_name, json_text

if TYPE_CHECKING:
    from sensequant_assets.batch.bench import Search, Tried
    from sensequant_assets.batch.tuning import Tell, Tuned


@click.command()
@lattice_options
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True, help="Points that are tried.")
@click.option("--locked", type=click.IntRange(min=1), default=2, show_default=True, help="Last windows it never sees.")
@click.option(
    "--space", "spaces", multiple=True, metavar="K=V", help="What is searched; repeatable. Default: by scope."
)
@click.option("--name", metavar="NAME", help="Of the search and its preset; the universe's unless given.")
@params_option
@setting_option("workers")
@setting_option("cost_bp")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def tune(
    trials: int, locked: int, spaces: tuple[str, ...], name: str | None, params: tuple[str, ...], as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Search parameters by their students' rank IC on the windows after theirs, all but the last ones.

    The last windows are locked away: the search has no bar of them. When it ends, the best point is judged on them
    once, and becomes a preset. Every trial is a row of `trials`, so that evaluations and promotions know how many there
    were. A search that was killed goes on where it was. It needs Optuna: install sensequant-assets[tune].

    \b
    A space: TEACHER_NUM_LEAVES=15:255:log, STUDENT_MAX_DEPTH=2:4, 'SENSEQUANT_LABEL=threshold|cross_sectional'

    \b
    sensequant tune --trials 30 --locked 5
    sensequant tune --space num_leaves=7:63:log --space STUDENT_N_ESTIMATORS=20:150
    sensequant backfill --preset sample
    """
    from sensequant_assets.batch.presets import preset_path, write_preset
    from sensequant_assets.batch.tuning import tune as searched

    settings = settings_of(options).dated()
    search = _search(settings, trials, locked, spaces, name, params)
    path, telemetry = preset_path(settings.presets_dir, search.name), telemetry_store()
    telemetry.require()
    say(f"locked: {counted(locked, 'window')} from {search.locked_from}, of which the search has no bar", err=True)
    say(f"space: {', '.join(map(str, search.axes))}", err=True)
    with _progress(search) as (tell, tell_window):
        found = searched(search, telemetry, tell, tell_window)
    about = [f"Trial {found.number} of search {search.name}, which has seen no row from {search.locked_from} on."]
    write_preset(path, found.candidate, search.axes, about)
    if as_json:
        click.echo(json_text(_told(search, found, path)))
    else:
        _show(search, found, path)


def _search(
    settings: Settings, trials: int, locked: int, spaces: tuple[str, ...], name: str | None, params: tuple[str, ...]
) -> "Search":
    from sensequant_assets.batch.bench import Search
    from sensequant_assets.batch.space import Candidate, read_space

    overrides = parse_overrides(params)
    teacher = read_teacher(overrides[0])
    student = read_student(overrides[1], teacher.scope)
    chosen = name or file_name(settings.universe_name)
    base = Candidate(settings, teacher, student)
    return Search(chosen, base, overrides, read_space(spaces, teacher.scope), locked, trials)


def _show(search: "Search", found: "Tuned", path: Path) -> None:
    from sensequant_assets.cli.evaluate import beyond, legend, scores_table, warnings

    out = console(width=150)
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items())
    say(f"Search {search.name}: {search.trials} trials ({counts}); the best is trial {found.number}.")
    for title, examined in (
        ("The rows that chose it", found.chosen),
        ("The locked rows, which the search never saw", found.kept),
    ):
        judged = examined.judged
        out.print()
        out.print(
            styled(
                f"{title}: {counted(len(examined.gathered.rows), 'row')} of {counted(judged.dates, 'date')}, "
                f"{judged.first} to {judged.last}, {counted(judged.blocks, 'block')}."
            ),
            soft_wrap=True,
        )
        out.print(scores_table(judged.scores))
        # How often choice overfits is known of the rows that chose alone, where all trials have a series.
        told = [*beyond(examined)][: None if examined is found.chosen else -1]
        for line in (*told, *warnings(judged)):
            out.print(styled(line), soft_wrap=True)
    out.print()
    out.print(styled(legend(search.settings.cost_bp, search.settings.horizon)), soft_wrap=True)
    for line in _verdict(search, found, path):
        say(line)


def _verdict(search: "Search", found: "Tuned", path: Path) -> Iterator[str]:
    student = next(one for one in found.kept.judged.scores if one.name == "student")
    rank_ic, dates = student["rank_ic"], found.kept.judged.dates
    ends = "without an interval" if isnan(rank_ic.low) else f"[{rank_ic.low:+.4f}, {rank_ic.high:+.4f}]"
    shows = "is surely above 0" if rank_ic.low > 0 else "shows no skill"
    yield (
        f"On the locked rows the student's rank IC {rank_ic.value:+.4f} {ends} {shows} "
        f"({student.rows:,} rows, {student.dates:,} dates)."
    )
    if found.looks > 1:
        yield f"Trials of this search were judged on them {found.looks} times: what is chosen by that has seen them."
    yield f"Preset {search.name} is {path}: sensequant backfill --preset {search.name}"
    more = f", and has {dates:,} so far" if dates < ENOUGH_DATES else ""
    yield (
        f"`sensequant promote` counts rows from {search.locked_from} on alone for these parameters; it asks for "
        f"{ENOUGH_DATES} dates{more}."
    )


def _told(search: "Search", found: "Tuned", path: Path) -> dict[str, Any]:
    return {
        "search": search.name, "trials": search.trials, **found.counts, "best": found.number, "looks": found.looks,
        "preset": str(path), "locked_from": str(search.locked_from),
        "values": {axis.name: found.candidate.of(axis) for axis in search.axes},
        "chosen": found.chosen.as_json(), "locked": found.kept.as_json(),
    }  # fmt: skip


@contextmanager
def _progress(search: "Search") -> "Iterator[tuple[Tell, Callable[[int, int, int], None]]]":
    """Show on standard error what became of each trial, and how far the next one is."""
    out = console(sys.stderr, unwatched=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=out,
        transient=True, disable=not out.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("reading bars", total=search.trials)

        def tell(tried: "Tried") -> None:
            bar.update(task, completed=tried.done)
            out.print(styled(_sentence(tried)), soft_wrap=True)

        def tell_window(number: int, done: int, of: int) -> None:
            bar.update(task, description=f"trial {number}: window {done} of {of}")

        yield tell, tell_window


def _sentence(tried: "Tried") -> str:
    values = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in tried.values.items()
    )
    head = f"{tried.done} of {tried.trials}: trial {tried.number} {tried.state}"
    if tried.state == "failed":
        return f"{head}: {tried.why} {values}"
    if tried.state == "again":
        return f"{head}: rank IC {tried.rank_ic:+.4f} as before; {values}"
    ends = "" if isnan(tried.low) else f" [{tried.low:+.4f}, {tried.high:+.4f}]"
    return (
        f"{head}: rank IC {tried.rank_ic:+.4f}{ends} on {tried.rows:,} rows of {tried.dates:,} dates, "
        f"{tried.windows[0]} of {tried.windows[1]} windows; {values}"
    )
