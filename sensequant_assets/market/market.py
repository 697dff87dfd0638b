"""The market of a batch: its universe, windows and bars, and the samples made from them."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from sensequant_assets.core.bars import Bars, Floats, Times, before, corrupt
from sensequant_assets.core.capacity import floor_of, pool_floor
from sensequant_assets.core.hurdles import VOLATILITY_BARS, CrossSection, cross_section, hurdle_of
from sensequant_assets.core.idle import IdleSetting, idle_settings
from sensequant_assets.core.judging.noise import mirrored
from sensequant_assets.core.lattice import Key, Pair, Recipe, WindowRows, plan_symbol, window_rows
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.pool import EARLY, PoolRows
from sensequant_assets.core.providers import STANDARD, Provider
from sensequant_assets.core.quality.adjustment import Action, adjusted, detected
from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.core.quality.listings import after_delisting
from sensequant_assets.core.quality.rules import EVERYBODY, Finding
from sensequant_assets.core.renames import Alias, Renames
from sensequant_assets.core.samples import Samples, build_samples
from sensequant_assets.core.training import Lesson
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import FailureKind, UsageError, WindowError, failure_kind
from sensequant_assets.market.as_of import listed_on, named_on, notes_of
from sensequant_assets.market.kept import BarsDigest
from sensequant_assets.market.plugins import providers_of
from sensequant_assets.market.pools import Member, Pool, pools_of, within_pools
from sensequant_assets.market.quality import BarRules, Quality, require_calendar
from sensequant_assets.settings import MarketSettings
from sensequant_assets.sources import BarSource
from sensequant_assets.sources.actions import read_actions
from sensequant_assets.sources.buckets import bars_at
from sensequant_assets.sources.changed import ChangedBars
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.notes import Note, told
from sensequant_assets.sources.renames import read_renames
from sensequant_assets.sources.sample import SAMPLE, SYMBOLS, SampleBars
from sensequant_assets.sources.universes import read_universe

KEPT_BYTES = 32 * 2**20
"""Features kept in memory, and those of one symbol at least: a window needs its symbol's only, and pairs come symbol by
symbol. It holds 140 symbols with five years of daily bars, or seven with a year of five-minute bars."""

_AS_THEY_ARE = "Bars at an address are those of today up to that day, whatever a vendor had told by then"
_NOT_USED = "Columns of the universe that are not used"
_ONE_COMPANY = "Symbols of the universe that were one company's, and are taken for two because it has both"


@dataclass(frozen=True, slots=True)
class SymbolPlan:
    """One symbol's samples, or the error of its bars, with its pairs in window order."""

    samples: Samples | WindowError
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A symbol's pairs, those of them that may be in pools, and until when its labels are known."""

    feature_names: tuple[str, ...]
    labelled_until: date | None
    pairs: tuple[Pair, ...]
    members: Mapping[str, Member]


