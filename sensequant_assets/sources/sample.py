"""The embedded default: real daily bars of five US companies, a file of this package.

They are of Quandl's WIKI prices, which Quandl put into the public domain, as the package `bokeh_sampledata` 2026.1 has
them in its module `stocks`; prices are as traded, and the adjusted close accounts for splits and dividends. GOOG is the
share that is GOOGL today.
"""

from functools import cached_property
from pathlib import Path
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
"""What it has."""

EMBEDDED = Path(__file__).resolve().parent / "embedded"
"""Directory of the sample: its universe and its bars."""


class SampleBars:
    """Daily bars 2000-03-01 to 2013-03-01 of AAPL, FB, GOOG, IBM and MSFT, adjusted by their adjusted close."""

    def bars(self, listing: Listing) -> Bars:
        """Bars of one symbol; no rows for a symbol that the sample does not have."""
        code = listing.vendor_code or listing.symbol
        frame = self._table[self._table["ticker"] == code]
        (bars,) = parse_bars([Rows("the embedded sample", Columns.of(frame))], symbol=listing.symbol)
        return refuse_too_many(bars)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: the file is whole."""
        return ()

    @property
    def notes(self) -> tuple[Note, ...]:
        """Nothing: the file is read as it was written."""
        return ()

    @cached_property
    def _table(self) -> "pd.DataFrame":
        return sample_table()


def sample_table() -> "pd.DataFrame":
    """The sample as its file has it: 12,154 rows by `ticker` and `date`, with prices, `volume` and `adj_close`."""
    import pandas as pd

    return pd.read_parquet(EMBEDDED / f"{SAMPLE}.parquet").astype({"date": "datetime64[us]"})
