"""What the numbers of one window are where nothing can be known: a market's noise twin, and the band that it gives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.judging import metrics
from sensequant_assets.core.splits import Positions

COVERAGE = 0.95
"""Share of the twin's windows whose span the band is made from."""

WIDER = 1.08
"""By how much the band is wider than that span.

Windows of one market err alike, so that markets of noise differ: of 120 pairs of them, the bare span of one leaves
5.7 % of the other's windows outside on average, and more than 7 % in every fifth pair; so wide, 4 %, and more than 7 %
in every fiftieth.
"""

FEWEST_WINDOWS = 100
"""Windows of a twin below which the ends of a band, beyond which five of a hundred lie, rest on chance."""

JUDGED = ("auc", "rank_ic")
"""Numbers of a window that have a band."""

NAMES = {"auc": "AUC", "rank_ic": "IC over time"}
"""The same in words."""

NO_BAND = "No noise band: run `sensequant evaluate`."
"""What is said where there is no twin."""


def mirrored(bars: Bars, seed: int) -> Bars:
    """Bars whose moves at each time are turned round or not, by a coin that all symbols of that time share.

    Direction cannot be known of them, and on average they do not drift. What moves have in common stays: how large
    they are and when, how symbols move together, volumes, days and holes.

    Parameters
    ----------
    bars
        Of a market.
    seed
        Of the coins.

    Returns
    -------
    Bars
        From the same first open. The high of a bar that is turned round is what its low was.
    """
    if not len(bars):
        return bars
    coin = _coins(bars.time, seed)
    close = np.log(bars.close)
    first = np.log(bars.open[:1])
    before = np.concatenate([first, close[:-1]])
    path = first + np.cumsum(coin * (close - before))
    begin = np.concatenate([first, path[:-1]])

    def turned(prices: Floats) -> Floats:
        moved: Floats = np.exp(begin + coin * (np.log(prices) - before))
        return moved

    opened, closed, one, other = turned(bars.open), np.exp(path), turned(bars.high), turned(bars.low)
    return replace(
        bars,
        open=opened,
        high=np.maximum.reduce([one, other, opened, closed]),
        low=np.minimum.reduce([one, other, opened, closed]),
        close=closed,
    )


def _coins(time: NDArray[np.datetime64], seed: int) -> Floats:
    """1.0 or -1.0 by time and seed alone (splitmix64, Steele et al. 2014), shape (bars,)."""
    with np.errstate(over="ignore"):
        mixed = time.astype("datetime64[s]").astype(np.int64).astype(np.uint64)
        mixed = _mixed(mixed + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03))
    return np.where(mixed >> np.uint64(63), 1.0, -1.0)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class WindowScore:
    """Numbers of a model on the test rows of one window.

    Attributes
    ----------
    auc, rank_ic
        As of `metrics`; NaN where the rows cannot answer.
    positives, negatives
        Test rows by label.
    design_effect
        As `metrics.design_effect`; NaN of a model that says the same of every row.
    """

    auc: float
    rank_ic: float
    positives: int
    negatives: int
    design_effect: float

    @classmethod
    def of(cls, label: Floats, said: Floats, forward_return: Floats, position: Positions, horizon: int) -> Self:
        """Judge what a model said of rows, each argument of shape (rows,); `position` as of `metrics.design_effect`."""
        positives = int(label.sum())
        return cls(
            metrics.auc(label, said),
            metrics.rank_ic(said, forward_return),
            positives,
            len(label) - positives,
            metrics.design_effect(said, position, horizon),
        )

    @classmethod
    def of_metrics(cls, told: Mapping[str, float | None], rows: int | None) -> Self | None:
        """Read what a model's record keeps of its test rows, `test_auc` and its like; None without a test AUC."""
        auc, base_rate, rank_ic, effect = (
            told.get(f"test_{name}") for name in ("auc", "base_rate", "rank_ic", "design_effect")
        )
        if auc is None or base_rate is None or not rows:
            return None
        positives = round(base_rate * rows)
        return cls(
            auc, nan if rank_ic is None else rank_ic, positives, rows - positives, nan if effect is None else effect
        )

    @property
    def deviations(self) -> dict[str, float]:
        """By how many standard deviations each number of `JUDGED` is off what knowing nothing gives; NaN if unknown."""
        return {
            "auc": (self.auc - 0.5) / self.sd("auc"),
            "rank_ic": self.rank_ic / self.sd("rank_ic"),
        }

    def sd(self, metric: str) -> float:
        """Standard deviation of a number by chance, if neither labels nor what is said of them knew of the other.

        Of the AUC `sqrt((n0 + n1 + 1) / (12 n0 n1))` (Mann and Whitney 1947), of a rank correlation `1 / sqrt(n - 1)`,
        of independent rows; times the square root of the design effect, as rows are not. NaN where it is not known.
        """
        ones, zeros = self.positives, self.negatives
        if not self.design_effect > 0 or ones + zeros < 2:
            return nan
        if metric == "rank_ic":
            return sqrt(self.design_effect / (ones + zeros - 1))
        return sqrt(self.design_effect * (ones + zeros + 1) / (12 * ones * zeros)) if ones and zeros else nan


