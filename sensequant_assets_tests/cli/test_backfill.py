"""Claims about a backfill of the command line, made of real processes."""

import fcntl
import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from sensequant_assets.defs.home import open_instance
from sensequant_assets_tests.running import (
    FEW,
    Finished,
    Home,
    Process,
    corrupt,
    finish,
    kill,
    sample_bars,
    until,
    write_universe,
)

COUNTS = {"eligible", "trained", "reused", "skipped", "failed", "not_attempted", "failure_rate"}
NO_FAILURE = {"failed": 0, "not_attempted": 0, "failure_rate": 0.0}
# Three windows of four symbols: one corrupt symbol is a quarter of them.
THREE_WINDOWS = ("--end", "2010-06-25")


def trees_of(home: Home, batch_id: str) -> list[dict[str, Any]]:
    """Fingerprint of the trees of every window of a batch."""
    return home.query(
        "SELECT model, symbol, window_start, trees_fingerprint FROM window_runs "
        f"WHERE batch_id = '{batch_id}' AND outcome <> 'skipped' ORDER BY ALL"
    )


# The sample ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("sample"), {"AWS_SECRET_ACCESS_KEY": "hunter2-swordfish"})


@pytest.fixture(scope="module")
def first(sample: Home) -> Finished:
    # Into an empty directory, as the first one of anybody.
    return sample.run("backfill", "--json", *FEW, "--workers", "2")


def test_a_backfill_of_the_sample_ends_with_a_line_of_counts(sample: Home, first: Finished) -> None:
    assert first.code == 0, first.err
    assert set(first.json) == {"batch_id", "teacher", "student", "wall_s", "cpu_s"}
    assert set(first.json["teacher"]) == set(first.json["student"]) == COUNTS
    assert first.json["wall_s"] > 0
    assert first.json["cpu_s"] > 0
    # FB is listed on 2012-05-18, so that one of its eight windows has rows enough; the four others have all eight.
    expected = {"eligible": 33, "trained": 33, "reused": 0, "skipped": 7} | NO_FAILURE
    assert first.json["teacher"] == first.json["student"] == expected


def test_the_summary_tells_people_where_everything_is(sample: Home, first: Finished) -> None:
    assert "skipped 6 windows: pre_listing" in first.err
    assert str(sample.data / "models") in first.err
    assert str(sample.data / "telemetry") in first.err
    assert "sensequant dev" in first.err


def test_windows_before_a_listing_are_skipped_with_their_reason(sample: Home, first: Finished) -> None:
    skipped = sample.rows(
        "SELECT symbol, window_start, reason, error_message FROM window_runs "
        "WHERE outcome = 'skipped' AND model = 'teacher' AND batch_id = ? ORDER BY window_start",
        first.json["batch_id"],
    )
    assert [row["symbol"] for row in skipped] == ["FB"] * 7
    assert [row["reason"] for row in skipped] == ["pre_listing"] * 6 + ["insufficient_bars"]
    assert all(row["error_message"] for row in skipped)


def test_the_plan_says_beforehand_what_becomes_of_each_pair(sample: Home, first: Finished) -> None:
    plan = sample.run("plan", "--json")
    assert plan.code == 0, plan.err
    planned = [json.loads(line) for line in plan.out.splitlines()]
    assert len(planned) == 40
    rows = sample.rows("SELECT * FROM window_runs WHERE model = 'teacher' AND batch_id = ?", first.json["batch_id"])
    became = {(row["symbol"], str(row["window_start"])): row for row in rows}
    assert len(became) == len(rows) == 40
    for pair in planned:
        row = became[pair["symbol"], pair["window_start"]]
        assert row["outcome"] == ("trained" if pair["eligible"] else "skipped")
        assert row["reason"] == pair["reason"]
        assert row["effective_start"].isoformat() == pair["effective_start"]
        assert row["early_life"] == pair["early_life"]
        if pair["eligible"]:
            assert row["train_rows"] == pair["rows"]


def test_the_plan_names_once_which_settings_do_nothing(sample: Home) -> None:
    idle = "note TEACHER_NUM_LEAVES=127 does nothing: 120 rows with TEACHER_MIN_CHILD_SAMPLES=20 make about 6 leaves."
    warned = "warning TEACHER_GPU_DEVICE_ID=1 does nothing: TEACHER_DEVICE_TYPE is cpu."
    table = sample.run("plan", TEACHER_GPU_DEVICE_ID="1")
    assert table.code == 0, table.err
    assert table.out.splitlines()[-2:] == [warned, idle]
    lines = sample.run("plan", "--json", TEACHER_GPU_DEVICE_ID="1")
    assert len([json.loads(line) for line in lines.out.splitlines()]) == 40
    assert lines.err.splitlines() == [warned, idle]


