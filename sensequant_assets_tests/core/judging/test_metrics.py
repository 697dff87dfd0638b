"""Claims about metrics, against numbers derived by hand."""

import math

import numpy as np
import pytest

from sensequant_assets.core.judging import metrics

# Probabilities with a tie across the classes. Four positives (0.9, 0.6, 0.6, 0.2), three negatives (0.8, 0.6, 0.1).
LABEL = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
PROBABILITY = np.array([0.9, 0.8, 0.6, 0.6, 0.6, 0.2, 0.1])
AHEAD = np.array([0.05, -0.01, 0.03, 0.04, -0.02, 0.06, -0.03])


def test_auc_counts_a_tie_half():
    # 0.9 beats three; each 0.6 loses to 0.8, ties with 0.6 and beats 0.1; 0.2 beats one: (3 + 1.5 + 1.5 + 1) / 12.
    # Ties as wins would give 8 / 12, as losses 6 / 12.
    assert metrics.auc(LABEL, PROBABILITY) == pytest.approx(7 / 12)


def test_auc_of_the_reverse_is_the_rest_to_one():
    assert metrics.auc(LABEL, -PROBABILITY) == pytest.approx(5 / 12)


def test_auc_of_one_constant_is_one_half():
    assert metrics.auc(LABEL, np.full(7, 0.3)) == 0.5


@pytest.mark.parametrize("label", [np.ones(3), np.zeros(3), np.empty(0)])
def test_auc_of_a_single_class_is_missing(label):
    assert math.isnan(metrics.auc(label, np.linspace(0.1, 0.9, len(label))))


def test_log_loss_is_the_mean_of_natural_logarithms():
    # -(ln 0.5 + ln (1 - 0.75)) / 2 = (1 + 2) ln 2 / 2.
    assert metrics.log_loss(np.array([1.0, 0.0]), np.array([0.5, 0.75])) == pytest.approx(1.5 * math.log(2))


def test_log_loss_takes_soft_labels():
    # A quarter of -ln 0.5 and three quarters of -ln 0.5 is ln 2, whatever the label.
    assert metrics.log_loss(np.array([0.25]), np.array([0.5])) == pytest.approx(math.log(2))


def test_log_loss_of_a_certain_error_is_finite():
    assert metrics.log_loss(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(-math.log(1e-15), rel=1e-3)


def test_brier_is_the_mean_squared_error():
    # Squares: 0.01, 0.64, 0.16, 0.16, 0.36, 0.64, 0.01; together 1.98.
    assert metrics.brier(LABEL, PROBABILITY) == pytest.approx(1.98 / 7)


def test_ece_weighs_the_gaps_of_bins_by_their_rows():
    # Bins of a tenth: 0.9: |1 - 0.9| = 0.1; 0.8: 0.8; 0.6: two ones of three, |2 - 1.8| = 0.2; 0.2: 0.8; 0.1: 0.1.
    assert metrics.ece(LABEL, PROBABILITY) == pytest.approx(2.0 / 7)
    # Two bins: upper 0.9 + 0.8 + 3 * 0.6 = 3.5 against three ones; lower 0.3 against one: (0.5 + 0.7) / 7.
    assert metrics.ece(LABEL, PROBABILITY, bins=2) == pytest.approx(1.2 / 7)


def test_a_probability_of_one_belongs_to_the_last_bin():
    # 0.94 and 1.0 in one bin against one positive of two: |1 - 1.94| / 2. Apart they would give (0.94 + 0) / 2 as well,
    # so the positive is the lower one: in one bin 0.47, apart (0.06 + 1) / 2 = 0.53.
    assert metrics.ece(np.array([1.0, 0.0]), np.array([0.94, 1.0])) == pytest.approx(0.47)


def test_rank_ic_is_spearmans_with_mean_ranks_for_ties():
    # Ranks of the probabilities: 7 6 4 4 4 2 1; of the returns: 6 3 4 5 2 7 1, both around 4.
    # Deviations 3 2 0 0 0 -2 -3 and 2 -1 0 1 -2 3 -3: product sum 6 - 2 - 6 + 9 = 7, squares 26 and 28.
    assert metrics.rank_ic(PROBABILITY, AHEAD) == pytest.approx(7 / math.sqrt(26 * 28))


@pytest.mark.parametrize("constant", [np.full(3, 0.55), np.full(3, 0.1)])
def test_a_correlation_with_a_constant_is_missing(constant):
    moving = np.array([0.1, 0.2, 0.4])
    assert math.isnan(metrics.rank_ic(constant, moving))
    assert math.isnan(metrics.correlation(moving, constant))


def test_a_correlation_of_one_row_is_missing():
    assert math.isnan(metrics.rank_ic(np.array([0.5]), np.array([0.1])))


def test_correlation_is_pearsons():
    # Deviations -1 0 1 and -3 2 1 (of 0 5 4): 4 / sqrt(2 * 14). By ranks it would be 0.5.
    assert metrics.correlation(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 4.0])) == pytest.approx(4 / math.sqrt(28))


