"""Claims about work on threads."""

import queue
import threading
import time

import pytest

from sensequant_assets.batch import workers
from sensequant_assets.batch.workers import GivenUp, Settled

SOON = 30.0
"""Seconds after which a wait that should have been short gives up and the test fails."""


def run_all(tasks, work, **how):
    """Tasks and their results; none of them is settled before it begins."""
    return workers.run_all(tasks, work, **how)


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("tasks", [0, 1, 5, 100])
def test_every_task_is_done_once(count, tasks):
    lock, done = threading.Lock(), []

    def work(task, expired):
        with lock:
            done.append(task)
        return task * task

    results = list(run_all(range(tasks), work, workers=count, timeout_s=SOON))
    assert sorted(results) == [(task, task * task) for task in range(tasks)]
    assert sorted(done) == list(range(tasks))


def test_results_come_as_they_finish():
    last_is_done = threading.Event()

    def work(task, expired):
        if task == "first":
            assert last_is_done.wait(SOON)
        return task

    results = run_all(["first", "last"], work, workers=2, timeout_s=SOON)
    assert next(results) == ("last", "last")
    last_is_done.set()
    assert list(results) == [("first", "first")]


def test_one_worker_takes_the_tasks_in_order():
    tasks = list(range(20))
    assert [task for task, _ in run_all(tasks, lambda task, expired: task, workers=1, timeout_s=SOON)] == tasks


@pytest.mark.parametrize("count", [2, 8])
def test_as_many_tasks_run_at_once_as_there_are_workers(count):
    together = threading.Barrier(count)
    results = list(run_all(range(count), lambda task, expired: together.wait(SOON), workers=count, timeout_s=SOON))
    assert sorted(result for _, result in results) == list(range(count))


def test_a_task_over_its_deadline_is_told_and_its_result_counts():
    def work(task, expired):
        asked_first = expired()
        while not expired():
            time.sleep(0.005)
        return asked_first, "told"

    assert list(run_all(["slow"], work, workers=1, timeout_s=0.1)) == [("slow", (False, "told"))]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_task_that_never_comes_back_is_given_up_and_the_rest_goes_on(monkeypatch, count):
    monkeypatch.setattr(workers, "GRACE_S", 0.2)
    released = threading.Event()

    def work(task, expired):
        if task == 3:
            released.wait(SOON)
        return task

    try:
        results = dict(run_all(range(10), work, workers=count, timeout_s=0.5))
    finally:
        released.set()
    lost = results.pop(3)
    assert isinstance(lost, GivenUp)
    assert lost.after_s == pytest.approx(0.7)
    assert results == {task: task for task in range(10) if task != 3}


def test_a_task_that_comes_back_late_but_within_the_grace_has_its_own_result(monkeypatch):
    monkeypatch.setattr(workers, "GRACE_S", SOON)

    def work(task, expired):
        while not expired():
            time.sleep(0.005)
        # Longer than the caller waits before it looks for work to give up.
        time.sleep(0.8)
        return "late"

    results = list(run_all(["slow"], work, workers=1, timeout_s=0.1))
    assert results == [("slow", "late")]


def test_a_task_that_never_comes_back_is_given_up_while_others_keep_coming(monkeypatch):
    monkeypatch.setattr(workers, "GRACE_S", 0.2)
    released = threading.Event()

    def work(task, expired):
        if task == 0:
            released.wait(SOON)
        else:
            time.sleep(0.02)
        return task

    try:
        order = [task for task, _ in run_all(range(100), work, workers=2, timeout_s=0.4)]
    finally:
        released.set()
    assert sorted(order) == list(range(100))
    # Given up after 0.6 s of the 2 s that the others take on one thread: not at the end, when nothing comes any more.
    assert order.index(0) < 90


def test_a_task_that_comes_back_after_it_was_given_up_is_not_told_twice(monkeypatch):
    monkeypatch.setattr(workers, "GRACE_S", 0.2)
    given_up, came_back = threading.Event(), threading.Event()

    def work(task, expired):
        if task == "lost":
            given_up.wait(SOON)
            came_back.set()
        else:
            assert came_back.wait(SOON)
            time.sleep(0.1)  # so that a result of the lost task would come first
        return task

    results = run_all(["lost", "other"], work, workers=1, timeout_s=0.3)
    assert next(results) == ("lost", GivenUp(0.5))
    given_up.set()
    assert list(results) == [("other", "other")]


@pytest.mark.parametrize("error", [KeyError, queue.Empty])
@pytest.mark.parametrize("count", [1, 2, 8])
def test_an_unexpected_error_is_raised_where_the_results_are_asked_for(count, error):
    def work(task, expired):
        if task == 2:
            raise error("a fault of the code")
        return task

    with pytest.raises(error, match="a fault of the code"):
        list(run_all(range(50), work, workers=count, timeout_s=SOON))


def test_what_is_settled_is_handed_out_in_its_place_and_takes_no_thread():
    done = []

    def work(task, expired):
        done.append(task)
        return -task

    tasks = [Settled("first"), 1, Settled("second"), Settled("third"), 2]
    results = list(workers.run_all(tasks, work, workers=1, timeout_s=SOON))
    assert [one.result for one in results if isinstance(one, Settled)] == ["first", "second", "third"]
    assert [one for one in results if not isinstance(one, Settled)] == [(1, -1), (2, -2)]
    assert done == [1, 2]


def test_tasks_are_taken_one_for_each_worker_ahead():
    taken, released = [], threading.Event()

    def tasks():
        for task in range(20):
            taken.append(task)
            yield task

    def work(task, expired):
        if task:
            assert released.wait(SOON)
        return task

    results = run_all(tasks(), work, workers=2, timeout_s=SOON)
    assert next(results) == (0, 0)
    # Two threads hold one each, and two wait.
    assert len(taken) <= 5
    released.set()
    assert len(list(results)) == 19


def test_running_work_is_told_to_stop_when_nobody_waits_any_more():
    running, told = threading.Event(), threading.Event()

    def work(task, expired):
        if task == "quick":
            assert running.wait(SOON)
            return task
        running.set()
        while not expired():
            time.sleep(0.005)
        told.set()
        return task

    results = run_all(["quick", "long"], work, workers=2, timeout_s=SOON)
    assert next(results) == ("quick", "quick")
    results.close()
    assert told.wait(SOON)
