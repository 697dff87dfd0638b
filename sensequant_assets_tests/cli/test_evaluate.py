"""Claims about `sensequant evaluate` as a process on the embedded sample."""

import gzip
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch.evaluation import BASELINES
from sensequant_assets_tests.running import FEW, Finished, Home

FIRST = (
    "score", "rows", "dates", "blocks", "auc", "auc_low", "auc_high", "rank_ic", "rank_ic_low", "rank_ic_high",
    "log_loss", "brier", "ece",
)  # fmt: skip
SYMBOLS = ("--symbols", "AAPL,GOOG,IBM,MSFT")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """A batch on four symbols in four windows, and its name."""
    home = Home(tmp_path_factory.mktemp("evaluated"))
    finished = home.backfill(*SYMBOLS, "--end", "2010-12-22")
    assert finished.code == 0, finished.err
    return home, finished.json["batch_id"]


@pytest.fixture
def home(trained: tuple[Home, str], found: dict[str, dict[str, Any]], tmp_path: Path) -> Home:
    """A copy whose models may be changed, evaluated once."""
    shutil.copytree(trained[0].data, tmp_path / "data")
    return Home(tmp_path)


def scores(finished: Finished) -> dict[str, dict[str, Any]]:
    assert finished.code == 0, finished.err
    lines: list[dict[str, Any]] = [json.loads(line) for line in finished.out.splitlines()]
    return {line["score"]: line for line in lines}


@pytest.fixture(scope="module")
def found(trained: tuple[Home, str]) -> dict[str, dict[str, Any]]:
    return scores(trained[0].anew.run("evaluate", "--json"))


@pytest.fixture(scope="module")
def shown(trained: tuple[Home, str]) -> Finished:
    """The same as a person is told it."""
    finished = trained[0].run("evaluate")
    assert finished.code == 0, finished.err
    return finished


def test_a_score_is_an_object_a_line_and_begins_with_what_is_asked_first(found: dict[str, dict[str, Any]]) -> None:
    assert list(found) == ["teacher", "student", *BASELINES]
    for score in found.values():
        assert tuple(score)[: len(FIRST)] == FIRST


def test_pooled_losses_are_those_of_the_windows_by_their_rows(
    trained: tuple[Home, str], found: dict[str, dict[str, Any]]
) -> None:
    for model in ("teacher", "student"):
        (told,) = trained[0].rows(
            """
            SELECT sum(test_rows)::BIGINT AS rows,
                sum(test_rows * CAST(metrics->>'test_brier' AS DOUBLE)) / sum(test_rows) AS brier,
                sum(test_rows * CAST(metrics->>'test_log_loss' AS DOUBLE)) / sum(test_rows) AS log_loss
            FROM window_runs WHERE model = ? AND outcome = 'trained' AND test_rows > 0
            """,
            model,
        )
        assert found[model]["rows"] == told["rows"]
        for metric in ("brier", "log_loss"):
            assert found[model][metric] == pytest.approx(told[metric], abs=1e-9)


def test_a_score_tells_what_it_is_against_others_and_among_trials(found: dict[str, dict[str, Any]]) -> None:
    student = found["student"]
    gap = next(each for each in student["differences"] if (each["less"], each["metric"]) == ("teacher", "log_loss"))
    assert gap["value"] == pytest.approx(student["log_loss"] - found["teacher"]["log_loss"])
    assert gap["low"] < gap["value"] < gap["high"]
    assert (gap["rows"], gap["dates"], gap["blocks"]) == tuple(student[name] for name in ("rows", "dates", "blocks"))
    assert (student["symbols_judged"], student["trials"], student["overfitting_trials"]) == (4, 2, 2)
    assert 0 <= student["overfitting"] <= 1
    assert found["base_rate"]["differences"] == []
    assert found["base_rate"]["sharpe"] is None


