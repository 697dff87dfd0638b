"""Questions about events."""

from sensequant_assets.telemetry.store import TelemetryStore

NOTED = ("notified", "stalled", "problem")
"""Kinds of events that sensors write: no sign of life of a batch."""


def is_noted(store: TelemetryStore, kind: str, identity: str) -> bool:
    """Whether a sensor has noted an event of this kind and identity."""
    rows = store.rows(
        "SELECT 1 FROM events WHERE kind = ? AND json_extract_string(data, '$.id') = ? LIMIT 1", [kind, identity]
    )
    return bool(rows)


def messages(store: TelemetryStore, batch_id: str, kind: str) -> list[str]:
    """What events of one kind say of a batch, in order."""
    rows = store.rows(
        "SELECT message FROM events WHERE batch_id = ? AND kind = ? ORDER BY happened_at, shard, shard_offset",
        [batch_id, kind],
    )
    return [row["message"] for row in rows]
