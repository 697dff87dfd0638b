"""Canaries: symbols whose answer is known, trained beside a batch to see whether those who judge it are awake."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from statistics import mean
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.judging.noise import COVERAGE, Band

EDGE = 3.0
"""Drift of a planted bar, in standard deviations of a bar without it, a standard deviation of the last five moves' sum.
So plain is an edge that 90 rows of one symbol show, and that whoever is awake finds."""

RARE = 0.01
"""Probability below which so many false alarms are taken for more than chance."""

FOUND = 1.96
"""Standard errors of the mean of planted windows above which their edge is found."""

_STEPS = 8
_MEMORY = 5


def synthetic_bars(symbol: str, time: NDArray[np.datetime64], sd: float, seed: int, edge: float = 0.0) -> Bars:
    """Bars of a random walk, or of one whose last moves go on.

    Parameters
    ----------
    symbol
        Whose bars they are.
    time
        Start of each bar, shape (bars,).
    sd
        Standard deviation of a bar's move, drift included, in logarithms.
    seed
        Of the walk, beside the symbol's name.
    edge
        As `EDGE`; 0 for none.
    """
    rng = np.random.default_rng([seed, *symbol.encode()])
    steps = rng.normal(size=(len(time), _STEPS)) / sqrt(_STEPS)
    moves = steps.sum(axis=1)
    known = np.zeros(len(time))
    if len(time) > _MEMORY:
        known[_MEMORY:] = np.convolve(moves, np.ones(_MEMORY), "valid")[:-1] / sqrt(_MEMORY)
    path = np.log(100.0) + np.cumsum(sd * (steps + edge * known[:, None] / _STEPS) / sqrt(1 + edge**2)).reshape(
        len(time), _STEPS
    )
    opened = np.concatenate([[np.log(100.0)], path[:-1, -1]])
    whole = np.column_stack([opened, path])
    return Bars(
        symbol=symbol,
        time=time,
        open=np.exp(opened),
        high=np.exp(whole.max(axis=1)),
        low=np.exp(whole.min(axis=1)),
        close=np.exp(path[:, -1]),
        volume=np.exp(rng.normal(13, 0.5, len(time))).round(),
    )


@dataclass(frozen=True, slots=True)
class Canaries:
    """What became of the canaries of one night.

    Attributes
    ----------
    windows, outside
        Windows of noise symbols, of teachers and of students, and how many lie outside the noise band: false alarms.
    planted, above
        Windows of models of symbols with a planted edge, and how many lie above it.
    strength
        Mean of the planted windows' ICs in standard errors; 0 without windows.
    cpu_s
        What they cost.
    """

    windows: int
    outside: int
    planted: int
    above: int
    strength: float
    cpu_s: float

    @classmethod
    def of(
        cls,
        noise: Mapping[str, Sequence[float | None]],
        planted: Mapping[str, Sequence[float | None]],
        bands: Mapping[str, Band],
        cpu_s: float,
    ) -> Self:
        """Count false alarms and finds.

        Parameters
        ----------
        noise, planted
            By model, deviations of the IC of each window, as `WindowScore.deviations`.
        bands
            By model.
        cpu_s
            What they cost.
        """
        of_noise, of_planted = _known(noise, bands), _known(planted, bands)
        ics = [value for _, value in of_planted]
        return cls(
            windows=len(of_noise),
            outside=sum(not bands[model].low <= value <= bands[model].high for model, value in of_noise),
            planted=len(of_planted),
            above=sum(value > bands[model].high for model, value in of_planted),
            # Teacher and student of a window are as good as one.
            strength=mean(ics) * sqrt(len(ics) / len(bands)) if ics else 0.0,
            cpu_s=cpu_s,
        )

    @property
    def found(self) -> bool:
        """Whether the planted edge was found."""
        return self.strength > FOUND

    def as_json(self) -> dict[str, Any]:
        """As telemetry keeps it."""
        return asdict(self)

    def __str__(self) -> str:
        """In a sentence."""
        return (
            f"Canaries: {self.outside} of {self.windows} windows of noise outside their band; "
            f"{self.above} of {self.planted} windows of a planted edge above it, which was "
            f"{'found' if self.found else 'NOT found'} ({self.strength:+.1f} standard errors). "
            f"{self.cpu_s:.1f} s of CPU."
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """What the canaries of the last batches came to together.

    Attributes
    ----------
    nights
        How many batches had canaries.
    windows, outside
        Of noise, over all of them.
    missed
        Batches whose planted edge was not found.
    p
        Probability of so many windows outside or more, if each is outside as often as the band says; 1 without any.
    """

    nights: int
    windows: int
    outside: int
    missed: int
    p: float

    @classmethod
    def over(cls, nights: Iterable[Canaries]) -> Self:
        """Weigh nights together."""
        told = list(nights)
        windows, outside = sum(one.windows for one in told), sum(one.outside for one in told)
        p = 1.0
        if windows:
            # Whoever trains never comes here, and does not pay for what this imports.
            from scipy.stats import binomtest

            # Teacher and student of a window are as good as one.
            one, among = outside // 2, max(windows // 2, 1)
            p = float(binomtest(one, among, 1 - COVERAGE, alternative="greater").pvalue)
        return cls(len(told), windows, outside, sum(not one.found for one in told), p)

    @property
    def passed(self) -> bool:
        """Whether there were canaries, false alarms are no more than chance, and a planted edge was found at all."""
        return self.nights > 0 and self.p >= RARE and self.missed < self.nights

    def __str__(self) -> str:
        """In a sentence or two."""
        if not self.nights:
            return "No canaries yet: `sensequant evaluate` trains those of a batch."
        return (
            f"{self.outside} of {self.windows} windows of noise in {self.nights} "
            f"{'batch' if self.nights == 1 else 'batches'} lie outside their band "
            f"({self.outside / max(self.windows, 1):.1%}, expected at most {1 - COVERAGE:.0%}; p {self.p:.3f}). "
            f"The planted edge was found in {self.nights - self.missed} of {self.nights}."
        )


def _known(deviations: Mapping[str, Sequence[float | None]], bands: Mapping[str, Band]) -> list[tuple[str, float]]:
    return [
        (model, value)
        for model in bands
        for value in deviations.get(model, ())
        if value is not None and isfinite(value)
    ]
