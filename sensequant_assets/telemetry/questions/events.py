"""Questions about events."""

import json
from typing import Any

from sensequant_assets.telemetry.store import TelemetryStore

NOTED = ("notified", "stalled", "problem")
"""Kinds of events that sensors write: no sign of life of a batch."""


FINDING = "finding"
"""Kind of events that runs write of what the rules on bars find."""


def findings(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """What the rules on bars found in a batch, each finding once: errors first, then by symbol and sentence."""
    rows = store.rows(
        "SELECT DISTINCT level, symbol, message, CAST(data AS VARCHAR) AS data FROM events "
        "WHERE batch_id = ? AND kind = ? ORDER BY level, symbol, message",
        [batch_id, FINDING],
    )
    return [json.loads(row["data"]) for row in rows]


def is_noted(store: TelemetryStore, kind: str, identity: str) -> bool:
    """Whether a sensor has noted an event of this kind and identity."""
    rows = store.rows(
        "SELECT 1 FROM events WHERE kind = ? AND json_extract_string(data, '$.id') = ? LIMIT 1", [kind, identity]
    )
    return bool(rows)
