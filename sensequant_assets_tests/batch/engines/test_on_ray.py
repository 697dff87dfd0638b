"""Claims about work on a Ray cluster of three workers, which all tests of this module share."""

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from sensequant_assets.batch.engines.engine import Engine, Work
from sensequant_assets.batch.engines.on_ray import RayEngine, opened_ray
from sensequant_assets.core.boosting import Expired, never
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.batch.engines.work import die, killed_once, my_process, sleep
from sensequant_assets_tests.batch.test_pools import STUDENT, PooledShop
from sensequant_assets_tests.batch.test_run import Workshop
from sensequant_assets_tests.running import leave

pytestmark = [
    pytest.mark.daemon,
    # Ray leaves files and sockets to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
WORKERS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayEngine]:
    with opened_ray(None, WORKERS) as engine:
        yield engine


@pytest.fixture
def engine(cluster: RayEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayEngine:
    leave(monkeypatch, tmp_path)
    return RayEngine(cluster.slots)


def test_work_is_done_elsewhere_and_is_done_again_where_its_worker_was_killed(
    engine: RayEngine, tmp_path: Path
) -> None:
    assert engine.slots == WORKERS
    assert engine.call(my_process, never) != os.getpid()
    assert engine.call(partial(die, tmp_path, 1), never) == 2
    assert len(engine.losses) == 1


def test_work_that_kills_two_workers_fails_with_a_cause_of_its_own(engine: RayEngine, tmp_path: Path) -> None:
    with pytest.raises(WindowError, match="2 workers were lost") as failed:
        engine.call(partial(die, tmp_path, 9), never)
    assert failed.value.kind is FailureKind.LOST_WORKER
    assert len(list(tmp_path.iterdir())) == 2


def test_work_whose_time_is_up_is_stopped_and_its_worker_does_other_work(engine: RayEngine) -> None:
    deadline = time.monotonic() + 0.5
    for _ in range(WORKERS + 1):
        with pytest.raises(WindowError, match="Time was up") as failed:
            engine.call(sleep, lambda: time.monotonic() > deadline)
        assert failed.value.kind is FailureKind.TIMEOUT
    assert engine.call(my_process, never)


class Killer:
    """An engine whose fifth piece of work kills the worker that has it, once."""

    def __init__(self, engine: RayEngine, marks: Path) -> None:
        self._engine = engine
        self._marks = marks
        self._numbers = count(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def call(self, work: Work[Any], expired: Expired) -> Any:
        killing = next(self._numbers) == 5
        return self._engine.call(partial(killed_once, self._marks, work) if killing else work, expired)


def on(engine: Engine) -> Any:
    return lambda _: nullcontext(engine)


def take_all(_: ModelKind, outcomes: Iterator[Outcome]) -> None:
    list(outcomes)


def trees(shop: Workshop | PooledShop) -> list[Any]:
    told = shop.telemetry.query(
        "SELECT model, symbol, window_start, outcome, trees_fingerprint FROM window_runs ORDER BY ALL"
    )
    return told.to_pylist()


def test_a_batch_one_of_whose_workers_is_killed_has_every_window_once_and_the_trees_of_one_on_threads(
    engine: RayEngine, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (marks := tmp_path / "marks").mkdir()
    here, there = Workshop(tmp_path / "here"), Workshop(tmp_path / "there")
    here.run("batch")
    run = replace(there.prepared("batch"), engine=on(Killer(engine, marks)))
    list(run.carry_out(take_all))
    assert trees(there) == trees(here)
    assert len(trees(there)) == 2 * 2 * 3
    assert there.rows("SELECT engine, workers FROM runs") == [("ray", WORKERS)]
    assert here.rows("SELECT engine, workers FROM runs") == [("local", 1)]
    workers = there.rows("SELECT count(DISTINCT worker), count(worker), bool_and(cpu_s > 0) FROM window_runs")
    assert workers[0][0] > 1
    assert workers[0][1:] == (12, True)
    assert here.rows("SELECT count(worker) FROM window_runs") == [(0,)]
    assert there.rows("SELECT count(*) FROM events WHERE kind = 'lost_worker'") == [(1,)]


def test_pools_and_what_corrects_their_students_have_the_trees_of_threads(engine: RayEngine, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here, there = PooledShop(tmp_path / "here"), PooledShop(tmp_path / "there")
    student = STUDENT.model_copy(update={"scope": "symbol"})
    here.run(student=student)
    there.run(student=student, engine=engine)
    assert trees(there) == trees(here)
    pools = there.telemetry.query("SELECT count(*) AS n, count(data->>'worker') AS far FROM events WHERE kind = 'pool'")
    assert pools.to_pylist() == [{"n": 6, "far": 6}]
    judged = there.telemetry.query("SELECT model, count(worker) AS far FROM window_runs GROUP BY model ORDER BY model")
    # A teacher's trees are its pool's: judged where it was asked for.
    assert judged.to_pylist() == [{"model": "student", "far": 9}, {"model": "teacher", "far": 0}]


def test_a_run_that_breaks_off_leaves_the_cluster_to_others(engine: RayEngine, tmp_path: Path) -> None:
    run = replace(Workshop(tmp_path).prepared("batch"), engine=on(engine))

    def tell(_: ModelKind, outcomes: Iterator[Outcome]) -> None:
        next(outcomes)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run.carry_out(tell))
    for _ in range(WORKERS):
        assert engine.call(my_process, never)
