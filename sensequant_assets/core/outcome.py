"""What became of one window: trained, reused, skipped or failed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from math import nan
from typing import Any

from sensequant_assets.core.lattice import Pair, SkipReason
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.core.training import Fingerprints
from sensequant_assets.errors import FailureKind


class Status(StrEnum):
    """The four outcomes of a window."""

    TRAINED = "trained"
    REUSED = "reused"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model of one pair.

    Attributes
    ----------
    model
        `teacher` or `student`.
    pair
        The pair.
    status
        What became of it.
    reason
        Why it was skipped; None otherwise.
    failure
        Why it failed, by taxonomy; None otherwise.
    error_type, error_message
        Class and text of the error; empty unless it failed.
    metrics, parameters, rows
        Of the model, as the store records them; empty without a model. A None metric is one the rows cannot answer.
    fingerprints, trees_fingerprint
        What the model was made from, or would have been had it not failed, and which trees it has; None and empty
        where that is not known.
    effective_end
        Day of the last training row; None without a model.
    path
        The model's text file; empty without a model.
    """

    model: str
    pair: Pair
    status: Status
    reason: SkipReason | None = None
    failure: FailureKind | None = None
    error_type: str = ""
    error_message: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    fingerprints: Fingerprints | None = None
    trees_fingerprint: str = ""
    effective_end: date | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether few enough windows of one model failed.

    Attributes
    ----------
    model
        `teacher` or `student`.
    trained, reused, skipped, failed, not_attempted
        How many windows; `not_attempted` ones were planned and have no outcome.
    max_failure_rate
        The limit.
    blocked
        Why no window was attempted at all, where something else forbade it; empty otherwise.
    """

    model: str
    trained: int
    reused: int
    skipped: int
    failed: int
    not_attempted: int
    max_failure_rate: float
    blocked: str = ""

    @property
    def attempted(self) -> int:
        """Trained, reused and failed; skips never count."""
        return self.trained + self.reused + self.failed

    @property
    def eligible(self) -> int:
        """Windows that were to be attempted."""
        return self.attempted + self.not_attempted

    @property
    def failure_rate(self) -> float | None:
        """Failed over attempted; None if nothing was attempted."""
        return self.failed / self.attempted if self.attempted else None

    @property
    def exceeded(self) -> bool:
        """Whether the rate is above the limit (exactly the limit is not), or something else forbade the windows."""
        return bool(self.blocked) or (self.failure_rate is not None and self.failure_rate > self.max_failure_rate)

    @property
    def passed(self) -> bool:
        """Whether something was attempted and the limit is not exceeded: nothing attempted is no pass."""
        return not self.exceeded and self.attempted > 0


def judge(
    model: str, outcomes: Iterable[Outcome], *, planned: int, max_failure_rate: float, blocked: str = ""
) -> Verdict:
    """Count outcomes against the limit.

    Parameters
    ----------
    model
        `teacher` or `student`.
    outcomes
        At most one a pair.
    planned
        Pairs planned, skipped ones included.
    max_failure_rate
        Greatest share of attempted windows that may fail.
    blocked
        As for `Verdict`.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    return Verdict(
        model=model,
        trained=counts[Status.TRAINED],
        reused=counts[Status.REUSED],
        skipped=counts[Status.SKIPPED],
        failed=counts[Status.FAILED],
        not_attempted=planned - sum(counts.values()),
        max_failure_rate=max_failure_rate,
        blocked=blocked,
    )


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


def tally(row: Mapping[str, Any], max_failure_rate: float | None) -> Verdict:
    """A row of `batch_summary`, against the limit; an unknown limit is NaN and never exceeded."""
    return Verdict(
        model=row["model"],
        trained=row["trained"],
        reused=row["reused"],
        skipped=row["skipped"],
        failed=row["failed"],
        not_attempted=row["not_attempted"],
        max_failure_rate=nan if max_failure_rate is None else max_failure_rate,
    )


def planned_of(model: Verdict) -> int:
    """Windows of a model's plan, skipped ones included."""
    return model.eligible + model.skipped
