"""The embedded default: real daily bars of five US companies, from the package `bokeh_sampledata` (public domain)."""

from functools import cached_property
from typing import TYPE_CHECKING

from sensequant_assets.core.bars import Bars, refuse_too_many
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.notes import Note
from sensequant_assets.sources.parsing import Rows, parse_bars
from sensequant_assets.sources.reading import Columns

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = "sample"
"""The name of this source where a path of bars is expected."""

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
"""What the package has."""


class SampleBars:
    """Daily bars 2000-03-01 to 2013-03-01 of AAPL, FB, GOOG, IBM and MSFT, adjusted by their adjusted close."""

    def bars(self, listing: Listing) -> Bars:
        """Bars of one symbol; no rows for a symbol that the package does not have."""
        code = listing.vendor_code or listing.symbol
        frame = self._table[self._table["ticker"] == code]
        (bars,) = parse_bars([Rows("bokeh_sampledata.stocks", Columns.of(frame))], symbol=listing.symbol)
        return refuse_too_many(bars)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: the package is whole."""
        return ()

    @property
    def notes(self) -> tuple[Note, ...]:
        """Nothing: the package is read as its documentation says."""
        return ()

    @cached_property
    def _table(self) -> "pd.DataFrame":
        from bokeh_sampledata import stocks

        return stocks.data
