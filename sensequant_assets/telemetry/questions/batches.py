"""Questions about batches and their runs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.questions.events import NOTED, changed_limit, early_stops
from sensequant_assets.telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class Basis:
    """What a batch was run with: settings of its market, parameters by model, and its limit."""

    market: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    max_failure_rate: float


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """A batch of which telemetry says that it is over and not judged since.

    Attributes
    ----------
    batch_id
        Its name.
    max_failure_rate
        Its limit; the one that was set last.
    superseded
        Whether a batch that ended later has been judged already.
    runs
        Its runs that left a record.
    unspoken
        Whether some of it has no verdict of a run: a run of it was killed, or none came to windows that it planned.
    limit_by
        Who set the limit, and when; empty for the one that it was started with.
    stopped
        Why it ended before its last window, by model, where it did.
    """

    batch_id: str
    runs: int
    max_failure_rate: float
    superseded: bool
    unspoken: bool
    limit_by: str = ""
    stopped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A batch that telemetry takes for running, and when it gave its last sign of life."""

    batch_id: str
    last_sign: datetime


def batch_ids(store: TelemetryStore) -> list[str]:
    """All batches, the one that started last first."""
    rows = store.rows("SELECT batch_id FROM batches ORDER BY ordered_at DESC, batch_id DESC")
    return [row["batch_id"] for row in rows]


def batches_over(store: TelemetryStore, *, keep: int, before: datetime) -> set[str]:
    """Batches that are over and gave their last sign of life before a time, but for so many that started last."""
    rows = store.rows(
        """
        SELECT batch_id FROM (
            SELECT *, row_number() OVER (ORDER BY ordered_at DESC, batch_id DESC) AS place FROM batches
        ) WHERE place > $keep AND status <> 'running' AND last_event_at < $before
        """,
        {"keep": keep, "before": before},
    )
    return {row["batch_id"] for row in rows}


def batch(store: TelemetryStore, batch_id: str) -> dict[str, Any]:
    """A batch's row of `batches`, with settings, parameters, versions and configuration as dicts.

    Also has `runs` and `runs_ended`, how many there are, and `judged`, whether its whole verdict is recorded. Its
    `max_failure_rate` is the one that was set last, `limit_by` who set it when, empty for the one that it was started
    with, and `stopped` why it ended before its last window, by model.

    Raises
    ------
    UsageError
        Telemetry has no such batch.
    """
    rows = store.rows(
        """
        SELECT *,
            (SELECT count(*) FROM runs WHERE batch_id = $batch) AS runs,
            (SELECT count(*) FROM runs WHERE batch_id = $batch AND status <> 'running') AS runs_ended,
            EXISTS (FROM verdicts WHERE batch_id = $batch AND run_id = '') AS judged
        FROM batches WHERE batch_id = $batch
        """,
        {"batch": batch_id},
    )
    if not rows:
        raise UsageError(f"{store.database} has no batch {batch_id}.")
    found, limit = (
        _parsed(rows[0], "settings", "parameters", "versions", "configuration"),
        changed_limit(store, batch_id),
    )
    if limit:
        found["max_failure_rate"] = limit.max_failure_rate
    return found | {"limit_by": str(limit or ""), "stopped": early_stops(store, batch_id)}


def batch_basis(store: TelemetryStore, batch_id: str) -> Basis | None:
    """What a batch was run with; None before a run of it has told."""
    rows = store.rows(
        "SELECT settings, parameters, max_failure_rate FROM batches WHERE batch_id = ? AND settings IS NOT NULL",
        [batch_id],
    )
    if not rows:
        return None
    basis, limit = Basis(*_parsed(rows[0], "settings", "parameters").values()), changed_limit(store, batch_id)
    return replace(basis, max_failure_rate=limit.max_failure_rate) if limit else basis


