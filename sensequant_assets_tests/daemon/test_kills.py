"""Claims about a backfill from the UI whose runs are killed one by one, through the daemon and its sensors."""

import json
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.watch.progress import Progress, read_progress
from sensequant_assets_tests.daemon.test_batch import office
from sensequant_assets_tests.running import Home, sample_bars, until, write_universe

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
WINDOWS = ("2009-01-01", "2009-06-30")
AGAIN = WINDOWS[1]
KILLS = dict.fromkeys(WINDOWS, 1) | {AGAIN: 2}
"""How many attempts at a window are killed, each once it has told its plan. There are two at most."""


@dataclass
class Killed:
    """A backfill whose runs were killed, once it was judged."""

    batch: str
    home: Home
    first: Progress
    """After the first record of its first run."""
    checks: dict[str, dict[str, Any]]
    """The last execution of each asset's check."""
    attempts: dict[str, list[str]] = field(default_factory=dict)
    """Runs that began, by window."""
    killed: list[str] = field(default_factory=list)

    def outcomes(self, model: str) -> dict[str, set[str]]:
        """Of the windows of all symbols."""
        rows = self.home.rows(
            "SELECT window_start::VARCHAR AS first_day, outcome FROM window_status WHERE batch_id = ? AND model = ?",
            self.batch,
            model,
        )
        assert len(rows) == len(SYMBOLS) * len(WINDOWS)
        return {day: {row["outcome"] for row in rows if row["first_day"] == day} for day in WINDOWS}


def kill_runs(found: Killed) -> None:
    """Kill what is to be killed of the runs whose shards are there."""
    for shard in (found.home.data / "telemetry" / "shards").glob("*.jsonl"):
        _, run, writer, _ = shard.name.split(".")
        lines = [json.loads(line) for line in shard.read_text().splitlines() if line.endswith("}")]
        windows = {day for line in lines if line["record"] == "plan" and line["run_id"] for _, day in line["windows"]}
        if not windows or lines[-1]["record"] in ("end", "closed"):
            continue
        (window,) = windows
        attempts = found.attempts.setdefault(window, [])
        if run not in attempts:
            attempts.append(run)
            if len(attempts) <= KILLS[window]:
                os.kill(int(writer.split("-")[0]), signal.SIGKILL)
                found.killed.append(run)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    directory = tmp_path_factory.mktemp("kills")
    home = Home(
        directory,
        {
            "SENSEQUANT_UNIVERSE": str(write_universe(directory / "four.csv", SYMBOLS)),
            "SENSEQUANT_BARS": str(sample_bars(directory / "bars", SYMBOLS)),
            "SENSEQUANT_END": "2009-12-27",
            "SENSEQUANT_SENSOR_INTERVAL_S": "5",
            "SENSEQUANT_RETRY_BACKOFF_S": "0.1",
            "PARALLEL_RETRY_LIMIT": "2",
            # A run takes seconds, so that a kill meets it.
            "TEACHER_N_ESTIMATORS": "2000",
            "STUDENT_N_ESTIMATORS": "5",
        },
    )
    with office(home) as opened:
        batch = opened.launch()
        until(lambda: list((home.data / "telemetry" / "shards").glob(f"{batch}.*-*.*.jsonl")), "the first run")
        found = Killed(batch, home, read_progress(home.telemetry, batch, utc_now()), {})

        def judged() -> bool:
            for _ in range(20):
                kill_runs(found)
                time.sleep(0.1)
            return bool(home.rows("SELECT * FROM verdicts WHERE batch_id = ? AND run_id = ''", batch))

        until(judged, "the verdict on the whole batch")
        found.checks |= {asset: opened.checks(asset)[0] for asset in ("teacher_models", "student_models")}
    return found


def test_the_first_run_shows_how_much_there_is_to_do_in_all(killed: Killed) -> None:
    assert killed.first.planned == 2 * len(SYMBOLS) * len(WINDOWS)


def test_every_killed_run_is_repeated_up_to_the_limit(killed: Killed) -> None:
    assert len(killed.killed) == sum(KILLS.values())
    assert {window: len(runs) for window, runs in killed.attempts.items()} == dict.fromkeys(WINDOWS, 2)
    for model in ("teacher", "student"):
        became = killed.outcomes(model)
        assert became.pop(AGAIN) >= {"not_attempted"}
        assert set().union(*became.values()) <= {"trained", "reused"}


def test_the_batch_is_judged_once_nobody_tries_again_and_fails_with_what_is_left(killed: Killed) -> None:
    for model in ("teacher", "student"):
        check = killed.checks[f"{model}_models"]
        evaluation, metadata = check["evaluation"], check["metadata"]
        assert (evaluation["success"], evaluation["severity"]) == (False, "ERROR")
        left = metadata["not_attempted"]
        assert evaluation["description"].endswith(
            f"{left} planned windows were not attempted. Why: killed run ({left})."
        )
        named = [json.loads(record) for record in metadata["not_attempted_windows"]["records"]]
        assert len(named) == left > 0
        assert {row["window"] for row in named} == {AGAIN}
    verdicts = killed.home.rows(
        "SELECT model, passed FROM verdicts WHERE batch_id = ? AND run_id = '' ORDER BY model", killed.batch
    )
    assert verdicts == [{"model": "student", "passed": False}, {"model": "teacher", "passed": False}]
