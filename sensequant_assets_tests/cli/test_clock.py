"""Claims about commands on a machine whose clock is put an hour back between two batches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.batches import latest_batch_of
from sensequant_assets_tests.running import FEW, Finished, Home, clean_environment, corrupt, finish, sample_bars

_AN_HOUR_BACK = """
from datetime import datetime, timedelta
from sensequant_assets.telemetry import journal

class Back(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(hours=1)

journal.datetime = Back
from sensequant_assets.cli.main import run
run()
"""
LATTICE = ("--symbols", "AAPL,MSFT", "--windows", "2009-01-01")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("clock"))


def backfill_an_hour_ago(home: Home, *arguments: str) -> Finished:
    return finish(
        subprocess.Popen(
            [sys.executable, "-c", _AN_HOUR_BACK, "backfill", "--json", *FEW, *arguments],
            cwd=home.directory,
            env=clean_environment(SENSEQUANT_DATA_DIR=str(home.data)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )


@pytest.fixture(scope="module")
def mended(home: Home) -> str:
    """The second batch, which mends what failed in the first, and says that it ran an hour before."""
    bars = sample_bars(home.directory / "bad", ["AAPL", "MSFT"])
    corrupt(bars / "MSFT.csv")
    failed = home.backfill(*LATTICE, "--bars", str(bars))
    assert failed.code == 1, failed.err
    found = backfill_an_hour_ago(home, *LATTICE)
    assert found.code == 0, found.err
    started = home.rows("SELECT batch_id FROM batches ORDER BY started_at")
    assert [row["batch_id"] for row in started] == [found.json["batch_id"], failed.json["batch_id"]]
    batch: str = found.json["batch_id"]
    return batch


def test_progress_and_report_are_of_the_newer_batch(home: Home, mended: str, tmp_path: Path) -> None:
    assert json.loads(home.anew.run("progress", "--json").out)["batch_id"] == mended
    page = tmp_path / "page.html"
    assert home.anew.run("report", "--out", str(page)).code == 0
    assert mended in page.read_text()


def test_what_the_newer_batch_has_mended_is_no_failure_any_more(home: Home, mended: str) -> None:
    found = home.backfill(*LATTICE, "--select", "failed")
    assert found.json["batch_id"] is None, found.err
    assert "No window failed in each" in home.anew.run("failures", "--batches", "1").out


def test_a_check_executed_alone_judges_the_newer_batch(home: Home, mended: str) -> None:
    (universe,) = {row["universe"] for row in home.rows("SELECT universe FROM batches")}
    assert latest_batch_of(home.telemetry, universe, "teacher") == mended
