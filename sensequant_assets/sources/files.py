"""Bars from files: which file has whose, and the bars of a symbol from all that have some."""

import errno
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sensequant_assets.core.bars import PRICES, Bars, Delivery, before, corrupt, day_of, refuse_too_many
from sensequant_assets.core.renames import Alias
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.dates import Proof
from sensequant_assets.sources.headers import SERIES, roles_of
from sensequant_assets.sources.matching import Matcher
from sensequant_assets.sources.notes import NOT_USED, Note, shortened
from sensequant_assets.sources.packing import (
    READ,
    BarFile,
    bars_files,
    members,
    passed_over,
    refuse_other,
    why_not_read,
)
from sensequant_assets.sources.parsing import Rows, dates_of, parse_bars
from sensequant_assets.sources.reading import (
    UNREADABLE,
    Columns,
    Header,
    encoded,
    listed,
    read_columns,
    read_header,
    read_side_by_side,
)
from sensequant_assets.sources.regular import reason

_SAME = 1e-9
"""Relative difference up to which two files give the same number: CSV and parquet may round the last digit apart."""
_PLAIN_SERIES = "EQ"
"""The series of an exchange's plain shares; others are the same shares traded otherwise, bonds, or rights."""
KEPT_BYTES = 64 * 2**20
"""Rows kept in memory of a directory's files that name their one symbol in a column: of 1,000 with five years' days."""
_NAMES_SHOWN = 5
_CANNOT = " cannot be read: "

_Positions = np.ndarray[Any, np.dtype[np.int64]]


