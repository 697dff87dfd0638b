"""The leak probes on a market: its features and labels, the rows of its windows, its folds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sensequant_assets.core.bars import Bars, Floats, Times
from sensequant_assets.core.boosting import fit
from sensequant_assets.core.hurdles import cross_section, hurdle_of
from sensequant_assets.core.judging import leaks
from sensequant_assets.core.judging.leaks import Finding, Positions, Spans
from sensequant_assets.core.lattice import Key, WindowRows
from sensequant_assets.core.parameters import LightGBMValue
from sensequant_assets.core.pool import PoolRows
from sensequant_assets.core.samples import OvernightLabels, Samples, build_samples
from sensequant_assets.core.splits import purged_folds
from sensequant_assets.core.teacher import predict
from sensequant_assets.core.training import Lesson
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market

SYMBOLS = 6
"""Symbols in whose bars another future is tried, evenly from the universe: code that leaks does so in every one."""

MOST_BARS = 1_500
"""Bars of each that are tried: some six years of days."""

MOST_ROWS = 100_000
"""Rows that the single features are judged on, of moments evenly from all; the model of the folds has as many."""

_QUICK: Mapping[str, LightGBMValue] = {
    "objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "num_iterations": 20, "min_data_in_leaf": 20,
    "seed": 0, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Window:
    """Eligible pairs of a window with their samples and rows."""

    key: str
    end: np.datetime64
    lessons: Sequence[Lesson]

    def parts(self) -> Iterator[tuple[Key, Samples, WindowRows]]:
        return (((one.pair.symbol, one.pair.window.key), one.samples, one.rows) for one in self.lessons)

    def spans(self, name: str) -> Spans:
        return Spans.joined(spans_of(one, getattr(one.rows, name)) for one in self.lessons)

    def columns(self, name: str) -> tuple[Floats, Floats, Times]:
        """Features, forward returns and times of rows."""
        parts = [(one.samples, getattr(one.rows, name)) for one in self.lessons]
        features, ahead, time = zip(
            *((samples.features[rows], samples.forward_return[rows], samples.time[rows]) for samples, rows in parts),
            strict=True,
        )
        return np.concatenate(features), np.concatenate(ahead), np.concatenate(time)

    @property
    def judged(self) -> Spans:
        """Test rows; the test span begins with the window's end, whether a row is there or not."""
        end = np.array([self.end], "datetime64[s]")
        return Spans.joined([Spans(end, end), self.spans("test")])


def spans_of(lesson: Lesson, rows: Positions) -> Spans:
    """From each row's bar to the one at which its label is known."""
    time = lesson.samples.time
    return Spans(time[rows], time[rows + lesson.recipe.horizon])


def probe(market: Market, windows: Iterable[str], folds: int) -> list[Finding]:
    """Look for leaks in what the models of windows learn from and are judged on.

    Parameters
    ----------
    market
        Open; its samples are built again with other bars, by the code that trains.
    windows
        Keys of the windows.
    folds
        Of a teacher's soft targets.

    Returns
    -------
    list of Finding
        Errors first. The probes of features and labels take `SYMBOLS` symbols, the one of shuffled folds the last of
        the windows that has rows, the others all rows of the windows.
    """
    symbols = _of_one_kind(market)
    found = list(_of_bars(market, symbols))
    cut = [window for window in _windows(market, symbols, windows) if window.lessons]
    return found + (list(_of_rows(market, cut, folds)) if cut else [])


