"""Claims about what Dagster holds after a run, in a real instance."""

import gc
import gzip
import json
import logging
import re
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from sensequant_assets.batch.rows import Identity
from sensequant_assets.cli.launch import Launch, launch
from sensequant_assets.core.judging.noise import Band, Noise
from sensequant_assets.core.lattice import Key, Pair
from sensequant_assets.core.outcome import Outcome, Status
from sensequant_assets.core.parameters import MODELS, StudentParameters, TeacherParameters
from sensequant_assets.core.windows import Window
from sensequant_assets.defs.home import WORKSPACE
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.names import ASSETS, ATTEMPT_TAG, BATCH_TAG
from sensequant_assets.defs.partitions import keys_of
from sensequant_assets.defs.resources import launchpad_resources
from sensequant_assets.defs.runs import identity_of, place_on_timeline
from sensequant_assets.defs.telling import event_of
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.market import market
from sensequant_assets.market.market import Market
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.making import ANY_ROWS
from sensequant_assets_tests.running import corrupt, how_it_runs, instance_of, leave, sample_bars, write_universe

TEACHER, STUDENT = TeacherParameters(scope="symbol", n_estimators=10), StudentParameters(scope="symbol", n_estimators=5)
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
WINDOWS = ("2009-01-01", "2009-06-30", "2009-12-27")
GOOD = {f"{symbol}|{window}" for symbol in ("AAPL", "GOOG", "MSFT") for window in WINDOWS}
CORRUPT = {f"IBM|{window}" for window in WINDOWS}
UNLISTED = {f"FB|{window}" for window in WINDOWS}