@dataclass(frozen=True, slots=True)
class Band:
    """Where a number of one window lies if nothing can be known.

    Attributes
    ----------
    low, high
        Ends, in standard deviations of the window's own chance, as `WindowScore.deviations`.
    windows
        Windows of the twin that it stands on.
    """

    low: float
    high: float
    windows: int

    def of(self, score: WindowScore, metric: str) -> tuple[float, float]:
        """Ends for one window, in the number's own unit; NaN where the window has none."""
        centre, sd = (0.5, score.sd("auc")) if metric == "auc" else (0.0, score.sd("rank_ic"))
        least = 0.0 if metric == "auc" else -1.0
        low, high = centre + self.low * sd, centre + self.high * sd
        return (max(least, low), min(1.0, high)) if sd == sd else (nan, nan)

    def outside(self, scores: Iterable[WindowScore], metric: str) -> "Outside":
        """Count the windows outside."""
        known = [found for score in scores if (found := score.deviations[metric]) == found]
        return Outside(len(known), sum(one > self.high for one in known), sum(one < self.low for one in known))


@dataclass(frozen=True, slots=True)
class Outside:
    """Windows that have a number, and those above and below their band."""

    windows: int
    above: int
    below: int

    @property
    def count(self) -> int:
        """On either side."""
        return self.above + self.below

    @property
    def share(self) -> float:
        """Of all; NaN without windows."""
        return self.count / self.windows if self.windows else nan


@dataclass(frozen=True, slots=True)
class Noise:
    """What a noise twin came to.

    Attributes
    ----------
    bands
        By model and number.
    twins
        How many markets were made and trained on.
    """

    bands: Mapping[str, Mapping[str, Band]]
    twins: int

    @classmethod
    def of(cls, deviations: Mapping[str, Mapping[str, Sequence[float]]], twins: int) -> "Noise | None":
        """The bands of a twin's windows; None where these are too few.

        Parameters
        ----------
        deviations
            By model and number, of each window of the twins; NaN where it has none.
        twins
            How many there are.
        """
        bands = {
            model: {metric: found for metric, values in numbers.items() if (found := _band(values)) is not None}
            for model, numbers in deviations.items()
        }
        known = {model: numbers for model, numbers in bands.items() if numbers}
        return cls(known, twins) if known else None

    def band(self, model: str, metric: str = "auc") -> Band | None:
        """Of one model; None where its twin has too few windows."""
        return self.bands.get(model, {}).get(metric)

    def as_json(self, model: str, outside: Mapping[str, Mapping[str, "Outside"]]) -> dict[str, Any]:
        """What is said of a model's windows, as keys of its score's JSON object; nothing of what has no band."""
        found: dict[str, Any] = {}
        for metric, count in outside.get(model, {}).items():
            band, name = self.bands[model][metric], "" if metric == "auc" else f"{metric}_"
            found |= {
                f"{name}windows": count.windows,
                f"{name}windows_outside_band": count.count,
                f"{name}windows_above_band": count.above,
                f"{name}band_low_sd": band.low,
                f"{name}band_high_sd": band.high,
                f"{name}band_windows": band.windows,
                f"{name}band_twins": self.twins,
            }
        return found

    def outside(self, scores: Mapping[str, Sequence[WindowScore]]) -> dict[str, dict[str, Outside]]:
        """Count windows outside, by model and number."""
        return {
            model: {metric: band.outside(scores[model], metric) for metric, band in bands.items()}
            for model, bands in self.bands.items()
            if model in scores
        }


def _band(values: Sequence[float]) -> Band | None:
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < FEWEST_WINDOWS:
        return None
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    centre, reach = (low + high) / 2, WIDER * (high - low) / 2
    return Band(float(centre - reach), float(centre + reach), len(known))


def noise_lines(noise: Noise, outside: Mapping[str, Mapping[str, Outside]]) -> list[str]:
    """How many windows of each model lie outside the band, and what it stands on, in words."""
    lines = [
        f"Noise band, {NAMES[metric]} of a window: {count.count:,} of {count.windows:,} {model}s outside "
        f"({count.share:.1%}; {count.above:,} above, {count.below:,} below)."
        for model, counts in outside.items()
        for metric, count in counts.items()
        if count.windows
    ]
    most = max((band.windows for bands in noise.bands.values() for band in bands.values()), default=0)
    markets = "1 market" if noise.twins == 1 else f"{noise.twins} markets"
    return [
        *lines,
        f"The band is {WIDER:g} times as wide as what holds {COVERAGE:.0%} of {most:,} windows of the noise twin: the "
        f"market's own bars, whose moves coins turn round ({markets}), trained alike.",
    ]
