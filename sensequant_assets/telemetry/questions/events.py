"""Questions about events."""

import json
from dataclasses import dataclass
from typing import Any

from sensequant_assets.telemetry.limits import LIMIT, ChangedLimit
from sensequant_assets.telemetry.store import TelemetryStore

BARS = "bars"
"""Kind of the event in which a run or an evaluation tells which bars it has read, by digest, and from where."""

DEVICE = "device"
"""Kind of events in which a run tells what trains its teachers, and why, and which device failed."""

DEVICES = "devices"
"""Kind of the events in which a run tells again and again what each of its devices has done."""

NOTED = ("notified", "stalled", "problem", "canaries", BARS, DEVICES, LIMIT)
"""Kinds of events that sensors, evaluations, people and clocks write: no sign of life of a batch."""

STOPPED_EARLY = "stopped_early"
"""Kind of the event in which a run tells why it begins no further window of a model."""


FINDING = "finding"
"""Kind of events that runs write of what the rules on bars find."""

COVERAGE = "coverage"
"""Kind of the event in which a run tells which bars there are."""

UNIVERSE = "universe"
"""Kind of the event in which a run tells its whole universe, whatever part of it is trained."""


@dataclass(frozen=True, slots=True)
class DevicesTold:
    """What the runs of a batch told last of their devices.

    Attributes
    ----------
    states
        Of each device of each run: `device`, `name`, `windows`, `busy_s`, `elapsed_s`, `failures`, `lost`, what it says
        of itself, and all of it in a sentence, `said`. None where CPUs trained all.
    warnings
        Sentences: which device failed, which stood idle, and where a CPU stands in.
    silent
        Why devices do not say how busy they are; empty where they do.
    """

    states: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    silent: str = ""


NO_DEVICES = DevicesTold()
"""What is told where CPUs train all."""


def devices_told(store: TelemetryStore, batch_id: str) -> DevicesTold:
    """What the runs of a batch told last of their devices."""
    rows = store.rows(
        "SELECT CAST(data AS VARCHAR) AS data FROM events WHERE batch_id = ? AND kind = ? "
        "QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY happened_at DESC, shard DESC, shard_offset DESC) = 1 "
        "ORDER BY run_id",
        [batch_id, DEVICES],
    )
    told = [json.loads(row["data"]) for row in rows]
    warned = store.rows(
        "SELECT message FROM events WHERE batch_id = ? AND kind = ? AND level = 'warning' "
        "GROUP BY message ORDER BY min(happened_at), message",
        [batch_id, DEVICE],
    )
    idle = [sentence for one in told for sentence in one["idle"]]
    return DevicesTold(
        tuple(state for one in told for state in one["devices"]),
        tuple([row["message"] for row in warned] + idle),
        " ".join(sorted({one["silent"] for one in told} - {""})),
    )


def findings(store: TelemetryStore, batch_id: str) -> list[dict[str, Any]]:
    """What the rules on bars found in a batch, each finding once: errors first, then by symbol and sentence."""
    rows = store.rows(
        "SELECT DISTINCT level, symbol, message, CAST(data AS VARCHAR) AS data FROM events "
        "WHERE batch_id = ? AND kind = ? ORDER BY level, symbol, message",
        [batch_id, FINDING],
    )
    return [json.loads(row["data"]) for row in rows]


def coverage(store: TelemetryStore, batch_id: str) -> dict[str, Any] | None:
    """Which bars there were when a batch was run, as its run told last; None where none has read them all."""
    rows = store.rows(
        "SELECT CAST(data AS VARCHAR) AS data FROM events WHERE batch_id = ? AND kind = ? "
        "ORDER BY happened_at DESC LIMIT 1",
        [batch_id, COVERAGE],
    )
    return json.loads(rows[0]["data"]) if rows else None