class FileBars:
    """Bars in one file of several symbols, or in a directory of files and folders.

    A file holds the symbols of its column of symbols, of the columns that stand side by side in it or, without either,
    the symbol it is named for. Which symbol a name stands for, a `Matcher` says. The bars of a symbol are the union
    over its files: the same bar may stand in several, such as the days that two deliveries share, and is taken once.
    Bars that two files tell differently cost that symbol, and nobody else: no rule says which file is right.

    A file that is not whole (a CSV without a line end at its end, a parquet file without its footer) is never taken
    in part. If it is named for a symbol, that symbol fails, because the rest of its bars may be a stranger history.
    Otherwise nobody can tell which symbols it holds: it is left out and stands in `broken`. That is safe, because a
    file only ever adds bars; without it models are older, not wrong, whereas failing every symbol would stop all of
    them for one cut copy. A CSV cut exactly between two lines cannot be told from a whole one: write it under another
    suffix and rename it.

    Parameters
    ----------
    path
        A CSV or parquet file of all symbols, or a directory.
    timezone
        Exchange time zone of zoned times; None keeps the wall clock they carry.
    clock
        Seconds since 1970; bars of the future are refused.
    universe
        Whose bars are wanted: then what matches no symbol of it is noted, and nothing that matches is an error. None
        for whichever are asked for.
    aliases
        Other symbols of listed ones, by name: what stands under one counts up to the day on which it was given up.
    end
        Day from which on nothing is known: rows from then on count as if nobody had read them; None without one.
    said
        What is to be said of the files besides.
    address
        Where the files were taken from, by which they are named; empty if they lie where they are read.

    Raises
    ------
    UsageError
        Nothing is there, nothing matches a symbol, or the one file cannot be read or has no column of symbols.
    """

    def __init__(
        self,
        path: Path,
        timezone: str | None = None,
        clock: Callable[[], float] = time.time,
        universe: Universe | None = None,
        aliases: Mapping[str, Alias] = MappingProxyType({}),
        end: date | None = None,
        said: Sequence[Note] = (),
        address: str = "",
    ) -> None:
        _require_path(path)
        self._said = said
        self._address = address
        self._shown = address or path
        self._end = end
        self._path = path
        self._aliases = aliases
        self._timezone = timezone
        self._clock = clock
        self._universe = universe
        self._read_notes: dict[str, tuple[Note, ...]] = {}
        self._proof = Proof(self._dates, day_of(np.datetime64(int(clock()), "s")))
        if path.is_file() or universe is not None:
            _ = self._index
        if universe is not None:
            self._require_bars(universe)

    def bars(self, listing: Listing) -> Bars:
        """Read and validate the bars of one symbol; no rows if there is no file or row of it.

        A row that breaks a rule is put aside, and costs the symbol no more unless there are too many of them.
        """
        symbol = listing.symbol
        known = self._claims if self._universe is not None else self._claimed(Matcher([listing]))
        claims = known.get(symbol, [])
        notes: list[Note] = []
        tables = list(_of_one_series(self._tables(symbol, claims), symbol, notes.append))
        parts = parse_bars(
            tables, symbol=symbol, timezone=self._timezone, clock=self._clock, proof=self._proof, note=notes.append
        )
        if self._end is not None:
            parts = [before(part, self._end) for part in parts]
        parts = [_own_part(part, claim, notes.append) for part, claim in zip(parts, claims, strict=True)]
        self._read_notes[symbol] = tuple(notes)
        return refuse_too_many(_union(parts)) if parts else Bars.empty(symbol)

    def _tables(self, symbol: str, claims: Sequence["_Claim"]) -> Iterator[Rows]:
        """The rows of a symbol, file by file."""
        first = {claim.alias: claim for claim in reversed(claims)}
        for claim in claims:
            one = first[claim.alias]
            if claim.name != one.name:
                raise corrupt(
                    f"{claim.file} has bars of {claim.name}, and {one.file} of {one.name}: both names stand "
                    f"for {symbol}. Remove one, or name the right one in the universe's column vendor_code."
                )
        for claim in claims:
            if claim.why_not:
                raise corrupt(claim.why_not)
            try:
                yield Rows(str(claim.file), claim.columns())
            except UNREADABLE as error:
                raise corrupt(_not_taken(claim.file, error)) from error

    @property
    def broken(self) -> dict[Path, str]:
        """Files of the directory that are left out because they are not whole, and why."""
        return {file.path: why for file, why in self._index.broken.items()}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why files were left out, in words, by name."""
        return tuple(self.broken.values())

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is to be said of the files, of names that match nothing, and of the bars read so far."""
        of_bars = (note for notes in self._read_notes.values() for note in notes)
        return (*self._said, *self._index.notes, *self._match_notes, *of_bars)

    @cached_property
    def _index(self) -> "_Index":
        matcher = None if self._universe is None else Matcher(self._universe.listings, self._aliases)
        if not self._path.is_file():
            return _Index.of(bars_files(self._path), self._path, matcher, self._address)
        index = _Index.of([self._path], None, matcher, self._address)
        for why in index.broken.values():
            raise UsageError(f"Bars file {why}")
        for file, header in index.named:
            if matcher is None or not matcher.symbol_of_file(file.names):
                raise UsageError(f"Bars file {file} has no column 'symbol'; it has {listed(header.names)}.")
        return index

    @cached_property
    def _claims(self) -> dict[str, list["_Claim"]]:
        return self._claimed(Matcher(self._universe.listings if self._universe else (), self._aliases))

    def _claimed(self, matcher: Matcher) -> dict[str, list["_Claim"]]:
        """Which files have bars of which symbols."""
        claims: dict[str, list[_Claim]] = {}
        for file, header in self._index.named:
            if found := matcher.symbol_of_file(file.names):
                read = partial(read_columns, file, header)
                claims.setdefault(found[0], []).append(_Claim(found[1], file, read))
        for file, why in self._index.broken.items():
            if found := matcher.symbol_of_file(file.names):
                claims.setdefault(found[0], []).append(_Claim(found[1], file, why_not=why))
        for table in self._index.tables:
            for name in table.names:
                if symbol := matcher.symbol(name):
                    claims.setdefault(symbol, []).append(_Claim(name, table.file, partial(table.of, name)))
        return {
            symbol: _as_coded([_with_alias(claim, matcher) for claim in found], matcher.codes.get(symbol))
            for symbol, found in claims.items()
        }

    @cached_property
    def _match_notes(self) -> tuple[Note, ...]:
        """What matches no symbol of the universe, what is taken for one by a rule, and what has no bars."""
        if self._universe is None:
            return ()
        taken = {claim.name: symbol for symbol, claims in self._claims.items() for claim in claims}
        codes = {listing.vendor_code or listing.symbol for listing in self._universe.listings}
        rows = dict.fromkeys(name for table in self._index.tables for name in table.names if name not in taken)
        claimed = {claim.file for claims in self._claims.values() for claim in claims}
        files = [file for file, _ in self._index.named if file not in claimed]
        broken = {file: why for file, why in self._index.broken.items() if file not in claimed}
        return (
            *(Note("Names of the bars that match no symbol of the universe", place=name) for name in rows),
            *(Note("Files whose names match no symbol of the universe", place=str(file)) for file in files),
            *(Note(f"Files are left out: {_reason(why)}", place=str(file)) for file, why in broken.items()),
            *(
                Note("Names that are taken for symbols", place=f"{name} for {symbol}")
                for name, symbol in taken.items()
                if name not in codes
            ),
            *(Note("Symbols without bars", symbol) for symbol in self._universe.symbols if symbol not in self._claims),
        )

    def _require_bars(self, universe: Universe) -> None:
        if self._claims:
            return
        index = self._index
        names = [name for table in index.tables for name in table.names]
        files = [str(file) for file, _ in index.named]
        if not (names or files):
            if index.broken:
                raise UsageError(f"No file of bars in {self._shown} can be read: {next(iter(index.broken.values()))}")
            there = shortened([path.name for path in passed_over(self._path)], _NAMES_SHOWN)
            why = f"it has {there}" if there else "it is empty"
            raise UsageError(f"There is no file of bars in {self._path}: {why}. Bars are files of {READ}.")
        has = f"names {shortened(dict.fromkeys(names), _NAMES_SHOWN)}" if names else ""
        has += " and " if names and files else ""
        has += f"files {shortened(files, _NAMES_SHOWN)}" if files else ""
        raise UsageError(
            f"No bars match a symbol of universe {universe.name}: {self._shown} has {has}, and the universe has "
            f"{shortened(universe.symbols, _NAMES_SHOWN)}. Name files after symbols, or give the vendor's names in the "
            "universe's column vendor_code."
        )

    def _dates(self) -> Iterator[tuple[str, Iterable[str]]]:
        """The texts in the column of dates, file by file."""
        files: list[tuple[str, Callable[[], Iterable[str]]]] = [
            *((str(table.file), table.dates) for table in self._index.tables),
            *((str(file), partial(_dates_in, file, header)) for file, header in self._index.named),
        ]
        for name, dates in sorted(files, key=itemgetter(0)):
            yield name, dates()


