"""What is kept of a symbol's bars to judge them beside others, and the rules that need no bars but the symbol's own.

Everything is counted in sessions: of intraday bars those of a day are one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import PRICES, Bars, day_of
from sensequant_assets.core.features import LOOKBACK
from sensequant_assets.core.quality.rules import RULES, Finding, of_bad_rows
from sensequant_assets.core.quality.steps import Daily, Step, seams_of, steps_of
from sensequant_assets.core.sessions import LOOKBACK_SESSIONS

REPEATED, CONSTANT, MOCK = 5, 40, 20
"""Bars in a row from which they are repeated, constant or made by a formula; docs/data.md has what was measured."""

COMPARED = 60
"""Newest closes by which two symbols are told apart."""

_SAME_RATIO, _TICK = 1e-6, 1e-4
_DIGEST = 4

Days = NDArray[np.datetime64]
Mask = NDArray[np.bool_]
Span = tuple[date, date]
"""First and last day of rows."""
Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """A symbol's history as the rules that look at several symbols need it.

    Attributes
    ----------
    symbol
        Whose it is.
    days
        Days that have a bar, shape (days,), increasing.
    bars
        How many each day has, shape (days,).
    gaps
        Logarithm of each day's open over the close before, shape (days,); NaN for the first.
    before, after
        Sessions back and ahead within which a row's label or features read a bar.
    findings
        What its own bars show, with the days within which rows read it.
    steps
        Steps over night that may be more than the market's.
    closes
        Digest of the newest closes; empty where there are too few.
    put_aside
        Days of bad rows, which are missing for that reason.
    places
        File and row of the bar that opens with each step, and how a sentence about it begins.
    digests
        Of the bars of each month that has any, in order, `_DIGEST` bytes each: of thousands of symbols a text for each
        would be most of what is kept.
    """

    symbol: str
    days: Days
    bars: NDArray[np.int32]
    gaps: NDArray[np.float32]
    before: int
    after: int
    findings: tuple[tuple[Finding, Spans], ...]
    steps: tuple[Step, ...]
    closes: str
    put_aside: Days
    places: tuple[tuple[str, int | None, str], ...] = ()
    digests: bytes = b""

    @property
    def months(self) -> dict[str, str]:
        """Digest of the bars of each month that has any, by `YYYY-MM`: where it differs, bars do."""
        names = np.datetime_as_string(np.unique(self.days.astype("datetime64[M]"))).tolist()
        starts = range(0, len(self.digests), _DIGEST)
        return dict(zip(names, (self.digests[start : start + _DIGEST].hex() for start in starts), strict=True))

    def reads(self, first: int, last: int) -> Span:
        """First and last day of rows that read what lies before a day, of the days at these positions."""
        return day_of(self.days[max(0, first - self.before)]), day_of(
            self.days[min(len(self.days), last + self.after) - 1]
        )


def outline(bars: Bars, horizon: int) -> Outline:
    """What the rules need of a symbol's bars, and what its own show.

    Parameters
    ----------
    bars
        Its whole history.
    horizon
        Bars that a label looks ahead.
    """
    days = bars.time.astype("datetime64[D]")
    first = np.flatnonzero(np.append(True, days[1:] != days[:-1])[: len(bars)])
    days = days[first]
    daily = Daily.of(bars, first, days)
    a_session = max(1, round(len(bars) / max(1, len(days)))) if bars.intraday else 1
    gaps = daily.gaps.astype(np.float32)
    gaps[:1] = np.nan
    own = Outline(
        bars.symbol,
        days,
        # One of each day is no array.
        np.diff(first, append=len(bars)).astype(np.int32) if bars.intraday else np.broadcast_to(np.int32(1), len(days)),
        gaps,
        -(-horizon // a_session),
        LOOKBACK if a_session == 1 else max(LOOKBACK_SESSIONS + 1, -(-LOOKBACK // a_session)),
        (),
        steps_of(daily, seams_of(bars, first)),
        _digest(bars),
        np.array([one.time for one in bars.delivery.bad], "datetime64[D]"),
    )
    session_of = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(bars))))
    found = list(_of_bad_rows(own, bars))
    for rule, runs, words in _own(bars, a_session):
        found.extend(_of_runs(own, bars, session_of, rule, runs, words))
    if a_session > 1:
        found.extend(_of_last_session(own, bars, first))
    return replace(own, findings=tuple(found), places=_places(bars, first, own.steps), digests=_by_month(bars))


def _by_month(bars: Bars) -> bytes:
    months = bars.time.astype("datetime64[M]")
    begins = np.flatnonzero(np.append(True, months[1:] != months[:-1])[: len(bars)])
    columns = (bars.time.astype(np.int64), *(getattr(bars, name) for name in (*PRICES, "volume")))
    table = np.column_stack([np.ascontiguousarray(column).view(np.uint64) for column in columns])
    ends = np.append(begins, len(bars))[1:].tolist()
    parts = (table[begin:end].tobytes() for begin, end in zip(begins.tolist(), ends, strict=True))
    return b"".join(blake2b(part, digest_size=_DIGEST).digest() for part in parts)


def _own(bars: Bars, a_session: int) -> Iterator[tuple[str, list[slice], str]]:
    """Runs of bars that break a rule by themselves, with the rule and its sentence."""
    flat = (bars.high == bars.low) & (bars.volume == 0)
    yield "flat", _stretches(flat, max(1, a_session // 2)), "have one price and no volume"
    alike = {name: getattr(bars, name)[1:] == getattr(bars, name)[:-1] for name in (*PRICES, "volume")}
    traded = bars.volume[1:] > 0
    repeated = _runs(np.logical_and.reduce(list(alike.values())) & traded, REPEATED)
    yield "repeated", repeated, "repeat one bar"
    constant = _runs(alike["close"] & _outside(~flat, repeated)[1:], max(CONSTANT, 3 * a_session))
    yield "constant", constant, "have one close"
    clear = _outside(~flat, [*repeated, *constant])[1:]
    yield "mock", _runs(alike["volume"] & traded & clear, MOCK), "have one volume"
    for name in ("high", "low"):
        ratio = getattr(bars, name) / bars.close
        formula = (np.abs(ratio[1:] - ratio[:-1]) < _SAME_RATIO) & (np.abs(ratio[1:] - 1) > _TICK) & clear
        yield "mock", _runs(formula, MOCK), f"have one ratio of {name} to close"


def _of_runs(
    own: Outline, bars: Bars, session_of: NDArray[np.int64], rule: str, runs: list[slice], words: str
) -> Iterator[tuple[Finding, Spans]]:
    """Findings of runs of bars: of flat ones one a symbol, because a share that hardly trades has hundreds."""
    for group in ([runs] if runs else []) if rule == "flat" else [[run] for run in runs]:
        first, last = group[0].start, group[-1].stop - 1
        rows = sum(run.stop - run.start for run in group)
        begin, end = day_of(bars.time[first]), day_of(bars.time[last])
        file, row, where = place_of(bars, first)
        among = f"{rows} bars from {begin} to {end}" if rows > 1 else f"the bar of {begin}"
        said = f"{where}{among} {words if rows > 1 else words.replace('have', 'has')}."
        spans = tuple(own.reads(int(session_of[run.start]), int(session_of[run.stop - 1]) + 1) for run in group)
        yield Finding(own.symbol, rule, RULES[rule].severity, begin, end, rows, said, file, row), spans


def _of_last_session(own: Outline, bars: Bars, first: NDArray[np.int64]) -> Iterator[tuple[Finding, Spans]]:
    sizes = np.diff(np.append(first, len(bars)))
    usual, last = float(np.median(sizes[:-1])), int(sizes[-1])
    if last * 2 < usual:
        day, rule = day_of(bars.time[-1]), "partial_last_day"
        file, row, where = place_of(bars, int(first[-1]))
        said = f"{where}the last session has {last} bars, and the others {usual:g}: it is not over, or not whole."
        evidence = {"bars": last, "usual": usual}
        finding = Finding(own.symbol, rule, RULES[rule].severity, day, day, last, said, file, row, evidence)
        yield finding, (own.reads(len(first) - 1, len(first)),)


def _of_bad_rows(own: Outline, bars: Bars) -> Iterator[tuple[Finding, Spans]]:
    newest = bars.time[-1] if len(bars) else np.datetime64("NaT")
    for finding, rows in of_bad_rows(bars.delivery.bad, newest):
        spans = []
        for one in rows:
            at = int(np.searchsorted(own.days, one.after if np.isnat(one.time) else one.time, "right"))
            # A bar that another row tells is not missed, and behind the last one no row reads it.
            if one.time not in bars.time and 0 < at < len(own.days):
                spans.append(own.reads(at, at))
        yield finding, tuple(spans)


def place_of(bars: Bars, at: int) -> tuple[str, int | None, str]:
    """A bar's file and row, and how a sentence about it begins."""
    delivery = bars.delivery
    if not len(delivery.row):
        return "", None, f"{bars.symbol}: "
    return delivery.origins[delivery.origin[at]], int(delivery.row[at]), f"{delivery.place(at)}: {bars.symbol}: "


def _places(bars: Bars, first: NDArray[np.int64], steps: Sequence[Step]) -> tuple[tuple[str, int | None, str], ...]:
    return tuple(place_of(bars, int(first[step.at])) for step in steps)


def _outside(mask: Mask, runs: Sequence[slice]) -> Mask:
    mask = mask.copy()
    for run in runs:
        mask[run] = False
    return mask


def _runs(like_the_one_before: Mask, shortest: int) -> list[slice]:
    """Runs of so many bars or more, of which each but the first is like the one before."""
    return [slice(run.start, run.stop + 1) for run in _stretches(like_the_one_before, shortest - 1)]


def _stretches(mask: Mask, shortest: int) -> list[slice]:
    """Stretches of so many true elements or more."""
    if np.count_nonzero(mask) < shortest:
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))).reshape(-1, 2)
    return [slice(int(start), int(stop)) for start, stop in edges if stop - start >= shortest]


def _digest(bars: Bars) -> str:
    newest = slice(-COMPARED, None)
    if len(bars) < COMPARED or np.ptp(bars.close[newest]) == 0:
        return ""
    return blake2b(bars.time[newest].tobytes() + bars.close[newest].tobytes(), digest_size=16).hexdigest()
