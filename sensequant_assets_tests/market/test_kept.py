"""Claims about bars that are found again by their digest."""

from collections.abc import Callable

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars, before
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.market.kept import BarsDigest, RecordedBars, bars_of_table
from sensequant_assets.market.tables import bars_table
from sensequant_assets_tests.making import FIRST_DAY, random_walk, with_bad_rows, with_columns

BARS = random_walk(50, seed=1)
READ = BarsDigest.of(BARS)


def gives(bars: Bars | None) -> Callable[[Listing], Bars | None]:
    return lambda _: bars


def changed(column: str, at: int) -> Bars:
    values = np.array(getattr(BARS, column))
    values[at] = np.nextafter(values[at], np.inf) if column != "time" else values[at] + 1
    return with_columns(BARS, {column: values})


@pytest.mark.parametrize("column", ["time", "open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("at", [0, 49])
def test_the_last_digit_of_any_cell_makes_other_bars(column: str, at: int) -> None:
    assert READ.find_in(changed(column, at)) is None


def test_bars_are_found_among_later_ones_and_not_among_fewer() -> None:
    longer = random_walk(80, seed=1)
    assert BarsDigest.of(before(longer, longer.time[50].astype("datetime64[D]").item())) != READ
    later = with_columns(
        longer,
        {name: np.append(getattr(BARS, name), getattr(longer, name)[50:]) for name in bars_table(BARS).column_names},
    )
    found = READ.find_in(later)
    assert found is not None
    assert np.array_equal(found.close, BARS.close)
    assert READ.find_in(before(BARS, (FIRST_DAY.replace(day=20)))) is None


def test_the_first_place_that_has_them_gives_them() -> None:
    source = RecordedBars({"AAA": READ}, [gives(None), gives(changed("close", 3)), gives(BARS)])
    assert np.array_equal(source.bars(Listing("AAA")).close, BARS.close)
    assert not source.missing


def test_bars_that_are_nowhere_are_missing_and_those_never_read_are_not() -> None:
    source = RecordedBars({"AAA": READ}, [gives(changed("close", 3))])
    with pytest.raises(WindowError, match="are gone") as gone:
        source.bars(Listing("AAA"))
    with pytest.raises(WindowError, match="read no bars of BBB") as never:
        source.bars(Listing("BBB"))
    assert (gone.value.kind, never.value.kind) == (FailureKind.SOURCE_UNAVAILABLE, FailureKind.CORRUPT_BARS)
    assert source.missing == {"AAA"}


def test_rows_that_were_put_aside_are_found_in_their_source_alone() -> None:
    spoiled = with_bad_rows(BARS, 7)
    read = BarsDigest.of(spoiled)
    table = bars_of_table("AAA", bars_table(spoiled))
    assert read.find_in(table) is not None
    source = RecordedBars({"AAA": read}, [gives(table), gives(spoiled)])
    assert len(source.bars(Listing("AAA")).delivery.bad) == 1


def test_a_table_gives_the_bars_that_it_was_made_of() -> None:
    assert BarsDigest.of(bars_of_table("AAA", bars_table(BARS))) == READ
    with pytest.raises(OSError, match="has the columns time"):
        bars_of_table("AAA", bars_table(BARS).select(["time"]))
