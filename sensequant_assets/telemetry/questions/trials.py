"""Questions about evaluations: what was tried before, and what was found of a batch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sensequant_assets.telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class PastTrial:
    """Parameters of which a model was evaluated.

    Attributes
    ----------
    parameters_fingerprint, score
        Which parameters, and which model.
    series
        Net return of its top decile by date, as `2024-01-31`, of its longest evaluation; empty where none is kept.
    """

    parameters_fingerprint: str
    score: str
    series: Mapping[str, float]


def past_trials(store: TelemetryStore, universe: str, scores: tuple[str, ...]) -> list[PastTrial]:
    """All that was ever tried on a universe, once each however often it was evaluated, in order."""
    rows = store.rows(
        """
        SELECT parameters_fingerprint, score, series FROM trials
        WHERE universe = $universe AND parameters_fingerprint IS NOT NULL AND list_contains($scores, score)
        QUALIFY row_number() OVER (
            PARTITION BY parameters_fingerprint, score
            ORDER BY series IS NULL, dates DESC NULLS LAST, ordered_at DESC, evaluation DESC
        ) = 1
        ORDER BY parameters_fingerprint, score
        """,
        {"universe": universe, "scores": list(scores)},
    )
    return [PastTrial(row["parameters_fingerprint"], row["score"], _series(row["series"])) for row in rows]


def latest_findings(store: TelemetryStore, batch_id: str, subject_fingerprint: str) -> dict[str, Any] | None:
    """What the last evaluation of such a subject found; None before the first."""
    rows = store.rows(
        """
        SELECT findings FROM evaluations
        WHERE batch_id = ? AND subject_fingerprint = ? AND findings IS NOT NULL
        ORDER BY ordered_at DESC, evaluation DESC LIMIT 1
        """,
        [batch_id, subject_fingerprint],
    )
    return None if not rows else json.loads(rows[0]["findings"])


def _series(told: str | None) -> dict[str, float]:
    found = json.loads(told) if told else {}
    return dict(zip(found.get("date", ()), found.get("top_return_net", ()), strict=True))