def test_the_plan_says_why_windows_are_skipped_and_what_to_do(sample: Home) -> None:
    plan = sample.run("plan", TEACHER_MIN_CHILD_SAMPLES="40")
    # 100 rows of the smallest fold, a fifth of the window and seven rows on either side of it.
    assert (
        "insufficient_bars, for example: Window 2009-01-01 of AAPL has 116 training rows after warm-up and purge, "
        "needs 143: teacher trees split from 100 rows on (min_child_samples 40 at subsample 0.8), and of 143 rows the "
        "smallest of 5 purged folds trains on 100. Lower TEACHER_MIN_CHILD_SAMPLES, widen the window or shorten the "
        "horizon."
    ) in plan.out.splitlines()
    assert "40 pairs: 0 eligible, 40 skipped (insufficient_bars 34, pre_listing 6)" in plan.out


def test_a_backfill_warns_of_a_gpu_that_does_not_train(tmp_path: Path) -> None:
    home = Home(tmp_path, {"TEACHER_GPU_PLATFORM_ID": "2"})
    finished = home.backfill("--symbols", "AAPL", "--windows", "2009-01-01")
    assert finished.code == 0, finished.err
    assert "warning TEACHER_GPU_PLATFORM_ID=2 does nothing: TEACHER_DEVICE_TYPE is cpu." in finished.err.splitlines()


def test_plain_lightgbm_predicts_from_every_model(sample: Home, first: Finished) -> None:
    assert len(sample.models()) == 66
    for model in sample.models():
        record = model.with_name(model.name.replace(".txt.gz", ".json"))
        assert json.loads(record.read_text())["model_file"] == model.name
        booster = lgb.Booster(model_str=gzip.decompress(model.read_bytes()).decode())
        probability = booster.predict(np.zeros((1, booster.num_feature())))
        assert 0 < probability[0] < 1


