"""The bars of a noise twin: those of another source, with moves turned round by coins."""

from collections.abc import Sequence

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.judging.noise import mirrored
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources import BarSource
from sensequant_assets.sources.notes import Note


class MirroredBars:
    """Bars of a source as `mirrored` turns them.

    Parameters
    ----------
    source
        Of the market.
    seed
        Of the coins.
    """

    def __init__(self, source: BarSource, seed: int) -> None:
        self._source = source
        self._seed = seed

    def bars(self, listing: Listing) -> Bars:
        """Mirrored bars of a symbol; raises what the source does."""
        return mirrored(self._source.bars(listing), self._seed)

    @property
    def left_out(self) -> tuple[str, ...]:
        """As of the source."""
        return self._source.left_out

    @property
    def notes(self) -> Sequence[Note]:
        """As of the source."""
        return self._source.notes
