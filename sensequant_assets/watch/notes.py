"""What sensors have told already, noted in telemetry so that it is told once."""

from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore


def note(telemetry: TelemetryStore, kind: str, identity: str, message: str, *, batch_id: str = "") -> None:
    """Write an event of a sensor, once for an identity: ask `is_noted` first."""
    with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
        journal.append(Event(level="error", kind=kind, message=message, data={"id": identity}))
