"""Claims about the leak probes: more than twenty leaks, in code and in data, each caught by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from sensequant_assets.core import hurdles, lattice, splits
from sensequant_assets.core.bars import Bars, Floats, RawBars, Times, refuse_too_many, told, validated
from sensequant_assets.core.boosting import fit, trees_fingerprint
from sensequant_assets.core.calibration import Calibration, calibrated
from sensequant_assets.core.features import FEATURE_NAMES, causal_features
from sensequant_assets.core.judging import leaks
from sensequant_assets.core.judging.leaks import Finding, Positions, Spans
from sensequant_assets.core.labels import forward_returns
from sensequant_assets.core.lattice import Recipe, WindowRows, window_rows
from sensequant_assets.core.parameters import LightGBMValue, TeacherParameters
from sensequant_assets.core.pool import Pooled, PoolRows, train_pool
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.sessions import INTRADAY_NAMES, intraday_features
from sensequant_assets.core.teacher import predict
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import WindowError
from sensequant_assets_tests.making import random_walk, samples_of, with_columns

HORIZON = 7
HISTORIES = [random_walk(200, seed, symbol=f"S{seed}") for seed in (1, 2)]
WINDOW = Window(date(2022, 3, 2), date(2022, 6, 30))


def intraday(seed: int) -> Bars:
    """Ten sessions of twenty bars of five minutes."""
    bars = random_walk(200, seed)
    minutes = np.arange(200) % 20 * 5 + 9 * 60
    days = np.datetime64("2024-03-04", "s") + (np.arange(200) // 20).astype("timedelta64[D]")
    return replace(bars, time=days.astype("datetime64[s]") + minutes.astype("timedelta64[m]"))


# Features: one column each.


def next_bar(bars: Bars) -> Floats:
    return np.append(np.diff(np.log(bars.close)), np.nan)


def whole_history_zscore(bars: Bars) -> Floats:
    value: Floats = (bars.close - bars.close.mean()) / bars.close.std()
    return value


def whole_history_mean(bars: Bars) -> Floats:
    value: Floats = np.log(bars.volume / bars.volume.mean())
    return value


def whole_history_rank(bars: Bars) -> Floats:
    return np.argsort(np.argsort(bars.close)) / len(bars)


def centred_mean(bars: Bars) -> Floats:
    return np.convolve(np.pad(bars.close, 2, mode="edge"), np.full(5, 0.2), mode="valid") / bars.close


def backfilled(bars: Bars) -> Floats:
    value = np.full(len(bars), np.nan)
    value[10:] = np.log(bars.close[10:] / bars.close[: max(len(bars) - 10, 0)])
    value[:10] = value[10] if len(value) > 10 else np.nan
    return value


def filled_from_the_next_row(bars: Bars) -> Floats:
    value = np.where(bars.volume > 0, np.log(np.maximum(bars.volume, 1)), np.nan)
    return np.where(np.isnan(value), np.append(value[1:], np.nan), value)


def label_of_the_row(bars: Bars) -> Floats:
    return (np.nan_to_num(forward_returns(bars.close, HORIZON)) > 0).astype(float)


def return_with_noise(bars: Bars) -> Floats:
    noise = np.random.default_rng(3).normal(0, 0.02, 10_000)[: len(bars)]
    return np.nan_to_num(forward_returns(bars.close, HORIZON)) + noise


def scaled_by_the_test_window(bars: Bars) -> Floats:
    value: Floats = bars.close / bars.close[-60:].mean()
    return value


def bins_of_the_whole_history(bars: Bars) -> Floats:
    return np.digitize(bars.volume, np.quantile(bars.volume, [0.2, 0.4, 0.6, 0.8])).astype(float)


def bars_until_the_end(bars: Bars) -> Floats:
    return np.arange(len(bars), 0, -1).astype(float)


def days_until_the_next_bar(bars: Bars) -> Floats:
    return np.append(np.diff(bars.time).astype(float), np.nan)


LEAKY_FEATURES = [
    next_bar, whole_history_zscore, whole_history_mean, whole_history_rank, centred_mean, backfilled,
    filled_from_the_next_row, label_of_the_row, return_with_noise, scaled_by_the_test_window,
    bins_of_the_whole_history, bars_until_the_end, days_until_the_next_bar,
]  # fmt: skip


@pytest.mark.parametrize("planted", LEAKY_FEATURES)
def test_a_planted_feature_that_knows_the_future_is_named(planted: Callable[[Bars], Floats]) -> None:
    def features(bars: Bars) -> Floats:
        return np.column_stack([causal_features(bars, None), planted(bars)])

    found = leaks.features_know_no_future(features, HISTORIES, [*FEATURE_NAMES, "planted"])

    assert not found.passed
    assert found.severity == "error"
    assert found.evidence["leaking"] == 1
    assert "planted" in found.message


def test_the_features_of_daily_and_of_intraday_bars_know_no_future() -> None:
    daily = leaks.features_know_no_future(lambda bars: causal_features(bars, None), HISTORIES, FEATURE_NAMES)
    sessions = leaks.features_know_no_future(intraday_features, [intraday(1), intraday(2)], INTRADAY_NAMES)

    for found, names in ((daily, FEATURE_NAMES), (sessions, INTRADAY_NAMES)):
        assert found.passed, found.message
        assert found.evidence["features"] == len(names)
        assert found.evidence["cuts"] == 2 * leaks.CUTS


def test_a_sum_over_another_number_of_bars_is_no_leak() -> None:
    def smoothed(bars: Bars) -> Floats:
        # Prefix sums from the end, whose rounding depends on how many bars there are.
        total = bars.close.sum() - np.append(np.cumsum(bars.close[::-1])[::-1][1:], 0.0)
        return np.column_stack([total / np.arange(1, len(bars) + 1)])

    assert leaks.features_know_no_future(smoothed, HISTORIES, ["mean_so_far"]).passed


# Labels.


def each(compute: Callable[[Bars], Floats]) -> Callable[[Sequence[Bars]], list[Floats]]:
    return lambda histories: [compute(bars) for bars in histories]


def horizon_off_by_one(bars: Bars) -> Floats:
    return forward_returns(bars.close, HORIZON + 1)


def shifted_back(bars: Bars) -> Floats:
    return np.append(np.nan, forward_returns(bars.close, HORIZON)[:-1])


def relative_to_the_whole_history(bars: Bars) -> Floats:
    ahead = forward_returns(bars.close, HORIZON)
    return ahead - np.nanmedian(ahead)


@pytest.mark.parametrize("planted", [horizon_off_by_one, shifted_back, relative_to_the_whole_history])
def test_a_planted_label_that_reads_other_bars_than_it_says_is_found(planted: Callable[[Bars], Floats]) -> None:
    found = leaks.labels_keep_their_horizon(each(planted), HISTORIES, HORIZON)

    assert not found.passed
    assert found.evidence["read_later"] + found.evidence["read_earlier"] > 0


def test_forward_returns_read_their_horizon_and_nothing_else() -> None:
    ahead = each(lambda bars: forward_returns(bars.close, HORIZON))
    found = leaks.labels_keep_their_horizon(ahead, HISTORIES, HORIZON)
    assert found.passed, found.message


def with_a_hole(bars: Bars, hole: int) -> Bars:
    kept = np.arange(len(bars)) != hole
    return with_columns(
        bars, {name: getattr(bars, name)[kept] for name in ("time", "open", "high", "low", "close", "volume")}
    )


# Histories that lack bars look further ahead than the others, and one begins late.
UNIVERSE = [
    *(with_a_hole(random_walk(200, seed, symbol=f"S{seed}"), 20 * seed) for seed in range(1, 5)),
    leaks.some_bars(random_walk(200, 5, symbol="S5"), slice(70, None)),
    random_walk(200, 6, symbol="S6"),
]


def against_the_median(histories: Sequence[Bars]) -> list[Floats]:
    found = hurdles.cross_section(histories, Recipe(label="cross_sectional")).hurdles
    return [forward_returns(bars.close, HORIZON) - found[bars.symbol] for bars in histories]


def test_a_comparison_with_the_universe_reads_the_same_bars_as_its_return() -> None:
    assert sum(np.isfinite(one).sum() for one in against_the_median(UNIVERSE)) > 900
    found = leaks.labels_keep_their_horizon(against_the_median, UNIVERSE, HORIZON)
    assert found.passed, found.message


def test_a_comparison_of_returns_that_only_begin_together_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_begin(begins: Times, ends: Times) -> Positions:
        return np.unique(begins, return_inverse=True)[1]

    monkeypatch.setattr(hurdles, "_numbered", by_begin)
    found = leaks.labels_keep_their_horizon(against_the_median, UNIVERSE, HORIZON)
    assert not found.passed
    assert found.evidence["read_later"] > 0
    assert found.evidence["read_earlier"] == 0


# Rows and folds: the mechanism is broken where it stands, and the probe looks at what comes of it.


def market() -> list[Samples]:
    return [samples_of(random_walk(260, seed, symbol=f"S{seed}")) for seed in range(8)]


def rows_of(samples: Samples, recipe: Recipe) -> WindowRows:
    return lattice.window_rows(samples, WINDOW, WINDOW.start, recipe)


def spans(samples: Samples, rows: Positions) -> Spans:
    return Spans(samples.time[rows], samples.time[rows + HORIZON])


def pool_of(recipe: Recipe) -> PoolRows:
    parts = [((one.symbol, WINDOW.key), one, rows_of(one, recipe)) for one in market()]
    return PoolRows.of(parts, HORIZON, WINDOW.key, FEATURE_NAMES)


def folds_of_the_pool() -> Finding:
    rows = pool_of(Recipe(threshold=0.0, validation_fraction=0.0))
    whole = Spans(rows.time, rows.known_at)
    return leaks.no_shared_bars("folds", [(whole.at(train), whole.at(left_out)) for train, left_out in rows.folds(5)])


def folds_of_a_pair() -> Finding:
    samples = market()[0]
    cut = splits.purged_folds(rows_of(samples, Recipe(validation_fraction=0.0)).train, HORIZON, 5)
    return leaks.no_shared_bars("folds", [(spans(samples, one.train), spans(samples, one.test)) for one in cut])


def train_and_test() -> Finding:
    recipe, end = Recipe(threshold=0.0, validation_fraction=0.0), np.array([WINDOW.end], "datetime64[s]")
    learned = Spans.joined(spans(one, rows_of(one, recipe).train) for one in market())
    judged = Spans.joined([Spans(end, end), *(spans(one, rows_of(one, recipe).test) for one in market())])
    return leaks.no_shared_bars("test", [(learned, judged)])


def validation_tail() -> Finding:
    recipe = Recipe(threshold=0.0)
    cut = [(one, rows_of(one, recipe)) for one in market()]
    return leaks.no_shared_bars("valid", [(spans(one, rows.train), spans(one, rows.valid)) for one, rows in cut])


def early_stopping() -> Finding:
    rows = pool_of(Recipe(threshold=0.0))
    tested = [one.features[rows_of(one, Recipe(threshold=0.0)).test] for one in market()]
    return leaks.no_shared_rows("held", np.concatenate([rows.features, rows.held_features]), np.concatenate(tested))


def unpurged(rows: PoolRows, folds: int) -> list[tuple[Positions, Positions]]:
    left_out = [np.flatnonzero(np.isin(rows.time, each)) for each in np.array_split(np.unique(rows.time), folds)]
    return [(np.setdiff1d(np.arange(len(rows.time)), each), each) for each in left_out]


def shuffled(rows: PoolRows, folds: int) -> list[tuple[Positions, Positions]]:
    order = np.random.default_rng(0).permutation(len(rows.time))
    return [(np.setdiff1d(order, each), np.sort(each)) for each in np.array_split(order, folds)]


def by_symbol(rows: PoolRows, folds: int) -> list[tuple[Positions, Positions]]:
    """A date's symbols in different folds."""
    return [(np.setdiff1d(np.arange(len(rows.time)), e), e) for e in np.array_split(np.arange(len(rows.time)), folds)]


