"""The market of a batch as it was when it was read, put together again of what is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sensequant_assets.batch.comparing import Found
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.shrinking import universe_read
from sensequant_assets.core.bars import Bars
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.kept import BarsDigest, RecordedBars, bars_of_table
from sensequant_assets.market.market import Market
from sensequant_assets.market.plugins import providers_of
from sensequant_assets.market.tables import (
    bars_table,
    features_table,
    parquet_bytes,
    read_table,
    table_path,
)
from sensequant_assets.settings import MarketSettings, read_market
from sensequant_assets.telemetry.questions.batches import later_batches
from sensequant_assets.telemetry.questions.events import BARS, UNIVERSE, bars_of_batches, told_by_runs
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Told:
    """What a batch has told of its market.

    Attributes
    ----------
    settings
        With paths that mean the same in every directory, where it told them.
    bars
        Which bars it has read, by symbol; empty for a batch of a time that told none.
    universe
        Its universe as an event holds it; None where it told none.
    judging
        Fingerprint of the code that judged; empty where it told none.
    """

    settings: MarketSettings
    bars: Mapping[str, BarsDigest]
    universe: Mapping[str, Any] | None
    judging: str


def told_of(telemetry: TelemetryStore, subject: Subject, evaluation: str = "") -> Told:
    """What a batch, or an evaluation of it, has told of its market."""
    universes = told_by_runs(telemetry, subject.batch_id, UNIVERSE)
    events = [one for one in told_by_runs(telemetry, subject.batch_id, BARS) if one["evaluation"] == evaluation]
    bars = {symbol: BarsDigest(*read) for one in events for symbol, read in one["symbols"].items()}
    places = {name: path for name, path in events[-1]["from"].items() if path} if events else {}
    settings = read_market(subject.settings.market | places)
    return Told(settings, bars, universes[-1] if universes else None, events[-1]["judging"] if events else "")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the bars of a batch may be found again, and what is said of the tables that are kept of them.

    Parameters
    ----------
    telemetry
        Of the data directory.
    subject
        The batch.
    features
        Providers of the features, as of `Settings`.
    found
        Takes what is found.
    """

    telemetry: TelemetryStore
    subject: Subject
    features: str
    found: Found

    @property
    def directory(self) -> Path:
        """The data directory."""
        return self.telemetry.directory.parent

    def market(self, told: Told) -> Market | None:
        """The market as the batch has read it, with all bars read; None where that cannot be had again, which is noted.

        Bars are looked for in the data directory, then where the batch has read them. Later ones behind them do not
        count. Where windows depend on findings, or on the day as of which all is known, only the sources will do.
        """
        settings, subject = told.settings, self.subject
        try:
            source, why = Market.open(settings, subject.teacher, subject.student, self.features), ""
        except UsageError as error:
            source, why = None, str(error)
        known = None if told.universe is None else universe_read(told.universe)
        reacts = settings.bars_on_hole != "flag" or settings.bars_on_corporate_action != "flag"
        if not told.bars or known is None or reacts or settings.as_of is not None:
            return self._of_sources(told, source, why)
        places: list[Callable[[Listing], Bars | None]] = [self._kept]
        if source is not None:
            opened = source
            places.append(lambda listing: _usable(opened, listing.symbol))
        recorded = RecordedBars(told.bars, places)
        market = Market(
            known, settings.windows, recorded, settings.recipe, subject.teacher, subject.student,
            providers=providers_of(self.features),
        )  # fmt: skip
        for symbol in known.symbols:
            market.plan(symbol)
        if recorded.missing:
            self._gone(sorted(recorded.missing), why or f"{settings.bars} has others")
            return None
        if why:
            self.found.remarks.append(f"The bars are those kept in {self.directory / 'bars'}: {why}")
        return market

    def _of_sources(self, told: Told, source: Market | None, why: str) -> Market | None:
        """The market that the settings name, if it still is what the batch has read."""
        if source is None:
            self.found.unverifiable.append(f"Nothing that rests on bars can be computed again: {why}")
            return None
        for symbol in source.universe.symbols:
            source.plan(symbol)
        if not told.bars:
            self.found.remarks.append(
                "The batch is of a time that kept no digest of its bars: they are compared as far as a model has them "
                "in its fingerprints."
            )
        elif others := [symbol for symbol, read in told.bars.items() if source.bars_read.get(symbol) != read]:
            self._gone(others, f"{told.settings.bars} has others")
            return None
        return source

    def _gone(self, symbols: Sequence[str], why: str) -> None:
        more = f" and {len(symbols) - _NAMED} more" if len(symbols) > _NAMED else ""
        self.found.unverifiable.append(
            f"The bars that were read of {counted(len(symbols), 'symbol')} are not in {self.directory / 'bars'}, nor "
            "where they came from, so that nothing that rests on bars can be computed again: "
            f"{', '.join(symbols[:_NAMED])}{more}. {why}"
        )

    def _kept(self, listing: Listing) -> Bars | None:
        path = table_path(self.directory, "bars", self.subject.settings.universe_name, listing.symbol)
        try:
            return bars_of_table(listing.symbol, read_table(path).table)
        except OSError:
            # Its table is looked at by `tables`.
            return None

    def tables(self, told: Told, market: Market | None, tell: Callable[[int, int], None]) -> None:
        """Compare the kept tables of bars and features with what the batch has read, and with their own bytes."""
        universe = self.subject.settings.universe_name
        known = bars_of_batches(self.telemetry, universe)
        is_last = not later_batches(self.telemetry, self.subject.batch_id)
        for number, (symbol, read) in enumerate(told.bars.items()):
            own = self._bars_table(symbol, read, known.get(symbol, set()))
            if own is not None and market is not None:
                self._stamped(symbol, own, market, is_last=is_last)
            tell(number + 1, len(told.bars))

    def _bars_table(self, symbol: str, read: BarsDigest, known: set[tuple[int, str]]) -> str | None:
        """Look at a kept table of bars; gives the fingerprint on it if it has the bars that the batch has read."""
        path = table_path(self.directory, "bars", self.subject.settings.universe_name, symbol)
        try:
            kept = read_table(path)
            bars = bars_of_table(symbol, kept.table)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.found.differences.append(f"Bars of {symbol}: {path} cannot be read: {error}.")
            return None
        self.found.count("tables of bars")
        there = BarsDigest.of(bars)
        if (there.bars, there.digest) not in known:
            self.found.differences.append(
                f"Bars of {symbol}: {path} has {counted(len(bars), 'bar')} that no batch has read; this one has read "
                f"{read.bars:,}, by their digest {read.digest}."
            )
            return None
        self._bytes(f"Bars of {symbol}", path, kept.written, parquet_bytes(bars_table(bars), kept.fingerprint))
        return kept.fingerprint if (there.bars, there.digest) == (read.bars, read.digest) else None

    def _stamped(self, symbol: str, stamp: str, market: Market, *, is_last: bool) -> None:
        """Compare a kept table of features, and the fingerprints on it and on its bars, with what bars give."""
        samples = market.plan(symbol).samples
        if isinstance(samples, WindowError) or samples.missed:
            return
        path = table_path(self.directory, "features", self.subject.settings.universe_name, symbol)
        if stamp != samples.fingerprint:
            if is_last:
                self.found.differences.append(
                    f"Bars of {symbol}: the fingerprint on their table is {stamp}, and bars give {samples.fingerprint}."
                )
            return
        try:
            kept = read_table(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self.found.differences.append(f"Features of {symbol}: {path} cannot be read: {error}.")
            return
        self.found.count("tables of features")
        expected = features_table(samples)
        differing = _difference(kept.table, expected) or ("the fingerprint on it" * (kept.fingerprint != stamp))
        if differing:
            self.found.differences.append(f"Features of {symbol}: {path}: {differing} is not what the bars give.")
            return
        self._bytes(f"Features of {symbol}", path, kept.written, parquet_bytes(expected, stamp))

    def _bytes(self, what: str, path: Path, written: bytes, expected: bytes) -> None:
        if written != expected:
            self.found.remarks.append(
                f"{what}: {path} is not written as this version writes what it holds: another version of Arrow wrote "
                "it, or bytes of it that hold nothing were changed."
            )


def _difference(kept: pa.Table, expected: pa.Table) -> str:
    """The first column and row in which a table is another one; empty where it is none."""
    if kept.column_names != expected.column_names or len(kept) != len(expected):
        return f"a table of {len(kept)} rows and the columns {', '.join(kept.column_names)}"
    for name in expected.column_names:
        cells = [
            table[name].cast(expected[name].type, safe=False).to_numpy(zero_copy_only=False)
            for table in (kept, expected)
        ]
        same = (cells[0] == cells[1]) | ((cells[0] != cells[0]) & (cells[1] != cells[1]))
        if not same.all():
            return f"column {name} at {expected['time'][int(same.argmin())]}"
    return ""


def _usable(market: Market, symbol: str) -> Bars | None:
    try:
        return market.bars(symbol)
    except Exception:  # noqa: BLE001  # whatever is wrong with them: they are not those
        return None
