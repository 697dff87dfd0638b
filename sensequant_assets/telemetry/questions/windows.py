"""Questions about the windows of a batch, by the latest attempt at each."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sensequant_assets.telemetry.schema import LATEST_BATCH_FIRST
from sensequant_assets.telemetry.store import TelemetryStore

Pair = tuple[str, str]
"""Symbol and window start."""


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt at a model of a pair.

    Attributes
    ----------
    model, symbol, window
        Which model of which pair.
    attempt
        1 for the first attempt of the batch at this window.
    run_id
        The run that made it.
    status, failure
        `trained`, `reused`, `skipped` or `failed`, and of a failure its kind.
    started_at, ended_at
        When; None where nobody told.
    duration_s, cpu_s
        Seconds of the clock and of the processor; None where nobody told.
    """

    model: str
    symbol: str
    window: str
    attempt: int
    run_id: str
    status: str
    failure: str | None
    started_at: datetime | None
    ended_at: datetime
    duration_s: float | None
    cpu_s: float | None


def tries(store: TelemetryStore, batch_id: str) -> list[Try]:
    """All attempts of a batch in the order in which they ended."""
    rows = store.rows(
        """
        SELECT model, symbol, window_start::VARCHAR AS window, attempt, run_id, outcome AS status,
               failure_kind AS failure, started_at, ended_at, duration_s, cpu_s
        FROM window_runs WHERE batch_id = ? ORDER BY ended_at, model DESC, symbol, window_start, attempt
        """,
        [batch_id],
    )
    return [Try(**row) for row in rows]


def planned(store: TelemetryStore, batch_id: str) -> list[dict[str, str]]:
    """`model`, `symbol` and `window` that a batch planned, and the last run that planned it as `run_id`."""
    return store.rows(
        """
        SELECT model, symbol, window_start::VARCHAR AS window, run_id
        FROM planned_windows WHERE batch_id = ? ORDER BY model DESC, symbol, window_start
        """,
        [batch_id],
    )


def outcomes(store: TelemetryStore, batch_id: str, model: str) -> dict[Pair, str]:
    """Outcome, or ``not_attempted``, by pair of a batch."""
    rows = store.rows(
        "SELECT symbol, window_start, outcome FROM window_status WHERE batch_id = ? AND model = ?", [batch_id, model]
    )
    return {(row["symbol"], str(row["window_start"])): row["outcome"] for row in rows}


def last_outcomes(
    store: TelemetryStore, universe: str, model: str, symbols: Collection[str], windows: Collection[str]
) -> dict[Pair, dict[str, str]]:
    """How the last attempt of any batch ended at pairs of these symbols and windows, as text by what there is of it.

    `outcome`; of a failed one `cause` and `error`, of a skipped one `why`, of another `test_auc` if its rows have one.
    Pairs that were never attempted are missing.
    """
    rows = store.rows(
        """
        SELECT symbol, window_start::VARCHAR AS "window", outcome, failure_kind::VARCHAR AS cause,
            CASE outcome WHEN 'failed' THEN error_message END AS error,
            CASE outcome WHEN 'skipped' THEN concat_ws(': ', reason, error_message) END AS why,
            format('{:.4g}', TRY_CAST(metrics->>'test_auc' AS DOUBLE)) AS test_auc
        FROM pair_status WHERE universe = $universe AND model = $model
            AND symbol IN (SELECT unnest($symbols::VARCHAR[])) AND window_start IN (SELECT unnest($windows::DATE[]))
        """,
        {"universe": universe, "model": model, "symbols": list(symbols), "windows": list(windows)},
    )
    return {
        (row.pop("symbol"), row.pop("window")): {name: value for name, value in row.items() if value is not None}
        for row in rows
    }


def missing_pairs(store: TelemetryStore, batch_id: str, model: str) -> list[Pair]:
    """Pairs of a model that a batch planned and has no row of."""
    rows = store.rows(
        """
        SELECT symbol, window_start FROM window_status
        WHERE outcome = 'not_attempted' AND batch_id = ? AND model = ? ORDER BY symbol, window_start
        """,
        [batch_id, model],
    )
    return [(row["symbol"], str(row["window_start"])) for row in rows]


def untried_windows(store: TelemetryStore, batch_id: str, model: str) -> list[dict[str, str]]:
    """`symbol` and `window` that a batch planned and has no row of, and `why` that is, in a few words."""
    return store.rows(
        """
        SELECT symbol, window_start::VARCHAR AS window, CASE
            WHEN run_id = '' THEN 'no run came to it'
            WHEN run_id IN (
                SELECT run_id FROM events
                WHERE batch_id = $batch AND kind = 'stopped_early' AND data->>'model' = $model
            ) THEN 'stopped early'
            WHEN $model = 'student' AND run_id IN (
                SELECT run_id FROM events WHERE batch_id = $batch AND kind = 'blocked'
            ) THEN 'too many failed teachers'
            WHEN run_id IN (SELECT run_id FROM runs WHERE batch_id = $batch AND status = 'interrupted')
            THEN 'killed run'
            ELSE 'broken off run' END AS why
        FROM window_status WHERE outcome = 'not_attempted' AND batch_id = $batch AND model = $model
        ORDER BY symbol, window_start
        """,
        {"batch": batch_id, "model": model},
    )


