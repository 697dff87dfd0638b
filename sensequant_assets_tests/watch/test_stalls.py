"""Claims about batches that give no sign of life."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import BatchStart, RunEnd, WindowRun
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.notes import note
from sensequant_assets.watch.stalls import Running, Stall, evaluate_stalls, running_batches

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)


def test_a_batch_is_stalled_from_the_limit_on() -> None:
    running = [Running("at", NOON - timedelta(minutes=30)), Running("before", NOON - timedelta(minutes=29, seconds=59))]
    assert evaluate_stalls(running, NOON, timedelta(minutes=30)) == [Stall("at", NOON - timedelta(minutes=30))]


def test_a_stall_is_the_same_until_the_batch_gives_a_sign_of_life() -> None:
    first, other = Stall("slow", NOON), Stall("slow", NOON + timedelta(minutes=1))
    assert Stall("slow", NOON).identity == first.identity != other.identity
    assert "Batch slow runs and has given no sign of life since 2026-03-06 12:00 UTC." in first.message


def test_a_note_of_a_sensor_is_no_sign_of_life_and_a_window_is(tmp_path: Path) -> None:
    telemetry, now = TelemetryStore(tmp_path), NOON
    with Journal(telemetry.shards, batch_id="slow", run_id="r1", clock=lambda: now) as journal:
        journal.append(BatchStart(started_at=NOON))
        note(telemetry, "stalled", "slow:1", "It does not move.", batch_id="slow")
        assert running_batches(telemetry) == [Running("slow", NOON)]
        now = NOON + timedelta(minutes=5)
        journal.append(
            WindowRun(model="teacher", symbol="AAPL", window_start=now.date(), outcome="trained", ended_at=now)
        )
        assert running_batches(telemetry) == [Running("slow", now)]
        journal.append(RunEnd(status="succeeded"))
    assert running_batches(telemetry) == []
