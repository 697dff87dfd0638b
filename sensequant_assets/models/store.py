"""Models on disk: compressed LightGBM text, with a JSON record beside it: what it is, and what it was made from.

Plain LightGBM reads a model: `lgb.Booster(model_str=gzip.open(path, "rt").read())`.
"""

import gzip
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.parameters import MODELS, LightGBMValue, ModelKind
from sensequant_assets.core.training import Taught, TrainedModel
from sensequant_assets.core.universe import is_symbol, universe_name
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.models.pools import PoolStore
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

_ENDING = ".txt.gz"
Probability = Annotated[float, Field(ge=0, le=1)]


class RowCounts(BaseModel):
    """How many rows a model was trained, validated and tested on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: int = Field(ge=1)
    valid: int = Field(ge=0)
    test: int = Field(ge=0)


class ModelRecord(MadeRecord):
    """What a model is, what it was made from and what it said, as its JSON file holds it; attributes as `TrainedModel`.

    A null metric is one that the rows cannot answer. `served_by` is the start of the earlier window whose model this
    is, and whose training rows these are; null where it is of its own. `pool` is the name of the pool that taught it;
    null where its own rows did.
    """

    model: ModelKind
    symbol: str
    window_start: date
    window_end: date
    effective_start: date
    effective_end: date
    rows: RowCounts
    metrics: dict[str, float | None]
    taught_by: dict[str, LightGBMValue]
    tested_on: str
    model_file: str
    soft_targets: list[Probability]
    unseen: list[Probability]
    calibration: Calibration | None = None
    served_by: date | None = None
    pool: str | None = None

    @model_validator(mode="after")
    def _one_probability_a_row(self) -> Self:
        if len(self.soft_targets) != (self.rows.train if self.model == "teacher" else 0):
            raise ValueError(f"{len(self.soft_targets)} soft targets of {self.rows.train} training rows")
        if len(self.unseen) != self.rows.valid + self.rows.test:
            raise ValueError(f"{len(self.unseen)} probabilities of {self.rows.valid + self.rows.test} unseen rows")
        return self


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
    record: ModelRecord

    @property
    def soft_targets(self) -> Floats:
        """A teacher's out-of-fold probabilities of its training rows, shape (training rows,)."""
        return np.array(self.record.soft_targets)

    @property
    def taught(self) -> Taught:
        """What a teacher leaves for its student."""
        record = self.record
        made_from = record.fingerprints
        unseen = np.array(record.unseen)
        return Taught(made_from.data, made_from.parameters, record.asked, self.soft_targets, unseen, record.calibration)

    def text(self) -> str:
        """The model text.

        Raises
        ------
        WindowError
            Of kind `corrupt_model`: it is gone or is not the text that the record speaks of.
        """
        return gzip.decompress(checked(self.path, self.record.model_digest)).decode()

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

    @property
    def pools(self) -> PoolStore:
        """The pools that taught them."""
        return PoolStore(self._directory)

    def path(self, model: ModelKind, symbol: str, window: str) -> Path:
        """Text file of a model; `UsageError` for names that are no symbol or no window."""
        if not is_symbol(symbol):
            raise UsageError(f"{symbol!r} is not a symbol.")
        try:
            date.fromisoformat(window)
        except ValueError:
            raise UsageError(f"{window!r} is not a window; a window's key is its start date.") from None
        return self._directory / model / symbol / f"{window}{_ENDING}"

    def has_models(self, symbol: str) -> bool:
        """Whether there are models of a symbol, of any window; `OSError` where its directories cannot be read."""
        for model in MODELS:
            with suppress(FileNotFoundError), os.scandir(self._directory / model / symbol) as there:
                if any(entry.name.endswith(_ENDING) for entry in there):
                    return True
        return False

    def find(self, model: ModelKind, symbol: str, window: str) -> StoredModel | None:
        """The model on disk; None if there is none that can be relied on."""
        try:
            return self.read(model, symbol, window)
        except WindowError:
            return None

    def read(self, model: ModelKind, symbol: str, window: str) -> StoredModel | None:
        """The model on disk, its text and record checked by their digests; None if there is none.

        Raises
        ------
        WindowError
            Of kind `corrupt_model`: record or text cannot be read, are not what was written, or are of another version.
        """
        path = self.path(model, symbol, window)
        record = read_sealed(record_of(path), ModelRecord)
        if record is None:
            return None
        if (record.model, record.symbol, record.window_start.isoformat()) != (model, symbol, window):
            raise corrupt(record_of(path), f"is of the {record.model} of {record.symbol}|{record.window_start}")
        checked(path, record.model_digest)
        return StoredModel(path, record)

    def adopt(self, symbol: str, window: str, others: Iterable[str]) -> int:
        """Copy the models of a window from another symbol of the same company, where the symbol has none itself.

        What is copied is checked as everything that is read. What it was copied from stays: a market of an earlier day
        has its models under the symbol of that day.

        Parameters
        ----------
        symbol, window
            Whose models are missing, and of which window.
        others
            Symbols that the company had or has; the first with models counts.

        Returns
        -------
        int
            How many models were copied.
        """
        copied = 0
        for model in MODELS:
            path = self.path(model, symbol, window)
            if record_of(path).exists():
                continue
            found = next(filter(None, (self.find(model, other, window) for other in others)), None)
            if found is not None:
                write(path, checked(found.path, found.record.model_digest))
                self._write_record(path, found.record.model_copy(update={"symbol": symbol}))
                copied += 1
        return copied

    def save(self, trained: TrainedModel, pair: Pair, kind: ModelKind) -> StoredModel:
        """Write a model and its record, each under a temporary name first, the record last."""
        path = self.path(kind, pair.symbol, pair.window.key)
        written = compressed(trained.text)
        record = ModelRecord(
            model=kind,
            symbol=pair.symbol,
            window_start=pair.window.start,
            window_end=pair.window.end,
            effective_start=pair.effective_start,
            effective_end=trained.effective_end,
            rows=RowCounts(**trained.rows),
            metrics=_nulled(trained.metrics),
            constant=trained.constant,
            parameters=dict(trained.parameters),
            asked=dict(trained.asked),
            taught_by=dict(trained.taught_by),
            label=dict(trained.label),
            providers=list(trained.providers),
            fingerprints=trained.fingerprints,
            trees_fingerprint=trained.trees_fingerprint,
            tested_on=trained.tested_on,
            model_file=path.name,
            model_digest=digest(written),
            soft_targets=trained.soft_targets.tolist(),
            unseen=trained.unseen.tolist(),
            calibration=trained.calibration,
            pool=trained.pool or None,
            served_by=pair.served_by.window.start if pair.served_by else None,
            placed_because=trained.placed_because or None,
        )
        write(path, written)
        return self._write_record(path, record)

    def rescored(
        self, stored: StoredModel, metrics: Mapping[str, float], unseen: Floats, rows: Mapping[str, int], tested_on: str
    ) -> StoredModel:
        """Note anew all metrics of an unchanged model, whose test rows or whose judge have changed."""
        changed = {
            "metrics": _nulled(metrics),
            "unseen": unseen.tolist(),
            "rows": RowCounts(**rows),
            "tested_on": tested_on,
        }
        return self._write_record(stored.path, stored.record.model_copy(update=changed))

    @staticmethod
    def _write_record(path: Path, record: ModelRecord) -> StoredModel:
        write(record_of(path), record.sealed())
        return StoredModel(path, record)


def _nulled(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
