"""Claims about fetching, against a vendor on the loopback: what is kept, what is asked again, and what is no answer."""

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.vendors import Vendor as Asked
from sensequant_assets.sources.vendors.asking import Line, NoAnswerError
from sensequant_assets.sources.vendors.fetching import Fetch
from sensequant_assets.sources.vendors.keeping import Answers, Entry
from sensequant_assets.sources.vendors.nse import Nse
from sensequant_assets.sources.vendors.yahoo import Yahoo
from sensequant_assets_tests.sources.test_layouts import FULL, UDIFF
from sensequant_assets_tests.sources.vendors.serving import Reply, Vendor, serving

FRIDAY, MONDAY = date(2024, 7, 5), date(2024, 7, 8)
FULL_FRIDAY = "products/content/sec_bhavdata_full_05072024.csv"
FULL_MONDAY = "products/content/sec_bhavdata_full_08072024.csv"
UDIFF_MONDAY = "content/cm/BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv.zip"
OLD_FRIDAY = "content/historical/EQUITIES/2024/JUL/cm05JUL2024bhav.csv.zip"
CHART = "v8/finance/chart/M%26M.NS"
LATER = datetime(2024, 8, 1, tzinfo=UTC)
YAHOO = Yahoo(LATER.date(), ".NS")


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with serving() as found:
        yield found


def full(day: date, close: float = 101.0, symbols: tuple[str, ...] = ("TCS", "M&M")) -> bytes:
    rows = [
        f"{symbol}, {series}, {day:%d-%b-%Y}, 99.0, 100.0, 103.0, 98.0, {close}, {close}, 100.5, 1200, 1.2, 10, 6, 5.0"
        for symbol in symbols
        for series in ("EQ", "BL")
    ]
    return "\n".join([FULL, *rows, ""]).encode()


def udiff(day: date) -> bytes:
    row = f"{day},{day},CM,NSE,STK,1,INE0,TCS,EQ,,100.0,103.0,98.0,101.0,101.0,99.0,,101.0,1200,1.0,10,F1,1,"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bhav.csv", f"{UDIFF}\n{row}\n")
    return packed.getvalue()


def chart(closes: list[float | None], factor: float = 1.0, **meta: Any) -> bytes:
    """Days of Mumbai from Friday 2024-07-05 on; the weekend is left out."""
    stamps = [int(datetime(2024, 7, day, 3, 45, tzinfo=UTC).timestamp()) for day in (5, 8, 9, 10)][: len(closes)]
    prices = dict.fromkeys(("open", "high", "low", "close"), closes)
    known = {"dataGranularity": "1d", "exchangeTimezoneName": "Asia/Kolkata", "regularMarketPrice": factor}
    adjusted = [None if close is None else close * factor for close in closes]
    indicators = {
        "quote": [{**prices, "volume": [None if close is None else 10 for close in closes]}],
        "adjclose": [{"adjclose": adjusted}],
    }
    result = {"meta": known | meta, "timestamp": stamps, "indicators": indicators}
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


def fetch(
    vendor: Vendor,
    directory: Path,
    asked: Asked | None = None,
    *,
    start: date = FRIDAY,
    end: date = date(2024, 7, 9),
    incremental: bool = False,
    now: datetime = LATER,
) -> list[Entry]:
    line, listings = Line(vendor.url, 0), [Listing("M&M")]
    found = Fetch(asked or Nse(), line, listings, start, end, incremental, lambda: now)
    with Answers.open(directory) as answers:
        return list(found.run(answers, found.pages(answers)))


def closes(directory: Path, symbol: str) -> dict[str, float]:
    listing = Listing(symbol)
    bars = FileBars(directory / "bars", universe=Universe("u", (listing,))).bars(listing)
    return dict(zip(bars.time.astype("datetime64[D]").astype(str), bars.close.tolist(), strict=True))


def raw(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "raw").iterdir())