@dataclass
class Platform:
    """A Dagster instance on five symbols in three windows: IBM's bars are corrupt, and FB is listed later."""

    settings: Settings
    instance: dg.DagsterInstance

    @property
    def telemetry(self) -> TelemetryStore:
        return TelemetryStore(self.settings.data_dir / "telemetry")

    def launch(self, name: str, limit: float, keys: list[Key] | None = None, **options: Any) -> SenseQuantError | None:
        """Run a batch the way the command line does."""
        chosen = keys or Market.open(self.settings, TEACHER, STUDENT).keys()
        how = how_it_runs(max_failure_rate=limit, workers=2, **options)
        return launch(Launch(self.settings, TEACHER, STUDENT, chosen, MODELS, how, name))

    def execute(self, pair: str, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
        """Run one pair the way the Launchpad does."""
        definitions = build_definitions(self.settings, TEACHER, STUDENT)
        return definitions.resolve_job_def("training").execute_in_process(
            instance=self.instance, partition_key=pair, run_config=config, raise_on_error=False
        )

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of telemetry."""
        rows: list[dict[str, Any]] = (
            TelemetryStore(self.settings.data_dir / "telemetry").query(sql, list(parameters)).to_pylist()
        )
        return rows

    def run(self, name: str) -> dg.DagsterRun:
        (run,) = self.instance.get_runs(dg.RunsFilter(tags={BATCH_TAG: name}))
        return run

    def materialized(self, asset: str, name: str) -> dict[str, dict[str, Any]]:
        """Metadata by partition of what one batch materialized, each partition once."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
        return self._of(records, name)

    def observed(self, asset: str, name: str) -> dict[str, dict[str, Any]]:
        """Metadata by partition of what one batch observed."""
        return self._of(self.instance.fetch_observations(dg.AssetKey(asset), limit=1000).records, name)

    def _of(self, records: Any, name: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for record in records:
            if record.run_id == self.run(name).run_id:
                event = record.asset_materialization or record.event_log_entry.asset_observation
                assert event.partition not in found
                found[event.partition] = {key: value.value for key, value in event.metadata.items()}
        return found

    def verdict(self, asset: str, name: str, check: str = "max_failure_rate") -> Any:
        """What a check said of an asset in one batch."""
        key = dg.AssetCheckKey(dg.AssetKey(asset), check)
        history = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        (one,) = (record for record in history if record.run_id == self.run(name).run_id)
        assert one.event is not None
        return one.event.dagster_event.asset_check_evaluation_data


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("platform")
    bars = sample_bars(directory / "bars", SYMBOLS)
    corrupt(bars / "IBM.csv", line=50)
    with pytest.MonkeyPatch.context() as monkeypatch:
        leave(monkeypatch, directory)
        settings = read_settings(
            {"data_dir": directory / "data", "universe": write_universe(directory / "five.csv", SYMBOLS),
             "bars": str(bars), "end": date(2010, 6, 25)}
        )  # fmt: skip
        with instance_of(settings) as instance:
            made = Platform(settings, instance)
            assert made.launch("above", 0.24) is None
            assert made.launch("within", 0.25) is None
            yield made


def test_trained_reused_and_skipped_windows_are_materialized_with_their_status(platform: Platform) -> None:
    first, second = (platform.materialized("teacher_models", name) for name in ("above", "within"))
    assert set(first) == set(second) == GOOD | UNLISTED
    assert {first[key]["status"] for key in GOOD} == {"trained"}
    assert {second[key]["status"] for key in GOOD} == {"reused"}
    for key in UNLISTED:
        assert first[key]["status"] == "skipped"
        assert first[key]["reason"] == "pre_listing"
        assert "FB trades from 2012-05-18" in first[key]["why"]


def test_a_trained_window_shows_its_metrics_and_where_its_model_is(platform: Platform) -> None:
    teachers = platform.materialized("teacher_models", "above")
    students = platform.materialized("student_models", "within")
    for key in GOOD:
        symbol, window = key.split("|")
        for model, metadata in (("teacher", teachers[key]), ("student", students[key])):
            assert 0 <= float(metadata["test_auc"]) <= 1
            rows = re.fullmatch(r"(\d+) to train, (\d+) to test", metadata["rows"])
            assert rows is not None
            assert int(rows[1]) > 80
            # What was asked for, and what came of it.
            leaves, depth = (127, 9) if model == "teacher" else (7, 3)
            grown = re.fullmatch(rf"(\d+) of {leaves} leaves asked, depth (\d) of {depth}", metadata["largest_tree"])
            assert grown is not None
            assert 2 <= int(grown[1]) <= 12
            assert 1 <= int(grown[2]) < int(grown[1])
            assert "constant" not in metadata.get("flags", "")
            assert "valid_auc" not in metadata
            shown = r"(\d+) of (\d+) rounds asked, learning_rate [\d.]+, min_child_samples (\d+), subsample [\d.]+, "
            rounds = re.fullmatch(shown + r"colsample_bytree [\d.]+, seed 7", metadata["parameters"])
            assert rounds is not None
            assert rounds[1] == rounds[2]
            # Four digits are what a page shows.
            assert all(len(metadata[name].lstrip("-0.")) <= 4 for name in ("test_auc", "test_brier"))
            assert f"[bars of {symbol}](/assets/bars?view=partitions&partition={symbol})" in metadata["leads_to"]
            path = Path(metadata["model"])
            assert path == platform.settings.data_dir / "models" / "five" / model / symbol / f"{window}.txt.gz"
            assert path.is_file()
        assert -1 <= float(students[key]["fidelity_correlation"]) <= 1


def test_no_number_of_a_partition_is_plotted_in_the_order_of_names(platform: Platform) -> None:
    for asset in ASSETS.values():
        for metadata in platform.materialized(asset, "within").values():
            assert {type(value) for value in metadata.values()} == {str}


def test_a_failed_window_is_no_materialization_and_its_observation_says_why(platform: Platform) -> None:
    teachers = platform.observed("teacher_models", "within")
    students = platform.observed("student_models", "within")
    assert set(teachers) == set(students) == CORRUPT
    for key in CORRUPT:
        assert teachers[key]["status"] == "failed"
        assert teachers[key]["cause"] == "corrupt_bars"
        assert "IBM.csv, row 50" in teachers[key]["error"]
        assert "--select failed" in teachers[key]["what_to_do"]
        asked = key.replace("|", " ")
        assert f"`sensequant why {asked} --model teacher`" in teachers[key]["what_to_do"]
        assert "[bars of IBM](/assets/bars?view=partitions&partition=IBM)" in teachers[key]["leads_to"]
        assert students[key]["cause"] == "missing_teacher"
        assert f"The teacher of {key} failed in this run" in students[key]["error"]
    for asset in ASSETS.values():
        assert platform.instance.get_materialized_partitions(dg.AssetKey(asset)) == GOOD | UNLISTED


def test_the_check_shows_counts_rate_limit_and_the_failed_windows(platform: Platform) -> None:
    evaluation = platform.verdict("teacher_models", "within")
    metadata = {name: value.value for name, value in evaluation.metadata.items()}
    table, what_to_do = metadata.pop("failed_windows"), metadata.pop("what_to_do")
    assert metadata == {
        "trained": 0, "reused": 9, "skipped": 3, "failed": 3, "not_attempted": 0,
        "failure_rate": 0.25, "max_failure_rate": 0.25,
    }  # fmt: skip
    assert evaluation.passed
    rows = [record.data for record in evaluation.metadata["failed_windows"].records]
    # One row for a file that is broken, however many windows it costs.
    assert [(row["symbol"], row["windows"], row["cause"]) for row in rows] == [
        ("IBM", f"{WINDOWS[0]} and 2 more windows", "corrupt_bars")
    ]
    assert table is not None
    assert "Correct the named row" in what_to_do
    assert f"`sensequant why IBM {WINDOWS[0]} --model teacher`" in what_to_do


def test_a_run_on_a_corrupt_file_turns_the_check_of_the_bars_red(platform: Platform) -> None:
    (record,) = platform.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("bars"), "sound"), limit=1
    )
    evaluation: Any = record.event.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert evaluation.metadata["symbols"].value == len(SYMBOLS)
    (row,) = (one.data for one in evaluation.metadata["findings"].records)
    assert (row["symbol"], row["rule"]) == ("IBM", "unreadable")
    assert "IBM.csv, row 50" in row["message"]


