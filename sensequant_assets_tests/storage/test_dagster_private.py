"""What is private in Dagster stands in one room, and each name of it can be gone."""

import ast
import builtins
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

import sensequant_assets
from sensequant_assets.storage import dagster_private as private
from sensequant_assets.storage.sqlite import PooledSqliteEventLogStorage
from sensequant_assets_tests.running import Home, sample_bars, write_universe

PACKAGE = Path(sensequant_assets.__file__).parent
ROOM = Path(private.__file__)
PRIVATE = re.compile(r"\bdagster(_\w+)?(\.\w+)*\._|\bdagster_shared\b")

WAYS = {
    "POOLED": "Its own class is used instead",
    "TOGETHER": "Each event is logged alone instead",
    "PLANNED": "A block keeps its colour instead",
    "SILENT": "What the run prints is captured instead",
    "PLACED": "A run of the command line has no place on the timeline instead",
    "LIGHT": "The plan of a run stays in memory instead",
}


def entries() -> Iterator[tuple[str, str, str]]:
    """Way, module and name of every import of the room that can fail."""
    for node in ast.parse(ROOM.read_text()).body:
        if isinstance(node, ast.With) and isinstance(node.body[0], ast.ImportFrom):
            (needed,), statement = node.items, node.body[0]
            way = needed.context_expr.func.value.id  # type: ignore[attr-defined]  # `WAY.needs(...)`
            (alias,) = statement.names
            yield way, str(statement.module), alias.name


ENTRIES = list(entries())

HIDE = """
import builtins

given = builtins.__import__


def without(name, globals=None, locals=None, fromlist=(), level=0):
    if globals and globals.get("__name__") == {room!r} and name == {module!r} and {hidden!r} in fromlist:
        raise ImportError("cannot import name {hidden!r} from {module!r} (/somewhere/dagster.py)")
    return given(name, globals, locals, fromlist, level)


builtins.__import__ = without
"""
"""Code after which a name of Dagster is gone for our room, and for nobody else."""


def test_no_other_module_names_what_is_private():
    named = {
        f"{path.relative_to(PACKAGE)}: {found[0]}"
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".j2") and path != ROOM
        for found in PRIVATE.finditer(path.read_text())
    }
    assert named == set()


@pytest.mark.parametrize(
    "line",
    [
        "from dagster._core.events import DagsterEvent",
        "import dagster_shared",
        'module: "dagster._core.run_coordinator"',
        "dagster_graphql._x",
    ],
)
def test_the_claim_before_sees_every_spelling(line: str):
    assert PRIVATE.search(line)


def test_every_private_name_has_a_way_and_a_reason():
    runtime = [
        node
        for node in ast.walk(ast.parse(ROOM.read_text()))
        if isinstance(node, ast.ImportFrom) and PRIVATE.search(str(node.module))
    ]
    typing_only = 3
    assert len(ENTRIES) == len(runtime) - typing_only == 15
    assert {way for way, _, _ in ENTRIES} == WAYS.keys()
    for name, way in WAYS.items():
        assert getattr(private, name).closed is None
        assert getattr(private, name).instead.startswith(way)


@pytest.mark.parametrize(("way", "module", "name"), ENTRIES)
def test_a_name_that_is_gone_closes_its_way_alone_and_is_named(
    monkeypatch: pytest.MonkeyPatch, way: str, module: str, name: str
):
    monkeypatch.setattr(builtins, "__import__", builtins.__import__)  # taken back at the end
    exec(HIDE.format(room="room", module=module, hidden=name), {})  # noqa: S102
    spec = importlib.util.spec_from_file_location("room", ROOM)
    assert spec
    assert spec.loader
    room = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "room", room)
    spec.loader.exec_module(room)
    for other in WAYS:
        closed = getattr(room, other).closed
        if other != way:
            assert closed is None
            continue
        assert f"Dagster {dg.__version__} has no {module}.{name}, which " in closed
        assert f". {WAYS[way]}" in closed
    # What others extend is there all the same, found the public way.
    assert room.SqliteEventLogStorage is private.SqliteEventLogStorage


@pytest.mark.parametrize("backfill", [None, SimpleNamespace(asset_backfill_data=SimpleNamespace(target_subset=None))])
def test_a_backfill_that_is_kept_otherwise_covers_nothing_and_that_is_said(backfill: Any):
    with pytest.warns(UserWarning, match=r"keeps otherwise what a backfill covers \(.*\. The plan of a backfill grows"):
        assert private.targeted_partitions(backfill, "teacher_models") == []


def test_a_backfill_of_a_job_covers_all_of_its_assets_alike():
    backfill = SimpleNamespace(asset_backfill_data=None, asset_selection=None, partition_names=["B|1", "A|1"])
    assert private.targeted_partitions(backfill, "teacher_models") == ["A|1", "B|1"]
    backfill.asset_selection = [dg.AssetKey("student_models")]
    assert private.targeted_partitions(backfill, "teacher_models") == []


def test_a_daemon_that_opens_the_storage_looks_sooner_and_never_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    controller: Any = importlib.import_module("dagster._daemon.controller")
    monkeypatch.setattr(controller, "DEFAULT_DAEMON_INTERVAL_SECONDS", 30)
    PooledSqliteEventLogStorage.from_config_value(None, {"base_dir": str(tmp_path)}).dispose()
    assert controller.DEFAULT_DAEMON_INTERVAL_SECONDS == private.LOOK_S
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
    private.look_sooner()
    assert controller.DEFAULT_DAEMON_INTERVAL_SECONDS == 1


