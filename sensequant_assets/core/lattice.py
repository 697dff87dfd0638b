"""The lattice: every (symbol, window) pair, eligible or skipped with a reason."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sensequant_assets.core.bars import told
from sensequant_assets.core.capacity import Floor
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.core.samples import OvernightLabels, Samples
from sensequant_assets.core.splits import Positions, purged_tail
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import WindowError

Key = tuple[str, str]
"""(symbol, window key)."""

EARLY_LIFE_DAYS = 180
"""A window that starts within this many days of the listing is flagged `early_life`."""


LabelKind = Literal["threshold", "volatility_neutral", "cross_sectional"]
"""What a forward return must exceed for a label of 1; `core.hurdles` says how."""


class SkipReason(StrEnum):
    """Why a pair is not attempted. A skip is never a failure."""

    PRE_LISTING = "pre_listing"
    INSUFFICIENT_BARS = "insufficient_bars"
    INSUFFICIENT_FUTURE = "insufficient_future"
    NO_BARS = "no_bars"
    SUSPECT_BARS = "suspect_bars"
    DELISTED = "delisted"


class Recipe(BaseModel):
    """How bars become labelled rows; the same for every pair of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: int = Field(7, ge=1, le=10_000, description="Bars that a label looks ahead.")
    label: LabelKind = Field(
        "threshold",
        description="What a forward return must exceed: a number, the symbol's own volatility, or the universe's "
        "median.",
    )
    threshold: float = Field(
        0.02, ge=-1, le=10, description="Forward return above which a label of the kind `threshold` is 1."
    )
    deviations: float = Field(
        0.5,
        ge=-10,
        le=10,
        description="Standard deviations over the horizon above which a label of the kind `volatility_neutral` is 1.",
    )
    min_samples: int = Field(
        20, ge=1, le=1_000_000, description="Fewest training rows a window needs; its parameters may need more."
    )
    validation_fraction: float = Field(
        0.2, ge=0, lt=1, description="Share of a window's last rows for validation, where teachers stop early by it."
    )
    open_windows: Literal["train", "skip"] = Field(
        "train", description="What to do with a window that the labels do not fill yet."
    )
    overnight_labels: OvernightLabels = Field(
        "drop", description="What to do with intraday labels that reach into a later session."
    )

    @property
    def asks(self) -> dict[str, str | int | float]:
        """What a label asks of a forward return: its kind, its horizon, and the number that its kind has."""
        number = {"threshold": "threshold", "volatility_neutral": "deviations"}.get(self.label)
        return {"label": self.label, "horizon": self.horizon} | ({number: getattr(self, number)} if number else {})

    @property
    def made_with(self) -> dict[str, str | int | float]:
        """What a model is made with besides its parameters."""
        return self.asks | {"validation_fraction": self.validation_fraction}

    def used_by(self, teacher: TeacherParameters) -> "Recipe":
        """The recipe that a teacher trains by: it learns from the validation tail unless it stops early by it."""
        return self if teacher.early_stopping_rounds else self.model_copy(update={"validation_fraction": 0.0})


@dataclass(frozen=True, slots=True)
class Pair:
    """One (symbol, window) of the lattice.

    Attributes
    ----------
    symbol, window
        The pair.
    effective_start
        Later one of window start and trading start.
    reason
        Why it is skipped; None if it is eligible.
    detail
        The reason in words, or why an eligible window is cut; empty if there is nothing to say.
    rows
        Training rows expected, after warm-up and purge.
    open
        The window's end lies past the last labelled bar: new data retrains it.
    early_life
        The effective start lies within 180 days of the listing; None where the listing is not known.
    waits
        It is skipped for want of rows alone, and its window has begun and is not filled: new bars bring it rows.
    served_by
        The pair of an earlier window whose model serves this one, which has none of its own yet; None where it has.
    spoiled
        Bad rows of the source that its features or labels read, in a sentence: if it is attempted, it fails by them.
        Empty if it reads none.
    """

    symbol: str
    window: Window
    effective_start: date
    reason: SkipReason | None = None
    detail: str = ""
    rows: int = 0
    open: bool = False
    early_life: bool | None = None
    waits: bool = False
    served_by: "Pair | None" = None
    spoiled: str = ""

    @property
    def learned_in(self) -> "Pair":
        """The pair whose rows its model has learned from: itself, or the one that serves it."""
        return self.served_by or self

    @property
    def eligible(self) -> bool:
        """Whether it is attempted."""
        return self.reason is None

    @property
    def trainable(self) -> bool:
        """Whether it is attempted, and reads no bad row."""
        return self.eligible and not self.spoiled

    @property
    def key(self) -> str:
        """Partition key, `symbol|window`."""
        return f"{self.symbol}|{self.window.key}"


