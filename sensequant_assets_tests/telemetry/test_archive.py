"""A closed shard is kept, whole, until the database can be made of it again."""

from pathlib import Path

import pytest

from sensequant_assets.telemetry.archive import kept, place_of, unpack
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, window, write_run


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_a_closed_shard_is_kept_by_batch_byte_for_byte_and_in_fewer_bytes(store: TelemetryStore) -> None:
    write_run(store, [window(f"S{n}", W1, "trained", n) for n in range(200)], batch="two words")
    (shard,) = store.shards.iterdir()
    written = shard.read_bytes()
    store.ingest()
    assert list(store.shards.iterdir()) == []
    (file,) = kept(store.archive)
    assert file.parent.name.startswith("two_words-")
    assert file.stat().st_size < len(written) / 4
    unpack(file, store.directory)
    assert (store.directory / shard.name).read_bytes() == written


def test_a_shard_that_is_still_written_is_not_kept_yet(store: TelemetryStore) -> None:
    journal = write_run(store, [window("A", W1, "trained")], status=None)
    store.ingest()
    assert list(kept(store.archive)) == []
    journal.close()
    store.ingest()
    assert len(list(kept(store.archive))) == 1


def test_a_kill_between_the_copy_and_the_removal_of_its_shard_is_uneventful(store: TelemetryStore) -> None:
    write_run(store, [window("A", W1, "trained")])
    (shard,) = store.shards.iterdir()
    written = shard.read_bytes()
    store.ingest()
    (file,) = kept(store.archive)
    before = file.read_bytes()
    shard.write_bytes(written)
    # What a kill leaves of a copy that it cut short.
    file.with_name(f".{file.name}.1.ab").write_bytes(before[:20])
    assert TelemetryStore(store.directory).ingest().rows == 0
    assert list(store.shards.iterdir()) == []
    assert [each.read_bytes() for each in kept(store.archive)] == [before]


def test_a_shard_that_cannot_be_kept_stays_and_its_rows_are_taken_all_the_same(store: TelemetryStore) -> None:
    write_run(store, [window("A", W1, "trained")])
    (shard,) = store.shards.iterdir()
    blocked = place_of(shard, store.archive)
    blocked.mkdir(parents=True)
    assert store.ingest().rows > 0
    assert shard.exists()
    blocked.rmdir()
    assert TelemetryStore(store.directory).ingest().rows == 0
    assert not shard.exists()
    assert [*kept(store.archive)] == [blocked]
