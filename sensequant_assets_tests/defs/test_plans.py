"""Claims about what telemetry knows of a backfill before all its runs have begun."""

import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill

from sensequant_assets.defs.names import BACKFILL_TAG, RANGE_END, RANGE_START
from sensequant_assets.defs.partitions import add_symbols, partition_order, symbol_partitions
from sensequant_assets.defs.plans import is_whole, tell_backfill
from sensequant_assets.defs.runs import fail_dead_runs
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.questions.batches import batch_basis
from sensequant_assets.watch.progress import read_progress
from sensequant_assets_tests.operating import SYMBOLS, WINDOWS, Office, opened

ALL = [(symbol, window) for symbol in SYMBOLS for window in WINDOWS]
PLAN = """
SELECT model, symbol, window_start::VARCHAR AS first_day, run_id FROM planned_windows
ORDER BY model DESC, symbol, window_start
"""


def launch(
    office: Office,
    partitions: Sequence[str] | None = None,
    assets: Sequence[str] = ("teacher_models", "student_models"),
    symbols: Sequence[str] = SYMBOLS,
) -> str:
    """What a click on "Launch backfill" leaves in Dagster's database."""
    add_symbols(office.instance, symbol_partitions("four"), symbols, office.settings.symbols_a_partition)
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="abcdefgh",
        asset_graph=office.definitions.resolve_asset_graph(),
        partition_names=partitions,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=office.instance,
        all_partitions=partitions is None,
        title=None,
        description=None,
        run_config=None,
    )
    office.instance.add_backfill(backfill)
    return "abcdefgh"


def tell(office: Office) -> list[tuple[str, str, str]]:
    """Tell the plan; what telemetry then has of it."""
    order = partition_order(office.instance, office.settings)
    tell_backfill(office.instance, office.telemetry, "abcdefgh", SYMBOLS, WINDOWS, order)
    rows = office.rows(PLAN)
    assert {row["run_id"] for row in rows} <= {""}
    return [(row["model"], row["symbol"], row["first_day"]) for row in rows]


def of_one_window(window: str) -> dict[str, str]:
    """Tags of the run that the daemon starts for a window."""
    return {
        BACKFILL_TAG: "abcdefgh",
        RANGE_START: f"{SYMBOLS[0]}|{window}",
        RANGE_END: f"{SYMBOLS[-1]}|{window}",
    }


def test_the_plan_of_a_whole_backfill_is_all_that_it_covers_of_the_market(office: Office) -> None:
    # The partition of a symbol outlives its row in the universe.
    launch(office, symbols=[*SYMBOLS, "LONGGONE"])
    assert tell(office) == [(model, *key) for model in ("teacher", "student") for key in ALL]


def test_a_run_is_its_whole_backfill_where_it_covers_all_of_it(office: Office) -> None:
    launch(office)
    every = [f"{symbol}|{window}" for symbol, window in ALL]
    both = ("teacher_models", "student_models")
    assert is_whole(office.instance, "abcdefgh", both, every)
    assert not is_whole(office.instance, "abcdefgh", both, every[1:])
    # What Dagster does not know may have any runs.
    assert not is_whole(office.instance, "nobody's", both, every)