def unpurged_folds(rows: Positions, horizon: int, folds: int) -> tuple[splits.Split, ...]:
    return tuple(splits.Split(np.setdiff1d(rows, each), each) for each in np.array_split(rows, folds))


def tail_without_purge(rows: Positions, horizon: int, fraction: float) -> splits.Split:
    held = len(rows) - int(len(rows) * fraction)
    return splits.Split(rows[:held], rows[held:])


def beyond_the_end(samples: Samples, window: Window, start: date, recipe: Recipe) -> WindowRows:
    rows = window_rows(samples, window, start, recipe)
    return replace(rows, train=np.concatenate([rows.train, rows.train[-1] + np.arange(1, HORIZON + 1)]))


def learning_from_test_rows(samples: Samples, window: Window, start: date, recipe: Recipe) -> WindowRows:
    rows = window_rows(samples, window, start, recipe)
    return replace(rows, train=np.concatenate([rows.train, rows.test[:20]]))


def stopping_on_test_rows(samples: Samples, window: Window, start: date, recipe: Recipe) -> WindowRows:
    rows = window_rows(samples, window, start, recipe)
    return replace(rows, valid=rows.test)


MECHANISMS: list[tuple[Callable[[], Finding], object, str, object]] = [
    (folds_of_the_pool, PoolRows, "folds", unpurged),
    (folds_of_the_pool, PoolRows, "folds", shuffled),
    (folds_of_the_pool, PoolRows, "folds", by_symbol),
    (folds_of_a_pair, splits, "purged_folds", unpurged_folds),
    (validation_tail, lattice, "purged_tail", tail_without_purge),
    (train_and_test, lattice, "window_rows", beyond_the_end),
    (train_and_test, lattice, "window_rows", learning_from_test_rows),
    (early_stopping, lattice, "window_rows", stopping_on_test_rows),
]


