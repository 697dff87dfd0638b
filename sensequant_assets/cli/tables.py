"""Tables for the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensequant_assets.cli.console import styled
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.store import TelemetryStore

FAILURES_SHOWN = 5
_QUESTION = 'sensequant query "SELECT * FROM window_runs"'


def summary_table(console: Console, telemetry: TelemetryStore, batch_id: str, settings: Settings) -> None:
    """Print what became of a batch: counts and verdict by model, skips by reason, first failures, and where it is."""
    table = Table(title=f"Batch {batch_id}")
    for name in (
        "model",
        "eligible",
        "trained",
        "reused",
        "skipped",
        "failed",
        "not attempted",
        "failure rate",
        "check",
    ):
        table.add_column(name, justify="left" if name in ("model", "check") else "right")
    for row in telemetry.batch_summary(batch_id):
        verdict = telemetry.verdict(batch_id, row["model"])
        rate = row["failure_rate"]
        table.add_row(
            row["model"],
            str(row["planned"] - row["skipped"]),
            *(str(row[name]) for name in ("trained", "reused", "skipped", "failed", "not_attempted")),
            "-" if rate is None else f"{rate:.1%}",
            _check(verdict, row),
        )
    console.print(table)
    for reason, count in _rows(
        telemetry,
        "SELECT reason, count(*) FROM window_runs WHERE batch_id = ? AND model = 'teacher' AND outcome = 'skipped' "
        "GROUP BY reason ORDER BY 2 DESC",
        batch_id,
    ):
        console.print(f"skipped {count} windows: {reason}")
    for (message,) in _rows(telemetry, "SELECT message FROM events WHERE batch_id = ? AND kind = 'blocked'", batch_id):
        console.print(message, soft_wrap=True)
    failures = _rows(
        telemetry,
        "SELECT model, symbol, window_start, failure_kind, error_message FROM window_runs "
        "WHERE batch_id = ? AND outcome = 'failed' ORDER BY started_at",
        batch_id,
    )
    for model, symbol, window, kind, message in failures[:FAILURES_SHOWN]:
        console.print(f"failed {model} {symbol} {window}: {kind}: {message}", soft_wrap=True)
    if len(failures) > FAILURES_SHOWN:
        console.print(
            f"... and {len(failures) - FAILURES_SHOWN} more; `sensequant backfill --select failed` tries them again"
        )
    console.print(f"models     {settings.data_dir / 'models'}", soft_wrap=True)
    console.print(f"telemetry  {settings.data_dir / 'telemetry'}   {_QUESTION}", soft_wrap=True)
    console.print("UI         sensequant dev")


def _check(verdict: dict[str, Any] | None, row: dict[str, Any]) -> Text:
    if verdict is None:
        return styled("not evaluated", "red")
    if row["skipped"] == row["planned"]:
        return styled("nothing to attempt", "yellow")
    if row["failure_rate"] is None:
        return styled("failed", "red").append(" (blocked)", "default")
    said = styled("passed", "green") if verdict["passed"] else styled("failed", "red")
    return said.append(f" (limit {verdict['max_failure_rate']:.1%})", "default")


def _rows(telemetry: TelemetryStore, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in telemetry.query(sql, parameters).to_pylist()]
