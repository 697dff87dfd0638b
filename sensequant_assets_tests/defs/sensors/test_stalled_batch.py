"""Claims about the sensor that tells of batches without a sign of life."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from sensequant_assets.defs.partitions import symbol_partitions
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import BatchStart, WindowRun
from sensequant_assets.text import printable
from sensequant_assets_tests.operating import (
    STUDENT,
    TEACHER,
    WINDOWS,
    Office,
    opened,
    webhook,
)
from sensequant_assets_tests.test_text import NASTY


def test_a_batch_without_a_sign_of_life_is_told_once_a_stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (url, received), opened(tmp_path, monkeypatch, webhook_url=url, stalled_after_min=30) as office:
        then = datetime.now(UTC) - timedelta(minutes=31)
        with Journal(office.telemetry.shards, batch_id="slow", run_id="r1", clock=lambda: then) as journal:
            journal.append(BatchStart(universe="four"))
            for _ in range(2):
                assert "Stalled: slow" in str(office.tick("stalled_batch").skip_message)
            assert len(office.rows("SELECT * FROM events WHERE kind = 'stalled'")) == 1
            with Journal(office.telemetry.shards, batch_id="slow", run_id="r1", clock=utc_now) as again:
                first = date.fromisoformat(WINDOWS[0])
                again.append(WindowRun(model="teacher", symbol="AAPL", window_start=first, outcome="trained"))
            assert "No batch is stalled" in str(office.tick("stalled_batch").skip_message)
        assert [message["sensor"] for message in received] == ["stalled_batch"]


def test_what_a_sensor_logs_is_a_line_that_prints(office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    with dg.build_sensor_context(
        instance=office.instance, definitions=office.definitions, sensor_name="new_bars"
    ) as context:
        Desk(office.settings, TEACHER, STUDENT, symbol_partitions("four"), dg.StaticPartitionsDefinition([])).tell(
            context, "b", NASTY
        )
    logged = capfd.readouterr().err
    assert printable(NASTY) in logged
    assert all(line.isprintable() for line in logged.split("\n"))
