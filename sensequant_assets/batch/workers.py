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


@dataclass(frozen=True, slots=True)
class Settled(Generic[Result]):
    """A result that takes no work, among the tasks."""

    result: Result


@dataclass(slots=True)
class _Running(Generic[Task]):
    task: Task
    since: float


def run_all(
    tasks: Iterable[Task | Settled[Result]],
    work: Callable[[Task, Callable[[], bool]], Result],
    *,
    workers: int,
    timeout_s: float,
) -> Iterator[tuple[Task, Result | GivenUp] | Settled[Result]]:
    """Work off tasks on threads.

    Parameters
    ----------
    tasks
        In the order in which they are begun; taken on the caller's thread, one for each worker ahead. What is settled
        is handed out at once: threads that do a little Python each would spend as long on taking turns.
    work
        Called with a task and a function that says whether its time is up. What it raises ends everything: errors that
        belong to a task are its result.
    workers
        Tasks at once.
    timeout_s
        Seconds a task may take.

    Yields
    ------
    tuple of Task and Result or GivenUp, or Settled
        As they finish, every task once.
    """
    waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
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
        while (task := waiting.get()) is not None and not stopped.is_set():
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

    source, more, begun, unfinished = iter(tasks), True, 0, 0
    try:
        while more or unfinished:
            room = more and waiting.qsize() < workers
            if room:
                task = next(source, None)
                if task is None:
                    more = room = False
                elif isinstance(task, Settled):
                    yield task
                else:
                    if begun < workers:
                        start()
                    begun += 1
                    unfinished += 1
                    waiting.put(task)
            try:
                mine, result = done.get_nowait() if room or not unfinished else done.get(timeout=0.5)
            except queue.Empty:
                pass
            else:
                if isinstance(result, BaseException):
                    raise result
                unfinished -= 1
                yield mine.task, result
            for one in overdue():
                start()
                unfinished -= 1
                yield one.task, GivenUp(timeout_s + GRACE_S)
    finally:
        stopped.set()
        for _ in range(workers):
            waiting.put(None)
