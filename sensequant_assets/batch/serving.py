"""Which student serves each symbol: that of the newest window of a set of models, or the latest before it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sensequant_assets.batch.evaluation import Subject, parameters_of
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import UNKNOWN, Estimate
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import StudentParameters
from sensequant_assets.core.pool import EARLY
from sensequant_assets.core.samples import Samples
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.pack import Pack, Served, write_pack
from sensequant_assets.models.store import ModelStore, StoredModel
from sensequant_assets.settings import MarketSettings, read_market
from sensequant_assets.sources.buckets import bars_at
from sensequant_assets.sources.digests import Digests, content_digest
from sensequant_assets.sources.packing import bars_files
from sensequant_assets.sources.sample import SAMPLE

ANYBODY = ""
"""Stands for symbols that joined the universe after a set was promoted: the student that its newest pool shares."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Students that serve a universe.

    Attributes
    ----------
    served
        One a symbol, in the order of the universe, and where pools teach one of `ANYBODY`.
    references
        Training rows by the name that `Served.reference` gives, shape (rows, features).
    feature_names
        Names of the columns.
    newest
        Key of the newest window of the set.
    missing
        Symbols that no student can serve, and why, in words.
    """

    served: tuple[Served, ...]
    references: Mapping[str, Floats]
    feature_names: tuple[str, ...]
    newest: str
    missing: Mapping[str, str]


def served_by_subject(subject: Subject, market: Market, store: ModelStore) -> Serving:
    """The students of a subject that serve its universe.

    A symbol without a student in the newest window is served by that of its latest window before, and one that never
    had any by the student that the newest pool shares.

    Parameters
    ----------
    subject
        A batch with its trees.
    market, store
        Its market, open, and where its models lie.

    Raises
    ------
    UsageError
        No student of it can be relied on.
    """
    shelf = _Shelf(subject, market, store)
    served: list[Served] = []
    missing: dict[str, str] = {}
    for symbol in market.universe.symbols:
        try:
            market.samples(symbol)
            served.append(shelf.of(symbol))
        except WindowError as error:
            missing[symbol] = str(error)
        except LookupError as error:
            missing[symbol] = str(error.args[0])
    if served and subject.teacher.scope == "pool":
        with suppress(LookupError):
            served.append(shelf.of(ANYBODY))
    if not served:
        why = next(iter(missing.values()), "The universe has no symbol.")
        raise UsageError(f"Batch {subject.batch_id} has no student that can serve. {why}")
    names = market.samples(served[0].symbol).feature_names
    return Serving(tuple(served), shelf.references, names, shelf.newest, missing)


class NoChampionError(UsageError):
    """Nobody has promoted any students of a universe."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Students in the place from which they serve.

    Attributes
    ----------
    pack
        The students.
    market, student
        Their market, with the bars that are there now, and what they were asked for.
    batch_id
        Batch that trained them.
    champion
        Version of the champion that they are; None if nobody has promoted them.
    missing
        Symbols that no student can serve, and why, in words.
    evidence
        Rank IC at promotion; unknown if nobody has.
    """

    pack: Pack
    market: Market
    student: StudentParameters
    batch_id: str
    champion: int | None
    missing: Mapping[str, str]
    evidence: Estimate = UNKNOWN

    def who_serves(self, symbol: str) -> str | None:
        """The name under which the pack has the student of a symbol; None where there is none."""
        known = self.pack.symbols
        return symbol if symbol in known else ANYBODY if ANYBODY in known else None

    @property
    def newest(self) -> str:
        """Key of the newest window that its students are of."""
        return max(self.pack.entry(symbol).window for symbol in self.pack.symbols)

    @property
    def title(self) -> str:
        """What they are, in words."""
        if self.champion is None:
            return f"unproven students of batch {self.batch_id}, which nobody has promoted"
        return f"champion {self.champion}, batch {self.batch_id}"


NO_CHAMPION = "Universe {universe} has no champion: `sensequant promote` makes one of a batch that has proved itself."

_TRAINED_WITH = (*Recipe.model_fields, "start", "end", "window_days")
"""Settings that students keep: windows and labels. Where bars come from is as it is today."""


def of_champion(settings: MarketSettings, champions: ChampionStore, features: str) -> Standing:
    """The champion of a universe, on the bars that settings name.

    Parameters
    ----------
    settings
        Universe and bars; windows and labels are those that the champion was trained with.
    champions
        Those of its universe.
    features
        Providers of the features, as of `Settings`.

    Raises
    ------
    UsageError
        There is none, its record or its pack cannot be relied on, or its market cannot be opened.
    """
    champion = champions.current()
    if champion is None:
        raise NoChampionError(NO_CHAMPION.format(universe=settings.universe_name))
    kept = {name: champion.market[name] for name in _TRAINED_WITH if name in champion.market}
    meant = read_market(settings.market | kept)
    teacher, student = parameters_of(champion.batch_id, champion.parameters)
    market = Market.open(meant, teacher, student, features)
    shown = {each.condition: each for each in champion.evidence.conditions}
    evidence = UNKNOWN
    if ic := shown.get("rank_ic"):
        evidence = Estimate(*(float("nan") if end is None else end for end in (ic.value, ic.low, ic.high)))
    pack = champions.pack(champion)
    return Standing(pack, market, student, champion.batch_id, champion.version, champion.missing, evidence)


def of_batch(subject: Subject, models: ModelStore, features: str) -> Standing:
    """The students of a batch that nobody has promoted."""
    return unproven(subject, Market.open(subject.settings, subject.teacher, subject.student, features), models)


def unproven(subject: Subject, market: Market, models: ModelStore) -> Standing:
    """The same of a market that is open."""
    serving = served_by_subject(subject, market, models)
    # What is mapped into memory outlives the name of its file.
    with TemporaryDirectory() as room:
        path = Path(room) / "unproven.pack"
        write_pack(path, serving.served, serving.references, serving.feature_names)
        pack = Pack.open(path)
    return Standing(pack, market, subject.student, subject.batch_id, None, serving.missing)


def content_of(settings: MarketSettings, champions: ChampionStore | None) -> Callable[[], str]:
    """Tells, asked again and again, whether what answers are made of is another.

    Parameters
    ----------
    settings
        Where the bars come from.
    champions
        Whose newest version counts; None where the students stay the same.
    """
    digests = Digests()

    def content() -> str:
        files = [settings.universe, *([] if settings.bars == SAMPLE else bars_files(bars_at(settings.bars).path))]
        files += [Path(named) for named in (settings.corporate_actions, settings.symbol_changes) if named]
        version = None if champions is None else champions.current()
        return f"{version.version if version else ''} {content_digest(digests.of(files))}"

    return content


@dataclass
class _Shelf:
    """Students of a subject on disk, and the rows that they learned from."""

    subject: Subject
    market: Market
    store: ModelStore
    references: dict[str, Floats] = field(default_factory=dict)

    @cached_property
    def trees(self) -> dict[tuple[str, str], str]:
        """Fingerprints of the students' trees by symbol and window."""
        found = self.subject.trees or {}
        return {(symbol, window): trees for (model, symbol, window), trees in found.items() if model == "student"}

    @cached_property
    def newest(self) -> str:
        """Key of the newest window in which any symbol has a student."""
        return max((window for _, window in self.trees), default="")

    def of(self, symbol: str) -> Served:
        """The student that serves a symbol; `LookupError` in words where there is none."""
        lost = []
        for window in reversed(self.market.window_keys):
            wanted = self.trees.get((symbol, window))
            if not wanted:
                continue
            stored = self.store.find("student", symbol, window)
            if stored is None or stored.record.trees_fingerprint != wanted:
                lost.append(window)
                continue
            return self._served(symbol, window, stored, lost)
        return self._shared(symbol, lost)

    def _served(self, symbol: str, window: str, stored: StoredModel, lost: list[str]) -> Served:
        record = stored.record
        learned_in = record.served_by.isoformat() if record.served_by else window
        why = ""
        if lost:
            why = f"The student of window {lost[0]} is not on disk any longer: that of window {learned_in} serves."
        elif learned_in < self.newest:
            why = f"{symbol} has too few rows in window {self.newest}: the student of window {learned_in} serves."
        return Served(
            symbol=symbol,
            window=learned_in,
            trees_fingerprint=record.trees_fingerprint,
            text=stored.text(),
            calibration=record.calibration,
            constant=record.constant,
            fallback=why,
            reference=self._of_pool(record.pool) if record.pool else self._of_symbol(symbol, learned_in),
        )

    def _shared(self, symbol: str, lost: list[str]) -> Served:
        """The student that the newest pool shares, for a symbol that has none of its own."""
        for window in reversed(self.market.window_keys):
            pool, student = (self.store.pools.find(kind, window) for kind in ("pool", "shared_student"))
            taught = {trees for (_, _, start), trees in (self.subject.trees or {}).items() if start == window}
            if pool and student and pool.record.trees_fingerprint in taught:
                return Served(
                    symbol=symbol,
                    window=window,
                    trees_fingerprint=student.record.trees_fingerprint,
                    text=student.text(),
                    calibration=student.record.calibration,
                    constant=student.record.constant,
                    fallback=f"{symbol or 'The symbol'} has no student of its own: the one that the pool of window "
                    f"{window} shares serves.",
                    reference=self._of_pool(window),
                )
        gone = f"; those of {', '.join(lost)} are not on disk any longer" if lost else ""
        raise LookupError(f"{symbol} has no student in any window{gone}.")

    def _of_symbol(self, symbol: str, window: str) -> str:
        name = f"{symbol}|{window}"
        if name not in self.references:
            self.references[name] = self._rows(self.market.samples(symbol), [window])
        return name

    def _of_pool(self, name: str) -> str:
        if name not in self.references:
            stored = self.store.pools.find("pool", name)
            span = stored.record.span if stored else [name.removesuffix(EARLY)]
            found = list(self.market.readable_samples())
            # A pool has one set of columns, and a symbol of another kind of bars is in none.
            alike = [each for each in found if each.feature_names == found[0].feature_names]
            self.references[name] = np.concatenate([self._rows(samples, span) for samples in alike])
        return name

    def _rows(self, samples: Samples, span: list[str]) -> Floats:
        """Features of a symbol's training rows in windows."""
        known = [key for key in span if key in self.market.window_keys]
        rows = [samples.features[self.market.rows_of(samples, key).train] for key in known]
        return np.concatenate([np.empty((0, samples.features.shape[1])), *rows])
