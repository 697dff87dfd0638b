"""Claims about which pairs of the lattice are attempted, and why the others are not.

Bars come every calendar day from 2022-01-01, so that day k of the year 2022 is position k; labels look 7 bars ahead.
"""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.capacity import Floor, floor_of
from sensequant_assets.core.lattice import Pair, Recipe, SkipReason, plan_symbol, window_rows
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window, build_windows
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import ANY_ROWS, FIRST_DAY, random_walk, samples_of, with_bad_rows

RECIPE = Recipe(threshold=0.0, validation_fraction=0.0)
SECOND = Window(date(2022, 4, 1), date(2022, 6, 30))
"""Positions 90 to 179."""


def day(position: int) -> date:
    return FIRST_DAY + timedelta(days=position)


def planned(
    bars: Bars, window: Window = SECOND, recipe: Recipe = RECIPE, *, listed: date | None = None, **listing: Any
) -> Pair:
    row = Listing(bars.symbol, listing_date=listed, **listing)
    floor = Floor(recipe.min_samples, "", "Widen the window or shorten the horizon.")
    (pair,) = plan_symbol(row, samples_of(bars, listing=row), (window,), recipe, floor)
    return pair


def test_a_window_full_of_bars_is_attempted_on_its_labelled_rows():
    pair = planned(random_walk(400, 0))
    assert pair.eligible
    assert not pair.open
    assert pair.key == "AAA|2022-04-01"
    assert pair.effective_start == SECOND.start
    assert pair.rows == 83  # 90 days, of which the labels of the last 7 reach the end


def test_a_window_before_the_listing_is_pre_listing():
    pair = planned(random_walk(400, 0, first_day=day(180)), listed=day(180))
    assert (pair.reason, pair.rows) == (SkipReason.PRE_LISTING, 0)
    assert pair.detail == "AAA trades from 2022-06-30, after the window's end 2022-06-30."


def test_one_day_of_trading_is_not_pre_listing():
    pair = planned(random_walk(400, 0, first_day=day(179)), listed=day(179))
    assert (pair.reason, pair.effective_start) == (SkipReason.INSUFFICIENT_BARS, day(179))
    assert pair.detail == (
        "AAA trades from 2022-06-29, and window 2022-04-01 is cut to begin there. Window 2022-04-01 of AAA has 0 "
        "training rows after warm-up and purge, needs 20. Widen the window or shorten the horizon."
    )


def test_the_official_listing_does_not_hide_bars_from_before_it():
    assert planned(random_walk(400, 0), listed=day(300)).eligible


def test_a_trading_start_in_the_row_hides_bars_from_before_it():
    assert planned(random_walk(400, 0), trading_start_date=day(180)).reason is SkipReason.PRE_LISTING


def test_a_window_starts_in_its_middle_where_trading_starts_there():
    pair = planned(random_walk(400, 0), trading_start_date=day(130))
    assert (pair.effective_start, pair.eligible, pair.early_life) == (day(130), True, True)
    assert pair.rows == 43  # positions 130 to 172
    assert pair.detail == "AAA trades from 2022-05-11, and window 2022-04-01 is cut to begin there."


def test_windows_after_a_delisting_are_skipped_as_delisted():
    pair = planned(random_walk(90, 0), delisting_date=day(89))
    assert (pair.reason, pair.open) == (SkipReason.DELISTED, False)
    assert pair.detail == "AAA was delisted on 2022-03-31, before window 2022-04-01."


def test_a_window_ends_with_a_delisting_and_waits_for_no_row():
    pair = planned(random_walk(150, 0), delisting_date=day(149))
    assert (pair.eligible, pair.open, pair.rows) == (True, False, 53)  # positions 90 to 142 have a label
    assert pair.detail == "AAA was delisted on 2022-05-30, and window 2022-04-01 ends there."
    assert planned(random_walk(150, 0)).open
    skipping = RECIPE.model_copy(update={"open_windows": "skip"})
    assert planned(random_walk(150, 0), recipe=skipping, delisting_date=day(149)).eligible


