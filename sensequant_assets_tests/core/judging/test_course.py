"""Claims about the course of a value month by month."""

from datetime import date

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats, day_of
from sensequant_assets.core.judging.bootstrap import resample
from sensequant_assets.core.judging.course import months, span_of
from sensequant_assets.core.judging.walk_forward import Judgement


def judgement(dates: int) -> Judgement:
    calendar = np.datetime64("2024-01-30") + np.arange(dates)
    return Judgement(
        [],
        day_of(calendar[0]),
        day_of(calendar[-1]),
        calendar,
        np.zeros(0, dtype=np.int64),
        resample(dates, 1, draws=2),
    )


def test_a_month_is_the_mean_of_its_dates_that_have_a_value() -> None:
    daily = np.full(33, 0.1)
    daily[:3] = 0.3, np.nan, 0.2
    first, second, third = months(judgement(33), daily)
    assert (first.month, first.dates, first.rank_ic.value) == ("2024-01", 1, 0.3)
    assert (second.month, second.dates) == ("2024-02", 29)
    assert second.rank_ic.value == pytest.approx((0.2 + 28 * 0.1) / 29)
    assert (third.month, third.dates) == ("2024-03", 2)
    # Three spans of 29 dates are more than there are.
    assert np.isnan(second.rank_ic.low)
    assert first.rank_ic.low <= first.rank_ic.value <= first.rank_ic.high


def overlapping(rng: np.random.Generator, dates: int) -> Floats:
    return np.convolve(rng.normal(size=dates + 6), np.ones(7) / np.sqrt(7), "valid")


def test_the_interval_of_a_month_counts_the_overlap_of_labels() -> None:
    rng, covered, months_seen = np.random.default_rng(1), 0, 0
    for _ in range(20):
        for each in months(judgement(730), overlapping(rng, 730)):
            covered += each.rank_ic.low <= 0 <= each.rank_ic.high
            months_seen += 1
    # Independent dates would have given intervals less than half as wide, and covered two thirds.
    assert 0.88 <= covered / months_seen <= 0.98


def test_without_a_value_there_is_no_month() -> None:
    assert months(judgement(40), np.full(40, np.nan)) == []


def test_a_span_is_the_mean_from_one_day_to_another_with_the_interval_of_a_month() -> None:
    judged, daily = judgement(90), overlapping(np.random.default_rng(3), 90)
    daily[5] = np.nan
    dates, found = span_of(judged.calendar, daily, date(2024, 2, 1), date(2024, 2, 29))
    month = months(judged, daily)[1]
    assert (dates, found) == (month.dates, month.rank_ic)
    assert span_of(judged.calendar, daily, date(2024, 2, 4), date(2024, 2, 4))[0] == 0
    assert np.isnan(span_of(judged.calendar, daily, date(2023, 1, 1), date(2023, 2, 1))[1].value)
