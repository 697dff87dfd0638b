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

_SELECTOR = """
    { workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
        ... on RepositoryLocation { name repositories { name } }
    } } } } }
"""
_START = """
    mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
        __typename ... on Sensor { sensorState { status } } ... on PythonError { message }
    } }
"""
_TICKS = """
    query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
        sensorState { status ticks(limit: 100) { tickId status skipReason runIds error { message } } }
    } } }
"""


@dataclass
class Watched:
    """The running sensor `new_bars` of a home."""

    home: Home
    running: Ui
    selector: dict[str, str]

    @classmethod
    def of(cls, home: Home, running: Ui) -> "Watched":
        (entry,) = running.ask(_SELECTOR)["workspaceOrError"]["locationEntries"]
        location = entry["locationOrLoadError"]
        (repository,) = location["repositories"]
        selector = {
            "repositoryLocationName": location["name"],
            "repositoryName": repository["name"],
            "sensorName": "new_bars",
        }
        return cls(home, running, selector)

    def switch_on(self) -> None:
        started = self.running.ask(_START, {"selector": self.selector})["startSensor"]
        assert started["sensorState"]["status"] == "RUNNING", started

    def ticks(self) -> list[dict[str, Any]]:
        """Ticks that are over, oldest first."""
        state = self.running.ask(_TICKS, {"selector": self.selector})["sensorOrError"]["sensorState"]
        assert state["status"] == "RUNNING"
        return [tick for tick in reversed(state["ticks"]) if tick["status"] != "STARTED"]

    def wait_for(self, count: int, since: int) -> list[dict[str, Any]]:
        """The next ticks after so many."""
        until(lambda: len(self.ticks()) >= since + count, f"{count} ticks")
        return self.ticks()[since : since + count]

    def trained_since(self, batches: set[str]) -> dict[str, set[tuple[str, str, str, str]]]:
        """Outcomes of ended batches but these: (model, symbol, window, outcome) by batch."""
        rows = self.home.rows(
            """
            SELECT batch_id, model, symbol, window_start::VARCHAR AS first_day, outcome
            FROM window_runs JOIN batches USING (batch_id) WHERE batches.status <> 'running'
            """
        )
        found: dict[str, set[tuple[str, str, str, str]]] = {}
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


def expected(*symbols: str) -> set[tuple[str, str, str, str]]:
    return {(model, symbol, OPEN, "trained") for model in ("teacher", "student") for symbol in symbols}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A trained lattice of four symbols on a bars directory."""
    home = Home(
        tmp_path,
        {
            "SENSEQUANT_UNIVERSE": str(write_universe(tmp_path / "four.csv", SYMBOLS)),
            "SENSEQUANT_BARS": str(write_history(tmp_path / "bars")),
            "SENSEQUANT_END": str(END),
            "SENSEQUANT_SENSOR_INTERVAL_S": "5",
            "TEACHER_N_ESTIMATORS": "10",
            "STUDENT_N_ESTIMATORS": "5",
        },
    )
    assert home.run("backfill", "--json").json["teacher"]["trained"] == 8
    return home


def test_new_days_retrain_their_windows_once_and_a_cut_file_is_named_while_the_others_go_on(home: Home) -> None:
    bars = home.directory / "bars"
    with ui(home) as running:
        watched = Watched.of(home, running)
        watched.switch_on()
        (first,) = watched.wait_for(1, 0)
        assert (first["status"], first["runIds"]) == ("SKIPPED", []), first

        known, since = watched.batches(), len(watched.ticks())
        dropped = drop(bars, "2009-11-23.csv", new_days(SYMBOLS[:3]))
        # One tick may have been under way when the file came.
        asked = [tick for tick in watched.wait_for(3, since) if tick["runIds"]]
        assert len(asked) == 1
        until(lambda: watched.trained_since(known), "the end of the batch")
        (outcomes,) = watched.trained_since(known).values()
        assert outcomes == expected(*SYMBOLS[:3])

        known, since = watched.batches(), len(watched.ticks())
        shutil.copy(dropped, bars / "again.tmp")
        (bars / "again.tmp").rename(bars / "again.csv")
        os.utime(dropped)
        assert not any(tick["runIds"] for tick in watched.wait_for(3, since))
        assert watched.batches() == known

        since = len(watched.ticks())
        whole = new_days(["AAPL"], 8).to_csv(index=False)
        (bars / "cut.tmp").write_text(whole[: len(whole) - 30])
        (bars / "cut.tmp").rename(bars / "cut.csv")
        drop(bars, "msft.csv", new_days(["MSFT"]))
        until(lambda: any(tick["status"] == "FAILURE" for tick in watched.ticks()[since:]), "the failed tick")
        (failed,) = [tick for tick in watched.ticks() if tick["status"] == "FAILURE"]
        assert f"{bars / 'cut.csv'} cannot be read" in failed["error"]["message"]
        (outcomes,) = watched.trained_since(known).values()
        assert outcomes == expected("MSFT")
        (later,) = watched.wait_for(1, len(watched.ticks()))
        assert later["status"] == "SKIPPED"
        assert f"Still not taken: {bars / 'cut.csv'}" in later["skipReason"]


def test_a_daemon_killed_in_the_middle_of_a_run_ends_in_the_same_state(home: Home) -> None:
    bars = home.directory / "bars"
    # A teacher takes seconds, so that the kill meets it.
    with ui(home, TEACHER_N_ESTIMATORS="5000") as running:
        watched = Watched.of(home, running)
        watched.switch_on()
        watched.wait_for(1, 0)
        known = watched.batches()
        drop(bars, "2009-11-23.csv", new_days(SYMBOLS[:3]))
        until(lambda: list((home.data / "telemetry" / "shards").glob("bars-*.jsonl")), "the first record of the run")
        for pid in descendants(running.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with ui(home) as running:
        watched = Watched.of(home, running)

        def done() -> bool:
            outcomes = set().union(*watched.trained_since(known).values())
            return expected(*SYMBOLS[:3]) <= outcomes

        until(done, "the windows of the killed run")
        since = len(watched.ticks())
        quiet = watched.wait_for(2, since)
        assert [tick["runIds"] for tick in quiet] == [[], []]
        rows = home.rows(
            """
            SELECT model, symbol, window_start::VARCHAR AS first_day, count(*) AS times FROM window_runs
            WHERE batch_id LIKE 'bars-%' AND outcome = 'trained' GROUP BY ALL
            """
        )
        # Nothing but these windows, and none of them twice.
        assert {(row["model"], row["symbol"], row["first_day"], "trained") for row in rows} == expected(*SYMBOLS[:3])
        assert {row["times"] for row in rows} == {1}
        runs = home.rows("SELECT status FROM runs WHERE batch_id LIKE 'bars-%' ORDER BY status")
        assert [row["status"] for row in runs] == ["interrupted", "succeeded"]
