"""All findings of a market: what symbols show by themselves, and beside each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from math import exp
from types import MappingProxyType

import numpy as np

from sensequant_assets.core.bars import day_of
from sensequant_assets.core.quality.listings import of_listing
from sensequant_assets.core.quality.outline import COMPARED, Outline, Span, Spans
from sensequant_assets.core.quality.rules import EVERYBODY, RULES, Finding, Severity, same_fault
from sensequant_assets.core.quality.sessions import SILENCE, Sessions
from sensequant_assets.core.quality.steps import Step
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window

STALE = 10
"""Sessions that the universe has after a symbol's last bar, from which on that is stale."""

_PARTIAL = 0.5
"""Share of the symbols of the day before that must have the newest day."""


def findings_of(
    outlines: Sequence[Outline],
    sessions: Sessions,
    windows: Sequence[Window],
    unreadable: Mapping[str, str] | None = None,
    listings: Mapping[str, Listing] = MappingProxyType({}),
) -> list[Finding]:
    """What the rules find in a market, symbol by symbol, then what is about all of them.

    Parameters
    ----------
    outlines
        Of every symbol whose bars can be taken.
    sessions
        Theirs.
    windows
        Of the lattice, which findings name.
    unreadable
        Why the bars of other symbols cannot be taken, by symbol.
    listings
        Rows of the universe by symbol; of a symbol without one nothing is said of its listing.
    """
    found = [
        finding
        for one in outlines
        for finding in of_symbol(one, sessions, windows, listings.get(one.symbol, Listing(one.symbol)))
    ]
    for symbol, why in (unreadable or {}).items():
        every = tuple(window.key for window in windows)
        found.append(Finding(symbol, "unreadable", "error", None, None, 0, why, windows=every))
    found += list(_twins(outlines, windows))
    return [*found, *_of_all(outlines, sessions, windows), *same_fault(found, len(outlines))]


def of_symbol(one: Outline, sessions: Sessions, windows: Sequence[Window], listing: Listing) -> list[Finding]:
    """What the rules find in the bars of one symbol."""
    found = [
        *one.findings,
        *_steps(one, sessions),
        *_holes(one, sessions),
        *_stale(one, sessions, listing.delisting_date),
        *of_listing(one, listing, sessions),
    ]
    return [replace(finding, windows=touched(windows, spans)) for finding, spans in found]


def touched(windows: Sequence[Window], spans: Spans) -> tuple[str, ...]:
    """Keys of the windows that have a day of one of the spans."""
    return tuple(
        window.key for window in windows if any(first < window.end and last >= window.start for first, last in spans)
    )


def _steps(one: Outline, sessions: Sessions) -> Iterator[tuple[Finding, Spans]]:
    for step, (file, row, where) in zip(one.steps, one.places, strict=True):
        market = sessions.move(one.days[step.at])
        told = step.kind(market)
        if told is None:
            continue
        rule, strong = told
        severity: Severity = RULES[rule].severity if strong else "warning"
        first, last = day_of(one.days[step.at]), day_of(one.days[max(step.at, step.back - 1)])
        evidence = {
            "factor": exp(-step.gap + market), "before": step.before, "open": step.open, "market": market,
            "kept": step.kept, "range": step.spread, "noise": step.noise, "turnover": step.turnover,
        }  # fmt: skip
        rows = max(1, step.back - step.at)
        spans = (one.reads(step.at, step.back),)
        said = f"{where}{_words(rule, step, one, market)}"
        yield Finding(one.symbol, rule, severity, first, last, rows, said, file, row, evidence), spans


def _words(rule: str, step: Step, one: Outline, market: float) -> str:
    times = exp(abs(step.gap))
    size = f"{'1/' if step.gap < 0 else ''}{times:.4g} of" if step.gap < 0 else f"{times:.4g} times"
    opens = f"it opens on {one.days[step.at]} at {step.open:.6g}, {size} the close before ({step.before:.6g})"
    if step.back > step.at:
        returns = f"{opens}, and is back after {step.back - step.at} bars"
        return f"{returns}: {'another unit' if rule == 'unit' else 'bars of another instrument, or on another basis'}."
    if rule == "unit":
        return f"{opens}, and stays there: another unit. Bring all of its bars to one."
    if rule == "wrong_instrument":
        return f"{opens}, and stays there, which no split does: look whose bars these are."
    if rule == "seam":
        return f"{opens}, where one file ends and this one begins: deliver both on one basis."
    return (
        f"{opens}, and stays there, while the market moved by {market:+.1%} and the day was an ordinary one: adjust the"
        " bars before it, or give adj_close."
    )