def told_by_runs(store: TelemetryStore, batch_id: str, kind: str) -> list[dict[str, Any]]:
    """What the runs of a batch have told by events of a kind, oldest first."""
    rows = store.rows(
        "SELECT CAST(data AS VARCHAR) AS data FROM events WHERE batch_id = ? AND kind = ? "
        "ORDER BY happened_at, shard, shard_offset",
        [batch_id, kind],
    )
    return [json.loads(row["data"]) for row in rows]


def bars_of_batches(store: TelemetryStore, universe: str) -> dict[str, set[tuple[int, str]]]:
    """How many bars of each symbol the batches of a universe have read, and their digest."""
    rows = store.rows(
        "SELECT CAST(data AS VARCHAR) AS data FROM events JOIN batches USING (batch_id) "
        "WHERE kind = ? AND universe = ?",
        [BARS, universe],
    )
    found: dict[str, set[tuple[int, str]]] = {}
    for row in rows:
        for symbol, (bars, digest, _) in json.loads(row["data"])["symbols"].items():
            found.setdefault(symbol, set()).add((bars, digest))
    return found


def latest_universe(store: TelemetryStore, universe: str) -> tuple[str, list[str]] | None:
    """The batch whose run started last on a universe, and the symbols that the universe had; None before the first.

    Batches on a universe of an earlier day do not count.
    """
    rows = store.rows(
        """
        SELECT batch_id, CAST(data AS VARCHAR) AS data FROM events JOIN runs USING (batch_id, run_id)
        WHERE kind = ? AND json_extract_string(data, '$.universe') = ?
            AND json_extract_string(data, '$.as_of') IS NULL
        ORDER BY runs.ordered_at DESC, batch_id DESC, run_id DESC LIMIT 1
        """,
        [UNIVERSE, universe],
    )
    return (rows[0]["batch_id"], json.loads(rows[0]["data"])["symbols"]) if rows else None


def changed_limit(store: TelemetryStore, batch_id: str) -> ChangedLimit | None:
    """The limit of a batch that somebody set last; None while it is the one that it was started with."""
    rows = store.rows(
        "SELECT CAST(data AS VARCHAR) AS data, happened_at FROM events WHERE batch_id = ? AND kind = ? "
        "ORDER BY happened_at DESC, shard DESC, shard_offset DESC LIMIT 1",
        [batch_id, LIMIT],
    )
    return ChangedLimit.of(json.loads(rows[0]["data"]), rows[0]["happened_at"]) if rows else None


def early_stops(store: TelemetryStore, batch_id: str) -> dict[str, str]:
    """Why a batch ended before its last window, by model, where it did."""
    rows = store.rows(
        "SELECT data->>'model' AS model, arg_max(message, happened_at) AS message FROM events "
        "WHERE batch_id = ? AND kind = ? GROUP BY ALL",
        [batch_id, STOPPED_EARLY],
    )
    return {row["model"]: row["message"] for row in rows}


def is_noted(store: TelemetryStore, kind: str, identity: str) -> bool:
    """Whether a sensor has noted an event of this kind and identity."""
    rows = store.rows(
        "SELECT 1 FROM events WHERE kind = ? AND json_extract_string(data, '$.id') = ? LIMIT 1", [kind, identity]
    )
    return bool(rows)


def latest_canaries(
    store: TelemetryStore, *, batch_id: str | None = None, universe: str | None = None, most: int = 1
) -> list[dict[str, Any]]:
    """What became of the canaries of one batch, or of the last batches of a universe, latest first, as they told it."""
    rows = store.rows(
        """
        SELECT data FROM events JOIN batches USING (batch_id)
        WHERE kind = 'canaries' AND batch_id = coalesce(?, batch_id) AND universe = coalesce(?, universe)
        QUALIFY row_number() OVER (PARTITION BY batch_id ORDER BY happened_at DESC) = 1
        ORDER BY happened_at DESC LIMIT ?
        """,
        [batch_id, universe, most],
    )
    return [json.loads(row["data"]) for row in rows]