@pytest.mark.parametrize(
    ("look", "place", "name", "planted"), MECHANISMS, ids=[getattr(each[3], "__name__", "") for each in MECHANISMS]
)
def test_a_planted_leak_between_rows_is_found(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[], Finding], place: object, name: str, planted: object
) -> None:
    clean = look()
    assert clean.passed, clean.message
    assert clean.evidence["rows"] > 50
    assert clean.evidence["judged"] > 50

    monkeypatch.setattr(place, name, planted)

    found = look()
    assert not found.passed
    assert found.severity == "error"
    assert found.evidence["shared"] > 0


def test_folds_that_forget_a_row_or_take_it_twice_are_found() -> None:
    whole = np.arange(10)
    assert leaks.folds_leave_each_row_out_once([np.array_split(whole, 3)], [10]).passed
    assert leaks.folds_leave_each_row_out_once([[whole[:5], whole[6:]]], [10]).evidence["wrong"] == 1
    assert leaks.folds_leave_each_row_out_once([[whole[:5], whole[4:]]], [10]).evidence["wrong"] == 1


def test_rows_of_a_symbol_that_does_not_trade_are_no_shared_rows() -> None:
    flat, trading = np.zeros((5, 3)), np.random.default_rng(0).normal(size=(5, 3))
    assert leaks.no_shared_rows("flat", np.concatenate([flat, trading]), flat).passed
    assert leaks.no_shared_rows("trading", np.concatenate([flat, trading]), trading[:2]).evidence["shared"] == 2


