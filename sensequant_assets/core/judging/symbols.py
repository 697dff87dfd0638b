"""What forecasts are worth symbol by symbol, and how much of that is the best of many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging import sums
from sensequant_assets.core.judging.bootstrap import COVERAGE, DRAWS, UNKNOWN, Estimate, Tested, or_null
from sensequant_assets.core.judging.walk_forward import Forecast, Judgement, Rows

FALSE_DISCOVERIES = 0.05
"""Expected share of symbols without skill among those that stay (Benjamini and Hochberg 1995)."""

_FEWEST = 3
_SEED = 11


@dataclass(frozen=True, slots=True)
class SymbolSkill:
    """A forecast on the rows of one symbol, over all windows.

    Attributes
    ----------
    symbol
        Its number.
    rows, dates, blocks
        How many it stands on.
    auc
        Area under the ROC curve of its rows.
    ic
        Rank correlation with the forward return over time, and whether it may be 0.
    stays
        Whether it does not once all symbols are considered.
    """

    symbol: int
    rows: int
    dates: int
    blocks: int
    auc: Estimate
    ic: Tested
    stays: bool


@dataclass(frozen=True, slots=True)
class Persistence:
    """Correlation of a symbol's AUC in a window with that in the next, each less its window's mean.

    Attributes
    ----------
    correlation
        With an interval from symbols drawn again, all windows of one together.
    pairs, symbols
        Of neighbouring windows, and how many symbols have any.
    """

    correlation: Estimate
    pairs: int
    symbols: int


@dataclass(frozen=True, slots=True)
class BySymbol:
    """A forecast symbol by symbol.

    Attributes
    ----------
    score
        Its name.
    skills
        By symbol.
    persistence
        Of the AUC.
    """

    score: str
    skills: Sequence[SymbolSkill]
    persistence: Persistence

    @property
    def judged(self) -> int:
        """Symbols with rows enough for a p-value."""
        return sum(bool(np.isfinite(each.ic.p)) for each in self.skills)

    @property
    def stay(self) -> list[SymbolSkill]:
        """Symbols whose IC is not 0 once all are considered."""
        return [each for each in self.skills if each.stays]

    def as_json(self, symbols: Sequence[str]) -> dict[str, Any]:
        """As one JSON object, with the names of the symbols."""
        found = self.persistence
        return {
            "judged": self.judged,
            "stay": len(self.stay),
            "false_discovery_rate": FALSE_DISCOVERIES,
            "persistence": {**found.correlation.ends, "pairs": found.pairs, "symbols": found.symbols},
            "by_symbol": [
                {
                    "symbol": symbols[each.symbol], "rows": each.rows, "dates": each.dates, "blocks": each.blocks,
                    "auc": each.auc.ends, "ic": each.ic.estimate.ends, "p": or_null(each.ic.p), "stays": each.stays,
                }
                for each in self.skills
            ],
        }  # fmt: skip


def judge_symbols(rows: Rows, forecast: Forecast, judged: Judgement) -> BySymbol:
    """Judge a forecast symbol by symbol, on the draws of all.

    Parameters
    ----------
    rows, forecast
        As `judge_forecasts` had them.
    judged
        What came of it.
    """
    known = ~np.isnan(forecast.raw)
    rows, raw, day, resampling = rows.where(known), forecast.raw[known], judged.day[known], judged.resampling
    numbers, symbol = np.unique(rows.symbol, return_inverse=True)
    dates = np.array([len(np.unique(day[symbol == number])) for number in range(len(numbers))])
    blocks = dates // max(resampling.block, 1)
    all_dates = np.ones((1, judged.dates))

    def tested(within: sums.ByGroup) -> list[Tested]:
        (values,), _ = within(all_dates)
        drawn, _ = within(resampling.weights)
        return [
            resampling.weigh(drawn[:, number], value, value, int(blocks[number]))
            if np.isfinite(value)
            else Tested(UNKNOWN)
            for number, value in enumerate(values.tolist())
        ]

    aucs = tested(sums.aucs_within(rows.label, raw, symbol, day, judged.dates))
    ics = tested(sums.correlations_within(raw, rows.forward_return, symbol, day, judged.dates))
    stays = discoveries(np.array([each.p for each in ics]))
    counts = np.bincount(symbol, minlength=len(numbers))
    skills = [
        SymbolSkill(
            int(number), int(counts[at]), int(dates[at]), int(blocks[at]), aucs[at].estimate, ics[at], bool(stays[at])
        )
        for at, number in enumerate(numbers)
    ]
    return BySymbol(forecast.name, skills, persistence(rows, raw))


def discoveries(p: Floats, rate: float = FALSE_DISCOVERIES) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which hypotheses stay rejected when all of them are considered (Benjamini and Hochberg 1995).

    Parameters
    ----------
    p
        A p-value each, shape (hypotheses,); NaN for what was not tested, which counts as no hypothesis.
    rate
        Expected share of false ones among those that are rejected.

    Returns
    -------
    ndarray of shape (hypotheses,)

    Examples
    --------
    >>> discoveries(np.array([0.012, 0.9, 0.03, np.nan, 0.02]))
    array([ True, False,  True, False,  True])
    """
    from scipy.stats import false_discovery_control

    known = np.isfinite(p)
    found = np.zeros(len(p), dtype=bool)
    if known.any():
        found[known] = false_discovery_control(p[known], method="bh") <= rate
    return found


def persistence(rows: Rows, raw: Floats) -> Persistence:
    """Tell whether a symbol whose AUC was high in a window has a high one in the next.

    Parameters
    ----------
    rows
        Test rows.
    raw
        By which they are ranked, shape (rows,), without NaN.
    """
    windows = int(rows.window.max()) + 1 if len(rows) else 0
    cell = rows.symbol * windows + rows.window
    cells, place = np.unique(cell, return_inverse=True)
    nothing = np.zeros(len(rows), dtype=np.int64)
    (areas,), _ = sums.aucs_within(rows.label, raw, place, nothing, 1)(np.ones((1, 1)))
    found = np.full((int(rows.symbol.max()) + 1 if len(rows) else 0, windows), np.nan)
    found[cells // max(windows, 1), cells % max(windows, 1)] = areas
    has = np.isfinite(found)
    center = sums.over(np.where(has, found, 0.0).sum(axis=0), has.sum(axis=0).astype(np.float64))
    centered = found - center
    now, then = centered[:, :-1], centered[:, 1:]
    both = np.isfinite(now) & np.isfinite(then)
    now, then = np.where(both, now, 0.0), np.where(both, then, 0.0)
    table = np.column_stack(
        [part.sum(axis=1) for part in (both.astype(np.float64), now, then, now * now, then * then, now * then)]
    )
    table = table[table[:, 0] > 0]
    if len(table) < _FEWEST:
        return Persistence(UNKNOWN, int(both.sum()), len(table))
    drawn = np.random.default_rng(_SEED).multinomial(len(table), np.full(len(table), 1 / len(table)), size=DRAWS)
    (value,) = sums.correlation_of_sums(*table.sum(axis=0)[:, None]).tolist()
    values = sums.correlation_of_sums(*(drawn @ table).T)
    tail = (1 - COVERAGE) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail]) if np.isfinite(values).any() else (np.nan, np.nan)
    return Persistence(Estimate(value, float(low), float(high)), int(both.sum()), len(table))
