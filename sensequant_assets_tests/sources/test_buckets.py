"""Claims about bars at an address, of an S3 server on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources import buckets
from sensequant_assets.sources.buckets import bars_at, cache_of, is_address, why_of
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.notes import told
from sensequant_assets_tests.making import bars_frame, written
from sensequant_assets_tests.running import free_port, leave
from sensequant_assets_tests.s3_server import QUIETLY, bucket, s3_server

__all__ = ["s3_server"]

pytestmark = QUIETLY
PLACE = "s3://bucket/bars"


@pytest.fixture(autouse=True)
def files(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    leave(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with bucket(s3, monkeypatch) as found:
        yield found


def csv(tmp_path: Path, close: float) -> bytes:
    return written(bars_frame(3, close=close), tmp_path / "made.csv").read_bytes()


def closes(place: str = PLACE) -> dict[str, float]:
    found = bars_at(place)
    universe = Universe("two", (Listing("INFY"), Listing("TCS")))
    source = FileBars(found.path, universe=universe, said=found.said, address=found.address)
    read = {listing.symbol: source.bars(listing) for listing in universe.listings}
    return {symbol: float(bars.close[0]) for symbol, bars in read.items() if len(bars)}


def test_what_has_changed_is_read_anew_what_has_gone_is_gone_and_the_rest_is_kept(
    tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.pipe_file("bucket/bars/TCS.csv", csv(tmp_path, 11.5))
    files.pipe_file("bucket/bars/it/INFY.csv", csv(tmp_path, 10.5))
    assert closes() == {"INFY": 10.5, "TCS": 11.5}
    asked: list[list[str]] = []
    get = buckets.Bucket.get

    def counted(bucket: buckets.Bucket, wanted: dict[str, Path], room: Path) -> None:
        asked.append(list(wanted))
        get(bucket, wanted, room)

    monkeypatch.setattr(buckets.Bucket, "get", counted)
    # Of the same size.
    files.pipe_file("bucket/bars/TCS.csv", csv(tmp_path, 10.5))
    assert closes()["TCS"] == 10.5
    assert asked == [["TCS.csv"]]
    kept = bars_at(PLACE).path / "TCS.csv"
    kept.write_bytes(csv(tmp_path, 11.5))
    os.utime(kept)
    assert closes()["TCS"] == 10.5
    files.rm_file("bucket/bars/it/INFY.csv")
    assert closes() == {"TCS": 10.5}
    assert not (bars_at(PLACE).path / "it" / "INFY.csv").exists()


def test_a_read_that_was_killed_leaves_nothing_that_is_relied_on(
    tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.pipe_file("bucket/bars/TCS.csv", csv(tmp_path, 11.5))
    closes()
    files.pipe_file("bucket/bars/TCS.csv", csv(tmp_path, 10.5))

    def killed(bucket: buckets.Bucket, wanted: Any, room: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(buckets.Bucket, "get", killed)
        with pytest.raises(KeyboardInterrupt):
            bars_at(PLACE)
    assert closes() == {"TCS": 10.5}


def test_one_file_is_read_and_files_are_named_by_their_address(tmp_path: Path, files: Any) -> None:
    files.pipe_file("bucket/all.csv", b"symbol,date,open,high,low,close,volume\nTCS,2024-01-01,1,1,1,1,x\n")
    files.pipe_file("bucket/bars/TCS.csv", csv(tmp_path, 11))
    files.pipe_file("bucket/bars/.hidden.csv", b"x")
    files.pipe_file("bucket/bars/read.me", b"x")
    found = bars_at("s3://bucket/all.csv")
    source = FileBars(found.path, universe=Universe("one", (Listing("TCS"),)), address=found.address)
    with pytest.raises(Exception, match=r"s3://bucket/all\.csv"):
        source.bars(Listing("TCS"))
    assert "s3://bucket/bars/read.me" in told(bars_at(PLACE).said)[0]
    assert {file.name for file in bars_at(PLACE).path.iterdir()} == {"TCS.csv"}


def test_what_cannot_be_read_is_one_sentence_and_never_no_bars(
    s3: str, tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="There are no bars at s3://bucket/none: nothing lies there"):
        bars_at("s3://bucket/none")
    files.pipe_file("bucket/bars/read.me", b"x")
    with pytest.raises(UsageError, match=r"no file of bars at s3://bucket/bars: it has read\.me"):
        bars_at(PLACE)
    files.pipe_file("bucket/bars/TCS.csv", csv(tmp_path, 11))
    assert closes() == {"TCS": 11}
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(files).clear_instance_cache()
    monkeypatch.setattr(type(files), "retries", 1)
    with pytest.raises(UsageError, match="The bars at s3://bucket/bars cannot be read: Could not connect"):
        bars_at(PLACE)
    type(files).clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"SENSEQUANT_BARS=s3://bucket/bars needs s3fs.*sensequant-assets\[s3\]"):
        bars_at(PLACE)


def test_a_listing_that_failed_somewhere_below_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/failing/it/INFY.csv", b"x")
    listed = type(store).ls

    def ls(self: Any, path: str, **asked: Any) -> Any:
        if path.endswith("it"):
            raise PermissionError("it is closed")
        return listed(self, path, **asked)

    monkeypatch.setattr(type(store), "ls", ls)
    with pytest.raises(UsageError, match="The bars at memory://failing cannot be read: it is closed"):
        bars_at("memory://failing")


@pytest.mark.parametrize(
    ("place", "why"),
    [("http://127.0.0.1:{port}/bars.csv", "is a page, and no store"), ("ftp://127.0.0.1:{port}/bars", "refused")],
)
def test_an_address_of_pages_and_a_server_that_is_away_are_a_sentence(place: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"^SENSEQUANT_BARS={place[:15]}.*{why}"):
        bars_at(place.format(port=free_port()))


def test_a_password_is_no_part_of_an_address_and_of_no_sentence() -> None:
    assert is_address("s3://bucket/a@b:c")
    assert not is_address("ftp://me:secret@host/x")
    assert why_of(OSError("ftp://me:secret@host/x is away.")) == "ftp://***@host/x is away"


def test_a_cache_has_a_directory_for_each_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_of("s3://a/b", "bars") != cache_of("s3://a_b", "bars")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_of("s3://a/b", "bars").is_relative_to(tmp_path / ".cache" / "sensequant" / "bars")