# Models: nothing that comes after a window may change what is made of it.

TEACHER = TeacherParameters(
    scope="pool", n_estimators=60, min_child_samples=20, learning_rate=0.05, early_stopping_rounds=20, folds=3
)

Train = Callable[[PoolRows, PoolRows], Pooled]
"""From a pool's rows, and the rows that it is tested on, to its model."""


def honest(rows: PoolRows, tested: PoolRows) -> Pooled:
    return train_pool(rows, TEACHER)


def stopping_by_test_rows(rows: PoolRows, tested: PoolRows) -> Pooled:
    return train_pool(replace(rows, held_features=tested.features, held_label=tested.label), TEACHER)


def calibrated_on_test_rows(rows: PoolRows, tested: PoolRows) -> Pooled:
    model = train_pool(rows, TEACHER)
    return replace(model, calibration=calibrated(predict(model.booster, tested.features), tested.label))


def scaled_by_test_rows(rows: PoolRows, tested: PoolRows) -> Pooled:
    scale = tested.features.std(axis=0) + 1e-9
    return train_pool(replace(rows, features=rows.features / scale, held_features=rows.held_features / scale), TEACHER)


def with_test_rows(rows: PoolRows, tested: PoolRows) -> Pooled:
    both = replace(
        rows,
        features=np.concatenate([rows.features, tested.features]),
        label=np.concatenate([rows.label, tested.label]),
        time=np.concatenate([rows.time, tested.time]),
        known_at=np.concatenate([rows.known_at, tested.known_at]),
    )
    return train_pool(both, TEACHER)


