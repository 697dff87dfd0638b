"""One run over part of the lattice: each window on its own, teachers first, students if few enough teachers failed."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from time import perf_counter, process_time
from typing import Any

from sensequant_assets.batch.budget import Budget
from sensequant_assets.batch.devices import Devices, devices_of
from sensequant_assets.batch.engines.engine import Engine, Local
from sensequant_assets.batch.made_with import judging, versions
from sensequant_assets.batch.pools import PoolOutcome, Pools
from sensequant_assets.batch.remote import Mirror, mirrored
from sensequant_assets.batch.rows import (
    Identity,
    bars_event,
    check_verdict,
    coverage_event,
    finding_event,
    pool_event,
)
from sensequant_assets.batch.shrinking import Shrink, universe_told
from sensequant_assets.batch.trainer import Teachers, Trainer, key_of
from sensequant_assets.batch.windows import Prepare, Windows
from sensequant_assets.core.idle import IdleSetting
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Outcome, Status, Verdict, judge
from sensequant_assets.core.parameters import ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import absolute_market
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.limits import ChangedLimit
from sensequant_assets.telemetry.questions.verdicts import verdict_on
from sensequant_assets.telemetry.questions.windows import latest_teacher_batch, outcomes
from sensequant_assets.telemetry.records import BatchStart, Event, Plan, RunEnd
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted, printable

SYMBOLS_LOOKED_AT = 8
"""Most symbols whose rows are looked at before a run begins; the rest are read when their turn comes."""


FINDINGS_NOTED = 1_000
"""Most findings of a run that telemetry keeps; `sensequant check-bars` has them all."""


def to_nobody(told: object) -> None:
    """Nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a run runs; none of it changes a tree.

    Attributes
    ----------
    workers
        Windows at once.
    window_timeout_s
        Seconds a window may take.
    max_failure_rate
        Greatest share of attempted windows that may fail.
    force
        Train even what is unchanged.
    allow_shrink
        Whether the universe may lose symbols that have models, or many.
    stop_early
        Whether it begins no further window of a model once it is certain that too many fail.
    device_fallback
        Whether the CPU trains teachers that no device can.
    """

    workers: int
    window_timeout_s: float
    max_failure_rate: float
    force: bool = False
    allow_shrink: bool = False
    stop_early: bool = False
    device_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a model's windows in a run.

    Attributes
    ----------
    model
        `teacher` or `student`.
    verdict
        On its windows.
    statuses
        What became of each pair of the plan; None of one that was not attempted.
    noted
        Outcomes of windows that failed or whose model says the same of every row, in the order of the plan, without
        metrics and parameters.
    idle_devices
        A sentence for each device that stood idle while another one trained.
    """

    model: ModelKind
    verdict: Verdict
    statuses: Mapping[Key, Status | None]
    noted: Sequence[Outcome]
    idle_devices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """Trains part of the lattice and writes every window's row to the journal as it finishes.

    Parameters
    ----------
    market
        Universe, windows and bars.
    keys
        The pairs to attempt.
    models
        Which models of them, teachers first.
    store
        Where models lie.
    journal
        Where telemetry goes.
    identity
        Which run of which batch this is.
    teacher, student
        Parameters.
    options
        How the run runs.
    settings
        Of the market, as telemetry keeps them.
    earlier_teachers
        Asked for the teachers of a run that trains students alone.
    shrink
        What the universe has lost since the batch before; None where nobody has looked.
    changed_limit
        Asked for the limit that somebody has set since the batch was started.
    engine
        Gives who trains, for so much at once in this process.
    mirror
        Gives what puts models and journal into a copy elsewhere.
    """

    market: Market
    keys: Sequence[Key]
    models: Sequence[ModelKind]
    store: ModelStore
    journal: Journal
    identity: Identity
    teacher: TeacherParameters
    student: StudentParameters
    options: Options
    settings: Mapping[str, Any] = field(default_factory=dict)
    earlier_teachers: Callable[[], Teachers] = field(default=lambda: Teachers({}, False, "any batch"))
    shrink: Shrink | None = None
    changed_limit: Callable[[], ChangedLimit | None] = field(default=lambda: None)
    engine: Callable[[int], AbstractContextManager[Engine]] = field(default=lambda slots: nullcontext(Local(slots)))
    mirror: Callable[[Journal], AbstractContextManager[Mirror]] = field(default=partial(mirrored, None))

    def carry_out(
        self,
        tell: Callable[[ModelKind, Iterator[Outcome]], None],
        tell_pool: Callable[[PoolOutcome], None] = to_nobody,
        tell_verdict: Callable[[Verdict], None] = to_nobody,
        warn: Callable[[str], None] = to_nobody,
    ) -> Iterator[Judged]:
        """Train the windows of each model and judge them; where pools teach, those first.

        Students are trained on this run's teachers, or on those of an earlier run of the batch; none is where too many
        of those failed. A run that is not carried out to its end is noted as failed.

        Parameters
        ----------
        tell
            Called with each model and its outcomes as they come, with their metrics; takes them all.
        tell_pool
            Called with what became of each pool.
        tell_verdict
            Called with the verdict on each model, and again with one by a limit that was changed since.
        warn
            Called with each sentence on a device that fails or stands idle.

        Yields
        ------
        Judged
            Model by model.

        Raises
        ------
        UsageError
            A device or the engine that is asked for is not there.
        """
        # The journal is closed within, and put as closed.
        with self.engine(self.options.workers) as engine, self.mirror(self.journal) as mirror:

            def tell_mirrored(model: ModelKind, outcomes: Iterator[Outcome]) -> None:
                tell(model, mirror.watched(outcomes))

            def tell_pool_mirrored(outcome: PoolOutcome) -> None:
                mirror.watch_pool(outcome)
                tell_pool(outcome)

            yield from self._carried_out(engine, tell_mirrored, tell_pool_mirrored, tell_verdict, warn)

    def _carried_out(
        self,
        engine: Engine,
        tell: Callable[[ModelKind, Iterator[Outcome]], None],
        tell_pool: Callable[[PoolOutcome], None],
        tell_verdict: Callable[[Verdict], None],
        warn: Callable[[str], None],
    ) -> Iterator[Judged]:
        wall, cpu = perf_counter(), process_time()
        judged: dict[ModelKind, Judged] = {}
        try:
            with self._devices(engine, warn) as devices:
                self._note_plan(engine)
                devices.tell()
                self._adopt_models()
                pools = self._make_pools(devices, engine, tell_pool) if self.market.pooled else None
                trainer = self._trainer(devices, pools, engine)
                for model in self.models:
                    windows = self._windows_of(model, trainer, judged)
                    workers = engine.slots if pools else devices.threads(engine.slots, model)
                    with closing(windows.train(workers, self.options.window_timeout_s)) as outcomes:
                        tell(model, outcomes)
                    judged |= self._judged_again(judged, tell_verdict)
                    judged[model] = self._judge(windows, devices)
                    tell_verdict(judged[model].verdict)
                    yield judged[model]
        finally:
            self._note_findings()
            self.journal.append_many(Event(level="warning", kind="lost_worker", message=lost) for lost in engine.losses)
            self._note_end(judged, perf_counter() - wall, process_time() - cpu + engine.far_cpu_s)

    @property
    def idle_settings(self) -> tuple[IdleSetting, ...]:
        """Settings that do nothing on the rows of the first symbol that has some, or on those of the largest pool."""
        of_symbols = map(self._most_rows, dict.fromkeys(symbol for symbol, _ in self.keys))
        return self.market.idle_settings(next((rows for rows in islice(of_symbols, SYMBOLS_LOOKED_AT) if rows), 0))

    def _most_rows(self, symbol: str) -> int:
        pairs = self.market.plan(symbol).pairs
        return max((pair.rows for pair in pairs if pair.eligible and key_of(pair) in self.keys), default=0)

    @property
    def configuration(self) -> dict[str, Any]:
        """What came of settings and parameters together, as telemetry keeps it."""
        return {
            **asdict(self.options),
            "rows_needed": self.market.floor.rows,
            "rows_needed_because": self.market.floor.why,
            "validation_fraction": self.market.recipe.validation_fraction,
            "features": self.market.features,
            "unlabelled": self.market.unlabelled,
            "idle_settings": [str(idle) for idle in self.idle_settings],
        }

    def _devices(self, engine: Engine, warn: Callable[[str], None]) -> Devices:
        found = devices_of(self.teacher, self.market, self.options.device_fallback)
        return Devices(self.teacher, found, self.options.device_fallback, self.journal.append, warn, engine)

    def _trainer(self, devices: Devices, pools: Pools | None, engine: Engine) -> Trainer:
        force = self.options.force
        return Trainer(self.market, self.store, self.teacher, self.student, force, devices, pools, engine)

    def _make_pools(self, devices: Devices, engine: Engine, tell: Callable[[PoolOutcome], None]) -> Pools:
        """Find or train the pools of the run's windows, and tell the journal and who waits of each."""
        force = self.options.force
        pools = Pools(self.market, self.store.pools, self.teacher, self.student, force, devices, engine)
        pairs = (self.market.pair(*key) for key in self.keys)
        wanted = {self.market.pool_of(pair).name for pair in pairs if pair.eligible}
        names = [name for name in self.market.pools if name in wanted]
        for outcome in pools.make(names, engine.slots, self.options.window_timeout_s):
            self.journal.append(pool_event(outcome))
            tell(outcome)
        return pools

    def _windows_of(self, model: ModelKind, trainer: Trainer, judged: Mapping[ModelKind, Judged]) -> Windows:
        return self._windows("teacher", trainer.teach) if model == "teacher" else self._students(trainer, judged)

    def _students(self, trainer: Trainer, judged: Mapping[ModelKind, Judged]) -> Windows:
        teachers = _own_teachers(judged["teacher"]) if "teacher" in judged else self.earlier_teachers()
        why = f"No student was trained: too many teachers failed in {teachers.described}."
        distil = partial(trainer.distil, teachers=teachers)
        return self._windows("student", distil, blocked=why if teachers.verdict_exceeded else "")

    def _windows(self, model: ModelKind, prepare: Prepare, blocked: str = "") -> Windows:
        budget = Budget(model, len(self.keys), lambda: self._limit[0]) if self.options.stop_early else None
        return Windows(model, self.keys, prepare, self.market, self.journal, self.identity, blocked, budget)

    @property
    def _limit(self) -> tuple[float, str]:
        """The limit as it is at the moment, and who has set it when, if anybody has."""
        changed = self.changed_limit()
        return (changed.max_failure_rate, str(changed)) if changed else (self.options.max_failure_rate, "")

    def _judged_again(
        self, judged: Mapping[ModelKind, Judged], tell: Callable[[Verdict], None]
    ) -> dict[ModelKind, Judged]:
        """Judge models again whose limit was changed after their verdict; the last one recorded counts."""
        limit, limit_by = self._limit
        anew = {
            model: replace(one, verdict=replace(one.verdict, max_failure_rate=limit, limit_by=limit_by))
            for model, one in judged.items()
            if one.verdict.max_failure_rate != limit
        }
        for one in anew.values():
            self.journal.append(check_verdict(one.verdict))
            tell(one.verdict)
        return anew

    def _judge(self, windows: Windows, devices: Devices) -> Judged:
        """Judge a model's windows against the limit, and note the verdict, and why they were blocked if they were."""
        limit, limit_by = self._limit
        verdict = judge(
            windows.model,
            filter(None, windows.statuses.values()),
            planned=len(self.keys),
            max_failure_rate=limit,
            constant=sum(outcome.constant is True for outcome in windows.noted.values()),
            blocked=windows.blocked,
            limit_by=limit_by,
            stopped=windows.budget.spent if windows.budget else "",
        )
        if windows.blocked:
            self.journal.append(Event(level="error", kind="blocked", message=windows.blocked))
        self.journal.append(check_verdict(verdict))
        noted = [windows.noted[key] for key in self.keys if key in windows.noted]
        idle = devices.idle() if windows.model == "teacher" else ()
        return Judged(windows.model, verdict, windows.statuses, noted, idle)

    def _note_plan(self, engine: Engine) -> None:
        self.journal.append(
            BatchStart(
                backfill_id=self.identity.backfill_id,
                source=self.identity.source,
                universe=self.market.universe.name,
                started_at=utc_now(),
                settings=self.settings,
                parameters={"teacher": self.teacher.model_dump(), "student": self.student.model_dump()},
                versions=versions(),
                max_failure_rate=self.options.max_failure_rate,
                pid=os.getpid(),
                workers=engine.slots,
                engine=engine.name,
                configuration=self.configuration,
            )
        )
        self.journal.append_many(Plan(model=model, windows=self.keys) for model in self.models)
        self.journal.append(universe_told(self.market.universe, self.shrink))

    def _adopt_models(self) -> None:
        """Find models of renamed symbols under their new names, and note from which symbols they are copied."""
        others: dict[str, list[str]] = {}
        for name, alias in self.market.aliases.items():
            others.setdefault(alias.symbol, []).append(name)
        copied: Counter[str] = Counter()
        for symbol, window in self.keys if others else ():
            if symbol in others:
                copied[symbol] += self.store.adopt(symbol, window, others[symbol])
        self.journal.append_many(
            Event(
                kind="renamed",
                symbol=symbol,
                message=f"{counted(count, 'model')} of {' or '.join(others[symbol])} found as those of {symbol}.",
            )
            for symbol, count in copied.items()
            if count
        )

    def _note_findings(self) -> None:
        """Note which bars were read and, if all were, what the rules find in the run's symbols, and what there is."""
        told = absolute_market(self.settings) if self.settings else {}
        self.journal.append(bars_event(self.market.bars_read, told, judging()))
        found = self.market.findings_at_hand(dict.fromkeys(symbol for symbol, _ in self.keys))
        self.journal.append_many(map(finding_event, found[:FINDINGS_NOTED]))
        if (covered := self.market.coverage_at_hand) is not None:
            self.journal.append(coverage_event(covered))

    def _note_end(self, judged: Mapping[ModelKind, Judged], wall_s: float, cpu_s: float) -> None:
        broke_off = judged.keys() != set(self.models)
        failed = broke_off or any(one.verdict.exceeded for one in judged.values())
        self.journal.append_many(Event(level="warning", kind="reading", message=note) for note in self.market.notes)
        self.journal.append(
            RunEnd(ended_at=utc_now(), status="failed" if failed else "succeeded", wall_s=wall_s, cpu_s=cpu_s)
        )
        self.journal.close()


