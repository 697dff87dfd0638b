"""Claims about where settings come from, and how a wrong one is told."""

import json
import os
import random
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sensequant_assets import settings as settings_module
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import (
    PROJECT,
    MarketSettings,
    Settings,
    absolute_market,
    describe_bounds,
    environment,
    parse_overrides,
    prepare_data_dir,
    read_settings,
    read_student,
    read_teacher,
    remember_market,
    variable_of_setting,
)
from sensequant_assets_tests.running import as_nobody, within


@pytest.fixture(autouse=True)
def _nothing_is_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("SENSEQUANT_", "TEACHER_", "STUDENT_", "BATCH_", "OPEN_WINDOWS")):
            monkeypatch.delenv(name)


def dotenv(tmp_path, *lines: str) -> None:
    (tmp_path / ".env").write_text("\n".join(lines))


# Field, variable, and the values of `.env`, environment and override, none of which is the default.
FIELDS = [
    ("window_days", "SENSEQUANT_WINDOW_DAYS", 90, 91, 92),
    ("max_failure_rate", "BATCH_TRAINING_MAX_FAILURE_RATE", 0.3, 0.4, 0.5),
    ("max_failure_rate", "SENSEQUANT_MAX_FAILURE_RATE", 0.3, 0.4, 0.5),
    ("bars", "SENSEQUANT_BARS", "one", "two", "three"),
]


@pytest.mark.parametrize(("field", "variable", "in_file", "in_environment", "override"), FIELDS)
def test_an_override_wins_over_the_environment_and_that_over_the_file(
    tmp_path, monkeypatch, field, variable, in_file, in_environment, override
):
    assert getattr(read_settings(), field) == Settings.model_fields[field].default
    dotenv(tmp_path, f"{variable}={in_file}")
    assert getattr(read_settings(), field) == in_file
    monkeypatch.setenv(variable, str(in_environment))
    assert getattr(read_settings(), field) == in_environment
    assert getattr(read_settings({field: override}), field) == override


@pytest.mark.parametrize("variable", ["OPEN_WINDOWS", "SENSEQUANT_OPEN_WINDOWS"])
def test_open_windows_has_two_names_and_an_override_wins_over_both(monkeypatch, variable):
    monkeypatch.setenv(variable, "skip")
    assert read_settings().open_windows == "skip"
    assert read_settings({"open_windows": "train"}).open_windows == "train"
    assert read_settings().recipe.open_windows == "skip"


def test_the_environment_wins_over_the_file_whatever_the_spelling(tmp_path, monkeypatch):
    dotenv(tmp_path, "PARALLEL_RETRY_LIMIT=1", "SENSEQUANT_STALLED_AFTER_MIN=1")
    monkeypatch.setenv("SENSEQUANT_RETRY_LIMIT", "2")
    monkeypatch.setenv("STALLED_AFTER_MIN", "2")
    assert (read_settings().retry_limit, read_settings().stalled_after_min) == (2, 2)


@pytest.mark.parametrize("variable", ["HORIZON", "RETRY_LIMIT", "DATA_DIR"])
def test_a_variable_that_is_not_ours_is_not_read(monkeypatch, variable):
    monkeypatch.setenv(variable, "5")
    assert read_settings() == Settings.model_construct()


def test_an_override_of_none_says_nothing(monkeypatch):
    monkeypatch.setenv("SENSEQUANT_HORIZON", "5")
    assert read_settings({"horizon": None}).horizon == 5


def test_what_nobody_sets_is_what_the_scope_says_and_what_is_set_binds(monkeypatch):
    monkeypatch.setenv("TEACHER_SCOPE", "pool")
    monkeypatch.setenv("TEACHER_MAX_DEPTH", "9")
    teacher = read_teacher({"n_estimators": "500"})
    assert (teacher.num_leaves, teacher.max_depth, teacher.n_estimators) == (15, 9, 500)
    assert teacher.model_fields_set == {"scope", "max_depth", "n_estimators"}
    monkeypatch.setenv("TEACHER_SCOPE", "symbol")
    assert (read_teacher().num_leaves, read_teacher().max_depth) == (127, 9)


