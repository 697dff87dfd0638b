"""Pools on disk: the pooled teacher of a window, what it says out of fold, and the student that its symbols share."""

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.parameters import BoosterParameters, LightGBMValue
from sensequant_assets.core.pool import EARLY, Pooled
from sensequant_assets.core.training import Fingerprints, Grown
from sensequant_assets.errors import WindowError
from sensequant_assets.models.sealed import (
    MadeRecord,
    checked,
    compressed,
    corrupt,
    digest,
    read_sealed,
    record_of,
    write,
)

if TYPE_CHECKING:
    import lightgbm as lgb

PoolKind = Literal["pool", "shared_student"]


class PoolRecord(MadeRecord):
    """What a pool's model is and what it was made from.

    Attributes
    ----------
    model, window_start, early_life
        Which one; `early_life` of the pool of its window's young symbols.
    span
        Keys of the windows whose rows it learned from.
    symbols, rows
        How many of each it learned from.
    calibration
        As of `TrainedModel`.
    soft_targets_digest
        Of the file of soft targets; empty for a student.
    """

    model: PoolKind
    window_start: date
    span: list[str]
    symbols: int
    rows: int
    calibration: Calibration
    soft_targets_digest: str = ""
    early_life: bool = False

    @property
    def pool(self) -> str:
        """The pool's name."""
        return f"{self.window_start}{EARLY if self.early_life else ''}"


@dataclass(frozen=True, slots=True)
class StoredPool:
    """A pool's model on disk.

    Attributes
    ----------
    path
        Its text file, compressed by gzip.
    record
        Contents of the JSON file.
    """

    path: Path
    record: PoolRecord

    def text(self) -> str:
        """The model text, checked against its record."""
        return gzip.decompress(checked(self.path, self.record.model_digest)).decode()

    def booster(self) -> "lgb.Booster":
        """The model, checked against its record; whoever asks for these trees may have other parameters by now."""
        import lightgbm as lgb

        return lgb.Booster(model_str=self.text())

    def grown(self, asked: BoosterParameters) -> Grown:
        """The model, checked against its record and against what was asked for."""
        import lightgbm as lgb

        text = self.text()
        booster: lgb.Booster = lgb.Booster(model_str=text)
        return Grown.read(booster, text, asked.trained_as(self.record.parameters), self.record.calibration)

    def soft_targets(self) -> Floats:
        """A teacher's out-of-fold probabilities of the pool's rows, shape (rows,).

        Raises
        ------
        WindowError
            Of kind `corrupt_model`: they are gone or not what was written.
        """
        path = _soft_targets_of(self.path)
        kept: Floats = np.load(io.BytesIO(checked(path, self.record.soft_targets_digest)), allow_pickle=False)
        if kept.shape != (self.record.rows,):
            raise corrupt(path, f"has not one probability for each of {self.record.rows} rows")
        return kept


class PoolStore:
    """Pools of one universe below its directory, as `pool/<name>` and `shared_student/<name>`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, model: PoolKind, name: str) -> Path:
        """Text file of a pool's model."""
        window, early_life = _parts(name)
        return self._directory / model / f"{window}{EARLY if early_life else ''}.txt.gz"

    def find(self, model: PoolKind, name: str, made_from: Fingerprints | None = None) -> StoredPool | None:
        """The model on disk; None if there is none that can be relied on, or it is not made from these."""
        path = self.path(model, name)
        try:
            record = read_sealed(record_of(path), PoolRecord)
            if record is None or (made_from is not None and record.fingerprints != made_from):
                return None
            return self._checked(path, record, model, name)
        except WindowError:
            return None

    def read(self, model: PoolKind, name: str) -> StoredPool | None:
        """The model on disk; None if there is none.

        Raises
        ------
        WindowError
            Of kind `corrupt_model`: record, text or soft targets cannot be read, are not what was written, or are of
            another version.
        """
        path = self.path(model, name)
        record = read_sealed(record_of(path), PoolRecord)
        return None if record is None else self._checked(path, record, model, name)

    @staticmethod
    def _checked(path: Path, record: PoolRecord, model: PoolKind, name: str) -> StoredPool:
        if (record.model, record.pool) != (model, name):
            raise corrupt(record_of(path), f"is of the {record.model} of pool {record.pool}")
        checked(path, record.model_digest)
        if model == "pool":
            checked(_soft_targets_of(path), record.soft_targets_digest)
        return StoredPool(path, record)

    def save(
        self,
        model: PoolKind,
        name: str,
        trained: Pooled,
        grown: Grown,
        asked: BoosterParameters,
        made_from: Fingerprints,
        *,
        label: dict[str, LightGBMValue],
        providers: list[str],
        span: list[str],
        symbols: int,
        rows: int,
        placed_because: str = "",
    ) -> StoredPool:
        """Write a pool's model, a teacher's soft targets and the record, the record last."""
        path, (window, early_life) = self.path(model, name), _parts(name)
        written, soft_targets = compressed(grown.text), b""
        if model == "pool":
            kept = io.BytesIO()
            np.save(kept, trained.soft_targets, allow_pickle=False)
            soft_targets = kept.getvalue()
            write(_soft_targets_of(path), soft_targets)
        record = PoolRecord(
            model=model,
            window_start=window,
            span=span,
            symbols=symbols,
            rows=rows,
            parameters=dict(grown.parameters),
            asked=asked.model_dump(),
            label=label,
            providers=providers,
            fingerprints=made_from,
            trees_fingerprint=grown.trees_fingerprint,
            constant=grown.trees.constant,
            calibration=trained.calibration,
            model_digest=digest(written),
            soft_targets_digest=digest(soft_targets) if soft_targets else "",
            early_life=early_life,
            placed_because=placed_because or None,
        )
        write(path, written)
        write(record_of(path), record.sealed())
        return StoredPool(path, record)


def files_of(path: Path) -> Iterator[Path]:
    """The files of a model, of a pool or not, by the path of its text: that, what it says out of fold, its record."""
    yield from filter(Path.exists, (path, _soft_targets_of(path), record_of(path)))


def _parts(name: str) -> tuple[date, bool]:
    """Start of the window of a pool, and whether it is that of its young symbols."""
    return date.fromisoformat(name.removesuffix(EARLY)), name.endswith(EARLY)


def _soft_targets_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".txt.gz") + ".soft_targets.npy")
