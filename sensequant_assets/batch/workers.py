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

_LOOK_S = 0.5
"""How long to wait for a result before looking for work to give up."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The result of work that did not come back after its deadline."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Settled(Generic[Result]):
    """A result that takes no work, among the tasks."""

    result: Result


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
    crew = _Crew(work, workers, timeout_s)
    try:
        for task in tasks:
            if isinstance(task, Settled):
                yield task
            else:
                crew.give(task)
            yield from crew.finished(wait_s=0.0)
            while crew.has_enough_ahead:
                yield from crew.finished(wait_s=_LOOK_S)
        while crew.unfinished:
            yield from crew.finished(wait_s=_LOOK_S)
    finally:
        crew.dismiss()


@dataclass(slots=True)
class _Running(Generic[Task]):
    task: Task
    since: float


class _Crew(Generic[Task, Result]):
    """Threads that take tasks as they are given, and of which one that never comes back is replaced.

    All but the threads' own loop is called on one thread.

    Parameters
    ----------
    work, workers, timeout_s
        As for `run_all`.

    Attributes
    ----------
    unfinished
        Tasks given that have neither come back nor been given up.
    """

    def __init__(self, work: Callable[[Task, Callable[[], bool]], Result], workers: int, timeout_s: float) -> None:
        self.unfinished = 0
        self._work = work
        self._workers = workers
        self._timeout_s = timeout_s
        self._started = 0
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._back: queue.SimpleQueue[tuple[_Running[Task], Result | BaseException]] = queue.SimpleQueue()
        self._running: dict[int, _Running[Task]] = {}
        self._lock = threading.Lock()
        self._dismissed = threading.Event()

    @property
    def has_enough_ahead(self) -> bool:
        """Whether a task waits for each worker."""
        return self._waiting.qsize() >= self._workers

    def give(self, task: Task) -> None:
        """Let a thread do a task, a new one while there are fewer than workers."""
        if self._started < self._workers:
            self._started += 1
            self._start_thread()
        self.unfinished += 1
        self._waiting.put(task)

    def finished(self, wait_s: float) -> Iterator[tuple[Task, Result | GivenUp]]:
        """The next task that comes back, if one does in time, and those that are given up.

        Raises
        ------
        BaseException
            What the work raised.
        """
        try:
            mine, result = self._back.get(timeout=wait_s) if wait_s else self._back.get_nowait()
        except queue.Empty:
            pass
        else:
            if isinstance(result, BaseException):
                raise result
            self.unfinished -= 1
            yield mine.task, result
        for lost in self._overdue():
            self._start_thread()
            self.unfinished -= 1
            yield lost.task, GivenUp(self._timeout_s + GRACE_S)

    def dismiss(self) -> None:
        """Tell work that its time is up, and end the threads that do none."""
        self._dismissed.set()
        for _ in range(self._workers):
            self._waiting.put(None)

    def _start_thread(self) -> None:
        threading.Thread(target=self._take_tasks, daemon=True, name="window").start()

    def _take_tasks(self) -> None:
        while (task := self._waiting.get()) is not None and not self._dismissed.is_set():
            mine = _Running(task, time.monotonic())
            with self._lock:
                self._running[id(mine)] = mine
            try:
                result: Result | BaseException = self._work(task, partial(self._expired, mine.since))
            except BaseException as error:  # noqa: BLE001  # the thread that asked raises it
                result = error
            with self._lock:
                still_mine = self._running.pop(id(mine), None) is not None
            if not still_mine:
                # It was given up, and another thread has this one's place.
                return
            self._back.put((mine, result))

    def _expired(self, since: float) -> bool:
        return self._dismissed.is_set() or time.monotonic() - since > self._timeout_s

    def _overdue(self) -> list[_Running[Task]]:
        limit = time.monotonic() - self._timeout_s - GRACE_S
        with self._lock:
            lost = [one for one in self._running.values() if one.since < limit]
            for one in lost:
                del self._running[id(one)]
        return lost