def test_no_secret_of_the_environment_is_in_any_file(sample: Home, first: Finished) -> None:
    files = [path for path in sample.directory.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


def test_nothing_but_text_json_and_tables_is_written(sample: Home, first: Finished) -> None:
    written = {path.suffix or path.name for path in sample.data.rglob("*") if path.is_file()}
    assert written <= {".gz", ".json", ".parquet", ".duckdb", ".lock", ".order", ".db", ".sqlite", ".yaml", ".zst"}


def test_a_second_backfill_reuses_every_model_and_trains_none(sample: Home, first: Finished) -> None:
    before = {path: path.read_bytes() for path in sample.models()}
    second = sample.backfill()
    assert second.code == 0, second.err
    expected = {"eligible": 33, "trained": 0, "reused": 33, "skipped": 7} | NO_FAILURE
    assert second.json["teacher"] == second.json["student"] == expected
    assert {path: path.read_bytes() for path in sample.models()} == before


def test_a_batch_whose_end_is_today_records_the_date_and_the_ui_goes_on_with_today(tmp_path: Path) -> None:
    home = Home(tmp_path)
    one = ("--symbols", "IBM", "--windows", "2009-01-01", "--teachers-only", "--end", "today")
    before, finished, after = datetime.now(UTC), home.run("backfill", *one), datetime.now(UTC)
    assert finished.code == 0, finished.err
    (row,) = home.rows("SELECT json_extract_string(settings, '$.end') AS until FROM batches")
    assert before.date() <= date.fromisoformat(row["until"]) <= after.date()
    assert json.loads((home.data / "market.json").read_text())["end"] == "today"


def test_force_trains_what_is_unchanged_and_grows_the_same_trees(sample: Home, first: Finished) -> None:
    forced = sample.backfill("--force", "--symbols", "IBM")
    assert forced.code == 0, forced.err
    assert forced.json["teacher"]["trained"] == forced.json["student"]["trained"] == 8
    trees = trees_of(sample, forced.json["batch_id"])
    assert trees == [row for row in trees_of(sample, first.json["batch_id"]) if row["symbol"] == "IBM"]


# Parameters ---------------------------------------------------------------------------------------------------------


def test_parameters_come_from_an_option_else_the_environment_else_dotenv(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / ".env").write_text(
        "TEACHER_NUM_LEAVES=29\nTEACHER_LEARNING_RATE=0.2\nTEACHER_MAX_DEPTH=4\nTEACHER_N_ESTIMATORS=11\n"
    )
    trained = home.run(
        "backfill", "--json", "--symbols", "AAPL", "--windows", "2009-01-01", "--param", "TEACHER_LEARNING_RATE=0.4",
        TEACHER_NUM_LEAVES="31", TEACHER_LEARNING_RATE="0.3",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    expected = {"num_leaves": "31", "learning_rate": "0.4", "max_depth": "4", "num_iterations": "11"}
    (row,) = home.rows("SELECT parameters FROM window_runs WHERE model = 'teacher'")
    assert json.loads(row["parameters"]).items() >= expected.items()
    (text,) = (gzip.decompress(path.read_bytes()).decode() for path in home.models() if "teacher" in path.parts)
    for name, value in expected.items():
        assert f"[{name}: {value}]" in text


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]] = {
    "out of bounds": ((), {"TEACHER_NUM_LEAVES": "5000"}, ("TEACHER_NUM_LEAVES=5000", "[2, 1024]")),
    "out of bounds by option": (("--param", "STUDENT_MAX_DEPTH=0"), {}, ("STUDENT_MAX_DEPTH=0", "[1, 20]")),
    "unknown parameter": (("--param", "TEACHER_NUM_LEAFS=31"), {}, ("TEACHER_NUM_LEAFS", "Did you mean NUM_LEAVES?")),
    "unknown variable": ((), {"TEACHER_LEARNINGRATE": "1"}, ("TEACHER_LEARNINGRATE", "Did you mean LEARNING_RATE?")),
    "rate out of bounds": (
        (), {"BATCH_TRAINING_MAX_FAILURE_RATE": "2"}, ("BATCH_TRAINING_MAX_FAILURE_RATE=2", "[0, 1]")
    ),
    "unknown symbol": (("--symbols", "AAPL,NOPE"), {}, ("NOPE", "AAPL")),
    "unknown window": (("--windows", "2009-02-02"), {}, ("2009-02-02", "2009-01-01")),
    "no universe": (("--universe", "nowhere.csv"), {}, ("nowhere.csv", "--universe")),
    "no bars": (("--bars", "nowhere"), {}, ("nowhere", "--bars")),
    "no date": (("--start", "yesterday"), {}, ("SENSEQUANT_START=yesterday", "2022-01-01")),
    "no OpenCL": (
        ("--param", "TEACHER_DEVICE_TYPE=gpu"), {"OCL_ICD_VENDORS": "empty/"}, ("TEACHER_DEVICE_TYPE=cpu", "pocl")
    ),
    "no CUDA": (("--param", "TEACHER_DEVICE_TYPE=cuda"), {}, ("TEACHER_DEVICE_TYPE=cuda", "USE_CUDA")),
    "unknown setting": ((), {"SENSEQUANT_HORIZN": "3"}, ("SENSEQUANT_HORIZN", "Did you mean SENSEQUANT_HORIZON?")),
    "no end": ((), {"STALLED_AFTER_MIN": "inf"}, ("STALLED_AFTER_MIN=inf", "(0, 525600]")),
    "no cron line": ((), {"SENSEQUANT_NIGHTLY_CRON": ""}, ("SENSEQUANT_NIGHTLY_CRON=", "a cron line like")),
    "a far day": (("--end", "9999-12-31"), {}, ("SENSEQUANT_END=9999-12-31", "2200-01-01")),
    "no text": ((), {"SENSEQUANT_BARS": ""}, ("SENSEQUANT_BARS=", "a path, an address")),
    "no symbol": (("--symbols", ""), {}, ("--symbols", "it names nothing")),
    "no universe by name": (("--universe", ""), {}, ("SENSEQUANT_UNIVERSE=", "a path")),
    "a universe that is none": (("--universe", "empty"), {}, ("There is no universe file empty", "regular file")),
    "no place for data": ((), {"SENSEQUANT_DATA_DIR": "/proc/nowhere"}, ("/proc/nowhere", "SENSEQUANT_DATA_DIR")),
    "a long name": ((), {"SENSEQUANT_DATA_DIR": "x" * 300}, ("File name too long", "SENSEQUANT_DATA_DIR")),
    "both halves alone": (("--teachers-only", "--students-only"), {}, ("exclude each other",)),
    "no file of bars": (("--bars", "empty"), {}, ("There is no file of bars in empty", ".parquet")),
    "bars of others": (("--bars", "strange"), {}, ("No bars match a symbol of universe sample", "e/TCS.csv", "AAPL")),
    "a universe without bars": (("--universe", "strange.csv"), {}, ("No symbol of universe strange", "AAPL", "--bars")),
}  # fmt: skip


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Home, Finished]]:
    """Every case of `REFUSED`."""

    def run(case: str) -> tuple[Home, Finished]:
        arguments, variables, _ = REFUSED[case]
        home = Home(tmp_path_factory.mktemp("refused"))
        for name in ("empty", "strange"):
            (home.directory / name).mkdir()
        (home.directory / "strange" / "TCS.csv").write_text("date,open,high,low,close,volume\n")
        (home.directory / "strange.csv").write_text("symbol\nTCS\n")
        return home, home.run("backfill", *arguments, **variables)

    return {case: run(case) for case in REFUSED}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_by_name_before_anything_is_trained(
    case: str, refused: dict[str, tuple[Home, Finished]]
) -> None:
    home, finished = refused[case]
    assert finished.code == 2, finished.err
    for part in REFUSED[case][2]:
        assert part in finished.err
    assert "Traceback" not in finished.err
    assert not home.models()
    assert not shard_rows(home)


