"""A batch as a person asks for it: choose the pairs, run them under a progress bar, and sum up what became of them."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from sensequant_assets.batch.devices import devices_of
from sensequant_assets.batch.engines.engine import require_engine
from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.batch.rows import pool_event
from sensequant_assets.batch.run import Options
from sensequant_assets.batch.shrinking import Shrink, shrink_of
from sensequant_assets.cli.alerts import alerting
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.launch import Launch, launch
from sensequant_assets.cli.options import (
    copied,
    market_options,
    params_option,
    selected,
    setting_option,
    settings_of,
)
from sensequant_assets.cli.tables import Told, summary_table, where_it_is
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import COUNTED, Outcome, Verdict
from sensequant_assets.core.parameters import MODELS, ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.core.quality.rules import NAMED_BY, summary
from sensequant_assets.defs.checks import describe
from sensequant_assets.defs.home import prepare_home
from sensequant_assets.errors import BrokeOffError, Exit, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings, parse_overrides, read_student, read_teacher, remember_market
from sensequant_assets.telemetry.journal import new_name
from sensequant_assets.telemetry.questions.failures import failed_pairs
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import json_text, printable


@click.command()
@market_options
@click.option(
    "--select",
    type=click.Choice(["all", "missing", "failed"]),
    default="all",
    show_default=True,
    help="missing: without both models on disk; failed: whose last attempt failed.",
)
@click.option("--teachers-only", is_flag=True, help="Train no students.")
@click.option("--students-only", is_flag=True, help="Train students on the teachers of their last batch.")
@setting_option("workers")
@setting_option("max_failure_rate")
@setting_option("stop_early")
@setting_option("allow_shrink")
@setting_option("device_fallback")
@params_option
@click.option("--preset", metavar="NAME", help="What `sensequant tune` has found under this name; --param wins.")
@click.option("--force", is_flag=True, help="Train even what is unchanged.")
@click.option(
    "--notify", is_flag=True, help="Post to SENSEQUANT_WEBHOOK_URL when a check fails or the batch breaks off."
)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def backfill(
    select: Any,
    teachers_only: bool,
    students_only: bool,
    params: tuple[str, ...],
    preset: str | None,
    force: bool,
    notify: bool,
    as_json: bool,
    **options: Any,
) -> Exit:
    """Train teachers, check their failure rate, train students.

    Without options it trains the embedded sample: five US companies, eight windows of 180 days from 2009. What is
    unchanged since it was trained is reused. It is recorded where `sensequant dev` shows it.

    \b
    Exit codes: 0 done; 1 more windows failed than allowed; 2 bad usage or input, nothing was trained; 3 the run broke
    off, or a fault of the program; 130 interrupted.

    \b
    sensequant backfill --universe nifty100.csv --bars nse_daily.parquet --start 2022-01-01 --end 2025-12-10
    sensequant backfill --symbols AAPL,IBM --param TEACHER_NUM_LEAVES=31
    sensequant backfill --preset nifty100 --notify
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    if teachers_only and students_only:
        raise click.UsageError("--teachers-only and --students-only exclude each other.")
    settings, for_teacher, for_student = _asked_for(options, params, preset)
    teacher = read_teacher(for_teacher)
    request = Request(
        settings=settings,
        teacher=teacher,
        student=read_student(for_student, teacher.scope),
        symbols=options["symbols"],
        windows=options["windows"],
        select=select,
        models=("teacher",) if teachers_only else ("student",) if students_only else ("teacher", "student"),
        force=force,
    )
    with alerting(notify, settings, "backfill") as tell:
        summary = run_batch(request, progress=sys.stderr, report=sys.stderr if as_json else sys.stdout)
        for model in summary.failed[:1]:
            counts = {"failed": model.failed, "attempted": model.attempted}
            tell(f"Batch {summary.batch_id}: {describe(model)}", batch=summary.batch_id, **counts)
    if as_json:
        spent = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu_started}
        click.echo(json_text(summary.as_json() | {name: round(value, 3) for name, value in spent.items()}))
    return Exit.EXCEEDED if summary.failed else Exit.DONE