def test_a_daemon_that_times_its_looks_otherwise_is_told_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dagster._daemon.controller", SimpleNamespace())
    with pytest.warns(UserWarning, match=r"has no DEFAULT_DAEMON_INTERVAL_SECONDS, which .*may wait 30 seconds"):
        private.look_sooner()


def test_a_process_that_is_no_daemon_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "dagster._daemon.controller", raising=False)
    private.look_sooner()
    assert "dagster._daemon.controller" not in sys.modules


def test_the_installed_daemon_reads_how_often_to_look_where_it_is_set():
    loop = importlib.import_module("dagster._daemon.backfill").execute_backfill_iteration_loop
    assert "DEFAULT_DAEMON_INTERVAL_SECONDS" in loop.__code__.co_varnames


PLAN = """
import gc

import dagster as dg
from sensequant_assets.storage import dagster_private as private

parts = dg.StaticPartitionsDefinition([f"part {{number}}" for number in range(50)])


@dg.asset(
    partitions_def=parts,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("sound", asset="table")],
)
def table():
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="sound")])


if {forgets}:
    private.forget_plan()
tags = {{"dagster/asset_partition_range_start": "part 0", "dagster/asset_partition_range_end": "part 49"}}
with dg.DagsterInstance.ephemeral() as instance:
    assert dg.Definitions([table]).resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, tags=tags
    ).success
del instance
gc.collect()
print(sum(type(one).__name__ == "AssetMaterializationPlannedData" for one in gc.get_objects()))
"""


@pytest.mark.parametrize(("forgets", "left"), [(True, 0), (False, 50)])
def test_the_plan_of_a_run_leaves_memory_which_dagster_alone_keeps(forgets: bool, left: int):
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PLAN.format(forgets=forgets)], capture_output=True, text=True, check=True
    )
    assert int(told.stdout.split()[-1]) == left


@pytest.fixture
def home(tmp_path: Path) -> Home:
    bars = sample_bars(tmp_path / "bars", ("AAPL",))
    return Home(
        tmp_path,
        {
            "SENSEQUANT_UNIVERSE": str(write_universe(tmp_path / "one.csv", ("AAPL",))),
            "SENSEQUANT_BARS": str(bars),
            "SENSEQUANT_START": "2009-01-01",
            "SENSEQUANT_END": "2010-06-25",
        },
    )


def materialized() -> set[str]:
    with dg.DagsterInstance.get() as instance:
        return {
            f"{asset} {partition}"
            for asset in ("teacher_models", "student_models")
            for partition in instance.get_materialized_partitions(dg.AssetKey(asset))
        }


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("dagster._core.storage.event_log", "SqliteEventLogStorage"),
        ("dagster._core.events", "ASSET_EVENTS"),
        ("dagster._core.events", "StepMaterializationData"),
        ("dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager"),
    ],
)
def test_a_batch_goes_the_public_way_and_says_so(monkeypatch: pytest.MonkeyPatch, home: Home, module: str, name: str):
    room = private.__name__
    (home.directory / "sitecustomize.py").write_text(HIDE.format(room=room, module=module, hidden=name))
    finished = home.backfill(PYTHONPATH=str(home.directory))
    assert finished.code == 0, finished.err
    assert finished.json["teacher"]["trained"] == finished.json["student"]["trained"] == 3
    (way,) = (one for one, *entry in ENTRIES if entry == [module, name])
    assert f"has no {module}.{name}, which" in finished.err
    assert WAYS[way] in finished.err
    monkeypatch.setenv("DAGSTER_HOME", str(home.data / "dagster"))
    assert len(materialized()) == 6
    captured = list((home.data / "dagster").rglob("compute_logs"))
    assert bool(captured) == (way == "SILENT")


def logged(instance: dg.DagsterInstance) -> list[Any]:
    """Types of the events of one run that materializes and observes through an `EventLog`."""
    from sensequant_assets.defs.events import EventLog

    @dg.asset
    def table(context: dg.AssetExecutionContext) -> None:
        with EventLog(context) as events:
            events.log(dg.AssetMaterialization("other", metadata={"rows": 1}))
            events.log(dg.AssetObservation("other"))

    result = dg.materialize([table], instance=instance)
    assert result.success
    assert instance.get_latest_materialization_event(dg.AssetKey("other"))
    told = [record.event_log_entry.dagster_event for record in instance.get_records_for_run(result.run_id).records]
    return [event.event_type for event in told if event and event.asset_key == dg.AssetKey("other")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m.delattr(dg.AssetExecutionContext, "get_step_execution_context"), "changed its steps: .*get_step"),
        (
            lambda m: m.setattr(dg.DagsterInstance, "report_dagster_event", report_of_another_release),
            r"changed DagsterInstance: report_dagster_event takes \(self, dagster_event, run_id, more, named\)",
        ),
    ],
)
def test_a_step_that_cannot_be_told_of_events_together_is_told_of_each(
    monkeypatch: pytest.MonkeyPatch, change: Any, complaint: str
):
    with dg.DagsterInstance.ephemeral() as instance:
        together = logged(instance)
    change(monkeypatch)
    with dg.DagsterInstance.ephemeral() as instance, pytest.warns(UserWarning, match=complaint):
        assert logged(instance) == together
    assert together == [dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION]


GIVEN = dg.DagsterInstance.report_dagster_event


def report_of_another_release(self: Any, dagster_event: Any, run_id: str, *more: Any, **named: Any) -> None:
    GIVEN(self, dagster_event, run_id, *more, **named)
