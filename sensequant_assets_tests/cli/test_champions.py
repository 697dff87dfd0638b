"""Claims about `sensequant promote`, `champions` and `rollback` as processes on a small market with an edge."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.promotion import Challenge, Places, challenge, promote, trials_of
from sensequant_assets.core.judging.promotion import CONDITIONS
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import Challenger, Champion, ChampionStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import BatchStart
from sensequant_assets_tests.making import market_with_an_edge
from sensequant_assets_tests.running import Finished, Home

ALONE = list(CONDITIONS)[:4]
OTHER = ("--param", "STUDENT_LEARNING_RATE=0.09")


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return market_with_an_edge(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def tried(variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, Finished]:
    """A batch of eight symbols in four windows, its name, and a dry run of its promotion, which evaluates it."""
    home = Home(tmp_path_factory.mktemp("champions"), dict(variables))
    finished = home.run("backfill", "--json")
    assert finished.code == 0, finished.err
    return home, finished.json["batch_id"], home.run("promote", "--dry-run", "--json")


@pytest.fixture(scope="module")
def serving(tried: tuple[Home, str, Finished], tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """The same, promoted."""
    home = copy_of(tried[0], tmp_path_factory.mktemp("serving"))
    finished = home.run("promote")
    assert finished.code == 0, finished.err + finished.out
    return home, tried[1]


@pytest.fixture
def home(serving: tuple[Home, str], tmp_path: Path) -> Home:
    """A copy of a home with a champion, which may be changed."""
    return copy_of(serving[0], tmp_path)


def copy_of(home: Home, directory: Path) -> Home:
    shutil.copytree(home.data, directory / "data")
    return Home(directory, home.variables)


def serves(store: ChampionStore) -> Champion:
    champion = store.current()
    assert champion is not None
    return champion


def history(home: Home) -> list[dict[str, Any]]:
    finished = home.run("champions", "--json")
    assert finished.code == 0, finished.err
    return [json.loads(line) for line in finished.out.splitlines()]


def judged(finished: Finished, code: int = 0) -> dict[str, Any]:
    assert finished.code == code, finished.err
    (line,) = finished.out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_before_the_first_batch_and_the_first_promotion_the_way_is_said(
    variables: dict[str, str], tmp_path: Path
) -> None:
    home = Home(tmp_path, variables)
    finished = home.run("promote")
    assert finished.code == 2
    assert "`sensequant backfill` starts one" in finished.err
    assert "Nothing serves universe edge: `sensequant promote` is first." in home.run("champions").out
    refused = home.run("rollback")
    assert refused.code == 2
    assert "Nothing serves universe edge: `sensequant promote` is first." in refused.err


def test_a_dry_run_judges_and_changes_nothing(tried: tuple[Home, str, Finished]) -> None:
    home, batch, finished = tried
    found = judged(finished)
    assert (found["batch_id"], found["universe"], found["scope"]) == (batch, "edge", "pool")
    assert (found["passed"], found["against"], found["champion"], found["trials"]) == (True, None, None, 1)
    assert [each["condition"] for each in found["conditions"]] == ALONE
    for each in found["conditions"]:
        assert each["passed"]
        assert each["dates"] >= 500
        assert each["rows"] == 8 * each["dates"]
    assert not (home.data / "champions").exists()
    # A look at numbers is a trial, and the page of the batch shows what was found.
    assert {row["score"] for row in home.rows("FROM trials")} >= {"student", "base_rate"}


def test_who_shows_enough_serves_and_the_record_says_on_what_evidence(serving: tuple[Home, str]) -> None:
    home, batch = serving
    (champion,) = history(home)
    assert (champion["version"], champion["batch_id"], champion["supersedes"]) == (1, batch, None)
    evidence = champion["evidence"]
    assert evidence["windows"] == ["2020-06-01", "2020-11-28", "2021-05-27", "2021-11-23"]
    assert champion["serving"] == {evidence["windows"][-1]: 8}
    assert all(each["passed"] for each in evidence["conditions"])
    assert champion["market"]["horizon"] == 7
    assert champion["parameters"]["teacher"]["n_estimators"] == 20
    assert champion["standing"].startswith("It serves 8 symbols, 8 by that of window 2021-11-23")
    said = home.run("champions")
    assert said.code == 0
    assert f"Version 1 serves universe edge. {champion['standing']}" in " ".join(said.out.split())
    again = home.run("promote")
    assert again.code == 0
    assert f"Batch {batch} serves universe edge already, as version 1." in again.out
    assert len(history(home)) == 1


def test_what_serves_is_what_the_batch_has_on_disk_and_no_training_changes_it(home: Home) -> None:
    store = ChampionStore(home.data / "champions", "edge")
    champion = serves(store)
    pack, models = store.pack(champion), ModelStore(home.data / "models", "edge")
    before = {f"S{number}": pack.text(f"S{number}") for number in range(8)}
    for symbol, text in before.items():
        assert models.read("student", symbol, pack.entry(symbol).window).text() == text
    assert home.run("backfill", *OTHER, "--json").code == 0
    shutil.rmtree(home.data / "models")
    assert serves(store) == champion
    assert {symbol: store.pack(champion).text(symbol) for symbol in before} == before


def test_forecasts_of_the_evidence_are_what_the_batch_said_of_its_test_rows(home: Home) -> None:
    store = ChampionStore(home.data / "champions", "edge")
    champion = serves(store)
    told = store.forecasts(champion)
    assert len(told.label) == champion.evidence.rows
    one = (told.symbol == "S3") & (told.window == "2020-11-28")
    record = ModelStore(home.data / "models", "edge").read("student", "S3", "2020-11-28").record
    assert record.unseen[record.rows.valid :] == told.raw[one].tolist()
    assert record.calibration.serve(told.raw[one]).tolist() == told.served[one].tolist()
    assert (told.time[one] >= np.datetime64("2021-05-27")).all()


def test_a_challenger_is_held_against_the_incumbent_on_the_same_rows_and_can_be_taken_back(home: Home) -> None:
    first, other = history(home)[0], home.run("backfill", *OTHER, "--json").json["batch_id"]
    found = judged(home.run("promote", "--batch", other, "--json"))
    assert (found["against"], found["trials"]) == (1, 2)
    assert [each["condition"] for each in found["conditions"]] == list(CONDITIONS)
    by_name = {each["condition"]: each for each in found["conditions"]}
    for metric in ("rank_ic", "brier"):
        gap = by_name[f"{metric}_over_incumbent"]
        assert (gap["rows"], gap["dates"]) == (first["evidence"]["rows"], first["evidence"]["dates"])
    gap, before = by_name["rank_ic_over_incumbent"], first["evidence"]["conditions"][1]["value"]
    assert gap["baseline"] == pytest.approx(before)
    assert gap["value"] == pytest.approx(by_name["rank_ic"]["value"] - before)
    assert found["champion"]["supersedes"] == 1

    back = judged(home.run("rollback", "--json"))
    assert (back["version"], back["supersedes"], back["restores"], back["batch_id"]) == (3, 2, 1, first["batch_id"])
    assert [each["version"] for each in history(home)] == [1, 2, 3]
    assert back["pack"] == first["pack"]
    again = home.run("rollback", "--to", "2")
    assert again.code == 0
    assert "Version 4 of universe edge restores version 2." in again.out
    for to, said in (("2", "Version 2 serves already"), ("9", "no version 9"), ("0", "not in the range")):
        refused = home.run("rollback", "--to", to)
        assert refused.code == 2
        assert said in refused.err
    assert len(history(home)) == 4


def test_a_batch_that_shows_too_little_is_refused_with_every_failed_condition_in_numbers(home: Home) -> None:
    few = home.run("backfill", "--windows", "2020-06-01,2020-11-28", "--json").json["batch_id"]
    finished = home.run("promote", "--batch", few, "--json")
    found = judged(finished, code=1)
    assert "refused: at least 500 dates: 360." in finished.err
    assert f"Batch {few} is not promoted; version 1 serves universe edge." in finished.err
    failed = {each["condition"] for each in found["conditions"] if not each["passed"]}
    # The incumbent's rows are there, and there are too few of both.
    assert failed == {"dates", "rank_ic_over_incumbent", "brier_over_incumbent"}
    assert len(history(home)) == 1


def test_a_record_that_cannot_be_read_stops_every_command(home: Home) -> None:
    record = home.data / "champions" / "edge" / "champions.json"
    record.write_bytes(record.read_bytes()[:-9])
    for command in ("promote", "champions", "rollback"):
        refused = home.run(command)
        assert refused.code == 2
        assert f"{record.relative_to(home.directory)}" in refused.err
        assert "Nobody can tell what serves" in refused.err


def test_an_unknown_batch_and_a_running_one_are_not_promoted(home: Home) -> None:
    unknown = home.run("promote", "--batch", "nobody")
    assert unknown.code == 2
    assert "has no batch nobody" in unknown.err
    (batch,) = home.rows("SELECT batch_id FROM batches")
    with Journal(home.telemetry.shards, batch_id=batch["batch_id"], run_id="again", clock=utc_now) as journal:
        journal.append(
            BatchStart(source="cli", universe="edge", started_at=utc_now(), max_failure_rate=0.15, workers=1)
        )
        running = home.run("promote", "--batch", batch["batch_id"])
    assert running.code == 2
    assert "is running" in running.err


@pytest.mark.parametrize("command", ["promote", "champions", "rollback"])
def test_help_has_an_example(home: Home, command: str) -> None:
    assert f"sensequant {command}" in home.run(command, "--help").out


@pytest.fixture
def made(home: Home) -> tuple[Places, Challenge]:
    """The batch that serves as its own challenger, in this process."""
    places = Places(
        ModelStore(home.data / "models", "edge"), ChampionStore(home.data / "champions", "edge"), home.telemetry
    )
    (batch,) = home.rows("SELECT batch_id FROM batches")
    subject = Subject.of_batch(home.telemetry, batch["batch_id"])
    market = Market.open(subject.settings, subject.teacher, subject.student)
    return places, challenge(subject, market, places, features="standard", cost_bp=25.0)


def test_a_batch_of_an_earlier_day_is_not_promoted(home: Home) -> None:
    places = Places(
        ModelStore(home.data / "models", "edge"), ChampionStore(home.data / "champions", "edge"), home.telemetry
    )
    (batch,) = home.rows("SELECT batch_id FROM batches")
    subject = Subject.of_batch(home.telemetry, batch["batch_id"])
    past = replace(subject, settings=subject.settings.model_copy(update={"as_of": date(2020, 1, 1)}))
    market = Market.open(subject.settings, subject.teacher, subject.student)
    with pytest.raises(UsageError, match="is as of 2020-01-01, and its models know nothing of later days"):
        challenge(past, market, places, features="standard", cost_bp=25.0)


def test_models_that_learned_other_labels_cannot_be_compared_and_nothing_is_promoted(
    made: tuple[Places, Challenge],
) -> None:
    places, same = made
    assert (same.serves, same.found.passed) == (True, True)
    serving = serves(places.champions)
    other = {name: getattr(serving, name) for name in Challenger.model_fields}
    other["market"] = serving.market | {"threshold": 0.03}
    forecasts = places.champions.forecasts(serving)
    pack = places.champions.directory / serving.pack

    def copied(path: Path) -> str:
        path.write_bytes(pack.read_bytes())
        return serving.pack_digest

    places.champions.promote(Challenger(**other), copied, forecasts, against=1)
    found = challenge(same.subject, same.market, places, features="standard", cost_bp=25.0)
    assert {each.name for each in found.found.failed} == {"rank_ic_over_incumbent", "brier_over_incumbent"}
    assert "Version 2 learned labels of another kind (label threshold, horizon 7, threshold 0.03;" in found.remarks[-1]
    with pytest.raises(UsageError, match="does not pass: rank IC not surely below the incumbent's"):
        promote(found, places, by="somebody", at=utc_now())


def test_who_was_judged_against_another_incumbent_is_not_promoted(made: tuple[Places, Challenge]) -> None:
    places, same = made
    promote(same, places, by="somebody", at=utc_now())
    with pytest.raises(UsageError, match="is served by version 2, and this was decided when version 1 served it"):
        promote(same, places, by="somebody", at=utc_now())
    assert len(places.champions.history()) == 2


def test_parameters_count_once_among_trials_however_often_they_are_looked_at(made: tuple[Places, Challenge]) -> None:
    places, same = made
    assert trials_of(places.telemetry, same.subject) == 1
    other = same.subject.student.model_copy(update={"seed": 8})
    assert trials_of(places.telemetry, replace(same.subject, student=other)) == 2


def test_the_road_from_a_batch_to_a_number_and_back(home: Home) -> None:
    """Predict, retrain, promote, predict anew, roll back: what was said stays, and what serves is named in each row."""
    day = ("--date", "2022-11-01", "--json")
    first = [json.loads(line) for line in home.run("predict", *day).out.splitlines()]
    assert [(row["symbol"], row["champion"], row["unproven"]) for row in first] == [
        (f"S{number}", 1, False) for number in range(8)
    ]
    assert not any("constant" in row["flags"] or "fallback" in row["flags"] for row in first)
    assert len({row["p_raw"] for row in first}) == 8
    kept = home.rows("FROM predictions ORDER BY ALL")
    watched = home.run("monitor", "--json").json
    assert watched["outcomes"]["new"] == 8
    assert {each["check"]: each["passed"] for each in watched["checks"]}["degraded"] is None
    explained = home.run("explain", "S3", "2022-11-01", "--json").json
    assert explained["p_raw"] == pytest.approx(first[3]["p_raw"], abs=1e-9)
    assert sum(one["pool"] for one in explained["features"]) != 0

    assert home.run("backfill", *OTHER, "--json").code == 0
    assert home.run("predict", *day).out == home.run("predict", *day).out
    assert home.rows("FROM predictions ORDER BY ALL") == kept
    assert home.run("promote").code == 0
    second = [json.loads(line) for line in home.run("predict", *day).out.splitlines()]
    assert {row["champion"] for row in second} == {2}
    assert home.run("rollback").code == 0
    again = home.run("predict", *day)
    assert [json.loads(line) for line in again.out.splitlines()] == first
    assert "0 new rows" in again.err
    assert [row for row in home.rows("FROM predictions ORDER BY ALL") if row in kept] == kept
    assert len(home.rows("FROM predictions")) == 16


def test_a_planted_edge_pays_its_costs_and_every_look_is_a_trial(
    tried: tuple[Home, str, Finished], tmp_path: Path
) -> None:
    home, batch = copy_of(tried[0], tmp_path), tried[1]
    found = judged(home.run("backtest", batch, "--top", "2", "--json"))
    assert (found["batch_id"], found["model"], found["top"], found["cost_bp"]) == (batch, "student", 2, 25)
    assert found["excess_low"] > 0
    assert found["excess_before_costs"] > found["excess"]
    assert found["windows"] == 4
    # The bars go on after the last prediction for as long as its sleeve is held.
    assert found["dates"] == found["signal_dates"] + 7 == len(found["course"]["date"])
    assert found["signals"] == 8 * found["signal_dates"]
    assert found["course"]["portfolio"][-1] == pytest.approx(1 + found["portfolio"]["total_return"], abs=1e-6)
    # The dry run has evaluated teacher and student; what was held of the student stands for its decile.
    assert (found["trials"], found["overfitting_trials"]) == (2, 2)
    more = judged(home.run("backtest", "--top", "3", "--json"))
    assert more["trials"] == 3
    again = judged(home.run("backtest", "--top", "3", "--cost-bp", "80", "--json"))
    assert again["trials"] == 3, "what orders cost is no choice"
    assert again["excess_before_costs"] == more["excess_before_costs"]
    assert again["excess"] < more["excess"]
    names = {row["score"] for row in home.rows("FROM trials WHERE score LIKE 'backtest %'")}
    assert names == {"backtest student top 2", "backtest student top 3"}


def test_a_backtest_is_told_in_words_and_drawn_on_a_page_of_its_own_and_in_the_report(
    tried: tuple[Home, str, Finished], tmp_path: Path
) -> None:
    home, batch = copy_of(tried[0], tmp_path), tried[1]
    assert home.run("report").code == 0
    page, own = home.data / "reports" / f"{batch}.html", home.data / "reports" / f"{batch}.backtest.html"
    assert f"sensequant backtest --batch {batch}" in page.read_text()
    said = home.run("backtest", "--top", "2", "--model", "teacher")
    assert said.code == 0, said.err
    for words in (
        "with the highest probability by the teacher",
        "on these dates surely more than the universe.",
        "above the luckiest of 2 trials with ",
        "It says nothing of days to come.",
    ):
        assert words in said.out
    assert said.out.splitlines()[-1] == str(own)
    assert home.run("report").code == 0
    for drawn in (page.read_text(), own.read_text()):
        assert "on these dates surely more than the universe." in drawn
        assert '<polyline class="curve" points="48.0,' in drawn


def test_to_hold_all_symbols_is_no_choice(tried: tuple[Home, str, Finished]) -> None:
    finished = tried[0].run("backtest", "--top", "8")
    assert finished.code == 2
    assert "The 8 best of 8 symbols are all of them, and no choice. Give fewer with --top" in finished.err


def test_a_champion_is_tested_in_periods_of_the_past_and_under_shocks_and_what_is_not_covered_is_said(
    home: Home,
) -> None:
    periods = "crash: 2020-02-19/2020-04-09, spring: 2021-03-01/2021-03-31, late: 2022-05-01/2022-12-31"
    finished = home.run("stress", "--stress-periods", periods, "--json")
    (line,) = finished.out.splitlines()
    found = json.loads(line)
    tests = {each["name"]: each for each in found["tests"]}
    assert list(tests) == ["crash", "spring", "late", "gap", "volatility", "missing_days", "stale_feed", "split"]
    assert [tests[name]["state"] for name in ("crash", "spring", "late")] == [
        "not covered",
        "passed",
        "covered in part",
    ]
    assert (tests["spring"]["dates"], tests["spring"]["sessions"]) == (31, 31)
    assert 0 < tests["spring"]["rank_ic_low"] < tests["spring"]["rank_ic"] < tests["spring"]["rank_ic_high"]
    assert (tests["gap"]["symbols"], tests["stale_feed"]["symbols"], tests["split"]["symbols"]) == (8, 4, 1)
    assert tests["stale_feed"]["flagged"] == tests["stale_feed"]["answered"] == 4
    assert finished.code == (1 if found["failed"] else 0)
    assert not home.rows("FROM predictions"), "nothing of a shock is kept"
    strict = home.run("stress", "--stress-periods", periods, "--stress-min-answered", "0", "--stress-max-change", "1")
    assert strict.code == 0, strict.err
    said = " ".join(strict.out.split())
    assert (
        "1 of 3 periods and 5 of 5 shocks passed, 0 failed; 1 is covered in part and 1 not at all: nobody knows" in said
    )


def test_a_batch_that_nobody_has_promoted_is_tested_on_request(tried: tuple[Home, str, Finished]) -> None:
    home = tried[0]
    assert "`sensequant promote`" in home.run("stress").err
    never = ("--stress-periods", "crash of 2008: 2008-09-01/2009-03-09", "--stress-max-change", "0")
    finished = home.run("stress", "--unproven", *never, "--json")
    found = json.loads(finished.out)
    assert found["standing"] == f"unproven students of batch {tried[1]}, which nobody has promoted"
    assert (found["passed"], found["not_covered"]) == (False, 1)
    bad = home.run("stress", "--stress-periods", "crash")
    assert bad.code == 2
    assert "SENSEQUANT_STRESS_PERIODS" in bad.err