def _asked_for(
    options: Mapping[str, Any], params: Sequence[str], preset: str | None
) -> tuple[Settings, dict[str, str], dict[str, str]]:
    """Settings, and what is said of teacher and student: options win over a preset, and that over the environment."""
    settings = settings_of(options)
    for_teacher, for_student = parse_overrides(params)
    if preset is None:
        return settings, for_teacher, for_student
    from sensequant_assets.batch.presets import read_preset

    found = read_preset(settings.presets_dir, preset)
    given = {name: value for name, value in options.items() if value is not None}
    return settings_of({**found.settings, **given}), {**found.teacher, **for_teacher}, {**found.student, **for_student}


Selection = Literal["all", "missing", "failed"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for.

    Attributes
    ----------
    settings
        Which market, and the defaults of a run.
    teacher, student
        Parameters.
    symbols, windows
        Only these; None for all.
    select
        Of those: all, the ones without both models on disk, or the ones whose last attempt failed.
    models
        Which models to train.
    force
        Train even what is unchanged.
    """

    settings: Settings
    teacher: TeacherParameters
    student: StudentParameters
    symbols: Sequence[str] | None = None
    windows: Sequence[str] | None = None
    select: Selection = "all"
    models: Sequence[ModelKind] = MODELS
    force: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a batch, as its run judged it.

    Attributes
    ----------
    batch_id
        The batch; None where there was nothing to do.
    models
        The verdicts, teachers first.
    """

    batch_id: str | None
    models: Sequence[Verdict] = ()

    @property
    def failed(self) -> list[Verdict]:
        """Verdicts of checks that failed, teachers first; where all windows were skipped, none did."""
        return [model for model in self.models if not model.passed and model.eligible > 0]

    def as_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        told = {model.model: model for model in self.models}
        nothing = {model: Verdict.of(model, dict.fromkeys(COUNTED, 0), None) for model in MODELS}
        return {"batch_id": self.batch_id} | {
            name: {"eligible": model.eligible, **model.counts, "failure_rate": model.failure_rate}
            | ({"stopped": model.stopped} if model.stopped else {})
            for name, model in (nothing | told).items()
        }


def run_batch(request: Request, *, progress: TextIO, report: TextIO) -> Summary:
    """Run a batch and say what became of it.

    Parameters
    ----------
    request
        What to train.
    progress
        Where the live progress goes.
    report
        Where the summary goes.

    Raises
    ------
    UsageError
        Anything is wrong before the first window: nothing was trained.
    BusyError, BrokeOffError, StoppedError
        The run did not come to its end, or telemetry cannot say what it asks.
    """
    settings, teacher = request.settings.dated(), request.teacher
    market = Market.open(settings, teacher, request.student, settings.features)
    devices_of(teacher, market, settings.device_fallback)
    require_engine(settings, teacher)
    store = ModelStore(settings.models_dir, market.universe.name)
    telemetry = TelemetryStore(settings.telemetry_dir)
    prepare_home(settings)
    shrink = _looked_after(settings, store, market)
    keys = _chosen(request, market, store, telemetry)
    # A batch is not over, and its verdict is no other, because nobody looks on.
    out = console(report, width=120, unwatched=True)
    if not keys:
        return _nothing_to_do(out, request)
    _warn(out, market, shrink)
    remember_market(request.settings)
    batch_id = new_name()
    limits = (settings.worker_count, settings.window_timeout_s, settings.max_failure_rate)
    options = Options(*limits, request.force, settings.allow_shrink, settings.stop_early, settings.device_fallback)
    total = len(keys) * len(request.models)
    told = Told(len(keys), settings.max_failure_rate)
    with _progress_bar(total, progress) as (show, show_pool):

        def tell(outcome: Outcome) -> None:
            told.outcome(outcome)
            show(outcome)

        failure = launch(
            Launch(
                settings, teacher, request.student, keys, request.models, options, batch_id, market, tell, told.verdict,
                show_pool, shrink, lambda said: _warn_of(out, said),
            )
        )  # fmt: skip
    notes = _notes(market, keys)
    # Bars leave memory before the ingest, which takes as much.
    del market
    _sum_up(out, batch_id, told, notes, settings)
    _take_in(telemetry, console(progress, unwatched=True))
    if failure:
        raise failure
    _require_verdicts(batch_id, request.models, told)
    return Summary(batch_id, told.models())


def _looked_after(settings: Settings, store: ModelStore, market: Market) -> Shrink:
    """See what was before: what others have done and telemetry, and what the universe has lost since; refuse too much.

    While others read telemetry, the universe is compared with that of an earlier batch, which is said.
    """
    copied(settings, alone=True)
    telemetry = TelemetryStore(settings.telemetry_dir, lambda said: say(said, err=True))
    telemetry.require()
    shrink = shrink_of(telemetry, store, market.universe, market.renames)
    shrink.require(settings.allow_shrink)
    return shrink


def _warn(out: Console, market: Market, shrink: Shrink) -> None:
    """Say what must not be taken for what it is not."""
    for idle in filter(attrgetter("misleading"), market.idle_settings(0)):
        out.print(f"warning {idle}", soft_wrap=True)
    if shrink.lost:
        out.print(Text(f"warning {printable(shrink)}."), soft_wrap=True)


def _warn_of(out: Console, said: str) -> None:
    out.print(Text(f"warning {printable(said)}"), soft_wrap=True)


def _notes(market: Market, keys: Sequence[Key]) -> list[str]:
    """How bars were read, and what the rules on bars find in them."""
    symbols = {symbol for symbol, _ in keys}
    found = market.findings_at_hand(symbols)
    return [*market.notes, *([f"{summary(found, len(symbols))} {NAMED_BY}"] if found else [])]


def _sum_up(out: Console, batch_id: str, told: Told, notes: Sequence[str], settings: Settings) -> None:
    for note in notes:
        out.print(Text(f"note {printable(note)}"), soft_wrap=True)
    if told.models():
        summary_table(out, batch_id, told)
        where_it_is(out, settings)


def _nothing_to_do(out: Console, request: Request) -> Summary:
    out.print(f"Nothing to do: no pair is {request.select}.")
    return Summary(None)


def _require_verdicts(batch_id: str, models: Sequence[ModelKind], told: Told) -> None:
    """Refuse to take a batch for done of which a model was not judged."""
    unjudged = [model for model in models if model not in told.verdicts]
    if unjudged:
        raise BrokeOffError(
            f"Batch {batch_id} ended without a verdict on its {' and '.join(unjudged)} models. "
            "See its run in `sensequant dev`, then run `sensequant backfill` again."
        )


def _take_in(telemetry: TelemetryStore, out: Console) -> None:
    """Take in what the run has written, so that who asks next need not; what keeps it from that is told."""
    try:
        why = f"{telemetry.database} is in use" if telemetry.ingest().busy else ""
    except UsageError as error:
        why = str(error)
    if why:
        out.print(f"Telemetry lacks this batch for the time being, and nothing of it is lost: {why}", soft_wrap=True)


def _chosen(request: Request, market: Market, store: ModelStore, telemetry: TelemetryStore) -> list[Key]:
    keys = selected(market, request.symbols, request.windows)
    if request.select == "failed":
        failed = failed_pairs(telemetry, market.universe.name, request.models)
        return [key for key in keys if key in failed]
    if request.select == "missing":
        return [
            key
            for key in keys
            if market.pair(*key).eligible and any(store.find(model, *key) is None for model in request.models)
        ]
    return keys


@contextmanager
def _progress_bar(
    total: int, stream: TextIO
) -> Iterator[tuple[Callable[[Outcome], None], Callable[[PoolOutcome], None]]]:
    """Show how far a batch is; what comes out of it is called with each outcome, and with that of each pool."""
    out = console(stream, unwatched=True)
    counts = dict.fromkeys(("trained", "reused", "skipped", "failed"), 0)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=out,
        transient=True, disable=not out.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("windows x models", total=total, counts="")

        def tell(outcome: Outcome) -> None:
            counts[outcome.status] += 1
            finished = sum(counts.values())
            described = " ".join(f"{name} {count}" for name, count in counts.items() if count)
            bar.update(task, completed=finished, counts=described)
            if not out.is_terminal and finished * 10 // total > (finished - 1) * 10 // total:
                out.print(f"{finished} of {total}: {described}")

        def tell_pool(outcome: PoolOutcome) -> None:
            # A shared student stands for itself only where it fails.
            if outcome.model == "pool" or outcome.error:
                out.print(Text(printable(pool_event(outcome).message or "")), soft_wrap=True)

        yield tell, tell_pool
