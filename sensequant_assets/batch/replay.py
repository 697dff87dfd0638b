"""What another policy would have made of a batch that is over, from telemetry alone.

Every run is gone through again by the rules that judged it: the budget of `--stop-early`, the check of each run, the
rule of `retry_transient`, and the verdict on the whole batch. Where a window would have been tried that was not,
telemetry cannot know what becomes of it: it may come to anything that is possible, and what follows is told with a
lower and an upper bound. Two things are certain without a row: a failure that cannot pass next time fails again, and a
student whose teacher has failed is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sensequant_assets.batch.budget import Budget
from sensequant_assets.batch.workers import GRACE_S
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import COUNTED, Status, Verdict
from sensequant_assets.core.parameters import MODELS, ModelKind
from sensequant_assets.errors import FailureKind
from sensequant_assets.telemetry.questions.batches import EndedBatch, batch, batch_ids, batch_summary, runs_of_batch
from sensequant_assets.telemetry.questions.verdicts import models_judged
from sensequant_assets.telemetry.questions.windows import Try, planned, tries
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.retries import RetryRule
from sensequant_assets.watch.verdicts import judge_whole

Range = tuple[float, float | None]
"""Least and most of something; the most is None where nothing bounds it."""


class Fate(StrEnum):
    """What may become of a window."""

    DONE = "done"
    SKIPPED = "skipped"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNTRIED = "untried"


_FAILED = frozenset({Fate.TRANSIENT, Fate.PERMANENT})
_TRIED = frozenset({Fate.DONE, *_FAILED})
_ANYTHING = frozenset({Fate.SKIPPED, *_TRIED})
_UNTRIED = frozenset({Fate.UNTRIED})


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be decided otherwise; None is what the batch itself had.

    Attributes
    ----------
    max_failure_rate
        Greatest share of attempted windows that may fail.
    retry_limit
        Most attempts at a window that failed in a way that can pass next time, the first included.
    stop_early
        Whether a run that is its whole batch begins no further window once it is certain that too many fail.
    """

    max_failure_rate: float | None = None
    retry_limit: int | None = None
    stop_early: bool | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A batch as telemetry has it.

    Attributes
    ----------
    batch_id
        Its name.
    policy
        What it was run with; its limit of attempts is how many it made, because the rule's own is not recorded.
    passed
        Whether its check passed: of each model, or nothing of it was eligible.
    rows
        All attempts, in the order in which they ended.
    first_runs
        Pairs of each of its runs that repeat none.
    models
        What these trained, teachers first.
    workers
        Most windows that a run trained at once.
    time_limit_s
        Longest that a window can take; None where that is not recorded.
    blocked, ended_early
        Whether teachers kept students from being tried in a first run, and whether one began no further window.
    """

    batch_id: str
    policy: Policy
    passed: bool
    rows: Sequence[Try]
    first_runs: Sequence[Sequence[Key]]
    models: Sequence[ModelKind]
    workers: int
    time_limit_s: float | None
    blocked: bool
    ended_early: bool

    @property
    def cost(self) -> "Cost":
        """What its windows took."""
        tried = [row for row in self.rows if row.status != Status.SKIPPED]
        retried = sum(row.attempt > 1 for row in tried)
        cpu, wall = (sum(getattr(row, name) or 0.0 for row in tried) for name in ("cpu_s", "duration_s"))
        return Cost((len(tried), len(tried)), (retried, retried), (0, 0), (cpu, cpu), (wall, wall))


@dataclass(frozen=True, slots=True)
class Cost:
    """Attempts and what they take, each as least and most.

    Attributes
    ----------
    attempts, retried
        Windows that are tried, and of these the second and further attempts; skipped ones are none.
    unknown
        Of the attempts: how many have no row, so that nobody knows what becomes of them.
    cpu_s, wall_s
        Seconds of the windows themselves. Reading, pools and starts of runs are not in them. One without a row takes
        nothing at least, and the time limit of a window at most.
    """

    attempts: tuple[int, int]
    retried: tuple[int, int]
    unknown: tuple[int, int]
    cpu_s: Range
    wall_s: Range


@dataclass(frozen=True, slots=True)
class Replayed:
    """A batch under another policy; None is not known.

    Attributes
    ----------
    past
        As it was.
    policy
        The other one, whole.
    passed
        Whether its check passes.
    blocked
        Whether the teachers' check keeps students from being tried in a first run.
    ended_early
        Whether a model's windows end before the last, because too many are certain to fail.
    failed, not_attempted
        Windows in the end, by model, as least and most.
    cost
        Of it.
    """

    past: Past
    policy: Policy
    passed: bool | None
    blocked: bool | None
    ended_early: bool | None
    failed: Mapping[str, tuple[int, int]]
    not_attempted: Mapping[str, tuple[int, int]]
    cost: Cost

    def as_json(self) -> dict[str, Any]:
        """The whole as one JSON object; of each number least and most, and null where nothing bounds it."""
        was = {name: getattr(self.past, name) for name in ("passed", "blocked", "ended_early")}
        would = {name: getattr(self, name) for name in (*was, "failed", "not_attempted")}
        return {
            "batch_id": self.past.batch_id,
            "was": asdict(self.past.policy) | was | asdict(self.past.cost),
            "would_be": asdict(self.policy) | would | asdict(self.cost),
        }


def pasts(store: TelemetryStore, last: int | None = None) -> tuple[list[Past], dict[str, str]]:
    """The last batches, the latest first, and why others of them cannot be replayed, by batch.

    Parameters
    ----------
    store
        Where telemetry lies.
    last
        How many batches are looked at; None for all.
    """
    with store.session():
        found = {batch_id: _past(store, batch_id) for batch_id in batch_ids(store)[:last]}
    return (
        [past for past in found.values() if isinstance(past, Past)],
        {batch_id: why for batch_id, why in found.items() if isinstance(why, str)},
    )


def replay(past: Past, policy: Policy) -> Replayed:
    """Say what another policy would have made of a batch.

    Parameters
    ----------
    past
        The batch.
    policy
        What is decided otherwise.
    """
    whole = {name: theirs if (asked := getattr(policy, name)) is None else asked
             for name, theirs in asdict(past.policy).items()}  # fmt: skip
    course = _Course(past, Policy(**whole))
    course.go()
    return Replayed(
        past,
        course.policy,
        course.passed,
        _certainty(course.blocked),
        _certainty(course.ended),
        {model: course.counted(model, _FAILED) for model in course.models},
        {model: course.counted(model, _UNTRIED) for model in course.models},
        course.cost,
    )


def _past(store: TelemetryStore, batch_id: str) -> Past | str:
    """A batch, or why nobody can say what another policy would have made of it."""
    told, runs = batch(store, batch_id), runs_of_batch(store, batch_id)
    plan, rows = planned(store, batch_id), tries(store, batch_id)
    if any(run["status"] not in ("succeeded", "failed") for run in runs):
        return "a run of it was killed or still runs"
    if not any(row["model"] == "teacher" for row in plan):
        return "it planned no teachers, and students alone are blocked by another batch"
    if told["max_failure_rate"] is None:
        return "its limit is not recorded"
    first_runs = _first_runs(plan, rows)
    if first_runs is None:
        return "nobody knows which run was to come to each of its windows first"
    counts = batch_summary(store, batch_id)
    if not models_judged(store, batch_id) >= {row["model"] for row in counts}:
        return "a model of it was not judged"
    in_plan = {(row["model"], row["symbol"], row["window"]) for row in plan}
    with_students = all(("student", *key) in in_plan for keys in first_runs for key in keys)
    configuration = told["configuration"]
    limit_s = configuration.get("window_timeout_s")
    stops = told["stopped"]
    return Past(
        batch_id,
        Policy(
            told["max_failure_rate"],
            max([1, *(row.attempt for row in rows)]),
            bool(configuration.get("stop_early") or stops),
        ),
        _passes(batch_id, told["max_failure_rate"], counts),
        rows,
        first_runs,
        MODELS if with_students else MODELS[:1],
        max([1, *(run["workers"] for run in runs if run["workers"])]),
        None if limit_s is None else limit_s + GRACE_S,
        with_students and _were_blocked(first_runs, rows),
        bool(stops),
    )  # fmt: skip


def _passes(batch_id: str, max_failure_rate: float, counts: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a batch passes as a whole; one of which nothing is eligible exceeds nothing."""
    ended = EndedBatch(batch_id, 1, max_failure_rate, superseded=False, unspoken=False)
    return all(one.passed or not one.eligible for one in judge_whole(ended, counts).values())


