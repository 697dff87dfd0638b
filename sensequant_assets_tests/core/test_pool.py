"""Claims about pools: rows of all symbols, folds by date, and what a pool learns that no symbol does."""

import pickle
from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import check_parameters, effective_parameters, trees_of
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.judging.metrics import auc
from sensequant_assets.core.lattice import WindowRows
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.pool import PoolRows, correct_shared_student, train_pool, train_shared_student
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.teacher import predict
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import bars_of, random_walk, samples_of

HORIZON = 7
TEACHER = TeacherParameters(scope="pool", min_child_samples=20, n_estimators=30, folds=4)
STUDENT = StudentParameters(scope="pool", min_child_samples=20, n_estimators=30)


def walk(number: int, bars: int = 160) -> Samples:
    return samples_of(random_walk(bars, number, symbol=f"S{number:02d}"))


def pool_of(*symbols: Samples, held: int = 0) -> PoolRows:
    """A pool of these symbols' usable rows whose label is known; the last `held` are to stop early by."""
    parts = []
    for samples in symbols:
        usable = np.flatnonzero(samples.usable)
        rows = WindowRows(usable[: len(usable) - held], usable[len(usable) - held :], usable[:0])
        parts.append(((samples.symbol, "2022-01-01"), samples, rows))
    return PoolRows.of(parts, HORIZON, "2022-01-01", symbols[0].feature_names)