def test_every_score_stands_on_the_same_rows_beside_baselines_that_need_no_model(
    found: dict[str, dict[str, Any]],
) -> None:
    assert {score["rows"] for score in found.values()} == {found["teacher"]["rows"]}
    assert found["base_rate"]["log_loss_over_base_rate"] == 0
    assert found["base_rate"]["rank_ic"] is None
    for name in ("minus_return_5", "volatility_20", "persistence"):
        assert found[name]["log_loss"] is found[name]["brier"] is found[name]["ece"] is None
        assert -1 < found[name]["rank_ic_low"] < found[name]["rank_ic"] < found[name]["rank_ic_high"] < 1
    assert 0 < found["student"]["fidelity_spearman"] < 1
    assert found["teacher"]["fidelity_spearman"] is None


def test_a_person_is_told_batch_span_rows_dates_and_blocks_and_that_few_dates_cover_badly(
    trained: tuple[Home, str], found: dict[str, dict[str, Any]], shown: Finished
) -> None:
    _, batch = trained
    head, span, *_ = shown.out.splitlines()
    assert head.startswith(f"Batch {batch} (sample): 16 teachers, 16 students of 4 windows 2009-01-01 to 2010-06-25")
    teacher = found["teacher"]
    assert span.startswith(f"{teacher['rows']:,} rows of {teacher['dates']} dates, 2009-06-30 to 2011-06-")
    assert f"{teacher['blocks']} blocks of " in span
    table = shown.out.splitlines()[2:]
    assert [line.split()[0] for line in table[1 : 3 + len(BASELINES)]] == ["teacher", "student", *BASELINES]
    assert (
        f"{teacher['dates']} dates, fewer than 500: intervals rest on {teacher['blocks']} blocks and cover badly"
        in (shown.out)
    )
    assert "judging teacher" in shown.err
    assert "leak probe" in shown.out.lower()
    assert ", error: " not in shown.out


def test_a_second_table_compares_scores_and_says_how_much_of_it_is_choice(shown: Finished) -> None:
    lines = shown.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("difference "))
    assert [line.split("  ")[0] for line in lines[start + 1 : start + 7]] == [
        "student - teacher", "student - teacher", "teacher - base_rate", "student - base_rate",
        "teacher - minus_return_5", "student - minus_return_5",
    ]  # fmt: skip
    rest = "\n".join(lines[start + 7 :])
    for said in (
        "teacher: 0 of 4 symbols with an IC over time other than 0, all considered together (Benjamini-Hochberg, 5% of",
        "log loss: the best of 4 scores is among ",
        "rank ic: the best of 6 scores is among ",
        "student: Sharpe ratio of the net top decile ",
        "above the luckiest of 2 trials with 0.",
        "Probability of backtest overfitting: 0.",
    ):
        assert said in rest
    assert re.search(r"\(2 trials, [67]\d periods, 252 splits\)\.", rest)


def test_a_batch_is_judged_on_its_own_market_whatever_the_environment_says(
    trained: tuple[Home, str], found: dict[str, dict[str, Any]]
) -> None:
    home, batch = trained
    elsewhere = {"SENSEQUANT_END": "2009-12-27", "SENSEQUANT_HORIZON": "3", "TEACHER_N_ESTIMATORS": "44"}
    assert scores(home.run("evaluate", "--batch", batch, "--json", **elsewhere)) == found


def test_costs_are_an_option(trained: tuple[Home, str], found: dict[str, dict[str, Any]]) -> None:
    free = scores(trained[0].run("evaluate", "--json", "--cost-bp", "0"))["teacher"]
    paid = found["teacher"]
    assert free["top_return_net"] - paid["top_return_net"] == pytest.approx(paid["turnover"] * 0.0025)


