"""Bars that have changed: whether to look at them, which pairs to train for them, and what cannot be taken."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto

from sensequant_assets.core.lattice import Key

PROBLEMS_SHOWN = 10


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
    """What a look at changed bars found.

    Attributes
    ----------
    keys
        Pairs to train.
    problems
        What cannot be taken, and why.
    symbols, windows
        The lattice they are of: its symbols, and its window keys in order; empty if there is none to be had.
    """

    keys: Sequence[Key] = ()
    problems: Sequence[str] = ()
    symbols: Sequence[str] = ()
    windows: Sequence[str] = ()


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

    def after_telling(self) -> "Intake":
        """What to do where a tick has failed with the problems already."""
        return replace(self, problems=(), cursor=replace(self.cursor, told=True))


def must_look(cursor: IntakeCursor, content: str, state: BatchState) -> bool:
    """Whether to find out what the bars ask for.

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
    """
    return state is not BatchState.RUNNING and (content != cursor.content or state is BatchState.BROKEN_OFF)


def evaluate_intake(cursor: IntakeCursor, content: str, state: BatchState, found: Found | None, limit: int) -> Intake:
    """Decide what to do about the bars.

    Parameters
    ----------
    cursor, content, state
        As for `must_look`.
    found
        What the content asks for; None unless `must_look`.
    limit
        Most batches for one change.
    """
    if state is BatchState.RUNNING:
        return Intake((), (), f"Batch {cursor.batch} is under way; what arrives meanwhile is taken after it.", cursor)
    keys, upcoming = _taken(cursor, content, found, limit) if found else ((), replace(cursor, batch=None))
    if keys:
        return Intake(keys, (), "", upcoming)
    reason = (
        "The bars are those that were taken last."
        if content == cursor.content
        else "The bars have changed, and every window is trained on what it needs of them."
    )
    if upcoming.problems:
        reason += " Still not taken: " + " ".join(upcoming.problems)
    return Intake((), () if upcoming.told else upcoming.problems, reason, upcoming)


def _taken(cursor: IntakeCursor, content: str, found: Found, limit: int) -> tuple[Sequence[Key], IntakeCursor]:
    """The pairs to train for what was found, and the cursor after it."""
    changed = content != cursor.content
    attempt = 1 if changed else cursor.attempt + 1
    keys, problems = found.keys, _shown(found.problems)
    if keys and attempt > limit:
        keys = ()
        problems += (
            f"Batch {cursor.batch} broke off, as did the {limit - 1} before it for these bars. "
            "See why on the page of its run, then launch its windows again.",
        )
    upcoming = IntakeCursor(content, cursor.changes + changed, None, attempt, problems)
    if keys:
        upcoming = replace(upcoming, batch=f"bars-{_digest(upcoming.identity, *('|'.join(key) for key in keys))}")
    return keys, upcoming


def _shown(problems: Iterable[str]) -> tuple[str, ...]:
    different = tuple(dict.fromkeys(problems))
    more = len(different) - PROBLEMS_SHOWN
    return (*different[:PROBLEMS_SHOWN], *([f"And {more} more."] if more > 0 else []))


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