# Dagster itself calls it.
@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`")
def test_the_plan_of_a_chosen_backfill_is_its_choice(office: Office) -> None:
    launch(office, ["AAPL|2009-01-01", "MSFT|2009-06-30"], ["student_models"])
    assert tell(office) == [("student", "AAPL", "2009-01-01"), ("student", "MSFT", "2009-06-30")]


def test_a_plan_is_told_once_and_one_of_no_backfill_never(office: Office) -> None:
    assert tell(office) == []
    assert not list(office.telemetry.shards.glob("*"))
    launch(office)
    tell(office)
    shards = sorted(path.name for path in office.settings.data_dir.glob("telemetry/*/**/*.jsonl*"))
    assert len(shards) == 1
    tell(office)
    assert sorted(path.name for path in office.settings.data_dir.glob("telemetry/*/**/*.jsonl*")) == shards


def test_the_first_run_of_a_backfill_tells_the_whole_plan_and_keeps_its_own(office: Office) -> None:
    launch(office)

    def percent() -> float | None:
        return read_progress(office.telemetry, "abcdefgh", utc_now()).percent

    first = office.train({}, tags=of_one_window(WINDOWS[0])).run_id
    rows = office.rows(PLAN)
    assert len(rows) == 2 * len(ALL)
    assert {row["run_id"] for row in rows if row["first_day"] == WINDOWS[0]} == {first}
    assert {row["run_id"] for row in rows if row["first_day"] != WINDOWS[0]} == {""}
    assert percent() == pytest.approx(100 / len(WINDOWS))
    second = office.train({}, tags=of_one_window(WINDOWS[1])).run_id
    assert {row["run_id"] for row in office.rows(PLAN)} == {first, second, ""}
    assert percent() == pytest.approx(200 / len(WINDOWS))
    (batch,) = office.rows("SELECT batch_id, planned_teachers, planned_students FROM batches")
    assert batch == {"batch_id": "abcdefgh", "planned_teachers": len(ALL), "planned_students": len(ALL)}
    assert office.rows("SELECT count(*) AS shards FROM shards WHERE run_id IS NULL") == [{"shards": 1}]


@pytest.mark.parametrize("tags", [of_one_window(WINDOWS[1]), {"dagster/partition": f"AAPL|{WINDOWS[1]}"}])
def test_what_a_run_was_to_do_that_died_before_its_first_record_is_told_in_its_name(
    office: Office, tags: dict[str, str]
) -> None:
    launch(office)
    died = dg.DagsterRun(job_name="training", tags=tags, status=dg.DagsterRunStatus.STARTED)
    office.instance.add_run(died)
    office.instance.report_run_failed(died)
    assert fail_dead_runs(office.instance, office.telemetry, office.settings) == [died.run_id]
    of_backfill = BACKFILL_TAG in tags
    batch = "abcdefgh" if of_backfill else died.run_id
    own = [row for row in office.rows(PLAN) if row["run_id"] == died.run_id]
    assert [(row["symbol"], row["first_day"]) for row in own] == 2 * [
        (symbol, WINDOWS[1]) for symbol in (SYMBOLS if of_backfill else ["AAPL"])
    ]
    assert len(office.rows(PLAN)) == (2 * len(ALL) if of_backfill else 2)
    (told,) = office.rows("SELECT batch_id, status, universe, backfill_id, source FROM batches")
    assert told == {
        "batch_id": batch, "status": "interrupted", "universe": "four", "source": "ui",
        "backfill_id": batch if of_backfill else None,
    }  # fmt: skip
    # What its batch was run with is not known by that.
    assert batch_basis(office.telemetry, batch) is None
    assert fail_dead_runs(office.instance, office.telemetry, office.settings) == []


def test_blocks_are_planned_and_told_of_as_their_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, monkeypatch, partition_by="block", block_size=3) as office:
        launch(office, symbols=[*SYMBOLS, "LONGGONE"])
        assert tell(office) == [(model, *key) for model in ("teacher", "student") for key in ALL]
        corners = {RANGE_START: f"AAPL~IBM~3|{WINDOWS[1]}", RANGE_END: f"MSFT~LONGGONE~2|{WINDOWS[1]}"}
        died = dg.DagsterRun(job_name="training", tags=corners, status=dg.DagsterRunStatus.STARTED)
        office.instance.add_run(died)
        office.instance.report_run_failed(died)
        assert fail_dead_runs(office.instance, office.telemetry, office.settings) == [died.run_id]
        own = [row for row in office.rows(PLAN) if row["run_id"] == died.run_id]
        assert [(row["symbol"], row["first_day"]) for row in own] == 2 * [(symbol, WINDOWS[1]) for symbol in SYMBOLS]
