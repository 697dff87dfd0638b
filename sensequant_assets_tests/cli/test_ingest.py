"""Claims about `sensequant ingest`."""

import json
from datetime import date
from pathlib import Path

from sensequant_assets_tests.running import Home
from sensequant_assets_tests.sources.vendors.serving import Reply, serving
from sensequant_assets_tests.sources.vendors.test_fetching import FULL_FRIDAY, FULL_MONDAY, full

SPAN = ("--source", "nse", "--start", "2024-07-05", "--end", "2024-07-09")


def test_what_is_fetched_is_planned_and_what_failed_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("symbol\nTCS\nM&M\n")
    with serving() as vendor:
        home = Home(
            tmp_path,
            {
                "SENSEQUANT_UNIVERSE": str(tmp_path / "two.csv"),
                "SENSEQUANT_VENDOR_URL": vendor.url,
                "SENSEQUANT_VENDOR_PAUSE_S": "0",
            },
        )
        vendor.has(FULL_FRIDAY, Reply(full(date(2024, 7, 5))))
        vendor.has(FULL_MONDAY, Reply(b"<html>", 200))
        first = home.anew.run("ingest", *SPAN, "--json")
        assert first.code == 3, first.err
        assert [json.loads(line)["status"] for line in first.out.splitlines()] == [
            "got",
            "nothing",
            "nothing",
            "failed",
        ]
        assert "warning 2024-07-08: the vendor answers with a page for people\n" in first.err
        assert "--incremental asks for them again.\n" in first.err
        vendor.has(FULL_MONDAY, Reply(full(date(2024, 7, 8))))
        again = home.run("ingest", *SPAN, "--incremental")
        assert again.code == 0, again.err
        assert again.out.startswith("1 answers with 4 bars, 0 without any, 0 failed.\n")
    assert "t0ken" not in first.out + first.err + again.out + again.err
    bars = home.data / "vendors" / "nse" / "bars"
    assert f"bars  {bars} " in again.out
    planned = home.run("plan", "--bars", str(bars), "--start", "2024-07-01", "--end", "2024-08-01", "--json")
    assert planned.code == 0, planned.err
    assert {json.loads(line)["symbol"] for line in planned.out.splitlines()} == {"TCS", "M&M"}


def test_days_that_cannot_be_asked_for_are_bad_usage(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for options, why in (
        (("--start", "2024-07-05", "--end", "2024-07-05"), "There are no days from 2024-07-05 to before 2024-07-05"),
        (("--start", "yesterday"), "yesterday is neither a date like 2022-01-01 nor today."),
        (("--start", "2024-07-05", "--suffix", ".NS"), "--suffix says nothing to nse"),
        (("--start", "2024-07-05", "--interval", "5minute"), "nse has files of days alone. Ask yfinance or breeze"),
    ):
        finished = home.run("ingest", "--source", "nse", *options)
        assert (finished.code, why in finished.err) == (2, True), finished.err


def test_breeze_needs_an_account_and_codes_and_says_so_in_a_sentence_each(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("symbol,vendor_code\nTCS,\nRELIANCE,\n")
    asked = ("--source", "breeze", "--start", "2025-01-01", "--end", "2025-02-01")
    home = Home(tmp_path, {"SENSEQUANT_UNIVERSE": str(tmp_path / "two.csv")})
    refused = home.run("ingest", *asked)
    assert (refused.code, "set SENSEQUANT_BREEZE_KEY, and SENSEQUANT_BREEZE_SESSION to" in refused.err) == (2, True)
    with serving() as vendor:
        account = {
            "SENSEQUANT_VENDOR_URL": vendor.url, "SENSEQUANT_VENDOR_PAUSE_S": "0",
            "SENSEQUANT_BREEZE_KEY": "k3y", "SENSEQUANT_BREEZE_SESSION": "s3ssion",
        }  # fmt: skip
        refused = home.run("ingest", *asked, **account)
        assert (refused.code, "No symbol of universe two has a vendor_code" in refused.err) == (2, True)
        (tmp_path / "two.csv").write_text("symbol,vendor_code\nTCS,\nRELIANCE,RELIND\n")
        vendor.has("customerdetails", Reply(b'{"Success": {"session_token": "dXNlcjpz"}, "Status": 200}'))
        row = (
            b'{"datetime": "2025-01-02 09:15:00", "stock_code": "RELIND", "open": 1.0, "high": 1.0, "low": 1.0, '
            b'"close": 1.0, "volume": 9}'
        )
        vendor.has(
            "historicalcharts",
            Reply(b'{"Success": [], "Status": 200, "Error": null}'),
            Reply(b'{"Success": [%s], "Status": 200, "Error": null}' % row),
        )
        finished = home.run("ingest", *asked, **account)
        assert finished.code == 0, finished.err
        assert "note 1 symbol of 2 without vendor_code, which Breeze is not asked for: TCS.\n" in finished.err
        assert vendor.asked == ["customerdetails", "historicalcharts"]
        apart = home.run("ingest", *asked[:-1], "2025-01-03", "--interval", "5minute", **account)
        assert apart.code == 0, apart.err
        bars = home.data / "vendors" / "breeze-5minute" / "bars"
        assert [path.name for path in bars.iterdir()] == ["RELIANCE_2025-01-01.csv.gz"]
        assert not (home.data / "vendors" / "breeze" / "bars").exists()


def test_its_help_has_an_example(tmp_path: Path) -> None:
    assert "sensequant ingest --source nse --universe nifty100.csv" in Home(tmp_path).run("ingest", "--help").out
