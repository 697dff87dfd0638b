"""Batches that run and give no sign of life."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.notes import NOTED


@dataclass(frozen=True, slots=True)
class Running:
    """A batch that telemetry takes for running, and when it gave its last sign of life."""

    batch_id: str
    last_sign: datetime


@dataclass(frozen=True, slots=True)
class Stall:
    """A batch that has given no sign of life for too long, and since when."""

    batch_id: str
    since: datetime

    @property
    def identity(self) -> str:
        """Names this silence, the same at each look until the batch gives a sign of life."""
        return f"{self.batch_id}:{self.since.isoformat()}"

    @property
    def message(self) -> str:
        """What a person is told."""
        return (
            f"Batch {self.batch_id} runs and has given no sign of life since {self.since:%Y-%m-%d %H:%M} UTC. "
            "Look at its run; end it there if it hangs."
        )


def running_batches(telemetry: TelemetryStore) -> list[Running]:
    """Batches of which a run is still being written."""
    rows = telemetry.query(
        """
        SELECT batch_id, greatest(
            max(runs.started_at), max(runs.ended_at),
            (SELECT max(ended_at) FROM window_runs WHERE window_runs.batch_id = runs.batch_id),
            (SELECT max(evaluated_at) FROM verdicts WHERE verdicts.batch_id = runs.batch_id),
            (SELECT max(happened_at) FROM events
             WHERE events.batch_id = runs.batch_id AND kind NOT IN (SELECT unnest(?::VARCHAR[])))
        ) AS last_sign
        FROM runs GROUP BY batch_id HAVING bool_or(status = 'running') ORDER BY batch_id
        """,
        [list(NOTED)],
    ).to_pylist()
    return [Running(**row) for row in rows]


def evaluate_stalls(running: Sequence[Running], now: datetime, after: timedelta) -> list[Stall]:
    """The batches without a sign of life for as long as `after`."""
    return [Stall(batch.batch_id, batch.last_sign) for batch in running if now - batch.last_sign >= after]
