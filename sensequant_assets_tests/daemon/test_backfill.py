"""Claims about `sensequant dev`: the real UI and daemon, asked the way the UI's own pages ask."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sensequant_assets.cli import dev
from sensequant_assets.cli.main import main
from sensequant_assets.defs.home import open_instance
from sensequant_assets_tests.running import (
    Home,
    Ui,
    corrupt,
    descendants,
    free_port,
    leave,
    listening_addresses,
    sample_bars,
    ui,
    until,
    write_universe,
)

SYMBOLS = ("AAPL", "FB", "IBM", "MSFT")
WINDOWS = ("2009-01-01", "2009-06-30")
PAIRS = {(symbol, window) for symbol in SYMBOLS for window in WINDOWS}
FAILED = {("IBM", window) for window in WINDOWS}

LOCATION = """{ repositoriesOrError { __typename ... on RepositoryConnection {
    nodes { name location { name } jobs { name } sensors { name sensorState { status } } }
} } }"""
ASSETS = "{ assetNodes { assetKey { path } groupName kinds description isPartitioned jobNames } }"
LAUNCH_RUN = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
} }"""
CHECK = """{ assetCheckExecutions(assetKey: {path: ["teacher_models"]}, checkName: "max_failure_rate", limit: 1) {
    evaluation { description }
} }"""
RUN = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
EVENTS = """query($key: AssetKeyInput!, $partition: String!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetMaterializations(partitions: [$partition]) { metadataEntries { label ... on TextMetadataEntry { text } } }
    assetObservations(partitions: [$partition]) { metadataEntries { label ... on TextMetadataEntry { text } } }
} } }"""


@dataclass
class Covered:
    """A backfill of the whole lattice that has ended."""

    home: Home
    ui: Ui
    backfill: str
    state: dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    directory = tmp_path_factory.mktemp("daemon")
    bars = sample_bars(directory / "bars", SYMBOLS)
    corrupt(bars / "IBM.csv")
    write_universe(directory / "universe.csv", SYMBOLS)
    secret = {"AWS_SECRET_ACCESS_KEY": "hunter2-swordfish"}
    return Home(directory, {"TEACHER_N_ESTIMATORS": "10", "STUDENT_N_ESTIMATORS": "5"} | secret)


@pytest.fixture(scope="module")
def running(home: Home) -> Iterator[Ui]:
    # The paths are relative to the directory that the command is given in.
    market = ("--universe", "universe.csv", "--bars", "bars", "--end", "2009-12-27")
    with ui(home, *market, BATCH_TRAINING_MAX_FAILURE_RATE="0.4") as started:
        yield started


@pytest.fixture(scope="module")
def covered(home: Home, running: Ui) -> Covered:
    location = running.ask(LOCATION)["repositoriesOrError"]["nodes"][0]
    selector = {
        "repositoryLocationName": location["location"]["name"], "repositoryName": location["name"],
        "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["universe"]}],
    }  # fmt: skip
    launched = running.ask(LAUNCH_RUN, {"params": {"selector": selector, "runConfigData": {}, "mode": "default"}})
    run = launched["launchPipelineExecution"]["run"]["runId"]
    ended = until(
        lambda: (state := running.ask(RUN, {"run": run})["runOrError"]["status"]) in ("SUCCESS", "FAILURE") and state,
        "the universe",
    )
    assert ended == "SUCCESS"
    backfill, state = running.backfill()
    return Covered(home, running, backfill, state)


def test_the_pool_has_its_limit_before_the_daemon_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, tmp_path)
    monkeypatch.setattr(dev, "_become", lambda command, variables: None)
    started = CliRunner().invoke(main, ["dev", "--port", str(free_port())])
    assert started.exit_code == 0, started.output
    with open_instance(tmp_path / "data" / "dagster") as instance:
        assert [(pool.name, pool.limit) for pool in instance.event_log_storage.get_pool_limits()] == [
            ("sensequant_cpu", 2)
        ]


def test_the_code_location_loads(running: Ui) -> None:
    found = running.ask(LOCATION)["repositoriesOrError"]
    assert found["__typename"] == "RepositoryConnection"
    (location,) = found["nodes"]
    assert {"market", "training"} <= {job["name"] for job in location["jobs"]}


def test_what_watches_batches_is_on_from_the_start_and_what_trains_by_itself_is_off(running: Ui) -> None:
    (location,) = running.ask(LOCATION)["repositoriesOrError"]["nodes"]
    assert {sensor["name"]: sensor["sensorState"]["status"] for sensor in location["sensors"]} == {
        "new_bars": "STOPPED",
        "new_predictions": "STOPPED",
        "batch_failure_rate": "RUNNING",
        "retry_transient": "RUNNING",
        "stalled_batch": "RUNNING",
    }