# Failures -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Four symbols in three windows, bars in CSV files; trained on bars of which IBM's are corrupt."""
    directory = tmp_path_factory.mktemp("four")
    sample_bars(directory / "good")
    shutil.copytree(directory / "good", directory / "bars")
    corrupt(directory / "bars" / "IBM.csv", line=123)
    universe = write_universe(directory / "four.csv")
    variables = {"SENSEQUANT_UNIVERSE": str(universe), "SENSEQUANT_BARS": str(directory / "bars")}
    return Home(directory, variables)


@pytest.fixture(scope="module")
def too_many(four: Home) -> Finished:
    """A batch above its limit."""
    return four.backfill(*THREE_WINDOWS)


@pytest.fixture(scope="module")
def just_enough(four: Home, too_many: Finished) -> Finished:
    """The same batch with exactly its failure rate as the limit."""
    return four.backfill(*THREE_WINDOWS, "--max-failure-rate", "0.25", BATCH_TRAINING_MAX_FAILURE_RATE="0.1")


def test_above_the_limit_the_exit_code_is_1_and_no_student_is_trained(four: Home, too_many: Finished) -> None:
    assert too_many.code == 1, too_many.err
    assert too_many.json["teacher"] == {
        "eligible": 12, "trained": 9, "reused": 0, "skipped": 0, "failed": 3, "not_attempted": 0, "failure_rate": 0.25
    }  # fmt: skip
    assert too_many.json["student"]["trained"] == too_many.json["student"]["failed"] == 0
    assert too_many.json["student"]["not_attempted"] == 12
    batch = too_many.json["batch_id"]
    assert not four.rows("SELECT * FROM window_runs WHERE model = 'student' AND batch_id = ?", batch)
    verdicts = four.rows("SELECT model, passed, max_failure_rate FROM verdicts WHERE batch_id = ? ORDER BY 1", batch)
    assert [(row["model"], row["passed"], row["max_failure_rate"]) for row in verdicts] == [
        ("student", False, 0.15),
        ("teacher", False, 0.15),
    ]
    assert "failed (limit 15.0%)" in too_many.err
    assert "No student was trained: too many teachers failed in this run." in too_many.err


def test_a_corrupt_symbol_costs_its_own_windows_and_names_file_row_and_rule(four: Home, too_many: Finished) -> None:
    rows = four.rows(
        "SELECT symbol, outcome, failure_kind, error_message FROM window_runs "
        "WHERE model = 'teacher' AND batch_id = ?", too_many.json["batch_id"],
    )  # fmt: skip
    assert {row["symbol"] for row in rows if row["outcome"] == "trained"} == {"AAPL", "GOOG", "MSFT"}
    failed = [row for row in rows if row["outcome"] == "failed"]
    assert {row["symbol"] for row in failed} == {"IBM"}
    # One line for its windows, which failed alike.
    (line,) = re.findall(r"(?m)^failed teacher .*$", too_many.err)
    assert line.startswith("failed teacher IBM 2009-01-01 and 2 more windows: corrupt_bars: ")
    for row in failed:
        assert row["failure_kind"] == "corrupt_bars"
        assert str(four.directory / "bars" / "IBM.csv") + ", row 123" in row["error_message"]
        assert "close is not positive" in row["error_message"]