def test_models_that_know_nothing_count_as_trained_and_are_flagged_and_stop_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the floor a window is trained on fewer rows than its teacher can split.
    monkeypatch.setattr(market, "floor_of", lambda *_: ANY_ROWS)
    teacher = TeacherParameters(scope="symbol", n_estimators=10, min_child_samples=100)
    how = how_it_runs(max_failure_rate=0.0, workers=2, force=True)
    keys = [("AAPL", "2009-01-01"), ("GOOG", "2009-06-30")]
    assert launch(Launch(platform.settings, teacher, STUDENT, keys, MODELS, how, "constant")) is None
    for asset in ASSETS.values():
        metadata = platform.materialized(asset, "constant")
        assert {one["status"] for one in metadata.values()} == {"trained"}
        assert all("constant: it says the same of every row" in one["flags"] for one in metadata.values())
        assert platform.verdict(asset, "constant").passed
        knowing = platform.verdict(asset, "constant", "not_constant")
        assert (knowing.passed, knowing.blocking, knowing.severity) == (False, False, dg.AssetCheckSeverity.ERROR)
        rows = [record.data for record in knowing.metadata["constant_windows"].records]
        assert [(row["symbol"], row["window"]) for row in rows] == keys
    assert platform.run("constant").status is dg.DagsterRunStatus.SUCCESS
    told = platform.telemetry.query(
        "SELECT model, trained, constant, failed FROM batch_summary WHERE batch_id = 'constant' ORDER BY model DESC"
    ).to_pylist()
    assert [tuple(row.values()) for row in told] == [("teacher", 2, 2, 0), ("student", 2, 2, 0)]
    assert platform.verdict("teacher_models", "within", "not_constant").passed


def test_a_check_that_is_executed_alone_judges_the_latest_batch_again_and_no_other_check(platform: Platform) -> None:
    assert platform.launch("judged", 0.25) is None
    job = build_definitions(platform.settings, TEACHER, STUDENT).resolve_implicit_global_asset_job_def()
    for asset in ASSETS.values():
        key = dg.AssetCheckKey(dg.AssetKey(asset), "not_constant")
        result = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(
            instance=platform.instance, raise_on_error=False
        )
        assert result.success
        (evaluation,) = result.get_asset_check_evaluations()
        assert (evaluation.check_name, evaluation.passed) == ("not_constant", True)
        assert evaluation.metadata["batch"].value == "judged"


