"""`sensequant evaluate`: what the models of a batch are worth on the windows after theirs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sensequant_assets.batch.canaries import canaries_of
from sensequant_assets.batch.evaluation import Gathered, Subject, gather
from sensequant_assets.batch.examination import Examination, examine, note
from sensequant_assets.batch.leaks import probe
from sensequant_assets.batch.noise import Options, noise_of
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import named_batch, setting_option, settings_of, telemetry_store
from sensequant_assets.core.judging.bootstrap import COVERAGE, ENOUGH_DATES, Estimate
from sensequant_assets.core.judging.canaries import Canaries
from sensequant_assets.core.judging.comparison import SET_SIZE, Difference
from sensequant_assets.core.judging.leaks import summary
from sensequant_assets.core.judging.noise import FEWEST_WINDOWS, noise_lines
from sensequant_assets.core.judging.symbols import FALSE_DISCOVERIES
from sensequant_assets.core.judging.walk_forward import Judgement, Score
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.market.market import Market
from sensequant_assets.models.noise import NoiseStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted, json_text

_COLUMNS = {
    "AUC": "auc",
    "rank IC": "rank_ic",
    "log loss": "log_loss",
    "Brier": "brier",
    "ECE": "ece",
    "net top decile %": "top_return_net",
    "fidelity": "fidelity_spearman",
}
_SIGNED = ("rank_ic", "top_return_net", "sharpe")
_BARE = ("log_loss", "brier", "ece")
"""Metrics whose intervals the table leaves to `--json`."""


@click.command()
@click.option("--batch", "batch_id", metavar="ID", help="A batch or Dagster backfill; the latest unless given.")
@setting_option("cost_bp")
@setting_option("noise_windows")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a score, each on its line.")
def evaluate(batch_id: str | None, as_json: bool, **options: Any) -> None:
    """Judge a batch: each model on the window after its own, pooled over the universe, with intervals and baselines.

    Market and parameters are those of the batch. Every evaluation adds its scores to the table `trials` of telemetry.

    \b
    sensequant evaluate
    sensequant evaluate --batch 20260131-184502-3f9a --json
    """
    settings = settings_of(options)
    telemetry = telemetry_store()
    subject = Subject.of_batch(telemetry, named_batch(telemetry, batch_id))
    market = Market.open(subject.settings, subject.teacher, subject.student, settings.features)
    examined = evaluated(subject, market, telemetry, settings)
    gathered, judged = examined.gathered, examined.judged
    tested = [window.key for window in gathered.windows]
    canaries = canaries_of(subject, market, tested, examined.noise, _how(settings), telemetry)
    leaks = probe(market, tested, subject.teacher.folds)
    remarks = [
        *gathered.remarks,
        *filter(None, [market.unlabelled]),
        *warnings(judged),
        *_sung(canaries),
        *summary(leaks),
    ]
    if as_json:
        for score in examined.scores:
            click.echo(json_text(score | {"label": subject.settings.label}))
    else:
        out = console(width=150)
        for line in _head(subject, gathered, judged):
            out.print(line, soft_wrap=True)
        out.print(scores_table(judged.scores))
        for line in _noise(examined, settings.noise_windows):
            out.print(line, soft_wrap=True)
        out.print(legend(settings.cost_bp, subject.settings.horizon), soft_wrap=True)
        out.print()
        out.print(_differences(examined.differences))
        for line in beyond(examined):
            out.print(line, soft_wrap=True)
    for remark in remarks:
        # Where a program reads standard output, each of its lines is a score.
        say(remark, err=as_json)


def evaluated(subject: Subject, market: Market, telemetry: TelemetryStore, settings: Settings) -> Examination:
    """Evaluate the models of a subject on its market, show how far it is, and write down what was found."""
    store = ModelStore(settings.models_dir, market.universe.name)
    twins = NoiseStore(settings.noise_dir, market.universe.name)
    with _progress() as (read, judged_one, trained):
        gathered = gather(subject, market, store, tell=read)
        noise = noise_of(subject, market, twins, _how(settings), trained) if len(gathered.rows) else None
        examined = examine(subject, gathered, settings.cost_bp, telemetry, judged_one, noise)
    note(telemetry, examined)
    return examined


def _head(subject: Subject, gathered: Gathered, judged: Judgement) -> Iterator[str]:
    first, last = gathered.windows[0], gathered.windows[-1]
    models = ", ".join(counted(number, model) for model, number in gathered.models.items())
    windows = counted(len(gathered.windows), "window")
    yield (
        f"Batch {subject.batch_id} ({subject.settings.universe_name}): {models} of {windows} "
        f"{first.key} to {last.key}, each judged on the window after its own, by the label {subject.settings.label}."
    )
    yield (
        f"{counted(len(gathered.rows), 'row')} of {counted(judged.dates, 'date')}, {judged.first} to {judged.last}: "
        f"{counted(judged.blocks, 'block')} of {counted(judged.block_length, 'date')}. "
        + (f"Brackets hold the {COVERAGE:.0%} interval." if judged.blocks > 1 else "That is too few for an interval.")
    )


def scores_table(scores: Sequence[Score]) -> Table:
    """Scores with their main metrics."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("score", "rows", *_COLUMNS):
        table.add_column(name, justify="left" if name == "score" else "right", no_wrap=name in ("score", "rows"))
    for score in scores:
        cells = (_cell(score[metric], metric) for metric in _COLUMNS.values())
        table.add_row(score.name, f"{score.rows:,}", *cells)
    return table


