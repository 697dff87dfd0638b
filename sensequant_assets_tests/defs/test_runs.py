"""Claims about what Dagster knows of batches."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from sensequant_assets.defs.runs import _HAS_PROCESS, has_ended, limit_pool


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


def test_a_run_that_neither_waits_nor_is_over_is_looked_for_among_the_dead() -> None:
    assert set(_HAS_PROCESS) == set(NOT_FINISHED_STATUSES) - {dg.DagsterRunStatus.QUEUED}
