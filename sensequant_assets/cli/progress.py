"""`sensequant progress`: how far a batch is, as a person sees it."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import TYPE_CHECKING

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.interrupts import end_without_answer
from sensequant_assets.cli.options import NO_BATCH, Number, known_batch, telemetry_store
from sensequant_assets.core.outcome import Verdict
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.questions.batches import batch_ids
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted, json_text
from sensequant_assets.watch.progress import RECENT_S, Progress, follow, read_progress

if TYPE_CHECKING:
    from dagster import DagsterInstance


@click.command()
@click.option(
    "--watch", is_flag=True, help="Show it again and again until the batch ends; wait for one that has not begun."
)
@click.option(
    "--interval", type=Number(min=0.1, max=86_400), default=10.0, show_default=True, help="Seconds between two looks."
)
@click.option("--batch", "batch_id", metavar="ID", help="A batch or Dagster backfill; the latest unless given.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a look, each on its line.")
def progress(watch: bool, interval: float, batch_id: str | None, as_json: bool) -> None:
    """Say how far a batch is, whoever started it: percent of its plan, counts, pace, time to go, first failures."""
    store = telemetry_store(older=True)
    if watch:
        end_without_answer()
        found = _begun_batch(store, batch_id, interval)
    else:
        found = known_batch(store, batch_id)
    if found is None:
        click.echo(json_text({"batch_id": None}) if as_json else NO_BATCH)
        return
    # Who looks on stops looking by Ctrl-C; the batch goes on.
    with suppress(KeyboardInterrupt) if watch else nullcontext():
        _show_progress(store, found, watch, interval, as_json)


def _begun_batch(store: TelemetryStore, asked: str | None, interval: float) -> str | None:
    """The batch that is asked for, or the latest, as soon as a run of it has begun.

    Dagster's daemon takes up to half a minute to start the first run of a backfill; until then telemetry knows only
    the batches before it.
    """
    told = ""
    with _requests() as requested:
        while True:
            known = batch_ids(store)
            latest = asked or next(iter(known), None)
            if latest in known and (asked or not read_progress(store, str(latest), datetime.now(UTC)).ended):
                return latest
            coming = [batch for batch in requested(known) if asked in (None, batch)]
            if not coming and (asked or known):
                return known_batch(store, asked)
            waiting = (
                f"Batch {coming[0]} is requested, and no run of it has begun. Waits for the first;"
                if coming
                else "No batch yet. Waits for the first;"
            )
            if waiting != told:
                say(f"{waiting} Ctrl-C ends that.", err=True)
                told = waiting
            time.sleep(interval)


@contextmanager
def _requests() -> Iterator[Callable[[Collection[str]], list[str]]]:
    """What Dagster is asked for and telemetry does not know; its instance is opened when that is asked first."""
    with ExitStack() as stack:
        opened: list[DagsterInstance] = []

        def requested(known: Collection[str]) -> list[str]:
            settings = read_settings()
            if not settings.dagster_home.is_dir():
                return []
            # Dagster takes longer to import than all the rest of a look.
            from sensequant_assets.defs.home import naming_damage, open_instance, prepare_home
            from sensequant_assets.defs.runs import requested_batches

            if not opened:
                home = prepare_home(settings)
                stack.enter_context(naming_damage(home))
                opened.append(stack.enter_context(open_instance(home, capture_output=False)))
            return requested_batches(opened[0], known)

        yield requested


def _show_progress(store: TelemetryStore, found: str, watch: bool, interval: float, as_json: bool) -> None:
    looks = follow(store, found, clock=lambda: datetime.now(UTC), pause=lambda: time.sleep(interval))
    out = console()
    if watch and out.is_terminal and not as_json:
        with Live(console=out, auto_refresh=False) as live:
            for look in looks:
                live.update(view(look), refresh=True)
        return
    for look in looks:
        if as_json:
            click.echo(json_text(look.as_json()))
        else:
            out.print(view(look), soft_wrap=True)
        if not watch:
            return


def view(found: Progress) -> RenderableType:
    """The progress for a terminal."""
    origin = " ".join(part for part in (found.source, found.universe) if part)
    head = styled(f"Batch {found.batch_id}{f' ({origin})' if origin else ''}: ")
    head.append(found.status, _STYLES[found.status])
    if found.percent is None:
        return Group(head, Text("Nothing is planned yet."))
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        ProgressBar(total=found.planned, completed=found.done, width=40),
        Text(f"{found.percent:.1f} %  {found.done:,} of {found.planned:,} planned"),
    )
    counts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "planned", "trained", "reused", "skipped", "failed", "not attempted", "rate", "limit"):
        counts.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for model in found.models:
        numbers = (model.planned, *model.counts.values())
        counts.add_row(model.model, *(f"{number:,}" for number in numbers), *_rate_and_limit(model))
    parts: list[RenderableType] = [head, bar, counts, Text(_pace(found))]
    parts += [
        Text(f"{model.constant:,} of {model.models:,} {model.model}s say the same of every row.", "yellow")
        for model in found.models
        if model.constant
    ]
    parts += [styled(f"The limit was {limit_by}.") for limit_by in {model.limit_by for model in found.models} - {""}]
    parts += [styled(model.stopped, "yellow") for model in found.models if model.stopped]
    parts += [styled(state["said"]) for state in found.devices.states]
    parts += [styled(found.devices.silent)] if found.devices.silent else []
    parts += [styled(warning, "yellow") for warning in found.devices.warnings]
    failed, shown = sum(model.failed for model in found.models), sum(len(one.windows) for one in found.failures)
    if shown:
        parts.append(
            Text(f"First {shown:,} of {failed:,} failures:" if failed > shown else f"{counted(shown, 'failure')}:")
        )
    parts += [
        styled(f"  {one.model} {one.symbol} {one.which} {one.cause}: {one.error or 'no message'}")
        for one in found.failures
    ]
    return Group(*parts)


def _rate_and_limit(model: Verdict) -> tuple[Text, str]:
    limit = "?" if isnan(model.max_failure_rate) else f"{model.max_failure_rate:.1%}"
    rate = "-" if model.failure_rate is None else f"{model.failure_rate:.1%}"
    return Text(rate, "red" if model.exceeded else ""), limit


def _pace(found: Progress) -> str:
    said = []
    if found.recent_windows_per_s is not None:
        said.append(f"{found.recent_windows_per_s:.1f} windows/s over the last {RECENT_S:.0f} s")
    if found.windows_per_s is not None:
        said.append(f"{found.windows_per_s:.1f} windows/s overall")
    said.append(f"{_duration(found.elapsed_s)} {'so far' if found.status == 'running' else 'in all'}")
    if found.status == "running":
        said.append(f"about {_duration(found.eta_s)} to go" if found.eta_s is not None else "no estimate of the rest")
        if found.idle_s > RECENT_S:
            said.append(f"no record for {_duration(found.idle_s)}")
    return ", ".join(said)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


_STYLES = {"running": "cyan", "succeeded": "green", "failed": "red", "interrupted": "yellow"}
