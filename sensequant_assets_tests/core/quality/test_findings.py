"""Claims about the findings of real markets."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.quality.rules import Finding
from sensequant_assets.core.universe import Listing
from sensequant_assets.settings import PROJECT
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.sample import SampleBars
from sensequant_assets_tests.core.quality.market import found

NSE = PROJECT.parent / "shared" / "market"
needs_nse = pytest.mark.skipif(
    not NSE.is_dir(), reason=f"there is no {NSE}: NSE's bars carry no licence to come with the repository"
)


def of_file(file: Path) -> list[Finding]:
    source = FileBars(file, "Asia/Kolkata")
    symbols = sorted({str(name) for name in pq.read_table(file, columns=["symbol"])["symbol"].to_pylist()})
    return found([source.bars(Listing(symbol)) for symbol in symbols])


@needs_nse
def test_adjusted_daily_bars_have_the_steps_and_holes_that_are_known_and_no_other() -> None:
    told = [(one.symbol, one.rule, str(one.first), one.rows) for one in of_file(NSE / "nse_daily_adjusted.parquet")]
    # No weekend, holiday or Muhurat session is a hole, nor are ADANIENT's and RECLTD's days of news steps.
    assert told == [
        ("AWL", "hole", "2022-05-05", 71),
        ("NMDC", "corporate_action", "2022-10-27", 1),
        ("PEL", "corporate_action", "2022-08-30", 1),
        ("SIEMENS", "corporate_action", "2025-04-07", 1),
        ("UNITDSPR", "hole", "2019-11-08", 1),
    ]


@needs_nse
def test_unadjusted_daily_bars_have_their_splits() -> None:
    findings = of_file(NSE / "nse_daily_unadjusted.parquet")
    steps = {(one.symbol, str(one.first)) for one in findings if one.rule == "corporate_action"}
    assert {("NESTLEIND", "2024-01-05"), ("RELIANCE", "2024-10-28"), ("HDFCBANK", "2019-10-01")} <= steps
    assert not steps & {("ADANIENT", "2023-02-01"), ("RECLTD", "2024-06-04"), ("PAYTM", "2024-02-01")}
    assert len(steps) == 55
    assert [(str(one.first), str(one.last)) for one in findings if one.symbol == "*"] == [("2019-08-24", "2019-09-30")]


@needs_nse
@pytest.mark.parametrize("file", ["nse_5min_2024_03.parquet", "nse_5min_2026_05.parquet"])
def test_five_minute_bars_without_volume_at_the_open_have_no_finding(file: str) -> None:
    assert of_file(NSE / file) == []


def test_a_fall_on_bad_news_is_no_corporate_action() -> None:
    # AAPL opened on 2000-09-29 at half of its close, on thirty times its usual volume.
    source = SampleBars()
    symbols = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    bars: list[Bars] = [source.bars(Listing(symbol)) for symbol in symbols]
    assert [(one.symbol, one.rule, str(one.first)) for one in found(bars)] == []