def batch_summary(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """One row a model of the view ``batch_summary``, teachers first."""
    return store.rows("FROM batch_summary WHERE batch_id = ? ORDER BY model DESC", [batch_id])


def latest_batch_of(store: TelemetryStore, universe: str, model: str) -> str | None:
    """The batch of a universe that started last and planned windows of a model; None before the first.

    Batches as of an earlier day do not count.
    """
    rows = store.rows(
        """
        SELECT batch_id FROM batches
        WHERE universe = ? AND batch_id IN (SELECT batch_id FROM planned_windows WHERE model = ?)
            AND json_extract_string(settings, '$.as_of') IS NULL
        ORDER BY ordered_at DESC, batch_id DESC LIMIT 1
        """,
        [universe, model],
    )
    return rows[0]["batch_id"] if rows else None


def later_batches(store: TelemetryStore, batch_id: str) -> list[str]:
    """Batches of the same universe that started after a batch, the first first."""
    rows = store.rows(
        """
        SELECT other.batch_id FROM batches AS own JOIN batches AS other
        ON other.universe = own.universe AND other.ordered_at > own.ordered_at
        WHERE own.batch_id = ? ORDER BY other.ordered_at, other.batch_id
        """,
        [batch_id],
    )
    return [row["batch_id"] for row in rows]


def runs_of_batch(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """A batch's rows of `runs`, oldest first.

    Each also has `windows`, how many latest attempts are its own, and `exceeded`, the models whose check failed.
    """
    return store.rows(
        """
        SELECT runs.*,
            (
                SELECT count(*) FROM last_attempts AS attempts
                WHERE attempts.batch_id = runs.batch_id AND attempts.run_id = runs.run_id
            ) AS windows,
            (
                SELECT string_agg(model, ', ' ORDER BY model DESC) FROM verdicts
                WHERE verdicts.batch_id = runs.batch_id AND verdicts.run_id = runs.run_id AND NOT passed
                    AND (failed > 0 OR not_attempted > 0)
            ) AS exceeded
        FROM runs WHERE batch_id = $batch ORDER BY ordered_at, run_id
        """,
        {"batch": batch_id},
    )


def run_statuses(store: TelemetryStore, run_ids: Iterable[str]) -> dict[str, str]:
    """Status of those runs that left a record, by run."""
    rows = store.rows("SELECT run_id, status FROM runs WHERE run_id IN (SELECT unnest(?::VARCHAR[]))", [list(run_ids)])
    return {row["run_id"]: row["status"] for row in rows}


def running_batches(store: TelemetryStore) -> list[Running]:
    """Batches of which a run is still being written."""
    rows = store.rows(
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
    )
    return [Running(**row) for row in rows]


def ended_batches(store: TelemetryStore, universe: str, since: datetime) -> list[EndedBatch]:
    """Batches that ended after a time, whose verdict is not that of one run, and without one since; oldest first."""
    rows = store.rows(
        """
        WITH ended AS (
            SELECT batch_id, count(*) AS runs, bool_or(status = 'running') AS running,
                   max(coalesce(ended_at, started_at)) AS ended_at,
                   max(coalesce(end_ordered_at, ordered_at)) AS ordered_at,
                   bool_or(status = 'interrupted')
                   OR batch_id IN (SELECT batch_id FROM planned_windows WHERE run_id = '') AS unspoken
            FROM runs GROUP BY batch_id
        ), judged AS (
            SELECT batch_id, max(ordered_at) FILTER (run_id = '') AS whole_at, max(ordered_at) AS judged_at
            FROM verdicts GROUP BY batch_id
        )
        SELECT batch_id, runs, max_failure_rate, EXISTS (
            SELECT * FROM judged AS other JOIN batches AS theirs USING (batch_id)
            WHERE theirs.universe = batches.universe AND other.batch_id <> batches.batch_id
                AND other.judged_at > ended.ordered_at
        ) AS superseded, unspoken
        FROM batches JOIN ended USING (batch_id) LEFT JOIN judged USING (batch_id)
        WHERE universe = $universe AND NOT running AND (runs > 1 OR backfill_id IS NOT NULL OR unspoken)
            AND ended.ended_at > $since AND (whole_at IS NULL OR whole_at < ended.ordered_at)
        ORDER BY ended.ordered_at
        """,
        {"universe": universe, "since": since},
    )
    return [_as_it_ended(store, EndedBatch(**row)) for row in rows]


def _as_it_ended(store: TelemetryStore, ended: EndedBatch) -> EndedBatch:
    limit, stopped = changed_limit(store, ended.batch_id), early_stops(store, ended.batch_id)
    if limit:
        ended = replace(ended, max_failure_rate=limit.max_failure_rate, limit_by=str(limit))
    return replace(ended, stopped=stopped)


def _parsed(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return row | {name: json.loads(row[name] or "{}") for name in names}
