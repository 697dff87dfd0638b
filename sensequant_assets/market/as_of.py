"""A market as it was known on an earlier day: what was listed, renamed, delisted or told later is undone."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from sensequant_assets.core.renames import Renames
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.sources import BarSource
from sensequant_assets.sources.notes import Note


def named_on(day: date, universe: Universe, renames: Renames) -> Universe:
    """The universe with the symbols of a day, and without delistings that nobody knew of.

    Parameters
    ----------
    day
        At its end.
    universe
        As its file has it.
    renames
        All that are known; those that happened later are undone.
    """
    taken = set(universe.symbols)
    listings = []
    for listing in universe.listings:
        name = renames.name_on(listing.symbol, day, listing.listing_date)
        if name != listing.symbol and name not in taken:
            taken.add(name)
            listing = replace(listing, symbol=name)
        if listing.delisting_date is not None and listing.delisting_date > day:
            listing = replace(listing, delisting_date=None)
        listings.append(listing)
    return replace(universe, listings=tuple(sorted(listings, key=lambda one: one.symbol)))


def listed_on(day: date, universe: Universe, source: BarSource) -> Universe:
    """The universe without the symbols that nobody had listed by a day.

    A listing date after the day is of a new series or new shares where there are bars up to the day: these count.

    Parameters
    ----------
    day
        At its end.
    universe
        With the symbols of the day.
    source
        Bars up to the day; asked for those alone whose listing is later.

    Raises
    ------
    UsageError
        None is left.
    """
    later = tuple(one.symbol for one in universe.listings if not _was_listed(one, day, source))
    listings = tuple(one for one in universe.listings if one.symbol not in later)
    if not listings:
        raise UsageError(f"No symbol of universe {universe.name} was listed on {day}. Give a later day with --as-of.")
    return replace(universe, listings=listings, as_of=day, later=later)


def notes_of(universe: Universe) -> Iterator[Note]:
    """What is to be said of a universe of an earlier day."""
    if universe.as_of is not None:
        yield Note(f"All is as it was known on {universe.as_of}: what was told, listed or renamed later is left out")
        yield from (Note("Symbols that were not listed yet are left out", symbol) for symbol in universe.later)


def _was_listed(listing: Listing, day: date, source: BarSource) -> bool:
    if listing.trading_start_date is not None and listing.trading_start_date > day:
        return False
    if listing.listing_date is None or listing.listing_date <= day:
        return True
    try:
        return len(source.bars(listing)) > 0
    except WindowError:
        # What cannot be read is no word that there is nothing.
        return True