def test_files_of_days_are_kept_and_read_as_any_bars_and_days_without_one_are_nothing(vendor, tmp_path):
    vendor.has(FULL_FRIDAY, Reply(full(FRIDAY)))
    vendor.has(UDIFF_MONDAY, Reply(udiff(MONDAY)))
    found = fetch(vendor, tmp_path)
    assert [(entry.name, entry.status, entry.rows) for entry in found] == [
        ("2024-07-05", "got", 4), ("2024-07-06", "nothing", 0), ("2024-07-07", "nothing", 0), ("2024-07-08", "got", 1),
    ]  # fmt: skip
    assert closes(tmp_path, "TCS") == {"2024-07-05": 101.0, "2024-07-08": 101.0}
    assert vendor.asked[:3] == [FULL_FRIDAY, *(
        "products/content/sec_bhavdata_full_06072024.csv", OLD_FRIDAY.replace("05JUL", "06JUL")
    )]  # fmt: skip
    assert [name.partition(".")[2].partition(".")[2] for name in raw(tmp_path)] == ["csv.gz", "zip"]
    assert [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()] == [
        asdict(entry) for entry in found
    ]


def test_what_can_pass_is_asked_again(vendor, tmp_path):
    whole = full(FRIDAY)
    vendor.has(FULL_FRIDAY, Reply(b"slow down", 429), Reply(b"", 503), Reply(whole, sent=80), Reply(whole))
    (entry,) = fetch(vendor, tmp_path, end=date(2024, 7, 6))
    assert (entry.status, entry.rows, len(vendor.asked)) == ("got", 4, 4)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(b"no", 429), "the vendor answers with status 429"),
        (Reply(b"no", 403), "the vendor answers with status 403"),
        (Reply(full(FRIDAY), sent=80), "the answer broke off"),
        (Reply(full(FRIDAY)[:-9]), "it does not end with a line end, so it is cut or still being written"),
        (Reply(b"\n <!DOCTYPE html><p>Access denied</p>"), "the vendor answers with a page for people"),
        (Reply(b"  "), "the answer is empty"),
        (Reply(b"a,b\n1,2\n"), "the answer has no column date, open, high, low, close, volume"),
        (Reply(full(MONDAY)), "the answer is of 2024-07-08, and 2024-07-05 was asked for"),
        (Reply(b"PK\x03\x04nonsense"), "its archive cannot be unpacked: File is not a zip file"),
    ],
    ids=["429", "403", "half-a-body", "cut", "html", "empty", "columns", "another-day", "archive"],
)
def test_what_is_no_answer_is_a_failure_and_never_a_day_without_bars(vendor, tmp_path, reply, why):
    vendor.has(FULL_FRIDAY, reply)
    (entry,) = fetch(vendor, tmp_path, end=date(2024, 7, 6))
    assert (entry.status, entry.message, entry.rows) == ("failed", why, 0)
    assert not (tmp_path / "bars").exists()
    vendor.has(FULL_FRIDAY, Reply(full(FRIDAY)))
    (entry,) = fetch(vendor, tmp_path, end=date(2024, 7, 6), incremental=True)
    assert entry.status == "got"


def test_only_what_the_ledger_does_not_settle_is_asked_for(vendor, tmp_path):
    vendor.has(FULL_FRIDAY, Reply(full(FRIDAY)))
    evening = datetime(2024, 7, 8, 13, tzinfo=UTC)
    fetch(vendor, tmp_path, now=evening)
    vendor.has(FULL_MONDAY, Reply(full(MONDAY)))
    again = fetch(vendor, tmp_path, incremental=True, now=datetime(2024, 7, 9, tzinfo=UTC))
    # Of days without a file nobody knows for a week whether one comes.
    assert [(entry.name, entry.status) for entry in again] == [
        ("2024-07-06", "nothing"), ("2024-07-07", "nothing"), ("2024-07-08", "got"),
    ]  # fmt: skip
    vendor.asked.clear()
    assert [entry.name for entry in fetch(vendor, tmp_path, incremental=True)] == ["2024-07-06", "2024-07-07"]
    assert fetch(vendor, tmp_path, incremental=True) == []


def test_another_answer_lies_beside_the_first_and_is_the_one_that_counts(vendor, tmp_path):
    end = date(2024, 7, 6)
    for close, said in ((101.0, ""), (101.0, ""), (102.0, "4 lines differ from the answer before")):
        vendor.has(FULL_FRIDAY, Reply(full(FRIDAY, close)))
        (entry,) = fetch(vendor, tmp_path, end=end)
        assert entry.message == said
    assert len(raw(tmp_path)) == 2
    assert closes(tmp_path, "TCS") == {"2024-07-05": 102.0}


