"""Questions about profiles: what was asked of them, and what was measured."""

import json
from collections.abc import Sequence
from typing import Any

from sensequant_assets.telemetry.store import TelemetryStore

PROFILE = "profile"
"""Kind of the event in which a profile tells what it is asked before it measures anything."""

_OBJECTS = ("grid", "parameters", "cpu_by_model", "effective", "scores")


def profile_asked(store: TelemetryStore, profile: str | None = None) -> dict[str, Any] | None:
    """What a profile was asked, or the latest one; None where there is none."""
    rows = store.rows(
        """
        SELECT CAST(data AS VARCHAR) AS data FROM events
        WHERE kind = $kind AND ($profile IS NULL OR data->>'profile' = $profile)
        ORDER BY data->>'profile' DESC LIMIT 1
        """,
        {"kind": PROFILE, "profile": profile},
    )
    return json.loads(rows[0]["data"]) if rows else None


def profile_names(store: TelemetryStore) -> list[str]:
    """All profiles, the one that was begun last first."""
    rows = store.rows(
        "SELECT DISTINCT data->>'profile' AS name FROM events WHERE kind = ? ORDER BY name DESC", [PROFILE]
    )
    return [row["name"] for row in rows]


def measurements(store: TelemetryStore, profile: str) -> list[dict[str, Any]]:
    """Rows of the table `profiles` of one of them, by setting and turn, with their objects as dicts."""
    rows = store.rows("FROM profiles WHERE profile = ? ORDER BY setting, turn", [profile])
    return [_parsed(row) for row in rows]


def earlier_measurements(
    store: TelemetryStore, profile: str, sample: str, parameters: Sequence[str], against: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """What the last profile before this one measured of such parameters on such a sample, by their fingerprint.

    Parameters
    ----------
    store
        Where telemetry lies.
    profile
        The profile that is compared.
    sample, parameters
        Fingerprints of its sample and of the parameters of its settings.
    against
        The only profile to compare with; any by default.
    """
    rows = store.rows(
        """
        FROM profiles WHERE profile < $profile AND ($against IS NULL OR profile = $against)
            AND sample_fingerprint = $sample AND list_contains($parameters, parameters_fingerprint)
            AND wall_s IS NOT NULL
        QUALIFY dense_rank() OVER (PARTITION BY parameters_fingerprint ORDER BY profile DESC) = 1
        ORDER BY parameters_fingerprint, turn
        """,
        {"profile": profile, "against": against, "sample": sample, "parameters": list(parameters)},
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["parameters_fingerprint"], []).append(_parsed(row))
    return found


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: json.loads(row[name] or "{}") for name in _OBJECTS}
