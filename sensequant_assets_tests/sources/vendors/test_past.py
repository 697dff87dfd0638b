"""Claims about what had been fetched by an earlier day."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.vendors import Page, Vendor
from sensequant_assets.sources.vendors.keeping import Answers, Entry
from sensequant_assets.sources.vendors.nse import Nse
from sensequant_assets.sources.vendors.past import fetched_by
from sensequant_assets.sources.vendors.yahoo import Yahoo
from sensequant_assets_tests.sources.vendors.test_fetching import FRIDAY, chart, full

TUESDAY, NEXT = date(2024, 7, 9), date(2024, 7, 12)
MM = Listing("M&M", vendor_code="M&M.NS")


def kept(directory: Path, vendor: Vendor, page: Page, answer: bytes | None, asked: date) -> None:
    """Keep an answer to a question of a day; None where nothing was there."""
    at = datetime(asked.year, asked.month, asked.day, 18, 30, tzinfo=UTC)
    whose = (page.listing.symbol, page.listing.vendor_code or "") if page.listing else ("", "")
    span = (page.start.isoformat(), page.end.isoformat())
    with Answers.open(directory / vendor.name) as answers:
        digest, file, _ = answers.keep(page, answer, vendor.bars(page, answer, at)) if answer else ("", "", 0)
        status, (symbol, code) = "got" if answer else "nothing", whose
        answers.note(
            Entry(at.isoformat(), page.name, *span, status, "path", 200, digest, file, symbol=symbol, vendor_code=code)
        )


def closes(path: Path, symbol: str = "M&M") -> dict[str, float]:
    listing = MM if symbol == "M&M" else Listing(symbol)
    bars = FileBars(path, universe=Universe("u", (listing,))).bars(listing)
    return dict(zip(bars.time.astype("datetime64[D]").astype(str), bars.close.tolist(), strict=True))


def yahoo_of(directory: Path) -> Path:
    """A history that a dividend has changed since: its closes were 1 and 2, and are .5 and 1."""
    vendor, end = Yahoo(TUESDAY), date(2024, 7, 20)
    page = Page("M&M", "M&M.NS", FRIDAY, end, ("path",), MM)
    kept(directory, vendor, page, chart([1.0, 2.0]), TUESDAY)
    kept(directory, vendor, page, chart([1.0, 2.0, 3.0], 0.5), NEXT)
    return directory / "yfinance" / "bars"


def test_the_last_answer_by_the_day_counts_whatever_came_later(tmp_path):
    bars = yahoo_of(tmp_path)
    assert closes(bars) == {"2024-07-05": 0.5, "2024-07-08": 1.0, "2024-07-09": 1.5}
    past, notes = fetched_by(TUESDAY, bars)
    assert closes(past) == {"2024-07-05": 1.0, "2024-07-08": 2.0}
    assert notes == []
    today, _ = fetched_by(NEXT, bars)
    assert closes(today) == closes(bars)
    # What is as it was is shared, and what is there is not made again.
    (file,) = today.iterdir()
    assert file.samefile(bars / file.name)
    made = past.stat().st_mtime_ns
    assert fetched_by(TUESDAY, bars)[0] == past
    assert past.stat().st_mtime_ns == made


def test_what_was_asked_for_and_not_there_is_not_there_and_what_nobody_asked_for_is_taken_as_it_came_first(tmp_path):
    vendor, saturday = Nse(), date(2024, 7, 6)
    friday = Page("2024-07-05", "", FRIDAY, saturday, ("path",))
    thursday = Page("2024-07-04", "", date(2024, 7, 4), FRIDAY, ("path",))
    later = Page("2024-07-10", "", date(2024, 7, 10), date(2024, 7, 11), ("path",))
    kept(tmp_path, vendor, friday, None, TUESDAY)
    kept(tmp_path, vendor, friday, full(FRIDAY), NEXT)
    kept(tmp_path, vendor, thursday, full(date(2024, 7, 4)), NEXT)
    kept(tmp_path, vendor, later, full(date(2024, 7, 10)), NEXT)
    past, notes = fetched_by(TUESDAY, tmp_path / "nse" / "bars")
    assert closes(past, "TCS") == {"2024-07-04": 101.0}
    assert [(note.text, note.place) for note in notes] == [
        ("First fetched after 2024-07-09, and taken as it came then", "2024-07-04")
    ]


def test_bars_that_no_vendor_keeps_are_what_they_are(tmp_path):
    for name in ("mine/bars", "yfinance/bars", "nse-5minute/bars"):
        (tmp_path / name).mkdir(parents=True)
        assert fetched_by(TUESDAY, tmp_path / name) == (tmp_path / name, [])


def test_an_answer_that_is_not_what_the_ledger_says_is_refused_by_name(tmp_path):
    bars = yahoo_of(tmp_path)
    for raw in (tmp_path / "yfinance" / "raw").iterdir():
        raw.write_bytes(b"other")
    with pytest.raises(UsageError, match=r"The answers below .*yfinance do not give the bars of 2024-07-09: .*"):
        fetched_by(TUESDAY, bars)
    assert list((tmp_path / "yfinance" / "as_of").iterdir()) == []
