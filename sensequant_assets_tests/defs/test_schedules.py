"""Claims about the schedules, on a real instance and real bars."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.models import pool_of
from sensequant_assets.defs.names import BATCH_TAG
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.settings import read_settings
from sensequant_assets_tests.operating import STUDENT, SYMBOLS, TEACHER, WINDOWS, Office, office_settings
from sensequant_assets_tests.running import instance_of, leave

NIGHT = datetime(2026, 3, 6, 18, 30, tzinfo=UTC)
OPEN = WINDOWS[1]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    leave(monkeypatch, tmp_path)
    settings = read_settings(
        office_settings(tmp_path, workers=1, nightly_cron="15 16 * * 1-5", weekly_cron="0 4 * * 6")
    )
    with instance_of(settings) as instance:
        yield Office(settings, instance)


def tick(office: Office, schedule: str, at: datetime = NIGHT) -> Any:
    definitions = office.definitions
    with dg.build_schedule_context(instance=office.instance, scheduled_execution_time=at) as context:
        return definitions.resolve_schedule_def(schedule).evaluate_tick(context)


def test_the_nightly_schedule_trains_the_open_windows_in_one_run(office: Office) -> None:
    (request,) = tick(office, "nightly").run_requests
    office.run(request)
    assert request.run_key == request.tags[BATCH_TAG] == "nightly-20260306-183000"
    assert office.outcomes(request.tags[BATCH_TAG]) == {f"{symbol}|{OPEN}": "trained" for symbol in SYMBOLS}
    assert office.rows("SELECT source FROM batches") == [{"source": "schedule"}]


def test_the_weekly_schedule_trains_the_whole_lattice_in_one_run(office: Office) -> None:
    (request,) = tick(office, "weekly").run_requests
    office.run(request)
    outcomes = office.outcomes(request.tags[BATCH_TAG])
    assert outcomes == {
        f"{symbol}|{window}": "skipped" if window == WINDOWS[2] else "trained"
        for symbol in SYMBOLS
        for window in WINDOWS
    }


def test_a_schedule_makes_partitions_of_new_symbols(office: Office) -> None:
    tick(office, "nightly")
    assert set(office.instance.get_dynamic_partitions("symbols_four")) == set(SYMBOLS)


def test_where_no_window_is_open_the_night_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, tmp_path)
    settings = read_settings(office_settings(tmp_path, end="2009-06-30"))
    with instance_of(settings) as instance:
        found = tick(Office(settings, instance), "nightly")
    assert not found.run_requests
    assert "No window is open" in str(found.skip_message)


def test_schedules_are_off_until_they_are_switched_on_and_run_when_the_settings_say(office: Office) -> None:
    schedules = {one.name: one for one in office.definitions.get_repository_def().schedule_defs}
    assert {name: one.cron_schedule for name, one in schedules.items()} == {
        "nightly": "15 16 * * 1-5",
        "weekly": "0 4 * * 6",
        "daily_predictions": "0 19 * * 1-5",
        "prune": "0 4 * * *",
    }
    for one in schedules.values():
        assert one.default_status is dg.DefaultScheduleStatus.STOPPED
        assert one.execution_timezone == "UTC"
        assert one.description


def test_runs_of_the_daemon_share_a_pool_and_those_of_the_terminal_wait_for_nobody(office: Office) -> None:
    def pools(attended: MarketResource | None = None) -> set[str]:
        definitions = build_definitions(office.settings, TEACHER, STUDENT, attended=attended)
        nodes = definitions.resolve_job_def("training").nodes
        return {pool for node in nodes for pool in node.definition.pools}

    assert pools() == {"sensequant_cpu"}
    assert pools(MarketResource(office.settings, office.settings.data_dir)) == set()


def test_each_gpu_has_a_pool_of_its_own() -> None:
    second = TeacherParameters(scope="symbol", device_type="gpu", gpu_platform_id=1, gpu_device_id=2)
    assert pool_of(second) == "sensequant_gpu_1_2"


def test_a_home_lets_two_runs_of_a_pool_run_at_once(office: Office) -> None:
    pools = office.instance.get_concurrency_config().pool_config
    assert pools.default_pool_limit == 2
    assert str(pools.pool_granularity) == "PoolGranularity.RUN"
    assert office.instance.event_log_storage.supports_global_concurrency_limits
