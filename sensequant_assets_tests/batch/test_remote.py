"""Claims about the copy of a run in a bucket, of an S3 server on this machine."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch import lease
from sensequant_assets.batch.remote import Mirror, Remote, Taken, mirrored, settled
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.noise import NoisePart, NoiseRecord, NoiseStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import read_settings
from sensequant_assets.sources.buckets import Bucket
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.batch.test_run import Workshop
from sensequant_assets_tests.models.test_champions import promoted
from sensequant_assets_tests.running import free_port, leave
from sensequant_assets_tests.s3_server import QUIETLY, bucket, s3_server

__all__ = ["s3_server"]

pytestmark = QUIETLY
PLACE = "s3://bucket/desk"


@pytest.fixture(autouse=True)
def _bucket(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    leave(monkeypatch, tmp_path)
    with bucket(s3, monkeypatch):
        yield


def remote_of(data: Path, place: str = PLACE) -> Remote:
    found = Remote.of(read_settings({"data_dir": data, "remote": place}))
    assert found
    return found


def machine(directory: Path) -> tuple[Workshop, Remote]:
    """A machine with a data directory of its own, and the same bars."""
    directory.mkdir()
    shop = Workshop(directory)
    data = directory / "data"
    shop.telemetry, shop.models = TelemetryStore(data / "telemetry"), ModelStore(data / "models", "two")
    return shop, remote_of(data)


def carry_out(shop: Workshop, remote: Remote, name: str) -> None:
    list(replace(shop.prepared(name), mirror=partial(mirrored, remote)).carry_out(take_all))


def take_all(_: ModelKind, outcomes: Iterator[Outcome]) -> None:
    list(outcomes)


def counted_outcomes(shop: Workshop) -> list[tuple[Any, ...]]:
    return shop.rows("SELECT batch_id, outcome, count(*) FROM window_runs GROUP BY ALL ORDER BY ALL")


def test_another_machine_has_the_models_and_the_rows_of_a_batch_and_trains_nothing_again(tmp_path: Path) -> None:
    (first, there), (second, here) = machine(tmp_path / "first"), machine(tmp_path / "second")
    carry_out(first, there, "one")
    assert here.hydrate() == Taken(12 * 2 + 1, None)
    assert here.hydrate() == Taken(0, None)
    carry_out(second, here, "two")
    assert counted_outcomes(second) == [("one", "trained", 12), ("two", "reused", 12)]
    trees = "SELECT model, symbol, window_start, trees_fingerprint FROM window_runs WHERE batch_id = 'one' ORDER BY ALL"
    assert second.rows(trees) == first.rows(trees)


def test_a_batch_killed_with_its_disk_goes_on_elsewhere_from_what_was_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, there), (second, here) = machine(tmp_path / "first"), machine(tmp_path / "second")
    run = first.prepared("one")
    mirror = Mirror(there, run.journal)

    def killed(_: ModelKind, outcomes: Iterator[Outcome]) -> None:
        for number, _outcome in enumerate(mirror.watched(outcomes), 1):
            if number == 4:
                assert mirror.push() == ""
                # What follows is on this disk alone.
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), there.alone(print):
        list(run.carry_out(killed))
    # Who is killed takes no leave.
    told = {"holder": "x", "host": "desk", "process": 7}
    there.bucket.files.pipe_file(there.bucket.place(f"{lease.LEASE}/00000001.json"), json.dumps(told).encode())
    with pytest.raises(UsageError, match=r"Another machine is at work with s3://bucket/desk: desk, process 7, which"):
        here.alone(print).__enter__()
    assert here.hydrate() == Taken(4 * 2, lease.Company("desk", 7, 0.0))
    assert not second.rows("SELECT * FROM runs")
    monkeypatch.setattr(lease, "QUIET_S", -1.0)
    with here.alone(print):
        assert here.hydrate() == Taken(1, None)
    carry_out(second, here, "two")
    (name, outcome, rows), *then = counted_outcomes(second)
    assert then == [("two", "reused", 4), ("two", "trained", 8)]
    # The thread that trains may be a row ahead of the outcomes that are taken.
    assert (name, outcome) == ("one", "trained")
    assert 4 <= rows <= 6
    every = "SELECT count(*), count(DISTINCT (model, symbol, window_start)) FROM window_runs WHERE batch_id = 'two'"
    assert second.rows(every) == [(12, 12)]


def test_what_could_not_be_put_is_told_and_put_when_the_next_batch_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, remote = machine(tmp_path / "first")

    def refuse(*_: Any) -> None:
        raise OSError("the network is down")

    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "put", refuse)
        carry_out(shop, remote, "one")
    assert counted_outcomes(shop) == [("one", "trained", 12)]
    (said,) = shop.rows("SELECT message FROM events WHERE kind = 'remote'")
    assert "lacks 24 files for the time being, because it was not reached: the network is down" in said[0]
    assert not remote.bucket.listed()
    remote.hydrate()
    carry_out(shop, remote, "two")
    other, elsewhere = machine(tmp_path / "second")
    # Of the first batch a journal and that of the event.
    assert elsewhere.hydrate().files == 12 * 2 + 3
    assert counted_outcomes(other) == [("one", "trained", 12), ("two", "reused", 12)]


def test_an_address_that_cannot_be_used_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        remote_of(tmp_path, "nowhere://x")
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        away.setenv("AWS_MAX_ATTEMPTS", "1")
        lost = remote_of(tmp_path, "s3://elsewhere/x")
        type(lost.bucket.files).clear_instance_cache()
        with pytest.raises(UsageError, match=r"The copy at s3://elsewhere/x cannot be .* unset SENSEQUANT_REMOTE"):
            remote_of(tmp_path, "s3://elsewhere/x").hydrate()
    type(lost.bucket.files).clear_instance_cache()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'sensequant-assets\[s3\]'"):
        remote_of(tmp_path)


def test_a_name_that_leads_out_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    _, remote = machine(tmp_path / "first")
    remote.bucket.files.pipe_file(f"{remote.bucket.root}/models/../../.ssh/keys", b"mine")
    with pytest.raises(UsageError, match="no name of ours"):
        remote.hydrate()
    assert not (tmp_path / "first" / "data" / "models").exists()


def champions_of(remote: Remote) -> ChampionStore:
    return ChampionStore(remote.data_dir / "champions", "two")


def test_what_serves_is_the_same_on_another_machine_and_its_history_goes_on_there(tmp_path: Path) -> None:
    (_, there), (_, here) = machine(tmp_path / "first"), machine(tmp_path / "second")
    first = promoted(champions_of(there), "one")
    assert there.give() == ""
    assert here.hydrate().files == 3
    assert champions_of(here).history() == [first]
    assert champions_of(here).forecasts(first).symbol.tolist() == ["AAPL", "IBM", "M&M"]
    champions_of(here).pack(first)
    second = promoted(champions_of(here), "two")
    assert here.give() == ""
    assert there.hydrate().files == 3
    assert champions_of(there).history() == [first, second]


def test_histories_that_went_different_ways_are_told_and_both_stay(tmp_path: Path) -> None:
    (_, there), (_, here) = machine(tmp_path / "first"), machine(tmp_path / "second")
    promoted(champions_of(there), "one")
    there.hydrate()
    own = promoted(champions_of(here), "another")
    assert "have gone different ways" in here.give()
    with pytest.raises(UsageError, match=r"Champions of universe two have gone different ways: .* Keep one"):
        here.hydrate()
    assert champions_of(here).history() == [own]
    there.hydrate()
    there.bucket.files.pipe_file(there.bucket.place("champions/two/champions.json"), b"{}")
    with pytest.raises(UsageError, match="no history of champions that can be relied on: its digest is another"):
        there.hydrate()


def test_the_later_noise_twin_is_that_of_both_sides(tmp_path: Path) -> None:
    (_, there), (_, here) = machine(tmp_path / "first"), machine(tmp_path / "second")
    mine, theirs = (NoiseStore(one.data_dir / "noise", "two") for one in (here, there))
    theirs.save("key", NoiseRecord(parts=[]))
    there.hydrate()
    assert here.hydrate().files == 1
    more = NoiseRecord(parts=[NoisePart(seed=1, window="2022-01-01", made_from="x", deviations={})])
    mine.save("key", more)
    os.utime(mine.path("key"), (time.time() + 60,) * 2)
    assert here.hydrate().files == 0
    assert there.hydrate().files == 1
    assert theirs.find("key") == more


def test_journals_that_were_pruned_here_are_not_taken_again(tmp_path: Path) -> None:
    shop, remote = machine(tmp_path / "first")
    carry_out(shop, remote, "one")
    rows = counted_outcomes(shop)
    shutil.rmtree(shop.telemetry.archive)
    assert remote.hydrate().files == 0
    assert counted_outcomes(shop) == rows
    # A database that is lost is made anew of them.
    shop.telemetry.database.unlink()
    assert remote.hydrate().files == 1
    assert counted_outcomes(shop) == rows


def test_a_block_has_what_is_there_and_leaves_what_it_wrote(tmp_path: Path) -> None:
    (_, there), (_, here) = machine(tmp_path / "first"), machine(tmp_path / "second")
    settings = read_settings({"data_dir": here.data_dir, "remote": PLACE})
    told: list[str] = []
    with settled(settings, told.append, alone=True) as taken:
        assert taken == Taken(0, None)
        other = settled(read_settings({"data_dir": there.data_dir, "remote": PLACE}), told.append, alone=True)
        with pytest.raises(UsageError, match="Another machine is at work"):
            other.__enter__()
        promoted(champions_of(here), "one")
    assert there.hydrate().files == 3
    with settled(settings.model_copy(update={"remote": None}), told.append, alone=True) as taken:
        assert taken is None
    assert not told