def test_a_run_logs_and_keeps_its_configuration_and_warns_of_what_misleads(platform: Platform) -> None:
    teacher = TEACHER.model_copy(update={"gpu_device_id": 1})
    how = how_it_runs(max_failure_rate=0.25, workers=1)
    keys = [("AAPL", "2009-01-01")]
    assert launch(Launch(platform.settings, teacher, STUDENT, keys, MODELS, how, "configured")) is None
    logged = [
        (entry.level, entry.user_message) for entry in platform.instance.all_logs(platform.run("configured").run_id)
    ]
    (line,) = (message for _, message in logged if "Configuration: " in message)
    told = json.loads(line.partition("Configuration: ")[2])
    assert (told["teacher"]["num_leaves"], told["student"]["num_leaves"], told["workers"]) == (127, 7, 1)
    assert (told["rows_needed"], told["validation_fraction"]) == (80, 0.0)
    misleading = "TEACHER_GPU_DEVICE_ID=1 does nothing: TEACHER_DEVICE_TYPE is cpu."
    assert [level for level, message in logged if message.endswith(misleading)] == [logging.WARNING]
    (row,) = platform.telemetry.query("SELECT configuration FROM batches WHERE batch_id = 'configured'").to_pylist()
    kept = json.loads(row["configuration"])
    assert kept["rows_needed"] == 80
    assert kept["idle_settings"] == [
        misleading,
        "TEACHER_NUM_LEAVES=127 does nothing: 116 rows with TEACHER_MIN_CHILD_SAMPLES=20 make about 5 leaves.",
        "TEACHER_MAX_DEPTH=9 does nothing: a tree of about 5 leaves is no deeper.",
    ]


def test_above_the_limit_the_check_is_an_error_and_no_student_is_materialized(platform: Platform) -> None:
    teacher, student = (platform.verdict(asset, "above") for asset in ASSETS.values())
    assert not teacher.passed
    assert not student.passed
    assert teacher.severity is student.severity is dg.AssetCheckSeverity.ERROR
    assert "No student was trained: too many teachers failed in this run." in student.description
    assert not platform.materialized("student_models", "above")
    assert not platform.observed("student_models", "above")


def test_the_run_fails_above_the_limit_and_succeeds_within_it(platform: Platform) -> None:
    assert platform.run("above").status is dg.DagsterRunStatus.FAILURE
    assert platform.run("within").status is dg.DagsterRunStatus.SUCCESS


def test_a_run_of_the_command_line_is_one_of_the_code_location_so_that_the_timeline_has_it(platform: Platform) -> None:
    run = platform.run("within")
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.job_name == "training"
    (location,) = yaml.safe_load(WORKSPACE.read_text())["load_from"]
    served = location["python_module"]["location_name"]
    assert run.remote_job_origin.repository_origin.get_label() == f"__repository__@{served}"
    assert run.tags["dagster/code_location"] == served


def test_where_dagster_makes_runs_otherwise_that_is_said_and_runs_are_made_as_ever(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other:
        def create_run_for_job(self, job: object) -> None: ...

    monkeypatch.setattr(dg, "DagsterInstance", Other)
    instance = Other()
    with pytest.warns(UserWarning, match=r"create_run_for_job takes \(self, job\)\. A run .* no place on the timeline"):
        place_on_timeline(instance, "training")  # type: ignore[arg-type]
    assert vars(instance) == {}


def test_nothing_is_yielded_as_an_output_and_nothing_is_pickled(platform: Platform) -> None:
    for name in ("above", "within"):
        logs = platform.instance.all_logs(platform.run(name).run_id)
        outputs = [entry.dagster_event.step_output_data.output_name for entry in logs
                   if entry.dagster_event and entry.dagster_event.event_type_value == "STEP_OUTPUT"]  # fmt: skip
        assert not [output for output in outputs if output in ASSETS.values()]
        assert not [
            entry for entry in logs
            if entry.dagster_event and entry.dagster_event.event_type_value == "HANDLED_OUTPUT"
        ]  # fmt: skip
    stored = platform.settings.dagster_home / "storage"
    assert {path.suffix for path in stored.rglob("*") if path.is_file()} <= {".out", ".err", ".complete"}


def test_the_tables_of_a_symbol_are_materialized_beside_its_models(platform: Platform) -> None:
    for asset in ("bars", "features"):
        assert platform.instance.get_materialized_partitions(dg.AssetKey(asset)) == {"AAPL", "FB", "GOOG", "MSFT"}
        assert set(platform.observed(asset, "above")) == {"IBM"}
        assert not platform.materialized(asset, "within")


def test_a_scattered_choice_is_one_run_of_only_its_pairs(platform: Platform) -> None:
    keys = [(symbol, window) for symbol in ("AAPL", "MSFT") for window in ("2009-01-01", "2009-12-27")]
    assert platform.launch("scattered", 0.15, keys) is None
    chosen = {"|".join(key) for key in keys}
    for asset in ASSETS.values():
        assert set(platform.materialized(asset, "scattered")) == chosen
        assert platform.verdict(asset, "scattered").passed
    assert platform.run("scattered").status is dg.DagsterRunStatus.SUCCESS


def test_an_open_market_is_handed_to_its_run_and_leaves_memory_with_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Outcome] = []
    keys = [("AAPL", "2009-01-01"), ("FB", "2009-01-01")]
    market = Market.open(platform.settings, TEACHER, STUDENT)
    monkeypatch.delattr(Market, "open")
    left = weakref.ref(market)
    gc.collect()
    gc.disable()
    try:
        batch = Launch(platform.settings, TEACHER, STUDENT, keys, MODELS, how_it_runs(), "handed", market, told.append)
        assert launch(batch) is None
        del batch, market
        assert left() is None
    finally:
        gc.enable()
    assert [(outcome.model, (outcome.pair.symbol, outcome.pair.window.key)) for outcome in told] == [
        (model, key) for model in MODELS for key in keys
    ]


