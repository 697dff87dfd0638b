"""What vendors answered: every answer as it came, a ledger of what was asked, and the newest answers as files of bars.

An answer is never overwritten: another one to the same question lies beside it. The ledger tells of an answer after
it is there in full, so that what a killed process was about is asked for again.
"""

import fcntl
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Self

from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import lock_file, open_regular, replacing
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.sources.vendors import Page
from sensequant_assets.text import file_name, json_text

LEDGER = "ledger.jsonl"
GOT, NOTHING, FAILED = "got", "nothing", "failed"
"""What came of a question: bars, the word that there are none, or no answer that says either."""

_MAY_COME = timedelta(days=7)
"""For so long what was not there is asked for again: files come late, and archives are mended."""

_FIELDS = {
    "asked_at", "name", "start", "end", "status", "path", "http", "digest", "file", "bytes", "rows", "message",
    "symbol", "vendor_code",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger.

    Attributes
    ----------
    asked_at
        When, in UTC.
    name, start, end
        Of the page.
    status
        `got`, `nothing` or `failed`.
    path
        What was asked last, below the vendor's address, which is not written down: it may hold a token.
    http
        The status of the answer; 0 where none came.
    digest, file, bytes
        Of the answer as it came; empty and 0 where it is not kept.
    rows
        Bars in it.
    message
        What went wrong, or what is to be said of it.
    symbol, vendor_code
        Of the listing that alone was asked for; empty where many were, or it has no code.
    """

    asked_at: str
    name: str
    start: str
    end: str
    status: str
    path: str
    http: int = 0
    digest: str = ""
    file: str = ""
    bytes: int = 0
    rows: int = 0
    message: str = ""
    symbol: str = ""
    vendor_code: str = ""

    def settles(self, page: Page) -> bool:
        """Whether a page need not be asked for again: nothing that it wants can have come since."""
        if page.listing is not None and self.vendor_code != (page.listing.vendor_code or ""):
            return False
        asked = datetime.fromisoformat(self.asked_at).date()
        wide = date.fromisoformat(self.start) <= page.start and page.end <= date.fromisoformat(self.end)
        waits = {GOT: timedelta(0), NOTHING: _MAY_COME}
        return wide and self.status in waits and asked >= page.end + waits[self.status]


class Answers:
    """The answers of one vendor, in a directory that nobody else works in meanwhile.

    Below it lie `raw`, with every answer, `bars`, which is a directory of bars, and `ledger.jsonl`.
    """

    def __init__(self, directory: Path, entries: list[Entry]) -> None:
        self._directory = directory
        self.entries = entries

    @classmethod
    @contextmanager
    def open(cls, directory: Path) -> Iterator[Self]:
        """Read the ledger, and keep others out.

        Raises
        ------
        UsageError
            Somebody else is at work there, nothing can be written, or the ledger is damaged.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"Nothing can be kept in {directory}: {reason(error)}. Name another with --out."
            ) from error
        with lock_file(directory / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"Another `sensequant ingest` is at work in {directory}. Wait for its end.") from None
            yield cls(directory, _mended(directory / LEDGER))

    @property
    def bars(self) -> Path:
        """The directory of bars."""
        return self._directory / "bars"

    def settled(self, page: Page) -> bool:
        """Whether the last word on a page, of those that are one, holds for good."""
        words = [entry for entry in self.entries if entry.name == page.name and entry.status != FAILED]
        return bool(words) and any(entry.settles(page) for entry in words)

    def keep(self, page: Page, answer: bytes, bars: bytes) -> tuple[str, str, int]:
        """Keep an answer and its bars; an equal one is there already.

        Parameters
        ----------
        page
            What was asked for.
        answer
            As it came.
        bars
            The same as CSV.

        Returns
        -------
        digest
            Of the answer.
        file
            Where it lies, below the directory.
        revised
            Lines of the bars before that are other ones or missing now.
        """
        digest = hashlib.blake2b(answer, digest_size=16).hexdigest()
        ending = ".zip" if answer.startswith(b"PK") else ".json.gz" if answer.lstrip().startswith(b"{") else ".csv.gz"
        raw = self._directory / "raw" / f"{file_name(page.name)}.{digest}{ending}"
        if not raw.exists():
            with replacing(raw) as temporary:
                _write(temporary, answer if ending == ".zip" else gzip.compress(answer, 6, mtime=0))
        path = self.bars / f"{file_name(page.name)}.csv.gz"
        earlier = set(gzip.decompress(read_regular(path)).splitlines()) if path.exists() else set()
        if earlier != (lines := set(bars.splitlines())):
            with replacing(path) as temporary:
                _write(temporary, gzip.compress(bars, 6, mtime=0))
        return digest, raw.relative_to(self._directory).as_posix(), len(earlier - lines)

    def note(self, entry: Entry) -> None:
        """Write an entry to the ledger; it is on disk when this returns."""
        line = f"{json_text(asdict(entry))}\n".encode()
        ledger = open_regular(self._directory / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            if os.write(ledger, line) != len(line):
                raise OSError("the ledger takes no whole line")
            os.fsync(ledger)
        finally:
            os.close(ledger)
        self.entries.append(entry)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _mended(ledger: Path) -> list[Entry]:
    """Entries of a ledger; half a line at its end, which a kill left, is cut off."""
    entries = read_ledger(ledger)
    content = read_regular(ledger) if ledger.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(ledger, whole)
    return entries


def read_ledger(ledger: Path) -> list[Entry]:
    """Entries of a ledger, oldest first, without half a line at its end that is being written or that a kill left.

    Raises
    ------
    UsageError
        It cannot be read, or a line is none.
    """
    try:
        content = read_regular(ledger)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{ledger} cannot be read: {reason(error)}. Name another directory with --out.") from error
    entries = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            fields = json.loads(line)
            entry = Entry(**{name: fields[name] for name in fields if name in _FIELDS})
            for when in (entry.start, entry.end):
                date.fromisoformat(when)
            datetime.fromisoformat(entry.asked_at)
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{ledger}, line {number} is no entry of a ledger. Remove the line; its page is asked for again."
            ) from error
        entries.append(entry)
    return entries
