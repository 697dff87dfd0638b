"""How many windows of a model may fail before its run can no longer pass.

The bound is certain: it holds whatever becomes of the windows to come. A statistical one would end a batch sooner, and
wrongly: windows come symbol by symbol and fail together, so that the first broken symbol of a hundred looks like all.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from sensequant_assets.core.outcome import Status
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.telemetry.questions.events import STOPPED_EARLY
from sensequant_assets.telemetry.records import Event
from sensequant_assets.text import counted


class Came(Protocol):
    """What a window has come to: its status, one of `Status`, and of a failure its kind."""

    @property
    def status(self) -> str: ...  # noqa: D102  # as above
    @property
    def failure(self) -> str | None: ...  # noqa: D102  # as above


@dataclass(slots=True)
class Budget:
    """Counts a model's windows until it is certain that too many fail.

    Parameters
    ----------
    model
        `teacher` or `student`.
    planned
        Pairs of the run, skipped ones included.
    limit
        Says the limit as it is at the moment; asked once a window after the first failure.

    Attributes
    ----------
    attempted, skipped
        Windows that have come back.
    causes
        Failed ones, by kind of failure.
    spent
        Why no further window is begun; empty while some may pass.
    """

    model: ModelKind
    planned: int
    limit: Callable[[], float]
    attempted: int = 0
    skipped: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    spent: str = ""

    @property
    def possible(self) -> int:
        """Most windows that the whole run can attempt; those to come may be skipped, which makes them fewer."""
        return self.planned - self.skipped

    def take(self, outcome: Came) -> Event | None:
        """Count what became of a window; the event of the end if there is no passing from here on.

        If all that is left succeeds, ``failed / possible`` of the windows fail: no end of the run has a smaller rate.
        Where that exceeds the limit, so does the verdict on the whole run. Exactly the limit passes.
        """
        if outcome.status == Status.SKIPPED:
            self.skipped += 1
        else:
            self.attempted += 1
        if outcome.status == Status.FAILED:
            self.causes[str(outcome.failure)] += 1
        left = self.possible - self.attempted
        if self.spent or not left or not self.causes:
            return None
        limit, failed = self.limit(), self.causes.total()
        if not failed / self.possible > limit:
            return None
        rest = "the other one succeeds" if left == 1 else f"the other {left} succeed"
        self.spent = (
            f"Stopped early: {failed} of {counted(self.attempted, self.model)} failed, and even if {rest}, "
            f"{failed / self.possible:.1%} of {self.possible} fail, where {limit:.1%} may. "
            f"Used up by {', '.join(f'{cause} {count}' for cause, count in self.causes.most_common())}."
        )
        told: dict[str, Any] = {
            "model": self.model, "failed": failed, "attempted": self.attempted, "possible": self.possible,
            "max_failure_rate": limit, "causes": dict(self.causes.most_common()),
        }  # fmt: skip
        return Event(level="error", kind=STOPPED_EARLY, message=self.spent, data=told)