def test_students_have_the_scope_of_their_teachers_unless_they_have_their_own(monkeypatch):
    assert read_student().scope == read_teacher().scope == "pool"
    assert (read_student().scope, read_student().num_leaves) == ("pool", 15)
    assert read_student({"scope": "symbol"}).num_leaves == 7
    assert read_student(scope="symbol").num_leaves == 7
    monkeypatch.setenv("TEACHER_SCOPE", "symbol")
    assert (read_student().scope, read_student().num_leaves) == ("symbol", 7)
    monkeypatch.setenv("TEACHER_SCOPE", "pool")
    monkeypatch.setenv("STUDENT_SCOPE", "symbol")
    assert (read_student().scope, read_student().num_leaves) == ("symbol", 7)


@pytest.mark.parametrize("variable", ["EARLY_LIFE", "TEACHER_EARLY_LIFE"])
def test_early_life_is_set_with_its_prefix_or_without(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_teacher().early_life == "pool"
    monkeypatch.setenv(variable, "separate")
    assert read_teacher().early_life == "separate"
    monkeypatch.setenv(variable, "apart")
    with pytest.raises(UsageError, match=r"TEACHER_EARLY_LIFE=apart is not allowed: it must be pool or separate"):
        read_teacher()


@pytest.mark.parametrize("variable", ["POOL_HISTORY", "TEACHER_POOL_HISTORY"])
def test_the_history_of_a_pool_is_a_number_of_windows_or_all(monkeypatch, variable):
    assert read_teacher().pool_history == "all"
    monkeypatch.setenv(variable, "3")
    assert read_teacher().pool_history == "3"
    monkeypatch.setenv(variable, "0")
    with pytest.raises(UsageError, match=r"TEACHER_POOL_HISTORY=0 is not allowed: it must be all, or a whole number"):
        read_teacher()


def test_teacher_and_student_have_the_same_order(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_SCOPE", "symbol")
    assert read_teacher().num_leaves == 127
    dotenv(tmp_path, "TEACHER_NUM_LEAVES=21", "STUDENT_NUM_LEAVES=5")
    assert (read_teacher().num_leaves, read_student().num_leaves) == (21, 5)
    monkeypatch.setenv("TEACHER_NUM_LEAVES", "31")
    monkeypatch.setenv("STUDENT_NUM_LEAVES", "6")
    assert (read_teacher().num_leaves, read_student().num_leaves) == (31, 6)
    assert read_teacher({"num_leaves": "41"}).num_leaves == 41
    assert read_student({"num_leaves": "8"}).num_leaves == 8


@pytest.mark.parametrize(
    ("variable", "value", "bounds"),
    [
        ("SENSEQUANT_WINDOW_DAYS", "0", "a whole number in [1, 3650]"),
        ("SENSEQUANT_HORIZON", "x", "a whole number in [1, 10000]"),
        ("SENSEQUANT_VALIDATION_FRACTION", "1", "a number in [0, 1)"),
        ("SENSEQUANT_WINDOW_TIMEOUT_S", "0", "a number in (0, 604800]"),
        ("STALLED_AFTER_MIN", "inf", "a number in (0, 525600]"),
        ("SENSEQUANT_RETRY_BACKOFF_S", "nan", "a number in (0, 86400]"),
        ("SENSEQUANT_MIN_SAMPLES", "9" * 30, "a whole number in [1, 1000000]"),
        ("SENSEQUANT_END", "9999-12-31", "a date like 2022-01-01 in [1900-01-01, 2200-01-01], or today"),
        ("SENSEQUANT_END", "20220101", "a date like 2022-01-01 in [1900-01-01, 2200-01-01], or today"),
        ("SENSEQUANT_END", "2022-02-30", "a date like 2022-01-01 in [1900-01-01, 2200-01-01], or today"),
        ("SENSEQUANT_END", "tomorrow", "a date like 2022-01-01 in [1900-01-01, 2200-01-01], or today"),
        ("SENSEQUANT_START", "today", "a date like 2022-01-01 in [1900-01-01, 2200-01-01]"),
        ("SENSEQUANT_NIGHTLY_CRON", "", "a cron line like 30 18 * * 1-5"),
        ("SENSEQUANT_WEEKLY_CRON", "0 0 31 2 *", "a cron line like 30 18 * * 1-5"),
        ("SENSEQUANT_OWNERS", "quant", "team:name or e-mail addresses, separated by commas"),
        ("SENSEQUANT_OWNERS", "team:quant,", "team:name or e-mail addresses, separated by commas"),
        ("SENSEQUANT_OWNERS", "quant@desk", "team:name or e-mail addresses, separated by commas"),
        ("SENSEQUANT_BARS", "", "a path, an address like s3://bucket/name, or sample"),
        ("SENSEQUANT_UNIVERSE", "", "a path"),
        ("SENSEQUANT_DATA_DIR", " ", "a path or an address like s3://bucket/name"),
        ("SENSEQUANT_TIMEZONE", "", "a time zone like Asia/Kolkata"),
        ("SENSEQUANT_SCHEDULE_TIMEZONE", "", "a time zone like Asia/Kolkata"),
        ("SENSEQUANT_THRESHOLD", "nan", "a number in [-1, 10]"),
        ("SENSEQUANT_START", "1 May", "a date like 2022-01-01 in [1900-01-01, 2200-01-01]"),
        ("SENSEQUANT_TIMEZONE", "Asia/Nowhere", "a time zone like Asia/Kolkata"),
        ("SENSEQUANT_TIMEZONE", "../zone", "a time zone like Asia/Kolkata"),
        ("OPEN_WINDOWS", "maybe", "train or skip"),
        ("BATCH_TRAINING_MAX_FAILURE_RATE", "1.5", "a number in [0, 1]"),
    ],
)
def test_a_wrong_value_names_its_variable_itself_and_its_bounds(monkeypatch, variable, value, bounds):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        read_settings()
    assert str(caught.value) == f"{variable}={value} is not allowed: it must be {bounds}."


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TEACHER_NUM_LEAVES", "1", "TEACHER_NUM_LEAVES=1 is not allowed: it must be a whole number in [2, 1024]."),
        ("TEACHER_LEARNING_RATE", "0", "TEACHER_LEARNING_RATE=0 is not allowed: it must be a number in [0.001, 1]."),
        (
            "TEACHER_DEVICE_TYPE",
            "tpu",
            "TEACHER_DEVICE_TYPE=tpu is not allowed: it must be auto or cpu or gpu or cuda.",
        ),
        ("TEACHER_GPU_USE_DP", "perhaps", "TEACHER_GPU_USE_DP=perhaps is not allowed: it must be true or false."),
    ],
)
def test_a_wrong_parameter_names_its_variable_itself_and_its_bounds(monkeypatch, variable, value, expected):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        read_teacher()
    assert str(caught.value) == expected
    monkeypatch.delenv(variable)
    with pytest.raises(UsageError) as caught:
        read_teacher({variable.removeprefix("TEACHER_").lower(): value})
    assert str(caught.value) == expected