def _own_teachers(judged: Judged) -> Teachers:
    return Teachers(judged.statuses, judged.verdict.exceeded, "this run")


def keys_in(market: Market, keys: Sequence[Key], warn: Callable[[str], None]) -> list[Key]:
    """Those pairs that the market has: the partition of a symbol outlives its row in the universe.

    Raises
    ------
    UsageError
        None is left.
    """
    symbols, windows = set(market.universe.symbols), set(market.window_keys)
    known = [key for key in keys if key[0] in symbols and key[1] in windows]
    lost = [f"{symbol}|{window}" for symbol, window in keys if symbol not in symbols or window not in windows]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        said = f"Universe {market.universe.name} has no {lost[0]}{more}; partitions of what it no longer lists remain."
        if not known:
            raise UsageError(said)
        warn(printable(said))
    return known


def earlier_teachers(telemetry: TelemetryStore, keys: Sequence[Key], universe: str) -> Teachers:
    """The teachers of the latest batch that attempted some of these pairs of a universe.

    Raises
    ------
    BusyError
        Telemetry cannot say which: its database stayed in use.
    """
    with telemetry.session():
        batch = latest_teacher_batch(telemetry, keys, universe)
        if batch is None:
            return Teachers({}, False, "any batch")
        judged = verdict_on(telemetry, batch, "teacher")
        statuses = outcomes(telemetry, batch, "teacher")
    return Teachers(statuses, judged is not None and judged["exceeded"] is True, f"batch {batch}")
