"""Batches that run and give no sign of life."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sensequant_assets.telemetry.questions.batches import Running


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


def evaluate_stalls(running: Sequence[Running], now: datetime, after: timedelta) -> list[Stall]:
    """The batches without a sign of life for as long as `after`."""
    return [Stall(batch.batch_id, batch.last_sign) for batch in running if now - batch.last_sign >= after]
