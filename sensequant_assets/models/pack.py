"""All students that serve, in one file that is mapped into memory: what they say of new rows, without LightGBM."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.scoring.distance import Reference, reference_of
from sensequant_assets.core.scoring.forest import Forest, forest_of
from sensequant_assets.errors import UsageError
from sensequant_assets.models.arrays import Array, corrupt_arrays, map_arrays, write_arrays
from sensequant_assets.models.sealed import compressed

_Value = TypeVar("_Value")

_FOREST = {
    "feature": "<i4", "value": "<f8", "children": "<i4", "nan_left": "|b1", "zero_left": "|b1",
    "root": "<i4", "first": "<i4", "depth": "<i4", "sigmoid": "<f8",
}  # fmt: skip
_REFERENCES = {"rows": "<f8", "first": "<i8", "centre": "<f8", "spread": "<f8", "span": "<f8"}
_TEXTS = {"bytes": "|u1", "first": "<i8"}
_DTYPES = {
    "record": "|u1",
    **{f"forest.{name}": dtype for name, dtype in _FOREST.items()},
    **{f"reference.{name}": dtype for name, dtype in _REFERENCES.items()},
    **{f"text.{name}": dtype for name, dtype in _TEXTS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Which student serves a symbol.

    Attributes
    ----------
    symbol, window
        Whom it serves, and the key of its window.
    trees_fingerprint
        Identity of its trees.
    calibration
        From what it says to what is served; None where that is the same.
    constant
        Whether it says the same of every row.
    fallback
        Why a student of an earlier window, or the pool's shared one, serves; empty where it is the symbol's own of its
        set's newest window.
    reference
        Name of the training rows that distances are measured to; empty where none are at hand.
    """

    symbol: str
    window: str
    trees_fingerprint: str
    calibration: Calibration | None
    constant: bool
    fallback: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Entry):
    """What goes into a pack for a symbol.

    Attributes
    ----------
    text
        LightGBM's text of the student; equal ones are kept once.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What students say of rows.

    Attributes
    ----------
    raw
        Probability of label 1 as the trees say it, shape (rows,).
    served
        The calibrated one, to act on, shape (rows,).
    distance
        To the training rows, as of `core.scoring.distance.Reference.distance`, shape (rows,); NaN where it is not
        known.
    """

    raw: Floats
    served: Floats
    distance: Floats