def test_every_evaluation_adds_its_scores_to_the_trials_and_a_rebuild_restores_them(
    home: Home, found: dict[str, dict[str, Any]]
) -> None:
    ask = "FROM trials ORDER BY evaluation, score"
    before = home.rows(ask)
    assert len(before) >= len(found)
    again = scores(home.run("evaluate", "--json", "--cost-bp", "50"))
    rows = home.rows(ask)
    assert len(rows) == len(before) + len(again)
    (teacher,) = (row for row in rows if row not in before and row["score"] == "teacher")
    assert (teacher["rows"], teacher["auc_low"]) == (again["teacher"]["rows"], again["teacher"]["auc_low"])
    assert json.loads(teacher["metrics"])["brier"] == again["teacher"]["brier"]
    assert teacher["parameters_fingerprint"]
    (home.data / "telemetry" / "telemetry.duckdb").unlink()
    assert home.anew.run("telemetry", "rebuild").code == 0
    assert home.rows(ask) == rows


def test_models_that_are_gone_or_of_a_later_batch_are_counted_and_left_out(
    home: Home, trained: tuple[Home, str], found: dict[str, dict[str, Any]]
) -> None:
    models = home.data / "models" / "sample"
    for file in (models / "teacher" / "AAPL").iterdir():
        file.unlink()
    first_batch = trained[1]
    later = home.backfill("--end", "2010-12-22", "--symbols", "IBM", "--students-only", "--param", "STUDENT_SEED=3",
                          "--param", "STUDENT_SUBSAMPLE=0.7")  # fmt: skip
    assert later.code == 0, later.err
    finished = home.run("evaluate", "--batch", first_batch, "--json")
    left = scores(finished)
    assert "4 teachers are not on disk" in finished.err
    assert "4 students are replaced on disk by those of a later batch" in finished.err
    for model, symbols in (("teacher", 3), ("student", 3)):
        assert left[model]["rows"] == found[model]["rows"] * symbols / 4
    # Baselines stand on all rows of which a model says something.
    assert left["base_rate"]["rows"] == found["base_rate"]["rows"]


def test_without_a_model_left_there_is_a_sentence_and_exit_2(home: Home) -> None:
    shutil.rmtree(home.data / "models")
    finished = home.run("evaluate", "--json")
    assert (finished.code, finished.out) == (2, "")
    said = finished.err.splitlines()[-1]
    assert said.startswith("sensequant: No model is left to evaluate. 16 teachers and 16 students are not on disk")


@pytest.mark.parametrize("arguments", [(), ("--batch", "nothing")])
def test_before_the_first_batch_there_is_a_sentence_and_exit_2(tmp_path: Path, arguments: Sequence[str]) -> None:
    finished = Home(tmp_path).run("evaluate", *arguments)
    assert finished.code == 2
    assert "No batch yet: `sensequant backfill` starts one." in finished.err


def test_a_batch_is_judged_by_its_own_label(tmp_path: Path) -> None:
    home = Home(tmp_path)
    asked = ("--end", "2009-12-27", "--label", "cross_sectional")
    batch = home.backfill(*asked)
    assert batch.code == 0, batch.err
    assert "note Of " in batch.err
    finished = home.run("evaluate", "--json")
    told = scores(finished)
    assert {score["label"] for score in told.values()} == {"cross_sectional"}
    # Of four symbols two are above the median of their moment.
    (rate,) = told["base_rate"]["reliability"]
    assert rate["happened"] == pytest.approx(0.5, abs=0.01)
    assert "equal the median of their moment" in finished.err
    assert ", error: " not in finished.err


