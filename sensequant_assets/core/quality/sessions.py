"""The sessions of a market, as most of its symbols have them, and how the market moved over each night.

No calendar is needed to see that a symbol lacks a day that others have, and none is believed against bars: a bar on a
day that a calendar does not know is no error. What all symbols lack, only a calendar or a long silence can show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.quality.outline import Days, Mask, Outline

FEWEST_ALIVE = 3
"""Symbols between whose first and last bar a day must lie for their majority to make it a session."""

FEWEST_MOVES = 10
"""Symbols whose median move is the market's."""

SILENCE = 10
"""Days without a bar after which something is missing, whatever the calendar: exchanges close for six at most, and for
ten over the longest holidays in China."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Days on which a market trades.

    Attributes
    ----------
    days
        Days on which any symbol has a bar, shape (days,), increasing.
    held
        Days that more than half of the symbols have whose bars begin before and end after, shape (days,); False also
        where there are fewer than `FEWEST_ALIVE` of them.
    judged
        Days on which there are so many, shape (days,).
    moves
        Median logarithmic move over the night before, shape (days,); 0 where too few symbols tell.
    expected
        Days that a symbol must have between its first and its last: those that are held and, where too few symbols
        trade to judge by them, those that the exchange's calendar names.
    lacked
        Days of the exchange's calendar that no symbol has although enough of them trade before and after.
    by_calendar
        Whether there is such a calendar.
    """

    days: Days
    held: Mask
    judged: Mask
    moves: Floats
    expected: Days
    lacked: Days
    by_calendar: bool = False

    @classmethod
    def of(cls, outlines: Sequence[Outline], exchange: Days | None = None) -> "Sessions":
        """The sessions of symbols with bars."""
        known = [one for one in outlines if len(one.days)]
        none = np.empty(0, "datetime64[D]")
        if not known:
            return cls(none, np.empty(0, np.bool_), np.empty(0, np.bool_), np.empty(0), none, none)
        first = min(one.days[0] for one in known)
        there = np.zeros(int((max(one.days[-1] for one in known) - first).astype(np.int64)) + 1, np.bool_)
        for one in known:
            there[(one.days - first).astype(np.int64)] = True
        days = first + np.flatnonzero(there)
        gaps = np.full((len(days), len(known)), np.nan, np.float32)
        count, alive = np.zeros(len(days), np.int64), np.zeros(len(days) + 1, np.int64)
        for number, one in enumerate(known):
            places = np.searchsorted(days, one.days)
            gaps[places, number] = one.gaps
            count[places] += 1
            alive[places[0]] += 1
            alive[places[-1] + 1] -= 1
        alive = np.cumsum(alive)[:-1]
        judged = alive >= FEWEST_ALIVE
        held = judged & (2 * count > alive)
        expected, lacked = days[held], none
        if exchange is not None:
            named = exchange[(exchange > days[0]) & (exchange < days[-1])]
            at = np.searchsorted(days, named)
            had = days[at] == named
            of_all = ~had & judged[at - 1] & judged[at]
            expected, lacked = np.union1d(expected, named[~of_all & ~(had & judged[at])]), named[of_all]
        return cls(days, held, judged, _medians(gaps), expected, lacked, exchange is not None)

    def move(self, day: np.datetime64) -> float:
        """The market's move over the night before a day that has a bar."""
        return float(self.moves[np.searchsorted(self.days, day)])

    def missing(self, days: Days) -> Days:
        """Sessions between the first and the last of a symbol's days that it lacks."""
        if not len(days):
            return days
        expected = self.expected[slice(*np.searchsorted(self.expected, days[[0, -1]]))]
        lacking: Days = expected[days[np.searchsorted(days, expected)] != expected]
        return lacking

    def silences(self) -> list[tuple[np.datetime64, np.datetime64, int]]:
        """Last day before, and first day after, each stretch that all symbols lack, and how many days of it lack.

        Days of the exchange's calendar where there is one; else weekdays of a stretch longer than `SILENCE` days.
        """
        found = []
        if self.by_calendar:
            places = np.searchsorted(self.days, self.lacked)
            for place, count in zip(*np.unique(places, return_counts=True), strict=True):
                found.append((self.days[place - 1], self.days[place], int(count)))
            return found
        for at in np.flatnonzero(np.diff(self.days).astype(np.int64) > SILENCE):
            if self.judged[at] and self.judged[at + 1]:
                lacking = int(np.busday_count(self.days[at] + 1, self.days[at + 1]))
                found.append((self.days[at], self.days[at + 1], lacking))
        return found


def _medians(gaps: NDArray[np.float32]) -> Floats:
    """Median of each row; 0 where fewer than `FEWEST_MOVES` columns know it. The rows are put in order in place."""
    counts = np.isfinite(gaps).sum(axis=1)
    medians = np.zeros(len(gaps))
    enough = np.flatnonzero(counts >= FEWEST_MOVES)
    gaps.sort(axis=1)  # what is not known stands last
    low, high = (counts[enough] - 1) // 2, counts[enough] // 2
    medians[enough] = (gaps[enough, low].astype(np.float64) + gaps[enough, high]) / 2
    return medians
