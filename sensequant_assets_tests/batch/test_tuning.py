"""Claims about a search: it never reads locked rows, goes on after a kill, repeats nothing, and counts all it tried."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.batch.bench import Bench, Search
from sensequant_assets.batch.space import Candidate, read_space
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.making import market_with_an_edge
from sensequant_assets_tests.running import Home, finish, kill, leave, until

SPACE = ("--space", "num_leaves=3:9", "--space", "learning_rate=0.1:0.3:log")
QUICK = ("--param", "TEACHER_N_ESTIMATORS=10", "--param", "STUDENT_N_ESTIMATORS=10", "--workers", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A market of four symbols in four windows that last moves move on."""
    directory: Path = tmp_path_factory.mktemp("tune")
    return Home(directory, market_with_an_edge(directory / "market", symbols=4, windows=4))


def searching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: int = 1) -> Search:
    leave(monkeypatch, tmp_path)
    for name, value in market_with_an_edge(tmp_path / "market", symbols=4, windows=4).items():
        monkeypatch.setenv(name, value)
    base = Candidate(read_settings(), TeacherParameters(n_estimators=10), StudentParameters(n_estimators=10))
    return Search("mine", base, ({}, {}), read_space(["num_leaves=3:9"], "pool"), locked, 2)


def test_the_market_of_a_search_has_no_bar_of_the_locked_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = searching(tmp_path, monkeypatch)
    bench = Bench(search, TelemetryStore(tmp_path / "telemetry"), tmp_path / "tuning")
    seen, whole = bench.market(search.base), bench.market(search.base, whole=True)
    assert search.locked_from == whole.windows[-1].start
    lock = np.datetime64(search.locked_from)
    assert seen.window_keys == whole.window_keys[:-1]
    assert bench.windows == [*whole.window_keys[:-2]]
    for symbol in seen.universe.symbols:
        own, all_of_them = seen.samples(symbol), whole.samples(symbol)
        assert own.time.max() < lock < all_of_them.time.max()
        # A label that reads a locked bar is none.
        known = ~np.isnan(own.label)
        assert all_of_them.time[np.flatnonzero(known) + search.settings.horizon].max() < lock
        assert np.array_equal(own.features, all_of_them.features[: len(own.time)], equal_nan=True)


def test_a_search_without_windows_enough_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = searching(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="Of 4 windows 2 are locked away, and 2 are left; a search needs 3"):
        assert replace(search, locked=2).locked_from > date(2020, 1, 1)


def test_a_killed_search_goes_on_without_a_repeat_and_its_best_becomes_a_preset_that_locked_rows_judge(
    home: Home,
) -> None:
    asked = ("tune", "--trials", "3", "--locked", "1", "--name", "mine", *SPACE, *QUICK)
    running = home.start(*asked)
    whole = "SELECT DISTINCT metrics->>'trial' AS trial FROM trials WHERE metrics->>'search' = 'mine'"
    until(lambda: len(home.rows(whole)) >= 2, "two trials")
    kill(running)
    finish(running)
    before = {row["trial"] for row in home.rows(whole)}
    answer = finish(home.start(*asked, "--json"))
    assert answer.code == 0, answer.err
    told = answer.json
    assert told["whole"] + told["pruned"] == 3
    done = [line.split(": trial ")[1].split()[0] for line in answer.err.splitlines() if ": trial " in line]
    # What had come to its end was not tried again, and the rest was.
    assert len(done) <= 2
    assert not set(done) & (before - {max(before)})
    tried = home.rows(
        "SELECT count(DISTINCT parameters_fingerprint) AS points, min(metrics->>'locked_from') AS locked_from "
        "FROM trials WHERE score = 'student' AND metrics->>'search' = 'mine'"
    )[0]
    assert tried == {"points": 3, "locked_from": told["locked_from"]}
    assert told["chosen"]["head"]["last"] < told["locked_from"] <= told["locked"]["head"]["first"]
    assert told["chosen"]["trials"] == 2 * 3, "teachers and students of all points"
    student = next(one for one in told["locked"]["scores"] if one["score"] == "student")
    assert student["deflated_sharpe"] is not None
    assert not (home.data / "tuning" / "mine" / "scratch").exists()

    other = home.run(*asked, "--space", "STUDENT_NUM_LEAVES=3:9")
    assert other.code == 2
    assert "was begun with other space" in other.err

    trained = home.run("backfill", "--json", "--preset", "mine")
    assert trained.code == 0, trained.err
    refused = home.run("promote", "--dry-run", "--json")
    assert f"Rows before {told['locked_from']} do not count" in refused.err
    dates = json.loads(refused.out)["conditions"][0]
    assert dates["dates"] == told["locked"]["head"]["dates"]
