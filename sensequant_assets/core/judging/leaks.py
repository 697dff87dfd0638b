"""Probes for leaks: what models learn from must not know what they are judged on.

Each probe is given what it looks at, a function or rows, and returns a finding. What is certain is an error: a value
that changes with bars that come later, a bar that two sides share. What is only suspicious is a warning.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Bars, Floats, Times
from sensequant_assets.core.judging import metrics, sums

CUTS = 8
"""Bars of a history after which another future is tried."""

MOST_IC = 0.15
"""Rank IC of a single feature above which it is suspected; docs/judging.md has what was measured."""

GAPS = (0.03, 0.25)
"""AUC that shuffled folds show above purged ones where nothing leaks; docs/judging.md has what was measured."""

SKILL = 0.55
"""AUC in purged folds from which a gap below `GAPS` is suspicious: who knows nothing has no gap to have."""

_SURE = 4.0
"""Standard errors from 0 below which an IC is noise, the largest of some 25 features' too."""

_FEWEST_SYMBOLS = 3
_ROUNDING = 1e-9
"""Share of a column's spread by which a sum over another number of bars may differ."""

Severity = Literal["error", "warning"]
Positions = NDArray[np.int64]
OfBars = Callable[[Bars], Floats]
"""From the whole history of a symbol to one row a bar, shape (bars, columns) or (bars,)."""

OfUniverse = Callable[[Sequence[Bars]], Sequence[Floats]]
"""From the whole histories of all symbols to one value a bar of each, shape (bars,)."""

Fit = Callable[[Positions, Positions], Floats]
"""From rows to train on, and rows left out, to probabilities of the latter."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found.

    Attributes
    ----------
    name
        Of the probe.
    severity
        What it is when it does not pass.
    passed
        Whether nothing was found.
    evidence
        Numbers, with how many rows, dates or folds they stand on.
    message
        The same as a sentence.
    """

    name: str
    severity: Severity
    passed: bool
    evidence: Mapping[str, float]
    message: str


def summary(findings: Sequence[Finding]) -> list[str]:
    """What probes found, errors first, in sentences."""
    found = sorted((one for one in findings if not one.passed), key=lambda one: one.severity)
    if not findings:
        return ["No symbol has rows in which to look for leaks."]
    return [f"Leak probe {one.name}, {one.severity}: {one.message}" for one in found] or [
        f"{len(findings)} leak probes found nothing."
    ]


@dataclass(frozen=True, slots=True)
class Spans:
    """From the bar of each row to the one at which its label is known, both included, each of shape (rows,)."""

    time: Times
    known_at: Times

    def __len__(self) -> int:
        return len(self.time)

    def at(self, rows: Positions) -> "Spans":
        """Those of some rows."""
        return Spans(self.time[rows], self.known_at[rows])

    @classmethod
    def joined(cls, parts: Iterable["Spans"]) -> "Spans":
        """Those of several sets of rows."""
        parts = [cls(np.empty(0, "datetime64[s]"), np.empty(0, "datetime64[s]")), *parts]
        return cls(np.concatenate([one.time for one in parts]), np.concatenate([one.known_at for one in parts]))


def features_know_no_future(compute: OfBars, histories: Sequence[Bars], names: Sequence[str]) -> Finding:
    """Change the bars after t: no feature of t or before may change.

    Parameters
    ----------
    compute
        The features. It is called with whole histories, with such as end at t, and with such as are flat and without
        volume at t, where features are undefined and some implementations borrow from the next row.
    histories
        Bars of symbols.
    names
        Names of the columns.
    """
    rng = np.random.default_rng(0)

    def computed(bars: Bars) -> Floats:
        # Bars that nobody has seen, or two of them, may divide by zero.
        with np.errstate(all="ignore"):
            return compute(bars)

    changed, rows, cuts = np.zeros(len(names), dtype=np.int64), 0, 0
    for bars in histories:
        for cut in _cuts(len(bars), 0):
            for known in (bars, _flat_at(bars, cut)):
                before = computed(known)
                for other in (_with_another_future(known, cut, rng), some_bars(known, slice(cut + 1))):
                    after = computed(other)
                    # So few intraday bars that they pass for daily ones have features of another kind.
                    if after.shape[1] == before.shape[1]:
                        changed += _differs(before[: cut + 1], after[: cut + 1], before).sum(axis=0)
            rows, cuts = rows + cut + 1, cuts + 1
    guilty = [name for name, times in zip(names, changed, strict=True) if times]
    evidence = {"features": len(names), "leaking": len(guilty), "symbols": len(histories), "cuts": cuts, "rows": rows}
    said = (
        f"{_and(guilty)} {'changes' if len(guilty) == 1 else 'change'} with bars that come later. Read bars up to the "
        "row's own and no statistic of the whole history."
        if guilty
        else f"None of {len(names)} features changes with bars that come later ({cuts} cuts in the histories of "
        f"{len(histories)} symbols)."
    )
    return Finding("features_know_no_future", "error", not guilty, evidence, said)


