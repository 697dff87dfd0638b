"""Ctrl-C: the first one is answered at once, the second one ends the process at once."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sensequant_assets.errors import Exit

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_STOPS = (signal.SIGINT, signal.SIGTERM)
_AGAIN, _HOOK_S = 255, 0.05
_lost: list[type[BaseException]] = []
_SHOW_CURSOR = "\x1b[?25h"


def answer_interrupts() -> None:
    """Say that the process stops as soon as it is asked to, whatever it is doing, and end it when it is asked again.

    A run of Dagster has handlers of its own, Python calls none of them while LightGBM or DuckDB computes, and what was
    begun is brought to an end in order. So a thread listens, to which the interpreter writes each signal as it comes.
    Only signals that have a handler are told of: who starts a process with Ctrl-C ignored has it ignored.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader,), daemon=True, name="interrupts").start()
    if logging.lastResort is not None:
        # SQLAlchemy logs whatever comes while it takes a connection back, and raises it then.
        logging.lastResort.addFilter(lambda record: not (record.exc_info and _is_stop(record.exc_info[1])))
    sys.unraisablehook = _raised_again(writer)


def end_without_answer() -> None:
    """Leave Ctrl-C to the caller, who has nothing to stop but itself."""
    signal.set_wakeup_fd(-1)


def _listen(reader: int) -> None:
    asked = 0
    while told := os.read(reader, 1):
        if told[0] == _AGAIN:
            _raise_again()
        if told[0] not in _STOPS:
            continue
        asked += 1
        terminal = sys.stderr.isatty()
        if asked > 1:
            # A progress bar hides the cursor, and has no chance to show it again.
            os.write(2, f"{_SHOW_CURSOR}\n".encode() if terminal else b"")
            os._exit(Exit.INTERRUPTED)
        line = "sensequant: stopping; Ctrl-C again ends it at once\n"
        os.write(2, f"\n{line}".encode() if terminal else line.encode())


def _is_stop(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, (Exception, GeneratorExit, SystemExit))


def _raised_again(writer: int) -> Callable[["UnraisableHookArgs"], None]:
    """What has the listener raise an interrupt again that came where nothing can be raised.

    So it may while an object is taken down: Python would print its traceback and go on, as if nobody had asked.
    """

    def hook(told: "UnraisableHookArgs") -> None:
        if _is_stop(told.exc_value):
            _lost.append(told.exc_type)
            os.write(writer, bytes([_AGAIN]))
        else:
            sys.__unraisablehook__(told)

    return hook


def _raise_again() -> None:
    # Not by a signal, which would be a second one; and not before the hook has returned, where it would be lost again.
    import ctypes

    time.sleep(_HOOK_S)
    main = ctypes.c_ulong(threading.main_thread().ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(_lost.pop()))
