"""What an operator watches, as questions with plain answers: new bars, verdicts of batches, retries, stalls.

Each `evaluate_*` is a pure function of what was found and of the time; the sensors ask, act and tell.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from sensequant_assets.batch import Key, utc_now
from sensequant_assets.core.outcome import Verdict
from sensequant_assets.errors import FailureKind
from sensequant_assets.model_store import ModelKind
from sensequant_assets.telemetry.journal import Journal, RecordKind
from sensequant_assets.telemetry.store import TelemetryStore

LOOK_BACK = timedelta(days=1)
"""How old the end of a batch may be that a sensor still acts on: switched on after a pause, it digs up no history."""

NOTED = ("notified", "stalled", "problem")
"""Kinds of events that sensors write: no sign of life of a batch."""


class BatchState(Enum):
    """How far the batch is that was requested last."""

    NONE = auto()
    RUNNING = auto()
    DONE = auto()
    BROKEN_OFF = auto()


@dataclass(frozen=True, slots=True)
class IntakeCursor:
    """What was taken so far.

    Attributes
    ----------
    content
        Digest of the bars and the universe.
    changes
        How many changes were taken; it tells two visits of the same content apart.
    batch, attempt
        The batch requested last and the how manieth it is for this change; None once it is done.
    problems, told
        What was not taken of this content, and whether a tick has failed with it.
    """

    content: str = ""
    changes: int = 0
    batch: str | None = None
    attempt: int = 0
    problems: tuple[str, ...] = ()
    told: bool = False

    @classmethod
    def parse(cls, text: str | None) -> "IntakeCursor":
        """The cursor that `text` holds; a fresh one where there is none or it is of another version."""
        try:
            read = cls(**json.loads(text or "{}"))
        except (TypeError, ValueError):
            return cls()
        return replace(read, problems=tuple(read.problems))

    def text(self) -> str:
        """The cursor as Dagster keeps it."""
        return json.dumps(asdict(self))

    @property
    def identity(self) -> str:
        """Names this change and attempt, the same after a restart."""
        return f"{self.changes}-{self.attempt}-{self.content}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at changed bars found: pairs to train, and what cannot be taken and why."""

    keys: Sequence[Key]
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Intake:
    """What to do about the bars.

    Attributes
    ----------
    keys
        Pairs to train now.
    problems
        What to fail the tick with, if no pair is to be trained.
    reason
        Why nothing is to be done, otherwise.
    cursor
        Where the next look goes on.
    """

    keys: Sequence[Key]
    problems: Sequence[str]
    reason: str
    cursor: IntakeCursor


def evaluate_intake(
    cursor: IntakeCursor,
    content: str,
    state: BatchState,
    look: Callable[[], Found],
    told: Callable[[str], bool],
    limit: int,
) -> Intake:
    """Decide what to do about the bars.

    One batch is under way at a time, so that no pair is asked for twice; what arrives meanwhile waits for its end. A
    batch that broke off is asked for again.

    Parameters
    ----------
    cursor
        What was taken so far.
    content
        Digest of what is there.
    state
        Of the batch that the cursor names.
    look
        Finds what the content asks for; called only if it has changed or the batch broke off.
    told
        Whether a tick has failed with the problems of this cursor identity.
    limit
        Most batches for one change.
    """
    if state is BatchState.RUNNING:
        return Intake((), (), f"Batch {cursor.batch} is under way; what arrives meanwhile is taken after it.", cursor)
    changed = content != cursor.content
    keys: Sequence[Key] = ()
    if changed or state is BatchState.BROKEN_OFF:
        found = look()
        keys, problems = found.keys, tuple(found.problems)
        attempt = 1 if changed else cursor.attempt + 1
        if keys and attempt > limit:
            keys = ()
            problems += (
                f"Batch {cursor.batch} broke off, as did the {limit - 1} before it for these bars. "
                "See why on the page of its run, then launch its windows again.",
            )
        upcoming = IntakeCursor(content, cursor.changes + changed, None, attempt, problems)
        if keys:
            batch = f"bars-{_digest(upcoming.identity, *('|'.join(key) for key in keys))}"
            return Intake(keys, (), "", replace(upcoming, batch=batch))
    else:
        upcoming = replace(cursor, batch=None)
    if upcoming.problems and not upcoming.told:
        if not told(upcoming.identity):
            return Intake((), upcoming.problems, "", upcoming)
        upcoming = replace(upcoming, told=True)
    reason = (
        "The bars have changed, and every window is trained on what it needs of them."
        if changed
        else ("The bars are those that were taken last.")
    )
    if upcoming.problems:
        reason += " Still not taken: " + " ".join(upcoming.problems)
    return Intake((), (), reason, upcoming)


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """A batch of which telemetry says that it is over and not judged since.

    Attributes
    ----------
    batch_id
        Its name.
    max_failure_rate
        Its limit.
    superseded
        Whether a batch that ended later has been judged already.
    runs
        Its runs that left a record.
    """

    batch_id: str
    runs: int
    max_failure_rate: float
    superseded: bool


