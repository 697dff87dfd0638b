"""Claims about the copy of a run in a bucket, of an S3 server on this machine."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch import remote as remote_module
from sensequant_assets.batch.remote import Mirror, Remote, mirrored
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.errors import UsageError
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.batch.test_run import Workshop
from sensequant_assets_tests.running import free_port, leave

pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
server = pytest.importorskip("moto.server", reason="moto is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PLACE = "s3://bucket/desk"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    moto = server.ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture(autouse=True)
def _bucket(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    leave(monkeypatch, tmp_path)
    told = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (told | {"AWS_ENDPOINT_URL": s3}).items():
        monkeypatch.setenv(name, value)
    files = remote_of(tmp_path).files
    files.mkdir("bucket")
    yield
    files.rm("bucket", recursive=True)


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
    assert here.hydrate() == 12 * 2 + 1
    assert here.hydrate() == 0
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

    with pytest.raises(KeyboardInterrupt):
        list(run.carry_out(killed))
    with pytest.raises(UsageError, match=r"Another machine seems to be at work .*Wait until it has ended, or 30 s"):
        here.hydrate()
    monkeypatch.setattr(remote_module, "QUIET_S", 0.0)
    assert here.hydrate() == 4 * 2 + 1
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
        broken.setattr(Remote, "put", refuse)
        carry_out(shop, remote, "one")
    assert counted_outcomes(shop) == [("one", "trained", 12)]
    (said,) = shop.rows("SELECT message FROM events WHERE kind = 'remote'")
    assert "lacks 24 files for the time being, because it was not reached: the network is down" in said[0]
    assert not remote.listed()
    remote.hydrate()
    carry_out(shop, remote, "two")
    other, elsewhere = machine(tmp_path / "second")
    # Of the first batch a journal and that of the event.
    assert elsewhere.hydrate() == 12 * 2 + 3
    assert counted_outcomes(other) == [("one", "trained", 12), ("two", "reused", 12)]


def test_an_address_that_cannot_be_used_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        remote_of(tmp_path, "nowhere://x")
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        away.setenv("AWS_MAX_ATTEMPTS", "1")
        lost = remote_of(tmp_path, "s3://elsewhere/x")
        type(lost.files).clear_instance_cache()
        with pytest.raises(UsageError, match="SENSEQUANT_REMOTE=s3://elsewhere/x cannot be read or written"):
            remote_of(tmp_path, "s3://elsewhere/x").hydrate()
    type(lost.files).clear_instance_cache()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'sensequant-assets\[s3\]'"):
        remote_of(tmp_path)


def test_a_name_that_leads_out_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    _, remote = machine(tmp_path / "first")
    remote.files.pipe_file(f"{remote.root}/models/../../.ssh/keys", b"mine")
    with pytest.raises(UsageError, match="no name of ours"):
        remote.hydrate()
    assert not (tmp_path / "first" / "data" / "models").exists()
