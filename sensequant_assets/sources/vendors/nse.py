"""The daily files of the National Stock Exchange of India: one a day, with every symbol and series, not adjusted.

A day is asked for whatever the calendar says: sessions are held on some Saturdays and on Diwali.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.packing import MOST_BYTES
from sensequant_assets.sources.vendors import Open, Page

UDIFF_SINCE = date(2024, 7, 8)
"""First day that has a UDiFF file, and from which on there is no older bhavcopy."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class Nse(Open):
    """`sec_bhavdata_full` of a day and, where there is none, its bhavcopy."""

    name = "nse"
    address = "https://nsearchives.nseindia.com"
    adjusts = False

    def pages(self, listings: Sequence[Listing], start: date, end: date) -> Iterator[Page]:  # noqa: ARG002  # all symbols
        """One a day."""
        for number in range((end - start).days):
            day = start + timedelta(number)
            month = _MONTHS[day.month - 1]
            bhavcopy = (
                f"content/cm/BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv.zip"
                if day >= UDIFF_SINCE
                else f"content/historical/EQUITIES/{day:%Y}/{month}/cm{day:%d}{month}{day:%Y}bhav.csv.zip"
            )
            full = f"products/content/sec_bhavdata_full_{day:%d%m%Y}.csv"
            yield Page(day.isoformat(), "", day, day + timedelta(1), (full, bhavcopy))

    def bars(self, page: Page, answer: bytes, asked_at: datetime) -> bytes:  # noqa: ARG002  # the file says it all
        """The file itself, unpacked; it is read as any other of its layout."""
        if not answer.startswith(b"PK"):
            return answer
        try:
            with zipfile.ZipFile(io.BytesIO(answer)) as archive:
                files = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
                if len(files) != 1:
                    raise ValueError(f"its archive holds {len(files)} CSV files, and one is expected")
                if files[0].file_size > MOST_BYTES:
                    raise ValueError("its archive unpacks to more than a day can hold")
                return archive.read(files[0])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(f"its archive cannot be unpacked: {error}") from error