def test_a_wrong_override_names_the_variable_as_well():
    with pytest.raises(UsageError, match=r"^SENSEQUANT_WINDOW_DAYS=0 is not allowed"):
        read_settings({"window_days": 0})
    with pytest.raises(
        UsageError, match=r"^BATCH_TRAINING_MAX_FAILURE_RATE=2 is not allowed: it must be a number in \[0, 1\]"
    ):
        read_settings({"max_failure_rate": 2})


def test_every_wrong_value_is_told_at_once(monkeypatch):
    monkeypatch.setenv("STUDENT_NUM_LEAVES", "0")
    monkeypatch.setenv("STUDENT_SUBSAMPLE", "2")
    with pytest.raises(UsageError, match=r"STUDENT_NUM_LEAVES=0 .* STUDENT_SUBSAMPLE=2 "):
        read_student()


@pytest.mark.parametrize("where", ["environment", "file"])
def test_an_unknown_parameter_is_refused_with_the_nearest_one(tmp_path, monkeypatch, where):
    if where == "file":
        dotenv(tmp_path, "TEACHER_NUM_LEAFS=31")
    else:
        monkeypatch.setenv("TEACHER_NUM_LEAFS", "31")
    with pytest.raises(UsageError, match=r"^TEACHER_NUM_LEAFS is no parameter\. Did you mean NUM_LEAVES\? There are: "):
        read_teacher()
    assert read_student().num_leaves == 15