def made_of(samples: Sequence[Samples], train: Train) -> tuple[str, Calibration, bytes]:
    """Trees, calibration and soft targets of a pool."""
    recipe = Recipe(threshold=0.0)
    cut = [((one.symbol, WINDOW.key), one, rows_of(one, recipe)) for one in samples]
    tested = [(key, one, replace(rows, train=rows.test)) for key, one, rows in cut]
    rows, unseen = (PoolRows.of(parts, HORIZON, WINDOW.key, FEATURE_NAMES) for parts in (cut, tested))
    model = train(rows, unseen)
    return trees_fingerprint(model.booster.model_to_string()), model.calibration, model.soft_targets.tobytes()


def with_another_future(seed: int) -> Samples:
    """A symbol of `market` whose bars are others from the window's end on."""
    bars = random_walk(260, seed, symbol=f"S{seed}")
    end = int(np.searchsorted(bars.time, np.datetime64(WINDOW.end)))
    steps = np.random.default_rng(100 + seed).normal(0, 0.05, len(bars)) * (np.arange(len(bars)) >= end)
    path = np.exp(np.cumsum(steps))
    return samples_of(
        with_columns(bars, {name: getattr(bars, name) * path for name in ("open", "high", "low", "close")})
    )


def test_what_comes_after_a_window_changes_nothing_of_its_pool() -> None:
    assert made_of(market(), honest) == made_of([with_another_future(seed) for seed in range(8)], honest)


@pytest.mark.parametrize(
    "planted", [stopping_by_test_rows, calibrated_on_test_rows, scaled_by_test_rows, with_test_rows]
)
def test_a_pool_that_is_made_with_its_test_rows_is_another_in_another_future(planted: Train) -> None:
    assert made_of(market(), planted) != made_of([with_another_future(seed) for seed in range(8)], planted)


# Data: no code leaks, the bars do.


def single_features(bars: Sequence[Bars]) -> Finding:
    parts = [(one, np.flatnonzero(one.usable)) for one in map(samples_of, bars)]
    features, ahead, time = (
        np.concatenate([getattr(one, name)[rows] for one, rows in parts])
        for name in ("features", "forward_return", "time")
    )
    return leaks.no_feature_knows_too_much(features, FEATURE_NAMES, ahead, time, HORIZON)


def volume_that_knows(bars: Bars) -> Bars:
    ahead = np.nan_to_num(forward_returns(bars.close, HORIZON))
    return replace(bars, volume=np.maximum(1000 * np.exp(20 * ahead), 1.0))


def opens_that_know(bars: Bars) -> Bars:
    ahead = np.nan_to_num(forward_returns(bars.close, HORIZON))
    opened = bars.close * (1 + 0.1 * ahead)
    high, low = np.maximum(bars.high, opened), np.minimum(bars.low, opened)
    return replace(bars, open=opened, high=high, low=low)