def test_the_launchpad_changes_the_market_for_one_run(platform: Platform) -> None:
    pair = "AAPL|2009-06-30"
    market = {"min_samples": 5000, "end": "2009-12-27", "as_of": "2013-01-31"}
    result = platform.execute(pair, {"resources": {"market": {"config": market}}})
    assert result.success
    (batch,) = platform.rows("SELECT settings FROM batches WHERE batch_id = ?", result.run_id)
    expected = platform.settings.market | market
    assert json.loads(batch["settings"]) == expected
    rows = platform.rows("SELECT reason, error_message FROM window_runs WHERE run_id = ?", result.run_id)
    assert {row["reason"] for row in rows} == {"insufficient_bars"}
    assert all("needs 5000" in row["error_message"] for row in rows)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SENSEQUANT_TIMEZONE", "Asia/Kolkata"), ("SENSEQUANT_HORIZON", "5"), ("SENSEQUANT_WORKERS", "x")],
)
def test_a_run_takes_its_market_from_its_resources_and_not_from_the_environment(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = platform.execute("AAPL|2009-01-01", {})
    assert result.success
    (batch,) = platform.rows("SELECT settings FROM batches WHERE batch_id = ?", result.run_id)
    assert json.loads(batch["settings"]) == platform.settings.market


def test_the_launchpad_changes_parameters_for_one_run(platform: Platform) -> None:
    pair = "GOOG|2009-06-30"
    result = platform.execute(
        pair,
        {
            "resources": {"teacher": {"config": {"num_leaves": 15}}},
            "ops": {"models": {"config": {"max_failure_rate": 0.5}}},
        },
    )
    assert result.success
    path = platform.settings.data_dir / "models" / "five" / "teacher" / "GOOG" / "2009-06-30.txt.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    assert "[num_leaves: 15]" in text
    # The other defaults stay those of the settings.
    assert "[num_iterations: 10]" in text
    (verdict,) = platform.rows(
        "SELECT max_failure_rate FROM verdicts WHERE run_id = ? AND model = 'teacher'", result.run_id
    )
    assert verdict["max_failure_rate"] == 0.5


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"resources": {"teacher": {"config": {"num_leaves": 1}}}},
            ("Failure: TEACHER_NUM_LEAVES=1 is not allowed: it must be a whole number in [2, 1024].",),
        ),
        ({"ops": {"models": {"config": {"max_failure_rate": 2.0}}}}, ("max_failure_rate", "less than or equal to 1")),
        (
            {"resources": {"market": {"config": {"window_days": 0}}}},
            ("SENSEQUANT_WINDOW_DAYS=0", "a whole number in [1, "),
        ),
        ({"resources": {"market": {"config": {"start": "May"}}}}, ("SENSEQUANT_START=May", "a date like 2022-01-01")),
    ],
)
def test_a_value_out_of_bounds_in_the_launchpad_fails_the_run_by_name(
    platform: Platform, config: dict[str, Any], said: tuple[str, ...]
) -> None:
    result = platform.execute("GOOG|2009-06-30", config)
    assert not result.success
    run = platform.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    errors = [event.event_specific_data.error.to_string() for event in result.all_events
              if getattr(event.event_specific_data, "error", None)]  # fmt: skip
    assert errors
    for part in said:
        assert any(part in error for error in errors)


