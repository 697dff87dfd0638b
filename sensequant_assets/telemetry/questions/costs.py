"""Questions about what batches cost."""

from typing import Any

from sensequant_assets.telemetry.store import TelemetryStore


def batch_costs(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """Rows of the view `batch_costs`: pools first where there are any, then teachers and students, then all."""
    return store.rows(
        """
        FROM batch_costs WHERE batch_id = ?
        ORDER BY list_position(['pool', 'shared_student', 'teacher', 'student', 'all'], model)
        """,
        [batch_id],
    )


def dearest(store: TelemetryStore, batch_id: str, most: int) -> list[dict[str, Any]]:
    """The rows of the view `costs` that held a worker longest."""
    return store.rows(
        """
        FROM costs WHERE batch_id = ? AND wall_s IS NOT NULL
        ORDER BY wall_s DESC, model DESC, symbol, window_start LIMIT ?
        """,
        [batch_id, most],
    )
