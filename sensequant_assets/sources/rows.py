"""Rows of a file as one history: oldest first, each bar once, without rows that hold no bar."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import PRICES, Floats, RawBars
from sensequant_assets.sources.notes import Note

REPEATED = "Rows that repeat another one are taken once"
NOT_FILLED = "Last rows that the vendor has not filled yet are left out"
EMPTY = "Rows without any price or volume are left out"


def as_one_history(raw: RawBars, missing: Callable[[str, int], bool]) -> tuple[RawBars, list[Note]]:
    """Turn rows round that are newest first, take those once that repeat another, and leave out those without a bar.

    Rows in no order, and two that tell a bar differently, stay as they are: which rule they break is said elsewhere.

    Parameters
    ----------
    raw
        Bars as a file tells them.
    missing
        Whether a column has nothing in its cell at a position, not even something that is no number.

    Returns
    -------
    raw
        The rows that are left.
    notes
        How many were left out, and why.
    """
    raw, notes = _without_empty(raw, missing)
    step = np.diff(raw.time).astype(np.int64)
    if not (step <= 0).any() or np.isnat(raw.time).any():
        return raw, notes
    kept = _first_of_each(raw)
    if len(kept) < len(raw.time):
        notes.append(Note(REPEATED, raw.symbol, raw.origin, len(raw.time) - len(kept)))
        raw = _taken(raw, kept)
    if (np.diff(raw.time).astype(np.int64) < 0).all():
        raw = _taken(raw, np.arange(len(raw.time))[::-1])
    return raw, notes


def _without_empty(raw: RawBars, missing: Callable[[str, int], bool]) -> tuple[RawBars, list[Note]]:
    unpriced = np.isnan(np.column_stack([raw.numbers[name] for name in PRICES])).all(axis=1)
    if not unpriced.any():
        return raw, []
    priced = raw.time[~unpriced]
    last = unpriced & (raw.time > priced.max()) if len(priced) else np.zeros_like(unpriced)
    volume = np.nan_to_num(raw.numbers["volume"])
    left_out = unpriced & (last | (volume == 0))
    for at in np.flatnonzero(left_out):
        left_out[at] = all(missing(name, int(at)) for name in PRICES)
    counts = {NOT_FILLED: int((left_out & last).sum()), EMPTY: int((left_out & ~last).sum())}
    notes = [Note(text, raw.symbol, raw.origin, count) for text, count in counts.items() if count]
    return _taken(raw, np.flatnonzero(~left_out)), notes


def _taken(raw: RawBars, at: NDArray[np.int64]) -> RawBars:
    numbers: dict[str, Floats] = {name: values[at] for name, values in raw.numbers.items()}

    def quote(name: str, row: int) -> str:
        return raw.quote(name, int(at[row]))

    return replace(raw, rows=raw.rows[at], time=raw.time[at], numbers=numbers, quote=quote)


def _first_of_each(raw: RawBars) -> NDArray[np.int64]:
    """Positions of the rows that repeat no earlier one."""
    numbers = np.column_stack(list(raw.numbers.values()))
    times = raw.time.astype(np.int64)
    order = np.lexsort((np.arange(len(times)), *numbers.T, times))
    same = (times[order][1:] == times[order][:-1]) & (numbers[order][1:] == numbers[order][:-1]).all(axis=1)
    repeated = order[1:][same]
    return np.setdiff1d(np.arange(len(times)), repeated)
