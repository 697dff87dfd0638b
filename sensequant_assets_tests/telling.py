"""Telemetry written by hand: batches, plans and windows that tests ask about."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import BatchStart, CheckVerdict, Plan, RunEnd, WindowRun
from sensequant_assets.telemetry.store import TelemetryStore

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
W1, W2 = "2022-01-01", "2022-06-30"


def after(seconds: float) -> datetime:
    """A time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def window(symbol: str, start: str, outcome: str, second: float = 0, **fields: Any) -> WindowRun:
    """A teacher's window that took the second before ``second``."""
    values: dict[str, Any] = {
        "model": "teacher",
        "universe": "five",
        "symbol": symbol,
        "window_start": date.fromisoformat(start),
        "outcome": outcome,
        "started_at": after(second - 1),
        "ended_at": after(second),
        "duration_s": 1.0,
    }
    return WindowRun(**values | fields)


def write_run(
    store: TelemetryStore,
    windows: Iterable[WindowRun],
    *,
    batch: str = "b",
    run: str = "r1",
    plan: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    status: str | None = "succeeded",
    starts: float = 0,
    ends: float = 100,
    **fields: Any,
) -> Journal:
    """One run of a batch, `starts` to `ends` seconds after noon; without a status its journal stays open.

    The plan is by model; unless given it is all of `windows`. Other fields go on the batch's record.
    """
    rows, now = list(windows), after(starts)
    journal = Journal(store.shards, batch_id=batch, run_id=run, clock=lambda: now)
    about: dict[str, Any] = {
        "source": "cli",
        "universe": "five",
        "started_at": now,
        "max_failure_rate": 0.15,
        "workers": 2,
    }
    journal.append(BatchStart(**about | fields))
    if plan is None:
        pairs: dict[str, list[tuple[str, str]]] = {}
        for row in rows:
            pairs.setdefault(row.model, []).append((row.symbol, str(row.window_start)))
        plan = pairs
    journal.append_many(Plan(model=model, windows=windows) for model, windows in plan.items())
    for row in rows:
        # The time of the line counts as the batch's last event.
        now = row.ended_at or now
        journal.append(row)
    if status:
        now = after(ends)
        journal.append(RunEnd(ended_at=now, status=status, wall_s=ends - starts, cpu_s=7.0))
        journal.close()
    now = after(starts)
    return journal


def journal_of(store: TelemetryStore, batch_id: str = "b", run_id: str = "r1", at: datetime = NOON) -> Journal:
    """A journal whose clock stands still."""
    return Journal(store.shards, batch_id=batch_id, run_id=run_id, clock=lambda: at)


def verdict(passed: bool, trained: int, failed: int, failure_rate: float | None = None) -> CheckVerdict:
    """What the check said of the teachers of a run, one of which was skipped."""
    counts: dict[str, Any] = {"trained": trained, "reused": 0, "skipped": 1, "failed": failed, "not_attempted": 0}
    return CheckVerdict(model="teacher", passed=passed, failure_rate=failure_rate, max_failure_rate=0.15, **counts)


def write_lattice(store: TelemetryStore) -> None:
    """Ten planned teachers: 3 trained, 1 reused, 2 failed, 2 skipped, 2 never attempted, over 12 seconds."""
    with journal_of(store) as first:
        first.append(BatchStart(source="cli", universe="five"))
        first.append(Plan(model="teacher", windows=[(s, w) for s in "ABCDE" for w in (W1, W2)]))
        first.append_many(
            [
                window("A", W1, "failed", 1, attempt=1, failure_kind="timeout"),
                window("A", W1, "trained", 5, attempt=2),
                window("B", W1, "trained", 2),
                window("C", W1, "reused", 3),
                window("D", W1, "skipped", 31, reason="pre_listing"),
                window("A", W2, "trained", 4),
                window("B", W2, "failed", 6),
                window("C", W2, "skipped", 41, reason="no_bars"),
                window("D", W2, "trained", 7),
            ],
        )
        first.append(RunEnd(status="succeeded"))
    # The same attempt number, ended later and in another run: it is B's last word.
    with journal_of(store, run_id="r2") as second:
        second.append(window("B", W1, "failed", 12))
        second.append(RunEnd(status="failed"))
