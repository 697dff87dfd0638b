"""Claims about the limit of a batch that somebody changes while it runs."""

from pathlib import Path

import pytest

from sensequant_assets.telemetry import limits
from sensequant_assets.telemetry.limits import LimitWatch, change_limit
from sensequant_assets.telemetry.questions.batches import batch, batch_basis, running_batches
from sensequant_assets.telemetry.records import BatchStart, Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, journal_of


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def seen(watch: LimitWatch) -> tuple[float, str] | None:
    latest = watch.latest()
    return (latest.max_failure_rate, latest.by) if latest else None


def test_a_running_batch_sees_each_change_of_its_limit_and_none_of_others(store: TelemetryStore) -> None:
    watch = LimitWatch(store, "b")
    assert seen(watch) is None
    change_limit(store, "other", 0.9, "bob")
    assert seen(watch) is None
    for limit in (0.2, 0.3, 0.1):
        change_limit(store, "b", limit, "ann")
        assert seen(watch) == (limit, "ann")


def test_a_change_that_telemetry_has_taken_in_is_found_in_the_archive(store: TelemetryStore) -> None:
    early = LimitWatch(store, "b")
    assert seen(early) is None
    change_limit(store, "b", 0.2, "ann")
    store.ingest()
    assert not list(store.shards.glob("*.jsonl"))
    assert seen(early) == seen(LimitWatch(store, "b")) == (0.2, "ann")


def test_a_change_is_seen_that_was_not_written_yet_at_the_first_look(store: TelemetryStore) -> None:
    watch = LimitWatch(store, "b")
    journal = journal_of(store, run_id="")
    journal.append(Event(kind="stalled", message="no change"))
    assert seen(watch) is None
    journal.append(Event(kind="limit", data={"max_failure_rate": 0.4, "by": "ann"}))
    assert seen(watch) == (0.4, "ann")
    journal.close()
    assert str(watch.latest()) == "set by ann at 2026-01-05 12:00 UTC".replace("2026-01-05", f"{NOON:%Y-%m-%d}")


def test_a_look_reads_no_file_while_no_shard_comes_or_goes(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_limit(store, "b", 0.2, "ann")
    monkeypatch.setattr(limits, "_SETTLED_NS", -1)
    watch = LimitWatch(store, "b")
    assert seen(watch) == (0.2, "ann")
    monkeypatch.setattr(LimitWatch, "_look", lambda _: pytest.fail("it looked"))
    assert seen(watch) == (0.2, "ann")


def test_whoever_judges_later_takes_the_limit_that_was_set_last(store: TelemetryStore) -> None:
    with journal_of(store) as journal:
        journal.append(BatchStart(universe="five", settings={"bars": "sample"}, max_failure_rate=0.15))
        assert (batch(store, "b")["max_failure_rate"], batch(store, "b")["limit_by"]) == (0.15, "")
        signs = running_batches(store)
        for limit in (0.3, 0.25):
            change_limit(store, "b", limit, "ann")
        found, basis = batch(store, "b"), batch_basis(store, "b")
        assert basis
        assert found["max_failure_rate"] == basis.max_failure_rate == 0.25
        assert found["limit_by"].startswith("set by ann at ")
        # It is no sign of life of the batch, and what it was started with stays on record.
        assert running_batches(store) == signs
    assert store.rows("SELECT max_failure_rate FROM batches") == [{"max_failure_rate": 0.15}]