def labels_keep_their_horizon(compute: OfUniverse, histories: Sequence[Bars], horizon: int) -> Finding:
    """Change all bars outside t to t + horizon: no label of t may change, whoever's bars it reads.

    What is purged is counted in bars of the horizon, so that a label that reads one more leaks through every purge.

    Parameters
    ----------
    compute
        What labels are cut from, forward returns or their distance from a median, which shows more than the labels.
    histories
        Bars of symbols.
    horizon
        Bars that a label is said to look ahead.
    """
    rng = np.random.default_rng(0)
    later, earlier, rows = 0, 0, 0
    moments = np.unique(np.concatenate([np.empty(0, "datetime64[s]"), *(bars.time for bars in histories)]))
    cuts, before = _cuts(len(moments), horizon), compute(histories)
    for cut in cuts:
        ends = [int(np.searchsorted(bars.time, moments[cut + horizon], side="right")) for bars in histories]
        after = compute([_with_another_future(bars, end - 1, rng) for bars, end in zip(histories, ends, strict=True)])
        for old, new, end in zip(before, after, ends, strict=True):
            known = slice(max(end - horizon, 0))
            later += int(_differs(old[known], new[known], old).sum())
        begins = [int(np.searchsorted(bars.time, moments[cut])) for bars in histories]
        after = compute([_with_another_past(bars, begin) for bars, begin in zip(histories, begins, strict=True)])
        for old, new, begin in zip(before, after, begins, strict=True):
            earlier += int(_differs(old[begin:], new[begin:], old).sum())
        rows += sum(map(len, histories))
    evidence = {"horizon": horizon, "read_later": later, "read_earlier": earlier, "cuts": len(cuts), "rows": rows}
    sides = [side for side, found in (("after its horizon", later), ("before its own", earlier)) if found]
    said = (
        f"A label reads bars {_and(sides)}. Purge by the bars that it reads."
        if sides
        else f"No label reads a bar before its own or more than {horizon} bars after it ({len(cuts)} cuts)."
    )
    return Finding("labels_keep_their_horizon", "error", not sides, evidence, said)


def no_shared_bars(name: str, splits: Iterable[tuple[Spans, Spans]]) -> Finding:
    """Count rows to learn from whose label shares a bar with a row that they are judged on.

    Parameters
    ----------
    name
        Of the probe.
    splits
        Rows to learn from and rows to judge on, of any symbols: what happens to one at a time happens to all.
    """
    shared, learned, judged, number = 0, 0, 0, 0
    for train, test in splits:
        shared += int(_overlapping(train, test).sum())
        learned, judged, number = learned + len(train), judged + len(test), number + 1
    evidence = {"shared": shared, "rows": learned, "judged": judged, "splits": number}
    said = (
        f"Labels of {shared:,} of {learned:,} rows that are learned from share a bar with rows that are judged. "
        "Purge them."
        if shared
        else f"None of {learned:,} rows that are learned from shares a bar with one of {judged:,} that are judged "
        f"({number:,} splits)."
    )
    return Finding(name, "error", not shared, evidence, said)


def folds_leave_each_row_out_once(left_out: Sequence[Sequence[Positions]], rows: Sequence[int]) -> Finding:
    """Make sure that folds together leave every row out, and none twice.

    Parameters
    ----------
    left_out
        By cut, rows that each of its folds leaves out.
    rows
        By cut, how many rows there are.
    """
    wrong = sum(
        int((np.bincount(np.concatenate([np.empty(0, np.int64), *folds]), minlength=count) != 1).sum())
        for folds, count in zip(left_out, rows, strict=True)
    )
    evidence = {"wrong": wrong, "rows": sum(rows), "folds": sum(map(len, left_out))}
    said = f"Folds leave {wrong:,} of {sum(rows):,} rows out never or more than once." if wrong else (
        f"Folds leave each of {sum(rows):,} rows out once."
    )  # fmt: skip
    return Finding("folds_leave_each_row_out_once", "error", not wrong, evidence, said)


