"""Files that are what was written, or are not used: records with a digest of their own, and what they speak of."""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sensequant_assets.core.parameters import Device, LightGBMValue
from sensequant_assets.core.providers import STANDARD
from sensequant_assets.core.training import Fingerprints
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.replacing import replacing
from sensequant_assets.sources.regular import read_regular

_SEAL = b',"digest":"'
"""What stands between a record and its own digest, which is its last entry."""

TRAIN_AGAIN = "Train it again."
"""What is done about a file that cannot be relied on: most of them are made anew."""


class Sealed(BaseModel):
    """A record that knows whether it is what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def sealed(self) -> bytes:
        """The record as JSON whose last entry is the digest of the rest."""
        body = self.model_dump_json().encode()[:-1]
        return b"".join((body, _SEAL, digest(body).encode(), b'"}'))

    @classmethod
    def unsealed(cls, written: bytes) -> Self:
        """The record of such JSON; `ValueError` if its digest is another or it is no record of this version."""
        body, _, seal = written.rpartition(_SEAL)
        if seal != digest(body).encode() + b'"}':
            raise ValueError("its digest is another")
        return cls.model_validate_json(body + b"}")


class MadeRecord(Sealed):
    """What every trained model's record tells.

    Attributes
    ----------
    parameters, asked, label, providers, fingerprints, trees_fingerprint, constant
        As of `TrainedModel`; `label` is empty in a record of a time that knew labels above a threshold only, and
        the features are the standard ones in one of a time that knew no others.
    model_digest
        Of the compressed text.
    placed_because
        Why it was trained on the device that `parameters` name, where nobody asked for that one; None otherwise.
    """

    parameters: dict[str, str]
    asked: dict[str, LightGBMValue]
    fingerprints: Fingerprints
    trees_fingerprint: str
    constant: bool
    model_digest: str
    label: dict[str, LightGBMValue] = Field(default_factory=dict)
    providers: list[str] = Field(default_factory=lambda: [STANDARD.name])
    placed_because: str | None = None

    @property
    def device(self) -> Device:
        """What trained it."""
        return Device.of(self.parameters)


_Record = TypeVar("_Record", bound=Sealed)


def read_sealed(path: Path, kind: type[_Record], way_out: str = TRAIN_AGAIN) -> _Record | None:
    """The record in a file; None if there is none.

    Parameters
    ----------
    path
        The file.
    kind
        Of the record.
    way_out
        What a person does about a file that cannot be relied on, in a sentence.

    Raises
    ------
    WindowError
        Of kind `corrupt_model`: it cannot be read, is not what was written, or is of another version.
    """
    try:
        written = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise corrupt(path, f"cannot be read ({error})", way_out) from error
    try:
        return kind.unsealed(written)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = f"is no record of this version ({f'{where}: ' if where else ''}{first['msg']})"
        raise corrupt(path, said, way_out) from error
    except ValueError as error:
        raise corrupt(path, f"is not what was written ({error})", way_out) from error


def checked(path: Path, wanted: str, way_out: str = TRAIN_AGAIN) -> bytes:
    """The bytes of a file, if they are those of this digest; else `WindowError` of kind `corrupt_model`."""
    try:
        written = read_regular(path)
    except OSError as error:
        raise corrupt(path, f"cannot be read ({error})", way_out) from error
    if digest(written) != wanted:
        raise corrupt(path, "is not what its record says", way_out)
    return written


def corrupt(path: Path, what: str, way_out: str = TRAIN_AGAIN) -> WindowError:
    """The error of a file that cannot be relied on; `what` goes on from its name."""
    return WindowError(FailureKind.CORRUPT_MODEL, f"{path} {what}. {way_out}")


def digest(written: bytes | memoryview) -> str:
    """Digest of bytes."""
    return hashlib.blake2b(written, digest_size=16).hexdigest()


def record_of(path: Path) -> Path:
    """The record beside a model's text."""
    return path.with_name(path.name.removesuffix(".txt.gz") + ".json")


@lru_cache(maxsize=8)
def compressed(text: str) -> bytes:
    """A model's text as it is written; all symbols of a window may have one.

    Without a time stamp, so that equal models are equal files. The fastest level leaves 30 % of a model's bytes for 2
    ms; the slowest leaves 25 % for 5.
    """
    return gzip.compress(text.encode(), compresslevel=1, mtime=0)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; `WindowError` where something else than a file is there."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except UsageError as error:
        raise WindowError(FailureKind.CORRUPT_MODEL, str(error)) from error
