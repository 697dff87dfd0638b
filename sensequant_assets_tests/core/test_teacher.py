"""Claims about the teacher and its soft targets."""

from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.boosting import effective_parameters
from sensequant_assets.core.judging import metrics
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.splits import purged_folds, purged_tail
from sensequant_assets.core.teacher import predict, train_teacher, with_base_rate
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import QUICK_TEACHER, random_walk, samples_of

HORIZON = 7
ROWS = np.arange(60, 160)
NONE = ROWS[:0]


def walk(seed: int = 0) -> Samples:
    return samples_of(random_walk(200, seed), horizon=HORIZON)


def test_a_single_class_fails_with_what_to_do_about_it():
    samples = walk()
    with pytest.raises(WindowError, match=r"All 100 training labels of AAA are 1\. Widen the window") as caught:
        train_teacher(replace(samples, label=np.ones(200)), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON)
    assert caught.value.kind is FailureKind.SINGLE_CLASS


def test_twice_the_same_rows_give_the_same_bytes():
    one, two = (train_teacher(walk(), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON) for _ in range(2))
    assert one.booster.model_to_string() == two.booster.model_to_string()
    assert one.soft_targets.tobytes() == two.soft_targets.tobytes()


def test_another_seed_gives_other_trees():
    texts = [
        train_teacher(walk(), ROWS, NONE, QUICK_TEACHER.model_copy(update={"seed": seed}), horizon=HORIZON)
        .booster.model_to_string().split("\nparameters:")[0]
        for seed in (1, 2)
    ]  # fmt: skip
    assert texts[0] != texts[1]


def test_parameters_reach_the_booster():
    parameters = QUICK_TEACHER.model_copy(update={"num_leaves": 31, "max_depth": 9, "min_child_samples": 1})
    text = train_teacher(walk(), ROWS, NONE, parameters, horizon=HORIZON).booster.model_to_string()
    assert effective_parameters(text)["num_leaves"] == "31"
    assert (
        max(int(line.removeprefix("num_leaves=")) for line in text.splitlines() if line.startswith("num_leaves=")) > 7
    )


@pytest.mark.parametrize("position", [60, 75, 119, 159])
def test_the_soft_targets_of_a_fold_do_not_know_the_fold_s_labels(position):
    samples = walk()
    flipped = samples.label.copy()
    flipped[position] = 1 - flipped[position]
    before = train_teacher(samples, ROWS, NONE, QUICK_TEACHER, horizon=HORIZON).soft_targets
    after = train_teacher(replace(samples, label=flipped), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON).soft_targets
    fold = next(split for split in purged_folds(ROWS, HORIZON, QUICK_TEACHER.folds) if position in split.test)
    own = np.isin(ROWS, fold.test)
    # The window's base rate moves by one row, and with it the odds of all; the fold's boosters have not moved.
    moved = with_base_rate(before[own], float(samples.label[ROWS].mean()), float(flipped[ROWS].mean()))
    np.testing.assert_allclose(after[own], moved, rtol=1e-9)
    assert not np.allclose(after[~own], with_base_rate(before[~own], samples.label[ROWS].mean(), flipped[ROWS].mean()))


def test_a_soft_target_comes_from_the_booster_of_its_purged_fold():
    samples = walk()
    soft = train_teacher(samples, ROWS, NONE, QUICK_TEACHER, horizon=HORIZON).soft_targets
    fold = purged_folds(ROWS, HORIZON, QUICK_TEACHER.folds)[2]
    # A teacher of the fold's training rows only, with its own base rate moved to the window's.
    alone = train_teacher(samples, fold.train, NONE, QUICK_TEACHER, horizon=HORIZON).booster
    rates = samples.label[fold.train].mean(), samples.label[ROWS].mean()
    np.testing.assert_array_equal(
        soft[np.isin(ROWS, fold.test)], with_base_rate(predict(alone, samples.features[fold.test]), *map(float, rates))
    )


