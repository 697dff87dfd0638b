"""What an operator watches, as questions with plain answers: new bars, verdicts of batches, retries, stalls.

Each `evaluate_*` is a pure function of what was found and of the time; the sensors ask, act and tell.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto

from sensequant_assets.core.lattice import Key


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


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
