"""What failed in a way that can pass next time, and when it is tried again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sensequant_assets.core.lattice import Key
from sensequant_assets.telemetry.questions.batches import Basis
from sensequant_assets.telemetry.questions.failures import Failure


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """An ended batch with failures that can pass next time.

    Attributes
    ----------
    batch_id
        Its name.
    failures
        As `transient_failures` gives them.
    attempts
        Attempts so far by its runs, which counts also those that died without a row.
    basis
        What it was run with; None if nothing is known of that.
    """

    batch_id: str
    failures: Sequence[Failure]
    attempts: int
    basis: Basis | None


@dataclass(frozen=True, slots=True)
class DiedRun:
    """A run whose process is gone, and that nobody has repeated.

    Attributes
    ----------
    run_id, batch_id
        Of the run and of its batch.
    keys
        Its pairs; none if they are of another lattice.
    attempt
        The how manieth at its pairs it was.
    died_at
        When it was found dead.
    basis
        What its batch was run with; None if it died before its first record.
    """

    run_id: str
    batch_id: str
    keys: Sequence[Key]
    attempt: int
    died_at: datetime
    basis: Basis | None


@dataclass(frozen=True, slots=True)
class Retry:
    """The next attempt at the transient failures of a batch, or at all pairs of a run that died.

    Attributes
    ----------
    batch_id
        Of the batch.
    keys
        Pairs to try again.
    attempt
        The how manieth it is.
    due
        Not before.
    basis
        What the batch was run with; None if nothing is known of that.
    repeats
        Id of the run that died; None for failures of a batch.
    """

    batch_id: str
    keys: Sequence[Key]
    attempt: int
    due: datetime
    basis: Basis | None
    repeats: str | None = None

    @property
    def culprit(self) -> str:
        """Id of what is tried again: the run that died, or else the batch."""
        return self.repeats or self.batch_id

    @property
    def message(self) -> str:
        """What a person is told."""
        why = f"because run {self.repeats} was killed" if self.repeats else "which can pass now"
        return f"Batch {self.batch_id}: attempt {self.attempt} at {len(self.keys)} windows, {why}."


@dataclass(frozen=True, slots=True)
class Retries:
    """What is tried again now, and what later."""

    now: Sequence[Retry]
    later: Sequence[Retry]

    def awaited(self, now: datetime, patience: timedelta) -> set[str]:
        """Batches of which something is tried again, unless it is due for longer than that: then nobody does it."""
        return {retry.batch_id for retry in (*self.now, *self.later) if now < retry.due + patience}

    @property
    def reason(self) -> str:
        """What is waited for, where nothing is tried again now."""
        if not self.later:
            return "No failure of a batch can pass next time."
        last = {retry.batch_id: retry.due for retry in sorted(self.later, key=lambda retry: retry.due)}
        times = (f"batch {batch} at {due:%H:%M:%S} UTC" for batch, due in last.items())
        return f"Waits to try again: {', '.join(times)}."


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What may be tried again, and when.

    Attributes
    ----------
    market
        Settings of the market of this location: windows of another one are not its to train.
    limit
        Most attempts, the first included.
    backoff_s
        Seconds after the first attempt; doubled for each further one.
    """

    market: Mapping[str, Any]
    limit: int
    backoff_s: float

    def allows(self, attempts: int, basis: Basis | None) -> bool:
        """Whether there is another attempt after so many; where no basis is known, the market is taken for this one."""
        return attempts < self.limit and (basis is None or basis.market == self.market)

    def due(self, attempts: int, since: datetime) -> datetime:
        """When the next attempt is due if the last of so many ended then."""
        return since + timedelta(seconds=self.backoff_s * 2 ** (attempts - 1))


def evaluate_retries(died: Iterable[DiedRun], failed: Iterable[FailedBatch], rule: RetryRule, now: datetime) -> Retries:
    """Decide what is tried again, now and later.

    A run that died is repeated as it was: what it had done is reused, and its check judges the same windows. Failures
    of its batch are tried again with it.

    Parameters
    ----------
    died
        Runs that nobody has repeated, oldest first.
    failed
        Batches that have ended.
    rule
        What may be tried again, and when.
    now
        The time.
    """
    repeats = [_repeat(run, rule) for run in died if run.keys and rule.allows(run.attempt, run.basis)]
    repeated = {retry.batch_id for retry in repeats}
    others = [batch for batch in failed if batch.batch_id not in repeated]
    retries = [*repeats, *(_retry(batch, rule) for batch in others if rule.allows(_attempts(batch), batch.basis))]
    return Retries([one for one in retries if one.due <= now], [one for one in retries if one.due > now])


def _repeat(run: DiedRun, rule: RetryRule) -> Retry:
    due = rule.due(run.attempt, run.died_at)
    return Retry(run.batch_id, run.keys, run.attempt + 1, due, run.basis, repeats=run.run_id)


def _retry(batch: FailedBatch, rule: RetryRule) -> Retry:
    attempts, last = _attempts(batch), max(failure.ended_at for failure in batch.failures)
    keys = [(failure.symbol, failure.window) for failure in batch.failures]
    return Retry(batch.batch_id, keys, attempts + 1, rule.due(attempts, last), batch.basis)


def _attempts(batch: FailedBatch) -> int:
    return max(batch.attempts, *(failure.attempt for failure in batch.failures))