def test_a_killed_process_costs_the_page_that_it_was_about(vendor, tmp_path):
    for path, day in ((FULL_FRIDAY, FRIDAY), (FULL_MONDAY, MONDAY)):
        vendor.has(path, Reply(full(day)))
    fetch(vendor, tmp_path)
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    (entry,) = fetch(vendor, tmp_path, incremental=True)
    assert (entry.name, entry.status, entry.message) == ("2024-07-08", "got", "")
    assert [json.loads(line)["name"] for line in ledger.read_text().splitlines()][-2:] == ["2024-07-07", "2024-07-08"]


def test_a_damaged_ledger_is_named_and_nothing_is_asked(vendor, tmp_path):
    (tmp_path / "ledger.jsonl").write_text('{"name": "x"}\n')
    with pytest.raises(UsageError, match=r"ledger\.jsonl, line 1 is no entry of a ledger\. Remove the line"):
        fetch(vendor, tmp_path)
    assert vendor.asked == []


def test_two_at_once_do_not_meet(vendor, tmp_path):
    with Answers.open(tmp_path), pytest.raises(UsageError, match=r"Another `sensequant ingest` is at work in"):
        fetch(vendor, tmp_path)


def test_a_vendor_that_fails_again_and_again_is_left_alone(vendor, tmp_path):
    vendor.replies = {
        f"products/content/sec_bhavdata_full_{day:02}072024.csv": [Reply(b"no", 403)] for day in range(1, 30)
    }
    with pytest.raises(SenseQuantError, match=r"no usable answer 5 times in a row, .* status 403\. What came is kept"):
        fetch(vendor, tmp_path, start=date(2024, 7, 1), end=date(2024, 7, 20))
    assert len(vendor.asked) == 5


