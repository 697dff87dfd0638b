"""Claims about what is asked of events."""

from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.events import is_noted
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
