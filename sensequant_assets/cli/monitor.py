"""`sensequant monitor`: live predictions against what came of them."""

from typing import Any

import click
from rich.table import Table

from sensequant_assets.batch.monitoring import Monitoring
from sensequant_assets.batch.monitoring import monitor as watch
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import setting_option, settings_of, telemetry_store
from sensequant_assets.cli.predict import standing_of
from sensequant_assets.core.judging.bootstrap import Estimate
from sensequant_assets.errors import Exit
from sensequant_assets.text import counted, json_text

_STATES = {True: "passed", False: "FAILED", None: "unknown"}


@click.command()
@click.option("--unproven", is_flag=True, help="Predictions of the latest batch, which nobody has promoted.")
@click.option("--batch", "batch_id", metavar="ID", help="Predictions of this batch, which nobody has promoted.")
@setting_option("cost_bp")
@click.option("--json", "as_json", is_flag=True, help="The whole as one JSON object.")
def monitor(unproven: bool, batch_id: str | None, as_json: bool, **options: Any) -> Exit:
    """Hold live predictions against what came of them, and the features of late against those of training.

    Outcomes of predicted bars are filled in first, as far as the bars are there. Three checks: `drift` of the features,
    `calibrated` probabilities, and predictions `degraded` since promotion.

    \b
    Exit codes: 0 no check fails; 1 one does; 2 bad usage or input; 3 a fault of the program.

    \b
    sensequant monitor
    sensequant monitor --unproven --json
    """
    settings, telemetry = settings_of(options, remembered=True), telemetry_store()
    standing = standing_of(settings, telemetry, batch_id, unproven=unproven)
    found = watch(telemetry, standing, settings.cost_bp, standing.evidence)
    if as_json:
        click.echo(json_text(found.as_json()))
    else:
        _show(found)
    return Exit.DONE if found.passed else Exit.EXCEEDED


def _show(found: Monitoring) -> None:
    say(f"{found.title[0].upper()}{found.title[1:]}.")
    say(
        f"{counted(len(found.filled.rows), 'new outcome')}; {counted(found.filled.waiting, 'predicted bar')} "
        f"{'waits' if found.filled.waiting == 1 else 'wait'} for theirs."
    )
    for gone in found.filled.gone:
        say(gone)
    if found.live.rows:
        console(width=170).print(_table(found))
    for each in found.watched:
        say(f"{each.check}: {_STATES[each.passed]}. {each.said}")


def _table(found: Monitoring) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("score", "rows", "dates", "rank IC", "Brier", "over rolling rate", "ECE"):
        table.add_column(name, justify="left" if name == "score" else "right", no_wrap=True)
    for score in found.scores.values():
        table.add_row(
            score.name, f"{score.rows:,}", f"{score.dates:,}", _cell(score["rank_ic"], "+.3f"),
            _cell(score["brier"], ".4f"), _cell(score["brier_over_base_rate"], "+.4f"), _cell(score["ece"], ".4f"),
        )  # fmt: skip
    return table


def _cell(found: Estimate, form: str) -> str:
    if found.value != found.value:
        return "-"
    ends = "" if found.low != found.low else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.value:{form}}{ends}"