def with_edge(samples: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """The samples with labels that follow their first feature, as rarely as the strength says."""
    feature = np.nan_to_num(samples.features[:, 0])
    standard = (feature - feature.mean()) / feature.std()
    label = (strength * standard + rng.normal(size=len(feature)) > 0).astype(float)
    return replace(samples, label=np.where(np.isnan(samples.label), np.nan, label))


def test_rows_of_a_pool_stand_one_symbol_after_the_other() -> None:
    one, other = walk(1), walk(2, bars=140)

    rows = pool_of(one, other)

    first = int(one.usable.sum())
    assert len(rows.label) == first + int(other.usable.sum())
    assert (rows.features[first] == other.features[other.usable][0]).all()
    assert (rows.time[:first] == one.time[one.usable]).all()


def test_all_symbols_of_a_date_are_left_out_together() -> None:
    rows = pool_of(walk(1), walk(2, bars=140), walk(3, bars=120))

    folds = rows.folds(4)

    dates = [set(rows.time[left_out].tolist()) for _, left_out in folds]
    assert sum(map(len, dates)) == len(set.union(*dates)) == len(np.unique(rows.time))
    assert sorted(np.concatenate([left_out for _, left_out in folds]).tolist()) == list(range(len(rows.label)))


def test_no_label_of_a_training_row_shares_a_day_with_one_that_is_left_out() -> None:
    rows = pool_of(walk(1), walk(2, bars=140))

    for train, left_out in rows.folds(5):
        begin, end = rows.time[left_out].min(), rows.known_at[left_out].max()
        assert len(train)
        assert ((rows.known_at[train] < begin) | (rows.time[train] > end)).all()


def test_a_hole_in_a_symbol_purges_the_rows_that_its_long_label_overlaps() -> None:
    whole, broken = walk(1), walk(2)
    time = broken.time.copy()
    time[100:] += np.timedelta64(20, "D")
    rows = pool_of(whole, replace(broken, time=time))
    # Labels of the bars before the hole are known 20 days later.
    assert (rows.known_at - rows.time).max() == np.timedelta64(27, "D")

    for train, left_out in rows.folds(4):
        begin, end = rows.time[left_out].min(), rows.known_at[left_out].max()
        assert ((rows.known_at[train] < begin) | (rows.time[train] > end)).all()


def test_a_pool_learns_an_edge_better_than_any_symbol_alone() -> None:
    rng = np.random.default_rng(5)
    market = [with_edge(walk(number), 0.2, rng) for number in range(24)]
    unseen = pool_of(*(with_edge(walk(100 + number), 0.2, rng) for number in range(24)))

    def skill(rows: PoolRows) -> float:
        return auc(unseen.label, predict(train_pool(rows, TEACHER).booster, unseen.features))

    # The feature itself, which the labels follow, has 0.606.
    assert skill(pool_of(*market)) > 0.58
    assert max(skill(pool_of(symbol)) for symbol in market[:4]) < 0.58


def test_soft_targets_of_noise_are_calibrated_away() -> None:
    rng = np.random.default_rng(11)
    noise: list[Samples] = []
    for number in range(24):
        samples = walk(number)
        coin = rng.integers(0, 2, len(samples.label)).astype(float)
        noise.append(replace(samples, label=np.where(np.isnan(samples.label), np.nan, coin)))
    rows = pool_of(*noise)

    teacher = train_pool(rows, TEACHER)

    served = teacher.calibration.serve(teacher.soft_targets)
    assert np.ptp(teacher.soft_targets) > 0.2
    assert np.ptp(served) < np.ptp(teacher.soft_targets) / 2
    assert served.mean() == pytest.approx(rows.label.mean(), abs=1e-6)


@pytest.mark.parametrize("changed", [{}, {"num_leaves": 4}, {"min_child_samples": 150}, {"seed": 8}], ids=str)
def test_a_student_on_the_bins_of_its_teacher_is_the_one_on_bins_of_its_own(
    changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    rows = pool_of(*(with_edge(walk(number), 0.5, rng) for number in range(4)))
    # Too few of its values differ from the rest for a leaf of 150 rows, and bins of that leaf leave it out.
    rows = replace(rows, features=np.column_stack([rows.features[:, :-1], np.arange(len(rows.label)) < 60]))
    teacher, student = train_pool(rows, TEACHER), STUDENT.model_copy(update=changed)
    soft = (teacher.soft_targets, teacher.calibration)
    alone = train_shared_student(rows, *soft, student).booster.model_to_string()
    binned, tables = lgb.Dataset, []

    def counted(*given: Any, **more: Any) -> lgb.Dataset:
        tables.append(binned(*given, **more))
        return tables[-1]

    monkeypatch.setattr(lgb, "Dataset", counted)

    assert train_shared_student(rows, *soft, student, teacher=teacher.booster).booster.model_to_string() == alone

    assert len(tables) == (0 if changed.keys() <= {"num_leaves"} else 1)
    # One that another process has trained comes without its rows.
    sent = pickle.loads(pickle.dumps(teacher.booster))  # noqa: S301  # its own bytes
    assert train_shared_student(rows, *soft, student, teacher=sent).booster.model_to_string() == alone


def test_a_shared_student_follows_its_teacher_and_serves_by_its_calibration() -> None:
    rng = np.random.default_rng(3)
    rows = pool_of(*(with_edge(walk(number), 0.5, rng) for number in range(12)))
    teacher = train_pool(rows, TEACHER)

    student = train_shared_student(rows, teacher.soft_targets, teacher.calibration, STUDENT)

    assert student.calibration == teacher.calibration
    assert len(student.soft_targets) == 0
    followed = np.corrcoef(predict(student.booster, rows.features), teacher.soft_targets)[0, 1]
    assert followed > 0.7


def test_a_correction_moves_the_shared_student_towards_what_the_pool_says_of_one_symbol() -> None:
    rows = pool_of(*(walk(number) for number in range(4)))
    taught = train_pool(rows, TEACHER)
    shared = train_shared_student(rows, taught.soft_targets, taught.calibration, STUDENT).booster
    before = shared.model_to_string()
    own, asked = pool_of(walk(0)), StudentParameters(scope="symbol", own_rounds=6).correction
    soft_targets = 0.9 * taught.soft_targets[: len(own.label)]

    corrected = correct_shared_student(shared, own, soft_targets, asked)

    assert shared.model_to_string() == before
    text = corrected.model_to_string()
    assert trees_of(text).count == 30 + 6
    check_parameters(asked.lightgbm(), effective_parameters(text))

    def miss(booster: lgb.Booster) -> float:
        return float(np.abs(predict(booster, own.features) - soft_targets).mean())

    assert miss(corrected) < 0.8 * miss(shared)
    assert correct_shared_student(shared, own, soft_targets, asked).model_to_string() == text


def test_rows_too_few_to_split_leave_the_shared_student_as_it_is() -> None:
    rows = pool_of(*(walk(number) for number in range(4)))
    taught = train_pool(rows, TEACHER)
    shared = train_shared_student(rows, taught.soft_targets, taught.calibration, STUDENT).booster
    few = pool_of(walk(0, bars=60))
    assert len(few.label) < 2 * StudentParameters(scope="symbol").min_child_samples

    asked = StudentParameters(scope="symbol").correction
    corrected = correct_shared_student(shared, few, taught.soft_targets[: len(few.label)], asked)

    assert predict(corrected, rows.features) == pytest.approx(predict(shared, rows.features))


def test_a_correction_whose_time_is_up_is_a_timeout() -> None:
    rows = pool_of(*(walk(number) for number in range(4)))
    shared = train_shared_student(rows, np.full(len(rows.label), 0.5), Calibration(1.0, 0.0), STUDENT).booster

    with pytest.raises(WindowError) as caught:
        correct_shared_student(shared, rows, rows.label, StudentParameters(scope="symbol").correction, lambda: True)

    assert caught.value.kind is FailureKind.TIMEOUT
    assert str(caught.value) == "Time was up after 0 of 10 further boosting rounds."


def test_a_fold_of_one_class_has_the_rate_of_the_pool() -> None:
    samples = walk(1)
    order = np.cumsum(samples.usable)
    # All ones lie in the last quarter, so that the last fold is left out by what saw zeros alone.
    label = np.where(np.isnan(samples.label), np.nan, (order > 0.75 * order[-1]).astype(float))
    rows = pool_of(replace(samples, label=label))

    teacher = train_pool(rows, replace_folds(4))

    (_, last) = rows.folds(4)[-1]
    assert teacher.soft_targets[last] == pytest.approx(np.full(len(last), rows.label.mean()))


def replace_folds(folds: int) -> TeacherParameters:
    return TEACHER.model_copy(update={"folds": folds})


def test_a_pool_of_one_class_says_what_it_lacks() -> None:
    flat = samples_of(bars_of(np.full(160, 100.0)), threshold=0.5)

    with pytest.raises(WindowError, match=r"All \d+ training labels of the pool are 0\.") as caught:
        train_pool(pool_of(flat), TEACHER)

    assert caught.value.kind is FailureKind.SINGLE_CLASS


def test_a_pool_stops_early_by_the_held_rows_of_all_symbols() -> None:
    rng = np.random.default_rng(3)
    symbols = [with_edge(walk(number), 0.2, rng) for number in range(8)]
    stopping = TeacherParameters(
        scope="pool", min_child_samples=10, n_estimators=400, learning_rate=0.3, early_stopping_rounds=5
    )

    rows = pool_of(*symbols, held=20)
    teacher = train_pool(rows, stopping)

    assert len(rows.held_label) == 8 * 20
    assert 0 < teacher.booster.best_iteration < 100


def test_a_pool_made_twice_is_the_same_pool() -> None:
    def made() -> tuple[str, Floats]:
        teacher = train_pool(pool_of(*(walk(number) for number in range(4))), TEACHER)
        return teacher.booster.model_to_string(), teacher.soft_targets

    (one, targets), (other, again) = made(), made()

    assert one == other
    assert (targets == again).all()