def _as_coded(claims: list["_Claim"], code: str | None) -> list["_Claim"]:
    """Of those that go by no alias only those that a listing's `vendor_code` names, where some are."""
    if not any(claim.name == code for claim in claims):
        return claims
    return [claim for claim in claims if claim.name == code or claim.alias]


def _with_alias(claim: "_Claim", matcher: Matcher) -> "_Claim":
    found = matcher.alias(claim.name)
    return replace(claim, alias=found[0], until=found[1].until) if found else claim


def _own_part(part: Bars, claim: "_Claim", note: Callable[[Note], None]) -> Bars:
    """The bars of a file that are its company's: under a symbol that it gave up, those from before that day."""
    if claim.until is None:
        return part
    own = before(part, claim.until)
    if count := len(part) - len(own):
        text = f"Rows of {claim.alias} from {claim.until} on, when it was given up, are left out"
        note(Note(text, part.symbol, str(claim.file), count))
    return own


def _require_path(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "it is neither a file nor a directory", str(path))
        if stat.S_ISDIR(mode):
            _ = next(path.iterdir(), None)
    except OSError as error:
        raise UsageError(
            f"There are no bars at {path}: {reason(error)}. Give a file or a directory with --bars or SENSEQUANT_BARS."
        ) from error
    if path.is_file():
        refuse_other(path, path)


def _dates_in(file: BarFile, header: Header) -> Iterable[str]:
    try:
        return dates_of(read_columns(file, header))
    except UNREADABLE:
        return ()