def _first_runs(plan: Sequence[Mapping[str, str]], rows: Iterable[Try]) -> list[list[Key]] | None:
    """Pairs of each run that repeats none, in the order of the plan; None where rows do not tell them apart."""
    run_of = {(row.symbol, row.window): row.run_id for row in rows if row.attempt == 1}
    first, repeats = set(run_of.values()), {row.run_id for row in rows if row.attempt > 1}
    found: dict[str, dict[Key, None]] = {run: {} for run in first}
    for row in plan:
        key = row["symbol"], row["window"]
        run = run_of.get(key) or (next(iter(first)) if len(first) == 1 else row["run_id"])
        if run in repeats - first:
            return None
        found.setdefault(run, {})[key] = None
    return [list(keys) for keys in found.values()]


def _were_blocked(first_runs: Sequence[Sequence[Key]], rows: Iterable[Try]) -> bool:
    tried = {(row.model, (row.symbol, row.window)) for row in rows if row.attempt == 1}
    return any(
        any(("teacher", key) in tried for key in keys) and not any(("student", key) in tried for key in keys)
        for keys in first_runs
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """An attempt: what may become of it, whether it surely is made, and its row if it was made."""

    fates: frozenset[Fate]
    sure: bool
    row: Try | None


@dataclass(slots=True)
class _Course:
    """Goes through a batch as a policy would have it."""

    past: Past
    policy: Policy
    fates: dict[tuple[ModelKind, Key], frozenset[Fate]] = field(default_factory=dict)
    steps: list[tuple[int, _Step]] = field(default_factory=list)
    blocked: set[bool | None] = field(default_factory=set)
    ended: set[bool | None] = field(default_factory=set)
    _rows: dict[tuple[str, Key], dict[int, Try]] = field(default_factory=dict)

    def go(self) -> None:
        """First runs, then attempts at what can pass next time, as `retry_transient` asks for them."""
        for row in self.past.rows:
            self._rows.setdefault((row.model, (row.symbol, row.window)), {})[row.attempt] = row
        runs = self.past.first_runs
        self.fates = {(model, key): _UNTRIED for model in self.past.models for keys in runs for key in keys}
        for keys in runs:
            # A run that is one of several of its batch never stops early.
            self._run(dict.fromkeys(keys, True), 1, stops=bool(self.policy.stop_early) and len(runs) == 1)
        attempt, rule = 1, RetryRule({}, self.policy.retry_limit or 0, 0.0)
        while rule.allows(attempt, None) and (again := self._tried_again()):
            attempt += 1
            self._run(again, attempt)

    def _tried_again(self) -> dict[Key, bool]:
        """Pairs of the next attempt, and whether they surely are: transient failures, and untried students."""
        waiting = {key: self._of(key, Fate.TRANSIENT) for _, key in self.fates}
        sure = any(waiting.values())
        if all(found is False for found in waiting.values()):
            return {}
        untried = {key: self.fates.get(("student", key), _UNTRIED) for key in waiting}
        found = {key: True for key, surely in waiting.items() if surely}
        found |= {key: sure and fates == _UNTRIED for key, fates in untried.items()
                  if key not in found and Fate.UNTRIED in fates and ("student", key) in self.fates}  # fmt: skip
        return found | {key: False for key, surely in waiting.items() if surely is None and key not in found}

    def _of(self, key: Key, fate: Fate) -> bool | None:
        """Whether some model of a pair has a fate; None if it may have."""
        mine = [self.fates[model, key] for model in MODELS if (model, key) in self.fates]
        return any(fates == {fate} for fates in mine) or (None if any(fate in fates for fates in mine) else False)

    def _run(self, keys: Mapping[Key, bool], attempt: int, *, stops: bool = False) -> None:
        """One run of these pairs, each with whether it surely is in it."""
        blocked: bool | None = False
        for model in self.past.models if attempt == 1 else MODELS:
            if blocked is True:
                break
            steps = {key: self._step(model, key, attempt, sure=sure and blocked is False) for key, sure in keys.items()}
            if stops:
                steps = self._stopped(model, steps)
            for key, step in steps.items():
                before = self.fates.get((model, key), _UNTRIED)
                self.fates[model, key] = step.fates if step.sure else before | step.fates
                self.steps.append((attempt, step))
            if model == "teacher":
                blocked = self._exceeded(model, steps.values())
                if attempt == 1 and "student" in self.past.models:
                    self.blocked.add(blocked)

    def _step(self, model: ModelKind, key: Key, attempt: int, *, sure: bool) -> _Step:
        """An attempt at a window: its row, or all that may become of it."""
        rows = self._rows.get((model, key), {})
        if attempt in rows:
            return _Step(_fates_of(rows[attempt]), sure, rows[attempt])
        kinds = {fate for row in rows.values() for fate in _fates_of(row)}
        if model == "student":
            fates = _student_of(self.fates["teacher", key], refused=Fate.PERMANENT in kinds and not self._lacked(key))
        elif kinds == {Fate.SKIPPED}:
            fates = frozenset(kinds)
        else:
            # Also what has a model may fail at the next attempt, such as when its bars cannot be read.
            fates = frozenset({Fate.PERMANENT}) if Fate.PERMANENT in kinds else _TRIED if kinds else _ANYTHING
        return _Step(fates, sure, None)

    def _lacked(self, key: Key) -> bool:
        """Whether a student failed for want of its teacher alone, which says nothing of another attempt."""
        rows = self._rows.get(("student", key), {}).values()
        return not any(
            _fates_of(row) == {Fate.PERMANENT} and row.failure != FailureKind.MISSING_TEACHER for row in rows
        )

    def _stopped(self, model: ModelKind, steps: Mapping[Key, _Step]) -> dict[Key, _Step]:
        """Attempts of a run that stops early: those after the end are not made, but for what was under way.

        Rows tell when a window came back, and one that had begun by the end comes to its own. Beside those a window may
        wait for each worker, and one come back unseen.
        """
        rows = [row for row in self.past.rows if row.model == model and row.attempt == 1]
        budget = Budget(model, len(steps), lambda: self.policy.max_failure_rate or 0.0)
        begun = all(step.sure for step in steps.values())
        for count, row in enumerate(rows, start=1):
            if not budget.take(row):
                continue
            self.ended.add(begun or None)
            later = [one for one in rows[count:] if one.started_at is None or one.started_at >= row.ended_at]
            perhaps = {(one.symbol, one.window) for one in later[: 2 * self.past.workers + 2]}
            made = {(one.symbol, one.window) for one in rows} - {(one.symbol, one.window) for one in later}
            return {
                key: step if key in made else _Step(step.fates | _UNTRIED, False, step.row)
                for key, step in steps.items() if key in made | perhaps
            }  # fmt: skip
        if all(step.row for step in steps.values()):
            self.ended.add(False)
            return dict(steps)
        # Windows without a row come in an order that nobody knows, and to an end that nobody knows.
        self.ended.add(None)
        return {key: step if step.row and step.sure else _Step(step.fates | _UNTRIED, False, step.row)
                for key, step in steps.items()}  # fmt: skip

    def _exceeded(self, model: ModelKind, steps: Iterable[_Step]) -> bool | None:
        """Whether the check of a run fails; None if it may."""
        some = list(steps)
        surely = [step.fates for step in some if step.sure]
        failed = [fates <= _FAILED for fates in surely].count(True), sum(bool(step.fates & _FAILED) for step in some)
        done = surely.count(frozenset({Fate.DONE})), sum(Fate.DONE in step.fates for step in some)
        best, worst = (
            Verdict.of(model, dict.fromkeys(COUNTED, 0) | counts, self.policy.max_failure_rate).exceeded
            for counts in ({"failed": failed[0], "trained": done[1]}, {"failed": failed[1], "trained": done[0]})
        )
        return True if best else None if worst else False

    @property
    def models(self) -> list[ModelKind]:
        """Models of which windows were planned, teachers first."""
        return [model for model in MODELS if any(model == theirs for theirs, _ in self.fates)]

    def counted(self, model: ModelKind, fates: frozenset[Fate]) -> tuple[int, int]:
        """How many windows of a model surely, and how many perhaps, have one of these fates in the end."""
        mine = [found for (theirs, _), found in self.fates.items() if theirs == model]
        return sum(found <= fates for found in mine), sum(bool(found & fates) for found in mine)

    @property
    def passed(self) -> bool | None:
        """Whether the verdict on the whole is that it passed; None where either is possible."""
        best = self._passes((Fate.DONE, Fate.SKIPPED, Fate.TRANSIENT, Fate.PERMANENT, Fate.UNTRIED))
        worst = self._passes((Fate.UNTRIED, Fate.TRANSIENT, Fate.PERMANENT, Fate.SKIPPED, Fate.DONE))
        return best if best == worst else None

    def _passes(self, preferred: Sequence[Fate]) -> bool:
        """Whether it passes if each window comes to the first of these that it may come to."""
        counted_as = {Fate.DONE: "trained", Fate.SKIPPED: "skipped", Fate.UNTRIED: "not_attempted"}
        counts = {model: {"model": model} | dict.fromkeys(COUNTED, 0) for model in self.models}
        for (model, _), fates in self.fates.items():
            fate = next(one for one in preferred if one in fates)
            counts[model][counted_as.get(fate, "failed")] += 1  # type: ignore[operator]
        return _passes(self.past.batch_id, self.policy.max_failure_rate or 0.0, counts.values())

    @property
    def cost(self) -> Cost:
        """What the attempts take."""
        tried = [(attempt, step) for attempt, step in self.steps if step.fates & _TRIED]
        sure = [(attempt, step) for attempt, step in tried if step.sure and not step.fates - _TRIED]
        unknown = [[step for _, step in some if step.row is None] for some in (sure, tried)]
        cpu, wall = (self._seconds(name, sure, tried, len(unknown[1])) for name in ("cpu_s", "duration_s"))
        return Cost(
            (len(sure), len(tried)),
            (sum(attempt > 1 for attempt, _ in sure), sum(attempt > 1 for attempt, _ in tried)),
            (len(unknown[0]), len(unknown[1])),
            cpu,
            wall,
        )

    def _seconds(
        self, name: str, sure: Iterable[tuple[int, _Step]], tried: Iterable[tuple[int, _Step]], unknown: int
    ) -> Range:
        least, most = (sum(getattr(step.row, name) or 0.0 for _, step in some if step.row) for some in (sure, tried))
        limit_s = self.past.time_limit_s
        return least, most + unknown * limit_s if limit_s is not None else most if not unknown else None


def _fates_of(row: Try) -> frozenset[Fate]:
    if row.status == Status.SKIPPED:
        return frozenset({Fate.SKIPPED})
    if row.status != Status.FAILED:
        return frozenset({Fate.DONE})
    transient = row.failure in {kind for kind in FailureKind if kind.transient}
    return frozenset({Fate.TRANSIENT if transient else Fate.PERMANENT})


def _student_of(teacher: frozenset[Fate], *, refused: bool) -> frozenset[Fate]:
    """What may become of a student that nobody tried so: of a teacher's model, of none, or of no window."""
    tried = frozenset({Fate.PERMANENT}) if refused else _TRIED
    found = frozenset({Fate.SKIPPED}) & teacher | (tried if Fate.DONE in teacher else frozenset())
    return found | ({Fate.PERMANENT} if teacher & (_FAILED | _UNTRIED) else frozenset())


def _certainty(found: set[bool | None]) -> bool | None:
    """Whether something is so in any run."""
    return True if True in found else None if None in found else False