@pytest.mark.parametrize(
    ("bars", "reason", "why"),
    [
        (90, SkipReason.NO_BARS, "AAA has no bar from 2022-04-01 to 2022-06-30."),
        (97, SkipReason.DELISTED, "No row of it has a complete label."),
        (98, SkipReason.INSUFFICIENT_BARS, "Window 2022-04-01 of AAA has 1 training rows"),
    ],
)
def test_a_window_that_a_delisting_leaves_too_few_rows_is_skipped_and_says_so(bars, reason, why):
    pair = planned(random_walk(bars, 0), delisting_date=day(97))
    assert (pair.reason, pair.waits) == (reason, False)
    assert pair.detail.startswith(f"AAA was delisted on 2022-04-08, and window 2022-04-01 ends there. {why}")


def test_rows_within_the_lookback_of_a_new_listing_are_not_counted():
    # Bars from position 100 on, the first fifty of them without features: rows 150 to 172.
    pair = planned(random_walk(300, 0, first_day=day(100)), listed=day(100))
    assert (pair.effective_start, pair.rows) == (day(100), 23)


@pytest.mark.parametrize(("min_samples", "eligible"), [(83, True), (84, False)])
def test_a_window_needs_its_minimum_of_rows(min_samples, eligible):
    pair = planned(random_walk(400, 0), recipe=RECIPE.model_copy(update={"min_samples": min_samples}))
    assert pair.eligible == eligible
    if not eligible:
        assert pair.reason is SkipReason.INSUFFICIENT_BARS
        assert pair.detail == (
            "Window 2022-04-01 of AAA has 83 training rows after warm-up and purge, needs 84. "
            "Widen the window or shorten the horizon."
        )


def test_the_minimum_counts_training_rows_without_the_validation_tail():
    # A fifth of 83 rows, 16, is held, and 7 more are purged.
    assert planned(random_walk(400, 0), recipe=Recipe(threshold=0.0, validation_fraction=0.2)).rows == 60


def test_a_symbol_without_bars_has_no_bars():
    assert planned(random_walk(0, 0)).reason is SkipReason.NO_BARS


def test_a_hole_in_the_bars_that_swallows_a_window_has_no_bars():
    bars = random_walk(400, 0)
    kept = (np.arange(400) < 90) | (np.arange(400) >= 180)
    holed = Bars("AAA", *(getattr(bars, name)[kept] for name in ("time", "open", "high", "low", "close", "volume")))
    pair = planned(holed)
    assert pair.reason is SkipReason.NO_BARS
    assert pair.detail == "AAA has no bar from 2022-04-01 to 2022-06-30."


def test_a_window_after_the_last_bar_awaits_its_future():
    pair = planned(random_walk(90, 0))
    assert (pair.reason, pair.open) == (SkipReason.INSUFFICIENT_FUTURE, True)
    assert pair.detail == "The bars of AAA end before 2022-04-01."


@pytest.mark.parametrize(
    ("bars", "reason"), [(97, SkipReason.INSUFFICIENT_FUTURE), (98, SkipReason.INSUFFICIENT_BARS), (117, None)]
)
def test_a_window_without_a_complete_label_awaits_its_future(bars, reason):
    # With 97 bars the last label is that of position 89; with 98 one row has a label, with 117 twenty rows have.
    assert planned(random_walk(bars, 0)).reason is reason


@pytest.mark.parametrize(("bars", "is_open"), [(150, True), (187, True), (188, False), (400, False)])
def test_a_window_is_open_until_the_bar_at_its_end_has_a_label(bars, is_open):
    # The window ends on position 180, whose label needs 188 bars.
    pair = planned(random_walk(bars, 0))
    assert pair.open == is_open
    assert pair.eligible
    assert pair.rows == min(bars - 7, 173) - 90
    skipping = planned(random_walk(bars, 0), recipe=RECIPE.model_copy(update={"open_windows": "skip"}))
    assert skipping.reason is (SkipReason.INSUFFICIENT_FUTURE if is_open else None)
    assert skipping.open == is_open
    if is_open:
        assert skipping.detail == f"Labels of AAA end at {day(bars - 8)}; open windows are skipped."


@pytest.mark.parametrize(("days_before", "early"), [(0, True), (179, True), (180, False), (181, False)])
def test_early_life_ends_180_days_after_the_listing(days_before, early):
    pair = planned(random_walk(400, 0), trading_start_date=SECOND.start - timedelta(days=days_before))
    assert pair.early_life is early


