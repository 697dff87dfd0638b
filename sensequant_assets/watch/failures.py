"""The ledger of permanent failures: what failed every time it was tried of late, since when, and what to do."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sensequant_assets.errors import advice
from sensequant_assets.telemetry.store import TelemetryStore

BATCHES = 3
"""Failed batches in a row from which a failure is permanent, unless asked otherwise."""


@dataclass(frozen=True, slots=True)
class PermanentFailure:
    """One model of one pair that failed in each of its last attempted batches.

    Attributes
    ----------
    universe, model, symbol, window_start
        The culprit.
    batches
        How many batches in a row it failed in; those that skipped it do not count.
    since, last
        When it first and last failed in this row.
    last_batch
        The batch of its last failure.
    failure_kind, error_type, error_message
        Of its last failure.
    """

    universe: str
    model: str
    symbol: str
    window_start: date
    batches: int
    since: datetime
    last: datetime
    last_batch: str
    failure_kind: str
    error_type: str
    error_message: str

    @property
    def advice(self) -> str:
        """What a person does about it."""
        return advice(self.failure_kind)

    def as_json(self) -> dict[str, Any]:
        """The entry as one JSON object."""
        values = {name: getattr(self, name) for name in self.__slots__} | {"advice": self.advice}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


def permanent_failures(store: TelemetryStore, batches: int = BATCHES) -> list[PermanentFailure]:
    """Pairs that failed in each of their last attempted batches, the longest row first.

    Parameters
    ----------
    store
        Where telemetry lies.
    batches
        Least number of batches in a row, 1 or more. The last attempt within a batch speaks for the batch.
    """
    rows = store.query(_LEDGER, {"batches": batches}).to_pylist()
    return [PermanentFailure(**row) for row in rows]


_LEDGER = """
    WITH spoken AS (
        SELECT * FROM window_runs
        QUALIFY row_number() OVER (
            PARTITION BY batch_id, model, symbol, window_start ORDER BY attempt DESC, ended_at DESC, run_id DESC
        ) = 1
    ),
    tried AS (
        SELECT *, max(ended_at) FILTER (outcome <> 'failed') OVER (
            PARTITION BY universe, model, symbol, window_start
        ) AS passed_at
        FROM spoken WHERE outcome <> 'skipped'
    )
    SELECT
        coalesce(universe, '') AS universe, model, symbol, window_start,
        count(*) AS batches,
        min(ended_at) AS since, max(ended_at) AS last,
        arg_max(batch_id, ended_at) AS last_batch,
        arg_max(coalesce(failure_kind, 'unknown'), ended_at) AS failure_kind,
        arg_max(coalesce(error_type, ''), ended_at) AS error_type,
        arg_max(coalesce(error_message, ''), ended_at) AS error_message
    FROM tried
    WHERE outcome = 'failed' AND (passed_at IS NULL OR ended_at > passed_at)
    GROUP BY universe, model, symbol, window_start
    HAVING count(*) >= $batches
    ORDER BY batches DESC, since, model DESC, symbol, window_start
"""
