"""Tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensequant_assets.cli.console import styled
from sensequant_assets.core.outcome import COUNTED, Verdict
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.questions.events import messages
from sensequant_assets.telemetry.questions.failures import failed_windows
from sensequant_assets.telemetry.questions.windows import skip_reasons
from sensequant_assets.telemetry.store import TelemetryStore

FAILURES_SHOWN = 5
_QUESTION = 'sensequant query "SELECT * FROM window_runs"'


def summary_table(
    console: Console, telemetry: TelemetryStore, batch_id: str, models: Sequence[Verdict], passed: Mapping[str, bool]
) -> None:
    """Print what became of a batch: counts and verdict by model, skips by reason, first failures.

    Parameters
    ----------
    console
        Where to.
    telemetry, batch_id
        What more is asked, and of which batch.
    models
        Counts by model, and the limit.
    passed
        What the check said by model; a model that it never judged is missing.
    """
    table = Table(title=f"Batch {batch_id}")
    for name in ("model", "eligible", *(name.replace("_", " ") for name in COUNTED), "failure rate", "check"):
        table.add_column(name, justify="left" if name in ("model", "check") else "right")
    for model in models:
        table.add_row(
            model.model,
            str(model.eligible),
            *map(str, model.counts.values()),
            "-" if model.failure_rate is None else f"{model.failure_rate:.1%}",
            _check(model, passed.get(model.model)),
        )
    console.print(table)
    for reason, count in skip_reasons(telemetry, batch_id, "teacher").items():
        console.print(f"skipped {count} windows: {reason}")
    for message in messages(telemetry, batch_id, "blocked"):
        console.print(message, soft_wrap=True)
    for row in failed_windows(telemetry, batch_id, FAILURES_SHOWN):
        console.print(
            "failed {model} {symbol} {window_start}: {failure_kind}: {error_message}".format(**row), soft_wrap=True
        )
    more = sum(model.failed for model in models) - FAILURES_SHOWN
    if more > 0:
        console.print(f"... and {more} more; `sensequant backfill --select failed` tries them again")


def where_it_is(console: Console, settings: Settings) -> None:
    """Print where models and telemetry lie, and how to look at them."""
    console.print(f"models     {settings.data_dir / 'models'}", soft_wrap=True)
    console.print(f"telemetry  {settings.data_dir / 'telemetry'}   {_QUESTION}", soft_wrap=True)
    console.print("UI         sensequant dev")


def _check(model: Verdict, passed: bool | None) -> Text:
    if passed is None:
        return styled("not evaluated", "red")
    if not model.eligible:
        return styled("nothing to attempt", "yellow")
    if model.failure_rate is None:
        return styled("failed", "red").append(" (blocked)", "default")
    said = styled("passed", "green") if passed else styled("failed", "red")
    return said.append(f" (limit {model.max_failure_rate:.1%})", "default")
