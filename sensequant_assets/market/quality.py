"""What the rules on bars find in a market.

The universe is read once, whoever asks: which days are sessions, most of its symbols say, and a step over night is set
beside the market's.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Literal

import numpy as np

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.lattice import Pair, SkipReason
from sensequant_assets.core.quality.adjustment import Action, record_of
from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.core.quality.findings import findings_of
from sensequant_assets.core.quality.outline import Days, Outline, outline
from sensequant_assets.core.quality.rules import EVERYBODY, STEPS, Finding, Reaction
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import UsageError


@dataclass(frozen=True, slots=True)
class BarRules:
    """How bars are judged, and what becomes of what is found.

    Attributes
    ----------
    calendar
        Name of the exchange's, by which holes are judged where the universe cannot; None without one.
    on_hole, on_corporate_action
        What becomes of windows that read a hole, or a step of prices.
    adjust
        Whether steps that are found are taken out.
    actions
        Corporate actions that are known, by symbol.
    """

    calendar: str | None = None
    on_hole: Reaction = "flag"
    on_corporate_action: Reaction = "flag"
    adjust: Literal["given", "detected"] = "given"
    actions: Mapping[str, Sequence[Action]] = field(default_factory=dict)

    @property
    def react(self) -> bool:
        """Whether a finding changes what becomes of a window."""
        return self.on_hole != "flag" or self.on_corporate_action != "flag"

    def applied(self, pair: Pair, found: Sequence[Finding]) -> Pair:
        """A pair as the findings of its symbol leave it: as it is, skipped, or to fail.

        Parameters
        ----------
        pair
            As its rows have it.
        found
            Of its symbol.
        """
        for one in found:
            hole = one.rule == "hole"
            reaction = self.on_hole if hole else self.on_corporate_action if one.rule in STEPS else "flag"
            if reaction == "flag" or not pair.eligible or pair.window.key not in one.windows:
                continue
            why = f"{one.message} {'BARS_ON_HOLE' if hole else 'BARS_ON_CORPORATE_ACTION'} is {reaction}."
            if reaction == "skip":
                return replace(pair, reason=SkipReason.SUSPECT_BARS, detail=why, waits=False)
            pair = pair if pair.spoiled else replace(pair, spoiled=why)
        return pair


class Quality:
    """Outlines of the symbols read so far.

    Parameters
    ----------
    horizon
        Bars that a label looks ahead.
    windows
        Of the lattice.
    exchange
        Name of the exchange's calendar; None for the majority of the universe alone.
    """

    def __init__(self, horizon: int, windows: Sequence[Window], exchange: str | None = None) -> None:
        self._horizon = horizon
        self._windows = windows
        self._exchange = exchange
        self._outlines: dict[str, Outline] = {}
        self._unreadable: dict[str, str] = {}
        self._days: dict[tuple[object, ...], Days] = {}
        self._together: Sessions | None = None

    def note(self, symbol: str, bars: Bars | str) -> None:
        """Take in the bars of a symbol, or why they cannot be taken."""
        self._together = None
        if isinstance(bars, str):
            self._unreadable[symbol] = bars
            return
        made = outline(bars, self._horizon)
        # Most symbols have the same days, which are most of what an outline holds.
        known = self._days.setdefault((len(made.days), *made.days[:1], *made.days[-1:]), made.days)
        self._outlines[symbol] = replace(made, days=known) if np.array_equal(known, made.days) else made

    def knows(self, symbol: str) -> bool:
        """Whether a symbol's bars have been taken in."""
        return symbol in self._outlines or symbol in self._unreadable

    def record(self, symbol: str, action: Action) -> Finding | None:
        """That the bars of a symbol were adjusted; None where none of them were."""
        known = self._outlines.get(symbol)
        return None if known is None else record_of(symbol, known.days, action)

    def findings(self, left_out: Iterable[str], listings: Iterable[Listing] = ()) -> list[Finding]:
        """What the rules find in all symbols, by symbol; what is about all of them stands last.

        Parameters
        ----------
        left_out
            Why files are left out of which nobody can tell the symbols.
        listings
            Rows of the universe.

        Raises
        ------
        UsageError
            There is no such calendar, or no package that has calendars.
        """
        rows = {listing.symbol: listing for listing in listings}
        found = findings_of(self._sorted, self._sessions, self._windows, self._unreadable, rows)
        found += [Finding(EVERYBODY, "unreadable", "error", None, None, 0, why) for why in left_out]
        return sorted(found, key=lambda one: (one.symbol == EVERYBODY, one.symbol))

    def coverage(self, listings: Sequence[Listing]) -> Coverage:
        """Which bars there are of these symbols in the span of the windows; errors as of `findings`."""
        return Coverage.of(listings, self._outlines, self._sessions, self._windows[0].start, self._windows[-1].end)

    @property
    def _sorted(self) -> list[Outline]:
        return [self._outlines[symbol] for symbol in sorted(self._outlines)]

    @property
    def _sessions(self) -> Sessions:
        """The sessions of the symbols taken in so far."""
        if self._together is None:
            outlines, days = self._sorted, None
            first = min((one.days[0] for one in outlines if len(one.days)), default=None)
            last = max((one.days[-1] for one in outlines if len(one.days)), default=None)
            if self._exchange is not None and first is not None and last is not None:
                days = sessions_of(self._exchange, first, last)
            self._together = Sessions.of(outlines, days)
        return self._together


def require_calendar(exchange: str) -> None:
    """Make sure that there is an exchange's calendar, as of `sessions_of`, before anything rests on it."""
    if find_spec("exchange_calendars") is None:
        raise UsageError(
            f"Calendar {exchange} needs the package exchange_calendars: pip install 'sensequant-assets[calendars]', "
            "or leave SENSEQUANT_CALENDAR out, and most symbols of the universe say what a session is."
        )
    import exchange_calendars

    if exchange not in exchange_calendars.get_calendar_names(include_aliases=True):
        raise UsageError(f"There is no calendar {exchange}; exchange_calendars has XBOM, XNYS, XLON and others.")


def sessions_of(exchange: str, first: np.datetime64, last: np.datetime64) -> Days:
    """Days between two that an exchange's calendar names as sessions.

    Parameters
    ----------
    exchange
        Its code in the package `exchange_calendars`, such as XBOM or XNYS.
    first, last
        The days.

    Raises
    ------
    UsageError
        The package is not there, or knows no such exchange, or not these years.
    """
    require_calendar(exchange)
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    try:
        with warnings.catch_warnings():
            # The package asks pandas in ways that are to change, of which nobody here can do anything.
            warnings.simplefilter("ignore")
            calendar = exchange_calendars.get_calendar(exchange, start=str(first), end=str(last))
    except (CalendarError, ValueError) as error:
        raise UsageError(f"There is no calendar {exchange} from {first} to {last}: {error}") from error
    days: Days = calendar.sessions.to_numpy().astype("datetime64[D]")
    return days