def test_an_unknown_parameter_near_to_none_is_refused_without_a_guess(monkeypatch):
    monkeypatch.setenv("STUDENT_XYZ", "1")
    with pytest.raises(UsageError, match=r"^STUDENT_XYZ is no parameter\. There are: "):
        read_student()


def test_params_are_sorted_by_their_prefix():
    teacher, student = parse_overrides(
        [
            "TEACHER_NUM_LEAVES=31",
            "student_n_estimators=80",
            "teacher.max_depth = 4",
            "teacher_learning_rate=0.5",
            "TEACHER_NUM_LEAVES=63",
        ]
    )
    assert teacher == {"num_leaves": "63", "max_depth": "4", "learning_rate": "0.5"}
    assert student == {"n_estimators": "80"}
    assert read_teacher(teacher).max_depth == 4


def test_a_param_keeps_an_equals_sign_of_its_value():
    with pytest.raises(UsageError, match=r"TEACHER_NUM_LEAVES==3 is not allowed"):
        read_teacher(parse_overrides(["TEACHER_NUM_LEAVES==3"])[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "TEACHER_NUM_LEAVES",
            "--param TEACHER_NUM_LEAVES has no value; write for example --param TEACHER_NUM_LEAVES=31.",
        ),
        ("STUDENT_FOLDS=3", "--param STUDENT_FOLDS is no parameter."),
        ("teacher_num_leafs=3", "--param teacher_num_leafs is no parameter. Did you mean NUM_LEAVES?"),
        (
            "num_leaves=3",
            "--param num_leaves=3 does not say whose it is; write TEACHER_NUM_LEAVES=3 or STUDENT_NUM_LEAVES=3.",
        ),
        ("=3", "--param =3 does not say whose it is"),
    ],
)
def test_a_param_that_nothing_reads_is_refused(text, message):
    with pytest.raises(UsageError) as caught:
        parse_overrides([text])
    assert str(caught.value).startswith(message)


def remember(tmp_path, **market: object) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "market.json").write_text(json.dumps(market))


def test_the_last_lattice_stands_where_nothing_else_says_anything(tmp_path, monkeypatch):
    remember(tmp_path, start="2022-01-01", window_days=60, horizon=3, open_windows="skip", threshold=0.05, workers=9)
    monkeypatch.setenv("SENSEQUANT_WINDOW_DAYS", "90")
    dotenv(tmp_path, "SENSEQUANT_THRESHOLD=0.01")
    settings = read_settings({"horizon": 5}, remembered=True)
    assert (settings.window_days, settings.horizon, settings.threshold) == (90, 5, 0.01)
    assert (settings.start, settings.open_windows) == (date(2022, 1, 1), "skip")
    assert settings.workers == 0  # how a batch runs is not remembered, only which lattice it has
    assert read_settings().start == date(2009, 1, 1)


def test_a_setting_of_the_environment_that_is_the_default_still_wins_over_the_last_lattice(tmp_path, monkeypatch):
    remember(tmp_path, window_days=60, open_windows="skip")
    monkeypatch.setenv("SENSEQUANT_WINDOW_DAYS", "180")
    monkeypatch.setenv("OPEN_WINDOWS", "train")
    settings = read_settings(remembered=True)
    assert (settings.window_days, settings.open_windows) == (180, "train")


def test_what_is_remembered_gives_the_same_lattice(tmp_path):
    first = read_settings(
        {"window_days": 90, "timezone": "Asia/Kolkata", "open_windows": "skip", "start": "2010-02-03"}
    )
    remember(tmp_path, **first.market)
    assert set(first.market) == set(MarketSettings.model_fields)
    assert read_settings(remembered=True).market == first.market