@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_a_fold_that_has_seen_one_class_gives_the_windows_rate(seen):
    # The other class only among the first twenty rows, which are the first fold: what judges them has not seen it.
    label = np.full(200, seen)
    label[60:80] = np.tile([1.0, 0.0], 10)
    soft = train_teacher(replace(walk(), label=label), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON).soft_targets
    assert soft[:20] == pytest.approx([0.1 if seen == 0 else 0.9] * 20)
    assert len(set(soft[20:])) > 1


def test_soft_targets_of_one_class_folds_do_not_run_against_the_labels():
    # Two blocks: whatever fold is left out, ones are rarer among the others where it is full of them.
    label = np.zeros(200)
    label[60:80] = 1.0
    soft = train_teacher(replace(walk(), label=label), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON).soft_targets
    assert soft[:20] == pytest.approx([0.2] * 20)


def test_folds_that_the_purge_empties_give_the_base_rate():
    rows = ROWS[:10]
    samples = replace(walk(), label=np.tile([1.0, 0.0, 0.0, 0.0, 1.0], 40))
    soft = train_teacher(samples, rows, NONE, QUICK_TEACHER, horizon=30).soft_targets
    assert soft.tolist() == [0.4] * 10


def test_an_expired_deadline_is_a_timeout():
    with pytest.raises(WindowError) as caught:
        train_teacher(walk(), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON, expired=lambda: True)
    assert caught.value.kind is FailureKind.TIMEOUT


def test_moving_a_base_rate_multiplies_the_odds():
    # From a rate of 1/5 (odds 1/4) to 1/2 (odds 1) the odds are multiplied by four: 1/9 to 4/9 is 0.1 to 4/13.
    assert with_base_rate(np.array([0.1]), 0.2, 0.5)[0] == pytest.approx(4 / 13)
    assert with_base_rate(np.array([0.0, 0.37, 1.0]), 0.3, 0.3).tolist() == pytest.approx([0.0, 0.37, 1.0])


def test_no_rows_have_no_probabilities():
    booster = train_teacher(walk(), ROWS, NONE, QUICK_TEACHER, horizon=HORIZON).booster
    assert predict(booster, np.empty((0, 25))).shape == (0,)


Judged = list[tuple[np.ndarray, np.ndarray]]


def pooled(windows: Judged) -> float:
    """AUC over the rows of all windows together."""
    label, probability = (np.concatenate(parts) for parts in zip(*windows, strict=True))
    return metrics.auc(label, probability)


def within(windows: Judged) -> float:
    """Share of pairs of a one and a zero of the same window that stand in the right order."""
    pairs = [label.sum() * (1 - label).sum() for label, _ in windows]
    right = sum(n * metrics.auc(*window) for n, window in zip(pairs, windows, strict=True) if n)
    return float(right / sum(pairs))


def test_on_random_walks_the_purged_way_knows_nothing_where_a_shuffled_one_claims_to():
    out_of_fold, tail, shuffled = [], [], []
    rng = np.random.default_rng(1)
    for seed in range(60):
        samples = walk(seed)
        split = purged_tail(np.arange(50, 190), HORIZON, 0.25)
        teacher = train_teacher(samples, split.train, NONE, QUICK_TEACHER, horizon=HORIZON)
        out_of_fold.append((samples.label[split.train], teacher.soft_targets))
        tail.append((samples.label[split.test], predict(teacher.booster, samples.features[split.test])))
        mixed = rng.permutation(np.arange(50, 190))
        train, test = np.sort(mixed[35:]), mixed[:35]
        cheat = train_teacher(samples, train, NONE, QUICK_TEACHER, horizon=HORIZON).booster
        shuffled.append((samples.label[test], predict(cheat, samples.features[test])))
    # 60 windows of some 20 rows whose labels do not overlap: a standard error near 0.02. Soft targets carry their
    # window's base rate, which is known from its labels, so they are compared within a window. Validation rows are
    # pooled: within a short tail of a random walk prices seem to return to their mean, in every tail alike.
    assert within(out_of_fold) == pytest.approx(0.5, abs=0.07)
    assert pooled(tail) == pytest.approx(0.5, abs=0.07)
    assert within(shuffled) > 0.75
    assert pooled(shuffled) > 0.75
