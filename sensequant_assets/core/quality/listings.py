"""A symbol's bars beside its row in the universe: before its listing, long after it, or after its delisting."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np

from sensequant_assets.core.bars import Times, day_of
from sensequant_assets.core.quality.outline import Outline, Spans
from sensequant_assets.core.quality.rules import RULES, Finding
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.universe import Listing

LATE = 20
"""Sessions that the universe may have between a symbol's listing and its first bar. Shares of NSE that are new, or come
of a demerger, trade ten sessions in another series first; those whose bars begin under a new name come 126 later and
more."""

_RULE = "listing"


def of_listing(one: Outline, listing: Listing, sessions: Sessions) -> Iterator[tuple[Finding, Spans]]:
    """What a symbol's first bar and its listing say of each other.

    Parameters
    ----------
    one
        Its bars.
    listing
        Its row of the universe.
    sessions
        Of the universe: what it has no session for, no symbol can lack.
    """
    since = listing.trading_start_date or listing.listing_date
    if since is None or not len(one.days):
        return
    first = day_of(one.days[0])
    if first < since:
        early = one.days[one.days < np.datetime64(since)]
        last = day_of(early[-1])
        which = "are left out" if listing.trading_start_date else "count"
        said = (
            f"{one.symbol}: {len(early):,} days with bars from {first} to {last} lie before its listing on {since}, "
            f"and {which}: the date is another's, such as a new series', or the bars are."
        )
        yield _finding(one.symbol, first, last, len(early), said), ((first, last),)
        return
    lacking = sessions.days[sessions.held & (sessions.days >= np.datetime64(since)) & (sessions.days < one.days[0])]
    if len(lacking) > LATE:
        begin = day_of(lacking[0])
        said = (
            f"{one.symbol}: it is listed since {since}, and its first bar is of {first}; the universe has "
            f"{len(lacking):,} sessions from {begin} till then: name its former symbol in a file of symbol changes, or "
            "deliver its bars."
        )
        yield (
            _finding(one.symbol, begin, first - timedelta(days=1), len(lacking), said),
            ((begin, first - timedelta(days=1)),),
        )


def after_delisting(symbol: str, times: Times, delisted: date) -> Finding:
    """Bars of a symbol after its delisting.

    Parameters
    ----------
    symbol
        Whose bars.
    times
        Of the bars that lie after it, shape (bars,), one at least.
    delisted
        Last day that may have a bar.
    """
    first, last = day_of(times[0]), day_of(times[-1])
    said = (
        f"{symbol}: {len(times):,} bars from {first} to {last} lie after its delisting on {delisted}, and are left "
        "out: the date is wrong, or the bars are of another company that has its symbol."
    )
    return _finding(symbol, first, last, len(times), said)


def _finding(symbol: str, first: date, last: date, rows: int, said: str) -> Finding:
    return Finding(symbol, _RULE, RULES[_RULE].severity, first, last, rows, said)
