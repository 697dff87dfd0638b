"""Claims about what Dagster knows of batches."""

from pathlib import Path

import dagster as dg
import pytest

from sensequant_assets.defs.batches import limit_pool
from sensequant_assets.home import open_instance, prepare_home
from sensequant_assets.settings import read_settings
from sensequant_assets_tests.running import leave


def limits(instance: dg.DagsterInstance) -> dict[str, int]:
    return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}


def test_a_pool_has_its_limit_before_its_first_run_and_keeps_one_that_a_person_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    with open_instance(prepare_home(read_settings())) as instance:
        assert limits(instance) == {}
        limit_pool(instance, "sensequant_cpu")
        assert limits(instance) == {"sensequant_cpu": 2}
        instance.event_log_storage.set_concurrency_slots("sensequant_cpu", 5)
        limit_pool(instance, "sensequant_cpu")
        assert limits(instance) == {"sensequant_cpu": 5}


def test_an_instance_without_a_limit_is_given_none(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        limit_pool(instance, "sensequant_cpu")
        assert limits(instance) == {}
