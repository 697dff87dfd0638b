"""Renames: the symbols that a company had, one after the other."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, order=True)
class Rename:
    """A company was given another symbol.

    Attributes
    ----------
    day
        First day of the new symbol.
    old, new
        The symbols.
    """

    day: date
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Alias:
    """Another symbol under which bars and models of a listed one may be found.

    Attributes
    ----------
    symbol
        The listed one.
    until
        First day on which the other symbol is no longer this company's; None where it is that of today.
    """

    symbol: str
    until: date | None = None


class Renames:
    """All renames that are known.

    A symbol may come to another company after it was given up, and a company may have it twice, so that only renames
    in order of time say what was whose.

    Parameters
    ----------
    renames
        In any order; of a symbol to itself none.
    """

    def __init__(self, renames: Iterable[Rename] = ()) -> None:
        self._renames = tuple(sorted({one for one in renames if one.old != one.new}))
        self._of: dict[str, list[int]] = {}
        self._to: dict[str, list[int]] = {}
        for place, one in enumerate(self._renames):
            self._of.setdefault(one.old, []).append(place)
            self._to.setdefault(one.new, []).append(place)

    def __iter__(self) -> Iterator[Rename]:
        return iter(self._renames)

    def as_of(self, day: date) -> "Renames":
        """Those that had happened at the end of a day."""
        return Renames(one for one in self._renames if one.day <= day)

    def names(self, symbol: str, listed: date | None = None) -> tuple[tuple[str, date | None], ...]:
        """All symbols of the company that has a symbol, or had it last, each with the day of the next; oldest first.

        Parameters
        ----------
        symbol
            One of them.
        listed
            Day of its listing, if it is known: what was listed after the symbol was given up is another company.

        Examples
        --------
        >>> known = Renames([Rename(date(2022, 12, 5), "LTI", "LTIM"), Rename(date(2026, 2, 27), "LTIM", "LTM")])
        >>> [name for name, _ in known.names("LTIM")]
        ['LTI', 'LTIM', 'LTM']
        """
        names: list[tuple[str, date | None]] = []
        place = given = max(self._to.get(symbol, ()), default=-1)
        while place >= 0:
            change = self._renames[place]
            names.insert(0, (change.old, change.day))
            place = max((one for one in self._to.get(change.old, ()) if one < place), default=-1)
        name, place = symbol, given
        while given_up := [one for one in self._of.get(name, ()) if one > place]:
            change = self._renames[given_up[0]]
            if listed is not None and name == symbol and change.day < listed:
                names, place = [], given_up[0]
                continue
            names.append((name, change.day))
            name, place = change.new, given_up[0]
        return (*names, (name, None))

    def newest(self, symbol: str) -> str:
        """What the company is called that has, or had last, a symbol."""
        return self.names(symbol)[-1][0]

    def name_on(self, symbol: str, day: date, listed: date | None = None) -> str:
        """What the company was called at the end of a day; parameters as for `names`."""
        return next(name for name, until in self.names(symbol, listed) if until is None or until > day)

    def aliases(self, listed: Mapping[str, date | None]) -> dict[str, Alias]:
        """The other symbols of listed ones; one that is listed itself is nobody's alias.

        Parameters
        ----------
        listed
            Symbols, and the days of their listing where these are known.

        Returns
        -------
        dict of Alias
            By the other symbol; those of one company nearest in time first.
        """
        found: dict[str, Alias] = {}
        for symbol, since in listed.items():
            names = self.names(symbol, since)
            own = max(place for place, (name, _) in enumerate(names) if name == symbol)
            later = [(name, None) for name, _ in names[own + 1 :]]
            for name, until in [*reversed(names[:own]), *later]:
                if name not in listed:
                    found.setdefault(name, Alias(symbol, until))
        return found

    def doubles(self, listed: Mapping[str, date | None]) -> list[tuple[str, str]]:
        """Pairs of listed symbols that one company had, the older name first; parameters as for `aliases`."""
        return [
            (name, symbol)
            for symbol, since in listed.items()
            for name, until in self.names(symbol, since)
            if until is not None and name != symbol and name in listed
        ]
