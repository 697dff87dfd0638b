"""What the rules on bars find in a market.

The universe is read once, whoever asks: which days are sessions, most of its symbols say, and a step over night is set
beside the market's.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.quality.findings import findings_of
from sensequant_assets.core.quality.outline import Days, Outline, outline
from sensequant_assets.core.quality.rules import EVERYBODY, Finding
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import UsageError


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

    def note(self, symbol: str, bars: Bars | str) -> None:
        """Take in the bars of a symbol, or why they cannot be taken."""
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

    def findings(self, left_out: Iterable[str]) -> list[Finding]:
        """What the rules find in all symbols, by symbol; what is about all of them stands last.

        Parameters
        ----------
        left_out
            Why files are left out of which nobody can tell the symbols.

        Raises
        ------
        UsageError
            There is no such calendar, or no package that has calendars.
        """
        outlines = [self._outlines[symbol] for symbol in sorted(self._outlines)]
        first = min((one.days[0] for one in outlines if len(one.days)), default=None)
        last = max((one.days[-1] for one in outlines if len(one.days)), default=None)
        days = None
        if self._exchange is not None:
            days = sessions_of(self._exchange, first, last) if first is not None and last is not None else None
        found = findings_of(outlines, Sessions.of(outlines, days), self._windows, self._unreadable)
        found += [Finding(EVERYBODY, "unreadable", "error", None, None, 0, why) for why in left_out]
        return sorted(found, key=lambda one: (one.symbol == EVERYBODY, one.symbol))


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
    if find_spec("exchange_calendars") is None:
        raise UsageError(
            f"Calendar {exchange} needs the package exchange_calendars: pip install 'sensequant-assets[calendars]', "
            "or leave SENSEQUANT_CALENDAR out, and most symbols of the universe say what a session is."
        )
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