def test_volume_that_knows_the_next_bars_is_named() -> None:
    noise = [random_walk(260, seed, symbol=f"S{seed}") for seed in range(24)]
    clean = single_features(noise)
    assert clean.passed, clean.message
    assert clean.evidence["rows"] > 4000
    assert clean.evidence["dates"] > 200

    for planted, knowing in ((volume_that_knows, "volume_"), (opens_that_know, "body")):
        found = single_features([planted(bars) for bars in noise])
        assert not found.passed
        assert found.severity == "warning"
        assert abs(found.evidence["rank_ic"]) > 0.3
        assert knowing in found.message


def test_a_large_rank_ic_of_few_symbols_is_noise() -> None:
    rng = np.random.default_rng(2)
    features, ahead = rng.normal(size=(60, 20)), rng.normal(size=60)
    time = np.repeat(np.datetime64("2024-01-01", "s") + np.arange(20).astype("timedelta64[D]"), 3)

    found = leaks.no_feature_knows_too_much(features, [str(number) for number in range(20)], ahead, time, HORIZON)

    assert abs(found.evidence["rank_ic"]) > leaks.MOST_IC
    assert found.passed


def test_without_a_cross_section_no_feature_is_suspected() -> None:
    found = single_features([random_walk(260, 1), random_walk(260, 2)])
    assert found.passed
    assert "cross-section" in found.message


@pytest.mark.parametrize(
    ("planted", "rule"),
    [
        (lambda numbers: {"close": np.append(numbers["close"][1:], 1.0)}, "low is above open or close"),
        (lambda numbers: {"high": np.append(numbers["high"][1:], 1.0)}, "high is below open or close"),
    ],
    ids=["close_filed_a_bar_early", "high_filed_a_bar_early"],
)
def test_a_column_filed_a_bar_early_is_no_bar(planted: Callable[..., dict[str, Floats]], rule: str) -> None:
    bars = random_walk(60, 3)
    numbers = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    raw = RawBars("AAA", "AAA.csv", np.arange(60), bars.time, numbers, lambda name, _: name)
    assert len(validated(raw, until=bars.time[-1])) == 60

    with pytest.raises(WindowError, match=rule):
        refuse_too_many(validated(replace(raw, numbers=numbers | planted(numbers)), until=bars.time[-1]))


def test_bars_filed_before_they_have_happened_are_no_bars() -> None:
    bars = random_walk(60, 3)
    numbers = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    raw = RawBars("AAA", "AAA.csv", np.arange(60), bars.time, numbers, lambda name, _: name)

    found = validated(raw, until=bars.time[-2])
    assert len(found) == 59
    assert "time is in the future" in told(found.delivery.bad)


# Shuffled folds against purged ones.


def gap_of(rows: PoolRows, folds: Sequence[tuple[Positions, Positions]], *more: Floats) -> Finding:
    features = np.column_stack([rows.features, *more])
    quick: dict[str, LightGBMValue] = {
        "objective": "binary",
        "num_leaves": 31,
        "num_iterations": 20,
        "num_threads": 1,
        "verbosity": -1,
    }

    def said(train: Positions, left_out: Positions) -> Floats:
        names = tuple(f"f{number}" for number in range(features.shape[1]))
        return predict(fit(features[train], rows.label[train], quick, feature_names=names), features[left_out])

    return leaks.folds_are_not_fooled(rows.label, rows.time, folds, said)


def test_folds_that_are_not_purged_and_features_that_know_the_label_have_no_gap() -> None:
    samples = [samples_of(random_walk(260, seed, symbol=f"S{seed}")) for seed in range(40)]
    recipe = Recipe(threshold=0.0, validation_fraction=0.0)
    rows = PoolRows.of(
        [((one.symbol, WINDOW.key), one, rows_of(one, recipe)) for one in samples], HORIZON, WINDOW.key, FEATURE_NAMES
    )

    clean = gap_of(rows, rows.folds(5))
    assert clean.passed, clean.message
    assert leaks.GAPS[0] < clean.evidence["gap"] < leaks.GAPS[1]

    fooled = gap_of(rows, shuffled(rows, 5))
    assert not fooled.passed, fooled.message
    assert fooled.severity == "warning"
    assert not gap_of(rows, rows.folds(5), rows.label).passed
