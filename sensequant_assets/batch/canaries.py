"""The canaries of a batch: a few symbols of noise and a few with a planted edge, trained beside it by the same code.

They are in no pool, count, check or row of windows of the batch. Telemetry keeps what became of them as an event.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from time import process_time

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.noise import Options, Part, Twin
from sensequant_assets.core.bars import Bars
from sensequant_assets.core.judging.canaries import EDGE, Canaries, synthetic_bars
from sensequant_assets.core.judging.noise import Band, Noise
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.sources.notes import Note
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.events import latest_canaries
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore

SYMBOLS = 4
"""Canaries of each kind: an edge that is planted in four is plain in their pool, and four cost little."""

WINDOWS = 2
"""Windows that they are judged on, the last of the batch."""

_LOOKED_AT = 8
_BARS = 500
"""Bars of a canary before the last window's: its pool needs no more, and each costs."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Bars of canaries, on the times of a symbol of the market and as lively as that."""

    time: NDArray[np.datetime64]
    sd: float
    seed: int
    edge: float
    left_out: tuple[str, ...] = ()
    notes: Sequence[Note] = ()

    def bars(self, listing: Listing) -> Bars:
        return synthetic_bars(listing.symbol, self.time, self.sd, self.seed, self.edge)


def canaries_of(
    subject: Subject, market: Market, windows: Sequence[str], noise: Noise | None, options: Options,
    telemetry: TelemetryStore,
) -> Canaries | None:  # fmt: skip
    """What became of a batch's canaries; they are trained and told to telemetry once.

    Parameters
    ----------
    subject
        The batch, by whose name the canaries are drawn, and its parameters.
    market
        Of the batch.
    windows
        Keys of its windows that have test rows, in order.
    noise
        The band of its noise twin.
    options
        How they are trained.
    telemetry
        Where it is kept.

    Returns
    -------
    Canaries or None
        None without a noise band, a batch, a window or bars.
    """
    if noise is None or not subject.batch_id or not windows:
        return None
    if kept := latest_canaries(telemetry, batch_id=subject.batch_id):
        return Canaries(**kept[0])
    like = _liveliest(market)
    bands: dict[str, Band] = {model: band for model in MODELS if (band := noise.band(model, "rank_ic")) is not None}
    if like is None or not bands:
        return None
    started, seed = process_time(), int.from_bytes(hashlib.blake2b(subject.batch_id.encode(), digest_size=6).digest())
    judged = {
        kind: _trained(subject, market, _Source(*like, seed, edge), windows[-WINDOWS:], options)
        for kind, edge in (("NOISE", 0.0), ("EDGE", EDGE))
    }
    found = Canaries.of(judged["NOISE"], judged["EDGE"], bands, process_time() - started)
    with Journal(telemetry.shards, batch_id=subject.batch_id, run_id="", clock=utc_now) as journal:
        level = "info" if found.found else "warning"
        journal.append(Event(level=level, kind="canaries", message=str(found), data=found.as_json()))
    return found


def _liveliest(market: Market) -> tuple[NDArray[np.datetime64], float] | None:
    """Times of the longest history among the first symbols, and the standard deviation of its moves; None without."""
    best: Bars | None = None
    for symbol in islice(market.universe.symbols, _LOOKED_AT):
        try:
            bars = market.bars(symbol)
        except WindowError:
            continue
        if len(bars) > (len(best) if best else 2):
            best = bars
    if best is None:
        return None
    sd = float(np.diff(np.log(best.close)).std())
    return (best.time, sd) if sd > 0 else None


def _trained(
    subject: Subject, market: Market, source: _Source, windows: Sequence[str], options: Options
) -> dict[str, list[float | None]]:
    """Deviations of the IC of each canary's windows, by model."""
    names = tuple(f"CANARY{number}" for number in range(1, SYMBOLS + 1))
    universe = Universe("canaries", tuple(Listing(name) for name in names))
    first = market.window_keys.index(windows[0])
    begin = max(np.searchsorted(source.time, np.datetime64(market.windows[first].start)) - _BARS, 0)
    cut = _Source(source.time[begin:], source.sd, source.seed, source.edge)
    recipe, providers = subject.settings.recipe, market.providers
    own = Market(universe, market.windows, cut, recipe, subject.teacher, subject.student, providers=providers)
    parts = [Part(0, window, names, "") for window in windows]
    found: dict[str, list[float | None]] = {model: [] for model in MODELS}
    for one in sorted(Twin(own, subject.teacher, subject.student).train(parts, options), key=attrgetter("window")):
        for model in MODELS:
            found[model] += one.deviations[model]["rank_ic"]
    return found
