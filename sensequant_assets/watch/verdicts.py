"""Batches that have ended and are to be judged as a whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sensequant_assets.core.outcome import Verdict
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.telemetry.store import TelemetryStore

LOOK_BACK = timedelta(days=1)
"""How old the end of a batch may be that a sensor still acts on: switched on after a pause, it digs up no history."""


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """A batch of which telemetry says that it is over and not judged since.

    Attributes
    ----------
    batch_id
        Its name.
    max_failure_rate
        Its limit.
    superseded
        Whether a batch that ended later has been judged already.
    runs
        Its runs that left a record.
    """

    batch_id: str
    runs: int
    max_failure_rate: float
    superseded: bool


def ended_batches(telemetry: TelemetryStore, universe: str, now: datetime) -> list[EndedBatch]:
    """Batches that ended within `LOOK_BACK`, have or can have several runs, and no verdict since; oldest first."""
    rows = telemetry.query(
        """
        WITH ended AS (
            SELECT batch_id, count(*) AS runs, bool_or(status = 'running') AS running,
                   max(coalesce(ended_at, started_at)) AS ended_at
            FROM runs GROUP BY batch_id
        ), judged AS (
            SELECT batch_id, max(evaluated_at) FILTER (run_id = '') AS whole_at, max(evaluated_at) AS judged_at
            FROM verdicts GROUP BY batch_id
        )
        SELECT batch_id, runs, max_failure_rate, EXISTS (
            SELECT * FROM judged AS other JOIN batches AS theirs USING (batch_id)
            WHERE theirs.universe = batches.universe AND other.batch_id <> batches.batch_id
                AND other.judged_at > ended.ended_at
        ) AS superseded
        FROM batches JOIN ended USING (batch_id) LEFT JOIN judged USING (batch_id)
        WHERE universe = $universe AND NOT running AND (runs > 1 OR backfill_id IS NOT NULL)
            AND ended.ended_at > $since AND (whole_at IS NULL OR whole_at < ended.ended_at)
        ORDER BY ended.ended_at
        """,
        {"universe": universe, "since": now - LOOK_BACK},
    ).to_pylist()
    return [EndedBatch(**row) for row in rows]


def failed_windows(telemetry: TelemetryStore, batch_id: str, model: str, most: int) -> list[dict[str, Any]]:
    """`symbol`, `window`, `cause` and `error` of the first failed windows of a batch, by latest attempt."""
    rows: list[dict[str, Any]] = telemetry.query(
        """
        SELECT symbol, window_start::VARCHAR AS window, failure_kind AS cause, coalesce(error_message, '') AS error
        FROM window_status WHERE batch_id = ? AND model = ? AND outcome = 'failed'
        ORDER BY symbol, window_start LIMIT ?
        """,
        [batch_id, model, most],
    ).to_pylist()
    return rows


def judge_whole(batch: EndedBatch, counts: Iterable[Mapping[str, Any]]) -> dict[ModelKind, Verdict]:
    """Judge all runs of a batch together.

    Parameters
    ----------
    batch
        Which one.
    counts
        Its rows of `batch_summary`, teachers first.

    Returns
    -------
    dict of Verdict
        By model, in their order. Students that nobody tried are blamed on the teachers that failed.
    """
    verdicts: dict[ModelKind, Verdict] = {}
    for row in counts:
        verdict = Verdict.of(row["model"], row, batch.max_failure_rate)
        if not verdict.attempted and any(teachers.exceeded for teachers in verdicts.values()):
            verdict = replace(verdict, blocked="No student was trained: too many teachers failed in this batch.")
        verdicts[verdict.model] = verdict
    return verdicts
