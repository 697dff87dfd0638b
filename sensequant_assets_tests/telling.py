"""Telemetry written by hand: batches, plans and windows that tests ask about."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sensequant_assets.telemetry.journal import Journal, RecordKind
from sensequant_assets.telemetry.store import TelemetryStore

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
W1, W2 = "2022-01-01", "2022-06-30"


def after(seconds: float) -> datetime:
    """A time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def window(symbol: str, start: str, outcome: str, second: float = 0, **fields: object) -> dict[str, object]:
    """A teacher's window that took the second before ``second``."""
    times = {"started_at": after(second - 1), "ended_at": after(second), "duration_s": 1.0}
    return {
        "model": "teacher",
        "universe": "five",
        "symbol": symbol,
        "window_start": start,
        "outcome": outcome,
        **times,
        **fields,
    }


def write_run(
    store: TelemetryStore,
    windows: Iterable[Mapping[str, object]],
    *,
    batch: str = "b",
    run: str = "r1",
    plan: Mapping[str, Iterable[tuple[str, str]]] | None = None,
    status: str | None = "succeeded",
    starts: float = 0,
    ends: float = 100,
    **fields: object,
) -> Journal:
    """One run of a batch, `starts` to `ends` seconds after noon; without a status its journal stays open.

    The plan is by model; unless given it is all of `windows`. Other fields go on the batch's record.
    """
    rows = list(windows)
    journal = Journal(store.shards, batch_id=batch, run_id=run, clock=lambda: after(starts))
    about = {"source": "cli", "universe": "five", "started_at": after(starts), "max_failure_rate": 0.15, "workers": 2}
    journal.append(RecordKind.BATCH, about | fields)
    if plan is None:
        plan = {}
        for row in rows:
            known = plan.setdefault(str(row["model"]), [])
            assert isinstance(known, list)
            known.append((row["symbol"], row["window_start"]))
    for model, pairs in plan.items():
        journal.append(RecordKind.PLAN, {"model": model, "windows": [list(pair) for pair in pairs]})
    # The time of the line counts as the batch's last event.
    journal.append_many(RecordKind.WINDOW_RUN, [{"at": row["ended_at"], **row} for row in rows])
    if status:
        journal.append(
            RecordKind.END,
            {"at": after(ends), "ended_at": after(ends), "status": status, "wall_s": ends - starts, "cpu_s": 7.0},
        )
        journal.close()
    return journal
