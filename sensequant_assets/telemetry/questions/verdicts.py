"""Questions about what the check said."""

from typing import Any

from sensequant_assets.telemetry.store import TelemetryStore


def verdict_on(
    store: TelemetryStore, batch_id: str, model: str, check_name: str = "max_failure_rate"
) -> dict[str, Any] | None:
    """What the check said of a model of a batch.

    Returns
    -------
    dict or None
        The whole batch's verdict if one is recorded; else its runs' verdicts together: counts added, the rate taken
        from them, passed if all passed. None if the check never ran. Its `exceeded` tells whether the rate of any of
        these is above the limit, which is not all that can keep a check from passing.
    """
    rows = store.rows(
        """
        SELECT batch_id, '' AS run_id, model, check_name, bool_and(passed) AS passed,
               bool_or(failed / nullif(trained + reused + failed, 0) > max_failure_rate) AS exceeded,
               sum(failed) / nullif(sum(trained + reused + failed), 0) AS failure_rate,
               max(max_failure_rate) AS max_failure_rate, sum(trained)::INTEGER AS trained,
               sum(reused)::INTEGER AS reused, sum(skipped)::INTEGER AS skipped,
               sum(failed)::INTEGER AS failed, sum(not_attempted)::INTEGER AS not_attempted,
               max(evaluated_at) AS evaluated_at
        FROM verdicts WHERE batch_id = $batch AND model = $model AND check_name = $check AND run_id <> ''
        GROUP BY ALL
        UNION ALL BY NAME
        SELECT *, failed / nullif(trained + reused + failed, 0) > max_failure_rate AS exceeded
        FROM verdicts WHERE batch_id = $batch AND model = $model AND check_name = $check AND run_id = ''
        """,
        {"batch": batch_id, "model": model, "check": check_name},
    )
    return rows[-1] if rows else None


def whole_verdicts(store: TelemetryStore, batch_id: str) -> dict[str, bool]:
    """Passed or not by model, where the whole batch's verdict is recorded."""
    rows = store.rows(
        "SELECT model, bool_and(passed) AS passed FROM verdicts WHERE batch_id = ? AND run_id = '' GROUP BY model",
        [batch_id],
    )
    return {row["model"]: row["passed"] for row in rows}


def verdicts_to_check(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """Verdicts of a batch by the share of failed windows, each with the same counts as the rows of windows have them.

    A whole batch's verdict has the counts of its last attempts, as `rows_trained` and so on, and that of a run those of
    its own windows; `later` tells whether windows were attempted after a whole batch's verdict.
    """
    counts = ", ".join(
        f"count(*) FILTER (attempts.outcome = '{name}') AS rows_{name}"
        for name in ("trained", "reused", "skipped", "failed")
    )
    return store.rows(
        f"""
        SELECT verdicts.*, {counts}, count(*) FILTER (attempts.ordered_at > verdicts.ordered_at) AS later
        FROM verdicts LEFT JOIN (
            SELECT *, '' AS judged_by FROM last_attempts UNION ALL SELECT *, run_id AS judged_by FROM window_runs
        ) AS attempts
        ON attempts.batch_id = verdicts.batch_id AND attempts.model = verdicts.model
            AND attempts.judged_by = verdicts.run_id
        WHERE verdicts.batch_id = ? AND check_name = 'max_failure_rate'
        GROUP BY ALL ORDER BY verdicts.run_id, verdicts.model DESC
        """,  # noqa: S608 - constants
        [batch_id],
    )


def models_judged(store: TelemetryStore, batch_id: str) -> set[str]:
    """Models of a batch that a run of it has judged."""
    rows = store.rows("SELECT DISTINCT model FROM verdicts WHERE batch_id = ? AND run_id <> ''", [batch_id])
    return {row["model"] for row in rows}


def is_judged(store: TelemetryStore, batch_id: str, model: str) -> bool:
    """Whether a batch has its verdict on a model: one on the whole of it, or that of the one run that it is."""
    rows = store.rows(
        """
        SELECT coalesce(bool_or(run_id = ''), false) OR (
            count(*) = 1 AND (SELECT count(*) FROM runs WHERE batch_id = $batch) = 1
        ) AS judged
        FROM verdicts WHERE batch_id = $batch AND model = $model
        """,
        {"batch": batch_id, "model": model},
    )
    return bool(rows[0]["judged"])
