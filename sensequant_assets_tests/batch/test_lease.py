"""Claims about who works with a copy, on a file system of fsspec that makes an object only where there is none."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sensequant_assets.batch import lease
from sensequant_assets.batch.lease import company, leased
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.buckets import Bucket


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    found = Bucket.open("memory://desk", "SENSEQUANT_REMOTE")
    found.files.store.clear()
    yield found
    found.files.store.clear()


def names(bucket: Bucket) -> list[str]:
    return sorted(bucket.listed())


def test_one_machine_works_at_a_time_and_the_next_begins_when_it_has_ended(bucket: Bucket, tmp_path: Path) -> None:
    with leased(bucket, tmp_path / "one", print):
        assert company(bucket, tmp_path / "one") is None
        assert company(bucket, tmp_path / "two").host
        with pytest.raises(UsageError, match=r"Another machine is at work .* Wait until it has ended, or 30 s"):
            leased(bucket, tmp_path / "two", print).__enter__()
    with leased(bucket, tmp_path / "two", print):
        assert company(bucket, tmp_path / "one").host
    assert names(bucket) == []


def test_processes_of_a_data_directory_share_it_until_the_last_has_ended(bucket: Bucket, tmp_path: Path) -> None:
    first, second = ExitStack(), ExitStack()
    first.enter_context(leased(bucket, tmp_path / "one", print))
    second.enter_context(leased(bucket, tmp_path / "one", print))
    first.close()
    assert company(bucket, tmp_path / "two").host
    second.close()
    assert company(bucket, tmp_path / "two") is None


def test_who_stood_still_is_followed_by_one_alone_and_is_told(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    heard = threading.Event()

    def hear(said: str) -> None:
        told.append(said)
        heard.set()

    monkeypatch.setattr(lease, "QUIET_S", 0.3)
    with leased(bucket, tmp_path / "one", hear):
        # As if this machine had slept: others find what it said long ago.
        monkeypatch.setattr(lease, "_put", lambda *_: None)
        threading.Event().wait(0.5)
        with ExitStack() as stack:
            stack.enter_context(leased(bucket, tmp_path / "two", print))
            assert names(bucket) == ["lease/00000002.json"]
            with pytest.raises(UsageError, match="Another machine is at work"):
                leased(bucket, tmp_path / "three", print).__enter__()
            assert heard.wait(10)
    assert len(told) == 1
    assert "works with memory://desk as well by now" in told[0]


def test_of_two_that_begin_at_once_one_works(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = lease._last
    seen: list[None] = []

    def late(found: Bucket) -> object:
        # Both have looked before either has begun.
        if not seen:
            seen.append(None)
            return None
        return last(found)

    with leased(bucket, tmp_path / "one", print):
        monkeypatch.setattr(lease, "_last", late)
        with pytest.raises(UsageError, match="Another machine is at work"):
            leased(bucket, tmp_path / "two", print).__enter__()
    assert seen


def test_a_copied_data_directory_is_another_machine(bucket: Bucket, tmp_path: Path) -> None:
    with leased(bucket, tmp_path / "one", print):
        copied = tmp_path / "two" / "copy.lock"
        copied.parent.mkdir()
        copied.write_bytes((tmp_path / "one" / "copy.lock").read_bytes())
        assert company(bucket, copied.parent).host
