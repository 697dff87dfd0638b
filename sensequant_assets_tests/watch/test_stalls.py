"""Claims about batches that give no sign of life."""

from datetime import UTC, datetime, timedelta

from sensequant_assets.telemetry.questions.batches import Running
from sensequant_assets.watch.stalls import Stall, evaluate_stalls

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)


def test_a_batch_is_stalled_from_the_limit_on() -> None:
    running = [Running("at", NOON - timedelta(minutes=30)), Running("before", NOON - timedelta(minutes=29, seconds=59))]
    assert evaluate_stalls(running, NOON, timedelta(minutes=30)) == [Stall("at", NOON - timedelta(minutes=30))]


def test_a_stall_is_the_same_until_the_batch_gives_a_sign_of_life() -> None:
    first, other = Stall("slow", NOON), Stall("slow", NOON + timedelta(minutes=1))
    assert Stall("slow", NOON).identity == first.identity != other.identity
    assert "Batch slow runs and has given no sign of life since 2026-03-06 12:00 UTC." in first.message
