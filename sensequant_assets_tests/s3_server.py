"""An S3 server on this machine, for tests of what lies in buckets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest

pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
server = pytest.importorskip("moto.server", reason="moto is not installed")

QUIETLY = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""Marks of a module that asks it: what its libraries warn of is theirs."""


@pytest.fixture(scope="session", name="s3")
def s3_server() -> Iterator[str]:
    """The address of a server, one for all tests: clients are kept by what they were asked for, and not by address."""
    moto = server.ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@contextmanager
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket named `bucket`, for which the environment has credentials; gives the file system."""
    told = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (told | {"AWS_ENDPOINT_URL": s3}).items():
        monkeypatch.setenv(name, value)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdir("bucket")
    yield files
    files.rm("bucket", recursive=True)