def test_nobody_knows_whether_a_symbol_without_a_listing_is_early_in_its_life():
    bars = random_walk(400, 0, first_day=day(100))
    pair = planned(bars)
    # The vendor's first bar still says since when there is something to train on.
    assert (pair.early_life, pair.effective_start, pair.eligible) == (None, day(100), True)
    before = planned(bars, Window(FIRST_DAY, day(90)))
    assert (before.reason, before.early_life) == (SkipReason.PRE_LISTING, None)
    assert before.detail == "The bars of AAA begin on 2022-04-11, after the window's end 2022-04-01."
    assert planned(bars, listed=day(100)).early_life is True


def test_a_window_that_parameters_cannot_learn_from_is_skipped_and_says_which_and_what_to_do():
    teacher, student = TeacherParameters(scope="symbol"), StudentParameters(scope="symbol")
    floor = floor_of(teacher, student, RECIPE.horizon, RECIPE.min_samples)
    samples = samples_of(random_walk(168, 0))  # labels of positions 90 to 160: 71 rows
    (pair,) = plan_symbol(Listing("AAA"), samples, (SECOND,), RECIPE, floor)
    assert pair.reason is SkipReason.INSUFFICIENT_BARS
    assert pair.detail == (
        "Window 2022-04-01 of AAA has 71 training rows after warm-up and purge, needs 80: teacher trees split from 50 "
        "rows on (min_child_samples 20 at subsample 0.8), and of 80 rows the smallest of 5 purged folds trains on 50. "
        "Lower TEACHER_MIN_CHILD_SAMPLES, widen the window or shorten the horizon."
    )
    enough = samples_of(random_walk(177, 0))
    assert plan_symbol(Listing("AAA"), enough, (SECOND,), RECIPE, floor)[0].eligible


def test_without_early_stopping_a_teacher_trains_on_the_validation_tail():
    recipe = Recipe(threshold=0.0, validation_fraction=0.2)
    samples = samples_of(random_walk(400, 0))
    tailed, whole = (
        window_rows(
            samples,
            SECOND,
            SECOND.start,
            recipe.used_by(TeacherParameters(scope="symbol", early_stopping_rounds=rounds)),
        )
        for rounds in (5, 0)
    )
    assert (len(tailed.train), len(tailed.valid)) == (60, 16)
    assert (len(whole.train), len(whole.valid)) == (83, 0)


def test_pairs_of_corrupt_bars_are_attempted_so_that_they_fail():
    windows = build_windows(FIRST_DAY, day(360), 90)
    error = WindowError(FailureKind.CORRUPT_BARS, "row 7")
    pairs = plan_symbol(Listing("AAA"), error, windows, RECIPE, ANY_ROWS)
    assert [pair.window for pair in pairs] == list(windows)
    assert all(pair.eligible for pair in pairs)


def spoiled_by(*positions: int, bars: int = 400) -> dict[str, str]:
    """By window key, what it fails by; windows of 90 bars, labels over 7."""
    samples = samples_of(with_bad_rows(random_walk(bars, 0), *positions), horizon=7)
    windows = build_windows(FIRST_DAY, day(360), 90)
    pairs = plan_symbol(Listing("AAA"), samples, windows, RECIPE, ANY_ROWS)
    assert all(pair.eligible for pair in pairs[1:])
    return {str((pair.window.start - FIRST_DAY).days): pair.spoiled for pair in pairs if pair.spoiled}


@pytest.mark.parametrize(
    ("position", "fails"),
    [
        (40, ["0", "90"]),  # row 90 reads 50 bars back
        (39, ["0"]),
        (89, ["0", "90"]),  # the label of row 82 reads it
        (175, ["90", "180"]),
        (180, ["180"]),  # labels that reach the next window are purged from this one
        (269, ["180", "270"]),
        (330, ["270"]),
    ],
)
def test_a_bad_row_fails_the_windows_whose_features_or_labels_read_it_and_no_others(position, fails):
    sentence = f"AAA.csv, row {position + 2}: AAA: high is below open or close (high is 1)."
    assert spoiled_by(position) == dict.fromkeys(fails, sentence)