def constant_windows(store: TelemetryStore, batch_id: str, model: str, most: int) -> list[dict[str, Any]]:
    """The first windows of a batch whose model says the same of every row: `symbol`, `window` and `train_rows`."""
    return store.rows(
        """
        SELECT symbol, window_start::VARCHAR AS window, train_rows FROM last_attempts
        WHERE batch_id = ? AND model = ? AND constant ORDER BY symbol, window_start LIMIT ?
        """,
        [batch_id, model, most],
    )


def ended_by_second(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """How many `windows` of a batch ended in each `second` (a time) in which one did."""
    return store.rows(
        """
        SELECT date_trunc('second', ended_at) AS second, count(*) AS windows
        FROM last_attempts WHERE batch_id = ? GROUP BY second ORDER BY second
        """,
        [batch_id],
    )


def attempts(store: TelemetryStore, batch_id: str, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Every planned or attempted window of a batch, teachers first, by symbol and window.

    Parameters
    ----------
    store
        Where telemetry lies.
    batch_id
        The batch.
    metrics
        Names of metrics: each is a column, null where the model has none.
    """
    chosen = ", ".join(f"""TRY_CAST(metrics->>'{name}' AS DOUBLE) AS "{name}\"""" for name in metrics)
    return store.rows(
        f"""
        SELECT
            status.model, symbol, window_start, status.outcome, status.reason, status.failure_kind, status.error_type,
            status.error_message, status.duration_s, test_rows, data_fingerprint, parameters_fingerprint,
            code_fingerprint, trees_fingerprint, status.constant, {chosen}
        FROM (FROM window_status WHERE batch_id = $batch) AS status
        LEFT JOIN (FROM last_attempts WHERE batch_id = $batch) AS attempts
            USING (batch_id, model, symbol, window_start)
        ORDER BY model DESC, symbol, window_start
        """,  # noqa: S608 - names of metrics, which are constants
        {"batch": batch_id},
    )


def last_rows(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """The whole row of the latest attempt at each window of a batch, by symbol and window, teachers first."""
    rows = store.rows(
        "FROM last_attempts WHERE batch_id = ? ORDER BY symbol, window_start, model DESC",
        [batch_id],
    )
    return [row | {name: json.loads(row[name] or "{}") for name in ("metrics", "parameters")} for row in rows]


def other_trees(store: TelemetryStore, batch_id: str) -> dict[tuple[str, str, str, str], str]:
    """The last other batch of the same universe that had a model, by model, symbol, window and its trees."""
    rows = store.rows(
        """
        SELECT model, symbol, window_start::VARCHAR AS window, trees_fingerprint, arg_max(batch_id, ordered_at) AS batch
        FROM window_runs WHERE batch_id <> $batch AND trees_fingerprint IS NOT NULL
            AND universe = (SELECT any_value(universe) FROM window_runs WHERE batch_id = $batch)
        GROUP BY ALL
        """,
        {"batch": batch_id},
    )
    return {(row["model"], row["symbol"], row["window"], row["trees_fingerprint"]): row["batch"] for row in rows}


def latest_teacher_batch(
    store: TelemetryStore, pairs: Iterable[tuple[str, date | str]], universe: str | None = None
) -> str | None:
    """The batch of the last teacher attempt (trained, reused or failed) at any of these pairs.

    Of one universe if it is named: two may share a symbol.
    """
    asked = [(symbol, str(window)) for symbol, window in pairs]
    rows = store.rows(
        f"""
        SELECT batch_id FROM last_attempts
        WHERE model = 'teacher' AND outcome <> 'skipped' AND ($universe IS NULL OR universe = $universe)
        AND (symbol, window_start) IN (
            SELECT (unnest($symbols::VARCHAR[]), unnest($windows::DATE[]))
        )
        ORDER BY {LATEST_BATCH_FIRST} LIMIT 1
        """,  # noqa: S608 - a constant of this package
        {
            "symbols": [symbol for symbol, _ in asked],
            "windows": [window for _, window in asked],
            "universe": universe,
        },
    )
    return rows[0]["batch_id"] if rows else None


def models_of_pair(store: TelemetryStore, universe: str, model: str, symbol: str, window: str) -> list[dict[str, Any]]:
    """Models that batches had for a pair, the latest first, each with what its batch was run with."""
    return store.rows(
        f"""
        SELECT batch_id, outcome, window_runs.ended_at, effective_start, effective_end, train_rows, served_by,
               data_fingerprint, parameters_fingerprint, code_fingerprint, trees_fingerprint,
               batches.parameters, batches.settings, batches.versions, batches.configuration
        FROM last_attempts AS window_runs JOIN batches USING (batch_id)
        WHERE window_runs.universe = $universe AND model = $model AND symbol = $symbol AND window_start = $window::DATE
        AND trees_fingerprint IS NOT NULL
        ORDER BY {", ".join(f"window_runs.{part}" for part in LATEST_BATCH_FIRST.split(", "))}
        """,  # noqa: S608 - a constant of this package
        {"universe": universe, "model": model, "symbol": symbol, "window": window},
    )


def latest_attempt(store: TelemetryStore, universe: str, model: str, symbol: str, window: str) -> dict[str, Any] | None:
    """What became last of a model of a pair, in any batch; None where none has tried it.

    It has `batch_id`, `ended_at`, `outcome`, `reason`, `failure_kind` and `error_message`.
    """
    rows = store.rows(
        """
        SELECT batch_id, ended_at, outcome, reason, failure_kind, error_message FROM pair_status
        WHERE universe = $universe AND model = $model AND symbol = $symbol AND window_start = $window::DATE
        """,
        {"universe": universe, "model": model, "symbol": symbol, "window": window},
    )
    return rows[0] if rows else None
