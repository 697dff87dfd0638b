"""Claims about what is asked of events."""

from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.events import NO_DEVICES, devices_told, is_noted
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import journal_of


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_an_event_is_noted_by_its_kind_and_identity_together(store: TelemetryStore) -> None:
    with journal_of(store) as run:
        run.append(Event(kind="stalled", data={"id": "b:1"}))
        run.append(Event(kind="traceback", message="no identity"))
    assert is_noted(store, "stalled", "b:1")
    assert not is_noted(store, "stalled", "b:2")
    assert not is_noted(store, "notified", "b:1")


def test_of_each_run_the_last_that_it_told_of_its_devices_counts_and_every_warning_once(store: TelemetryStore) -> None:
    assert devices_told(store, "b") == NO_DEVICES
    idle = {"devices": [{"device": "gpu 0:1", "windows": 0, "said": "idle"}], "idle": ["It stood idle."], "silent": ""}
    for run_id, device in (("r1", "gpu 0:0"), ("r2", "gpu 0:1")):
        with journal_of(store, run_id=run_id) as run:
            run.append(Event(kind="device", message="Teachers are trained on both."))
            for windows in (1, 2):
                state = {"device": device, "windows": windows, "said": f"{device}: {windows}"}
                run.append(Event(kind="devices", data={"devices": [state], "idle": [], "silent": "Not NVIDIA's."}))
            run.append(Event(level="warning", kind="device", message="One failed."))
            if run_id == "r2":
                # By the journal of its run, as runs tell: two journals may tell within the same tick of the clock.
                run.append(Event(level="warning", kind="devices", data=idle))
    found = devices_told(store, "b")
    assert [state["said"] for state in found.states] == ["gpu 0:0: 2", "idle"]
    assert found.warnings == ("One failed.", "It stood idle.")
    assert found.silent == "Not NVIDIA's."
