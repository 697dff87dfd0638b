"""Tables for the terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from sensequant_assets.core.lattice import Pair
from sensequant_assets.errors import WindowError
from sensequant_assets.market import Market
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.store import TelemetryStore

FAILURES_SHOWN = 5
_QUESTION = 'sensequant query "SELECT * FROM window_runs"'


def plan_records(market: Market, pairs: Iterable[Pair]) -> Iterator[dict[str, Any]]:
    """The lattice as JSON objects, one a pair."""
    for pair in pairs:
        samples = market.plan(pair.symbol).samples
        yield {
            "symbol": pair.symbol,
            "window_start": pair.window.start.isoformat(),
            "window_end": pair.window.end.isoformat(),
            "effective_start": pair.effective_start.isoformat(),
            "eligible": pair.eligible,
            "reason": pair.reason,
            "detail": pair.detail or None,
            "rows": pair.rows,
            "open": pair.open,
            "early_life": pair.early_life,
            "error": str(samples) if isinstance(samples, WindowError) else None,
        }


def plan_table(market: Market, pairs: Sequence[Pair]) -> None:
    """Print the lattice as a grid symbol x window: rows to train on, or why not."""
    console = Console(highlight=False)
    windows = list(dict.fromkeys(pair.window for pair in pairs))
    _widen(console, 40 + 22 * len(windows))
    grid = Table(title=f"{market.universe.name}: training rows by window", show_lines=False)
    grid.add_column("symbol")
    for window in windows:
        grid.add_column(window.key, justify="right")
    by_symbol: dict[str, dict[str, Pair]] = {}
    for pair in pairs:
        by_symbol.setdefault(pair.symbol, {})[pair.window.key] = pair
    for symbol, row in by_symbol.items():
        broken = isinstance(market.plan(symbol).samples, WindowError)
        grid.add_row(symbol, *(_cell(row.get(window.key), broken) for window in windows))
    console.print(grid)
    console.print("rows * early life, + open; a skipped window shows its reason")
    skips = Counter(pair.reason for pair in pairs if pair.reason)
    console.print(f"{len(pairs)} pairs: {len(pairs) - skips.total()} eligible, {skips.total()} skipped", end="")
    console.print(f" ({', '.join(f'{reason} {count}' for reason, count in skips.items())})" if skips else "")
    for symbol in by_symbol:
        samples = market.plan(symbol).samples
        for line in [str(samples)] if isinstance(samples, WindowError) else market.warnings(symbol):
            console.print(f"[yellow]warning[/] {line}")


def _cell(pair: Pair | None, broken: bool) -> str:
    if pair is None:
        return ""
    if not pair.eligible:
        return f"[dim]{pair.reason}[/]"
    if broken:
        return "[red]will fail[/]"
    return f"{pair.rows}{'*' if pair.early_life else ''}{'+' if pair.open else ''}"


def summary_table(console: Console, telemetry: TelemetryStore, batch_id: str, settings: Settings) -> None:
    """Print what became of a batch: counts and verdict by model, skips by reason, first failures, and where it is."""
    _widen(console, 120)
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


def _widen(console: Console, width: int) -> None:
    """A pipe or file has no width of its own; a table cut to 80 columns helps nobody there."""
    if not console.is_terminal:
        console.width = max(console.width, width)


def _check(verdict: dict[str, Any] | None, row: dict[str, Any]) -> str:
    if verdict is None:
        return "[red]not evaluated[/]"
    if row["skipped"] == row["planned"]:
        return "[yellow]nothing to attempt[/]"
    if row["failure_rate"] is None:
        return "[red]failed[/] (blocked)"
    return f"{'[green]passed' if verdict['passed'] else '[red]failed'}[/] (limit {verdict['max_failure_rate']:.1%})"


def _rows(telemetry: TelemetryStore, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in telemetry.query(sql, parameters).to_pylist()]
