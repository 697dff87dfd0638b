"""How far a batch is, from telemetry alone: during and after it, from any process, whoever started it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isnan
from typing import Any

from sensequant_assets.core.outcome import Verdict
from sensequant_assets.errors import FailedAlike, FailedWindow, failed_alike
from sensequant_assets.telemetry.questions import batches, windows
from sensequant_assets.telemetry.questions.events import NO_DEVICES, DevicesTold, devices_told
from sensequant_assets.telemetry.questions.failures import failed_windows
from sensequant_assets.telemetry.store import TelemetryStore

FAILURES_SHOWN = 5
RECENT_S = 60.0
"""How far back "recent" reaches."""
GAP_S = 90.0
"""How long a backfill may stand between two of its runs: three ticks of Dagster's daemon."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a batch stands.

    Attributes
    ----------
    batch_id, source, universe, backfill_id
        Of the batch; None where its record is missing.
    status
        `running`, `succeeded`, `failed` or `interrupted`, as its runs so far say.
    ended
        Whether nothing more is to come. A backfill of several runs may stand still between two of them, so it has
        ended only when its whole verdict is recorded, or after `GAP_S` without an event.
    models
        Counts by model, teachers first, and the limit; NaN where no record tells the limit.
    runs, runs_ended
        How many runs have started, and how many of them are over.
    elapsed_s
        Seconds from the start to the end, or to now.
    windows_per_s, recent_windows_per_s
        Windows finished (skips and failures included) a second: overall, and over the last `RECENT_S` of a batch
        that runs. None where no time has passed.
    eta_s
        Seconds until the rest of the plan is done at the recent pace; None if that cannot be said.
    idle_s
        Seconds since the last record.
    failures
        What failed, the first to fail first, windows of a symbol that failed alike together; `FAILURES_SHOWN` at most.
    devices
        What its runs told of their devices.
    """

    batch_id: str
    source: str | None
    universe: str | None
    backfill_id: str | None
    status: str
    ended: bool
    models: tuple[Verdict, ...]
    runs: int
    runs_ended: int
    elapsed_s: float
    windows_per_s: float | None
    recent_windows_per_s: float | None
    eta_s: float | None
    idle_s: float
    failures: tuple[FailedAlike, ...]
    devices: DevicesTold = NO_DEVICES

    @property
    def planned(self) -> int:
        """Windows of all models that the batch planned, skipped ones included, as are those of runs to come."""
        return self.done + sum(model.not_attempted for model in self.models)

    @property
    def done(self) -> int:
        """Windows of all models with an outcome."""
        return sum(model.attempted + model.skipped for model in self.models)

    @property
    def percent(self) -> float | None:
        """Share of the planned lattice that has an outcome; None before the plan."""
        return 100 * self.done / self.planned if self.planned else None

    def as_json(self) -> dict[str, Any]:
        """The progress as one JSON object."""
        names = ("batch_id", "source", "universe", "backfill_id", "status", "ended", "planned", "done", "percent",
                 "runs", "runs_ended", "elapsed_s", "windows_per_s", "recent_windows_per_s", "eta_s",
                 "idle_s")  # fmt: skip
        return {name: _rounded(getattr(self, name)) for name in names} | {
            "models": {
                model.model: {
                    "planned": model.planned,
                    **model.counts,
                    "constant": model.constant,
                    "failure_rate": model.failure_rate,
                    "max_failure_rate": None if isnan(model.max_failure_rate) else model.max_failure_rate,
                    "exceeded": model.exceeded,
                    "limit_by": model.limit_by,
                    "stopped": model.stopped,
                }
                for model in self.models
            },
            "failures": [
                {
                    "model": one.model,
                    "symbol": one.symbol,
                    "windows": list(one.windows),
                    "failure_kind": one.cause,
                    "error_message": one.error,
                }
                for one in self.failures
            ],
            "devices": list(self.devices.states),
            "device_warnings": list(self.devices.warnings),
            "devices_silent": self.devices.silent,
        }


def progress(
    batch: Row,
    models: Sequence[Row],
    seconds: Sequence[Row],
    failures: Sequence[FailedWindow],
    *,
    now: datetime,
    devices: DevicesTold = NO_DEVICES,
) -> Progress:
    """Say where a batch stands.

    Parameters
    ----------
    batch
        Its row as `questions.batches.batch` gives it.
    models
        Its rows of the view `batch_summary`.
    seconds
        `second` (a time) and `windows`, how many windows ended in that second.
    failures
        The failed windows, the first to fail first.
    now
        The time, with its zone.
    devices
        As of `Progress`.
    """
    running = batch["status"] == "running"
    started, last = batch["started_at"], batch["last_event_at"]
    until = now if running else batch["ended_at"] or last
    elapsed = max(0.0, (until - started).total_seconds())
    idle = max(0.0, (now - last).total_seconds())
    tallies = tuple(_tally(batch, row) for row in models)
    done = sum(model.attempted + model.skipped for model in tallies)
    missing = sum(model.not_attempted for model in tallies)
    recent = None
    if running and elapsed:
        recent_done = sum(row["windows"] for row in seconds if row["second"] > now - timedelta(seconds=RECENT_S))
        recent = recent_done / min(RECENT_S, elapsed)
    return Progress(
        batch_id=batch["batch_id"],
        source=batch["source"],
        universe=batch["universe"],
        backfill_id=batch["backfill_id"],
        status=batch["status"],
        ended=not running and (batch["backfill_id"] is None or batch["judged"] or idle > GAP_S),
        models=tallies,
        runs=batch["runs"],
        runs_ended=batch["runs_ended"],
        elapsed_s=elapsed,
        windows_per_s=done / elapsed if elapsed else None,
        recent_windows_per_s=recent,
        eta_s=missing / recent if recent else None,
        idle_s=idle,
        failures=tuple(failed_alike(failures)[:FAILURES_SHOWN]),
        devices=devices,
    )


def _tally(batch: Row, counts: Row) -> Verdict:
    """How many windows of a model there are, against the batch's limit."""
    model = counts["model"]
    limit, stopped = batch["max_failure_rate"], batch["stopped"].get(model, "")
    return Verdict.of(model, counts, limit, limit_by=batch["limit_by"], stopped=stopped)


def read_progress(store: TelemetryStore, batch_id: str, now: datetime) -> Progress:
    """Progress of a batch that telemetry knows, from one state of the database."""
    with store.session():
        return progress(
            batches.batch(store, batch_id),
            batches.batch_summary(store, batch_id),
            windows.ended_by_second(store, batch_id),
            failed_windows(store, batch_id),
            now=now,
            devices=devices_told(store, batch_id),
        )


def follow(
    store: TelemetryStore, batch_id: str, *, clock: Callable[[], datetime], pause: Callable[[], None]
) -> Iterator[Progress]:
    """Progress now and after every pause, until the batch has ended."""
    while True:
        found = read_progress(store, batch_id, clock())
        yield found
        if found.ended:
            return
        pause()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    return value if value is None or isinstance(value, (str, int)) else str(value)
