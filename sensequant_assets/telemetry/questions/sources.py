"""Where numbers about a batch come from: the question for each, as anybody can ask it again, and what it answers."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sensequant_assets.telemetry.store import TelemetryStore

_QUESTIONS = {
    "settings": "SELECT settings, parameters, versions, max_failure_rate FROM batches WHERE batch_id = {batch}",
    "outcomes": "FROM batch_summary WHERE batch_id = {batch} ORDER BY model",
    "verdicts": "SELECT * EXCLUDE ordered_at FROM verdicts WHERE batch_id = {batch} ORDER BY run_id, model, check_name",
    "skips": "SELECT model, reason, count(*) AS windows FROM window_status WHERE batch_id = {batch} "
    "AND outcome = 'skipped' GROUP BY ALL ORDER BY ALL",
    "failures": "SELECT model, failure_kind, count(*) AS windows FROM window_status WHERE batch_id = {batch} "
    "AND outcome = 'failed' GROUP BY ALL ORDER BY ALL",
    "findings": "SELECT level, symbol, message FROM events WHERE batch_id = {batch} AND kind = 'finding' ORDER BY ALL",
    "bars": "SELECT data FROM events WHERE batch_id = {batch} AND kind = 'bars' ORDER BY ALL",
    "coverage": "SELECT data FROM events WHERE batch_id = {batch} AND kind = 'coverage' ORDER BY ALL",
    "canaries": "SELECT data FROM events WHERE batch_id = {batch} AND kind = 'canaries' ORDER BY happened_at",
    "trials": "SELECT score, count(DISTINCT parameters_fingerprint) AS tried FROM trials "
    "WHERE universe = (SELECT universe FROM batches WHERE batch_id = {batch}) GROUP BY score ORDER BY score",
}
_FOUND = "SELECT findings FROM evaluations WHERE evaluation = {evaluation}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from.

    Attributes
    ----------
    question
        SQL for `sensequant query`, or a command.
    batch_id
        The batch that it asks about.
    digest
        Of the answer: with another one it is another.
    """

    question: str
    batch_id: str
    digest: str

    def as_json(self) -> dict[str, str]:
        """As one JSON object."""
        return {"question": self.question, "batch": self.batch_id, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class KeptEvaluation:
    """An evaluation or a backtest that telemetry keeps of a batch; `of_portfolio` says which."""

    evaluation: str
    subject_fingerprint: str
    of_portfolio: bool


def sources(store: TelemetryStore, batch_id: str) -> dict[str, Source]:
    """The questions about a batch, with digests of what they answer."""
    return {name: _asked(store, sql.format(batch=_quoted(batch_id)), batch_id) for name, sql in _QUESTIONS.items()}


def source_of_findings(store: TelemetryStore, batch_id: str, evaluation: str) -> Source:
    """The question for what an evaluation or a backtest of a batch found."""
    return _asked(store, _FOUND.format(evaluation=_quoted(evaluation)), batch_id)


def kept_evaluations(store: TelemetryStore, batch_id: str) -> list[KeptEvaluation]:
    """Evaluations and backtests of a batch, the latest first."""
    rows = store.rows(
        """
        SELECT evaluation, subject_fingerprint, json_exists(findings, '$.portfolio') AS of_portfolio
        FROM evaluations WHERE batch_id = ? AND findings IS NOT NULL ORDER BY ordered_at DESC, evaluation DESC
        """,
        [batch_id],
    )
    return [KeptEvaluation(**row) for row in rows]


def _asked(store: TelemetryStore, question: str, batch_id: str) -> Source:
    rows: list[dict[str, Any]] = store.rows(question)
    text = json.dumps(rows, default=str, sort_keys=True)
    return Source(question, batch_id, hashlib.blake2b(text.encode(), digest_size=16).hexdigest())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
