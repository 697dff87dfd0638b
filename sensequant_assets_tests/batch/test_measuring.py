"""Claims about what a run of a profile tells; that it is a process is seen of the command."""

from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch.measuring import Told, ToldJournal
from sensequant_assets.telemetry.questions.events import DEVICES
from sensequant_assets.telemetry.records import Event
from sensequant_assets_tests.telling import W1, window


@pytest.fixture
def told() -> Told:
    return Told()


def look(told: Told, directory: Path, *devices: dict[str, Any]) -> None:
    with ToldJournal(directory, told) as journal:
        journal.append(Event(kind=DEVICES, data={"devices": list(devices)}))


def test_how_busy_devices_were_is_the_mean_of_what_they_say(told: Told, tmp_path: Path) -> None:
    look(told, tmp_path, {"utilization_percent": 90.0}, {"utilization_percent": 50.0})
    look(told, tmp_path, {"utilization_percent": 40.0}, {"busy_s": 3.0})
    assert told.utilisation == pytest.approx(0.6)


def test_of_devices_that_do_not_say_how_busy_they_are_nothing_is_known(told: Told, tmp_path: Path) -> None:
    assert told.utilisation is None
    look(told, tmp_path, {"busy_s": 3.0})
    assert told.utilisation is None


def test_teachers_that_several_devices_trained_name_them_all(told: Told, tmp_path: Path) -> None:
    with ToldJournal(tmp_path, told) as journal:
        for device, symbol in (("gpu 0:1", "A"), ("gpu 0:0", "B"), ("gpu 0:1", "C")):
            journal.append(window(symbol, W1, "trained", device=device, cpu_s=2.0, device_s=1.5))
        journal.append(window("A", W1, "trained", model="student", device="cpu", cpu_s=0.5))
    assert told.devices == "gpu 0:0 and gpu 0:1"
    assert [(model, cost.cpu_s, cost.device_s) for model, cost in told.costs] == [
        *[("teacher", 2.0, 1.5)] * 3, ("student", 0.5, None)
    ]  # fmt: skip
