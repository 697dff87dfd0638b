"""Claims about intraday bars: sessions, what a bar knows of its own, and labels that stay in theirs."""

import math
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.features import FEATURE_NAMES, causal_features
from sensequant_assets.core.lattice import Recipe, SkipReason, plan_symbol, window_rows
from sensequant_assets.core.samples import OvernightLabels, Samples, build_samples
from sensequant_assets.core.sessions import INTRADAY_NAMES, SESSION_NAMES, intraday_features, joined_sessions
from sensequant_assets.core.splits import purged_folds
from sensequant_assets.core.training import Lesson, distil, teach
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window, build_windows
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.settings import read_settings
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.universes import read_universe
from sensequant_assets_tests.making import ANY_ROWS, QUICK_STUDENT, QUICK_TEACHER, random_walk, taught_of, with_columns

PROJECT = Path(__file__).resolve().parents[2]
MARKET = PROJECT.parent / "shared" / "market"
FIRST_SESSION = date(2024, 3, 18)
BARS_A_SESSION = 25
COLUMNS = ("open", "high", "low", "close", "volume")


def times(sessions: int, bars: int = BARS_A_SESSION, first: date = FIRST_SESSION) -> np.ndarray:
    """Times of quarter-hour bars from 09:15 on consecutive days."""
    days = np.datetime64(first, "D") + np.arange(sessions)
    minutes = 9 * 60 + 15 + 15 * np.arange(bars)
    return (days[:, None].astype("datetime64[m]") + minutes).ravel().astype("datetime64[s]")


def intraday_walk(sessions: int, seed: int, bars: int = BARS_A_SESSION) -> Bars:
    """A random walk of a thousandth a bar, with nights of a hundredth between the sessions."""
    count = sessions * bars
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.001, (sessions, bars, 2))
    steps[:, 0, 0] = rng.normal(0, 0.01, sessions)
    path = 100 * np.exp(np.cumsum(steps.reshape(-1)))
    opened, close = path[0::2], path[1::2]
    return Bars(
        "AAA", times(sessions, bars), opened, np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995,
        close, rng.integers(1_000, 9_000, count).astype(float),
    )  # fmt: skip


def until(bars: Bars, count: int) -> Bars:
    return Bars(bars.symbol, *(getattr(bars, name)[:count] for name in ("time", *COLUMNS)))


def last(bars: Bars) -> dict[str, float]:
    return dict(zip(INTRADAY_NAMES, intraday_features(bars)[-1], strict=True))


def sampled(
    bars: Bars, horizon: int = 4, overnight: OvernightLabels = "drop", listing: Listing | None = None
) -> Samples:
    return build_samples(bars, listing or Listing("AAA"), horizon, 0.0, overnight)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cut", [1, 24, 25, 26, 76, 100, 101, 149, 174])
def test_changing_bars_after_t_leaves_intraday_features_up_to_t_unchanged(seed, cut):
    bars, other = intraday_walk(7, seed), intraday_walk(7, seed + 100)
    columns = {name: np.concatenate([getattr(bars, name)[:cut], getattr(other, name)[cut:] * 3.7]) for name in COLUMNS}
    mixed = with_columns(bars, columns)
    before, after = intraday_features(bars), intraday_features(mixed)
    assert before[:cut].tobytes() == after[:cut].tobytes()
    assert not np.array_equal(before[cut], after[cut])


@pytest.mark.parametrize("cut", [0, 1, 25, 60, 88, 150])
def test_bars_that_come_later_leave_intraday_features_as_they_were(cut):
    bars = intraday_walk(7, 5)
    assert intraday_features(until(bars, cut)).tobytes() == intraday_features(bars)[:cut].tobytes()


