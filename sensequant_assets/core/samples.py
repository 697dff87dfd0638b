"""Samples: features and labels of one symbol, one row a bar, before any window is cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import BadRow, Bars, Floats, Times, day_of
from sensequant_assets.core.features import LOOKBACK
from sensequant_assets.core.labels import forward_returns, labels_above, within_sessions
from sensequant_assets.core.provenance import arrays_fingerprint
from sensequant_assets.core.providers import STANDARD, Provider, features_of
from sensequant_assets.core.sessions import LOOKBACK_SESSIONS
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import FailureKind, WindowError

OvernightLabels = Literal["drop", "keep"]
"""What becomes of intraday labels whose horizon ends in a later session."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Features and labels of one symbol.

    Attributes
    ----------
    symbol
        Whose samples they are.
    time
        Start of each bar, shape (bars,), `datetime64[s]`.
    features
        Shape (bars, features), NaN during warm-up.
    feature_names
        Names of the columns.
    providers
        Who provides them, by name and digest: other source, other samples.
    forward_return
        Return over the horizon, shape (bars,), NaN where it is not known yet.
    hurdle
        What the forward return must exceed, shape (bars,), NaN where that is not known.
    label
        1.0 above the hurdle, 0.0 not, NaN where either is not known, shape (bars,).
    usable
        Rows whose features and label are all known and read no bad row, shape (bars,).
    trading_start
        First day on which the symbol trades; None if nothing is known.
    listed_since
        First day of its life on the exchange; None where its row of the universe does not tell.
    missed
        Bars that bad rows of the source should have been, in the order of the source.
    """

    symbol: str
    time: Times
    features: Floats
    feature_names: tuple[str, ...]
    providers: tuple[str, ...]
    forward_return: Floats
    hurdle: Floats
    label: Floats
    usable: NDArray[np.bool_]
    trading_start: date | None
    listed_since: date | None
    missed: tuple["MissedBar", ...] = ()

    @property
    def spoiled(self) -> NDArray[np.bool_]:
        """Rows that would be usable but for the bad rows that they read, shape (bars,)."""
        read = _reading(self.missed, len(self.time))
        known: NDArray[np.bool_] = read & ~np.isnan(self.label) & np.isfinite(self.features).all(axis=1)
        return known

    @property
    def fingerprint(self) -> str:
        """Identity of features, labels and times of the whole history."""
        return arrays_fingerprint([self.time, self.features, self.forward_return, self.label], self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, and who provides them."""
        return (*self.feature_names, *self.providers)

    @property
    def last_labelled_day(self) -> date | None:
        """Day of the last bar whose forward return is known; None if there is none."""
        known = np.flatnonzero(~np.isnan(self.forward_return))
        return day_of(self.time[known[-1]]) if len(known) else None


@dataclass(frozen=True, slots=True)
class MissedBar:
    """A bar that a bad row should have been.

    Attributes
    ----------
    row
        The bad row.
    first, end
        Positions of the first row whose label reads it, and behind the last one whose features do.
    """

    row: BadRow
    first: int
    end: int


def build_samples(
    bars: Bars,
    listing: Listing,
    horizon: int,
    hurdle: float | Floats,
    overnight_labels: OvernightLabels = "drop",
    providers: Sequence[Provider] = (STANDARD,),
) -> Samples:
    """Features and labels of one symbol's whole history.

    Parameters
    ----------
    bars
        Validated bars of the symbol; with more than one a day they are intraday.
    listing
        Its row of the universe; says since when it trades.
    horizon
        Bars that a label looks ahead.
    hurdle
        A label is 1 when the forward return is above it: one number, or one a bar, as of `core.hurdles`.
    overnight_labels
        Whether intraday labels may reach into a later session: the night's return has little to do with that of half an
        hour, so that by default the last `horizon` bars of a session have no label.
    providers
        Of the features.

    Raises
    ------
    WindowError
        Of kind `insufficient_rows`: no session is longer than the horizon, and labels must stay in theirs. As
        `features_of`.
    """
    ahead = returns_ahead(bars, horizon, overnight_labels)
    listed_since = listing.listed_since(bars.first_day)
    if bars.intraday and overnight_labels == "drop" and np.isnan(ahead).all():
        raise WindowError(
            FailureKind.INSUFFICIENT_ROWS,
            f"No session of {bars.symbol} is longer than the horizon of {horizon} bars. Shorten the horizon, "
            "or let labels hold over night with SENSEQUANT_OVERNIGHT_LABELS=keep.",
        )
    features = features_of(providers, bars, listed_since)
    label = labels_above(ahead, hurdle)
    usable = ~np.isnan(label) & np.isfinite(features.table).all(axis=1)
    missed = tuple(_missed(bars, horizon))
    if missed:
        usable &= ~_reading(missed, len(bars))
    return Samples(
        symbol=bars.symbol,
        time=bars.time,
        features=features.table,
        feature_names=features.names,
        providers=tuple(each.identity for each in providers),
        forward_return=ahead,
        hurdle=np.broadcast_to(hurdle, ahead.shape),
        label=label,
        usable=usable,
        trading_start=_trading_start(bars, listing),
        listed_since=listed_since,
        missed=missed,
    )


def _trading_start(bars: Bars, listing: Listing) -> date | None:
    """First day on which a symbol trades; None if nothing is known."""
    known = listing.listing_date is not None or listing.trading_start_date is not None
    # Intraday files begin where the vendor's memory does, so that their first bar is not even a start of trading.
    return listing.trading_start(bars.first_day) if known or not bars.intraday else None


def returns_ahead(bars: Bars, horizon: int, overnight_labels: OvernightLabels) -> Floats:
    """Forward returns of bars, shape (bars,); NaN where one is not known yet, or holds over a night and may not."""
    ahead = forward_returns(bars.close, horizon)
    held = bars.intraday and overnight_labels == "drop"
    return within_sessions(ahead, bars.time, horizon) if held else ahead


def _missed(bars: Bars, horizon: int) -> Iterator[MissedBar]:
    """Bars that bad rows should have been, unless another row tells them."""
    for row in bars.delivery.bad:
        known = not np.isnat(row.time)
        at = int(np.searchsorted(bars.time, row.time if known else row.after, side="right"))
        if known and at and bars.time[at - 1] == row.time:
            continue
        yield MissedBar(row, max(0, at - horizon), _features_end(bars, at))


def _features_end(bars: Bars, at: int) -> int:
    """Behind the last row whose features read a bar that is missing before a position."""
    if not bars.intraday:
        return at + LOOKBACK
    days = bars.time.astype("datetime64[D]")
    begun = np.flatnonzero(np.append(True, days[1:] != days[:-1]))
    # Its own session and those that set it beside earlier ones.
    later = np.searchsorted(begun, at, side="right") + LOOKBACK_SESSIONS
    return max(at + LOOKBACK, int(begun[later]) if later < len(begun) else len(bars))


def _reading(missed: tuple[MissedBar, ...], rows: int) -> NDArray[np.bool_]:
    reading = np.zeros(rows, dtype=np.bool_)
    for one in missed:
        reading[one.first : one.end] = True
    return reading
