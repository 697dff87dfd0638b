"""Work on its way to another process: what many pieces of work have in common is sent once, and kept there."""

import io
import os
import pickle
import socket
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

from sensequant_assets.batch.cost import peak_mb
from sensequant_assets.batch.made_with import code
from sensequant_assets.core.boosting import never
from sensequant_assets.core.pool import PoolRows
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.training import Grown

SHARED = (Samples, Grown, PoolRows)
"""What is sent by itself: features of a symbol, models of a pool, rows of a pool."""

KEPT = 32
"""How much of it a worker keeps: of a run's order, the symbol at hand and a model for each of its windows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of work.

    Attributes
    ----------
    result
        Of the work; None where it failed.
    error
        What it raised; None where it did not.
    worker
        Who did it: machine and process.
    cpu_s, peak_mb
        As of `Cost`, of that process.
    """

    result: Any
    error: Exception | None
    worker: str
    cpu_s: float
    peak_mb: float


class OtherCodeError(Exception):
    """A worker has other code than the process that asks it; its models would be others."""


def packed(work: object, share: Callable[[Any], int]) -> bytes:
    """Work as bytes, less what is shared.

    Parameters
    ----------
    work
        To be done.
    share
        Takes what is shared and gives its number.
    """
    written = io.BytesIO()
    _Packer(written, share).dump(work)
    return written.getvalue()


def carried_out(parcel: bytes, shared: Sequence[Any], fetch: Callable[[Any], Any], wanted_code: str) -> Answer:
    """Do work that came as bytes.

    Parameters
    ----------
    parcel
        As of `packed`.
    shared
        Where to find what is shared, by its number.
    fetch
        Gets it from there.
    wanted_code
        Fingerprint of the code of the process that asks.

    Raises
    ------
    OtherCodeError
        The code here is another.
    """
    if code() != wanted_code:
        raise OtherCodeError(worker_name())
    began, result, failed = process_time(), None, None
    try:
        work = _Unpacker(io.BytesIO(parcel), shared, fetch).load()
        # Who asks ends what takes too long.
        result = work(never)
    except Exception as error:  # noqa: BLE001  # it is raised where it was asked for
        failed = _sendable(error)
    return Answer(result, failed, worker_name(), process_time() - began, peak_mb())


def worker_name() -> str:
    """Machine and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, share: Callable[[Any], int]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._share = share

    def persistent_id(self, thing: Any) -> int | None:
        return self._share(thing) if isinstance(thing, SHARED) else None


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: Sequence[Any], fetch: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._shared = shared
        self._fetch = fetch

    def persistent_load(self, number: int) -> Any:
        place = self._shared[number]
        if place in _AT_HAND:
            _AT_HAND.move_to_end(place)
        else:
            _AT_HAND[place] = self._fetch(place)
            while len(_AT_HAND) > KEPT:
                _AT_HAND.popitem(last=False)
        return _AT_HAND[place]


_AT_HAND: OrderedDict[Any, Any] = OrderedDict()
"""What this process has fetched lately; a model is read from its text once."""


def _sendable(error: Exception) -> Exception:
    """An error with its traceback as a note, in words where it cannot be sent itself."""
    told = "".join(traceback.format_exception(error))
    try:
        sent: Exception = pickle.loads(pickle.dumps(error))  # noqa: S301  # its own bytes
    except Exception:  # noqa: BLE001  # whatever keeps it from being sent
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"On a worker:\n{told}")
    return sent
