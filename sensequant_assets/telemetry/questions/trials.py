"""Questions about evaluations: what was tried before, and what was found of a batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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


def past_trials(
    store: TelemetryStore,
    universe: str,
    scores: tuple[str, ...],
    before: datetime | None = None,
    *,
    beginning: str | None = None,
) -> list[PastTrial]:
    """All that was ever tried on a universe, once each however often it was evaluated, in order.

    Parameters
    ----------
    store, universe, scores
        Which trials.
    before
        Only those of before this time; None for all.
    beginning
        Of the names of more scores; None for none.
    """
    rows = store.rows(
        """
        SELECT parameters_fingerprint, score, series FROM trials
        WHERE universe = $universe AND parameters_fingerprint IS NOT NULL
            AND (list_contains($scores, score) OR starts_with(score, $beginning))
            AND ($before IS NULL OR ordered_at < $before)
        QUALIFY row_number() OVER (
            PARTITION BY parameters_fingerprint, score
            ORDER BY series IS NULL, dates DESC NULLS LAST, ordered_at DESC, evaluation DESC
        ) = 1
        ORDER BY parameters_fingerprint, score
        """,
        {"universe": universe, "scores": list(scores), "beginning": beginning, "before": before},
    )
    return [PastTrial(row["parameters_fingerprint"], row["score"], _series(row["series"])) for row in rows]


def tuned_until(
    store: TelemetryStore, universe: str, parameters_fingerprints: Sequence[str], before: datetime | None = None
) -> str | None:
    """Day before which rows chose among parameters of which these are some, ever or before a time; None if none did."""
    rows = store.rows(
        """
        SELECT max(metrics->>'locked_from') AS day FROM trials
        WHERE universe = $universe AND list_contains($parameters, parameters_fingerprint)
            AND ($before IS NULL OR ordered_at < $before)
        """,
        {"universe": universe, "parameters": list(parameters_fingerprints), "before": before},
    )
    day: str | None = rows[0]["day"] if rows else None
    return day


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


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation of a batch as telemetry keeps it.

    Attributes
    ----------
    evaluation, subject_fingerprint, findings
        As of `records.Evaluation`.
    begun
        Time that orders the first of its rows: what was tried before was known to it.
    metrics
        Numbers of its trials, by score.
    """

    evaluation: str
    subject_fingerprint: str
    findings: Mapping[str, Any]
    begun: datetime
    metrics: Mapping[str, Mapping[str, Any]]


def evaluated(store: TelemetryStore, evaluation: str) -> Evaluated:
    """An evaluation or a backtest by its name."""
    rows = store.rows(
        """
        SELECT evaluation, subject_fingerprint, findings, least(
            ordered_at, (SELECT min(ordered_at) FROM trials WHERE trials.evaluation = evaluations.evaluation)
        ) AS begun
        FROM evaluations WHERE evaluation = ?
        """,
        [evaluation],
    )
    told = store.rows("SELECT score, metrics FROM trials WHERE evaluation = ?", [evaluation])
    metrics = {row["score"]: json.loads(row["metrics"]) for row in told}
    return Evaluated(**rows[0] | {"findings": json.loads(rows[0]["findings"])}, metrics=metrics)


def _series(told: str | None) -> dict[str, float]:
    found = json.loads(told) if told else {}
    return dict(zip(found.get("date", ()), found.get("top_return_net", ()), strict=True))