def test_ten_times_the_price_is_the_same_intraday_feature():
    bars = intraday_walk(6, 7)
    dearer = with_columns(bars, {name: getattr(bars, name) * 10 for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(intraday_features(dearer), intraday_features(bars), rtol=1e-7, atol=1e-9)


def test_a_night_moves_no_feature_but_the_gap_of_its_session():
    bars = intraday_walk(8, 8)
    split = 5 * BARS_A_SESSION
    columns = {
        name: np.concatenate([getattr(bars, name)[:split], getattr(bars, name)[split:] * 2])
        for name in ("open", "high", "low", "close")
    }
    doubled = with_columns(bars, columns)
    plain, other = intraday_features(bars), intraday_features(doubled)
    gap = INTRADAY_NAMES.index("session_gap")
    np.testing.assert_allclose(np.delete(other, gap, axis=1), np.delete(plain, gap, axis=1), rtol=1e-6, atol=1e-9)
    of_session = slice(split, split + BARS_A_SESSION)
    np.testing.assert_allclose(other[of_session, gap], 2 * plain[of_session, gap] + 1)


def test_joined_sessions_open_where_the_last_one_closed():
    bars = joined_sessions(intraday_walk(4, 9))
    np.testing.assert_allclose(bars.open[BARS_A_SESSION::BARS_A_SESSION], bars.close[BARS_A_SESSION - 1 : -1 : 25])
    one = intraday_walk(1, 9)
    assert joined_sessions(one).close.tolist() == one.close.tolist()


def test_a_bar_knows_its_session_so_far():
    # Sessions of three quarter-hour bars; the last bar is the second of the fifth session.
    opened = np.full(15, 100.0)
    close = np.full(15, 100.0)
    high, low = close + 1, close - 1
    volume = np.full(15, math.e**2 - 1)
    close[11] = 102.0
    high[11] = 103.0
    opened[12:14], close[12:14], high[12:14], low[12:14] = [104, 106], [106, 105], [108, 107], [103, 104.5]
    volume[13] = math.e**3.5 - 1
    bars = until(Bars("AAA", times(5, 3), opened, high, low, close, volume), 14)
    found = dict(zip(SESSION_NAMES, intraday_features(bars)[-1, -len(SESSION_NAMES) :], strict=True))
    first, second = math.log(106 / 104), math.log(105 / 106)
    assert found == pytest.approx(
        {
            "session_hours": 0.25,
            "session_return": math.log(105 / 104),
            "session_gap": 104 / 102 - 1,
            "session_location": (105 - 103) / (108 - 103),
            "session_range": 5 / 105,
            "session_volatility": math.sqrt((first**2 + second**2) / 2),
            "session_volume": 1.5,
        }
    )


def test_volume_is_measured_against_the_same_bar_of_the_three_sessions_before():
    # log(1 + volume) of the k-th session is k at its first bar and 10 k at its second.
    logs = np.outer(np.arange(1.0, 6), [1, 10]).ravel()
    bars = replace(intraday_walk(5, 1, bars=2), volume=np.exp(logs) - 1)
    volume = intraday_features(bars)[:, INTRADAY_NAMES.index("session_volume")]
    assert np.isnan(volume[:6]).all()
    # Of session 4: 4 less the mean of 1, 2, 3, and ten times that; of session 5 the same.
    assert volume[6:].tolist() == pytest.approx([2, 20, 2, 20])


def test_a_bar_that_a_session_lacks_shifts_no_other():
    bars = intraday_walk(6, 3)
    # Session 2 begins with its second bar.
    kept = np.delete(np.arange(len(bars)), BARS_A_SESSION)
    gapped = Bars("AAA", *(getattr(bars, name)[kept] for name in ("time", *COLUMNS)))
    volume = INTRADAY_NAMES.index("session_volume")
    later = slice(-BARS_A_SESSION, None)
    np.testing.assert_array_equal(intraday_features(gapped)[later, volume], intraday_features(bars)[later, volume])


def test_flat_sessions_give_neutral_values():
    flat = np.full(150, 71_234.55)
    bars = Bars("AAA", times(6), flat, flat, flat, flat, np.zeros(150))
    neutral = dict.fromkeys(INTRADAY_NAMES, 0.0) | {
        "volatility_ratio_5_20": 1.0, "rsi_14": 0.5, "close_location": 0.5, "session_location": 0.5,
        "session_hours": 6.0,
    }  # fmt: skip
    assert last(bars) == pytest.approx(neutral, abs=1e-12)


def test_daily_bars_have_daily_features_and_labels_over_any_night():
    bars = random_walk(200, 1)
    assert not bars.intraday
    samples = build_samples(bars, Listing("AAA"), 7, 0.0)
    assert samples.feature_names == FEATURE_NAMES
    assert samples.features.tobytes() == causal_features(bars, None).tobytes()
    assert np.isnan(samples.label).sum() == 7


def test_a_second_bar_on_one_day_makes_no_sessions():
    bars = random_walk(10, 1)
    evening = replace(bars, time=np.concatenate([bars.time[:-1], bars.time[-2:-1] + np.timedelta64(8, "h")]))
    assert not evening.intraday
    assert intraday_walk(1, 1, bars=2).intraday
    assert not until(bars, 0).intraday


@pytest.mark.parametrize("horizon", [1, 4, 24])
def test_a_label_stays_in_its_session(horizon):
    bars = intraday_walk(6, 2)
    samples = sampled(bars, horizon)
    labelled = np.flatnonzero(~np.isnan(samples.label))
    assert len(labelled) == 6 * (BARS_A_SESSION - horizon)
    assert (labelled // BARS_A_SESSION == (labelled + horizon) // BARS_A_SESSION).all()
    np.testing.assert_allclose(
        samples.forward_return[labelled], bars.close[labelled + horizon] / bars.close[labelled] - 1
    )


def test_labels_hold_over_night_where_they_are_asked_to():
    samples = sampled(intraday_walk(6, 2), 30, "keep")
    assert np.isnan(samples.label).sum() == 30


def test_a_horizon_longer_than_every_session_says_what_to_do():
    with pytest.raises(WindowError, match="SENSEQUANT_OVERNIGHT_LABELS=keep") as caught:
        sampled(intraday_walk(6, 2), 25)
    assert caught.value.kind is FailureKind.INSUFFICIENT_ROWS


def test_the_first_intraday_bar_is_no_listing():
    bars = intraday_walk(8, 2)
    assert sampled(bars).trading_start is None
    assert sampled(bars, listing=Listing("AAA", listing_date=date(1992, 11, 10))).trading_start == date(1992, 11, 10)
    before, own = (Window(day, day + timedelta(days=8)) for day in (FIRST_SESSION - timedelta(days=8), FIRST_SESSION))
    pairs = plan_symbol(Listing("AAA"), sampled(bars), (before, own), Recipe(horizon=4), ANY_ROWS)
    assert [pair.reason for pair in pairs] == [SkipReason.NO_BARS, None]
    assert pairs[1].early_life is None


@pytest.mark.parametrize("overnight", ["drop", "keep"])
@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_no_training_row_shares_a_bar_with_the_rows_it_is_judged_on(overnight, fraction):
    horizon = 6
    samples = sampled(intraday_walk(20, 4), horizon, overnight)
    recipe = Recipe(horizon=horizon, validation_fraction=fraction, overnight_labels=overnight)
    for window in build_windows(FIRST_SESSION, FIRST_SESSION + timedelta(days=20), 5):
        rows = window_rows(samples, window, window.start, recipe)
        ends = samples.time[np.minimum(rows.train + horizon, len(samples.time) - 1)]
        assert (ends < np.datetime64(window.end)).all()
        if len(rows.valid) and len(rows.train):
            assert (rows.train + horizon < rows.valid[0]).all()
            assert (samples.time[rows.valid + horizon] < np.datetime64(window.end)).all()
        for fold in purged_folds(rows.train, horizon, 5):
            distance = np.abs(fold.train[:, None] - fold.test[None, :])
            assert distance.size == 0 or distance.min() > horizon


def test_windows_of_a_few_days_cut_sessions_between_them():
    samples = sampled(intraday_walk(10, 4))
    windows = build_windows(FIRST_SESSION, FIRST_SESSION + timedelta(days=10), 3)
    assert [(window.end - window.start).days for window in windows] == [3, 3, 3]
    recipe = Recipe(horizon=4, validation_fraction=0.0)
    # Of the fourth to sixth session, 21 bars each have a label.
    assert len(window_rows(samples, windows[1], windows[1].start, recipe).train) == 3 * 21


def test_windows_of_one_day_are_allowed_and_a_cut_one_is_dropped():
    assert len(build_windows(FIRST_SESSION, FIRST_SESSION + timedelta(days=3), 1)) == 3
    assert len(build_windows(FIRST_SESSION, FIRST_SESSION + timedelta(days=13), 5)) == 2


def test_a_window_of_sessions_makes_a_teacher_and_a_student():
    samples = sampled(intraday_walk(20, 6))
    recipe = Recipe(horizon=4, threshold=0.0)
    windows = build_windows(FIRST_SESSION, FIRST_SESSION + timedelta(days=20), 10)
    (pair, _) = plan_symbol(Listing("AAA"), samples, windows, recipe, ANY_ROWS)
    lesson = Lesson.of(pair, samples, recipe)
    teacher = teach(lesson, QUICK_TEACHER, "code")
    student = distil(lesson, taught_of(teacher), QUICK_STUDENT, "code")
    assert "session_gap" in student.text
    assert teacher.rows["test"] == 10 * 21


@pytest.mark.skipif(not MARKET.is_dir(), reason="the NSE files of ../shared/market are not here")
@pytest.mark.parametrize(
    ("universe", "file", "start"),
    [
        ("nse_intraday_10", "nse_5min_2024_03", date(2024, 3, 20)),
        ("nse_intraday_47", "nse_5min_2026_05", date(2026, 5, 20)),
    ],
)
def test_nse_five_minute_bars_plan_and_train(universe, file, start):
    listed = read_universe(PROJECT / "data" / "universes" / f"{universe}.csv")
    settings = read_settings(
        {"window_days": 10, "horizon": 6, "threshold": 0.002, "start": start, "end": start + timedelta(days=30)}
    )
    windows = settings.windows
    source = FileBars(MARKET / f"{file}.parquet", "Asia/Kolkata")
    for listing in listed.listings[:2]:
        bars = source.bars(listing)
        first_bars = bars.time[np.flatnonzero(np.diff(bars.time.astype("datetime64[D]").astype(int), prepend=0))]
        assert {time.astype(datetime).strftime("%H:%M") for time in first_bars} == {"09:15"}
        assert len(bars) == 75 * len(first_bars)
        samples = build_samples(bars, listing, settings.horizon, settings.threshold)
        pairs = plan_symbol(listing, samples, windows, settings.recipe, ANY_ROWS)
        assert [pair.reason for pair in pairs] == [None, None, None]
        lesson = Lesson.of(pairs[1], samples, settings.recipe)
        teacher = teach(lesson, QUICK_TEACHER, "code")
        student = distil(lesson, taught_of(teacher), QUICK_STUDENT, "code")
        assert teacher.rows == student.rows
        assert len(bars) > teacher.rows["train"] > 200