def ended_batches(telemetry: TelemetryStore, universe: str, now: datetime) -> list[EndedBatch]:
    """Batches that ended within `LOOK_BACK`, have or can have several runs, and no verdict since; oldest first."""
    rows = telemetry.query(
        """
        WITH ended AS (
            SELECT batch_id, count(*) AS runs, bool_or(status = 'running') AS running,
                   max(coalesce(ended_at, started_at)) AS ended_at
            FROM runs GROUP BY batch_id
        ), judged AS (
            SELECT batch_id, max(evaluated_at) FILTER (run_id = '') AS whole_at, max(evaluated_at) AS judged_at
            FROM verdicts GROUP BY batch_id
        )
        SELECT batch_id, runs, max_failure_rate, EXISTS (
            SELECT * FROM judged AS other JOIN batches AS theirs USING (batch_id)
            WHERE theirs.universe = batches.universe AND other.batch_id <> batches.batch_id
                AND other.judged_at > ended.ended_at
        ) AS superseded
        FROM batches JOIN ended USING (batch_id) LEFT JOIN judged USING (batch_id)
        WHERE universe = $universe AND NOT running AND (runs > 1 OR backfill_id IS NOT NULL)
            AND ended.ended_at > $since AND (whole_at IS NULL OR whole_at < ended.ended_at)
        ORDER BY ended.ended_at
        """,
        {"universe": universe, "since": now - LOOK_BACK},
    ).to_pylist()
    return [EndedBatch(**row) for row in rows]


def evaluate_batch(
    model: ModelKind, counts: Mapping[str, Any], max_failure_rate: float, *, teachers: Verdict | None = None
) -> Verdict:
    """Judge a whole batch by the latest attempts at its windows.

    Parameters
    ----------
    model
        Which model.
    counts
        Its row of `batch_summary`.
    max_failure_rate
        The batch's limit.
    teachers
        Verdict of its teachers, for the students: if it is exceeded and no student was attempted, that is why.
    """
    attempted = counts["trained"] + counts["reused"] + counts["failed"]
    blocked = teachers is not None and teachers.exceeded and not attempted
    return Verdict(
        model=model,
        trained=counts["trained"],
        reused=counts["reused"],
        skipped=counts["skipped"],
        failed=counts["failed"],
        not_attempted=counts["not_attempted"],
        max_failure_rate=max_failure_rate,
        blocked="No student was trained: too many teachers failed in this batch." if blocked else "",
    )


def failed_windows(telemetry: TelemetryStore, batch_id: str, model: str, most: int) -> list[dict[str, Any]]:
    """`symbol`, `window`, `cause` and `error` of the first failed windows of a batch, by latest attempt."""
    rows: list[dict[str, Any]] = telemetry.query(
        """
        SELECT symbol, window_start::VARCHAR AS window, failure_kind AS cause, coalesce(error_message, '') AS error
        FROM window_status WHERE batch_id = ? AND model = ? AND outcome = 'failed'
        ORDER BY symbol, window_start LIMIT ?
        """,
        [batch_id, model, most],
    ).to_pylist()
    return rows


@dataclass(frozen=True, slots=True)
class Failure:
    """A window whose last attempt failed in a way that can pass next time."""

    batch_id: str
    symbol: str
    window: str
    attempt: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """The next attempt at the transient failures of one batch, not before `due`."""

    batch_id: str
    keys: Sequence[Key]
    attempt: int
    due: datetime


@dataclass(frozen=True, slots=True)
class Basis:
    """What a batch was run with: settings of its market, parameters by model, and its limit."""

    market: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    max_failure_rate: float