def test_bars_that_no_exchange_can_have_fail_with_their_rule_and_are_neither_trained_nor_skipped(
    tmp_path: Path,
) -> None:
    absurd = {
        "AAPL": ("high", 1e308),
        "GOOG": ("adj_close", 1e-320),
        "IBM": ("date", "0001-01-01"),
        "MSFT": ("volume", True),
    }
    rules = {
        "AAPL": "high is above",
        "GOOG": "adj_close is below",
        "IBM": "time is before",
        "MSFT": "volume is not a number",
    }
    bars = sample_bars(tmp_path / "bars")
    for symbol, (column, value) in absurd.items():
        table = pd.read_csv(bars / f"{symbol}.csv", dtype=str)
        table.loc[: len(table) // 5, column] = str(value)
        table.to_csv(bars / f"{symbol}.csv", index=False)
    home = Home(
        tmp_path,
        {"SENSEQUANT_BARS": str(bars), "SENSEQUANT_UNIVERSE": str(write_universe(tmp_path / "four.csv"))},
    )
    finished = home.backfill(*THREE_WINDOWS, "--max-failure-rate", "1")
    assert finished.code == 0, finished.err
    rows = home.rows(
        "SELECT symbol, outcome, failure_kind, error_message FROM window_runs "
        "WHERE model = 'teacher' AND batch_id = ?", finished.json["batch_id"],
    )  # fmt: skip
    assert len(rows) == 12
    for row in rows:
        assert (row["outcome"], row["failure_kind"]) == ("failed", "corrupt_bars")
        assert f"{bars / row['symbol']}.csv, row 2 and " in row["error_message"]
        assert f"more: {row['symbol']}: {rules[row['symbol']]}" in row["error_message"]


def test_students_alone_are_not_trained_after_a_failed_teacher_check(four: Home, too_many: Finished) -> None:
    students = four.backfill(*THREE_WINDOWS, "--students-only", "--max-failure-rate", "1")
    assert students.code == 1, students.err
    assert students.json["student"]["trained"] == 0
    assert not four.rows("SELECT * FROM window_runs WHERE batch_id = ?", students.json["batch_id"])
    assert f"too many teachers failed in batch {too_many.json['batch_id']}" in students.err


def test_exactly_the_limit_passes_and_the_option_wins_over_the_environment(four: Home, just_enough: Finished) -> None:
    assert just_enough.code == 0, just_enough.err
    assert just_enough.json["teacher"] == {
        "eligible": 12, "trained": 0, "reused": 9, "skipped": 0, "failed": 3, "not_attempted": 0, "failure_rate": 0.25
    }  # fmt: skip
    assert just_enough.json["student"]["trained"] == 9
    assert just_enough.json["student"]["failed"] == 3
    kinds = four.rows(
        "SELECT DISTINCT failure_kind FROM window_runs WHERE model = 'student' AND outcome = 'failed' "
        "AND batch_id = ?", just_enough.json["batch_id"],
    )  # fmt: skip
    assert [row["failure_kind"] for row in kinds] == ["missing_teacher"]


def test_missing_and_failed_select_what_they_say(four: Home, just_enough: Finished) -> None:
    missing = four.backfill(*THREE_WINDOWS, "--select", "missing", BATCH_TRAINING_MAX_FAILURE_RATE="1")
    assert missing.code == 0, missing.err
    assert missing.json["teacher"]["eligible"] == missing.json["teacher"]["failed"] == 3
    # A later batch of other windows does not make the failed ones forgotten.
    assert four.backfill(*THREE_WINDOWS, "--symbols", "AAPL").code == 0
    good = str(four.directory / "good")
    mended = four.backfill(*THREE_WINDOWS, "--bars", good, "--select", "failed")
    assert mended.code == 0, mended.err
    expected = {"eligible": 3, "trained": 3, "reused": 0, "skipped": 0} | NO_FAILURE
    assert mended.json["teacher"] == mended.json["student"] == expected
    nothing = four.backfill(*THREE_WINDOWS, "--bars", good, "--select", "failed")
    assert nothing.code == 0, nothing.err
    assert nothing.json["batch_id"] is None
    assert "Nothing to do" in nothing.err


# Choices and halves -------------------------------------------------------------------------------------------------


def test_students_alone_need_teachers_and_take_them_when_they_are_there(tmp_path: Path) -> None:
    home = Home(tmp_path)
    chosen = ("--symbols", "AAPL,MSFT", "--windows", "2009-01-01,2009-12-27")
    lonely = home.backfill(*chosen, "--students-only")
    assert lonely.code == 1, lonely.err
    assert lonely.json["student"]["failed"] == 4
    for row in home.rows("SELECT failure_kind, error_message FROM window_runs"):
        assert row["failure_kind"] == "missing_teacher"
        assert "was not trained in any batch" in row["error_message"]
    teachers = home.backfill(*chosen, "--teachers-only")
    assert teachers.code == 0, teachers.err
    assert teachers.json["teacher"]["trained"] == 4
    assert teachers.json["student"] == dict.fromkeys(COUNTS - {"failure_rate"}, 0) | {"failure_rate": None}
    students = home.backfill(*chosen, "--students-only")
    assert students.code == 0, students.err
    assert students.json["student"]["trained"] == 4
    assert students.json["teacher"]["eligible"] == 0
    # The windows between the chosen ones are not theirs.
    assert {path.name for path in home.models()} == {"2009-01-01.txt.gz", "2009-12-27.txt.gz"}


def test_markets_in_one_data_directory_do_not_disturb_each_other(four: Home, tmp_path: Path) -> None:
    home = Home(tmp_path)
    west, east = (
        write_universe(tmp_path / "west.csv", ["AAPL", "MSFT"]),
        write_universe(tmp_path / "east.csv", ["AAPL"]),
    )
    bars = sample_bars(tmp_path / "east")
    corrupt(bars / "AAPL.csv")
    of_west = ("--universe", str(west), "--windows", "2009-01-01")
    of_east = ("--universe", str(east), "--windows", "2009-01-01", "--bars", str(bars))
    assert home.backfill(*of_west, "--teachers-only").code == 0
    assert home.backfill(*of_east).code == 1
    # The failed teachers of the east are neither the west's to try again nor a reason to train no student of it.
    assert home.backfill(*of_west, "--select", "failed").json["batch_id"] is None
    students = home.backfill(*of_west, "--students-only")
    assert students.code == 0, students.err
    assert students.json["student"]["trained"] == 2
    assert {path.relative_to(home.data / "models").parts[0] for path in home.models()} == {"west"}


def test_a_universe_that_lost_models_is_refused_before_anything_is_trained_unless_it_is_allowed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    universe = write_universe(tmp_path / "u.csv", ["AAPL", "MSFT"])
    asked = ("--universe", str(universe), "--windows", "2009-01-01", "--teachers-only")
    assert home.backfill(*asked).code == 0
    write_universe(universe, ["AAPL"])
    refused = home.backfill(*asked)
    assert (refused.code, refused.out) == (2, "")
    (line,) = refused.err.splitlines()
    assert line.startswith("sensequant: Universe u has lost 1 of the 2 symbols of batch ")
    assert line.endswith("accept that with --allow-shrink or SENSEQUANT_ALLOW_SHRINK=true.")
    allowed = home.backfill(*asked, "--allow-shrink")
    assert allowed.code == 0, allowed.err
    assert allowed.json["teacher"]["reused"] == 1
    assert "warning Universe u has lost 1 of the 2 symbols" in allowed.err
    assert home.rows("SELECT message FROM events WHERE kind = 'universe' AND level = 'warning'")


def test_a_past_night_is_run_again_as_it_was_known_then_and_reuses_every_model(tmp_path: Path) -> None:
    home = Home(tmp_path)
    night, symbols = "2009-11-16", ["AAPL", "IBM", "MSFT"]
    bars, universe = sample_bars(tmp_path / "bars", symbols, until=night), write_universe(tmp_path / "u.csv", symbols)
    asked: tuple[str, ...] = ("--universe", str(universe), "--bars", str(bars), *THREE_WINDOWS)
    pooled = {"TEACHER_SCOPE": "pool", "TEACHER_MIN_CHILD_SAMPLES": "20", "STUDENT_MIN_CHILD_SAMPLES": "20"}
    first = home.backfill(*asked, **pooled)
    assert first.code == 0, first.err
    assert first.json["student"]["trained"] == 6
    # Bars are appended, a company is renamed, and one is listed.
    sample_bars(bars, [*symbols, "FB"])
    (bars / "IBM.csv").rename(bars / "BIGBLUE.csv")
    write_universe(universe, ["AAPL", "BIGBLUE", "FB", "MSFT"])
    (tmp_path / "changes.csv").write_text("International Business Machines,IBM,BIGBLUE,03-JAN-2012\n")
    asked = (*asked, "--symbol-changes", str(tmp_path / "changes.csv"))
    again = home.backfill(*asked, "--as-of", night, **pooled)
    assert again.code == 0, again.err
    assert "note All is as it was known on 2009-11-16" in again.err
    assert trees_of(home, again.json["batch_id"]) == trees_of(home, first.json["batch_id"])
    for model in ("teacher", "student"):
        assert again.json[model] == first.json[model] | {"trained": 0, "reused": 6}
    # A later night trains other models, and the universe of the night before it has lost nothing to it.
    later = home.backfill(*asked, **pooled)
    assert later.code == 0, later.err
    assert later.json["student"]["trained"] > 0
    assert "lost" not in later.err
    assert trees_of(home, later.json["batch_id"]) != trees_of(home, first.json["batch_id"])
    once_more = home.backfill(*asked, "--as-of", night, **pooled)
    assert once_more.code == 0, once_more.err
    assert trees_of(home, once_more.json["batch_id"]) == trees_of(home, first.json["batch_id"])
    assert json.loads((home.data / "market.json").read_text())["as_of"] is None


# Kills and company --------------------------------------------------------------------------------------------------


def written(home: Home, text: bytes) -> int:
    """How often a text stands in the shards."""
    return sum(shard.read_bytes().count(text) for shard in home.telemetry.shards.glob("*.jsonl"))


def shard_rows(home: Home) -> int:
    """Rows of windows that have reached a shard."""
    return written(home, b'"record":"window_run"')


def test_a_killed_backfill_loses_no_row_and_the_next_one_does_only_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    slow = ("backfill", "--json", "--workers", "1", "--symbols", "AAPL,IBM", "--param", "TEACHER_N_ESTIMATORS=300")
    with home.start(*slow, "--teachers-only") as process:
        until(lambda: shard_rows(home) >= 3 or process.poll() is not None, "rows")
        kill(process)
    kept = shard_rows(home)
    assert 3 <= kept < 16, "it was not killed in the middle"
    (batch,) = home.query("SELECT batch_id, status FROM batches")
    rows = home.query("SELECT symbol, window_start, outcome FROM window_runs")
    assert len(rows) == kept
    assert {row["outcome"] for row in rows} == {"trained"}
    left = home.rows(
        "SELECT outcome, count(*)::INTEGER AS windows FROM window_status WHERE batch_id = ? GROUP BY 1 ORDER BY 1",
        batch["batch_id"],
    )
    assert left == [{"outcome": "not_attempted", "windows": 16 - kept}, {"outcome": "trained", "windows": kept}]
    assert batch["status"] == "interrupted"
    # As after a kill in the middle of writing a model.
    stray = home.data / "models" / "sample" / "teacher" / "IBM" / ".2012-06-14.txt.gz.1.abc"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("tree")
    again = finish(home.start(*slow, "--select", "all", "--teachers-only"))
    assert again.code == 0, again.err
    done = again.json["teacher"]
    # The window after the last row may have been saved before the kill, without its row.
    assert kept <= done["reused"] <= kept + 1
    assert done["trained"] + done["reused"] == done["eligible"] == 16
    assert len(home.models()) == 16
    monkeypatch.setenv("DAGSTER_HOME", str(home.data / "dagster"))
    with open_instance(home.data / "dagster") as instance:
        assert [run.status.name for run in instance.get_runs()] == ["SUCCESS", "FAILURE"]


def begun_backfill(home: Home) -> Process:
    """A backfill in the middle of its teachers."""
    process = home.start("backfill", "--workers", "1", "--symbols", "AAPL", "--param", "TEACHER_N_ESTIMATORS=1000")
    until(lambda: shard_rows(home) >= 1 or process.poll() is not None, "rows")
    return process


def test_an_interrupted_backfill_says_so_and_blames_no_window(tmp_path: Path) -> None:
    home = Home(tmp_path)
    process = begun_backfill(home)
    process.send_signal(signal.SIGINT)
    interrupted = finish(process)
    assert interrupted.code == 130, interrupted.err
    assert "sensequant: stopping; Ctrl-C again ends it at once\n" in interrupted.err
    assert "The run was interrupted. What it has trained is kept" in interrupted.err
    assert "Traceback" not in interrupted.err
    left = home.rows("SELECT DISTINCT outcome FROM window_status WHERE model = 'teacher' ORDER BY 1")
    assert [row["outcome"] for row in left] == ["not_attempted", "trained"]
    assert home.rows("SELECT status FROM batches") == [{"status": "failed"}]


def test_a_second_interrupt_ends_a_backfill_that_waits_to_end_in_order(tmp_path: Path) -> None:
    home = Home(tmp_path)
    process = begun_backfill(home)
    with (home.telemetry.directory / "telemetry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        until(lambda: "stopping" in process.stderr.readline(), "the answer")
        time.sleep(2)
        assert process.poll() is None, "it did not wait for telemetry"
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 130
    assert time.monotonic() - asked < 5


@pytest.mark.parametrize(
    "moment",
    [
        # SQLAlchemy takes a connection back.
        """
engine = sqlalchemy.create_engine("sqlite://")
sqlalchemy.event.listen(engine, "reset", press)
engine.connect().close()
""",
        # Python takes an object down.
        """
class Held:
    __del__ = press
held = Held()
del held
while True:
    pass
""",
    ],
)
def test_ctrl_c_at_an_odd_moment_is_neither_lost_nor_a_traceback(moment: str) -> None:
    script = f"""
import os, signal, sqlalchemy
from sensequant_assets.cli.interrupts import answer_interrupts
from sensequant_assets.cli.main import exit_code_of
answer_interrupts()
def press(*_):
    signal.raise_signal(signal.SIGINT)
code = exit_code_of(lambda: exec({moment!r}, globals()))
os._exit(code)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 130, ended.stderr
    assert "sensequant: interrupted.\n" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_batch_whose_windows_all_failed_ends_with_1_whoever_keeps_the_database(tmp_path: Path) -> None:
    home = Home(tmp_path)
    bars = sample_bars(tmp_path / "bars", ["AAPL"])
    corrupt(bars / "AAPL.csv")
    universe = write_universe(tmp_path / "one.csv", ["AAPL"])
    with home.telemetry.connect():
        failed = home.backfill("--universe", str(universe), "--bars", str(bars), *THREE_WINDOWS)
    assert failed.code == 1, failed.err
    assert failed.json["teacher"]["failed"] == failed.json["teacher"]["eligible"] == 3
    assert failed.json["student"]["not_attempted"] == 3
    assert "Telemetry lacks this batch for the time being" in failed.err
    assert home.rows("SELECT count(*) AS n FROM window_runs") == [{"n": 3}]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[Finished], list[Finished]]:
    """Two backfills from scratch in one data directory, one worker each, and everything a reader was told meanwhile."""
    home = Home(tmp_path_factory.mktemp("crowd"))
    command = ("backfill", "--json", *FEW, "--workers", "1", "--force")
    running = [home.start(*command), home.start(*command)]
    asked: list[Finished] = []
    while any(process.poll() is None for process in running):
        asked.append(home.run("query", "SELECT count(*) FROM window_runs"))
    return home, [finish(process) for process in running], asked


def test_two_backfills_and_a_reader_at_once_do_not_lock_each_other_out(
    crowd: tuple[Home, list[Finished], list[Finished]],
) -> None:
    home, ended, asked = crowd
    for one in (*ended, *asked):
        assert one.code == 0, one.err
        assert "lock" not in (one.out + one.err).lower()
    assert len(asked) > 1
    for one in ended:
        assert one.json["teacher"]["trained"] == one.json["student"]["trained"] == 33
        counted = home.rows(
            "SELECT model, count(*)::INTEGER AS rows, count(DISTINCT (symbol, window_start))::INTEGER AS windows "
            "FROM window_runs WHERE batch_id = ? GROUP BY 1 ORDER BY 1", one.json["batch_id"],
        )  # fmt: skip
        assert counted == [{"model": model, "rows": 40, "windows": 40} for model in ("student", "teacher")]


def test_one_worker_grows_the_trees_that_two_workers_grew(
    crowd: tuple[Home, list[Finished], list[Finished]], sample: Home, first: Finished
) -> None:
    home, ended, _ = crowd
    trees = trees_of(sample, first.json["batch_id"])
    assert len(trees) == len({row["trees_fingerprint"] for row in trees}) == 66
    for one in ended:
        assert trees_of(home, one.json["batch_id"]) == trees


# Pools --------------------------------------------------------------------------------------------------------------


def test_a_pooled_backfill_tells_its_pools_and_leaves_a_model_file_a_pair(tmp_path: Path) -> None:
    home = Home(tmp_path, {"TEACHER_SCOPE": "pool"})

    first = home.backfill(*THREE_WINDOWS)

    assert first.code == 0, first.err
    assert first.json["teacher"] == first.json["student"]
    assert (first.json["teacher"]["trained"], first.json["teacher"]["skipped"]) == (12, 3)
    told = [line for line in first.err.splitlines() if line.startswith("The ")]
    assert len(told) == 3
    assert told[0].startswith("The pool of window ")
    assert told[0].endswith(" of 4 symbols, was trained.")
    texts = {path: path.read_bytes() for path in home.models() if path.parts[-3] in ("teacher", "student")}
    assert len(texts) == 24
    assert len(set(texts.values())) == 6
    again = home.backfill(*THREE_WINDOWS)
    assert (again.json["teacher"]["reused"], again.json["student"]["reused"]) == (12, 12)
    assert "The pool of window 2009-01-01, 464 rows of 4 symbols, was reused." in again.err.splitlines()


def test_a_student_cannot_be_shared_without_a_pool(tmp_path: Path) -> None:
    refused = Home(tmp_path).backfill(*THREE_WINDOWS, "--param", "STUDENT_SCOPE=pool")

    assert refused.code == 2
    assert "STUDENT_SCOPE=pool needs TEACHER_SCOPE=pool" in refused.err


def test_the_plan_of_a_pooled_lattice_says_which_pool_is_too_small(tmp_path: Path) -> None:
    plan = Home(tmp_path).run("plan", "--json", *THREE_WINDOWS, TEACHER_SCOPE="pool", TEACHER_MIN_CHILD_SAMPLES="140")

    assert plan.code == 0, plan.err
    lines = [json.loads(line) for line in plan.out.splitlines()]
    lacking = {line["window_start"]: line for line in lines if line["reason"] == "insufficient_bars"}
    assert set(lacking) == {"2009-01-01"}
    assert "The pool of window 2009-01-01 has 464 rows, needs " in json.dumps(lacking)


def test_plan_and_summary_mark_a_window_that_the_model_of_another_serves(tmp_path: Path) -> None:
    home = Home(tmp_path, {"TEACHER_SCOPE": "pool"})
    bars = sample_bars(tmp_path / "bars", ("AAPL", "IBM"), until="2010-01-11")
    universe = write_universe(tmp_path / "two.csv", ("AAPL", "IBM"))
    market = ("--universe", str(universe), "--bars", str(bars), "--end", "2010-06-25", *FEW)
    small = {"TEACHER_MIN_CHILD_SAMPLES": "20", "STUDENT_MIN_CHILD_SAMPLES": "20"}

    done = home.run("backfill", *market, **small)

    assert done.code == 0, done.err
    line = "reused for 2 pairs of window 2009-12-27, which has too few rows yet: models of window 2009-06-30"
    assert line in done.out.splitlines()
    plan = home.run("plan", *market[: -len(FEW)], **small).out
    assert "2 served by the model of a window before, for example: The model of window 2009-06-30 serves it" in plan
    assert "3+<" in plan
    lines = [json.loads(line) for line in home.run("plan", "--json", *market[: -len(FEW)], **small).out.splitlines()]
    assert [line["served_by"] for line in lines if line["symbol"] == "IBM"] == [None, None, "2009-06-30"]
    assert all(line["eligible"] and line["reason"] is None for line in lines)


def test_the_plan_says_of_the_rows_of_pools_what_they_let_parameters_do(tmp_path: Path) -> None:
    home = Home(tmp_path, {"TEACHER_SCOPE": "pool"})

    assert "does nothing" not in home.run("plan", *THREE_WINDOWS).out
    # 1404 rows of three windows make 14 leaves of a hundred.
    assert "note TEACHER_NUM_LEAVES=127 does nothing: a tree of TEACHER_MAX_DEPTH=6 has 64 leaves at most." in home.run(
        "plan", *THREE_WINDOWS, TEACHER_NUM_LEAVES="127"
    ).out.replace("\n", " ")