@dataclass(frozen=True, slots=True)
class WindowRows:
    """Bar positions of one pair: to train on, to validate on, and of the next window to test on."""

    train: Positions
    valid: Positions
    test: Positions


def pair_rows(samples: Samples, pair: Pair, recipe: Recipe) -> WindowRows:
    """The rows of an eligible pair: those that its model has learned from, and those of the window after its own."""
    learned = pair.learned_in
    rows = window_rows(samples, learned.window, learned.effective_start, recipe)
    if learned is pair:
        return rows
    return replace(rows, test=window_rows(samples, pair.window, pair.effective_start, recipe).test)


def window_rows(samples: Samples, window: Window, effective_start: date, recipe: Recipe) -> WindowRows:
    """Cut a pair's rows.

    Rows of the window whose label reaches its end are purged, because the next window is the test span; of the rest the
    last ones are the validation tail, with a purge of `horizon` bars before it. The test span is as long as the window.
    """
    own = _usable_between(samples, effective_start, window.end)
    reach = np.minimum(own + recipe.horizon, len(samples.time) - 1)
    own = own[samples.time[reach] < np.datetime64(window.end)]
    split = purged_tail(own, recipe.horizon, recipe.validation_fraction)
    test = _usable_between(samples, window.end, window.end + (window.end - window.start))
    return WindowRows(split.train, split.test, test)


def plan_symbol(
    listing: Listing, samples: Samples | WindowError, windows: tuple[Window, ...], recipe: Recipe, floor: Floor
) -> tuple[Pair, ...]:
    """Decide for every window of one symbol whether it is eligible.

    Parameters
    ----------
    listing
        Row of the universe.
    samples
        The symbol's samples, or the error that its bars raised: its pairs are then eligible, so that the error is
        counted, unless the listing alone says that they precede it.
    windows
        All windows.
    recipe
        Horizon, validation tail and what to do with open windows.
    floor
        Fewest training rows.

    Returns
    -------
    tuple of Pair
        One a window, in order.
    """
    if isinstance(samples, WindowError):
        start, listed_since = listing.trading_start(None), listing.listed_since(None)
        return tuple(_pair(listing, window, start, listed_since) for window in windows)
    return tuple(_plan_pair(listing, samples, window, recipe, floor) for window in windows)


def _pair(listing: Listing, window: Window, trading_start: date | None, listed_since: date | None) -> Pair:
    symbol, delisted = listing.symbol, listing.delisting_date
    if delisted is not None and delisted < window.start:
        why = f"{symbol} was delisted on {delisted}, before window {window.key}."
        return Pair(symbol, window, window.start, SkipReason.DELISTED, why)
    start = trading_start or window.start
    effective_start = max(window.start, start)
    begins = f"{symbol} trades from {start}" if listed_since else f"The bars of {symbol} begin on {start}"
    if effective_start >= window.end:
        detail = f"{begins}, after the window's end {window.end}."
        return Pair(symbol, window, effective_start, SkipReason.PRE_LISTING, detail)
    early = None if listed_since is None else effective_start - listed_since < timedelta(days=EARLY_LIFE_DAYS)
    cut = f"{begins}, and window {window.key} is cut to begin there." if effective_start > window.start else ""
    if _ends(listing, window):
        cut = f"{cut} {symbol} was delisted on {delisted}, and window {window.key} ends there.".lstrip()
    return Pair(symbol, window, effective_start, detail=cut, early_life=early)


def _ends(listing: Listing, window: Window) -> bool:
    """Whether a symbol is delisted within a window, so that no row of it is still to come."""
    return listing.delisting_date is not None and window.start <= listing.delisting_date < window.end


