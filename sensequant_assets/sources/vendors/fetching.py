"""Fetching: page by page from a vendor, each answer kept and told of in the ledger before the next one is asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.sources.headers import TIME, missing_columns, roles_of
from sensequant_assets.sources.notes import shortened
from sensequant_assets.sources.packing import BarFile
from sensequant_assets.sources.parsing import wall_clock
from sensequant_assets.sources.reading import UNREADABLE, read_columns
from sensequant_assets.sources.vendors import Page, Vendor
from sensequant_assets.sources.vendors.asking import Answer, Line, NoAnswerError
from sensequant_assets.sources.vendors.keeping import FAILED, GOT, NOTHING, Answers, Entry
from sensequant_assets.text import counted, printable

GIVES_UP_AFTER = 5
"""Failures in a row after which the vendor is left alone."""

_NOT_FOUND, _OK = 404, 200


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Fetch:
    """What to ask a vendor for.

    Attributes
    ----------
    vendor, line
        Who is asked, and over what.
    listings
        Whose bars are wanted.
    start, end
        The first day, and the day after the last.
    incremental
        Whether pages are left out that the ledger settles.
    clock
        The time, in UTC.
    """

    vendor: Vendor
    line: Line
    listings: Sequence[Listing]
    start: date
    end: date
    incremental: bool = False
    clock: Callable[[], datetime] = _utc

    def pages(self, answers: Answers) -> list[Page]:
        """What is to be asked for: a history that is adjusted as of a day is asked for from its beginning."""
        start, end = self.start, self.end
        if self.vendor.adjusts:
            known = [entry for entry in answers.entries if entry.status == GOT]
            start = min([start, *(date.fromisoformat(entry.start) for entry in known)])
            end = max([end, *(date.fromisoformat(entry.end) for entry in known)])
        pages = self.vendor.pages(self.listings, start, end)
        return [page for page in pages if not (self.incremental and answers.settled(page))]

    def require_codes(self, answers: Answers) -> None:
        """Make sure that no symbol has lost the code by which the vendor was asked for it last.

        Raises
        ------
        UsageError
            Some have: under their own names the vendor may have other shares.
        """
        known = {entry.symbol: entry.vendor_code for entry in answers.entries if entry.symbol}
        lost = [one.symbol for one in self.listings if not one.vendor_code and known.get(one.symbol)]
        if lost:
            codes = shortened(f"{symbol} ({known[symbol]})" for symbol in lost)
            raise UsageError(
                f"{counted(len(lost), 'symbol')} had a vendor_code when {self.vendor.name} was asked last, and "
                f"{'has' if len(lost) == 1 else 'have'} none in the universe: {codes}. Give it back, or let it go with "
                "--allow-shrink."
            )

    def run(self, answers: Answers, pages: Sequence[Page]) -> Iterator[Entry]:
        """Ask for pages, one after the other; each entry is in the ledger when it is given.

        Raises
        ------
        UsageError
            Nobody can be reached, and nothing has come.
        SenseQuantError
            So many pages failed in a row that the others are not asked for.
        """
        failures = 0
        came = False
        for number, page in enumerate(pages):
            try:
                entry = self._asked(page, answers)
            except NoAnswerError as error:
                if not (error.reached or came):
                    raise UsageError(
                        f"{self.line.host} cannot be reached: {error}. Check the network, its proxy, or "
                        "SENSEQUANT_VENDOR_URL."
                    ) from None
                entry = self._entry(page, FAILED, page.paths[0], message=str(error))
            answers.note(entry)
            came = came or entry.status != FAILED
            failures = failures + 1 if entry.status == FAILED else 0
            yield entry
            if failures == GIVES_UP_AFTER and number + 1 < len(pages):
                raise SenseQuantError(
                    f"{self.line.host} gave no usable answer {failures} times in a row, the last time for {page.name}: "
                    f"{entry.message}. What came is kept; go on later with --incremental."
                )

    def _asked(self, page: Page, answers: Answers) -> Entry:
        for path in page.paths:
            answer = self.line.ask(path)
            if answer.status == _NOT_FOUND:
                continue
            try:
                bars = self._bars(page, answer)
                rows = _rows(page, bars) if bars else 0
            except UNREADABLE as error:
                # Some libraries tell an error over several lines.
                why = printable(" ".join(str(error).split()))
                return self._entry(page, FAILED, path, http=answer.status, message=why)
            if not rows:
                continue
            digest, file, revised = answers.keep(page, answer.body, bars)
            message = f"{revised:,} lines differ from the answer before" if revised else ""
            return self._entry(page, GOT, path, answer.status, digest, file, len(answer.body), rows, message)
        return self._entry(page, NOTHING, path, http=answer.status)

    def _bars(self, page: Page, answer: Answer) -> bytes:
        if answer.status != _OK:
            raise ValueError(f"the vendor answers with status {answer.status}")
        if answer.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise ValueError("the vendor answers with a page for people")
        if not answer.body.strip():
            raise ValueError("the answer is empty")
        return self.vendor.bars(page, answer.body, self.clock())

    def _entry(
        self,
        page: Page,
        status: str,
        path: str,
        http: int = 0,
        digest: str = "",
        file: str = "",
        size: int = 0,
        rows: int = 0,
        message: str = "",
    ) -> Entry:
        asked_at = self.clock().isoformat(timespec="seconds")
        start, end = page.start.isoformat(), page.end.isoformat()
        whose = (page.listing.symbol, page.listing.vendor_code or "") if page.listing else ("", "")
        return Entry(asked_at, page.name, start, end, status, path, http, digest, file, size, rows, message, *whose)


def _rows(page: Page, bars: bytes) -> int:
    """How many bars there are, as they are read from files; those of other days than the page's are none of it."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "bars.csv")
        path.write_bytes(bars)
        columns = read_columns(BarFile(path))
    if missing := missing_columns(columns.names):
        raise ValueError(f"the answer has no column {', '.join(missing)}")
    times, _ = wall_clock(columns.values[columns.names[roles_of(columns.names).at[TIME]]], None)
    days = times.astype("datetime64[D]")
    if np.isnat(days).any():
        raise ValueError("a row of the answer has no day")
    other = days[(days < np.datetime64(page.start)) | (days >= np.datetime64(page.end))]
    if len(other):
        asked = page.start if page.end - page.start == timedelta(1) else f"{page.start} to before {page.end}"
        raise ValueError(f"the answer is of {other[0]}, and {asked} was asked for")
    return len(days)
