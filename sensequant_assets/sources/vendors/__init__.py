"""Vendors of bars: what each is asked for, and how its answers become text that `sources.files` reads."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from sensequant_assets.core.universe import Listing

Interval = Literal["1day", "5minute"]
"""What a bar is of."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer holds.

    Attributes
    ----------
    name
        What it is of: a day, or a symbol as the universe has it.
    code
        What the rows are called where the answer does not name them; empty where it does.
    start, end
        The first day, and the day after the last.
    paths
        Where the vendor may have it, below its address; each is asked where those before have nothing.
    listing
        Whose bars alone it has; None where it has those of many.
    """

    name: str
    code: str
    start: date
    end: date
    paths: tuple[str, ...]
    listing: Listing | None = None


class Vendor(Protocol):
    """Somebody who answers over HTTP."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def address(self) -> str:
        """Where it is asked, unless a setting says otherwise."""
        ...

    @property
    def adjusts(self) -> bool:
        """Whether prices are on the basis of the day of the answer, so that a history must come in one."""
        ...

    def pages(self, listings: Sequence[Listing], start: date, end: date) -> Iterator[Page]:
        """What to ask for the days from `start` to before `end`."""
        ...

    def headers(self) -> Mapping[str, str]:
        """What each question carries, such as who asks."""
        ...

    def busy(self, answer: bytes) -> bool:
        """Whether an answer says, whatever its status, that there have been too many questions in this minute."""
        ...

    def bars(self, page: Page, answer: bytes, asked_at: datetime) -> bytes:
        """An answer as CSV; empty where it says that there is nothing.

        Raises
        ------
        ValueError
            It is none: says why.
        """
        ...


class Open:
    """What a vendor is that anybody may ask, and that says by a status when it is asked too much."""

    def headers(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def busy(self, answer: bytes) -> bool:  # noqa: ARG002  # its status says it
        """Never."""
        return False


def as_csv(code: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of these columns as CSV, each with a code before them; empty without any."""
    rows = list(rows)
    if not rows:
        return b""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["symbol", *columns])
    table.writerows([code, *row] for row in rows)
    return written.getvalue().encode()