def _plan_pair(listing: Listing, samples: Samples, window: Window, recipe: Recipe, floor: Floor) -> Pair:
    symbol = samples.symbol
    if not len(samples.time):
        return Pair(symbol, window, window.start, SkipReason.NO_BARS, f"There are no bars of {symbol}.")
    pair = _pair(listing, window, samples.trading_start, samples.listed_since)
    if not pair.eligible:
        return pair
    labelled_until, ends = samples.last_labelled_day, _ends(listing, window)
    is_open = not ends and (labelled_until is None or labelled_until < window.end)
    # A window that reads bad rows fails by them, unless it has too few rows with them too.
    but_for_bad_rows = replace(samples, usable=samples.usable | samples.spoiled) if samples.missed else samples
    rows = window_rows(but_for_bad_rows, window, pair.effective_start, recipe)
    spoiled = _spoiled(samples, window, rows)

    def decided(reason: SkipReason | None, detail: str = "", *, waits: bool = False) -> Pair:
        return Pair(
            symbol,
            window,
            pair.effective_start,
            reason,
            detail,
            len(rows.train),
            is_open,
            pair.early_life,
            waits,
            spoiled=spoiled,
        )

    first, last = _between(samples, pair.effective_start, window.end)
    if first == last and spoiled:
        return decided(None)
    if first == last:
        return decided(*_without_bars(samples, pair, ends))
    if is_open and recipe.open_windows == "skip":
        return decided(
            SkipReason.INSUFFICIENT_FUTURE, f"Labels of {symbol} end at {labelled_until}; open windows are skipped."
        )
    if np.isnan(samples.forward_return[first:last]).all():
        return decided(*_without_labels(pair, ends), waits=is_open)
    if len(rows.train) < floor.rows:
        why = f": {floor.why}" if floor.why else ""
        bare = np.isnan(samples.label[first:last]) & ~np.isnan(samples.forward_return[first:last])
        without = f" {bare.sum()} of its forward returns have no label." if bare.any() else ""
        detail = (
            f"Window {window.key} of {symbol} has {len(rows.train)} training rows after warm-up and purge, needs "
            f"{floor.rows}{why}.{without} {floor.way_out}"
        )
        return decided(SkipReason.INSUFFICIENT_BARS, f"{pair.detail} {detail}".lstrip(), waits=is_open)
    return decided(None, pair.detail)


def _without_bars(samples: Samples, pair: Pair, ends: bool) -> tuple[SkipReason, str]:
    symbol, window = pair.symbol, pair.window
    if samples.time[-1] < np.datetime64(window.start) and not ends:
        return SkipReason.INSUFFICIENT_FUTURE, f"The bars of {symbol} end before {window.start}."
    why = f"{symbol} has no bar from {pair.effective_start} to {window.end}."
    return SkipReason.NO_BARS, f"{pair.detail} {why}" if ends else why


def _without_labels(pair: Pair, ends: bool) -> tuple[SkipReason, str]:
    if ends:
        return SkipReason.DELISTED, f"{pair.detail} No row of it has a complete label."
    return (
        SkipReason.INSUFFICIENT_FUTURE,
        f"No row of window {pair.window.key} of {pair.symbol} has a complete label yet.",
    )


def _spoiled(samples: Samples, window: Window, rows: WindowRows) -> str:
    """Bad rows that a window reads, in a sentence; empty if it reads none."""
    if not samples.missed:
        return ""
    first, last = _between(samples, window.start, window.end)
    begin, end = np.datetime64(window.start), np.datetime64(window.end)
    own = np.concatenate([rows.train, rows.valid])
    read = []
    for one in samples.missed:
        inside = begin <= one.row.time < end
        # The purge counts the bars that are there, and takes rows whose label reads the window's last one if it is bad.
        before = inside and samples.spoiled[max(first, one.first) : last].any()
        if before or (inside and first == last) or ((own >= one.first) & (own < one.end)).any():
            read.append(one.row)
    return told(read) if read else ""


def _between(samples: Samples, start: date, end: date) -> tuple[int, int]:
    first, last = np.searchsorted(samples.time, np.array([start, end], dtype="datetime64[s]"))
    return int(first), int(last)


def _usable_between(samples: Samples, start: date, end: date) -> Positions:
    first, last = _between(samples, start, end)
    return first + np.flatnonzero(samples.usable[first:last])
