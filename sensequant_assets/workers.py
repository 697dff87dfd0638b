"""Run many small pieces of work on threads, each with a time limit, and hand out results as they come.

Threads serve because LightGBM releases the interpreter's lock while it trains. A thread cannot be ended from outside,
so work is told its deadline and asks for it; work that never comes back is given up, and another thread takes its
place.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

GRACE_S = 2.0
"""How long after its deadline work may still come back by itself, with a better message than being given up."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The result of work that did not come back after its deadline."""

    after_s: float


@dataclass(slots=True)
class _Running(Generic[Task]):
    task: Task
    since: float


def run_all(
    tasks: Iterable[Task],
    work: Callable[[Task, Callable[[], bool]], Result],
    *,
    workers: int,
    timeout_s: float,
) -> Iterator[tuple[Task, Result | GivenUp]]:
    """Work off tasks on threads.

    Parameters
    ----------
    tasks
        In the order in which they are begun.
    work
        Called with a task and a function that says whether its time is up. What it raises ends everything: errors that
        belong to a task are its result.
    workers
        Tasks at once.
    timeout_s
        Seconds a task may take.

    Yields
    ------
    tuple of Task and Result or GivenUp
        As they finish, every task once.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    total = 0
    for task in tasks:
        waiting.put(task)
        total += 1
    done: queue.SimpleQueue[tuple[_Running[Task], Result | BaseException]] = queue.SimpleQueue()
    running: dict[int, _Running[Task]] = {}
    lock = threading.Lock()
    stopped = threading.Event()

    def expired(since: float) -> bool:
        return stopped.is_set() or time.monotonic() - since > timeout_s

    def overdue() -> list[_Running[Task]]:
        limit = time.monotonic() - timeout_s - GRACE_S
        with lock:
            lost = [one for one in running.values() if one.since < limit]
            for one in lost:
                del running[id(one)]
        return lost

    def loop() -> None:
        while not stopped.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            mine = _Running(task, time.monotonic())
            with lock:
                running[id(mine)] = mine
            try:
                result: Result | BaseException = work(task, partial(expired, mine.since))
            except BaseException as error:  # noqa: BLE001  # the thread that asked raises it
                result = error
            with lock:
                still_mine = running.pop(id(mine), None) is not None
            if not still_mine:
                return
            done.put((mine, result))

    def start() -> None:
        threading.Thread(target=loop, daemon=True, name="window").start()

    for _ in range(min(workers, total)):
        start()
    try:
        finished = 0
        while finished < total:
            try:
                mine, result = done.get(timeout=0.5)
            except queue.Empty:
                pass
            else:
                if isinstance(result, BaseException):
                    raise result
                finished += 1
                yield mine.task, result
            for one in overdue():
                start()
                finished += 1
                yield one.task, GivenUp(timeout_s + GRACE_S)
    finally:
        stopped.set()
