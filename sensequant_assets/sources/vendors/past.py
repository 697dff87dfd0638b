"""What had been fetched by an earlier day, made anew of the answers that are kept."""

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import get_args

from sensequant_assets.errors import UsageError
from sensequant_assets.sources.notes import Note
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.sources.vendors import Interval, Page, Vendor
from sensequant_assets.sources.vendors.asking import Line
from sensequant_assets.sources.vendors.breeze import LOGIN, Breeze
from sensequant_assets.sources.vendors.keeping import GOT, LEDGER, Entry, read_ledger
from sensequant_assets.sources.vendors.nse import Nse
from sensequant_assets.sources.vendors.yahoo import Yahoo
from sensequant_assets.text import file_name


def fetched_by(day: date, bars: Path) -> tuple[Path, list[Note]]:
    """The directory of bars as a vendor's answers had made it by the end of a day, in UTC.

    It is made beside the one of today, which it shares files with, and made once.

    Parameters
    ----------
    day
        The day.
    bars
        Files of bars. If no `sensequant ingest` keeps them, nobody knows what they were, and they are what they are.

    Returns
    -------
    directory
        Where those of the day are.
    notes
        What is to be said of it.

    Raises
    ------
    UsageError
        An answer that is kept cannot be read, or nothing can be written there.
    """
    home = bars.resolve().parent
    vendor = _vendor(home.name, day)
    if bars.name != "bars" or vendor is None or not (home / LEDGER).is_file():
        return bars, []
    pages: dict[str, list[Entry]] = {}
    for entry in read_ledger(home / LEDGER):
        pages.setdefault(entry.name, []).append(entry)
    chosen = dict(_chosen(day, pages))
    late = (name for name, entry in chosen.items() if _asked(entry) > day)
    notes = [Note(f"First fetched after {day}, and taken as it came then", place=name) for name in late]
    try:
        return _made(home, day, chosen, pages, vendor), notes
    except (OSError, ValueError) as error:
        raise UsageError(f"The answers below {home} do not give the bars of {day}: {reason(error)}.") from error


def _vendor(directory: str, day: date) -> Vendor | None:
    """Whose answers a directory keeps, which are read here and asked for nowhere; None if they are nobody's."""
    source, _, named = directory.partition("-")
    interval = next((one for one in get_args(Interval) if one == (named or "1day")), None)
    if interval is None:
        return None
    if source == Yahoo.name:
        return Yahoo(day, interval=interval)
    if source == Breeze.name:
        return Breeze(Line(LOGIN, 0), day, "", "", interval)
    return Nse() if directory == Nse.name else None


def _chosen(day: date, pages: Mapping[str, list[Entry]]) -> Iterator[tuple[str, Entry]]:
    """Of each page the last answer by the day or, where nobody had asked by then, the first one after it."""
    for name, entries in pages.items():
        got = [entry for entry in entries if entry.status == GOT]
        by_then = [entry for entry in got if _asked(entry) <= day]
        if by_then:
            yield name, by_then[-1]
        elif got and _asked(entries[0]) > day and date.fromisoformat(got[0].start) <= day:
            yield name, got[0]


def _asked(entry: Entry) -> date:
    return datetime.fromisoformat(entry.asked_at).date()


def _made(home: Path, day: date, chosen: Mapping[str, Entry], pages: Mapping[str, list[Entry]], vendor: Vendor) -> Path:
    state = _digest("".join(f"{name}\0{entry.digest}\n" for name, entry in sorted(chosen.items())).encode(), 4)
    made = home / "as_of" / f"{day}-{state}"
    if made.is_dir():
        return made
    made.parent.mkdir(exist_ok=True)
    directory = Path(mkdtemp(prefix=".", dir=made.parent))
    try:
        for name, entry in chosen.items():
            file = f"{file_name(name)}.csv.gz"
            newest = next(one for one in reversed(pages[name]) if one.status == GOT)
            if newest.digest == entry.digest and (home / "bars" / file).is_file():
                os.link(home / "bars" / file, directory / file)
            else:
                (directory / file).write_bytes(gzip.compress(_bars(home, entry, vendor), 6, mtime=0))
        directory.chmod(0o755)
        directory.rename(made)
    except OSError:
        # Somebody else may have made the same meanwhile.
        if not made.is_dir():
            raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return made


def _bars(home: Path, entry: Entry, vendor: Vendor) -> bytes:
    """An answer as CSV."""
    written = read_regular(home / entry.file)
    answer = written if entry.file.endswith(".zip") else gzip.decompress(written)
    if _digest(answer, 16) != entry.digest:
        raise ValueError(f"{home / entry.file} is not what the ledger says")
    code = entry.vendor_code or entry.symbol
    page = Page(entry.name, code, date.fromisoformat(entry.start), date.fromisoformat(entry.end), ())
    return vendor.bars(page, answer, datetime.fromisoformat(entry.asked_at))


def _digest(content: bytes, size: int) -> str:
    return hashlib.blake2b(content, digest_size=size).hexdigest()