def test_features_of_ones_own_are_tested_named_reused_and_needed_to_judge_their_models(tmp_path: Path) -> None:
    home, file = Home(tmp_path), tmp_path / "mine.py"
    asked = (*SYMBOLS, "--end", "2009-12-27", "--windows", "2009-01-01", "--teachers-only")
    mine = {"SENSEQUANT_FEATURES": f"standard,{file}:columns"}
    file.write_text("def columns(bars):\n    return {'tomorrow': bars.close / bars.close[-1]}\n")
    refused = home.run("backfill", *asked, **mine)
    assert refused.code == 2
    assert "The features mine.py:columns know the future: tomorrow changes with bars that come later." in refused.err
    assert not (home.data / "models").exists()

    def trained(source: str) -> int:
        file.write_text(source)
        finished = home.run("backfill", *asked, "--json", **mine)
        assert finished.code == 0, finished.err
        return int(finished.json["teacher"]["trained"])

    spread = "def columns(bars):\n    return {'spread': bars.high / bars.low - 1}\n"
    assert [trained(spread), trained(spread), trained(f"{spread}# Another source.\n")] == [4, 0, 4]
    (path,) = (home.data / "models").rglob("teacher/AAPL/2009-01-01.txt.gz")
    with gzip.open(path, "rt") as text:
        assert " spread\n" in text.read()
    record = json.loads(path.with_name("2009-01-01.json").read_bytes())
    assert [name.split()[0] for name in record["providers"]] == ["standard", "mine.py:columns"]

    without = home.run("evaluate")
    assert without.code == 2
    assert "was made with the features standard, mine.py:columns " in without.err
    assert without.err.rstrip().endswith("and these are standard. Give SENSEQUANT_FEATURES the value that it had.")
    assert set(scores(home.run("evaluate", "--json", **mine))) == {"teacher", *BASELINES}


def test_pooled_teachers_are_judged_beside_those_of_pairs_and_losses_are_of_what_is_served(tmp_path: Path) -> None:
    home = Home(tmp_path)
    pooled = ("--param", "TEACHER_SCOPE=pool", "--param", "STUDENT_SCOPE=pool")
    assert home.backfill(*SYMBOLS, "--end", "2010-06-25", *pooled).code == 0
    finished = home.run("evaluate", "--json")
    told = scores(finished)
    assert list(told) == ["teacher", "student", "pool", *BASELINES]
    # The pool is the teacher of every pair.
    pool, teacher = ({name: told[model][name] for name in FIRST[1:]} for model in ("pool", "teacher"))
    assert pool == pytest.approx(teacher)
    (kept,) = home.rows(
        """
        SELECT sum(test_rows * CAST(metrics->>'test_log_loss' AS DOUBLE)) / sum(test_rows) AS log_loss
        FROM window_runs WHERE model = 'teacher' AND outcome = 'trained' AND test_rows > 0
        """
    )
    assert told["teacher"]["log_loss"] == pytest.approx(kept["log_loss"], abs=1e-9)
    shutil.rmtree(home.data / "models" / "sample" / "pool")
    left = home.run("evaluate", "--json")
    assert "pools are not on disk" in left.err
    assert list(scores(left)) == ["teacher", "student", *BASELINES]


def test_the_first_evaluation_trains_the_noise_twin_and_the_canaries_and_a_second_one_neither(tmp_path: Path) -> None:
    home = Home(tmp_path, {"SENSEQUANT_NOISE_WINDOWS": "100"})
    pooled = ("--param", "TEACHER_SCOPE=pool", "--param", "STUDENT_SCOPE=pool", *FEW)
    batch = home.backfill(*SYMBOLS, "--end", "2010-12-22", *pooled).json["batch_id"]
    windows = home.rows("FROM window_runs ORDER BY ALL")
    first = home.run("evaluate", "--json")
    told = scores(first)
    assert "windows trained" in first.err
    for model in ("teacher", "student"):
        found = told[model]
        assert found["band_windows"] >= 100
        assert found["band_low_sd"] < 0 < found["band_high_sd"]
        assert 0 <= found["windows_above_band"] <= found["windows_outside_band"] <= found["windows"] <= 16
        assert found["windows"] > 0
    assert "windows" not in told["base_rate"]
    (event,) = home.rows("FROM events WHERE kind = 'canaries'")
    assert event["batch_id"] == batch
    assert event["message"] in first.err
    second = home.run("evaluate")
    assert "windows trained" not in second.err
    assert "Noise band, AUC of a window: " in second.out
    assert " ".join(event["message"].split()) in " ".join(second.out.split())
    assert home.rows("FROM window_runs ORDER BY ALL") == windows
    assert [row["batch_id"] for row in home.rows("FROM batches")] == [batch]
    assert home.run("report").code == 0
    (page,) = (home.data / "reports").glob("*.html")
    text = page.read_text()
    assert "Noise band" in text
    assert "Canaries: " in text
