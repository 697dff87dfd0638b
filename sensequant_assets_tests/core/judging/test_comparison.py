"""Claims about which of several forecasts is better, by hand and on draws with a known answer."""

from math import log

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.comparison import ConfidenceSet, confidence_set, differences
from sensequant_assets.core.judging.walk_forward import Forecast, Judgement, Rows, judge_forecasts

DAYS, SYMBOLS = 120, 12


def market(seed: int, horizon: int = 2) -> Rows:
    """Labels that are drawn with a probability of .4."""
    rng = np.random.default_rng(seed)
    rows = DAYS * SYMBOLS
    return Rows(
        time=np.repeat(np.datetime64("2024-01-01", "s") + np.arange(DAYS) * np.timedelta64(1, "D"), SYMBOLS),
        symbol=np.tile(np.arange(SYMBOLS), DAYS),
        window=np.zeros(rows, dtype=np.int64),
        label=(rng.random(rows) < 0.4).astype(np.float64),
        forward_return=rng.normal(size=rows),
        training_rate=np.full(rows, 0.4),
        horizon=horizon,
    )


def forecasts(rows: Rows, **said: Floats) -> list[Forecast]:
    return [Forecast(name, values, values) for name, values in (said | {"base_rate": rows.training_rate}).items()]


def judged(rows: Rows, said: list[Forecast]) -> Judgement:
    return judge_forecasts(rows, said, cost_bp=0)


def test_a_difference_is_that_of_the_rows_of_both_and_surer_than_either_of_its_sides() -> None:
    rows = market(1)
    noise = np.random.default_rng(2).uniform(0.2, 0.6, len(rows))
    # The student is a little nearer to what happens on every row.
    student = np.clip(noise + np.where(rows.label == 1, 0.01, -0.01), 0, 1)
    teacher = np.where(np.arange(len(rows)) < SYMBOLS * 10, np.nan, noise)
    said = forecasts(rows, teacher=teacher, student=student)
    scores = judged(rows, said)
    found = {(each.score, each.less, each.metric): each for each in differences(rows, said, scores)}
    assert set(found) == {
        ("student", "teacher", "log_loss"), ("student", "teacher", "rank_ic"),
        ("teacher", "base_rate", "log_loss"), ("student", "base_rate", "log_loss"),
    }  # fmt: skip
    closer = found["student", "teacher", "log_loss"]
    both = ~np.isnan(teacher)
    right = np.where(rows.label == 1, student, 1 - student)[both] / np.where(rows.label == 1, noise, 1 - noise)[both]
    assert closer.tested.estimate.value == pytest.approx(-np.log(right).mean())
    assert (closer.rows, closer.dates, closer.blocks) == (int(both.sum()), DAYS - 10, (DAYS - 10) // 6)
    assert closer.tested.estimate.high < 0
    assert closer.tested.p < 1e-6
    # Either side alone is not told from the other: their intervals overlap.
    alone = {score.name: score["log_loss"] for score in scores.scores}
    assert alone["student"].high > alone["teacher"].low


def test_the_same_forecast_twice_differs_by_nothing_and_nothing_is_to_be_tested() -> None:
    rows = market(3)
    said = forecasts(rows, teacher=np.full(len(rows), 0.3), student=np.full(len(rows), 0.3))
    found = differences(rows, said, judged(rows, said))[0]
    assert (found.tested.estimate.value, found.tested.estimate.low, found.tested.estimate.high) == (0, 0, 0)
    assert np.isnan(found.tested.p)


def test_the_set_of_the_best_loses_what_is_worse_and_keeps_what_cannot_be_told_apart() -> None:
    rows = market(4)
    rng = np.random.default_rng(5)
    good = np.clip(0.4 + rng.normal(0, 0.01, len(rows)), 0.01, 0.99)
    bad = np.clip(0.4 + rng.normal(0, 0.25, len(rows)), 0.01, 0.99)
    found = confidence_set(judged(rows, forecasts(rows, teacher=good, pool=good, student=bad)), "log_loss")
    assert found is not None
    assert (found.dates, found.block) == (DAYS, 6)
    assert {name for name in found.p if found.stays(name)} == {"teacher", "pool", "base_rate"}
    # What loses the same every day is one and the same.
    assert found.p["teacher"] == found.p["pool"]


@pytest.mark.parametrize("metric", ["log_loss", "rank_ic"])
def test_one_score_alone_or_too_few_dates_have_no_set(metric: str) -> None:
    rows = market(6)
    same = Forecast("teacher", np.full(len(rows), 0.4), np.full(len(rows), 0.4))
    assert confidence_set(judged(rows, [same, *forecasts(rows)]), metric) is None
    few = rows.where(np.arange(len(rows)) < SYMBOLS * 11)
    said = forecasts(few, teacher=np.random.default_rng(7).random(len(few)), student=np.full(len(few), 0.2))
    assert confidence_set(judged(few, said), metric) is None


def test_a_score_stays_in_the_set_above_its_size() -> None:
    found = ConfidenceSet("log_loss", {"teacher": 1.0, "student": 0.11, "pool": 0.1}, 100, 9)
    assert [found.stays(name) for name in found.p] == [True, True, False]
    assert found.as_json()["scores"]["pool"] == {"p": 0.1, "stays": False}


def test_rank_ics_are_compared_by_the_dates_of_both() -> None:
    rows = market(8)
    better = rows.forward_return + np.random.default_rng(9).normal(0, 3, len(rows))
    said = [
        Forecast("teacher", better, None),
        Forecast("minus_return_5", np.where(rows.time < rows.time[SYMBOLS * 6], np.nan, -better)),
    ]
    (found,) = differences(rows, said, judged(rows, said))
    assert (found.score, found.less, found.dates) == ("teacher", "minus_return_5", DAYS - 6)
    ics = judged(rows, said).scores[0].daily["rank_ic"][6:]
    assert found.tested.estimate.value == pytest.approx(2 * ics.mean())
    assert found.tested.p < 0.01


def test_the_log_loss_by_date_is_the_mean_of_its_rows() -> None:
    rows = market(10).where(np.arange(DAYS * SYMBOLS) < 2 * SYMBOLS)
    (score, _) = judged(rows, forecasts(rows, teacher=np.full(len(rows), 0.3))).scores
    ones = rows.label[:SYMBOLS].sum()
    assert score.daily["log_loss"][0] == pytest.approx(-(ones * log(0.3) + (SYMBOLS - ones) * log(0.7)) / SYMBOLS)
