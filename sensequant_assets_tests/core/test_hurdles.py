"""Claims about what a forward return must exceed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.hurdles import VOLATILITY_BARS, CrossSection, cross_section, hurdle_of, trailing_volatility
from sensequant_assets.core.judging.leaks import some_bars
from sensequant_assets.core.labels import forward_returns
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.samples import build_samples
from sensequant_assets.core.universe import Listing
from sensequant_assets_tests.making import bars_of, random_walk, with_columns

NEUTRAL = Recipe(label="volatility_neutral", horizon=7)
COMPARED = Recipe(label="cross_sectional", horizon=1)


def labels(bars: Bars, recipe: Recipe) -> Floats:
    return build_samples(bars, Listing(bars.symbol), recipe.horizon, hurdle_of(bars, recipe)).label


def stretched(bars: Bars, times: float) -> Bars:
    return bars_of(100 * (bars.close / 100) ** times, symbol=bars.symbol)


def closes(**of: Sequence[float]) -> list[Bars]:
    return [bars_of(np.array(close), symbol=symbol) for symbol, close in of.items()]


def without(bars: Bars, bar: int) -> Bars:
    names = ("time", "open", "high", "low", "close", "volume")
    return with_columns(bars, {name: np.delete(getattr(bars, name), bar) for name in names})


def test_a_threshold_is_the_hurdle_of_every_bar():
    bars = random_walk(60, 0)
    assert hurdle_of(bars, Recipe(threshold=0.03)) == 0.03
    samples = build_samples(bars, Listing("AAA"), 7, 0.03)
    assert set(samples.hurdle) == {0.03}


def test_volatility_is_that_of_the_last_returns_up_to_the_bars_own():
    close = random_walk(60, 1).close
    found = trailing_volatility(close)
    assert np.isnan(found[:VOLATILITY_BARS]).all()
    assert found[40] == pytest.approx(np.log(close[21:41] / close[20:40]).std(), rel=1e-12)
    np.testing.assert_allclose(trailing_volatility(close[:41]), found[:41], rtol=1e-9)


def test_a_price_that_stands_still_has_no_volatility_and_no_label():
    bars = bars_of(np.concatenate([random_walk(60, 2).close, np.full(40, 90.0)]))
    found = labels(bars, NEUTRAL)
    # From bar 60 + 20 on all returns of the volatility are 0.
    assert np.isfinite(found[VOLATILITY_BARS:80]).all()
    assert np.isnan(found[80:]).all()
    assert np.isnan(found[:VOLATILITY_BARS]).all()


@pytest.mark.parametrize("count", [0, 1, VOLATILITY_BARS])
def test_too_short_a_history_has_no_volatility(count):
    assert np.isnan(trailing_volatility(np.full(count, 5.0))).tolist() == [True] * count


def test_a_volatility_neutral_label_says_as_often_one_of_a_calm_symbol_as_of_a_wild_one():
    calm, wild = stretched(random_walk(4000, 3), 0.3), random_walk(4000, 3)
    rates = [np.nanmean(labels(bars, NEUTRAL)) for bars in (calm, wild)]
    assert rates[0] == pytest.approx(rates[1], abs=0.01)
    # Half a standard deviation is exceeded by three returns in ten, 2 % by few of the calm symbol's.
    assert rates[0] == pytest.approx(0.31, abs=0.03)
    by_threshold = [np.nanmean(labels(bars, Recipe())) for bars in (calm, wild)]
    assert by_threshold[1] - by_threshold[0] > 0.2


def test_intraday_labels_that_hold_over_no_night_ask_for_the_volatility_without_nights():
    bars = random_walk(200, 4)
    minutes = np.arange(200) % 20 * 5 + 9 * 60
    days = np.datetime64("2024-03-04", "s") + (np.arange(200) // 20).astype("timedelta64[D]")
    bars = replace(bars, time=days.astype("datetime64[s]") + minutes.astype("timedelta64[m]"))
    gaps = np.repeat(1.3 ** np.arange(10), 20)
    gapped = replace(bars, **{name: getattr(bars, name) * gaps for name in ("open", "high", "low", "close")})
    dropped = [hurdle_of(one, Recipe(label="volatility_neutral")) for one in (bars, gapped)]
    kept = hurdle_of(gapped, Recipe(label="volatility_neutral", overnight_labels="keep"))
    # The session's own first step is from its open, which a gap moves as well.
    np.testing.assert_allclose(dropped[1], dropped[0], rtol=1e-6)
    assert np.nanmin(kept) > 2 * np.nanmax(dropped[1])


def test_the_hurdle_of_a_universe_is_the_median_return_of_each_moment():
    found = cross_section(closes(A=[100, 101, 101], B=[100, 102, 102], C=[100, 104, 104], D=[100, 110, 99]), COMPARED)
    assert {symbol: hurdle[0] for symbol, hurdle in found.hurdles.items()} == dict.fromkeys("ABCD", pytest.approx(0.03))
    assert all(np.isnan(hurdle[2]) for hurdle in found.hurdles.values())


def test_who_equals_the_median_has_no_label_and_is_counted():
    # Three returns of the second moment are 0, and so is their median; an odd number has its median among them.
    found = cross_section(closes(A=[100, 101, 101], B=[100, 102, 102], C=[100, 104, 104]), COMPARED)
    assert [np.isnan(found.hurdles[symbol][:2]).tolist() for symbol in "ABC"] == [
        [False, True], [True, True], [False, True],
    ]  # fmt: skip
    assert (found.returns, found.ties, found.alone) == (6, 4, 0)
    assert found.unlabelled == "Of 6 forward returns 4 equal the median of their moment: they have no label."


def test_a_moment_with_too_few_symbols_has_no_median():
    three = closes(A=[100, 101, 103], B=[100, 102, 102], C=[100, 104])
    found = cross_section(three, COMPARED)
    assert not np.isnan(found.hurdles["A"][0])
    assert np.isnan(found.hurdles["A"][1])
    assert found.unlabelled == (
        "Of 5 forward returns 1 equal the median of their moment and 2 are of fewer than 3 symbols over the same bars: "
        "they have no label."
    )


def test_returns_are_compared_that_begin_and_end_together():
    # D lacks a bar: what it earns from the bar before takes a day longer, and nobody is measured against it.
    whole = closes(A=[100, 101, 103, 104], B=[100, 102, 102, 101], C=[100, 104, 105, 103], D=[100, 500, 900, 901])
    found = cross_section([*whole[:3], without(whole[3], 1)], COMPARED)
    assert np.isnan(found.hurdles["D"][0])
    assert found.hurdles["A"][0] == cross_section(whole[:3], COMPARED).hurdles["A"][0]
    assert found.hurdles["D"][1] == found.hurdles["A"][2] == cross_section(whole, COMPARED).hurdles["A"][2]


def test_half_of_an_even_universe_is_above_its_median_at_every_moment():
    universe = [random_walk(80, seed, symbol=f"S{seed}") for seed in range(6)]
    recipe = Recipe(label="cross_sectional")
    hurdles = cross_section(universe, recipe).hurdles
    ahead = np.array([forward_returns(bars.close, 7) for bars in universe])
    above = ahead > np.array([hurdles[bars.symbol] for bars in universe])
    assert (above[:, :-7].sum(axis=0) == 3).all()


def test_the_order_of_the_universe_says_nothing():
    universe = [random_walk(80, seed, symbol=f"S{seed}") for seed in range(5)]
    one, other = (cross_section(order, COMPARED).hurdles for order in (universe, universe[::-1]))
    assert all(np.array_equal(one[symbol], other[symbol], equal_nan=True) for symbol in one)


def test_a_universe_without_bars_has_no_hurdle():
    assert cross_section([], COMPARED) == CrossSection()
    found = cross_section([Bars.empty("A"), *closes(B=[100, 101])], COMPARED)
    assert found.hurdles["A"].tolist() == []
    assert cross_section([Bars.empty("A")], COMPARED).unlabelled == ""


def test_intraday_returns_over_a_night_are_in_no_comparison():
    days = [some_bars(random_walk(40, seed, symbol=f"S{seed}"), slice(None)) for seed in range(4)]
    time = np.datetime64("2024-03-04T09:15:00") + np.arange(40) // 10 * np.timedelta64(1, "D")
    time = time.astype("datetime64[s]") + (np.arange(40) % 10).astype("timedelta64[m]")
    found = cross_section([replace(bars, time=time) for bars in days], COMPARED)
    assert np.isnan(found.hurdles["S0"][9::10]).all()
    assert found.returns == 4 * (40 - 4)