def no_shared_rows(name: str, one: Floats, other: Floats) -> Finding:
    """Count rows of one set of features that are rows of the other.

    A row counts by its bytes, where they stand once in either set: a symbol that does not trade has many rows that are
    the same.

    Parameters
    ----------
    name
        Of the probe.
    one, other
        Shape (rows, features).
    """
    shared = len(_once(one) & _once(other))
    evidence = {"shared": shared, "rows": len(one), "judged": len(other)}
    said = (
        f"{shared:,} of {len(one):,} rows are among the {len(other):,} that are judged. Take them out."
        if shared
        else f"None of {len(one):,} rows is among the {len(other):,} that are judged."
    )
    return Finding(name, "error", not shared, evidence, said)


def no_feature_knows_too_much(
    features: Floats, names: Sequence[str], forward_return: Floats, time: Times, horizon: int
) -> Finding:
    """The largest rank IC that a single feature has across symbols, in size.

    A leak in the data passes every other probe: volumes that know the next bars are volumes. A market with a true edge
    as large is suspected too.

    Parameters
    ----------
    features
        Shape (rows, features), of all symbols.
    names
        Names of the columns.
    forward_return, time
        Of the rows, shape (rows,).
    horizon
        Bars that a return looks ahead: so many neighbouring moments are about one observation.
    """
    moments, moment = np.unique(time, return_inverse=True)
    best, best_ic, best_error, most = "", 0.0, float("nan"), 0
    for name, values in zip(names, features.T, strict=True):
        daily = sums.correlations(values, forward_return, moment, len(moments), _FEWEST_SYMBOLS)
        daily = daily[np.isfinite(daily)]
        if len(daily) < 2:
            continue
        ic, error = float(daily.mean()), float(daily.std(ddof=1) / np.sqrt(max(1.0, len(daily) / horizon)))
        if abs(ic) > abs(best_ic):
            best, best_ic, best_error, most = name, ic, error, len(daily)
    suspected = abs(best_ic) > MOST_IC and abs(best_ic) > _SURE * best_error
    evidence = {"rank_ic": best_ic, "standard_error": best_error, "limit": MOST_IC, "rows": len(time), "dates": most}
    told = f"{best} has a rank IC of {best_ic:+.3f} on {len(time):,} rows of {most:,} moments"
    if not best:
        said = "No moment has symbols enough for a cross-section."
    elif suspected:
        said = f"{told}, which is above {MOST_IC}: few true edges are so large. Look whether it knows the future."
    else:
        said = f"No feature has a suspicious rank IC; {told}."
    return Finding("no_feature_knows_too_much", "warning", not suspected, evidence, said)


def folds_are_not_fooled(label: Floats, time: Times, folds: Sequence[tuple[Positions, Positions]], fit: Fit) -> Finding:
    """How much better a model looks in shuffled folds than in purged ones.

    Labels of neighbouring bars overlap, so that in shuffled folds a model knows of a row's neighbours how it ended:
    there is a gap wherever they do. Skill without a gap comes from elsewhere: from folds called purged that are not, or
    from a feature that knows the label. A wide gap comes of features that name the row: dates, levels.

    Parameters
    ----------
    label, time
        Of the rows, shape (rows,).
    folds
        Purged: rows to train on and rows left out.
    fit
        A cheap model.
    """
    rng = np.random.default_rng(0)
    everything = np.arange(len(label))
    shuffled = [
        (np.setdiff1d(everything, left_out, assume_unique=True), left_out)
        for left_out in map(np.sort, np.array_split(rng.permutation(everything), len(folds)))
    ]
    purged_auc, shuffled_auc = (_mean_auc(label, cut, fit) for cut in (folds, shuffled))
    gap = shuffled_auc - purged_auc
    least, most = GAPS
    narrow, wide = gap < least and purged_auc > SKILL, gap > most
    evidence = {
        "gap": gap, "shuffled_auc": shuffled_auc, "purged_auc": purged_auc, "least": least, "most": most,
        "rows": len(label), "dates": len(np.unique(time)),
    }  # fmt: skip
    told = f"AUC is {shuffled_auc:.3f} in shuffled folds and {purged_auc:.3f} in purged ones ({len(label):,} rows)"
    if np.isnan(gap):
        said = "No fold has both classes, so that there is nothing to compare."
    elif narrow:
        said = f"{told}, which is no gap. Look whether the folds are purged, and whether a feature knows the label."
    elif wide:
        said = f"{told}, a wide gap. Look whether features name the row: dates, levels, statistics of the history."
    else:
        said = f"{told}, as overlapping labels make it."
    return Finding("folds_are_not_fooled", "warning", not (narrow or wide), evidence, said)


