"""Claims about many commands at once in one data directory, made of real processes: each tells the truth of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets_tests.running import (
    Finished,
    Home,
    clean_environment,
    corrupt,
    finish,
    sample_bars,
    write_universe,
)

WRITERS, READERS = 4, 4
HOLDS_S = 1.0
"""How long a slow reader keeps the database; four of them, one after another, leave no moment between them."""

SLOW_READER = f"""
import sys, time
from pathlib import Path
from sensequant_assets.telemetry.store import TelemetryStore

store = TelemetryStore(Path(sys.argv[1]), tell_older=lambda said: None)
time.sleep(float(sys.argv[2]))
print("reads", flush=True)
while True:
    with store.connect():
        time.sleep({HOLDS_S})
"""


@contextmanager
def slow_readers(home: Home) -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that keep the database open, each again and again."""
    with ExitStack() as stack:
        readers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SLOW_READER, str(home.telemetry.directory), str(HOLDS_S * number / READERS)],
                    env=clean_environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(READERS)
        ]
        for reader in readers:
            stack.callback(reader.kill)
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reads\n"
        yield readers


def lattice(directory: Path) -> Home:
    """Four symbols in three windows, of which one symbol's bars are corrupt."""
    bars = sample_bars(directory / "bars")
    corrupt(bars / "IBM.csv")
    market = {"SENSEQUANT_UNIVERSE": str(write_universe(directory / "four.csv")), "SENSEQUANT_BARS": str(bars)}
    return Home(directory, {**market, "SENSEQUANT_END": "2010-06-25", "SENSEQUANT_WORKERS": "1"})


@dataclass
class Crowd:
    """What became of writers beside slow readers."""

    home: Home
    ended: list[Finished]
    asked: list[Finished]
    read_to_the_end: bool


def crowd(home: Home) -> Crowd:
    """Start all writers at once, every other one with a limit that it exceeds, and ask until all have ended."""
    home.telemetry.ingest()
    with slow_readers(home) as readers:
        limits = ["0.2", "0.3"] * (WRITERS // 2)
        running = [home.start("backfill", "--json", "--force", *QUICK, "--max-failure-rate", limit) for limit in limits]
        asked: list[Finished] = []
        while any(process.poll() is None for process in running):
            asked.append(home.run("query", "SELECT sum(a.range * b.range) FROM range(9000) a, range(9000) b"))
        ended = [finish(process) for process in running]
        return Crowd(home, ended, asked, all(one.poll() is None for one in readers))


QUICK = ("--param", "TEACHER_N_ESTIMATORS=10", "--param", "STUDENT_N_ESTIMATORS=2", "--param", "TEACHER_FOLDS=2")
ALL = {"eligible": 12, "reused": 0, "skipped": 0}
TEACHERS = ALL | {"trained": 9, "failed": 3, "not_attempted": 0, "failure_rate": 0.25}
NO_STUDENT = ALL | {"trained": 0, "failed": 0, "not_attempted": 12, "failure_rate": None}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    return crowd(lattice(tmp_path_factory.mktemp("crowd")))


def told(finished: Finished) -> dict[str, Any]:
    return {model: finished.json[model] for model in ("teacher", "student")}


def test_every_writer_beside_slow_readers_ends_with_the_code_and_the_counts_of_its_own_batch(seen: Crowd) -> None:
    assert seen.read_to_the_end
    for number, one in enumerate(seen.ended):
        exceeds = number % 2 == 0
        assert one.code == (1 if exceeds else 0), one.err
        assert told(one) == {"teacher": TEACHERS, "student": NO_STUDENT if exceeds else TEACHERS}
        # Readers that come one after another leave it a moment to take its rows in.
        assert "Telemetry lacks this batch" not in one.err
    for one in seen.asked:
        assert one.code == 0, one.err


def test_telemetry_has_every_window_of_every_writer_once(seen: Crowd) -> None:
    batches = [one.json["batch_id"] for one in seen.ended]
    for number, batch in enumerate(batches):
        rows = seen.home.rows(
            "SELECT model, outcome, count(*)::INTEGER AS windows FROM window_runs WHERE batch_id = ? GROUP BY ALL",
            batch,
        )
        counted = {(row["model"], row["outcome"]): row["windows"] for row in rows}
        teachers = {("teacher", "trained"): 9, ("teacher", "failed"): 3}
        students = {("student", "trained"): 9, ("student", "failed"): 3}
        assert counted == (teachers if number % 2 == 0 else teachers | students)


def test_students_trained_alone_beside_slow_readers_miss_no_teacher_that_is_there(tmp_path: Path) -> None:
    home = lattice(tmp_path)
    assert home.run("backfill", *QUICK, "--teachers-only", "--max-failure-rate", "0.3").code == 0
    with slow_readers(home):
        students = home.run("backfill", "--json", *QUICK, "--students-only", "--max-failure-rate", "0.3")
    assert students.code == 0, students.err
    assert students.json["student"] == TEACHERS
    missed = home.rows("SELECT DISTINCT symbol FROM window_runs WHERE failure_kind = 'missing_teacher'")
    assert missed == [{"symbol": "IBM"}]