def test_the_last_word_of_the_check_is_that_of_the_whole_batch(covered: Covered) -> None:
    def last() -> str:
        (newest,) = covered.ui.ask(CHECK)["assetCheckExecutions"]
        return str((newest["evaluation"] or {}).get("description"))

    whole = f"Batch {covered.backfill}, all runs: 2 of 6 attempted teachers failed"
    until(lambda: last().startswith(whole), "the verdict on the whole batch")


def test_every_asset_says_what_it_is(running: Ui) -> None:
    nodes = {node["assetKey"]["path"][-1]: node for node in running.ask(ASSETS)["assetNodes"]}
    groups = {"universe": "market", "bars": "market", "features": "market", "teacher_models": "models",
              "student_models": "models"}  # fmt: skip
    assert groups.items() <= {name: node["groupName"] for name, node in nodes.items()}.items()
    for name in groups:
        assert nodes[name]["kinds"], name
        assert len(nodes[name]["description"]) > 20, name
        assert nodes[name]["isPartitioned"] is (name != "universe")


def test_only_this_machine_can_reach_it(running: Ui) -> None:
    listening = listening_addresses(descendants(running.process.pid))
    # 127.0.0.1 in the byte order of the kernel.
    assert f"0100007F:{running.port:04X}" in listening
    assert {address.split(":")[0] for address in listening} <= {"0100007F", "00000000000000000000000001000000"}


def test_the_terminal_of_the_ui_says_where_it_is_and_lists_no_events(covered: Covered) -> None:
    said = covered.ui.log.read_text()
    assert f"http://127.0.0.1:{covered.ui.port}/assets/teacher_models?view=checks" in said
    assert not [word for word in ("DEBUG", "superseded", "dagster instance configuration", "'FB|") if word in said]


def test_a_backfill_of_the_lattice_counts_exactly_the_failed_windows_as_failed(covered: Covered) -> None:
    assert covered.state["status"] == "COMPLETED_FAILED"
    # One run a window, each of them within the limit.
    assert [run["status"] for run in covered.state["runs"]] == ["SUCCESS"] * len(WINDOWS)
    statuses = covered.state["assetBackfillData"]["assetBackfillStatuses"]
    assert {one["assetKey"]["path"][0] for one in statuses} == {"teacher_models", "student_models"}
    for one in statuses:
        assert one["numPartitionsTargeted"] == len(PAIRS)
        assert one["numPartitionsInProgress"] == 0
        assert one["numPartitionsFailed"] == len(FAILED)
        assert one["numPartitionsMaterialized"] == len(PAIRS - FAILED)


def test_telemetry_has_every_window_of_the_backfill_once(covered: Covered) -> None:
    rows = covered.home.rows(
        "SELECT model, symbol, window_start, outcome FROM window_runs WHERE backfill_id = ?", covered.backfill
    )
    for model in ("teacher", "student"):
        own = [(row["symbol"], str(row["window_start"])) for row in rows if row["model"] == model]
        assert sorted(own) == sorted(PAIRS)
    became = {(row["symbol"], str(row["window_start"])): row["outcome"] for row in rows if row["model"] == "teacher"}
    assert {key for key, outcome in became.items() if outcome == "failed"} == FAILED
    assert {key for key, outcome in became.items() if outcome == "skipped"} == {("FB", window) for window in WINDOWS}
    (batch,) = covered.home.rows("SELECT batch_id, source, status FROM batches")
    assert batch == {"batch_id": covered.backfill, "source": "ui", "status": "succeeded"}


def test_no_secret_of_the_environment_is_in_any_file_of_the_runs_either(covered: Covered) -> None:
    read = set()
    for path in covered.home.data.rglob("*"):
        # The daemon is alive: SQLite takes a log into its database and removes it at any moment.
        with suppress(FileNotFoundError, IsADirectoryError):
            assert b"hunter2" not in path.read_bytes(), path
            read.add(path.name)
    assert read >= {"runs.db", "telemetry.duckdb"}


@pytest.mark.parametrize(
    ("partition", "kind", "said"),
    [
        ("AAPL|2009-01-01", "assetMaterializations", {"status": "trained"}),
        ("FB|2009-01-01", "assetMaterializations", {"status": "skipped", "reason": "pre_listing"}),
        ("IBM|2009-01-01", "assetObservations", {"status": "failed", "cause": "corrupt_bars"}),
    ],
)
def test_the_page_of_a_partition_says_what_became_of_it(
    covered: Covered, partition: str, kind: str, said: dict[str, str]
) -> None:
    asked = {"key": {"path": ["teacher_models"]}, "partition": partition}
    node = covered.ui.ask(EVENTS, asked)["assetNodeOrError"]
    (event,) = node[kind]
    metadata = {entry["label"]: entry.get("text") for entry in event["metadataEntries"]}
    assert said.items() <= metadata.items(), json.dumps(metadata)
    if said["status"] == "trained":
        assert {"test_auc", "rows", "model"} <= set(metadata)
