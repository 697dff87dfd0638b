"""Where bars come from: files, and the sample package."""

from collections.abc import Sequence
from typing import Protocol

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.notes import Note


class BarSource(Protocol):
    """A place that has bars by symbol."""

    def bars(self, listing: Listing) -> Bars:
        """The whole history of one symbol, without rows if the source does not know it.

        Raises
        ------
        WindowError
            Of kind `corrupt_bars` for rows that break a rule, `source_unavailable` where trying again can help.
        """
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why files of bars were left out of which nobody can tell the symbols, in words."""
        ...

    @property
    def notes(self) -> Sequence[Note]:
        """What is to be said of how the bars asked for so far were read."""
        ...
