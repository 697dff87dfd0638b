"""What became of one window: trained, reused, skipped or failed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from math import nan
from typing import Any, Self

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


COUNTED = (*map(str, Status), "not_attempted")
"""What a planned window may count as."""


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
        Of the model, as the store records them, and a student's with its teacher's parameters as `teacher_*`; empty
        without a model. A None metric is one the rows cannot answer.
    constant
        Whether the model says the same of every row; None without a model.
    fingerprints, trees_fingerprint
        What the model was made from, or would have been had it not failed, and which trees it has; None and empty
        where that is not known.
    effective_end
        Day of the last training row; None without a model.
    path
        The model's text file; empty without a model.
    pool
        Name of the pool that taught it; empty where none did.
    device
        What trained it; empty without a model.
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
    pool: str = ""
    constant: bool | None = None
    device: str = ""


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
        The limit; NaN where it is not known, and then never exceeded.
    constant
        Of the trained and the reused: how many say the same of every row. They count as what they are, and are told.
    blocked
        Why no window was attempted at all, where something else forbade it; empty otherwise.
    limit_by
        Who set the limit after the start, and when; empty for the one that was given at the start.
    stopped
        Why no further window was begun before the last, where it was certain that too many fail; empty otherwise.
    """

    model: ModelKind
    trained: int
    reused: int
    skipped: int
    failed: int
    not_attempted: int
    max_failure_rate: float
    constant: int = 0
    blocked: str = ""
    limit_by: str = ""
    stopped: str = ""

    @classmethod
    def of(
        cls,
        model: ModelKind,
        counts: Mapping[str, Any],
        max_failure_rate: float | None,
        blocked: str = "",
        *,
        limit_by: str = "",
        stopped: str = "",
    ) -> Self:
        """Judge how many windows there are of each of `COUNTED`, and how many `constant`; other entries are ignored."""
        limit = nan if max_failure_rate is None else max_failure_rate
        told = {name: counts[name] for name in COUNTED} | {"constant": counts.get("constant", 0)}
        return cls(
            model=model, max_failure_rate=limit, blocked=blocked, limit_by=limit_by, stopped=stopped, **told
        )  # fmt: skip

    @property
    def counts(self) -> dict[str, int]:
        """How many windows, by `COUNTED`."""
        return {name: getattr(self, name) for name in COUNTED}

    @property
    def planned(self) -> int:
        """All windows, skipped ones included."""
        return sum(self.counts.values())

    @property
    def models(self) -> int:
        """Windows that have a model: trained and reused."""
        return self.trained + self.reused

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
    def mostly_constant(self) -> bool:
        """Whether more than half of the models say the same of every row, so that the batch knows nothing."""
        return 2 * self.constant > self.models

    @property
    def passed(self) -> bool:
        """Whether something was attempted, nothing left out and the limit is not exceeded."""
        return not self.exceeded and self.attempted > 0 and not self.not_attempted


def judge(
    model: ModelKind,
    statuses: Iterable[Status],
    *,
    planned: int,
    max_failure_rate: float,
    constant: int = 0,
    blocked: str = "",
    limit_by: str = "",
    stopped: str = "",
) -> Verdict:
    """Count what became of windows against the limit.

    Parameters
    ----------
    model
        `teacher` or `student`.
    statuses
        Of windows that came back, one a pair.
    planned
        Pairs planned, skipped ones included.
    max_failure_rate
        Greatest share of attempted windows that may fail.
    constant, blocked, limit_by, stopped
        As for `Verdict`.
    """
    counts = Counter(map(str, statuses))
    counts["not_attempted"] = planned - counts.total()
    counts["constant"] = constant
    return Verdict.of(model, counts, max_failure_rate, blocked, limit_by=limit_by, stopped=stopped)
