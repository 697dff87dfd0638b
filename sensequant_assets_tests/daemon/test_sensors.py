"""Claims about the sensor on new bars as an operator meets it: `sensequant dev` with its daemon, files, and kills."""

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sensequant_assets_tests.operating import END, SYMBOLS, WINDOWS, new_days, write_history
from sensequant_assets_tests.running import Home, Ui, descendants, ui, until, write_universe

OPEN = WINDOWS[1]
Outcome = tuple[str, str, str, str]
"""Model, symbol, window, outcome."""


@dataclass
class Watched:
    """The running sensor `new_bars` of a home."""

    home: Home
    running: Ui

    def ticks(self) -> list[dict[str, Any]]:
        return self.running.ticks("new_bars")

    def wait_for(self, count: int, since: int) -> list[dict[str, Any]]:
        """The next ticks after so many."""
        until(lambda: len(self.ticks()) >= since + count, f"{count} ticks")
        return self.ticks()[since : since + count]

    def trained_since(self, batches: set[str]) -> dict[str, set[Outcome]]:
        """Outcomes of ended batches but these, by batch."""
        rows = self.home.rows(
            """
            SELECT batch_id, model, symbol, window_start::VARCHAR AS first_day, outcome
            FROM window_runs JOIN batches USING (batch_id) WHERE batches.status <> 'running'
            """
        )
        found: dict[str, set[Outcome]] = {}
        for row in rows:
            if row["batch_id"] not in batches:
                found.setdefault(row["batch_id"], set()).add(
                    (row["model"], row["symbol"], row["first_day"], row["outcome"])
                )
        return found

    def batches(self) -> set[str]:
        return {row["batch_id"] for row in self.home.rows("SELECT batch_id FROM batches")}


def drop(bars: Path, name: str, table: pd.DataFrame) -> Path:
    """Put a file into the directory at once, as a copying tool does."""
    table.to_csv(bars / f"{name}.tmp", index=False)
    return (bars / f"{name}.tmp").rename(bars / name)


def expected(*symbols: str) -> set[Outcome]:
    return {(model, symbol, OPEN, "trained") for model in ("teacher", "student") for symbol in symbols}


def trained_home(directory: Path) -> Home:
    """A trained lattice of four symbols on a bars directory."""
    home = Home(
        directory,
        {
            "SENSEQUANT_UNIVERSE": str(write_universe(directory / "four.csv", SYMBOLS)),
            "SENSEQUANT_BARS": str(write_history(directory / "bars")),
            "SENSEQUANT_END": str(END),
            "SENSEQUANT_SENSOR_INTERVAL_S": "5",
            "TEACHER_N_ESTIMATORS": "10",
            "STUDENT_N_ESTIMATORS": "5",
        },
    )
    assert home.run("backfill", "--json").json["teacher"]["trained"] == 8
    return home