def _holes(one: Outline, sessions: Sessions) -> Iterator[tuple[Finding, Spans]]:
    missing = sessions.missing(one.days)
    missing = missing[~np.isin(missing, one.put_aside)]
    long = np.flatnonzero(np.diff(one.days).astype(np.int64) > SILENCE) + 1
    if not len(missing) and not len(long):
        return
    after = np.searchsorted(one.days, missing)
    for at, count in zip(*np.unique(after, return_counts=True), strict=True):
        lacking = missing[after == at]
        yield _hole(one, int(at), int(count), lacking[0], lacking[-1], "sessions that others have")
    # Of fewer symbols than make a majority nobody knows the sessions, but for a long silence.
    for at in long.tolist():
        before, then = one.days[at - 1], one.days[at]
        place = np.searchsorted(sessions.days, then)
        if at not in after and not (sessions.judged[place - 1] and sessions.judged[place]):
            weekdays = int(np.busday_count(before + 1, then))
            yield _hole(one, at, weekdays, before + 1, then - 1, "weekdays")


def _hole(
    one: Outline, at: int, count: int, first: np.datetime64, last: np.datetime64, what: str
) -> tuple[Finding, Spans]:
    missing = f"{count} {what} from {first} to {last} are" if count > 1 else f"{first}, which others have, is"
    said = f"{one.symbol}: {missing} missing between its bars of {one.days[at - 1]} and {one.days[at]}."
    evidence = {"sessions": count, "days": int((one.days[at] - one.days[at - 1]).astype(np.int64))}
    severity = RULES["hole"].severity
    finding = Finding(one.symbol, "hole", severity, day_of(first), day_of(last), count, said, evidence=evidence)
    return finding, (one.reads(at, at),)


def _stale(one: Outline, sessions: Sessions, delisted: date | None) -> Iterator[tuple[Finding, Spans]]:
    if not len(one.days):
        return
    due = sessions.days if delisted is None else sessions.days[sessions.days <= np.datetime64(delisted)]
    behind = int(sessions.held[: len(due)][due > one.days[-1]].sum())
    if behind > STALE:
        last = day_of(one.days[-1])
        said = (
            f"{one.symbol}: its last bar is of {last}, and the universe has {behind} sessions after it, up to "
            f"{sessions.days[-1]}: it is delisted, renamed or not delivered."
        )
        yield (
            Finding(
                one.symbol, "stale", RULES["stale"].severity, last, last, behind, said, evidence={"sessions": behind}
            ),
            ((last, day_of(sessions.days[-1])),),
        )


def _twins(outlines: Sequence[Outline], windows: Sequence[Window]) -> Iterator[Finding]:
    """Symbols with the same newest closes."""
    seen: dict[str, Outline] = {}
    for one in outlines:
        other = seen.setdefault(one.closes, one) if one.closes else one
        if other is not one:
            first, last = day_of(one.days[max(0, len(one.days) - COMPARED)]), day_of(one.days[-1])
            said = f"{one.symbol} and {other.symbol} have the same {COMPARED} newest closes: one has the other's bars."
            spans: tuple[Span, ...] = ((day_of(one.days[0]), last),)
            yield Finding(
                one.symbol, "wrong_instrument", "error", first, last, COMPARED, said, windows=touched(windows, spans)
            )


def _of_all(outlines: Sequence[Outline], sessions: Sessions, windows: Sequence[Window]) -> Iterator[Finding]:
    for before, after, count in sessions.silences():
        first, last = day_of(before + 1), day_of(after - 1)
        lacking = (
            f"{count} day{'s'[count == 1 :]} of the exchange's calendar"
            if sessions.by_calendar
            else f"{count} weekdays"
        )
        said = f"No symbol has a bar between {before} and {after}, and so of {lacking}."
        keys = touched(windows, ((first, last),))
        yield Finding(EVERYBODY, "hole", "warning", first, last, count, said, windows=keys)
    if len(sessions.days) > 1:
        newest = sessions.days[-1]
        have = sum(one.days[-1] == newest for one in outlines if len(one.days))
        had = sum(sessions.days[-2] in one.days[-2:] for one in outlines if len(one.days))
        if sessions.judged[-2] and have < _PARTIAL * had:
            day, rule = day_of(newest), "partial_last_day"
            said = f"{have} of {had} symbols have a bar of {newest}, the newest day: the others are not delivered yet."
            yield Finding(
                EVERYBODY, rule, RULES[rule].severity, day, day, have, said, evidence={"symbols": have, "of": had},
                windows=touched(windows, ((day, day),)),
            )  # fmt: skip
