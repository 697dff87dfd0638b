"""Claims about what sensors note so that they tell it once."""

from pathlib import Path

from sensequant_assets.telemetry.questions.events import is_noted
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.notes import note


def test_a_note_is_found_again_by_its_kind_and_identity_alone(tmp_path: Path) -> None:
    note(TelemetryStore(tmp_path), "problem", "new_bars:1", "a.csv is cut")
    # Another process looks.
    telemetry = TelemetryStore(tmp_path)
    assert is_noted(telemetry, "problem", "new_bars:1")
    assert not is_noted(telemetry, "problem", "new_bars:2")
    assert not is_noted(telemetry, "stalled", "new_bars:1")


def test_a_note_says_what_was_told_of_which_batch(tmp_path: Path) -> None:
    telemetry = TelemetryStore(tmp_path)
    note(telemetry, "stalled", "slow:1", "It does not move.", batch_id="slow")
    rows = telemetry.query("SELECT batch_id, level, kind, message FROM events").to_pylist()
    assert rows == [{"batch_id": "slow", "level": "error", "kind": "stalled", "message": "It does not move."}]