def _cell(found: Estimate, metric: str) -> str:
    if isnan(found.value):
        return "-"
    scale, sign = 100 if metric == "top_return_net" else 1, "+" if metric in _SIGNED else ""
    shown = f"{scale * found.value:{sign}.{4 if metric in _BARE else 3}f}"
    if metric in _BARE:
        return shown
    if isnan(found.low):
        return f"{shown} [-]"
    return f"{shown} [{scale * found.low:{sign}.3f}, {scale * found.high:{sign}.3f}]"


def legend(cost_bp: float, horizon: int) -> str:
    """What the columns are."""
    return (
        "AUC and rank IC (across symbols, by date) rank by the raw probability; log loss, Brier and ECE are of the "
        f"served one. Net top decile: return over {horizon} bars above the universe's, less {cost_bp:g} bp a round "
        "trip. A dash: the rows cannot answer, or an order is no probability. --json has every metric."
    )


def _differences(found: Sequence[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("difference", "metric", "rows", "dates", "blocks", "value", "p"):
        table.add_column(name, justify="left" if name in ("difference", "metric") else "right", no_wrap=True)
    for each in found:
        value = each.tested.estimate
        interval = "-" if isnan(value.low) else f"{value.low:+.4f}, {value.high:+.4f}"
        table.add_row(
            f"{each.score} - {each.less}", each.metric.replace("_", " "), f"{each.rows:,}", f"{each.dates:,}",
            f"{each.blocks:,}", "-" if isnan(value.value) else f"{value.value:+.4f} [{interval}]", _p(each.tested.p),
        )  # fmt: skip
    return table


def beyond(examined: Examination) -> Iterator[str]:
    """What can be said of a score only beside others: symbols among symbols, the best of all, trials among trials."""
    for name, symbols in examined.by_symbol.items():
        if symbols.judged:
            yield (
                f"{name}: {len(symbols.stay)} of {counted(symbols.judged, 'symbol')} with an IC over time other "
                f"than 0, all considered together (Benjamini-Hochberg, {FALSE_DISCOVERIES:.0%} of them false)."
            )
    for metric, best in examined.sets.items():
        among = ", ".join(name for name in best.p if best.stays(name))
        yield (
            f"{metric.replace('_', ' ')}: the best of {counted(len(best.p), 'score')} is among {among} "
            f"({1 - SET_SIZE:.0%} confidence set, {counted(best.dates, 'date')})."
        )
    for name, found in examined.sharpes.items():
        if name in MODELS and found.periods:
            yield (
                f"{name}: Sharpe ratio of the net top decile {_cell(found.ratio, 'sharpe')} a horizon "
                f"({counted(found.periods, 'period')}); above 0 with probability {_p(found.probabilistic)}, "
                f"above the luckiest of {counted(found.trials, 'trial')} with {_p(found.deflated)}."
            )
    chosen = examined.overfitting
    yield "Probability of backtest overfitting: " + (
        "unknown, for there are too few periods or trials."
        if chosen is None
        else f"{chosen.probability:.3f} ({counted(chosen.trials, 'trial')}, {counted(chosen.periods, 'period')}, "
        f"{counted(chosen.splits, 'split')})."
    )


def _p(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}"


def _how(settings: Settings) -> Options:
    """How the noise twin and the canaries are trained."""
    return Options(settings.noise_windows, settings.worker_count, settings.window_timeout_s)


def _sung(canaries: Canaries | None) -> list[str]:
    return [] if canaries is None else [str(canaries)]


def _noise(examined: Examination, wanted: int) -> list[str]:
    if examined.noise:
        return noise_lines(examined.noise, examined.outside)
    if wanted:
        return [f"No noise band: the noise twin has fewer than {FEWEST_WINDOWS} windows."]
    return ["No noise band: SENSEQUANT_NOISE_WINDOWS is 0, so that no noise twin is trained."]


def warnings(judged: Judgement) -> list[str]:
    """What is to be known of intervals that rest on few dates."""
    if judged.dates >= ENOUGH_DATES:
        return []
    return [
        f"{counted(judged.dates, 'date')}, fewer than {ENOUGH_DATES}: intervals rest on "
        f"{counted(judged.blocks, 'block')} and cover badly. Judge more windows before you rely on them."
    ]


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None], Callable[[int, int], None]]]:
    """Show on standard error how far an evaluation is.

    Gives what is called with symbols read, with the score judged, and with windows of the noise twin trained.
    """
    out = console(sys.stderr, unwatched=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=out, transient=True,
        disable=not out.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("reading models", total=None)

        def read(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if not out.is_terminal and done * 4 // total > (done - 1) * 4 // total:
                out.print(f"models of {done} of {total} symbols read")

        def judged(name: str) -> None:
            bar.update(task, description=f"judging {name}", total=None)
            if not out.is_terminal:
                out.print(f"judging {name}")

        def trained(done: int, total: int) -> None:
            bar.update(task, description="training the noise twin", completed=done, total=total)
            if not out.is_terminal and done * 4 // total > (done - 1) * 4 // total:
                out.print(f"noise twin: {done} of {total} windows trained")

        yield read, judged, trained
