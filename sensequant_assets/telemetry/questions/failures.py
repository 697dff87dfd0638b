"""Questions about what failed: in a batch, last, and every time it was tried."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sensequant_assets.errors import FailedWindow, FailureKind, advice
from sensequant_assets.telemetry.store import TelemetryStore

BATCHES = 3
"""Failed batches in a row from which a failure is permanent, unless asked otherwise."""

_TRANSIENT = [str(kind) for kind in FailureKind if kind.transient]


@dataclass(frozen=True, slots=True)
class Failure:
    """A window whose last attempt failed in a way that can pass next time."""

    batch_id: str
    symbol: str
    window: str
    attempt: int
    ended_at: datetime


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


def failed_windows(store: TelemetryStore, batch_id: str, *, model: str | None = None) -> list[FailedWindow]:
    """The windows of a batch whose latest attempt failed, the first to fail first; of one model if it is named."""
    rows = store.rows(
        """
        SELECT model, symbol, window_start::VARCHAR AS "window",
            coalesce(failure_kind, 'unknown') AS cause, coalesce(error_message, '') AS error
        FROM last_attempts WHERE batch_id = $batch AND outcome = 'failed' AND ($model IS NULL OR model = $model)
        ORDER BY ended_at, model DESC, symbol, window_start
        """,
        {"batch": batch_id, "model": model},
    )
    return [FailedWindow(**row) for row in rows]


def failed_pairs(store: TelemetryStore, universe: str, models: Iterable[str]) -> set[tuple[str, str]]:
    """(symbol, window start) of a universe whose last attempt in any batch failed, of one of these models."""
    rows = store.rows(
        """
        SELECT DISTINCT symbol, window_start FROM pair_status
        WHERE universe = ? AND model IN (SELECT unnest(?::VARCHAR[])) AND outcome = 'failed'
        """,
        [universe, list(models)],
    )
    return {(row["symbol"], str(row["window_start"])) for row in rows}


def transient_failures(store: TelemetryStore, universe: str, since: datetime) -> list[Failure]:
    """Windows whose last attempt in any batch failed after a time, in a way that can pass next time."""
    rows = store.rows(
        """
        SELECT batch_id, symbol, window_start::VARCHAR AS window, max(attempt) AS attempt, max(ended_at) AS ended_at
        FROM pair_status
        WHERE universe = $universe AND outcome = 'failed' AND ended_at > $since
            AND failure_kind IN (SELECT unnest($kinds::VARCHAR[]))
        GROUP BY batch_id, symbol, window_start ORDER BY batch_id, symbol, window_start
        """,
        {"universe": universe, "since": since, "kinds": _TRANSIENT},
    )
    return [Failure(**row) for row in rows]


def data_that_failed(store: TelemetryStore, universe: str) -> dict[tuple[str, str, str], str]:
    """Fingerprint of data that fail again if they are tried again, by (model, symbol, window key).

    Of pairs whose last attempt in any batch failed in a way that cannot pass next time.
    """
    rows = store.rows(
        """
        SELECT model, symbol, window_start, data_fingerprint FROM pair_status
        WHERE universe = ? AND outcome = 'failed' AND data_fingerprint IS NOT NULL
            AND failure_kind NOT IN (SELECT unnest(?::VARCHAR[]))
        """,
        [universe, _TRANSIENT],
    )
    return {(row["model"], row["symbol"], str(row["window_start"])): row["data_fingerprint"] for row in rows}


def permanent_failures(store: TelemetryStore, batches: int = BATCHES) -> list[PermanentFailure]:
    """Pairs that failed in each of their last attempted batches, the longest row first.

    Parameters
    ----------
    store
        Where telemetry lies.
    batches
        Least number of batches in a row, 1 or more. The last attempt within a batch speaks for the batch.
    """
    rows = store.rows(
        """
        WITH tried AS (
            SELECT *, max(ordered_at) FILTER (outcome <> 'failed') OVER (
                PARTITION BY universe, model, symbol, window_start
            ) AS passed_at
            FROM last_attempts WHERE outcome <> 'skipped'
        )
        SELECT
            coalesce(universe, '') AS universe, model, symbol, window_start,
            count(*) AS batches,
            arg_min(ended_at, ordered_at) AS since, arg_max(ended_at, ordered_at) AS last,
            arg_max(batch_id, ordered_at) AS last_batch,
            arg_max(coalesce(failure_kind, 'unknown'), ordered_at) AS failure_kind,
            arg_max(coalesce(error_type, ''), ordered_at) AS error_type,
            arg_max(coalesce(error_message, ''), ordered_at) AS error_message
        FROM tried
        WHERE outcome = 'failed' AND (passed_at IS NULL OR ordered_at > passed_at)
        GROUP BY universe, model, symbol, window_start
        HAVING count(*) >= $batches
        ORDER BY batches DESC, min(ordered_at), model DESC, symbol, window_start
        """,
        {"batches": batches},
    )
    return [PermanentFailure(**row) for row in rows]
