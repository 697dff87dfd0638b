"""What is asked of telemetry, in SQL."""

from sensequant_assets.errors import FailureKind
from sensequant_assets.telemetry.store import TelemetryStore


def permanent_failures(telemetry: TelemetryStore, universe: str) -> dict[tuple[str, str, str], str]:
    """Data fingerprint by (model, symbol, window key) of pairs whose last attempt failed and would fail again."""
    rows = telemetry.query(
        """
        SELECT model, symbol, window_start, data_fingerprint FROM (
            SELECT * FROM window_runs WHERE universe = ? AND outcome <> 'skipped'
            QUALIFY row_number() OVER (PARTITION BY model, symbol, window_start ORDER BY ended_at DESC) = 1
        ) WHERE outcome = 'failed' AND data_fingerprint IS NOT NULL
            AND failure_kind NOT IN (SELECT unnest(?::VARCHAR[]))
        """,
        [universe, [str(kind) for kind in FailureKind if kind.transient]],
    ).to_pylist()
    return {(row["model"], row["symbol"], str(row["window_start"])): row["data_fingerprint"] for row in rows}
