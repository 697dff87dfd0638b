"""Closed shards, kept compressed by batch: what `telemetry.duckdb` can be made of again."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa

from sensequant_assets.replacing import replacing

_PIECE_BYTES = 2**20
_SUFFIX = ".zst"


def keep(shard: Path, archive: Path) -> None:
    """Move a closed shard into the archive, whole or not at all; a second time is uneventful.

    Parameters
    ----------
    shard
        It is removed once its copy is on the disk.
    archive
        Holds a directory a batch; created when first used.

    Raises
    ------
    OSError
        The disk refused the copy; the shard is still there.
    UsageError
        In the place of the copy is what is no file.
    """
    with replacing(place_of(shard, archive)) as temporary:
        with shard.open("rb") as lines, pa.CompressedOutputStream(str(temporary), "zstd") as packed:
            shutil.copyfileobj(lines, packed, _PIECE_BYTES)
        fd = os.open(temporary, os.O_RDONLY)
        try:
            # The database is on the disk by now; its way back has to be as well.
            os.fsync(fd)
        finally:
            os.close(fd)
    shard.unlink()


def place_of(shard: Path, archive: Path) -> Path:
    """Where the archive keeps a shard: in the directory of its batch."""
    batch = shard.name.split(".", 1)[0]
    return archive / batch / f"{shard.name}{_SUFFIX}"


def kept(archive: Path) -> Iterator[Path]:
    """The files of an archive, in no order."""
    return filter(Path.is_file, archive.glob(f"*/*.jsonl{_SUFFIX}"))


def shard_name(file: Path) -> str:
    """The name that a kept shard had."""
    return file.name.removesuffix(_SUFFIX)


def unpack(file: Path, directory: Path) -> None:
    """Write a kept shard into a directory as it was.

    Raises
    ------
    OSError
        The file is damaged, or the disk refused the copy.
    """
    with pa.input_stream(str(file), compression="zstd") as packed, (directory / shard_name(file)).open("wb") as lines:
        shutil.copyfileobj(packed, lines, _PIECE_BYTES)


def packed_again(shard: Path) -> bytes:
    """What `keep` makes of a shard."""
    sink = pa.BufferOutputStream()
    with shard.open("rb") as lines, pa.CompressedOutputStream(sink, "zstd") as packed:
        shutil.copyfileobj(lines, packed, _PIECE_BYTES)
    return bytes(sink.getvalue())


def unpacked(file: Path) -> bytes:
    """A kept shard as it was."""
    with pa.input_stream(str(file), compression="zstd") as packed:
        text: bytes = packed.read()
    return text


def lines_of(file: Path) -> list[bytes]:
    """The lines of a kept shard."""
    return unpacked(file).splitlines()


def begins_at(shard: Path) -> str:
    """The ordered time of a shard's first line, as it is spelled there, which sorts by time; empty if there is none."""
    with shard.open("rb") as lines:
        try:
            line = orjson.loads(lines.readline())
            return str(line.get("ordered_at") or line["at"])
        except (orjson.JSONDecodeError, AttributeError, KeyError):
            return ""
