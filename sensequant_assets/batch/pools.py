"""The pools of a run: each window's is found unchanged or trained once, and teaches its pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from typing import TYPE_CHECKING

from sensequant_assets.batch.cost import Cost, Stopwatch
from sensequant_assets.batch.devices import Devices
from sensequant_assets.batch.engines.engine import Engine, Local
from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.workers import GivenUp, Settled, run_all
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.parameters import BoosterParameters, Device, StudentParameters, TeacherParameters
from sensequant_assets.core.pool import Pooled, PoolRows, train_pool, train_shared_student
from sensequant_assets.core.provenance import arrays_fingerprint, parameters_fingerprint
from sensequant_assets.core.training import Fingerprints, Grown
from sensequant_assets.errors import FailureKind, WindowError, failure_kind
from sensequant_assets.market.market import Market
from sensequant_assets.market.pools import Pool
from sensequant_assets.models.pools import PoolKind, PoolStore, StoredPool

if TYPE_CHECKING:
    import lightgbm as lgb


class PoolStatus(StrEnum):
    """What became of a pool's model."""

    TRAINED = "trained"
    REUSED = "reused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PoolOutcome:
    """What became of a window's pool.

    Attributes
    ----------
    model
        `pool` for its teacher, `shared_student` for the student that its symbols share.
    pool
        Which one.
    status
        What became of it.
    cost
        What it took.
    stored
        The model on disk; None where it failed.
    error
        Why it failed; None where it did not.
    """

    model: PoolKind
    pool: Pool
    status: PoolStatus
    cost: Cost
    stored: StoredPool | None = None
    error: WindowError | None = None


