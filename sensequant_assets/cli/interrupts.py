"""Ctrl-C: the first one is answered at once, the second one ends the process at once."""

import os
import signal
import sys
import threading

from sensequant_assets.errors import Exit

_STOPS = (signal.SIGINT, signal.SIGTERM)
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


def end_without_answer() -> None:
    """Leave Ctrl-C to the caller, who has nothing to stop but itself."""
    signal.set_wakeup_fd(-1)


def _listen(reader: int) -> None:
    asked = 0
    while told := os.read(reader, 1):
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
