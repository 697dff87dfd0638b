"""Bars of another source, adjusted by corporate actions."""

from collections.abc import Callable, Sequence

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.quality.adjustment import Action, adjusted
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources import BarSource
from sensequant_assets.sources.notes import Note


class AdjustedBars:
    """Bars of a source as `adjusted` makes them.

    Parameters
    ----------
    source
        Of the market.
    actions_of
        Gives the actions of a symbol.
    """

    def __init__(self, source: BarSource, actions_of: Callable[[str], Sequence[Action]]) -> None:
        self._source = source
        self._actions_of = actions_of

    def bars(self, listing: Listing) -> Bars:
        """Adjusted bars of a symbol; raises what the source does."""
        return adjusted(self._source.bars(listing), self._actions_of(listing.symbol))

    @property
    def left_out(self) -> tuple[str, ...]:
        """As of the source."""
        return self._source.left_out

    @property
    def notes(self) -> Sequence[Note]:
        """As of the source."""
        return self._source.notes