@dataclass
class WindowPool:
    """A pool's models, which a pair reads when it is to be trained.

    They are read from disk even where they have just been trained: a trained booster holds on to the rows of its pool.

    Attributes
    ----------
    pool
        Which one.
    asked
        Parameters of its teacher and of its shared student.
    teacher, student
        Its models on disk; None where they failed.
    """

    pool: Pool
    asked: tuple[TeacherParameters, StudentParameters]
    teacher: StoredPool | None = None
    student: StoredPool | None = None

    @cached_property
    def grown_teacher(self) -> Grown:
        """The pooled teacher."""
        assert self.teacher is not None  # noqa: S101  # asked for only then
        return self.teacher.grown(self.asked[0])

    @cached_property
    def grown_student(self) -> Grown:
        """The shared student."""
        assert self.student is not None  # noqa: S101  # asked for only then
        return self.student.grown(self.asked[1])

    @cached_property
    def soft_targets(self) -> Floats:
        """Out-of-fold probabilities of all rows of the pool."""
        assert self.teacher is not None  # noqa: S101  # asked for only then
        return self.teacher.soft_targets()


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of a run's windows.

    Parameters
    ----------
    market
        Whose pools.
    store
        Where they lie.
    teacher, student
        Parameters.
    force
        Train even what is unchanged.
    engine
        Who trains.
    devices
        Where teachers are trained.
    """

    market: Market
    store: PoolStore
    teacher: TeacherParameters
    student: StudentParameters
    force: bool
    devices: Devices
    engine: Engine = field(default_factory=Local)
    _ready: dict[str, WindowPool] = field(default_factory=dict)
    _failed: dict[tuple[PoolKind, str], WindowError] = field(default_factory=dict)

    def make(self, names: Sequence[str], workers: int, timeout_s: float) -> Iterator[PoolOutcome]:
        """Find or train pools.

        Parameters
        ----------
        names
            Of the pools.
        workers
            Pools at once; where devices train them, so many as there are devices.
        timeout_s
            Seconds a pool may take.

        Yields
        ------
        PoolOutcome
            One a model, as they finish. One that fails fails its pairs with its cause, and no other pool.
        """
        # The largest first: the last one alone would keep one thread busy while the others wait.
        pools = sorted((self.market.pools[name] for name in names), key=lambda pool: pool.rows, reverse=True)
        enough: list[Pool | Settled[list[PoolOutcome]]] = [pool for pool in pools if not pool.lacks]
        threads = self.devices.threads(workers)
        for finished in run_all(enough, self._made, workers=threads, timeout_s=timeout_s):
            if isinstance(finished, Settled):
                continue
            pool, outcomes = finished
            if isinstance(outcomes, GivenUp):
                error = WindowError(FailureKind.TIMEOUT, f"It did not come back within {outcomes.after_s:g} s.")
                outcomes = [self._fail("pool", pool, error, Cost(outcomes.after_s))]
            yield from outcomes

    def require(self, names: Sequence[str]) -> None:
        """Raise the first error by which one of these pools failed, if one did."""
        for (_, name), error in self._failed.items():
            if name in names:
                raise error

    def teacher_of(self, pair: Pair) -> WindowPool:
        """A pair's pool, with its teacher; raises what it failed by."""
        return self._of("pool", pair)

    def student_of(self, pair: Pair) -> WindowPool:
        """A pair's pool, with its shared student; raises what it failed by."""
        return self._of("shared_student", pair)

    def soft_targets(self, pair: Pair) -> Floats:
        """What a pair's pool says out of fold of the pair's training rows."""
        found = self.teacher_of(pair)
        return found.soft_targets[found.pool.spans[pair.symbol, pair.learned_in.window.key]]

    def own_of(self, pair: Pair) -> tuple[PoolRows, Floats]:
        """The rows of a pair's symbol in the pair's pool, and what that says of them out of fold."""
        found = self.teacher_of(pair)
        rows = self.market.pool_rows(found.pool.name, pair.symbol)
        return rows, found.soft_targets[found.pool.of_symbol(pair.symbol)]

    def _of(self, model: PoolKind, pair: Pair) -> WindowPool:
        pool = self.market.pool_of(pair)
        for failed in (("pool", pool.name), (model, pool.name)):
            if error := self._failed.get(failed):
                raise WindowError(error.kind, f"The {pool.title} failed: {error}")
        return self._ready[pool.name]

    def _made(self, pool: Pool, expired: Expired) -> list[PoolOutcome]:
        """Find or train a pool's teacher, and the student that its symbols share or correct."""
        ready = self._ready[pool.name] = WindowPool(pool, (self.teacher, self.student.shared))
        rows = _Lazily(self.market, pool)
        outcomes = [self._attempted("pool", ready, rows, expired)]
        if ready.teacher:
            outcomes.append(self._attempted("shared_student", ready, rows, expired))
        return outcomes

    def _attempted(self, model: PoolKind, ready: WindowPool, rows: "_Lazily", expired: Expired) -> PoolOutcome:
        watch = Stopwatch()
        try:
            status, stored = (self._teach if model == "pool" else self._distil)(ready, rows, expired)
        except Exception as error:  # noqa: BLE001  # a pool's error, whatever it is, is that of its pairs
            known = error if isinstance(error, WindowError) else None
            why = known or WindowError(failure_kind(error), f"{type(error).__name__}: {error}")
            why.__cause__ = None if known else error
            return self._fail(model, ready.pool, why, watch.read())
        return PoolOutcome(model, ready.pool, status, watch.read(), stored)

    def _fail(self, model: PoolKind, pool: Pool, error: WindowError, cost: Cost) -> PoolOutcome:
        self._failed[model, pool.name] = error
        return PoolOutcome(model, pool, PoolStatus.FAILED, cost, error=error)

    def _teach(self, ready: WindowPool, rows: "_Lazily", expired: Expired) -> tuple[PoolStatus, StoredPool]:
        made_from = self._made_from(self.teacher, ready.pool.fingerprint)
        ready.teacher = self._unchanged("pool", ready.pool, made_from)
        if ready.teacher:
            return PoolStatus.REUSED, ready.teacher
        placed = self.devices.train(partial(_grown_pool, rows.rows, self.teacher), ready.pool.rows, expired)
        trained, grown = placed.result
        rows.teacher = trained.booster
        ready.teacher = self._saved("pool", ready.pool, trained, grown, self.teacher, made_from, placed.because)
        ready.soft_targets = trained.soft_targets
        return PoolStatus.TRAINED, ready.teacher

    def _distil(self, ready: WindowPool, rows: "_Lazily", expired: Expired) -> tuple[PoolStatus, StoredPool]:
        assert ready.teacher is not None  # noqa: S101  # tried only then
        taught_by, soft_targets = ready.teacher.record, ready.soft_targets
        data = arrays_fingerprint([soft_targets], (ready.pool.fingerprint,))
        student = self.student.shared
        made_from = self._made_from(student, data, taught_by.fingerprints.parameters)
        ready.student = self._unchanged("shared_student", ready.pool, made_from)
        if ready.student:
            return PoolStatus.REUSED, ready.student
        work = partial(_grown_student, rows.rows, soft_targets, taught_by.calibration, student, rows.teacher)
        trained, grown = self.engine.call(work, expired)
        ready.student = self._saved("shared_student", ready.pool, trained, grown, student, made_from)
        return PoolStatus.TRAINED, ready.student

    def _unchanged(self, model: PoolKind, pool: Pool, made_from: Fingerprints) -> StoredPool | None:
        return None if self.force else self.store.find(model, pool.name, made_from)

    def _saved(
        self,
        model: PoolKind,
        pool: Pool,
        trained: Pooled,
        grown: Grown,
        asked: BoosterParameters,
        made_from: Fingerprints,
        placed_because: str = "",
    ) -> StoredPool:
        return self.store.save(
            model, pool.name, trained, grown, asked, made_from,
            label=self.market.recipe.asks, providers=list(self.market.features), span=list(pool.span),
            symbols=pool.symbols, rows=pool.rows, placed_because=placed_because,
        )  # fmt: skip

    def _made_from(self, asked: BoosterParameters, data: str, teacher: str = "") -> Fingerprints:
        told = asked.made_with | self.market.recipe.made_with
        return Fingerprints(data, parameters_fingerprint(told | ({"teacher": teacher} if teacher else {})), code())


def _grown_pool(rows: PoolRows, asked: TeacherParameters, expired: Expired, device: Device) -> tuple[Pooled, Grown]:
    trained = train_pool(rows, asked, expired, device)
    return trained, Grown.of(trained.booster, asked.on(device), trained.calibration)


def _grown_student(
    rows: PoolRows,
    soft_targets: Floats,
    calibration: Calibration,
    asked: StudentParameters,
    teacher: "lgb.Booster | None",
    expired: Expired,
) -> tuple[Pooled, Grown]:
    trained = train_shared_student(rows, soft_targets, calibration, asked, expired, teacher)
    return trained, Grown.of(trained.booster, asked, trained.calibration)


@dataclass
class _Lazily:
    """The rows of a pool, put together when a model is to be trained on them, and its teacher if that just was."""

    market: Market
    pool: Pool
    teacher: "lgb.Booster | None" = None

    @cached_property
    def rows(self) -> PoolRows:
        return self.market.pool_rows(self.pool.name)