def test_scores_hold_accuracy_beside_the_majority():
    found = metrics.scores(LABEL, PROBABILITY, AHEAD)
    # Above one half: 0.9 and both 0.6 right, 0.8 and the third 0.6 wrong; below: 0.1 right, 0.2 wrong.
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert [found["majority"], found["base_rate"]] == pytest.approx([4 / 7, 4 / 7])
    assert metrics.scores(1 - LABEL, PROBABILITY, AHEAD)["majority"] == pytest.approx(4 / 7)
    assert metrics.scores(1 - LABEL, PROBABILITY, AHEAD)["accuracy"] == pytest.approx(3 / 7)
    assert (found["auc"], found["rank_ic"]) == (metrics.auc(LABEL, PROBABILITY), metrics.rank_ic(PROBABILITY, AHEAD))


def test_one_half_is_no_positive():
    assert metrics.scores(np.array([1.0]), np.array([0.5]), np.array([0.1]))["accuracy"] == 0.0


def test_scores_of_no_rows_are_all_missing():
    none = np.empty(0)
    assert all(math.isnan(value) for value in metrics.scores(none, none, none).values())
    assert all(math.isnan(value) for value in metrics.fidelity(none, none).values())


@pytest.mark.parametrize("at", [0, 3, 6])
def test_one_unknown_probability_leaves_every_score_of_it_missing(at):
    unknown = PROBABILITY.copy()
    unknown[at] = math.nan
    found = metrics.scores(LABEL, unknown, AHEAD)
    assert {name for name, value in found.items() if not math.isnan(value)} == {"majority", "base_rate"}
    assert math.isnan(metrics.ece(LABEL, unknown))
    assert all(math.isnan(value) for value in metrics.fidelity(unknown, PROBABILITY).values())
    assert all(math.isnan(value) for value in metrics.fidelity(PROBABILITY, unknown).values())


def test_an_unknown_label_or_return_leaves_what_reads_it_missing():
    label = np.where(np.arange(7) == 2, math.nan, LABEL)
    assert all(math.isnan(score(label, PROBABILITY)) for score in (metrics.auc, metrics.ece, metrics.brier))
    assert math.isnan(metrics.rank_ic(PROBABILITY, np.where(np.arange(7) == 2, math.nan, AHEAD)))


def test_fidelity_compares_a_student_with_its_teacher():
    found = metrics.fidelity(np.array([0.2, 0.4, 0.9]), np.array([0.3, 0.7, 0.8]))
    # Differences 0.1, 0.3 and 0.1; the middle row lies on other sides. Deviations -0.3 -0.1 0.4 and -0.3 0.1 0.2:
    # products 0.09 - 0.01 + 0.08, squares 0.26 and 0.14.
    assert found["fidelity_mae"] == pytest.approx(0.5 / 3)
    assert found["fidelity_agreement"] == pytest.approx(2 / 3)
    assert found["fidelity_correlation"] == pytest.approx(0.16 / math.sqrt(0.26 * 0.14))


def test_the_design_effect_is_one_without_overlap_and_grows_as_a_score_moves_slowly() -> None:
    rows = np.arange(60)
    slow, quick = np.sin(rows / 20), np.cos(rows * 3.0)
    assert metrics.design_effect(slow, rows, 1) == 1
    assert metrics.design_effect(slow, rows, 7) > 5
    assert metrics.design_effect(quick, rows, 7) < 0.3


def test_bars_that_are_a_horizon_apart_share_no_label_so_that_a_hole_ends_the_overlap() -> None:
    slow = np.sin(np.arange(60) / 20)
    apart = np.arange(60) * 7
    assert metrics.design_effect(slow, apart, 7) == 1
    halves = np.where(np.arange(60) < 30, np.arange(60), np.arange(60) + 100)
    assert 1 < metrics.design_effect(slow, halves, 7) < metrics.design_effect(slow, np.arange(60), 7)


def test_a_constant_score_has_no_design_effect() -> None:
    assert math.isnan(metrics.design_effect(np.full(9, 0.4), np.arange(9), 7))
    assert math.isnan(metrics.design_effect(np.empty(0), np.arange(0), 7))
    assert math.isnan(metrics.design_effect(np.array([0.1, np.nan]), np.arange(2), 7))
