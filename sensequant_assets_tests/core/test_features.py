"""Claims about features: causal, stationary, and the numbers they say they are."""

import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.features import FEATURE_NAMES, LOOKBACK, MAX_POST_IPO_DAYS, causal_features
from sensequant_assets_tests.making import FIRST_DAY, bars_of, random_walk, with_columns


def column(bars: Bars, name: str, listed_since: date | None = None) -> np.ndarray:
    return causal_features(bars, listed_since)[:, FEATURE_NAMES.index(name)]


def until(bars: Bars, count: int) -> Bars:
    return Bars(
        bars.symbol, *(getattr(bars, name)[:count] for name in ("time", "open", "high", "low", "close", "volume"))
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cut", [1, 49, 50, 51, 60, 97, 128, 159])
def test_changing_bars_after_t_leaves_features_up_to_t_unchanged(seed, cut):
    bars, other = random_walk(160, seed), random_walk(160, seed + 100)
    columns = {
        name: np.concatenate([getattr(bars, name)[:cut], getattr(other, name)[cut:] * 3.7])
        for name in ("open", "high", "low", "close", "volume")
    }
    mixed = with_columns(bars, columns)
    before, after = causal_features(bars, None), causal_features(mixed, None)
    assert before[:cut].tobytes() == after[:cut].tobytes()
    if LOOKBACK <= cut < 160:
        assert not np.array_equal(before[cut], after[cut])


@pytest.mark.parametrize("cut", [0, 1, 19, 50, 51, 77, 101, 159])
def test_bars_that_come_later_leave_features_as_they_were(cut):
    bars = random_walk(160, 5)
    assert causal_features(until(bars, cut), FIRST_DAY).tobytes() == causal_features(bars, FIRST_DAY)[:cut].tobytes()


def test_features_do_not_reach_back_further_than_the_lookback():
    bars = random_walk(200, 6)
    cut = 90
    young = Bars(
        bars.symbol, *(getattr(bars, name)[cut:] for name in ("time", "open", "high", "low", "close", "volume"))
    )
    np.testing.assert_allclose(
        causal_features(young, FIRST_DAY)[LOOKBACK:], causal_features(bars, FIRST_DAY)[cut + LOOKBACK :], rtol=1e-9
    )


@pytest.mark.parametrize("factor", [10.0, 0.01, 700.0])
def test_ten_times_the_price_is_the_same_feature(factor):
    bars = random_walk(150, 7)
    dearer = with_columns(bars, {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(causal_features(dearer, None), causal_features(bars, None), rtol=1e-7, atol=1e-9)


def test_the_first_lookback_rows_are_missing_and_no_later_one():
    table = causal_features(random_walk(120, 8), None)
    assert np.isnan(table[:50]).all()
    assert np.isfinite(table[50:]).all()


@pytest.mark.parametrize("count", [0, 1, 13, 50])
def test_a_history_within_the_lookback_has_rows_without_features(count):
    table = causal_features(random_walk(count, 8), None)
    assert table.shape == (count, len(FEATURE_NAMES))
    assert np.isnan(table).all()


def test_there_are_twenty_to_thirty_features_under_different_names():
    assert 20 <= len(FEATURE_NAMES) <= 30
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


@pytest.mark.parametrize("price", [0.05, 100.1, 70_000.1, 71_234.55])
@pytest.mark.parametrize("volume", [0.0, 123_456.0])
def test_flat_prices_give_neutral_values(price, volume):
    flat = np.full(80, price)
    bars = replace(bars_of(flat, volume=np.full(80, volume)), open=flat, high=flat, low=flat)
    last = dict(zip(FEATURE_NAMES, causal_features(bars, None)[-1], strict=True))
    # Where a ratio has nothing above and nothing below, its middle stands: half for shares, one for a ratio of likes.
    neutral = dict.fromkeys(FEATURE_NAMES, 0.0) | {
        "volatility_ratio_5_20": 1.0, "rsi_14": 0.5, "close_location": 0.5, "post_ipo_days": 730.0,
    }  # fmt: skip
    assert last == pytest.approx(neutral, abs=1e-12)


def test_returns_are_logarithmic_and_look_back_as_far_as_they_say():
    # Bar i closes at 100 * 1.01 ** (i * i): the log return over k bars at i is (i² - (i - k)²) ln 1.01.
    i = 60
    bars = bars_of(100 * 1.01 ** (np.arange(61.0) ** 2 / 100))
    for span, steps in ((1, 119), (2, 236), (3, 351), (5, 575), (10, 1100), (20, 2000)):
        assert column(bars, f"return_{span}")[i] == pytest.approx(steps / 100 * math.log(1.01))


def test_volatility_is_the_population_deviation_of_daily_log_returns():
    # Daily log returns alternate between +2 % and -1 %; the last one, at 61, is +2 %.
    daily = np.where(np.arange(62) % 2, 0.02, -0.01)
    bars = bars_of(100 * np.exp(np.cumsum(daily)))
    # Over ten: mean 0.005, each 0.015 away. Over five, ending on +: 3 up, 2 down: variance 0.03² * 0.6 * 0.4.
    assert column(bars, "volatility_10")[-1] == pytest.approx(0.015)
    assert column(bars, "volatility_20")[-1] == pytest.approx(0.015)
    assert column(bars, "volatility_5")[-1] == pytest.approx(0.03 * math.sqrt(0.24))
    assert column(bars, "volatility_ratio_5_20")[-1] == pytest.approx(2 * math.sqrt(0.24))
    # Seven gains of 0.02 against seven losses of 0.01; five of the last ten are down; the halves are alike: no skew.
    assert column(bars, "rsi_14")[-1] == pytest.approx(2 / 3)
    assert column(bars, "down_share_10")[-1] == pytest.approx(0.5)
    assert column(bars, "skewness_20")[-1] == pytest.approx(0.0, abs=1e-9)


def test_one_jump_in_twenty_days_has_the_skewness_of_one_in_twenty():
    daily = np.zeros(62)
    daily[55] = 0.1
    # A share p = 1/20 of ones has skewness (1 - 2p) / sqrt(p (1 - p)).
    expected = 0.9 / math.sqrt(0.05 * 0.95)
    assert column(bars_of(100 * np.exp(np.cumsum(daily))), "skewness_20")[-1] == pytest.approx(expected)


def test_the_shape_of_a_bar_is_measured_against_its_close():
    close = np.full(60, 100.0)
    close[-1] = 104.0
    plain = bars_of(close)
    bars = replace(
        plain,
        open=np.append(plain.open[:-1], 102.0),
        high=np.append(plain.high[:-1], 106.0),
        low=np.append(plain.low[:-1], 98.0),
    )
    at_last = {name: column(bars, name)[-1] for name in FEATURE_NAMES}
    assert at_last["range"] == pytest.approx(8 / 104)
    assert at_last["close_location"] == pytest.approx(6 / 8)
    assert at_last["gap"] == pytest.approx(0.02)  # opened at 102 after a close of 100
    assert at_last["body"] == pytest.approx(2 / 102)
    # Thirteen bars from 98 to 102 have a range of 4 around a close of 100; the last one 8, with 100 inside.
    assert at_last["true_range_14"] == pytest.approx((13 * 4 + 8) / 14 / 104)
    # Over fifty bars the highest high is 106 and the lowest low 98.
    assert at_last["drawdown_50"] == pytest.approx(104 / 106 - 1)
    assert at_last["runup_50"] == pytest.approx(104 / 98 - 1)
    # Nineteen closes of 100 and one of 104: mean 100.2, deviation 4 sqrt(0.05 * 0.95).
    assert at_last["close_zscore_20"] == pytest.approx(3.8 / (4 * math.sqrt(0.0475)))
    # Means 100.4 over ten and 100.08 over fifty.
    assert at_last["mean_ratio_10_50"] == pytest.approx(100.4 / 100.08 - 1)


def test_a_gap_counts_in_the_true_range():
    flat = np.full(60, 100.0)
    bars = bars_of(flat)
    # The last bar trades from 110 to 112 after a close of 100: its true range is 12, not 2.
    bars = replace(
        bars, open=np.append(flat[:-1], 111.0), close=np.append(flat[:-1], 111.0),
        high=np.append(flat[:-1], 112.0), low=np.append(flat[:-1], 110.0),
    )  # fmt: skip
    assert column(bars, "true_range_14")[-1] == pytest.approx(12 / 14 / 111)


def test_volume_is_scored_by_its_logarithm():
    # log(1 + volume) is 1 on nineteen days and 3 on the last: mean 1.1, deviation 2 sqrt(0.05 * 0.95).
    volume = np.full(60, math.e - 1)
    volume[-1] = math.e**3 - 1
    bars = bars_of(np.full(60, 100.0), volume=volume)
    assert column(bars, "volume_zscore_20")[-1] == pytest.approx(1.9 / (2 * math.sqrt(0.0475)))
    # Means 1.4 over five days and 1.1 over twenty.
    assert column(bars, "volume_ratio_5_20")[-1] == pytest.approx(0.3)


def test_post_ipo_days_count_from_the_listing_and_stop_at_two_years():
    bars = random_walk(1000, 9)
    listed_with_the_first_bar = column(bars, "post_ipo_days", FIRST_DAY)
    assert listed_with_the_first_bar[50] == 50
    assert listed_with_the_first_bar[729] == 729
    assert listed_with_the_first_bar[731:].tolist() == [MAX_POST_IPO_DAYS] * 269
    listed_before = column(bars, "post_ipo_days", FIRST_DAY - timedelta(days=30))
    assert listed_before[50] == 80
    assert listed_before[-1] == MAX_POST_IPO_DAYS == 730


def test_a_symbol_whose_listing_is_not_known_is_of_one_age_throughout():
    # The vendor's first bar is no listing; a column of one value splits no tree.
    assert set(column(random_walk(1000, 9), "post_ipo_days")[50:]) == {MAX_POST_IPO_DAYS}
