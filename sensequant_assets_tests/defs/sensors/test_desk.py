"""Claims about what all sensors have in common."""

import dagster as dg

from sensequant_assets_tests.operating import (
    Office,
)


def test_every_sensor_is_off_until_it_is_switched_on_and_says_what_it_does(office: Office) -> None:
    sensors = office.definitions.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {"new_bars", "batch_failure_rate", "retry_transient", "stalled_batch"}
    for sensor in sensors:
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
        assert sensor.minimum_interval_seconds == 30
        assert sensor.description
