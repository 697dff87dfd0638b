"""Which bars there are: of each symbol and month, on how many of the market's sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.quality.outline import Days, Outline
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.universe import Listing


@dataclass(frozen=True, slots=True)
class Covered:
    """One symbol, month by month.

    Attributes
    ----------
    bars
        Bars.
    days
        Sessions on which it has one.
    sessions
        Sessions of the market from its listing to its delisting.
    digests
        Of the bars, as of `Outline.months`; empty for a month without any, and as a whole of a time that kept none.
    """

    bars: tuple[int, ...]
    days: tuple[int, ...]
    sessions: tuple[int, ...]
    digests: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Sessions without a bar."""
        return sum(self.sessions) - sum(self.days)


_COLUMNS = tuple(column.name for column in fields(Covered))


@dataclass(frozen=True, slots=True)
class Coverage:
    """The bars of a market, symbol by month.

    Attributes
    ----------
    months
        `YYYY-MM`, in order, each month of a span.
    sessions
        Sessions of the market by month. A day is one that most symbols trade on; one that too few symbols trade on to
        judge by them, where the exchange's calendar names it, or without a calendar where any has a bar; and one that
        the calendar names and all lack.
    symbols
        By symbol.
    """

    months: tuple[str, ...]
    sessions: tuple[int, ...]
    symbols: Mapping[str, Covered]

    @classmethod
    def of(
        cls, listings: Sequence[Listing], outlines: Mapping[str, Outline], sessions: Sessions, first: date, end: date
    ) -> Self:
        """What there is on the days from `first` to before `end`; without an outline a symbol has no bars."""
        begin, stop = np.datetime64(first, "D"), np.datetime64(end, "D")
        held = _within(_held(sessions), begin, stop)
        last = (stop - 1).astype("datetime64[M]")
        months = np.arange(begin.astype("datetime64[M]"), last + 1)
        names = tuple(np.datetime_as_string(months).tolist())

        def counted(days: Days, bars: NDArray[np.int32] | None = None) -> tuple[int, ...]:
            places = (days.astype("datetime64[M]") - months[0]).astype(np.int64)
            return tuple(np.bincount(places, bars, len(months)).astype(int).tolist())

        symbols = {}
        for listing in listings:
            since = listing.trading_start(None)
            own = held if since is None else held[held >= np.datetime64(since, "D")]
            own = own if listing.delisting_date is None else own[own <= np.datetime64(listing.delisting_date, "D")]
            one = outlines.get(listing.symbol)
            days = held[:0] if one is None else one.days
            inside = slice(*np.searchsorted(days, [begin, stop]))
            bars = None if one is None else one.bars[inside]
            digests = {} if one is None else one.months
            symbols[listing.symbol] = Covered(
                counted(days[inside], bars),
                counted(np.intersect1d(days, own, assume_unique=True)),
                counted(own),
                tuple(digests.get(name, "") for name in names),
            )
        return cls(names, counted(held), symbols)

    @property
    def empty(self) -> list[str]:
        """Symbols without a bar in the whole span."""
        return [symbol for symbol, one in self.symbols.items() if not sum(one.bars)]

    def as_json(self) -> dict[str, Any]:
        """As the journal holds it."""
        # A copy of each number, as `asdict` makes it, would be as much again.
        symbols = {symbol: {name: getattr(one, name) for name in _COLUMNS} for symbol, one in self.symbols.items()}
        return {"months": self.months, "sessions": self.sessions, "symbols": symbols}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """What `as_json` has told."""
        symbols = {
            symbol: Covered(*(tuple(one.get(name, ())) for name in _COLUMNS)) for symbol, one in told["symbols"].items()
        }
        return cls(tuple(told["months"]), tuple(told["sessions"]), symbols)


def _held(sessions: Sessions) -> Days:
    """Days that count as sessions: a calendar is not asked about the first day that has a bar, nor about the last."""
    alone = ~sessions.judged
    if sessions.by_calendar:
        alone[1:-1] = False
    known: Days = np.union1d(np.union1d(sessions.expected, sessions.lacked), sessions.days[alone])
    return known


def _within(days: Days, begin: np.datetime64, stop: np.datetime64) -> Days:
    return days[(days >= begin) & (days < stop)]
