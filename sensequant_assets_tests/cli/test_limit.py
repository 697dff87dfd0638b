"""Claims about `--stop-early` and `sensequant limit`, made of real processes."""

import json
from pathlib import Path

import pytest

from sensequant_assets_tests.running import Home, corrupt, finish, sample_bars, until, write_universe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three windows of AAPL, whose bars are refused, and IBM."""
    directory: Path = tmp_path_factory.mktemp("limit")
    bars = sample_bars(directory / "bars", ["AAPL", "IBM"])
    corrupt(bars / "AAPL.csv")
    variables = {"SENSEQUANT_UNIVERSE": str(write_universe(directory / "two.csv", ["AAPL", "IBM"]))}
    return Home(directory, variables | {"SENSEQUANT_BARS": str(bars), "SENSEQUANT_END": "2010-06-25"})


def test_a_batch_that_cannot_pass_stops_and_another_limit_judges_it_anew(home: Home) -> None:
    stopped = home.backfill("--stop-early", "--workers", "1")
    assert stopped.code == 1, stopped.err
    told = stopped.json["teacher"]
    # 1 of 6 fails for certain after the first window, which is more than 15 %.
    assert (told["failed"], told["trained"], told["not_attempted"]) == (1, 0, 5)
    assert told["stopped"].startswith(
        "Stopped early: 1 of 1 teacher failed, and even if the other 5 succeed, 16.7% of 6 "
    )
    assert told["stopped"].endswith("Used up by corrupt_bars 1.")
    assert told["stopped"] in " ".join(stopped.err.split())
    batch = stopped.json["batch_id"]

    look = json.loads(home.run("progress", "--json").out)
    assert (look["models"]["teacher"]["stopped"], look["models"]["teacher"]["limit_by"]) == (told["stopped"], "")
    changed = home.run("limit", batch, "1", "--json")
    assert changed.code == 0, changed.err
    assert changed.json["max_failure_rate_before"] == 0.15
    # What nobody tried keeps it red, under any limit.
    assert (changed.json["max_failure_rate"], changed.json["passed"]) == (1.0, {"teacher": False, "student": False})
    assert changed.json["limit_by"].startswith("set by ")
    assert home.rows(
        "SELECT model, max_failure_rate, not_attempted FROM verdicts WHERE run_id = '' ORDER BY model DESC"
    ) == [
        {"model": "teacher", "max_failure_rate": 1.0, "not_attempted": 5},
        {"model": "student", "max_failure_rate": 1.0, "not_attempted": 6},
    ]


def test_a_batch_that_runs_in_another_process_obeys_a_changed_limit_and_says_whose_it_is(home: Home) -> None:
    slow = ("--param", "TEACHER_N_ESTIMATORS=3000", "--max-failure-rate", "1", "--end", "2012-12-11")
    running = home.start("backfill", "--json", "--stop-early", "--workers", "1", *slow)
    failed = (
        "SELECT batch_id FROM window_runs JOIN runs USING (batch_id) WHERE status = 'running' AND outcome = 'failed'"
    )
    batch = until(lambda: home.rows(failed), "a failed window")[0]["batch_id"]
    changed = home.run("limit", batch, "0.05")
    assert changed.code == 0, changed.err
    assert "It is running" in changed.out
    finished = finish(running)
    told = finished.json["teacher"]
    assert (finished.code, told["failed"]) == (1, 8)
    assert told["not_attempted"] > 0, "it went on"
    assert "where 5.0% may. Used up by corrupt_bars 8." in told["stopped"]
    assert "The limit of the teachers was set by " in finished.err
    assert home.rows("SELECT max_failure_rate FROM verdicts WHERE batch_id = ? AND model = 'teacher'", batch) == [
        {"max_failure_rate": 0.05}
    ]


def test_a_limit_is_refused_of_a_batch_that_is_not_there_and_beyond_its_bounds(home: Home) -> None:
    unknown = home.run("limit", "nobody", "0.2")
    assert unknown.code == 2
    assert "has no batch nobody" in unknown.err
    assert home.run("limit", "nobody", "1.2").code == 2
    assert "sensequant limit 20260131-184502-3f9a 0.2" in home.run("limit", "--help").out
