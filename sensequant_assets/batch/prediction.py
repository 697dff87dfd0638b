"""What students that serve say of the newest bars of a universe."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import numpy as np

from sensequant_assets.batch.serving import Standing
from sensequant_assets.core.bars import Floats, Times, day_of
from sensequant_assets.core.features import LOOKBACK
from sensequant_assets.core.judging.bootstrap import or_null
from sensequant_assets.core.provenance import arrays_fingerprint
from sensequant_assets.core.scoring.distance import FARTHEST
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.pack import Entry
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.predictions import predictions_of
from sensequant_assets.telemetry.records import Prediction
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted


class Flag(StrEnum):
    """What is to be known of a prediction; a `fresh` one has none of the others."""

    FRESH = "fresh"
    FALLBACK = "fallback"
    STALE = "stale"
    CONSTANT = "constant"
    OUT_OF_RANGE = "out of range"
    BAD_ROWS = "bad rows"


MEANING: Mapping[Flag, str] = {
    Flag.FRESH: "newest bar, a model of the newest window, features like those it was trained on",
    Flag.FALLBACK: "the model of an earlier window or the one that the pool shares serves",
    Flag.STALE: "the symbol has no bar of the day that others have",
    Flag.CONSTANT: "the model says the same of every row",
    Flag.OUT_OF_RANGE: f"farther than {FARTHEST:g} times their mean distance from the training rows",
    Flag.BAD_ROWS: "its features read a row that is quarantined",
}
"""Each flag in words."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The last bar of each symbol on a day, as models see it.

    Attributes
    ----------
    symbols
        Those that have one with all features, in the order of the universe.
    time
        Of each bar, shape (symbols,), `datetime64[s]`.
    features
        Shape (symbols, features).
    feature_names
        Names of the columns.
    bars_fingerprints
        Of each symbol's bars up to that one.
    spoiled
        Whether its features read a row that is quarantined, shape (symbols,).
    day
        The latest day that any of them has.
    missing
        Symbols without such a bar, and why, in words.
    """

    symbols: tuple[str, ...]
    time: Times
    features: Floats
    feature_names: tuple[str, ...]
    bars_fingerprints: tuple[str, ...]
    spoiled: tuple[bool, ...]
    day: date
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of a universe.

    Attributes
    ----------
    rows
        One a symbol, in the order of the universe.
    missing
        Symbols without one, and why, in words.
    day
        The latest day of their bars.
    """

    rows: Sequence[Prediction]
    missing: Mapping[str, str]
    day: date


@dataclass(frozen=True, slots=True)
class _Bar:
    """The last bar of a symbol, as models see it."""

    time: np.datetime64
    features: Floats
    feature_names: tuple[str, ...]
    bars_fingerprint: str
    spoiled: bool


def newest_bars(market: Market, symbols: Iterable[str], day: date | None = None) -> Newest:
    """The last bar of each symbol, on a day or before it.

    Parameters
    ----------
    market
        Open.
    symbols
        Which.
    day
        No bar after it counts; None for all.

    Raises
    ------
    UsageError
        No symbol has a bar there with all features.
    """
    found: dict[str, _Bar] = {}
    missing: dict[str, str] = {}
    for symbol in symbols:
        try:
            found[symbol] = _last_bar(market, symbol, day)
        except (LookupError, WindowError) as error:
            missing[symbol] = str(error.args[0])
    kinds = Counter(bar.feature_names for bar in found.values())
    if not kinds:
        raise UsageError(f"No symbol has a bar to predict from. {next(iter(missing.values()), 'None was asked for.')}")
    names = kinds.most_common(1)[0][0]
    for symbol in [symbol for symbol, bar in found.items() if bar.feature_names != names]:
        del found[symbol]
        missing[symbol] = f"Bars of {symbol} are not of the kind of most symbols, daily or intraday."
    bars = found.values()
    time = np.array([bar.time for bar in bars], dtype="datetime64[s]")
    return Newest(
        tuple(found),
        time,
        np.array([bar.features for bar in bars]),
        names,
        tuple(bar.bars_fingerprint for bar in bars),
        tuple(bar.spoiled for bar in bars),
        day_of(time.max()),
        missing,
    )