@dataclass(frozen=True, slots=True)
class _Claim:
    """A name of a file that stands for a symbol, and how to get its rows, or why they cannot be had.

    Where the name is another symbol of that company, `alias` is that, given up on the day `until` if it is not today's.
    """

    name: str
    file: BarFile
    columns: Callable[[], Columns] = Columns.none
    why_not: str = ""
    alias: str = ""
    until: date | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    """A file of several symbols: rows of all of them in one set of columns, or a set of columns for each."""

    file: BarFile
    together: Columns
    rows: Mapping[str, _Positions] = field(default_factory=dict)
    side_by_side: Mapping[str, Columns] = field(default_factory=dict)
    unnamed: int = 0
    again: "Callable[[], _Table] | None" = None

    @classmethod
    def by_column(cls, file: BarFile, header: Header, number: int) -> "_Table":
        """Read a file whose column at a position names the symbol of each row."""
        name = header.names[number]
        if list(header.names).count(name) > 1:
            raise ValueError(f"column {name} stands there twice")
        columns = read_columns(file, header, number)
        named = encoded(columns.values[name])
        indices = named.indices
        codes: Any = indices.fill_null(-1).to_numpy() if indices.null_count else np.from_dlpack(indices)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(named.dictionary) + 1))
        rows = {str(one): order[starts[i] : starts[i + 1]] for i, one in enumerate(named.dictionary.to_pylist())}
        # Which symbol a row is of stands in `rows` from here on.
        again = partial(cls.by_column, file, header, number)
        return cls(file, columns.without(name), rows, unnamed=int(starts[0]), again=again)

    @property
    def names(self) -> Iterable[str]:
        """What the file calls its symbols."""
        return self.side_by_side or self.rows

    @property
    def size(self) -> int:
        """Bytes that its rows take, about."""
        return len(self.together.rows) * (len(self.together.values) + 1) * 8

    @property
    def is_let_go(self) -> bool:
        """Whether its rows are read again when they are asked for."""
        return not self.side_by_side and not self.together.names

    def let_go(self) -> "_Table":
        """The same without its rows."""
        return replace(self, together=Columns.none(), rows=dict.fromkeys(self.rows, np.arange(0)))

    def of(self, name: str) -> Columns:
        """The rows of a symbol; an error of `UNREADABLE` where the file, read again, has none."""
        if self.side_by_side:
            return self.side_by_side[name]
        table = self.again() if self.again and self.is_let_go else self
        if name not in table.rows:
            raise ValueError(f"{name} is gone from it since it was looked into")
        return table.together.take(table.rows[name])

    def dates(self) -> Iterable[str]:
        """The different texts in the column of dates, if it is one of text."""
        if self.again and self.is_let_go:
            return self.again().dates()
        return dates_of(next(iter(self.side_by_side.values()), self.together))


