"""Claims about what all sensors have in common."""

from typing import Any

import dagster as dg
import duckdb
import pytest

from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import BatchStart, RunEnd
from sensequant_assets_tests.operating import (
    Office,
)

ON = ("batch_failure_rate", "retry_transient", "stalled_batch")


def test_sensors_that_watch_batches_are_on_and_those_that_act_on_bars_are_off_and_each_says_what_it_does(
    office: Office,
) -> None:
    sensors = {sensor.name: sensor for sensor in office.definitions.get_repository_def().sensor_defs}
    assert set(sensors) == {"new_bars", "new_predictions", *ON}
    for name, sensor in sensors.items():
        on = dg.DefaultSensorStatus.RUNNING if name in ON else dg.DefaultSensorStatus.STOPPED
        assert sensor.default_status is on
        assert sensor.minimum_interval_seconds == 30
        assert sensor.description


def test_an_idle_look_makes_no_telemetry_where_there_is_none(office: Office) -> None:
    for sensor in ON:
        office.tick(sensor)
    assert not office.telemetry.directory.exists()


@pytest.mark.parametrize("sensor", ON)
def test_an_idle_look_opens_telemetry_only_when_something_was_written(
    office: Office, monkeypatch: pytest.MonkeyPatch, sensor: str
) -> None:
    opened = []

    def connect(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        opened.append(arguments)
        return plain(*arguments, **options)

    def write() -> None:
        with Journal(office.telemetry.shards, batch_id="b", run_id="r", clock=utc_now) as journal:
            journal.append_many([BatchStart(universe="four"), RunEnd(status="succeeded")])

    definitions, plain = office.definitions, duckdb.connect
    monkeypatch.setattr(duckdb, "connect", connect)
    # One location, as the daemon keeps it.
    monkeypatch.setattr(Office, "definitions", definitions)
    for _ in range(2):
        write()
        office.look(sensor)
        assert opened
        office.look(sensor)
        opened.clear()
        office.look(sensor)
        assert not opened
