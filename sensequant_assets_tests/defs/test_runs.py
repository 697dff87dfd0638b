"""Claims about what Dagster knows of batches."""

from pathlib import Path

import dagster as dg

from sensequant_assets.defs.runs import limit_pool


def test_an_instance_without_a_limit_is_given_none(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        limit_pool(instance, "sensequant_cpu")
        assert instance.event_log_storage.get_pool_limits() == []
