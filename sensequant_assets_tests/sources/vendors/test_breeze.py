"""Claims about Breeze, against a server on the loopback that answers as it does."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.vendors import Interval
from sensequant_assets.sources.vendors.asking import Line
from sensequant_assets.sources.vendors.breeze import Breeze
from sensequant_assets.sources.vendors.fetching import Fetch
from sensequant_assets.sources.vendors.keeping import Answers, Entry
from sensequant_assets_tests.sources.vendors.serving import Reply, Vendor, serving

RELIANCE = Listing("RELIANCE", vendor_code="RELIND")
LATER = datetime(2025, 3, 1, tzinfo=UTC)
LOGIN, CHARTS = "customerdetails", "historicalcharts"
SPAN = "2025-01-01 to before 2025-03-02"
TOKEN = "dXNlcjpzZXNzaW9u"  # noqa: S105  # user:session


def told(rows: list[dict[str, Any]], status: int = 200, error: str | None = None) -> Reply:
    return Reply(json.dumps({"Success": rows, "Status": status, "Error": error}).encode())


def candle(day: str, close: Any = 101.0, code: str = "RELIND") -> dict[str, Any]:
    prices = {"open": 100.0, "high": 103.5, "low": 99.0, "close": close, "volume": 1200}
    return {"datetime": f"{day} 00:00:00", "stock_code": code, "exchange_code": "NSE", **prices}


@pytest.fixture
def vendor():
    with serving() as found:
        found.has(LOGIN, Reply(json.dumps({"Success": {"session_token": TOKEN}, "Status": 200}).encode()))
        yield found


def fetched(
    vendor: Vendor,
    directory: Path,
    *listings: Listing,
    start: date = date(2024, 6, 1),
    end: date = date(2025, 2, 1),
    incremental: bool = False,
    now: datetime = LATER,
    sleep: Callable[[float], None] = lambda _: None,
    interval: Interval = "1day",
) -> list[Entry]:
    breeze = Breeze(Line(vendor.url, 0), now.date(), "k3y", "s3ssion", interval)
    line = Line(vendor.url, 0, sleep=sleep, headers=breeze.headers, busy=breeze.busy)
    found = Fetch(breeze, line, listings or (RELIANCE,), start, end, incremental, lambda: now)
    with Answers.open(directory) as answers:
        found.require_codes(answers)
        return list(found.run(answers, found.pages(answers)))


def days(directory: Path, listing: Listing = RELIANCE) -> list[str]:
    bars = FileBars(directory / "bars", universe=Universe("u", (listing,))).bars(listing)
    return [str(day) for day in bars.time.astype("datetime64[D]")]


def test_a_symbol_is_asked_for_year_by_year_by_its_code_after_one_login(vendor, tmp_path):
    vendor.has(CHARTS, told([candle("2024-01-02"), candle("2024-12-31")]), told([candle("2025-02-03")]))
    found = fetched(vendor, tmp_path)
    assert [(one.name, one.start, one.end, one.status, one.rows) for one in found] == [
        ("RELIANCE_2024", "2024-01-01", "2025-01-01", "got", 2),
        ("RELIANCE_2025", "2025-01-01", "2025-03-02", "got", 1),
    ]  # fmt: skip
    assert vendor.asked == [LOGIN, CHARTS, CHARTS]
    login, first, second = vendor.told
    assert json.loads(login[2]) == {"SessionToken": "s3ssion", "AppKey": "k3y"}
    assert parse_qs(first[0]) == {
        "interval": ["1day"], "from_date": ["2024-01-01T00:00:00.000Z"], "to_date": ["2024-12-31T23:59:59.000Z"],
        "stock_code": ["RELIND"], "exch_code": ["NSE"], "product_type": ["cash"],
    }  # fmt: skip
    assert (second[1]["X-SessionToken"], second[1]["apikey"]) == (TOKEN, "k3y")
    assert days(tmp_path) == ["2024-01-02", "2024-12-31", "2025-02-03"]


def test_a_year_that_is_over_is_settled_and_this_one_is_asked_for_from_its_beginning(vendor, tmp_path):
    vendor.has(CHARTS, told([candle("2024-07-01")]), told([candle("2025-02-03")]))
    fetched(vendor, tmp_path)
    vendor.has(CHARTS, told([candle("2025-02-03"), candle("2025-03-03")]))
    april = datetime(2025, 4, 1, tzinfo=UTC)
    (entry,) = fetched(vendor, tmp_path, end=date(2025, 4, 1), incremental=True, now=april)
    assert (entry.name, entry.start) == ("RELIANCE_2025", "2025-01-01")
    assert days(tmp_path) == ["2024-07-01", "2025-02-03", "2025-03-03"]


def test_bars_of_5_minutes_come_by_thirds_of_months_at_the_times_of_the_exchange(vendor, tmp_path):
    first = {**candle("2024-02-21"), "datetime": "2024-02-21 09:15:00"}
    vendor.has(CHARTS, told([first, {**first, "datetime": "2024-02-29 15:25:00"}]), told([]))
    found = fetched(vendor, tmp_path, start=date(2024, 2, 25), end=date(2024, 3, 12), interval="5minute")
    assert [(one.name, one.end, one.status) for one in found] == [
        ("RELIANCE_2024-02-21", "2024-03-01", "got"),
        ("RELIANCE_2024-03-01", "2024-03-11", "nothing"),
        ("RELIANCE_2024-03-11", "2024-03-21", "nothing"),
    ]
    assert parse_qs(vendor.told[1][0])["interval"] == ["5minute"]
    bars = FileBars(tmp_path / "bars", universe=Universe("u", (RELIANCE,))).bars(RELIANCE)
    assert bars.time.astype(str).tolist() == ["2024-02-21T09:15:00", "2024-02-29T15:25:00"]


def test_a_session_that_is_not_over_is_left_out(vendor, tmp_path):
    vendor.has(CHARTS, told([candle("2025-02-27"), candle("2025-02-28")]))
    before, after = datetime(2025, 2, 28, 10, 29, tzinfo=UTC), datetime(2025, 2, 28, 10, 31, tzinfo=UTC)
    for now, last in ((before, "2025-02-27"), (after, "2025-02-28")):
        fetched(vendor, tmp_path, start=date(2025, 2, 1), end=date(2025, 3, 1), now=now)
        assert days(tmp_path)[-1] == last


def test_too_many_questions_in_a_minute_wait_for_the_next_one(vendor, tmp_path):
    slept: list[float] = []
    busy = told([], 5, "Limit exceed: API call per minute:Try after some time")
    vendor.has(CHARTS, busy, Reply(busy.body, 401), told([candle("2025-02-03")]))
    (entry,) = fetched(vendor, tmp_path, start=date(2025, 1, 1), sleep=slept.append)
    assert (entry.status, [one for one in slept if one]) == ("got", [60, 60])


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (told([]), "nothing", ""),
        (told([], 500, "No Data Found"), "nothing", ""),
        (told([], 5, "Limit exceed: API call per day: "), "failed", "the vendor says: Limit exceed: API call per day:"),
        (Reply(b"{}"), "failed", "it is no chart as Breeze writes it"),
        (Reply(b"[1]"), "failed", "it is no chart as Breeze writes it"),
        (Reply(b"<html>Bad gateway</html>"), "failed", "the vendor answers with a page for people"),
        (told([candle("2025-01-02", code="RELPOW")]), "failed", "the answer is of RELPOW, and RELIND was asked for"),
        (told([candle("2025-01-02", close="x")]), "failed", "a cell of 2025-01-02 is no number"),
        (told([candle("2019-01-02")]), "failed", f"the answer is of 2019-01-02, and {SPAN} was asked for"),
        (told([candle("2025-01-02")] * 1000), "failed", "it has 1000 bars, the most of an answer: some may lack"),
    ],
)  # fmt: skip
def test_a_chart_without_bars_is_nothing_and_any_other_text_a_failure(vendor, tmp_path, reply, status, message):
    vendor.has(CHARTS, reply)
    (entry,) = fetched(vendor, tmp_path, start=date(2025, 1, 1))
    assert (entry.status, entry.message) == (status, message)


@pytest.mark.parametrize(
    "reply", [Reply(b'{"Success": null, "Status": 500, "Error": "Invalid session."}'), Reply(b"<p>", 502), Reply(b"[]")]
)
def test_a_session_that_is_not_good_is_one_sentence_and_nothing_is_asked(vendor, tmp_path, reply):
    vendor.has(LOGIN, reply)
    with pytest.raises(UsageError, match=r"takes no session of SENSEQUANT_BREEZE_KEY .* set the session of this day"):
        fetched(vendor, tmp_path)
    assert CHARTS not in vendor.asked


def test_where_the_ledger_settles_every_page_nobody_logs_in(vendor, tmp_path):
    vendor.has(CHARTS, told([candle("2024-07-01")]))
    for _ in range(2):
        fetched(vendor, tmp_path, end=date(2025, 1, 1), incremental=True)
    assert vendor.asked == [LOGIN, CHARTS]


def test_key_and_session_stand_nowhere(vendor, tmp_path, capfd):
    vendor.has(CHARTS, told([candle("2025-02-03")]), told([], 7, "no"))
    fetched(vendor, tmp_path)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in ("k3y", "s3ssion", TOKEN):
        assert secret.encode() not in written
        assert secret not in "".join(capfd.readouterr())


def test_a_symbol_that_lost_its_code_is_refused_and_one_with_another_code_is_asked_for_anew(vendor, tmp_path):
    vendor.has(CHARTS, told([candle("2024-07-01")]))
    infosys = Listing("INFY", vendor_code="INFTEC")
    fetched(vendor, tmp_path, RELIANCE, end=date(2025, 1, 1))
    with pytest.raises(UsageError) as caught:
        fetched(vendor, tmp_path, Listing("RELIANCE"), infosys)
    assert str(caught.value) == (
        "1 symbol had a vendor_code when breeze was asked last, and has none in the universe: RELIANCE (RELIND). "
        "Give it back, or let it go with --allow-shrink."
    )
    vendor.has(CHARTS, told([candle("2024-07-01", code="RELNEW")]))
    renamed = Listing("RELIANCE", vendor_code="RELNEW")
    (entry,) = fetched(vendor, tmp_path, renamed, end=date(2025, 1, 1), incremental=True)
    assert (entry.status, entry.vendor_code) == ("got", "RELNEW")
    assert days(tmp_path, renamed) == ["2024-07-01"]