UNFIT_MARKETS = {
    b"": "cannot be read: Expecting value",
    b'{"start": ': "cannot be read: Expecting value",
    b"\xff\xfe\x00": "cannot be read: ",
    b"[" * 100_000: "cannot be read: it is nested too deeply",
    b"null": "holds no market",
    b"[1]": "holds no market",
    b"3": "holds no market",
    b'{"horizon": []}': "horizon=[] is not allowed: it must be a whole number in [1, 10000]",
    b'{"horizon": null}': "horizon=None is not allowed",
    b'{"start": 5}': "start=5 is not allowed",
    b'{"end": "9999-12-31"}': "end=9999-12-31 is not allowed",
    b'{"universe": 3}': "universe=3 is not allowed: it must be a path",
    b'{"bars": "a\\u0000b"}': "bars=a\\x00b is not allowed",
    b'{"threshold": NaN}': "threshold=nan is not allowed",
}


@pytest.mark.parametrize("written", UNFIT_MARKETS, ids=lambda written: repr(written[:20]))
def test_a_last_lattice_that_cannot_be_read_says_what_to_delete(tmp_path, written):
    remember(tmp_path)
    (tmp_path / "data" / "market.json").write_bytes(written)
    with pytest.raises(UsageError) as caught:
        read_settings(remembered=True)
    assert str(caught.value).startswith("data/market.json")
    assert UNFIT_MARKETS[written] in str(caught.value)
    assert str(caught.value).endswith(". Delete it; the next batch writes it.")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_a_last_lattice_that_is_no_file_is_refused_without_waiting(tmp_path, make):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data" / "market.json")
    with pytest.raises(UsageError, match=r"^data/market\.json cannot be read: it is no regular file\. Delete it;"):
        read_settings(remembered=True)


