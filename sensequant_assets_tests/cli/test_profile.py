"""Claims about `sensequant profile` as a process on the embedded sample."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets_tests.running import Finished, Home, kill, until

SAMPLE = ("--symbols", "AAPL,IBM", "--windows", "2009-01-01,2009-06-30", "--end", "2010-06-25")
FEW = ("--param", "TEACHER_N_ESTIMATORS=10", "--param", "STUDENT_N_ESTIMATORS=5")
GRID = ("--grid", "num_leaves=3,5,255", "--grid", "max_depth=2,9")
SETTINGS = [f"num_leaves={leaves} max_depth={depth}" for leaves in (3, 5, 255) for depth in (2, 9)]


def measured(home: Home) -> list[str]:
    """Lines of measurements that a living profile has written."""
    shards = (home.data / "telemetry" / "shards").glob("*.jsonl")
    return [line for shard in shards for line in shard.read_text().splitlines() if '"record":"measurement"' in line]


@dataclass(frozen=True)
class Killed:
    """A profile of six settings that was killed after two runs.

    Attributes
    ----------
    home
        Where.
    second
        What another profile was told while it was under way.
    before
        Lines of what it had measured.
    resumed
        How it came to its end.
    """

    home: Home
    second: Finished
    before: list[str]
    resumed: Finished


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    home = Home(tmp_path_factory.mktemp("profile"))
    with home.start("profile", *GRID, "--repeats", "1", *SAMPLE, *FEW) as process:
        until(lambda: measured(home), "a run")
        second = home.run("profile", "--resume")
        until(lambda: len(measured(home)) >= 2, "two runs")
        (working,) = until(lambda: list((home.data / "profiles").glob("*-*/[0-9]*-*")), "a run under way")
        kill(process)
    until(lambda: not Path(f"/proc/{working.name.split('-')[0]}").exists(), "the end of the run that was under way")
    return Killed(home, second, measured(home), home.run("profile", "--resume"))


def rows(home: Home) -> list[dict[str, Any]]:
    found = home.rows("SELECT *, strftime(measured_at, '%c.%f') AS at FROM profiles ORDER BY setting, turn")
    return [
        row | {name: json.loads(row[name]) for name in ("effective", "scores", "grid", "cpu_by_model")} for row in found
    ]


def test_a_profile_that_was_killed_goes_on_without_repeating_a_setting(
    killed: Killed,
) -> None:
    home, before, resumed = killed.home, killed.before, killed.resumed
    assert resumed.code == 0, resumed.err
    assert 2 <= len(before) < 6
    found = rows(home)
    assert [(row["setting"], row["turn"], row["name"]) for row in found] == [
        (number, 1, name) for number, name in enumerate(SETTINGS, 1)
    ]
    assert len({row["profile"] for row in found}) == 1
    told = [line for line in resumed.err.splitlines() if " of 6: " in line]
    assert [line.split(":")[1].split(",")[0].strip() for line in told] == SETTINGS[len(before) :]
    # What was measured before is what is there.
    for line, row in zip(before, found, strict=False):
        assert json.loads(line)["wall_s"] == row["wall_s"]


def test_models_that_are_measured_are_not_kept(killed: Killed) -> None:
    home = killed.home
    assert [path.name for path in (home.data / "profiles").iterdir()] == ["lock"]
    assert home.rows("SELECT 1 FROM batches WHERE batch_id <> ''") == []
    assert home.rows("SELECT 1 FROM window_runs") == []


def test_parameters_are_proven_by_the_boosters_and_settings_with_the_same_trees_are_named(
    killed: Killed,
) -> None:
    home, resumed = killed.home, killed.resumed
    for row in rows(home):
        teacher = row["effective"]["teacher"]
        assert {"num_leaves": teacher["num_leaves"], "max_depth": teacher["max_depth"]} == {
            name: [value] for name, value in row["grid"].items()
        }
        assert row["effective"]["student"]["num_leaves"] == ["7"]
        assert (row["models"], row["failed"], row["boosters"]) == (8, 0, 8)
        assert row["largest_leaves"] <= int(row["grid"]["num_leaves"])
    # A tree of depth 2 has four leaves at most.
    assert "num_leaves=255 max_depth=2 has the trees of num_leaves=5 max_depth=2: what it changes does nothing" in (
        resumed.out
    )


def test_seconds_memory_and_scores_are_told_of_every_setting(killed: Killed) -> None:
    home, resumed = killed.home, killed.resumed
    for row in rows(home):
        assert row["rows"] > 4 * 80
        assert set(row["cpu_by_model"]) == {"teacher", "student"}
        assert row["cpu_s"] > sum(row["cpu_by_model"].values()) > 0
        assert row["wall_s"] > 0
        assert 20 < row["read_mb"] <= row["peak_mb"]
        assert (row["device"], row["device_s"], row["device_utilisation"], row["joules"]) == ("cpu", None, None, None)
        names = [score["score"] for score in row["scores"]["scores"]]
        assert names[:3] == ["teacher", "student", "base_rate"]
        assert row["scores"]["dates"] == row["scores"]["scores"][0]["dates"] > 200
    for title in ("What it takes", "What it makes", "What it is worth"):
        assert title in resumed.out
    (page,) = (home.data / "reports").glob("profile-*.html")
    assert f"page  {page}" in resumed.out
    assert page.read_text().count("<svg") == 3


def test_every_setting_is_a_trial(killed: Killed) -> None:
    home = killed.home
    told = home.rows(
        "SELECT score, count(DISTINCT parameters_fingerprint) AS n, count(series) AS series FROM trials GROUP BY ALL "
        "ORDER BY score DESC"
    )
    assert told == [{"score": model, "n": 6, "series": 0} for model in ("teacher", "student")]


def test_a_profile_that_is_finished_is_shown_again_and_nothing_is_measured(
    killed: Killed,
) -> None:
    home, resumed = killed.home, killed.resumed
    before = rows(home)
    again = home.run("profile", "--resume", before[0]["profile"])
    assert again.code == 0, again.err
    assert (again.out, again.err) == (resumed.out, "")
    assert rows(home) == before


def test_a_pool_is_profiled_too_and_a_profile_stands_beside_the_one_before(tmp_path: Path) -> None:
    home = Home(tmp_path, {"TEACHER_SCOPE": "pool"})
    first, second = (home.run("profile", "--json", "--repeats", turns, *SAMPLE, *FEW) for turns in "21")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    early, late, other = (json.loads(line) for line in (first.out + second.out).splitlines())
    assert early["trees_fingerprint"] == late["trees_fingerprint"] == other["trees_fingerprint"]
    assert (early["boosters"], early["models"], late["scores"]) == (2, 4, {})
    assert set(early["cpu_by_model"]) == {"pool", "shared_student", "teacher", "student"}
    shown = home.run("profile", "--resume")
    assert "(n 2, 20" in shown.out
    assert f"over those of profile {early['profile']}" in shown.out


def nothing_begun(home: Home, *arguments: str) -> str:
    """What is said of a profile that is refused before anything is trained."""
    refused = home.run("profile", *SAMPLE, *arguments)
    assert refused.code == 2, refused.err
    assert home.rows("SELECT 1 FROM events WHERE kind = 'profile'") == []
    return refused.err


def test_a_setting_that_cannot_be_measured_is_refused_by_name_before_any_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert "TEACHER_NUM_LEAVES=1 is not allowed" in nothing_begun(home, "--grid", "num_leaves=3,1")
    said = nothing_begun(home, "--grid", "min_child_samples=20,1000")
    assert "By min_child_samples=1000 no window of the sample can be trained." in said
    assert "Lower TEACHER_MIN_CHILD_SAMPLES" in said
    assert "no symbol NONE" in nothing_begun(home, "--symbols", "NONE")
    assert "has no profile" in home.run("profile", "--resume").err


def test_a_profile_is_resumed_as_it_was_asked(killed: Killed) -> None:
    home = killed.home
    refused = home.run("profile", "--resume", "--grid", "num_leaves=3")
    assert (refused.code, "--grid asks for another one" in refused.err) == (2, True)
    unknown = home.run("profile", "--resume", "20200101-000000-0000")
    assert (unknown.code, "There are: 2" in unknown.err) == (2, True)


def test_two_profiles_at_once_would_tell_each_others_times(killed: Killed) -> None:
    assert killed.second.code == 2
    assert "Another profile is being measured" in killed.second.err