class Market:
    """Universe, windows and bars.

    Parameters
    ----------
    universe
        The listings.
    windows
        In order.
    source
        Where bars come from.
    recipe
        How bars become labelled rows.
    teacher, student
        Parameters, which say how many rows a window needs, and whether a validation tail is read.
    rules
        How bars are judged, and what becomes of what is found.
    providers
        Of the features.
    renames
        By which models of a symbol's former names are its own.

    Attributes
    ----------
    bars_read
        Which bars were read so far, by symbol; not those of symbols whose bars cannot be read.
    """

    def __init__(
        self,
        universe: Universe,
        windows: tuple[Window, ...],
        source: BarSource,
        recipe: Recipe,
        teacher: TeacherParameters,
        student: StudentParameters,
        rules: BarRules = BarRules(),  # noqa: B008  # it is frozen
        providers: Sequence[Provider] = (STANDARD,),
        renames: Renames = Renames(),  # noqa: B008  # nothing changes it
    ) -> None:
        if teacher.scope == "symbol" and student.scope == "pool":
            raise UsageError(
                "STUDENT_SCOPE=pool needs TEACHER_SCOPE=pool: without a pool no student is shared. "
                "Give both the same scope."
            )
        self.universe = universe
        self.renames = renames
        self.windows = windows
        self.recipe = recipe.used_by(teacher)
        self._asked = (teacher, student, recipe)
        self._given = source
        self.floor = floor_of(teacher, student, recipe.horizon, recipe.min_samples)
        self.providers = providers
        self._rules = rules
        self._delisted = {one.symbol: one.delisting_date for one in universe.listings if one.delisting_date}
        self._afterwards: dict[str, Times] = {}
        source = ChangedBars(source, self._until_delisting) if self._delisted else source
        self._raw = ChangedBars(source, self._as_given) if rules.actions else source
        self._source = ChangedBars(self._raw, self._adjusted) if rules.adjust == "detected" else self._raw
        self._quality = Quality(recipe.horizon, windows, rules.calendar)
        self.bars_read: dict[str, BarsDigest] = {}
        self._plans: OrderedDict[str, SymbolPlan] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls,
        settings: MarketSettings,
        teacher: TeacherParameters,
        student: StudentParameters,
        features: str = STANDARD.name,
        symbols: Iterable[str] | None = None,
    ) -> "Market":
        """The market that settings name, for models of these parameters.

        Parameters
        ----------
        settings
            Universe, bars, windows and recipe.
        teacher, student
            Parameters.
        features
            Providers of the features, as of `Settings`: they are code, which no record of a batch may name.
        symbols
            Those that make a universe of their own, pools and all; every symbol by default.

        Raises
        ------
        UsageError
            The universe, the bars or the providers cannot be read or used, or no window fits.
        """
        providers = providers_of(features)
        universe = read_universe(settings.universe)
        renames = read_renames(Path(settings.symbol_changes)) if settings.symbol_changes else Renames()
        windows = settings.windows
        if settings.as_of is not None:
            universe = named_on(settings.as_of, universe, renames)
        aliases = renames.aliases(universe.listed)
        source = _source_of(settings, universe, aliases)
        if settings.as_of is not None:
            universe = listed_on(settings.as_of, universe, source)
        actions = _actions_of(settings, aliases)
        rules = BarRules(
            settings.calendar, settings.bars_on_hole, settings.bars_on_corporate_action, settings.adjust, actions
        )
        if rules.calendar is not None:
            require_calendar(rules.calendar)
        if symbols is not None:
            chosen = universe.select(symbols)
            universe = replace(universe, listings=tuple(map(universe.listing, chosen)))
        return cls(universe, windows, source, settings.recipe, teacher, student, rules, providers, renames)

    def mirrored(self, seed: int) -> "Market":
        """The same market, its moves turned round by the coins of a seed: its noise twin."""
        return self.changed(partial(mirrored, seed=seed))

    def changed(self, change: Callable[[Bars], Bars]) -> "Market":
        """The same market, the bars of each symbol another."""
        teacher, student, recipe = self._asked
        source = ChangedBars(self._source, change)
        return Market(self.universe, self.windows, source, recipe, teacher, student, providers=self.providers)

    def until(self, day: date) -> "Market":
        """The same market without what came later: the windows that end by a day, and the bars before it.

        Raises
        ------
        UsageError
            No window ends by then.
        """
        teacher, student, recipe = self._asked
        windows = tuple(window for window in self.windows if window.end <= day)
        if not windows:
            raise UsageError(f"No window ends by {day}. The first one ends on {self.windows[0].end}.")
        early = ChangedBars(self._given, partial(before, day=day))
        return Market(
            self.universe, windows, early, recipe, teacher, student, self._rules, self.providers, self.renames
        )

    @cached_property
    def aliases(self) -> Mapping[str, Alias]:
        """Other symbols of those of the universe, by name."""
        return self.renames.aliases(self.universe.listed)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why files of bars were left out of which nobody can tell the symbols, in words."""
        return self._source.left_out

    @property
    def notes(self) -> list[str]:
        """What is to be said of the universe, and how bars asked for so far were read and labelled: few sentences."""
        of_universe = [*notes_of(self.universe)]
        of_universe += [Note(_NOT_USED, place=column) for column in self.universe.unused]
        of_universe += [
            Note(_ONE_COMPANY, place=f"{old} and {new}") for old, new in self.renames.doubles(self.universe.listed)
        ]
        return told([*of_universe, *self._source.notes]) + list(filter(None, [self.unlabelled]))

    @cached_property
    def cross_section(self) -> CrossSection:
        """Hurdles of labels that compare the symbols of the universe; the first question reads the bars of all."""
        return cross_section(self._readable(), self.recipe)

    def _readable(self) -> Iterator[Bars]:
        """Bars of the symbols that have usable ones: what the others raise is told where they are planned."""
        for listing in self.universe.listings:
            with suppress(Exception):
                yield self._source.bars(listing)

    @property
    def unlabelled(self) -> str:
        """Which forward returns a comparison of symbols leaves without a label, in words; empty without one."""
        if self.recipe.label != "cross_sectional":
            return ""
        # Who plans a symbol holds the lock when it asks, and reading bars may ask for it: nobody comes the other way.
        with self._lock:
            return self.cross_section.unlabelled

    def bars(self, symbol: str) -> Bars:
        """Validated bars of a symbol; raises its `WindowError`."""
        return self._source.bars(self.universe.listing(symbol))

    @cached_property
    def findings(self) -> Sequence[Finding]:
        """What the rules on bars find, and by what bars were adjusted; the first question reads the whole universe.

        Raises
        ------
        UsageError
            The exchange's calendar is not there.
        """
        found = self._found
        known = (self._rules.actions, self._taken_out)
        actions = [(symbol, each) for by_symbol in known for symbol, own in by_symbol.items() for each in own]
        taken_out = {each.origin for _, each in actions}
        records = [self._quality.record(symbol, each) for symbol, each in actions]
        return [*filter(None, records), *(one for one in found if one.message not in taken_out)]

    def findings_at_hand(self, symbols: Iterable[str]) -> Sequence[Finding]:
        """As `findings_of` where the whole universe has been read anyway; none where it has not."""
        return self.findings_of(symbols) if self.is_read else ()

    @property
    def is_read(self) -> bool:
        """Whether the bars of the whole universe have been read, those that cannot be taken included."""
        return all(map(self._quality.knows, self.universe.symbols))

    @cached_property
    def coverage(self) -> Coverage:
        """Which bars there are in the span of the windows; errors and what is read are as of `findings`."""
        with self._lock:
            self._take_in()
            return self._quality.coverage(self.universe.listings)

    @property
    def coverage_at_hand(self) -> Coverage | None:
        """As `coverage` where the whole universe has been read anyway; None where it has not."""
        return self.coverage if self.is_read else None

    def _take_in(self) -> None:
        """Let the rules know the bars of the whole universe."""
        for listing in self.universe.listings:
            if not self._quality.knows(listing.symbol):
                self._read(listing)

    @cached_property
    def _found(self) -> Sequence[Finding]:
        """What the rules find in bars as they are given."""
        with self._lock:
            self._take_in()
            found = self._quality.findings(self.left_out, self.universe.listings)
        after = (after_delisting(symbol, times, self._delisted[symbol]) for symbol, times in self._afterwards.items())
        return [*after, *found]

    @cached_property
    def _taken_out(self) -> Mapping[str, Sequence[Action]]:
        """Steps that are found and taken out, by symbol."""
        return detected(self._found) if self._rules.adjust == "detected" else {}

    def findings_of(self, symbols: Iterable[str]) -> Sequence[Finding]:
        """Findings of some symbols, and of all together."""
        wanted = {*symbols, EVERYBODY}
        return [one for one in self.findings if one.symbol in wanted]

    @property
    def features(self) -> tuple[str, ...]:
        """Who provides the features, by name and digest."""
        return tuple(provider.identity for provider in self.providers)

    @property
    def pooled(self) -> bool:
        """Whether teachers learn from pools."""
        return self._asked[0].scope == "pool"

    @cached_property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by name; the first question reads the bars of the whole universe."""
        teacher, student, _ = self._asked
        with self._lock:
            candidates = list(self._candidates())
        labelled_until = max((one.labelled_until for one in candidates if one.labelled_until), default=None)
        filling = [each.key for each in self.windows if labelled_until is None or labelled_until < each.end]
        kinds = Counter(one.feature_names for one in candidates for _ in one.members)
        # A pool has one set of columns: those of most pairs, where daily and intraday bars meet.
        own = [one for one in candidates if one.feature_names == kinds.most_common(1)[0][0]] if kinds else []
        members = [
            one.members[pair.window.key]
            for one in own
            for pair in within_pools(one.pairs, filling)
            if pair.trainable and not pair.served_by
        ]
        floor = partial(pool_floor, teacher, student, self.recipe.horizon)
        least = self.recipe.min_samples
        separate = teacher.early_life == "separate"
        return pools_of(self.window_keys, teacher.pool_history, members, floor, least, filling, separate=separate)

    def pools_in(self, windows: Collection[str]) -> list[Pool]:
        """The pools of windows."""
        return [pool for pool in self.pools.values() if pool.window in windows]

    def pool_of(self, pair: Pair) -> Pool:
        """The pool that teaches a pair: that of its window's young symbols if it is in it, or else the window's."""
        symbol, window = pair.symbol, pair.learned_in.window.key
        early = self.pools.get(window + EARLY)
        return early if early and (symbol, window) in early.spans else self.pools[window]

    def _candidates(self) -> Iterator[_Candidate]:
        """Symbols whose rows may be in pools."""
        for symbol in self.universe.symbols:
            plan = self._own_plan(symbol)
            if isinstance(plan.samples, WindowError):
                continue
            members = {}
            for pair in plan.pairs:
                if pair.rows and (pair.eligible or pair.waits) and not pair.spoiled:
                    lesson = Lesson.of(pair, plan.samples, self.recipe)
                    key = (symbol, pair.window.key)
                    members[pair.window.key] = Member(key, pair.rows, lesson.own_data, bool(pair.early_life))
            yield _Candidate(plan.samples.feature_names, plan.samples.last_labelled_day, plan.pairs, members)

    def pool_rows(self, name: str, of: str = "") -> PoolRows:
        """The rows of a pool, or those of one symbol in it; where bars cannot be used, there is none."""
        pool = self.pools[name]
        keys = [key for key in pool.keys if not of or key[0] == of]
        names = next((self.samples(symbol).feature_names for symbol, _ in keys), ())

        def parts() -> Iterator[tuple[Key, Samples, WindowRows]]:
            for symbol, start in keys:
                samples = self.samples(symbol)
                yield (symbol, start), samples, self.rows_of(samples, start)

        return PoolRows.of(parts(), self.recipe.horizon, pool.window, names)

    def rows_of(self, samples: Samples, window: str) -> WindowRows:
        """The rows that a symbol has in a window, by its key, whatever becomes of the pair."""
        found = self._windows[window]
        start = max(found.start, samples.trading_start or found.start)
        return window_rows(samples, found, start, self.recipe)

    @cached_property
    def _windows(self) -> Mapping[str, Window]:
        return {each.key: each for each in self.windows}

    def lesson(self, pair: Pair, judging: str = "") -> Lesson:
        """Everything that training a pair needs but the parameters.

        Raises
        ------
        WindowError
            The symbol's bars cannot be used, or those that the pair reads, or not in a pool with those of the others.
        """
        samples = self.samples(pair.symbol)
        if pair.spoiled:
            raise corrupt(pair.spoiled)
        if not self.pooled:
            return Lesson.of(pair, samples, self.recipe, judging)
        pool = self.pool_of(pair)
        if (pair.symbol, pair.learned_in.window.key) not in pool.spans:
            raise WindowError(
                FailureKind.CORRUPT_BARS,
                f"Bars of {pair.symbol} are not of the kind of most symbols, daily or intraday, and cannot be pooled "
                "with theirs. Give it bars like theirs, or train by TEACHER_SCOPE=symbol.",
            )
        return Lesson.of(pair, samples, self.recipe, judging, pool.fingerprint, pool.name)

    def samples(self, symbol: str) -> Samples:
        """Features and labels of a symbol's whole history; raises its `WindowError`."""
        samples = self._own_plan(symbol).samples
        if isinstance(samples, WindowError):
            raise samples
        return samples

    def readable_samples(self) -> Iterator[Samples]:
        """Samples of the symbols whose bars can be used, in the order of the universe."""
        for symbol in self.universe.symbols:
            samples = self._own_plan(symbol).samples
            if not isinstance(samples, WindowError):
                yield samples

    def plan(self, symbol: str) -> SymbolPlan:
        """Samples and pairs of a symbol; threads may ask for the same one at once."""
        plan = self._own_plan(symbol)
        if not self.pooled or isinstance(plan.samples, WindowError):
            return plan
        filling = [pool.window for pool in self.pools.values() if pool.filling]
        pairs = within_pools(plan.pairs, filling, lambda pair: self.pool_of(pair).lacks)
        return replace(plan, pairs=tuple(pairs))

    def _own_plan(self, symbol: str) -> SymbolPlan:
        with self._lock:
            if symbol in self._plans:
                self._plans.move_to_end(symbol)
            else:
                self._plans[symbol] = plan = self._planned(symbol)
                self._kept_bytes += _size(plan)
                while self._kept_bytes > KEPT_BYTES and len(self._plans) > 1:
                    self._kept_bytes -= _size(self._plans.popitem(last=False)[1])
            return self._plans[symbol]

    def _planned(self, symbol: str) -> SymbolPlan:
        listing = self.universe.listing(symbol)
        samples: Samples | WindowError
        bars = self._read(listing)
        try:
            if isinstance(bars, WindowError):
                samples = bars
            else:
                bars = self._adjusted(bars)
                self.bars_read[symbol] = BarsDigest.of(bars)
                samples = self._samples_of(bars, listing)
        except Exception as error:  # noqa: BLE001  # whatever one symbol's bars raise costs that symbol's windows only
            samples = _error_of(symbol, error)
        pairs = plan_symbol(listing, samples, self.windows, self.recipe, self.floor)
        if self._rules.react:
            found = [one for one in self.findings if one.symbol == symbol]
            pairs = tuple(self._rules.applied(pair, found) for pair in pairs)
        return SymbolPlan(samples, pairs)

    def _until_delisting(self, bars: Bars) -> Bars:
        delisted = self._delisted.get(bars.symbol)
        own = bars if delisted is None else before(bars, delisted + timedelta(days=1))
        if len(own) < len(bars):
            self._afterwards[bars.symbol] = bars.time[len(own) :]
        return own

    def _as_given(self, bars: Bars) -> Bars:
        return adjusted(bars, self._rules.actions.get(bars.symbol, ()))

    def _adjusted(self, bars: Bars) -> Bars:
        return adjusted(bars, self._taken_out.get(bars.symbol, ()))

    def _samples_of(self, bars: Bars, listing: Listing) -> Samples:
        recipe = self.recipe
        hurdle = self._compared(bars) if recipe.label == "cross_sectional" else hurdle_of(bars, recipe)
        return build_samples(bars, listing, recipe.horizon, hurdle, recipe.overnight_labels, self.providers)

    def _read(self, listing: Listing) -> Bars | WindowError:
        """Bars of a symbol, of which the rules take note as they are given, or why they cannot be taken."""
        try:
            bars = self._raw.bars(listing)
        except Exception as error:  # noqa: BLE001  # whatever one symbol's bars raise costs that symbol's windows only
            found = _error_of(listing.symbol, error)
            self._quality.note(listing.symbol, str(found))
            return found
        if not self._quality.knows(listing.symbol):
            self._quality.note(listing.symbol, bars)
        return bars

    def _compared(self, bars: Bars) -> Floats:
        """What the universe asks of a symbol's forward returns; its bars are read for that and once more for itself."""
        hurdle = self.cross_section.hurdles.get(bars.symbol)
        if hurdle is None or len(hurdle) != len(bars):
            raise WindowError(
                FailureKind.SOURCE_UNAVAILABLE,
                f"The bars of {bars.symbol} changed while those of the universe were compared. Try again.",
            )
        return hurdle

    def pair(self, symbol: str, window: str) -> Pair:
        """One pair of the lattice by its window's key."""
        for pair in self.plan(symbol).pairs:
            if pair.window.key == window:
                return pair
        raise UsageError(f"There is no window {window}. The windows start on {', '.join(self.window_keys)}.")

    def idle_settings(self, rows: int) -> tuple[IdleSetting, ...]:
        """Settings of the recipe and of the parameters that do nothing where the largest window has so many rows.

        Trees of pools are as large as their rows allow, so that of these the largest counts instead.
        """
        if rows and self.pooled:
            rows = max(pool.rows for pool in self.pools.values())
        return idle_settings(*self._asked, rows)

    @property
    def window_keys(self) -> tuple[str, ...]:
        """Keys of the windows, in order."""
        return tuple(window.key for window in self.windows)

    def select_windows(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Those window keys that are named, in order; an unknown one is an error."""
        wanted = set(keys)
        unknown = sorted(wanted - set(self.window_keys))
        if unknown:
            raise UsageError(f"There is no window {unknown[0]}. The windows start on {', '.join(self.window_keys)}.")
        return tuple(key for key in self.window_keys if key in wanted)

    def keys(self, symbols: Sequence[str] | None = None, windows: Sequence[str] | None = None) -> list[tuple[str, str]]:
        """(symbol, window key) of a rectangle of the lattice, symbol by symbol; all of it by default."""
        starts = self.window_keys if windows is None else windows
        return [
            (symbol, start) for symbol in (self.universe.symbols if symbols is None else symbols) for start in starts
        ]

    def warnings(self, symbol: str) -> list[str]:
        """Conflicts between a symbol's listing and its bars, and what is to be said of how they were read, in words."""
        conflicts = self.conflicts(symbol)
        return conflicts + told(note for note in self._source.notes if note.symbol == symbol)

    def conflicts(self, symbol: str) -> list[str]:
        """Conflicts of a symbol's bars with its listing, and with labels that ask for a volatility, in words."""
        samples = self.plan(symbol).samples
        listing = self.universe.listing(symbol)
        if isinstance(samples, WindowError) or not len(samples.time):
            return []
        said, first = [], samples.time[0].astype("datetime64[D]").item()
        if listing.listing_date and first < listing.listing_date and listing.trading_start_date is None:
            said.append(f"{symbol} is listed on {listing.listing_date} and has bars from {first}; the bars count.")
        if self.recipe.label == "volatility_neutral":
            still = int(np.isnan(samples.hurdle[VOLATILITY_BARS:]).sum())
            if still:
                said.append(f"{symbol} has {still:,} bars without a label: its price stood still before them.")
        return said


def _source_of(settings: MarketSettings, universe: Universe, aliases: Mapping[str, Alias]) -> BarSource:
    """Where bars come from; `UsageError` where nothing is there of the universe."""
    end = None if settings.as_of is None else settings.as_of + timedelta(days=1)
    if settings.bars != SAMPLE:
        found = bars_at(settings.bars)
        path, said = found.path, list(found.said)
        if settings.as_of is not None:
            if found.address:
                said.append(Note(_AS_THEY_ARE, place=found.address))
            else:
                # Who asks for today need not know any vendor.
                from sensequant_assets.sources.vendors.past import fetched_by

                path, said = fetched_by(settings.as_of, path)
        return FileBars(
            path, settings.timezone, universe=universe, aliases=aliases, end=end, said=said, address=found.address
        )
    if not {one.vendor_code or one.symbol for one in universe.listings} & {*SYMBOLS}:
        raise UsageError(
            f"No symbol of universe {universe.name} is in the embedded sample, which has {', '.join(SYMBOLS)}. "
            "Give its bars with --bars or SENSEQUANT_BARS."
        )
    return SampleBars() if end is None else ChangedBars(SampleBars(), partial(before, day=end))


def _actions_of(settings: MarketSettings, aliases: Mapping[str, Alias]) -> Mapping[str, Sequence[Action]]:
    """Corporate actions that are given, under any symbol of a company, but for those of days that nobody knew of."""
    if settings.corporate_actions is None:
        return {}
    known: dict[str, list[Action]] = {}
    for name, given in read_actions(Path(settings.corporate_actions)).items():
        alias = aliases.get(name, Alias(name))
        known.setdefault(alias.symbol, []).extend(
            one
            for one in given
            if (alias.until is None or one.day < alias.until) and (settings.as_of is None or one.day <= settings.as_of)
        )
    return known


def _error_of(symbol: str, error: Exception) -> WindowError:
    if isinstance(error, WindowError):
        return error
    found = WindowError(failure_kind(error), f"Bars of {symbol}: {type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def _size(plan: SymbolPlan) -> int:
    return 0 if isinstance(plan.samples, WindowError) else plan.samples.features.nbytes