class _Record(BaseModel):
    """What a pack holds beside numbers: whose it is; `model` has the number of each entry's model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    feature_names: tuple[str, ...]
    entries: tuple[Entry, ...]
    model: tuple[int, ...]
    references: tuple[str, ...]


def write_pack(
    path: Path, served: Sequence[Served], references: Mapping[str, Floats], feature_names: Sequence[str]
) -> str:
    """Write a pack, whole or not at all.

    Parameters
    ----------
    path
        Of the file.
    served
        One student a symbol, in any order.
    references
        Features of training rows by name, in the order of training, shape (rows, features), all finite.
    feature_names
        Of the columns, in the order of all models.

    Returns
    -------
    str
        Digest of the file. Equal models make equal files, whatever their order.

    Raises
    ------
    UsageError
        There is no student, two are of one symbol, one names a reference that is not given, or one is no model that
        `forest_of` can read.
    """
    entries = sorted(served, key=lambda one: one.symbol)
    names = sorted(references)
    _check(entries, names)
    texts: dict[str, str] = {}
    for one in entries:
        texts.setdefault(one.text, f"{one.symbol}|{one.window}")
    forest = forest_of(texts, feature_names)
    number = {text: at for at, text in enumerate(texts)}
    record = _Record(
        feature_names=tuple(feature_names),
        entries=tuple(Entry(**{field.name: getattr(one, field.name) for field in fields(Entry)}) for one in entries),
        model=tuple(number[one.text] for one in entries),
        references=tuple(names),
    )
    arrays = {
        "record": np.frombuffer(record.model_dump_json().encode(), np.uint8),
        **{f"forest.{name}": getattr(forest, name) for name in _FOREST},
        **_texts(list(texts)),
        **_references([references[name] for name in names], len(feature_names)),
    }
    return write_arrays(path, arrays)


def _check(entries: Sequence[Served], references: Sequence[str]) -> None:
    if not entries:
        raise UsageError("A pack needs a student; train a batch first.")
    for one, other in pairwise(entries):
        if one.symbol == other.symbol:
            raise UsageError(f"Two students of one pack are of {one.symbol}; give one a symbol.")
    for one in entries:
        if one.reference and one.reference not in references:
            raise UsageError(f"The training rows {one.reference!r} of {one.symbol} are not given to its pack.")


def _texts(texts: Sequence[str]) -> dict[str, Array]:
    written = [compressed(text) for text in texts]
    first = np.cumsum([0, *map(len, written)], dtype=np.int64)
    return {"text.bytes": np.frombuffer(b"".join(written), np.uint8), "text.first": first}


def _references(rows: Sequence[Floats], features: int) -> dict[str, Array]:
    kept = [reference_of(one) for one in rows]
    empty = np.empty((0, features))
    return {
        "reference.rows": np.concatenate([empty, *(one.rows for one in kept)]),
        "reference.first": np.cumsum([0, *(len(one.rows) for one in kept)], dtype=np.int64),
        "reference.centre": np.array([one.centre for one in kept]).reshape(-1, features),
        "reference.spread": np.array([one.spread for one in kept]).reshape(-1, features),
        "reference.span": np.array([one.span for one in kept]),
    }


class Pack:
    """Students of a universe that serve, by symbol.

    It is made by `open`, has no state but the mapped file, and is read by any number of threads.
    """

    def __init__(self, record: _Record, arrays: Mapping[str, Array], digest: str) -> None:
        self.digest = digest
        self.feature_names = record.feature_names
        self.symbols = tuple(one.symbol for one in record.entries)
        self._entries = {one.symbol: one for one in record.entries}
        self._model = dict(zip(self.symbols, record.model, strict=True))
        self._forest = Forest(**{name: arrays[f"forest.{name}"] for name in _FOREST})
        self._text, self._text_first = arrays["text.bytes"], arrays["text.first"]
        first = arrays["reference.first"]
        self._references = {
            name: Reference(
                arrays["reference.rows"][first[at] : first[at + 1]],
                arrays["reference.centre"][at],
                arrays["reference.spread"][at],
                float(arrays["reference.span"][at]),
            )
            for at, name in enumerate(record.references)
        }

    @classmethod
    def open(cls, path: Path, digest: str = "") -> "Pack":
        """Map a pack into memory.

        Parameters
        ----------
        path
            Of the file.
        digest
            That `write_pack` gave, where it is noted.

        Raises
        ------
        WindowError
            Of kind `corrupt_model`: it cannot be read, is not what was written, or is of another version.
        """
        arrays, found = map_arrays(path, digest)
        try:
            record = _record(arrays)
        except ValueError as error:
            said = str(error).splitlines()[0]
            raise corrupt_arrays(path, f"is no pack of this version ({said})") from error
        return cls(record, arrays, found)

    def entry(self, symbol: str) -> Entry:
        """Which student serves a symbol; `UsageError` for one that the pack has not."""
        try:
            return self._entries[symbol]
        except KeyError:
            raise UsageError(f"The pack has no student of {symbol}; it has {len(self.symbols)} others.") from None

    def predict(self, symbols: Sequence[str], features: Floats) -> Answers:
        """What the students say of rows.

        Parameters
        ----------
        symbols
            Whose row each is, in any order, repeated or not.
        features
            Shape (rows, features), columns as `feature_names`; NaN is a missing value.

        Raises
        ------
        UsageError
            The pack has no such symbol, or the rows have another shape.
        """
        table = np.asarray(features, dtype=np.float64)
        if table.shape != (len(symbols), len(self.feature_names)):
            raise UsageError(
                f"Features of {len(symbols)} rows and {len(self.feature_names)} columns are asked for, "
                f"and the table has the shape {table.shape}."
            )
        entries = [self.entry(symbol) for symbol in symbols]
        model = np.array([self._model[symbol] for symbol in symbols], dtype=np.int64)
        raw = self._forest.probability(model, table)
        served, distance = raw.copy(), np.full(len(raw), np.nan)
        for calibration, rows in _places([one.calibration for one in entries]).items():
            if calibration is not None:
                served[rows] = calibration.serve(raw[rows])
        for name, rows in _places([one.reference for one in entries]).items():
            if name:
                distance[rows] = self._references[name].distance(table[rows])
        return Answers(raw, served, distance)

    def text(self, symbol: str) -> str:
        """LightGBM's text of a symbol's student: `lgb.Booster(model_str=pack.text(symbol))`."""
        model = self._model[self.entry(symbol).symbol]
        written = self._text[self._text_first[model] : self._text_first[model + 1]]
        return gzip.decompress(written.tobytes()).decode()


def _places(values: Sequence[_Value]) -> dict[_Value, NDArray[np.int64]]:
    """Places of each value."""
    places: dict[_Value, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    return {value: np.array(rows) for value, rows in places.items()}


def _record(arrays: Mapping[str, Array]) -> _Record:
    """What a pack holds beside numbers, once its arrays are found to be those of this version; else `ValueError`."""
    differ = {(name, array.dtype.str) for name, array in arrays.items()} ^ set(_DTYPES.items())
    if differ:
        raise ValueError(f"{min(differ)[0]} is missing, or another array")
    record = _Record.model_validate_json(arrays["record"].tobytes())
    models = len(arrays["forest.depth"])
    if len(record.model) != len(record.entries) or not set(record.model) <= set(range(models)):
        raise ValueError("its symbols have no model each")
    if not {one.reference for one in record.entries} <= {"", *record.references}:
        raise ValueError("its symbols have no training rows each")
    return record
