"""What old batches leave behind goes, and nothing that a kept batch, a model or the grid needs."""

import json
import os
import shutil
from pathlib import Path

import dagster as dg
import pytest

from sensequant_assets.defs.home import open_instance, prepare_home
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.names import BATCH_TAG
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.archive import kept
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import RunEnd
from sensequant_assets_tests.models.test_champions import promoted
from sensequant_assets_tests.operating import STUDENT, TEACHER
from sensequant_assets_tests.running import Home, leave

NOBODY = 4_194_305
"""No process: above the largest number that Linux gives."""
TWO_WINDOWS = ("--end", "2009-12-27")


def runs(home: Home) -> dict[str, dg.DagsterRun]:
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        dg.DagsterInstance.from_config(_set(monkeypatch, home.data / "dagster")) as instance,
    ):
        return {run.tags[BATCH_TAG]: run for run in instance.get_runs()}


def _set(monkeypatch: pytest.MonkeyPatch, dagster_home: Path) -> str:
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    return str(dagster_home)


def files(home: Home) -> set[Path]:
    return {path.relative_to(home.data) for path in home.data.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three batches of IBM, and before them one of MSFT, whose models no other batch has touched.

    The tables of IBM are of its first batch: they have not changed since.
    """
    home = Home(tmp_path_factory.mktemp("prune"))
    for symbol in ("MSFT", "IBM", "IBM", "IBM"):
        finished = home.backfill(*TWO_WINDOWS, "--symbols", symbol)
        assert finished.code == 0, finished.err
        assert home.run("report").code == 0
    stopped = home.data / "models" / f".cut.{NOBODY}.0123abcd"
    working = home.data / "models" / f".whole.{os.getpid()}.0123abcd"
    for path in (stopped, working, home.telemetry.shards / f"b.r.{NOBODY}-0123abcd.new"):
        path.write_bytes(bytes(10_000))
    for process in (NOBODY, os.getpid()):
        rebuilding = home.telemetry.directory / f".rebuild-{process}-abc"
        rebuilding.mkdir()
        (rebuilding / "b.r.1-0123abcd.jsonl").write_bytes(bytes(10_000))
    keep_twin(home)
    # The first batch had a second run, which was killed.
    first, *_ = home.rows("SELECT batch_id FROM batches ORDER BY started_at")
    killed(home, first["batch_id"], "r9")
    return home


def keep_twin(home: Home) -> Path:
    """The file of a noise twin."""
    path = home.data / "noise" / "five" / "0123.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def killed(home: Home, batch: str, run: str) -> Path:
    """The shard of a run whose process is gone."""
    shard = home.telemetry.shards / f"{batch}.{run}.{NOBODY}-0123abcd.jsonl"
    line = {"record": "event", "batch_id": batch, "run_id": run, "at": str(utc_now()), "kind": "note"}
    shard.write_text(json.dumps(line) + "\n")
    return shard


def test_a_dry_run_counts_and_removes_nothing(home: Home) -> None:
    before = files(home)
    finished = home.anew.run("prune", "--keep-batches", "1", "--older-than", "0", "--dry-run")
    assert finished.code == 0, finished.err
    assert [line.split(",")[0] for line in finished.out.splitlines()] == [
        "would remove 1 Dagster runs",
        "would remove 3 kept shards",
        "would remove 3 report pages",
        "would remove 1 shards of killed writers",
        "would remove 1 noise twins",
        "would remove 3 temporary files",
    ]
    assert files(home) == before


def test_what_is_younger_or_among_the_newest_stays(home: Home) -> None:
    before = files(home)
    for keep, days in ((4, 0), (1, 1)):
        finished = home.run("prune", "--keep-batches", str(keep), "--older-than", str(days))
        assert finished.code == 0, finished.err
        gone = before - files(home)
        names = (f".cut.{NOBODY}.", f"b.r.{NOBODY}-", f".rebuild-{NOBODY}-", "noise/")
        assert all(any(name in str(path) for name in names) for path in gone)
        before = files(home) | gone
    assert len(runs(home)) == 4


def test_old_batches_leave_their_rows_their_models_and_the_runs_that_the_grid_shows(home: Home, tmp_path: Path) -> None:
    copy = Home(tmp_path)
    shutil.copytree(home.data, copy.data, dirs_exist_ok=True)
    (msft, first, second, last) = (row["batch_id"] for row in copy.rows("FROM batches ORDER BY started_at"))
    rows, models = copy.rows("FROM window_runs ORDER BY ALL"), copy.models()
    old, twin = runs(copy), keep_twin(copy)
    killed(copy, last, "r9")
    with Journal(copy.telemetry.shards, batch_id=second, run_id="r9", clock=utc_now) as living:
        living.append(RunEnd(status="succeeded"))
        index = copy.data / "dagster" / "history" / "runs" / "index.db"
        size = index.stat().st_size
        finished = copy.run("prune", "--keep-batches", "1", "--older-than", "0")
        shards = {path.name.partition(".")[0] for path in copy.telemetry.shards.iterdir()}
    assert finished.code == 0, finished.err
    # Those of killed writers went with their batch; the one that is written stays, and so does that of the kept batch.
    assert shards == {second, last}
    assert f"compacted Dagster's databases, {(size - index.stat().st_size) / 1024:.0f} KiB" in finished.out
    assert index.stat().st_size < size
    assert [path.name for path in copy.telemetry.directory.glob(".rebuild-*")] == [f".rebuild-{os.getpid()}-abc"]
    assert runs(copy).keys() == {msft, first, last}
    left = {path.name for path in files(copy)}
    assert f"{old[second].run_id}.db" not in left
    assert {f"{old[batch].run_id}.db" for batch in (msft, first, last)} <= left
    assert {path.parent.name for path in kept(copy.telemetry.archive)} == {last}
    assert {path.stem for path in (copy.data / "reports").iterdir()} == {last}
    assert not twin.exists()
    assert f".whole.{os.getpid()}.0123abcd" in left
    assert (copy.rows("FROM window_runs ORDER BY ALL"), copy.models()) == (rows, models)
    again = copy.backfill(*TWO_WINDOWS, "--symbols", "IBM")
    assert again.json["teacher"]["trained"] == 0
    assert again.json["teacher"]["reused"] > 0
    rebuilt = copy.run("telemetry", "rebuild")
    assert rebuilt.code == 0, rebuilt.err
    assert [row["batch_id"] for row in copy.rows("FROM batches ORDER BY started_at")][:4] == [msft, first, second, last]


def test_what_a_champion_names_stays_and_its_batch_whole(home: Home, tmp_path: Path) -> None:
    copy = Home(tmp_path)
    shutil.copytree(home.data, copy.data, dirs_exist_ok=True)
    batches = [row["batch_id"] for row in copy.rows("FROM batches ORDER BY started_at")]
    _, first, second, last = batches
    store = ChampionStore(copy.data / "champions", "sample")
    for batch in (second, first):
        promoted(store, batch)
    named = {path for path in files(copy) if path.parts[0] == "champions"}
    assert len(named) == 6
    cut = store.directory / f".champion.{NOBODY}.0123abcd"
    cut.write_bytes(bytes(10_000))
    finished = copy.run("prune", "--keep-batches", "1", "--older-than", "0")
    assert finished.code == 0, finished.err
    assert not cut.exists()
    assert {path for path in files(copy) if path.parts[0] == "champions"} == named
    for champion in store.history():
        store.pack(champion)
        store.forecasts(champion)
    assert {path.parent.name for path in kept(copy.telemetry.archive)} == {first, second, last}
    assert {path.stem for path in (copy.data / "reports").iterdir()} == {first, second, last}
    assert runs(copy).keys() == set(batches)
    before = files(copy)
    store.path.write_bytes(b"")
    refused = copy.run("prune", "--keep-batches", "1", "--older-than", "0")
    assert refused.code == 2
    assert "Nobody can tell what serves" in refused.err
    assert files(copy) == before


def test_the_schedule_prunes_in_a_run_that_a_later_one_removes(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Home(tmp_path)
    shutil.copytree(home.data, copy.data, dirs_exist_ok=True)
    leave(monkeypatch, tmp_path)
    settings = read_settings({"data_dir": copy.data, "prune_keep_batches": 1, "prune_older_than_d": 0})
    definitions = build_definitions(settings, TEACHER, STUDENT)
    assert definitions.resolve_schedule_def("prune").job_name == "pruning"
    with open_instance(prepare_home(settings)) as instance:
        job = definitions.resolve_job_def("pruning")
        first = job.execute_in_process(instance=instance)
        assert first.success
        said = [record.event_log_entry.user_message for record in instance.get_records_for_run(first.run_id).records]
        assert any(line.startswith("removed 1 Dagster runs, ") for line in said)
        second = job.execute_in_process(instance=instance)
        assert second.success
        left = {run.run_id for run in instance.get_runs()}
    assert second.run_id in left
    assert first.run_id not in left
    (last,) = copy.rows("SELECT batch_id FROM batches ORDER BY started_at DESC LIMIT 1")
    assert {path.stem for path in (copy.data / "reports").iterdir()} == {last["batch_id"]}