def some_bars(bars: Bars, which: slice) -> Bars:
    """A part of a history."""
    names = ("time", "open", "high", "low", "close", "volume")
    return replace(bars, **{name: getattr(bars, name)[which] for name in names})


def _mean_auc(label: Floats, folds: Sequence[tuple[Positions, Positions]], fit: Fit) -> float:
    """AUC within folds, each as heavy as it has rows: between folds base rates differ, which is no skill."""
    areas, weights = [], []
    for train, left_out in folds:
        mine, theirs = label[train], label[left_out]
        if len(mine) and len(theirs) and np.ptp(mine) and np.ptp(theirs):
            areas.append(metrics.auc(theirs, fit(train, left_out)))
            weights.append(len(left_out))
    return float(np.average(areas, weights=weights)) if areas else float("nan")


def _cuts(bars: int, ahead: int) -> Positions:
    """Bars after which there is another, `ahead` bars later too; the first of them within every warm-up."""
    last = bars - 2 - ahead
    return np.unique(np.linspace(1, last, CUTS).astype(np.int64)) if last >= 1 else np.empty(0, np.int64)


def _differs(before: Floats, after: Floats, whole: Floats) -> NDArray[np.bool_]:
    """Where two tables are not the same, rounding and missing values apart."""
    known = np.where(np.isfinite(whole), whole, 0.0)
    slack = _ROUNDING * np.maximum(np.ptp(known, axis=0), 1e-300) if len(known) else 0.0
    both = np.isnan(before) & np.isnan(after)
    with np.errstate(invalid="ignore"):
        same = (before == after) | (np.abs(before - after) <= slack + _ROUNDING * np.abs(before))
    differs: NDArray[np.bool_] = ~(both | same)
    return differs


def _with_another_future(bars: Bars, cut: int, rng: np.random.Generator) -> Bars:
    """The bars up to one, then days, prices and volumes that have nothing to do with what came."""
    later = slice(cut + 1, None)
    count = len(bars) - cut - 1
    path = 2.7 * np.exp(np.cumsum(rng.normal(0, 0.05, count)))

    def changed(values: Floats, factor: Floats) -> Floats:
        return np.concatenate([values[: cut + 1], values[later] * factor])

    return replace(
        bars,
        time=np.concatenate([bars.time[: cut + 1], bars.time[later] + np.timedelta64(1, "D")]),
        open=changed(bars.open, path),
        high=changed(bars.high, path * 1.03),
        low=changed(bars.low, path * 0.96),
        close=changed(bars.close, path),
        volume=np.concatenate([bars.volume[: cut + 1], 1.0 + rng.permutation(bars.volume[later]) * 3.7]),
    )


def _with_another_past(bars: Bars, cut: int) -> Bars:
    """Prices and volumes of the bars before one are others; an OHLC rule is not broken by a factor."""
    factor = np.where(np.arange(len(bars)) < cut, 1.7 + 0.1 * np.sin(np.arange(len(bars))), 1.0)
    return replace(bars, **{name: getattr(bars, name) * factor for name in ("open", "high", "low", "close", "volume")})


def _flat_at(bars: Bars, cut: int) -> Bars:
    """The bars with one in which nothing was traded."""
    before = bars.close[cut - 1]
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, values in columns.items():
        values[cut] = 0.0 if name == "volume" else before
    return replace(bars, **columns)


def _overlapping(rows: Spans, others: Spans) -> NDArray[np.bool_]:
    """Which rows' spans meet one of the others'."""
    if not len(others):
        return np.zeros(len(rows), dtype=np.bool_)
    order = np.argsort(others.time)
    latest = np.maximum.accumulate(others.known_at[order])
    begun = np.searchsorted(others.time[order], rows.known_at, side="right") - 1
    meets: NDArray[np.bool_] = (begun >= 0) & (latest[begun] >= rows.time)
    return meets


def _once(features: Floats) -> set[bytes]:
    """Rows as bytes, those that stand there once."""
    return {row for row, times in Counter(row.tobytes() for row in features).items() if times == 1}


def _and(words: Sequence[str]) -> str:
    shown = list(words[:5]) + ([f"{len(words) - 5} more"] if len(words) > 5 else [])
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""