def _of_one_kind(market: Market) -> Sequence[str]:
    """Symbols with usable bars whose features are those of most: a market may hold daily and intraday bars."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for symbol in market.universe.symbols:
        samples = market.plan(symbol).samples
        # A symbol whose bars cannot be used is in no pool and has no test row.
        if not isinstance(samples, WindowError) and samples.usable.any():
            kinds.setdefault(samples.feature_names, []).append(symbol)
    return max(kinds.values(), key=len, default=[])


def _of_bars(market: Market, symbols: Sequence[str]) -> Iterator[Finding]:
    if not symbols:
        return
    chosen = np.unique(np.linspace(0, len(symbols) - 1, SYMBOLS).astype(int))
    histories = [leaks.some_bars(market.bars(symbols[place]), slice(-MOST_BARS, None)) for place in chosen]
    recipe, universe = market.recipe, market.universe

    compared, scaled = recipe.label == "cross_sectional", recipe.label == "volatility_neutral"

    def samples(bars: Bars, hurdle: float | Floats, overnight_labels: OvernightLabels) -> Samples:
        listing = universe.listing(bars.symbol)
        return build_samples(bars, listing, recipe.horizon, hurdle, overnight_labels, market.providers)

    def known_by_then(bars: Bars) -> Floats:
        # Of the labels nothing is asked here, and a history that is cut short may have none within its sessions.
        own = samples(bars, 0.0 if compared else hurdle_of(bars, recipe), "keep")
        return np.column_stack([own.features, own.hurdle]) if scaled else own.features

    def ahead(histories: Sequence[Bars]) -> list[Floats]:
        hurdles = cross_section(histories, recipe).hurdles if compared else {}
        own = (samples(bars, hurdles.get(bars.symbol, 0.0), recipe.overnight_labels) for bars in histories)
        return [each.forward_return - each.hurdle for each in own]

    names = samples(histories[0], 0.0, "keep").feature_names
    yield leaks.features_know_no_future(known_by_then, histories, (*names, "hurdle") if scaled else names)
    yield leaks.labels_keep_their_horizon(ahead, histories, recipe.horizon)


def _windows(market: Market, symbols: Sequence[str], windows: Iterable[str]) -> list[_Window]:
    chosen = set(windows)
    lessons: dict[str, list[Lesson]] = {key: [] for key in market.window_keys if key in chosen}
    for symbol in symbols:
        plan = market.plan(symbol)
        if not isinstance(plan.samples, WindowError):
            for pair in plan.pairs:
                if pair.trainable and not pair.served_by and pair.window.key in chosen:
                    lessons[pair.window.key].append(Lesson.of(pair, plan.samples, market.recipe))
    ends = {each.key: np.datetime64(each.end, "s") for each in market.windows}
    return [_Window(key, ends[key], own) for key, own in lessons.items()]


def _of_rows(market: Market, windows: Sequence[_Window], folds: int) -> Iterator[Finding]:
    pools = list(_pools(market, windows))
    yield from _of_folds([rows for rows, _ in pools], windows, folds)
    judged = [window.judged for window in windows]
    learned = [Spans.joined([window.spans("train"), window.spans("valid")]) for window in windows]
    pooled = [(Spans(rows.time, rows.known_at), window.judged) for rows, window in pools]
    splits = [*zip(learned, judged, strict=True), *pooled]
    yield leaks.no_shared_bars("test_rows_share_no_bar", splits)
    stopping = [(window.spans("valid"), window.judged) for window in windows]
    tails = [(window.spans("train"), window.spans("valid")) for window in windows]
    yield leaks.no_shared_bars("early_stopping_sees_no_test_row", [*stopping, *tails])
    tested = [(rows, window) for rows, window in pools if len(window.spans("test"))]
    for rows, window in tested[-1:]:
        given = np.concatenate([rows.features, rows.held_features])
        yield leaks.no_shared_rows("pool_has_no_test_row", given, window.columns("test")[0])
    yield _of_features(market, windows)
    yield _of_shuffled_folds(market, windows[-1], folds)


def _pools(market: Market, windows: Sequence[_Window]) -> Iterator[tuple[PoolRows, _Window]]:
    """The rows of the pools of windows; none where pairs' own rows teach."""
    for window in windows if market.pooled else ():
        for pool in market.pools_in([window.key]):
            if not pool.lacks:
                yield market.pool_rows(pool.name), window


def _of_folds(pools: Sequence[PoolRows], windows: Sequence[_Window], folds: int) -> Iterator[Finding]:
    """The folds by which soft targets are made: of pools, or else of every pair."""
    spans, cuts = [], []
    for rows in pools:
        spans.append(Spans(rows.time, rows.known_at))
        cuts.append(rows.folds(folds))
    for lesson in () if pools else [lesson for window in windows for lesson in window.lessons]:
        train = lesson.rows.train
        spans.append(spans_of(lesson, train))
        splits = purged_folds(train, lesson.recipe.horizon, folds)
        cuts.append([(np.searchsorted(train, one.train), np.searchsorted(train, one.test)) for one in splits])
    yield leaks.no_shared_bars(
        "folds_share_no_bar",
        ((own.at(train), own.at(left_out)) for own, cut in zip(spans, cuts, strict=True) for train, left_out in cut),
    )
    left_out = [[each for _, each in cut] for cut in cuts]
    yield leaks.folds_leave_each_row_out_once(left_out, list(map(len, spans)))


def _of_features(market: Market, windows: Sequence[_Window]) -> Finding:
    names = windows[0].lessons[0].samples.feature_names
    parts = [window.columns("train") for window in windows]
    features, ahead, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    moments = np.unique(time)
    kept = moments[:: 1 + len(time) // MOST_ROWS]
    chosen = np.isin(time, kept)
    return leaks.no_feature_knows_too_much(features[chosen], names, ahead[chosen], time[chosen], market.recipe.horizon)


def _of_shuffled_folds(market: Market, window: _Window, folds: int) -> Finding:
    rows = PoolRows.of(window.parts(), market.recipe.horizon, window.key, window.lessons[0].samples.feature_names)

    def said(train: Positions, left_out: Positions) -> Floats:
        booster = fit(rows.features[train], rows.label[train], _QUICK, feature_names=rows.feature_names)
        return predict(booster, rows.features[left_out])

    return leaks.folds_are_not_fooled(rows.label, rows.time, rows.folds(folds), said)