def test_a_vendor_whom_nobody_can_reach_is_one_sentence_without_its_address(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = Vendor(free.getsockname()[1])
        with pytest.raises(UsageError) as caught:
            fetch(nobody, tmp_path)
    assert str(caught.value) == (
        "127.0.0.1 cannot be reached: nobody answers there. Check the network, its proxy, or SENSEQUANT_VENDOR_URL."
    )


def test_a_token_in_the_address_stands_nowhere(vendor, tmp_path, capfd):
    vendor.has(FULL_FRIDAY, Reply(full(FRIDAY), sent=80))
    fetch(vendor, tmp_path)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"t0ken" not in written
    assert "t0ken" not in "".join(capfd.readouterr())


def test_questions_are_not_asked_faster_than_the_pause():
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    with serving() as vendor:
        line = Line(vendor.url, 2.0, lambda: now[0], sleep)
        for _ in range(3):
            line.ask("a")
    assert slept == [0.0, 2.0, 2.0]


def test_a_chart_becomes_bars_on_days_of_its_exchange(vendor, tmp_path):
    vendor.has(CHART, Reply(chart([100.0, None, 110.0], 0.5)))
    (entry,) = fetch(vendor, tmp_path, YAHOO, end=date(2024, 7, 11))
    assert (entry.name, entry.status, entry.rows) == ("M&M", "got", 3)
    assert closes(tmp_path, "M&M") == {"2024-07-05": 50.0, "2024-07-09": 55.0}


def test_bars_of_5_minutes_come_by_the_week_at_the_times_of_the_exchange_without_the_last_trade(vendor, tmp_path):
    stamps = [int(datetime(2024, 7, 5, 3, 45, tzinfo=UTC).timestamp()) + step for step in (0, 300, 600, 777)]
    quotes = {name: [100.0, None, 102.0, 103.0] for name in ("open", "high", "low", "close", "volume")}
    meta = {"dataGranularity": "5m", "exchangeTimezoneName": "Asia/Kolkata"}
    result = {"meta": meta, "timestamp": stamps, "indicators": {"quote": [quotes]}}
    vendor.has(CHART, Reply(json.dumps({"chart": {"result": [result], "error": None}}).encode()), Reply(b"x", 404))
    asked = Yahoo(LATER.date(), ".NS", "5minute")
    found = fetch(vendor, tmp_path, asked, start=date(2024, 7, 3))
    assert [(one.name, one.status, one.rows) for one in found] == [
        ("M&M_2024-07-01", "got", 3), ("M&M_2024-07-08", "nothing", 0),
    ]  # fmt: skip
    assert "interval=5m" in vendor.told[0][0]
    bars = FileBars(tmp_path / "bars", universe=Universe("u", (Listing("M&M"),))).bars(Listing("M&M"))
    assert bars.time.astype(str).tolist() == ["2024-07-05T09:15:00", "2024-07-05T09:25:00"]
    # The first Monday of the 60 days before 2024-08-01.
    assert next(asked.pages([Listing("M&M")], date(2022, 1, 1), FRIDAY)).start == date(2024, 6, 3)


def test_a_session_that_is_not_over_is_left_out(vendor, tmp_path):
    session = {"start": 1720583100, "end": 1720605600}  # 2024-07-10 in Mumbai
    answer = chart([100.0, 105.0, 110.0, 111.0], currentTradingPeriod={"regular": session})
    vendor.has(CHART, Reply(answer))
    noon = datetime(2024, 7, 10, 7, tzinfo=UTC)
    fetch(vendor, tmp_path, YAHOO, end=date(2024, 7, 11), now=noon)
    assert list(closes(tmp_path, "M&M")) == ["2024-07-05", "2024-07-08", "2024-07-09"]
    # The next day asks for all of it, and the session is over.
    fetch(vendor, tmp_path, YAHOO, start=date(2024, 7, 10), end=date(2024, 7, 11), incremental=True)
    assert list(closes(tmp_path, "M&M")) == ["2024-07-05", "2024-07-08", "2024-07-09", "2024-07-10"]


def test_after_a_split_the_whole_history_is_of_the_new_basis_and_that_is_said(vendor, tmp_path):
    vendor.has(CHART, Reply(chart([100.0, 105.0])))
    fetch(vendor, tmp_path, YAHOO, now=datetime(2024, 7, 9, tzinfo=UTC))
    vendor.has(CHART, Reply(chart([50.0, 52.5, 55.0])))
    (entry,) = fetch(vendor, tmp_path, YAHOO, start=date(2024, 7, 9), end=date(2024, 7, 10), incremental=True)
    assert (entry.start, entry.message) == ("2024-07-05", "2 lines differ from the answer before")
    assert closes(tmp_path, "M&M") == {"2024-07-05": 50.0, "2024-07-08": 52.5, "2024-07-09": 55.0}


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (Reply(b'{"chart": {"result": null, "error": {"code": "Not Found"}}}', 404), "nothing", ""),
        (Reply(chart([])), "nothing", ""),
        (
            Reply(b'{"chart": {"result": null, "error": {"description": "no\\u001b way"}}}'),
            "failed",
            "the vendor says: no\\x1b way",
        ),
        (Reply(b'{"chart": {}}'), "failed", "it is no chart as Yahoo writes it"),
        (Reply(b"[1"), "failed", "Expecting ',' delimiter: line 1 column 3 (char 2)"),
        (Reply(chart([1.0], dataGranularity="1mo")), "failed", "its bars are of 1mo, and days were asked for"),
        (Reply(chart([1.0], exchangeTimezoneName="../../etc")), "failed", None),
        (Reply(chart([1.0]).replace(b"[10]", b'["=1"]')), "failed", "a cell of 2024-07-05 is no number"),
        (Reply(chart([1.0]).replace(b"[10]", b"[10, 11]")), "failed", "its columns are not of one length"),
    ],
)
def test_a_chart_without_bars_is_nothing_and_any_other_text_a_failure(vendor, tmp_path, reply, status, message):
    vendor.has(CHART, reply)
    (entry,) = fetch(vendor, tmp_path, YAHOO)
    assert entry.status == status
    assert message is None or entry.message == message


def test_the_code_of_a_vendor_is_no_path_and_names_the_rows(vendor, tmp_path):
    listing = Listing("ODD", vendor_code="../../x?y")
    vendor.has("v8/finance/chart/..%2F..%2Fx%3Fy", Reply(chart([100.0])))
    found = Fetch(YAHOO, Line(vendor.url, 0), [listing], FRIDAY, MONDAY, False, lambda: LATER)
    with Answers.open(tmp_path / "kept") as answers:
        (entry,) = found.run(answers, found.pages(answers))
    assert entry.status == "got"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    bars = FileBars(tmp_path / "kept" / "bars", universe=Universe("u", (listing,))).bars(listing)
    assert bars.close.tolist() == [100.0]


def test_an_answer_that_never_comes_says_so(vendor):
    vendor.has("a", Reply(b"x" * 100, sent=3))
    with pytest.raises(NoAnswerError, match="broke off") as caught:
        Line(vendor.url, 0).ask("a")
    assert caught.value.reached