def test_an_end_of_today_moves_with_the_days_of_the_exchange_until_it_is_dated(tmp_path, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2022, 6, 30, 19, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(settings_module, "datetime", Clock)
    found = read_settings({"start": "2022-01-01", "end": "today"})
    assert (found.until, found.dated().end, found.dated("2022-02-01").end) == (
        date(2022, 6, 30), date(2022, 6, 30), date(2022, 2, 1),
    )  # fmt: skip
    assert read_settings({"end": "today", "timezone": "Asia/Kolkata"}).until == date(2022, 7, 1)
    assert [window.end for window in found.windows] == [date(2022, 6, 30)]
    assert environment(found)["SENSEQUANT_END"] == found.market["end"] == "today"
    assert found.dated().market["end"] == "2022-06-30"
    (tmp_path / "data").mkdir()
    remember_market(found)
    assert read_settings(remembered=True).rolls
    fixed = read_settings({"end": "2022-02-01"})
    assert fixed.dated("2023-01-01") is fixed


def test_without_a_last_lattice_the_defaults_stand():
    assert read_settings(remembered=True) == read_settings()


def test_every_number_has_its_bounds_in_words():
    assert describe_bounds(Settings, "workers") == "a whole number in [0, 1024]"
    assert describe_bounds(Settings, "min_samples") == "a whole number in [1, 1000000]"
    assert describe_bounds(Settings, "start") == "a date like 2022-01-01 in [1900-01-01, 2200-01-01]"
    assert describe_bounds(Settings, "end") == "a date like 2022-01-01 in [1900-01-01, 2200-01-01], or today"


def test_a_data_directory_at_an_address_is_a_cache_whose_copy_lies_there(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", "s3://bucket/desk/")
    found = read_settings()
    assert (found.remote, found.is_cache) == ("s3://bucket/desk", True)
    assert found.data_dir.is_relative_to(tmp_path / "cache" / "sensequant" / "data")
    assert read_settings(remembered=True) == read_settings({"remote": "s3://bucket/desk"}) == found
    told = environment(found)
    assert (told["SENSEQUANT_DATA_DIR"], told["SENSEQUANT_REMOTE"]) == (str(found.data_dir), "s3://bucket/desk")
    with pytest.raises(UsageError, match="SENSEQUANT_REMOTE=s3://bucket/other name two copies of one data directory"):
        read_settings({"remote": "s3://bucket/other"})
    assert read_settings({"data_dir": tmp_path}).remote is None


@pytest.mark.parametrize("slip", ["s3:/bucket/desk", "S3://bucket/desk", "s3://bucket/a b", Path("s3://bucket")])
@pytest.mark.parametrize("field", ["data_dir", "bars"])
def test_a_slip_of_an_address_is_no_directory_of_this_one(field, slip):
    with pytest.raises(UsageError, match=f"SENSEQUANT_{field.upper()}=.* an address like s3://bucket/name"):
        read_settings({field: str(slip)})


def test_a_password_in_an_address_is_refused_and_not_told():
    for field in ("data_dir", "bars", "remote"):
        with pytest.raises(UsageError, match="is not allowed") as refused:
            read_settings({field: "ftp://me:hushhush@host/x"})
        assert "hushhush" not in str(refused.value)


def test_bars_at_an_address_are_those_of_that_address_in_every_directory():
    found = read_settings({"bars": "s3://bucket/bars/"})
    assert absolute_market(found.market)["bars"] == environment(found)["SENSEQUANT_BARS"] == "s3://bucket/bars"


def test_zero_workers_are_the_cores_of_this_process():
    assert read_settings().worker_count == len(os.sched_getaffinity(0))
    assert read_settings({"workers": 3}).worker_count == 3


ONE_MORE = """
import json

import dagster as dg
from pydantic import Field

from sensequant_assets.core import lattice

class Recipe(lattice.Recipe):
    embargo: int = Field(3, ge=0, description="Bars between training and test.")

lattice.Recipe = Recipe

from sensequant_assets.cli.main import main
from sensequant_assets.cli.options import settings_of
from sensequant_assets import settings as settings_module
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.resources import launchpad_resources
from sensequant_assets.settings import environment, read_settings, remember_market
from docs import pages

settings, found = read_settings(), {}
found["environment"] = [settings.embargo, settings.recipe.embargo]
for name in ("plan", "backfill", "dev"):
    command = main.get_command(None, name)
    with command.make_context(name, ["--embargo", "5"]) as context:
        (option,) = (option for option in command.params if option.name == "embargo")
        found[name] = [settings_of(context.params).embargo, option.help]
resources = launchpad_resources(settings, TeacherParameters(scope="symbol"), StudentParameters(scope="symbol"))
for name, config in (("default", {}), ("changed", {"embargo": 6})):
    with dg.build_resources(resources, resource_config={"market": {"config": config}}) as built:
        found[name] = built.market.settings.recipe.embargo
remember_market(settings)
found["kept"] = json.loads(settings.market_file.read_text())["embargo"]
found["ui"] = environment(settings)["SENSEQUANT_EMBARGO"]
found["page"] = [row for row in pages.settings() if "EMBARGO" in row]
print(json.dumps(found))
"""


def test_a_field_added_to_the_recipe_is_in_environment_options_launchpad_last_lattice_and_page(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", ONE_MORE],
        env=os.environ | {"SENSEQUANT_EMBARGO": "4", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    option = [5, "Bars between training and test (3)."]
    assert json.loads(finished.stdout) == {
        "environment": [4, 4],
        "plan": option,
        "backfill": option,
        "dev": option,
        "default": 4,
        "changed": 6,
        "kept": 4,
        "ui": "4",
        "page": ["| `SENSEQUANT_EMBARGO` | `3` | a whole number in [0, inf) | Bars between training and test. |"],
    }


def test_a_label_that_nobody_knows_is_refused_with_those_there_are(monkeypatch):
    monkeypatch.setenv("SENSEQUANT_LABEL", "neutral")
    said = "SENSEQUANT_LABEL=neutral is not allowed: it must be threshold or volatility_neutral or cross_sectional."
    with pytest.raises(UsageError, match=re.escape(said)):
        read_settings()


@pytest.mark.parametrize("model", [Settings, TeacherParameters, StudentParameters])
def test_every_number_has_two_bounds(model):
    bounds = {name: describe_bounds(model, name) for name in model.model_fields}
    assert [name for name, text in bounds.items() if "inf" in text] == []


@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("SENSEQUANT_HORIZN", "SENSEQUANT_HORIZON"),
        ("SENSEQUANT_MAX_FAILUR_RATE", "SENSEQUANT_MAX_FAILURE_RATE"),
        ("sensequant_bar", "SENSEQUANT_BARS"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_one(tmp_path, monkeypatch, where, unknown, meant):
    if where == "file":
        dotenv(tmp_path, f"{unknown}=3")
    else:
        monkeypatch.setenv(unknown, "3")
    with pytest.raises(UsageError, match=rf"^{unknown} is no setting\. Did you mean {meant}\? There are: SENSEQUANT_"):
        read_settings()


def test_variables_that_tests_read_and_those_of_others_are_no_unknown_settings(monkeypatch):
    for name in ("SENSEQUANT_TEST_OUTPUT", "SENSEQUANT_TEST_CHROMIUM", "SENSEQUANTUM", "STALLED_AFTER"):
        monkeypatch.setenv(name, "x")
    assert read_settings() == Settings.model_construct()


@pytest.mark.parametrize("address", ["nowhere", "ftp://example.org/hook", "https://", "http://[::1", "https:///path"])
def test_a_webhook_that_cannot_be_posted_to_is_refused_and_not_shown(monkeypatch, address):
    monkeypatch.setenv("SENSEQUANT_WEBHOOK_URL", address)
    with pytest.raises(UsageError) as caught:
        read_settings()
    said = "SENSEQUANT_WEBHOOK_URL=*** is not allowed: it must be an http or https address."
    assert str(caught.value) == said


def test_a_long_value_is_quoted_in_part(monkeypatch):
    monkeypatch.setenv("SENSEQUANT_HORIZON", "x" * 5000)
    with pytest.raises(UsageError, match=r"^SENSEQUANT_HORIZON=x{100}\.\.\. is not allowed"):
        read_settings()


@pytest.mark.parametrize("read", [read_settings, read_teacher, read_student])
@pytest.mark.parametrize("unfit", ["bytes", "pipe"])
def test_a_dotenv_that_cannot_be_read_is_named(tmp_path, read, unfit):
    if unfit == "pipe":
        os.mkfifo(tmp_path / ".env")
    else:
        (tmp_path / ".env").write_bytes(b"SENSEQUANT_HORIZON=\xff\n")
    with pytest.raises(UsageError, match=r"/\.env cannot be read: .*\. It holds NAME=value lines in UTF-8\.$"):
        read()


def test_a_directory_called_like_dotenv_is_somebody_elses(tmp_path):
    (tmp_path / ".env").mkdir()
    assert read_settings() == Settings.model_construct()


NASTY = [
    "", " ", "\t", "0", "-1", "1", "nan", "NaN", "inf", "-inf", "1e309", "1e-400", "0x10", "1_000", "9" * 40,
    "9" * 5000, "1.5", "true", "null", "None", "[]", "{}", '"', "'", "a" * 5000, "/" * 5000, "../../etc/passwd",
    "/proc/self/mem", "/dev/zero", "~", "\x1b[2J", "\x7f", "\u202e", "\ud800", "\udcff", "\N{BOM}",
    "\N{ZERO WIDTH SPACE}", "\N{FULLWIDTH DIGIT ONE}", "9999-12-31", "0001-01-01", "2022-02-30", "2022-1-1",
    "20220101", "2022-01-01T00:00:00Z", "1640995200", "-1e9", "today", "* * * * *", "* * * * * *", "0 0 31 2 *",
    "@reboot", "UTC", "Europe", "../UTC", "posixrules", "Asia/Kolkata", "utc\r", "http://", "https://example.org/x",
    "javascript:alert(1)", "http://[::1", "sample", "train", "TRAIN", "drop", "cpu", "$HOME", "${SENSEQUANT_BARS}",
    "#", "a=b", "%s", "{0}", "\r\n",
]  # fmt: skip


def known_variables():
    fields = [*Settings.model_fields]
    return [
        *map(variable_of_setting, fields),
        *(f"SENSEQUANT_{field.upper()}" for field in fields),
        *(f"TEACHER_{field.upper()}" for field in TeacherParameters.model_fields),
        *(f"STUDENT_{field.upper()}" for field in StudentParameters.model_fields),
    ]


def mutated(rng, name):
    """A name as it is, or with a slip."""
    at = rng.randrange(len(name))
    return rng.choice([name] * 5 + [name.lower(), name[:at] + name[at + 1 :], f"{name}S", name[:at] + "_" + name[at:]])


def read_everything():
    settings = read_settings(remembered=True)
    assert settings.windows
    assert settings.recipe
    assert settings.market
    return settings, read_teacher(), read_student()


def test_three_hundred_slips_in_settings_are_taken_or_told_with_the_variable_or_file(tmp_path, monkeypatch):
    rng = random.Random(20261)  # noqa: S311  # nothing secret
    variables, told = known_variables(), 0
    (tmp_path / "data").mkdir()
    for number in range(300):
        name, value = mutated(rng, rng.choice(variables)), rng.choice(NASTY)
        where = rng.choice(["environment", "environment", "file", "override", "market"])
        with monkeypatch.context() as patch, within(10):
            named = {name, name.upper(), name.upper().replace("SENSEQUANT_", "")}
            if where == "environment" and "\ud800" not in value:
                patch.setenv(name, value)
            elif where == "file":
                (tmp_path / ".env").write_bytes(f"{name}={value}\n".encode(errors="surrogatepass"))
                named.add(".env")
            elif where == "market":
                field = rng.choice([*MarketSettings.model_fields])
                odd = rng.choice([value, None, [value], {value: 1}, 10**400, float("nan"), True])
                (tmp_path / "data" / "market.json").write_text(json.dumps({field: odd}))
                named = {"market.json"}
            try:
                if where == "override":
                    field = rng.choice([*Settings.model_fields])
                    named = {variable_of_setting(field)}
                    read_settings({field: value})
                read_everything()
            except UsageError as error:
                told += 1
                message = str(error)
                windows = {"No window fits between", "are the most"}
                assert any(part in message for part in named | windows), (number, where, name, value, message)
                assert len(message) < 2500
        for file in (tmp_path / ".env", tmp_path / "data" / "market.json"):
            file.unlink(missing_ok=True)
    assert 150 < told < 300


@pytest.fixture
def everybodys():
    """A directory that every user may look into, unlike those of pytest."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        yield Path(directory)


@pytest.mark.parametrize("name", ["", "models", "telemetry", "telemetry/shards", "dagster/history"])
@pytest.mark.parametrize("kind", ["file", "pipe", "closed"])
def test_a_place_for_data_that_cannot_be_written_is_named_with_the_variable(everybodys, name, kind):
    settings, place = Settings(data_dir=everybodys / "data"), everybodys / "data" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "closed":
        place.mkdir(exist_ok=True)
        for directory in (everybodys / "data", *place.parents, place):
            if directory.is_relative_to(everybodys):
                directory.chmod(0o555 if directory == place else 0o777)
    else:
        (Path.touch if kind == "file" else os.mkfifo)(place)
    with pytest.raises(UsageError) as caught, as_nobody() if kind == "closed" else nullcontext():
        prepare_data_dir(settings)
    why = "Permission denied" if kind == "closed" else "it is no directory"
    assert str(caught.value) == (
        f"Nothing can be written in {place}: {why}. Mend that, or give another data directory with SENSEQUANT_DATA_DIR."
    )


def test_a_place_for_data_is_made_and_left_empty(tmp_path):
    prepare_data_dir(Settings(data_dir=tmp_path / "new" / "data"))
    assert list((tmp_path / "new" / "data").iterdir()) == []
