"""Claims about what Dagster knows of batches."""

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from sensequant_assets.defs.names import BATCH_TAG, RANGE_END, RANGE_START
from sensequant_assets.defs.runs import (
    _HAS_PROCESS,
    died_runs,
    fail_dead_runs,
    has_ended,
    limit_pool,
    requested_batches,
)
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import BatchStart, RunEnd
from sensequant_assets_tests.operating import WINDOWS, Office


def test_an_instance_without_a_limit_is_given_none(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        limit_pool(instance, "sensequant_cpu")
        assert instance.event_log_storage.get_pool_limits() == []


def test_a_backfill_is_over_in_every_status_that_dagster_counts_as_its_end() -> None:
    class Instance(dg.DagsterInstance):
        """Knows one backfill, of which a claim needs no more than its status."""

        def __init__(self, status: BulkActionStatus) -> None:
            self.status = status

        def get_backfill(self, backfill_id: str) -> Any:
            return SimpleNamespace(status=self.status)

    ended = {status for status in BulkActionStatus if has_ended(Instance(status), "one", [])}
    assert ended == set(BULK_ACTION_TERMINAL_STATUSES)


def test_what_is_asked_for_and_not_over_is_a_batch_to_come_unless_it_is_known(office: Office) -> None:
    statuses = {
        "waiting": dg.DagsterRunStatus.NOT_STARTED,
        "begun": dg.DagsterRunStatus.STARTED,
        "over": dg.DagsterRunStatus.SUCCESS,
        "known": dg.DagsterRunStatus.STARTED,
    }
    for batch, status in statuses.items():
        office.instance.add_run(dg.DagsterRun(job_name="training", status=status, tags={BATCH_TAG: batch}))
    # Tables of bars are no batch.
    office.instance.add_run(dg.DagsterRun(job_name="market", status=dg.DagsterRunStatus.NOT_STARTED))
    assert set(requested_batches(office.instance, ["known"])) == {"waiting", "begun"}
    for number, (backfill, asset) in enumerate(
        {"models": "teacher_models", "tables": "bars", "late": "student_models"}.items()
    ):
        office.instance.add_backfill(
            PartitionBackfill(
                backfill_id=backfill,
                status=BulkActionStatus.REQUESTED,
                from_failure=False,
                tags={},
                backfill_timestamp=2e9 + number,
                asset_selection=[dg.AssetKey(asset)],
            )
        )
    assert requested_batches(office.instance, ["known"])[:2] == ["late", "models"]


def test_a_run_that_neither_waits_nor_is_over_is_looked_for_among_the_dead() -> None:
    assert set(_HAS_PROCESS) == set(NOT_FINISHED_STATUSES) - {dg.DagsterRunStatus.QUEUED}


def test_a_run_whose_process_was_killed_is_failed_and_a_living_one_is_not(office: Office) -> None:
    dead, alive = (dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.STARTED) for _ in range(2))
    for run in (dead, alive):
        office.instance.add_run(run)
    with Journal(office.telemetry.shards, batch_id="b", run_id=alive.run_id, clock=utc_now) as living:
        living.append(BatchStart())
        # A shard without its last line and without a lock is what a killed process leaves.
        shard = office.telemetry.shards / "b.dead.1.jsonl"
        record = {"record": "batch", "batch_id": "b", "run_id": dead.run_id, "at": utc_now().isoformat()}
        shard.write_text(json.dumps(record) + "\n")
        assert fail_dead_runs(office.instance, office.telemetry, office.settings) == [dead.run_id]
    assert office.instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.FAILURE
    assert office.instance.get_run_by_id(alive.run_id).status is dg.DagsterRunStatus.STARTED


def limited(office: Office, seconds: float) -> Settings:
    """Its settings with another limit of a run's start."""
    return office.settings.model_copy(update={"run_start_limit_s": seconds})


def test_a_started_run_without_a_record_is_failed_after_the_limit_that_is_given(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSEQUANT_RUN_START_LIMIT_S", "0.000001")
    silent = dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.STARTED)
    office.instance.add_run(silent)
    assert fail_dead_runs(office.instance, office.telemetry, limited(office, 180)) == []
    assert fail_dead_runs(office.instance, office.telemetry, limited(office, 0)) == [silent.run_id]


def failed_in_dagster(office: Office) -> dg.DagsterRun:
    """A run that Dagster itself has failed, as its code server does when the process of a run dies."""
    run = dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.STARTED)
    office.instance.add_run(run)
    office.instance.report_run_failed(run)
    return run


def left_behind(office: Office, run: dg.DagsterRun) -> None:
    """The shard of a run that was killed: without its last line and without a lock."""
    record = {"record": "batch", "batch_id": "b", "run_id": run.run_id, "at": utc_now().isoformat()}
    office.telemetry.shards.mkdir(parents=True, exist_ok=True)
    (office.telemetry.shards / f"b.{run.run_id}.1.jsonl").write_text(json.dumps(record) + "\n")


def test_a_killed_run_that_dagster_has_failed_itself_is_marked_as_died_once(office: Office) -> None:
    killed, silent, ended = (failed_in_dagster(office) for _ in range(3))
    left_behind(office, killed)
    with Journal(office.telemetry.shards, batch_id="b", run_id=ended.run_id, clock=utc_now) as journal:
        journal.append_many([BatchStart(), RunEnd(status="failed")])
    found = fail_dead_runs(office.instance, office.telemetry, office.settings)
    assert sorted(found) == sorted([killed.run_id, silent.run_id])
    died = [run.run_id for run, _ in died_runs(office.instance, utc_now() - timedelta(hours=1))]
    assert sorted(died) == sorted(found)
    assert fail_dead_runs(office.instance, office.telemetry, office.settings) == []


def test_a_run_that_refused_its_input_before_its_first_record_has_not_died(office: Office) -> None:
    corner = f"AAPL|{WINDOWS[0]}"
    refused = office.train({"pairs": [f"NOPE|{WINDOWS[0]}"]}, tags={RANGE_START: corner, RANGE_END: corner})
    assert not refused.success
    assert not list(office.telemetry.shards.glob("*.jsonl"))
    assert fail_dead_runs(office.instance, office.telemetry, limited(office, 0)) == []


def test_a_run_that_a_person_was_ending_when_it_died_is_cancelled_and_repeated_by_nobody(office: Office) -> None:
    run = dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.CANCELING)
    office.instance.add_run(run)
    left_behind(office, run)
    fail_dead_runs(office.instance, office.telemetry, office.settings)
    assert office.instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.CANCELED
    assert died_runs(office.instance, utc_now() - timedelta(hours=1)) == []