def test_a_run_on_a_damaged_telemetry_trains_nothing_and_names_the_way_back(platform: Platform) -> None:
    store = TelemetryStore(platform.settings.data_dir / "telemetry")
    store.ingest()
    whole, shards = store.database.read_bytes(), sorted(store.shards.iterdir())
    store.database.write_bytes(b"something else " * 10_000)
    try:
        result = platform.execute("GOOG|2009-06-30", {})
    finally:
        store.database.write_bytes(whole)
    assert not result.success
    errors = [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]
    assert any("telemetry.duckdb is no DuckDB database. `sensequant telemetry rebuild`" in error for error in errors)
    assert sorted(store.shards.iterdir()) == shards


def test_the_partition_of_a_symbol_that_left_the_universe_costs_no_other(platform: Platform) -> None:
    directory = platform.settings.universe.parent
    platform.instance.add_dynamic_partitions("symbols_six", ["AAPL", "GONE"])
    moved = Platform(
        platform.settings.model_copy(update={"universe": write_universe(directory / "six.csv", ["AAPL"])}),
        platform.instance,
    )
    assert moved.launch("moved", 0.15, [("AAPL", "2009-01-01"), ("GONE", "2009-01-01")]) is None
    assert set(moved.materialized("teacher_models", "moved")) == {"AAPL|2009-01-01"}
    cause = moved.launch("gone", 0.15, [("GONE", "2009-01-01")])
    assert cause is not None
    assert "Universe six has no GONE|2009-01-01" in str(cause)


def test_a_run_on_a_universe_that_lost_models_trains_nothing_unless_it_is_allowed(platform: Platform) -> None:
    directory = platform.settings.universe.parent
    market = {"universe": write_universe(directory / "seven.csv", ["AAPL", "MSFT"])}
    shrunk = Platform(platform.settings.model_copy(update=market), platform.instance)
    assert shrunk.launch("both", 0.15, [("MSFT", WINDOWS[0])]) is None
    write_universe(directory / "seven.csv", ["AAPL"])
    platform.instance.add_dynamic_partitions("symbols_seven", ["AAPL"])
    refused = shrunk.execute(f"AAPL|{WINDOWS[0]}", {})
    errors = [str(event.step_failure_data.error) for event in refused.all_events if event.is_step_failure]
    assert any("Universe seven has lost 1 of the 2 symbols of batch both (MSFT; 1 has models)" in one for one in errors)
    assert shrunk.rows("SELECT count(*) AS n FROM batches WHERE universe = 'seven'") == [{"n": 1}]
    allowed = shrunk.execute(f"AAPL|{WINDOWS[0]}", {"ops": {"models": {"config": {"allow_shrink": True}}}})
    assert allowed.success
    assert shrunk.rows(
        "SELECT level, data->>'allowed' AS allowed, configuration->>'allow_shrink' AS asked FROM events "
        "JOIN batches USING (batch_id) WHERE kind = 'universe' AND universe = 'seven' ORDER BY ordered_at"
    ) == [
        {"level": "info", "allowed": "false", "asked": "false"},
        {"level": "warning", "allowed": "true", "asked": "true"},
    ]


@pytest.mark.parametrize(
    ("tags", "part_of"),
    [({"dagster/backfill": "b1"}, "b1"), ({BATCH_TAG: "b2", ATTEMPT_TAG: "2"}, "b2"), ({BATCH_TAG: "b3"}, None)],
)
def test_the_check_of_a_run_of_a_backfill_or_of_a_repeat_says_that_there_may_be_others(
    platform: Platform, tags: dict[str, str], part_of: str | None
) -> None:
    definitions = build_definitions(platform.settings, TEACHER, STUDENT)
    result = definitions.resolve_job_def("training").execute_in_process(
        instance=platform.instance, partition_key="AAPL|2009-01-01", tags=tags,
        run_config={"ops": {"models": {"config": {"stop_early": True}}}},
    )  # fmt: skip
    for evaluation in result.get_asset_check_evaluations():
        if evaluation.check_name == "max_failure_rate":
            told = evaluation.metadata.get("part_of_batch")
            assert (told and told.value) == part_of
    # It does not stop early either: the others may make the batch pass.
    batch = part_of or tags[BATCH_TAG]
    asked = platform.rows("SELECT configuration->>'stop_early' AS stops FROM batches WHERE batch_id = ?", batch)
    assert asked == [{"stops": "true" if part_of is None else "false"}]
    logged = [entry.user_message for entry in platform.instance.all_logs(result.run_id)]
    said = f"stop_early does nothing here: this run is one of several of batch {batch}."
    assert any(message.endswith(said) for message in logged) is (part_of is not None)


