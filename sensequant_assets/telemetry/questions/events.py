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
