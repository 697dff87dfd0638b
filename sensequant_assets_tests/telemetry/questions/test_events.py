"""Claims about what is asked of events."""

from datetime import timedelta
from pathlib import Path

import pytest

from sensequant_assets.telemetry.questions.events import is_noted, messages
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, journal_of


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


def test_messages_of_a_kind_come_in_the_order_of_their_time(store: TelemetryStore) -> None:
    with journal_of(store, run_id="late", at=NOON + timedelta(minutes=1)) as late:
        late.append(Event(kind="blocked", message="second"))
    with journal_of(store, run_id="early") as early:
        early.append_many([Event(kind="blocked", message="first"), Event(kind="traceback", message="other")])
    with journal_of(store, batch_id="other") as other:
        other.append(Event(kind="blocked", message="elsewhere"))
    assert messages(store, "b", "blocked") == ["first", "second"]