def test_a_window_tells_of_the_bad_rows_that_it_reads_alone():
    assert spoiled_by(200, 201, 330) == {
        "180": "AAA.csv, row 202 and 1 more: AAA: high is below open or close (high is 1).",
        "270": "AAA.csv, row 332: AAA: high is below open or close (high is 1).",
    }


def test_a_bad_row_behind_the_last_bar_fails_nothing():
    assert spoiled_by(359, bars=360) == {}


def test_a_window_of_nothing_but_bad_rows_fails_and_is_not_skipped_for_want_of_bars():
    assert "180" in spoiled_by(*range(180, 270))


def test_a_window_that_has_too_few_rows_anyway_is_skipped_whatever_it_reads():
    samples = samples_of(with_bad_rows(random_walk(400, 0), 20), horizon=7)
    pair = plan_symbol(Listing("AAA"), samples, build_windows(FIRST_DAY, day(70), 70), RECIPE, ANY_ROWS)[0]
    assert pair.reason is SkipReason.INSUFFICIENT_BARS


def test_rows_that_read_a_bad_row_are_in_no_span():
    whole, lacking = (
        samples_of(bars, horizon=7) for bars in (random_walk(400, 0), with_bad_rows(random_walk(400, 0), 200))
    )
    window = Window(day(90), day(180))
    kept = window_rows(lacking, window, window.start, RECIPE)
    assert kept.train.tolist() == window_rows(whole, window, window.start, RECIPE).train.tolist()
    # The next window is 180 to 269: the labels of 193 to 199 read the bad bar, and the features of 50 bars after it.
    assert kept.test.tolist() == [*range(180, 193), *range(250, 269)]


def test_pairs_of_corrupt_bars_are_skipped_before_their_listing():
    windows = build_windows(FIRST_DAY, day(360), 90)
    listing = Listing("AAA", listing_date=day(100))
    pairs = plan_symbol(listing, WindowError(FailureKind.CORRUPT_BARS, "row 7"), windows, RECIPE, ANY_ROWS)
    assert [pair.reason for pair in pairs] == [SkipReason.PRE_LISTING, None, None, None]
    assert [pair.effective_start for pair in pairs] == [day(100), day(100), day(180), day(270)]


@pytest.mark.parametrize("horizon", [1, 7, 20])
@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_no_label_of_a_closed_window_reaches_into_the_next(horizon, fraction):
    recipe = Recipe(horizon=horizon, threshold=0.0, validation_fraction=fraction)
    bars = random_walk(500, 4)
    rng = np.random.default_rng(horizon)
    kept = rng.random(500) < 0.7  # holidays
    gappy = Bars("AAA", *(getattr(bars, name)[kept] for name in ("time", "open", "high", "low", "close", "volume")))
    samples = samples_of(gappy, horizon=horizon)
    for window in build_windows(FIRST_DAY, day(450), 90):
        rows = window_rows(samples, window, window.start, recipe)
        own = np.concatenate([rows.train, rows.valid])
        if len(own):
            assert samples.time[own.min()] >= np.datetime64(window.start)
            assert samples.time[own.max() + horizon] < np.datetime64(window.end)
        # All that is usable and reads no bar of the next window is there, or is in the purge before validation.
        inside = np.flatnonzero(samples.usable & (samples.time >= np.datetime64(window.start)))
        inside = inside[samples.time[np.minimum(inside + horizon, len(gappy) - 1)] < np.datetime64(window.end)]
        assert set(own) <= set(inside)
        assert len(inside) - len(own) <= horizon
        if not fraction:
            assert own.tolist() == inside.tolist()
        after = window.end + (window.end - window.start)
        assert (samples.time[rows.test] >= np.datetime64(window.end)).all()
        assert (samples.time[rows.test] < np.datetime64(after)).all()


def test_pairs_come_one_a_window_in_order():
    windows = build_windows(FIRST_DAY, day(360), 90)
    pairs = plan_symbol(Listing("AAA"), samples_of(random_walk(400, 0)), windows, RECIPE, ANY_ROWS)
    assert [pair.window for pair in pairs] == list(windows)