@dataclass(slots=True)
class _Index:
    """Which files hold which symbols: files `named` for one, `tables` of several, and files left out."""

    named: list[tuple[BarFile, Header]] = field(default_factory=list)
    tables: list[_Table] = field(default_factory=list)
    broken: dict[BarFile, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    kept_bytes: int = 0

    @classmethod
    def of(cls, paths: Iterable[Path], root: Path | None, matcher: Matcher | None, address: str = "") -> "_Index":
        """Look into files, of a directory or of one path.

        Parameters
        ----------
        paths
            The files.
        root
            The directory they lie in; None for one file, which then has a column of symbols.
        matcher
            Says which names are symbols; None where nobody knows.
        address
            Where they were taken from; empty if from nowhere.
        """
        index = cls()
        for path in paths:
            place = f"{address}/{path.relative_to(root).as_posix()}" if address and root else address
            file = BarFile(path, "", root, place)
            try:
                for file in members(path, root, place):
                    index._take(file, matcher)
            except UNREADABLE as error:
                index.broken[file] = _not_taken(file, error)
        for path in passed_over(root) if root else ():
            index.notes.append(Note(why_not_read(path), place=str(path)))
        return index

    def _take(self, file: BarFile, matcher: Matcher | None) -> None:
        try:
            header = read_header(file)
            table = _table(file, header, matcher)
        except UNREADABLE as error:
            self.broken[file] = _not_taken(file, error)
            return
        if table is None:
            self.named.append((file, header))
        else:
            self.tables.append(self._kept(table))
            if table.unnamed:
                self.notes.append(Note("Rows without a symbol are left out", place=str(file), count=table.unnamed))
        if header.form and header.form.preamble:
            self.notes.append(Note("Lines before the header are passed over", place=str(file)))
        if unused := roles_of(header.names).unused:
            self.notes.append(Note(f"{NOT_USED}: {listed(unused)}", place=str(file)))

    def _kept(self, table: _Table) -> _Table:
        """A table as it is kept in memory: of a directory of thousands of files of one symbol, not all the rows.

        A file of one symbol is read once more when its rows are asked for. One of many would be for each of them.
        """
        if not table.file.root or len(table.rows) != 1:
            return table
        if self.kept_bytes + table.size > KEPT_BYTES:
            return table.let_go()
        self.kept_bytes += table.size
        return table


def _table(file: BarFile, header: Header, matcher: Matcher | None) -> _Table | None:
    """A file's table of several symbols; None if it is of the one that its name says.

    Of several columns that may name symbols the first counts that names one of the universe. Where none does, a file of
    one name is of the symbol that its own name says.
    """
    if any(header.tickers):
        found = [_Table(file, Columns.none(), side_by_side=read_side_by_side(file, header))]
    else:
        roles = roles_of(header.names)
        candidates = roles.symbols if matcher or not file.root or roles.named_symbols else ()
        found = []
        for number in candidates[:1] if matcher is None else candidates:
            found.append(_Table.by_column(file, header, number))
            if matcher and any(map(matcher.symbol, found[-1].names)):
                return found[-1]
        if not found or (not roles.named_symbols and file.root):
            return None
    if matcher and len(list(found[0].names)) == 1 and not any(map(matcher.symbol, found[0].names)):
        return None if not found[0].side_by_side and matcher.symbol_of_file(file.names) else found[0]
    return found[0]


def _of_one_series(tables: Iterable[Rows], symbol: str, note: Callable[[Note], None]) -> Iterator[Rows]:
    """The rows of plain shares, where a symbol has rows of several series."""
    tables = list(tables)
    series = [_series_of(table.columns) for table in tables]
    there = sorted({one for each in series if each is not None for one in np.unique(each)})
    if _PLAIN_SERIES not in there and len(there) > 1:
        raise corrupt(
            f"{tables[0].origin}: {symbol} has rows of the series {', '.join(there)}, and none of {_PLAIN_SERIES}. "
            "Keep the rows of one."
        )
    for table, each in zip(tables, series, strict=True):
        if each is None or len(there) == 1:
            yield table
            continue
        plain = each == _PLAIN_SERIES
        for other in there:
            if count := int(np.count_nonzero(each == other)) if other != _PLAIN_SERIES else 0:
                text = f"Rows of the series {other or 'without a name'} are left out, and those of EQ are taken"
                note(Note(text, symbol, table.origin, count))
        yield Rows(table.origin, table.columns.take(np.flatnonzero(plain)))
    if there and there[0] != _PLAIN_SERIES and len(there) == 1:
        note(Note(f"Bars of the series {there[0]} are taken, for there are none of {_PLAIN_SERIES}", symbol))


def _series_of(columns: Columns) -> "np.ndarray[Any, np.dtype[np.str_]] | None":
    """The series of each row; None where the file does not tell."""
    at = roles_of(columns.names).at
    return columns.values.get(columns.names[at[SERIES]]) if SERIES in at else None


def _reason(why: str) -> str:
    """Why a file was not taken, without its name and the point at the end."""
    return why.partition(_CANNOT)[2].removesuffix(".")


def _not_taken(path: BarFile, error: Exception) -> str:
    # Some libraries tell an error over several lines, with a point at its end or none.
    return f"{path}{_CANNOT}{' '.join(str(error).split()).removesuffix('.')}."


def _union(parts: Sequence[Bars]) -> Bars:
    """Bars of one symbol from several files, in time order; a bar told twice is the one of the first file."""
    if len(parts) == 1:
        return parts[0]
    symbol = parts[0].symbol
    _refuse_mixed(parts)
    time = np.concatenate([part.time for part in parts])
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in (*PRICES, "volume")}
    order = np.argsort(time, kind="stable")
    delivery = Delivery.joined([part.delivery for part in parts], order)
    again = np.flatnonzero(time[order][1:] == time[order][:-1])
    earlier, later = order[again], order[again + 1]
    for name, said in values.items():
        differs = np.flatnonzero(~np.isclose(said[earlier], said[later], rtol=_SAME, atol=0))
        if len(differs):
            one, other = again[differs[0]], again[differs[0]] + 1
            more = f" and {len(differs) - 1} more" if len(differs) > 1 else ""
            raise corrupt(
                f"{delivery.place(other)}{more}: {symbol}: {name} of {time[order[other]]} is "
                f"{said[order[other]]:.10g}, and {said[order[one]]:.10g} in {delivery.place(one)}. "
                "Remove the bar that is wrong, or deliver all of the symbol's bars on one basis."
            )
    kept = np.delete(order, again + 1)
    delivery = Delivery.joined([part.delivery for part in parts], kept)
    return Bars(symbol, time[kept], **{name: said[kept] for name, said in values.items()}, delivery=delivery)


def _refuse_mixed(parts: Sequence[Bars]) -> None:
    """Refuse bars of days among those of minutes: both would stand in one history."""
    intraday = next((part for part in parts if part.intraday), None)
    for part in parts:
        days = part.time.astype("datetime64[D]")
        if intraday and len(days) > 1 and (part.time == days).all():
            raise corrupt(
                f"{part.delivery.origins[0]} has daily bars of {part.symbol}, and {intraday.delivery.origins[0]} "
                "intraday ones. Give a directory of bars of one kind."
            )
