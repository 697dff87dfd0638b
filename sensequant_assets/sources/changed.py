"""Bars of another source, changed: adjusted by corporate actions, or turned round for a noise twin."""

from collections.abc import Callable, Sequence

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources import BarSource
from sensequant_assets.sources.notes import Note


class ChangedBars:
    """Bars of a source as a function makes them.

    Parameters
    ----------
    source
        Of the market.
    change
        From the bars of a symbol to others of it.
    """

    def __init__(self, source: BarSource, change: Callable[[Bars], Bars]) -> None:
        self._source = source
        self._change = change

    def bars(self, listing: Listing) -> Bars:
        """Changed bars of a symbol; raises what the source does."""
        return self._change(self._source.bars(listing))

    @property
    def left_out(self) -> tuple[str, ...]:
        """As of the source."""
        return self._source.left_out

    @property
    def notes(self) -> Sequence[Note]:
        """As of the source."""
        return self._source.notes