def batch_basis(telemetry: TelemetryStore, batch_id: str) -> Basis | None:
    """What a batch was run with; None before its first record."""
    rows = telemetry.query(
        "SELECT settings, parameters, max_failure_rate FROM batches WHERE batch_id = ?", [batch_id]
    ).to_pylist()
    if not rows:
        return None
    (row,) = rows
    return Basis(json.loads(row["settings"] or "{}"), json.loads(row["parameters"] or "{}"), row["max_failure_rate"])


def transient_failures(telemetry: TelemetryStore, universe: str, now: datetime) -> list[Failure]:
    """Windows whose last attempt, in any batch, failed transiently within `LOOK_BACK`."""
    rows = telemetry.query(
        """
        SELECT batch_id, symbol, window_start::VARCHAR AS window, max(attempt) AS attempt, max(ended_at) AS ended_at
        FROM (
            SELECT * FROM window_runs WHERE universe = $universe
            QUALIFY row_number() OVER (PARTITION BY model, symbol, window_start ORDER BY ended_at DESC) = 1
        )
        WHERE outcome = 'failed' AND ended_at > $since AND failure_kind IN (SELECT unnest($kinds::VARCHAR[]))
        GROUP BY batch_id, symbol, window_start ORDER BY batch_id, symbol, window_start
        """,
        {
            "universe": universe,
            "since": now - LOOK_BACK,
            "kinds": [str(kind) for kind in FailureKind if kind.transient],
        },
    ).to_pylist()
    return [Failure(**row) for row in rows]


def evaluate_retries(
    failures: Sequence[Failure], tried: Mapping[str, int], *, limit: int, backoff_s: float
) -> list[Retry]:
    """Which batches are tried again, and when.

    Parameters
    ----------
    failures
        As `transient_failures` gives them.
    tried
        Attempts of each batch so far by its runs, which counts also those that died without a row.
    limit
        Most attempts, the first included.
    backoff_s
        Seconds after the first attempt; doubled for each further one.
    """
    by_batch: dict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        by_batch[failure.batch_id].append(failure)
    retries = []
    for batch, found in by_batch.items():
        made = max(tried.get(batch, 1), *(failure.attempt for failure in found))
        if made < limit:
            due = max(failure.ended_at for failure in found) + timedelta(seconds=backoff_s * 2 ** (made - 1))
            retries.append(Retry(batch, [(failure.symbol, failure.window) for failure in found], made + 1, due))
    return retries


@dataclass(frozen=True, slots=True)
class Running:
    """A batch that telemetry takes for running, and when it gave its last sign of life."""

    batch_id: str
    last_sign: datetime


def running_batches(telemetry: TelemetryStore) -> list[Running]:
    """Batches of which a run is still being written."""
    rows = telemetry.query(
        """
        SELECT batch_id, greatest(
            max(runs.started_at), max(runs.ended_at),
            (SELECT max(ended_at) FROM window_runs WHERE window_runs.batch_id = runs.batch_id),
            (SELECT max(evaluated_at) FROM verdicts WHERE verdicts.batch_id = runs.batch_id),
            (SELECT max(happened_at) FROM events
             WHERE events.batch_id = runs.batch_id AND kind NOT IN (SELECT unnest(?::VARCHAR[])))
        ) AS last_sign
        FROM runs GROUP BY batch_id HAVING bool_or(status = 'running') ORDER BY batch_id
        """,
        [list(NOTED)],
    ).to_pylist()
    return [Running(**row) for row in rows]


def evaluate_stalls(running: Sequence[Running], now: datetime, after: timedelta) -> list[Running]:
    """The batches without a sign of life for as long as `after`."""
    return [batch for batch in running if now - batch.last_sign >= after]


def note(telemetry: TelemetryStore, kind: str, identity: str, message: str, *, batch_id: str = "") -> None:
    """Write an event of a sensor, once for an identity: ask `is_noted` first."""
    with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
        journal.append(
            RecordKind.EVENT,
            {"level": "error", "kind": kind, "message": message, "data": {"id": identity}},
        )


def is_noted(telemetry: TelemetryStore, kind: str, identity: str) -> bool:
    """Whether an event of this kind and identity was written."""
    found = telemetry.query(
        "SELECT 1 FROM events WHERE kind = ? AND json_extract_string(data, '$.id') = ? LIMIT 1", [kind, identity]
    )
    return bool(found.num_rows)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