@dataclass
class Seen:
    """What the sensor did while files came, in their order."""

    first: dict[str, Any]
    """Tick on the lattice as it was trained."""
    taken: dict[str, set[Outcome]]
    """Outcomes by batch after days of three symbols came in one file."""
    since: list[dict[str, Any]]
    """All ticks since then and two after the file came again, under another name and with another time."""
    again: set[str]
    """Batches that came with those two."""
    beside: dict[str, set[Outcome]]
    """Outcomes by batch after a file of another symbol and one that is cut off, at the first tick that failed."""
    failed: list[dict[str, Any]]
    """Failed ticks."""
    later: dict[str, Any]
    """The tick after them."""
    cut: Path
    """The file that is cut off."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    home = trained_home(tmp_path_factory.mktemp("files"))
    bars = home.directory / "bars"
    with ui(home) as running:
        watched = Watched(home, running)
        running.start_sensor("new_bars")
        (first,) = watched.wait_for(1, 0)

        known, since = watched.batches(), len(watched.ticks())
        dropped = drop(bars, "2009-11-23.csv", new_days(SYMBOLS[:3]))
        until(lambda: watched.trained_since(known), "the end of the batch")
        taken = watched.trained_since(known)

        known, ended = watched.batches(), len(watched.ticks())
        shutil.copy(dropped, bars / "again.tmp")
        (bars / "again.tmp").rename(bars / "again.csv")
        os.utime(dropped)
        # One tick may have been under way when the file came.
        watched.wait_for(2, ended)
        quiet, again = watched.ticks()[since:], watched.batches() - known

        # The other file first: a tick between the two takes it, and names the cut one when that is trained.
        drop(bars, "msft.csv", new_days(["MSFT"]))
        whole = new_days(["AAPL"], 8).to_csv(index=False)
        (bars / "cut.tmp").write_text(whole[: len(whole) - 30])
        cut = (bars / "cut.tmp").rename(bars / "cut.csv")
        until(lambda: any(tick["status"] == "FAILURE" for tick in watched.ticks()), "the failed tick")
        beside = watched.trained_since(known)
        (later,) = watched.wait_for(1, len(watched.ticks()))
        failed = [tick for tick in watched.ticks() if tick["status"] == "FAILURE"]
    return Seen(first, taken, quiet, again, beside, failed, later, cut)


def test_on_a_trained_lattice_nothing_is_asked_for(seen: Seen) -> None:
    assert (seen.first["status"], seen.first["runIds"]) == ("SKIPPED", [])


def test_new_days_retrain_exactly_their_windows(seen: Seen) -> None:
    (outcomes,) = seen.taken.values()
    assert outcomes == expected(*SYMBOLS[:3])


def test_new_days_are_asked_for_once_and_not_again_under_another_name_and_time(seen: Seen) -> None:
    (asked,) = [tick for tick in seen.since if tick["runIds"]]
    assert len(asked["runIds"]) == 1
    assert not seen.again


def test_a_cut_file_is_named_by_one_failed_tick_and_then_as_not_taken(seen: Seen) -> None:
    (failed,) = seen.failed
    assert f"{seen.cut} cannot be read" in failed["error"]["message"]
    assert seen.later["status"] == "SKIPPED"
    assert f"Still not taken: {seen.cut}" in seen.later["skipReason"]


def test_beside_a_cut_file_the_others_are_taken(seen: Seen) -> None:
    (outcomes,) = seen.beside.values()
    assert outcomes == expected("MSFT")


@dataclass
class Repeated:
    """What became of a run that was killed with the daemon and every other process."""

    outcomes: list[dict[str, Any]]
    """Windows that the sensor's runs trained, and how many times."""
    statuses: list[str]
    """Of the sensor's runs."""
    quiet: list[dict[str, Any]]
    """The next ticks."""


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Repeated:
    home = trained_home(tmp_path_factory.mktemp("killed"))
    # A teacher takes seconds, so that the kill meets it.
    with ui(home, TEACHER_N_ESTIMATORS="5000") as running:
        watched = Watched(home, running)
        running.start_sensor("new_bars")
        watched.wait_for(1, 0)
        known = watched.batches()
        drop(home.directory / "bars", "2009-11-23.csv", new_days(SYMBOLS[:3]))
        until(lambda: list((home.data / "telemetry" / "shards").glob("bars-*.jsonl")), "the first record of the run")
        for pid in descendants(running.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with ui(home) as running:
        watched = Watched(home, running)

        def done() -> bool:
            return expected(*SYMBOLS[:3]) <= set().union(*watched.trained_since(known).values())

        until(done, "the windows of the killed run")
        quiet = watched.wait_for(2, len(watched.ticks()))
    outcomes = home.rows(
        """
        SELECT model, symbol, window_start::VARCHAR AS first_day, count(*) AS times FROM window_runs
        WHERE batch_id LIKE 'bars-%' AND outcome = 'trained' GROUP BY ALL
        """
    )
    runs = home.rows("SELECT status FROM runs WHERE batch_id LIKE 'bars-%' ORDER BY status")
    return Repeated(outcomes, [run["status"] for run in runs], quiet)


def test_a_daemon_killed_in_the_middle_of_a_run_ends_in_the_same_state(repeated: Repeated) -> None:
    trained = {(row["model"], row["symbol"], row["first_day"], "trained") for row in repeated.outcomes}
    assert trained == expected(*SYMBOLS[:3])


def test_after_a_kill_no_window_is_trained_twice(repeated: Repeated) -> None:
    assert {row["times"] for row in repeated.outcomes} == {1}
    assert repeated.statuses == ["interrupted", "succeeded"]


def test_after_a_kill_and_its_repeat_nothing_more_is_asked_for(repeated: Repeated) -> None:
    assert [tick["runIds"] for tick in repeated.quiet] == [[], []]