def _last_bar(market: Market, symbol: str, day: date | None) -> _Bar:
    """The last bar of a symbol; `LookupError` in words where there is none that has all features."""
    samples, bars = market.samples(symbol), market.bars(symbol)
    end = len(bars)
    if day is not None:
        end = int(np.searchsorted(bars.time, np.datetime64(day) + np.timedelta64(1, "D")))
    if not end:
        raise LookupError(f"{symbol} has no bar on {day} or before; its first is of {bars.first_day}.")
    row = samples.features[end - 1]
    lacking = [name for name, value in zip(samples.feature_names, row, strict=True) if not np.isfinite(value)]
    if lacking:
        raise LookupError(
            f"{symbol} has {counted(end, 'bar')} up to then, and {', '.join(lacking[:3])} have no value: the first "
            f"{LOOKBACK} bars warm the features up."
        )
    # What is missed behind the last bar costs that bar's label, and none of its features.
    spoiled = any(one.first + market.recipe.horizon < end <= one.end for one in samples.missed)
    columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return _Bar(
        bars.time[end - 1], row, samples.feature_names, arrays_fingerprint([one[:end] for one in columns]), spoiled
    )


def predict(standing: Standing, bars: Newest, made_at: datetime) -> Predictions:
    """What students say of bars.

    Parameters
    ----------
    standing
        The students.
    bars
        What they are asked.
    made_at
        When.

    Raises
    ------
    UsageError
        The students were made with other features than the bars have.
    """
    pack = standing.pack
    if pack.feature_names != bars.feature_names:
        raise UsageError(
            f"The students were made with the features {', '.join(pack.feature_names)}, and these bars have "
            f"{', '.join(bars.feature_names)}. Give SENSEQUANT_FEATURES the value that it had."
        )
    who = {symbol: standing.who_serves(symbol) for symbol in bars.symbols}
    known = [place for place, symbol in enumerate(bars.symbols) if who[symbol] is not None]
    missing = dict(bars.missing)
    missing |= {
        symbol: standing.missing.get(symbol, f"{symbol} has no student.")
        for symbol, student in who.items()
        if student is None
    }
    answers = pack.predict([str(who[bars.symbols[place]]) for place in known], bars.features[known])
    rows = [
        Prediction(
            symbol=bars.symbols[place],
            time=bars.time[place],
            model="unproven" if standing.champion is None else "champion",
            trees_fingerprint=entry.trees_fingerprint,
            champion=standing.champion,
            universe=standing.market.universe.name,
            window_start=date.fromisoformat(entry.window),
            bars_fingerprint=bars.bars_fingerprints[place],
            p_raw=raw,
            p=served,
            distance=or_null(distance),
            flags=_flags(bars, place, entry, distance),
            made_at=made_at,
        )
        for place, raw, served, distance in zip(
            known, answers.raw.tolist(), answers.served.tolist(), answers.distance.tolist(), strict=True
        )
        for entry in [pack.entry(str(who[bars.symbols[place]]))]
    ]
    return Predictions(rows, missing, bars.day)


def _flags(bars: Newest, place: int, entry: Entry, distance: float) -> str:
    raised = doubts(entry, distance)
    if bars.time[place].astype("datetime64[D]").item() < bars.day:
        raised.add(Flag.STALE)
    if bars.spoiled[place]:
        raised.add(Flag.BAD_ROWS)
    return ", ".join(flag for flag in Flag if flag in raised) or Flag.FRESH


def doubts(entry: Entry, distance: float) -> set[Flag]:
    """What is to be known of a student's answer, whatever bar it is asked of.

    Parameters
    ----------
    entry
        The student.
    distance
        Of the row to its training rows; NaN where that is not known.
    """
    raised = {
        Flag.FALLBACK: bool(entry.fallback),
        Flag.CONSTANT: entry.constant,
        Flag.OUT_OF_RANGE: distance > FARTHEST,
    }
    return {flag for flag, up in raised.items() if up}


def as_object(row: Prediction) -> dict[str, Any]:
    """A prediction as a JSON object."""
    return {
        "symbol": row.symbol,
        "time": str(row.time),
        "p": row.p,
        "p_raw": row.p_raw,
        "distance": row.distance,
        "flags": str(row.flags).split(", "),
        "unproven": row.model == "unproven",
        "champion": row.champion,
        "window": str(row.window_start),
        "trees_fingerprint": row.trees_fingerprint,
        "bars_fingerprint": row.bars_fingerprint,
        "made_at": None if row.made_at is None else row.made_at.isoformat(),
    }


def note(telemetry: TelemetryStore, batch_id: str, forecasts: Predictions) -> tuple[Predictions, int]:
    """Write what was predicted, unless it was before: a prediction never changes.

    Returns
    -------
    tuple of Predictions and int
        As telemetry has them, of those that were there before with the numbers of then; and how many are new.
    """
    before = predictions_of(telemetry, forecasts.rows)
    new = [row for row in forecasts.rows if _key(row) not in before]
    if new:
        with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
            journal.append_many(new)
    return replace(forecasts, rows=[before.get(_key(row), row) for row in forecasts.rows]), len(new)


def _key(row: Prediction) -> tuple[Any, ...]:
    return row.symbol, row.time, row.model, row.trees_fingerprint
