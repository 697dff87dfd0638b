"""Claims about the embedded bars."""

from datetime import date

import numpy as np
import pytest

from sensequant_assets.core.bars import day_of
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.sample import SYMBOLS, SampleBars, sample_table

SOURCE = SampleBars()


def test_the_sample_has_adjusted_bars_of_thirteen_years():
    bars = SOURCE.bars(Listing("AAPL"))
    assert (bars.first_day, day_of(bars.time[-1])) == (date(2000, 3, 1), date(2013, 3, 1))
    # Raw, the first day closed at 130.31 after trading from 118.50 to 132.06; adjusted, it closed at 4.186663.
    assert bars.close[0] == pytest.approx(4.186663, abs=1e-6)
    assert bars.high[0] == pytest.approx(4.186663 * 132.06 / 130.31, abs=1e-6)
    # Apple split two for one on 2005-02-28: raw, it fell from 88.99 to 44.86; two of the new shares were 0.8 % dearer.
    (split,) = np.flatnonzero(bars.time == np.datetime64("2005-02-28"))
    assert bars.close[split] / bars.close[split - 1] == pytest.approx(2 * 44.86 / 88.99, abs=1e-4)


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "IBM", "MSFT"])
def test_every_symbol_of_the_sample_has_valid_bars(symbol):
    assert len(SOURCE.bars(Listing(symbol))) > 150


def test_the_symbols_that_a_universe_is_asked_for_are_those_of_the_file():
    assert tuple(sorted(sample_table()["ticker"].unique())) == SYMBOLS


def test_a_symbol_that_the_sample_does_not_have_has_no_rows():
    assert len(SOURCE.bars(Listing("TCS"))) == 0


def test_a_vendors_code_names_the_rows():
    bars = SOURCE.bars(Listing("META", vendor_code="FB"))
    assert (bars.symbol, bars.first_day) == ("META", date(2012, 5, 18))
