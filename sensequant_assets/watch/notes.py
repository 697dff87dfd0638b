"""What sensors have told already, noted in telemetry so that it is told once."""

from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore

NOTED = ("notified", "stalled", "problem")
"""Kinds of events that sensors write: no sign of life of a batch."""


def note(telemetry: TelemetryStore, kind: str, identity: str, message: str, *, batch_id: str = "") -> None:
    """Write an event of a sensor, once for an identity: ask `is_noted` first."""
    with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
        journal.append(Event(level="error", kind=kind, message=message, data={"id": identity}))


def is_noted(telemetry: TelemetryStore, kind: str, identity: str) -> bool:
    """Whether an event of this kind and identity was written."""
    found = telemetry.query(
        "SELECT 1 FROM events WHERE kind = ? AND json_extract_string(data, '$.id') = ? LIMIT 1", [kind, identity]
    )
    return bool(found.num_rows)
