"""Who works with a copy: one machine at a time, which says so there again and again.

A bucket has no lock that the kernel lets go, but it can make an object only if there is none of that name. So a lease
is an object with a number, which its holder puts again as long as it works; who finds the last one still for `QUIET_S`
makes the next number, and of several that try one succeeds. Ages are told by the clock of the store alone.
"""

import fcntl
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import lock_file
from sensequant_assets.sources.buckets import Bucket

QUIET_S = 30.0
"""Seconds without a sign of life after which a holder is taken for gone."""

LEASE = "lease"
_LOCK = "copy.lock"
"""Which processes of a data directory hold it, and a name of its own."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Company:
    """Another machine that works with a copy.

    Attributes
    ----------
    host, process
        As it says.
    age_s
        Seconds since it said so.
    """

    host: str
    process: int
    age_s: float

    def __str__(self) -> str:
        return f"{self.host}, process {self.process}, which said so {max(self.age_s, 0):.0f} s ago"


def company(bucket: Bucket, data_dir: Path) -> Company | None:
    """The other machine that works with a copy of a data directory; None if nobody seems to."""
    with _held(data_dir) as (holder, _):
        found = _last(bucket)
        return None if found is None else _at_work(bucket, holder, *found)


@contextmanager
def leased(bucket: Bucket, data_dir: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Be the one machine that works with a copy of a data directory; its processes may be several.

    Parameters
    ----------
    bucket
        Where the copy is.
    data_dir
        Of what.
    tell
        Is told if another machine has taken its place, as it may where this one stood still.

    Raises
    ------
    UsageError
        Another machine works with it.
    """
    with _held(data_dir) as (holder, lock):
        name = _taken(bucket, holder)
        ended = threading.Event()

        def keep_up() -> None:
            while not ended.wait(QUIET_S / 3):
                # Whatever the network raises: the next round may reach it.
                with suppress(Exception):
                    found = _last(bucket)
                    if found and found[0] > name:
                        tell(
                            f"{found[1].get('host')} works with {bucket.address} as well by now, because this machine "
                            f"was not heard of for {QUIET_S:.0f} s. What both train is trained twice; nothing is lost."
                        )
                        return
                    _put(bucket, name, holder)

        thread = threading.Thread(target=keep_up, daemon=True, name="lease")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            # Others of this data directory go on with it; who was killed leaves it to age.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(Exception):
                    bucket.remove([name])


def _taken(bucket: Bucket, holder: str) -> str:
    """Make a lease, or go on with that of this data directory; gives its name."""
    for _ in range(_TRIES):
        found, number = _last(bucket), 1
        if found is not None:
            number = int(PurePosixPath(found[0]).stem)
            if found[1].get("holder") == holder:
                _put(bucket, found[0], holder)
                return found[0]
            if other := _at_work(bucket, holder, *found):
                break
            number += 1
        name = f"{LEASE}/{number:08d}.json"
        with suppress(FileExistsError):
            bucket.files.pipe_file(bucket.place(name), _content(holder), mode="create")
            bucket.remove(one for one in bucket.listed(LEASE) if one < name)
            return name
        other = None
    raise UsageError(
        f"Another machine is at work with {bucket.address}: {other or 'it began this moment'}. Wait until it has "
        f"ended, or {QUIET_S:.0f} s if it was killed."
    )


def _at_work(bucket: Bucket, holder: str, name: str, told: dict[str, Any]) -> Company | None:
    """Who holds a lease, if it is another and has said so of late."""
    if told.get("holder") == holder:
        return None
    # What is put this moment tells the time there.
    asked = f"asked/{secrets.token_hex(8)}"
    bucket.files.pipe_file(bucket.place(asked), b"")
    try:
        age = bucket.files.modified(bucket.place(asked)) - bucket.files.modified(bucket.place(name))
    except FileNotFoundError:
        return None  # it has ended meanwhile
    finally:
        bucket.remove([asked])
    seconds = age.total_seconds()
    return Company(str(told.get("host")), int(told.get("process", 0)), seconds) if seconds < QUIET_S else None


def _last(bucket: Bucket) -> tuple[str, dict[str, Any]] | None:
    """The name of the last lease, and what it says."""
    names = sorted(name for name in bucket.listed(LEASE) if PurePosixPath(name).stem.isdigit())
    if not names:
        return None
    try:
        told = json.loads(bucket.files.cat_file(bucket.place(names[-1])))
    except FileNotFoundError:
        return None
    return names[-1], told if isinstance(told, dict) else {}


def _put(bucket: Bucket, name: str, holder: str) -> None:
    bucket.files.pipe_file(bucket.place(name), _content(holder))


def _content(holder: str) -> bytes:
    return json.dumps({"holder": holder, "host": socket.gethostname(), "process": os.getpid()}).encode()


@contextmanager
def _held(data_dir: Path) -> Iterator[tuple[str, int]]:
    """The name of a data directory on this machine, and the lock that its processes share.

    Its own file has a part of it, because machines may share a name; the machine's is another, because a directory may
    be copied.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with lock_file(data_dir / _LOCK) as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(lock).st_size:
                os.write(lock, secrets.token_hex(8).encode())
        fcntl.flock(lock, fcntl.LOCK_SH)
        own = os.pread(lock, 64, 0).decode(errors="replace")
        yield f"{own}@{socket.gethostname()}:{data_dir.resolve()}", lock
