"""Claims about statistics as sums over dates: of all dates they are the plain ones, and of a draw those of its rows."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging import metrics, sums
from sensequant_assets.core.judging.bootstrap import Statistic

DATES, SYMBOLS = 12, 5
RNG = np.random.default_rng(11)
DATE = np.repeat(np.arange(DATES), SYMBOLS)
LABEL = RNG.integers(0, 2, len(DATE)).astype(np.float64)
SCORE = RNG.integers(1, 9, len(DATE)) / 10
OTHER = SCORE + RNG.normal(0, 0.2, len(DATE))
ONCE = np.ones((1, DATES))
DRAW = RNG.integers(0, 3, (1, DATES)).astype(np.float64)


def drawn(values: Floats) -> Floats:
    """The rows of a draw, each as often as its date is in it."""
    return np.repeat(values, DRAW[0][DATE].astype(np.int64))


Plain = Callable[[Floats, Floats], float]
CASES: list[tuple[str, Statistic, Plain]] = [
    ("auc", sums.auc_of(LABEL, SCORE, DATE, DATES), metrics.auc),
    ("brier", sums.mean_of((SCORE - LABEL) ** 2, DATE, DATES), metrics.brier),
    ("ece", sums.ece_of(*sums.reliability(LABEL, SCORE, DATE, DATES)), metrics.ece),
]


@pytest.mark.parametrize(("statistic", "plain"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_sum_over_dates_is_the_plain_metric_of_the_rows_that_are_drawn(statistic: Statistic, plain: Plain) -> None:
    assert statistic(ONCE)[0] == pytest.approx(plain(LABEL, SCORE), abs=1e-12)
    assert statistic(DRAW)[0] == pytest.approx(plain(drawn(LABEL), drawn(SCORE)), abs=1e-12)


def test_a_ranking_cut_into_places_has_nearly_the_exact_auc() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 20_000).astype(np.float64)
    score = label * 0.1 + rng.normal(size=20_000)
    date = np.repeat(np.arange(100), 200)
    exact = metrics.auc(label, score)
    assert sums.auc_of(label, score, date, 100)(np.ones((1, 100)))[0] == pytest.approx(exact, abs=1e-5)


def test_ranks_within_groups_share_ties_whatever_the_order_of_rows() -> None:
    group = np.array([1, 0, 1, 0, 1, 1])
    values = np.array([5.0, 2.0, 3.0, 1.0, 5.0, 9.0])
    assert sums.grouped_ranks(values, group).tolist() == [2.5, 2.0, 1.0, 1.0, 2.5, 4.0]
    assert sums.grouped_ranks(np.empty(0), np.empty(0, dtype=np.int64)).tolist() == []


def test_a_correlation_within_a_group_is_spearmans() -> None:
    by_date = sums.correlations(SCORE, OTHER, DATE, DATES, 3)
    plain = [metrics.rank_ic(SCORE[date == DATE], OTHER[date == DATE]) for date in range(DATES)]
    assert by_date == pytest.approx(np.array(plain), abs=1e-12)


def test_a_group_that_is_small_or_says_the_same_of_all_has_no_correlation() -> None:
    group = np.array([0, 0, 1, 1, 1, 2, 2, 2])
    left = np.array([1.0, 2.0, 4.0, 4.0, 4.0, 1.0, 2.0, 3.0])
    right = np.array([1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 2.0, 1.0])
    assert sums.correlations(left, right, group, 4, 3) == pytest.approx([np.nan, np.nan, -1.0, np.nan], nan_ok=True)


def test_a_correlation_over_time_is_weighed_by_rows_and_leaves_out_constant_groups() -> None:
    # Two rows that agree, four that disagree, and a group that says the same of all.
    group = np.array([0, 0, 1, 1, 1, 1, 2, 2])
    left = np.array([1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 7.0, 7.0])
    right = np.array([1.0, 2.0, 4.0, 3.0, 2.0, 1.0, 1.0, 2.0])
    date = np.array([0, 1, 0, 1, 2, 3, 0, 1])
    statistic = sums.correlation_within(left, right, group, date, 4)
    assert statistic(np.ones((1, 4)))[0] == pytest.approx((2 * 1 + 4 * -1) / 6)
    # A draw of the dates on which only the second group has rows.
    assert statistic(np.array([[0.0, 0.0, 1.0, 1.0]]))[0] == pytest.approx(-1.0)


def test_kappa_takes_chance_out_of_agreement() -> None:
    calls: NDArray[np.bool_] = np.array([1, 1, 0, 1, 1, 1], dtype=np.bool_)
    follows = np.array([1, 1, 0, 0, 1, 1], dtype=np.bool_)
    date = np.zeros(6, dtype=np.int64)
    one = np.ones((1, 1))
    assert sums.kappa_of(calls, follows, date, 1)(one)[0] == pytest.approx(8 / 14)
    always = np.ones(6, dtype=np.bool_)
    assert np.isnan(sums.kappa_of(always, always, date, 1)(one)[0])


def test_a_ratio_of_dates_is_mean_over_deviation_and_nothing_where_nothing_varies() -> None:
    assert sums.ratio_of_dates(np.array([1.0, -0.5, np.nan]))(np.ones((1, 3)))[0] == pytest.approx(0.25 / 0.75)
    assert np.isnan(sums.ratio_of_dates(np.array([0.2, 0.2]))(np.ones((1, 2)))[0])
    assert np.isnan(sums.mean_of_dates(np.full(2, np.nan))(np.ones((1, 2)))[0])
