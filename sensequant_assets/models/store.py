"""Models on disk: compressed LightGBM text, with a JSON record beside it: what it is, and what it was made from.

Plain LightGBM reads a model: `lgb.Booster(model_str=gzip.open(path, "rt").read())`.
"""

import gzip
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.training import Fingerprints, TrainedModel
from sensequant_assets.core.universe import is_symbol, universe_name
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.replacing import replacing

if TYPE_CHECKING:
    import lightgbm as lgb
from sensequant_assets.core.parameters import ModelKind

_READ = frozenset(
    {"model_digest", "rows", "metrics", "parameters", "trees_fingerprint", "effective_end", "tested_on", "soft_targets",
     "unseen"}
)  # fmt: skip
"""What a record is asked for once it is found."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk.

    Attributes
    ----------
    path
        Its text file, compressed by gzip.
    record
        Contents of the JSON file.
    """

    path: Path
    record: Mapping[str, Any]

    @property
    def fingerprints(self) -> Fingerprints:
        """What it was made from."""
        return Fingerprints(**self.record["fingerprints"])

    def text(self) -> str:
        """The model text.

        Raises
        ------
        WindowError
            Of kind `corrupt_model`: it is gone or is not the text that the record speaks of.
        """
        try:
            written = self.path.read_bytes()
        except OSError as error:
            raise WindowError(FailureKind.CORRUPT_MODEL, f"{self.path} cannot be read: {error}") from error
        if _digest(written) != self.record["model_digest"]:
            raise WindowError(
                FailureKind.CORRUPT_MODEL, f"{self.path} is not what its record says. Train it again with --force."
            )
        return gzip.decompress(written).decode()

    def booster(self) -> "lgb.Booster":
        """The model, checked against its record."""
        import lightgbm as lgb

        return lgb.Booster(model_str=self.text())


class ModelStore:
    """Models of one universe below a directory, as `<model>/<symbol>/<window>.txt.gz` and `.json`.

    Parameters
    ----------
    directory
        Where models lie; made when the first one is written.
    universe
        Name of the universe, which is a directory of its own.
    """

    def __init__(self, directory: Path, universe: str) -> None:
        self._directory = directory / universe_name(universe)

    def path(self, model: ModelKind, symbol: str, window: str) -> Path:
        """Text file of a model; `UsageError` for names that are no symbol or no window."""
        if not is_symbol(symbol):
            raise UsageError(f"{symbol!r} is not a symbol.")
        try:
            date.fromisoformat(window)
        except ValueError:
            raise UsageError(f"{window!r} is not a window; a window's key is its start date.") from None
        return self._directory / model / symbol / f"{window}.txt.gz"

    def find(self, model: ModelKind, symbol: str, window: str) -> StoredModel | None:
        """The model on disk; None if there is none, its record cannot be read, or the two files do not fit."""
        path = self.path(model, symbol, window)
        try:
            record = json.loads(_record_of(path).read_bytes())
            stored = StoredModel(path, record)
            # A record of another version may lack what this one reads.
            fits = path.stat().st_size == record["model_bytes"] and stored.fingerprints and record.keys() >= _READ
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return stored if fits else None

    def save(self, trained: TrainedModel, pair: Pair, kind: ModelKind) -> StoredModel:
        """Write a model and its record, each under a temporary name first, the record last."""
        path = self.path(kind, pair.symbol, pair.window.key)
        # Without a time stamp, so that equal models are equal files. The fastest level leaves 30 % of a model's bytes
        # for 2 ms; the slowest leaves 25 % for 5.
        written = gzip.compress(trained.text.encode(), compresslevel=1, mtime=0)
        record = {
            "model": kind,
            "symbol": pair.symbol,
            "window_start": pair.window.start.isoformat(),
            "window_end": pair.window.end.isoformat(),
            "effective_start": pair.effective_start.isoformat(),
            "effective_end": trained.effective_end.isoformat(),
            "rows": dict(trained.rows),
            "metrics": _nulled(trained.metrics),
            "parameters": dict(trained.parameters),
            "fingerprints": {
                "data": trained.fingerprints.data,
                "parameters": trained.fingerprints.parameters,
                "code": trained.fingerprints.code,
            },
            "trees_fingerprint": trained.trees_fingerprint,
            "tested_on": trained.tested_on,
            "model_file": path.name,
            "model_bytes": len(written),
            "model_digest": _digest(written),
            "soft_targets": trained.soft_targets.tolist(),
            "unseen": trained.unseen.tolist(),
        }
        _write(path, written)
        return self._write_record(path, record)

    def rescored(
        self, stored: StoredModel, metrics: Mapping[str, float], unseen: Floats, rows: Mapping[str, int], tested_on: str
    ) -> StoredModel:
        """Note anew all metrics of an unchanged model, whose test rows or whose judge have changed."""
        record = dict(stored.record) | {
            "metrics": _nulled(metrics),
            "unseen": unseen.tolist(),
            "rows": dict(rows),
            "tested_on": tested_on,
        }
        return self._write_record(stored.path, record)

    @staticmethod
    def _write_record(path: Path, record: dict[str, Any]) -> StoredModel:
        _write(_record_of(path), json.dumps(record, allow_nan=False).encode())
        return StoredModel(path, record)


def _record_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".txt.gz") + ".json")


def _nulled(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _digest(written: bytes) -> str:
    return hashlib.blake2b(written, digest_size=16).hexdigest()


def _write(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except UsageError as error:
        raise WindowError(FailureKind.CORRUPT_MODEL, str(error)) from error
