"""What came of the bars that were predicted, told once, when the bars that their labels read are there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensequant_assets.core.provenance import arrays_fingerprint
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.predictions import without_outcome
from sensequant_assets.telemetry.records import BarOutcome
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted, json_text


@dataclass(frozen=True, slots=True)
class Filled:
    """Outcomes that became known.

    Attributes
    ----------
    rows
        Those that are new.
    waiting
        How many predicted bars wait for theirs.
    gone
        Predicted bars that the source does not have any longer, or whose symbol cannot be read, in words.
    """

    rows: Sequence[BarOutcome]
    waiting: int
    gone: Sequence[str]


def asks_of(market: Market) -> str:
    """What the labels of a market ask, in a line: outcomes of other labels are others."""
    return json_text(dict(sorted(market.recipe.asks.items())))


def fill_outcomes(telemetry: TelemetryStore, market: Market) -> Filled:
    """Tell what came of every predicted bar of a universe of which that is known by now and was not told."""
    asks, rows, gone, waiting = asks_of(market), [], [], 0
    for symbol, times in without_outcome(telemetry, market.universe.name, asks).items():
        try:
            samples = market.samples(symbol)
        except (UsageError, WindowError) as error:
            gone.append(f"{counted(len(times), 'predicted bar')} of {symbol} cannot be read: {error}")
            continue
        places = np.searchsorted(samples.time, times)
        there = (places < len(samples.time)) & (samples.time[np.minimum(places, len(samples.time) - 1)] == times)
        if not there.all():
            gone.append(f"{counted(int((~there).sum()), 'predicted bar')} of {symbol} is in the bars no longer.")
        for place in places[there]:
            ahead, label = samples.forward_return[place], samples.label[place]
            if not np.isfinite(ahead):
                waiting += 1
                continue
            rows.append(
                BarOutcome(
                    universe=market.universe.name,
                    symbol=symbol,
                    time=samples.time[place],
                    asks=asks,
                    ret=float(ahead),
                    label=None if np.isnan(label) else int(label),
                    bars_fingerprint=arrays_fingerprint(
                        [samples.time[: place + 1], samples.forward_return[: place + 1]]
                    ),
                )
            )
    if rows:
        with Journal(telemetry.shards, batch_id="", run_id="", clock=utc_now) as journal:
            journal.append_many(rows)
    return Filled(rows, waiting, gone)