def test_the_page_of_a_partition_says_where_noise_would_lie_once_there_is_a_twin() -> None:
    # 14 ones of 28 rows: .1110 is a standard deviation of independent rows, and half as much again of these.
    told = {"test_auc": 0.9, "test_base_rate": 0.5, "test_rank_ic": 0.1, "test_design_effect": 2.25, "trees": 5.0}
    told |= {"largest_tree_leaves": 3.0, "largest_tree_depth": 2.0}
    window = Window(date(2022, 1, 1), date(2022, 6, 30))
    outcome = Outcome(
        "teacher", Pair("AAPL", window, window.start), Status.TRAINED, metrics=told, rows={"train": 90, "test": 28},
        parameters={"num_leaves": "15", "max_depth": "6", "num_iterations": "60"}, path="model.txt.gz",
    )  # fmt: skip
    noise = Noise({"teacher": {"auc": Band(-2.0, 2.0, 120), "rank_ic": Band(-1.0, 1.0, 120)}}, 4)
    shown = event_of(outcome, noise).metadata["noise_band"].value
    assert shown == "AUC 0.900 is outside 0.167 to 0.833, IC over time 0.100 is inside -0.289 to 0.289"
    assert "noise_band" not in event_of(outcome).metadata
    student = replace(outcome, model="student")
    assert "noise_band" not in event_of(student, noise).metadata
    assert "noise_band" not in event_of(replace(outcome, metrics=told | {"test_auc": None}), noise).metadata


def test_runs_of_one_backfill_are_one_batch_and_a_run_alone_is_its_own() -> None:
    def run(**tags: str) -> dg.DagsterRun:
        return dg.DagsterRun(job_name="training", run_id="r1", tags={k.replace("__", "/"): v for k, v in tags.items()})

    assert identity_of(run()) == Identity("r1", "r1", "ui", None)
    assert identity_of(run(dagster__backfill="b1")) == Identity("b1", "r1", "ui", "b1")
    assert identity_of(run(dagster__sensor_name="s")).source == "sensor"
    attended = run(sensequant__batch="x", sensequant__source="cli")
    assert identity_of(attended) == Identity("x", "r1", "cli", None)
    # Executed again in the UI it is of the same batch, and nobody waits for it in a terminal.
    again = dg.DagsterRun(job_name="training", run_id="r2", tags=attended.tags, parent_run_id="r1", root_run_id="r1")
    assert identity_of(again) == Identity("x", "r2", "ui", None)


def test_a_partition_that_is_no_pair_is_refused() -> None:
    assert keys_of(["AAPL|2009-01-01"]) == [("AAPL", "2009-01-01")]
    with pytest.raises(UsageError, match=r"write symbol\|window"):
        keys_of(["AAPL"])


def test_a_batch_after_a_failed_one_is_trained_also_while_telemetry_cannot_say_whether_that_one_was_killed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert platform.launch("over the limit", 0.0) is None
    assert platform.run("over the limit").status is dg.DagsterRunStatus.FAILURE
    monkeypatch.setattr("sensequant_assets.telemetry.store._WAIT_S", 0.2)
    with TelemetryStore(platform.settings.data_dir / "telemetry").connect():
        assert platform.launch("beside a reader", 1.0, [("AAPL", WINDOWS[0])]) is None
    assert platform.run("beside a reader").status is dg.DagsterRunStatus.SUCCESS
    assert "sensequant/died" not in platform.run("over the limit").tags


def test_code_of_features_is_named_by_the_setting_and_by_no_config_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSEQUANT_FEATURES", "standard,mine.py:columns")
    settings = read_settings()
    resources = launchpad_resources(settings, TEACHER, STUDENT)
    with dg.build_resources(resources) as built:
        assert built.market.features == "standard,mine.py:columns"
    config = {"market": {"config": {"features": "theirs.py:columns"}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "features"'):
        dg.build_resources(resources, resource_config=config).__enter__()
    assert "features" not in settings.market
