"""Periods of the past by name, such as a crash."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Period:
    """A span of days with a name; `first` and `last` are both in it."""

    name: str
    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.name} ({self.first} to {self.last})"


def read_periods(text: str) -> Sequence[Period]:
    """Periods as a setting spells them.

    Raises
    ------
    ValueError
        One has no name or days, ends before it begins, or has the name of another.

    Examples
    --------
    >>> [str(each) for each in read_periods("election: 2024-06-03/2024-06-04, tariffs: 2025-04-02/2025-04-11")]
    ['election (2024-06-03 to 2024-06-04)', 'tariffs (2025-04-02 to 2025-04-11)']
    """
    found = []
    for part in text.split(","):
        name, colon, span = part.rpartition(":")
        first, slash, last = span.strip().partition("/")
        period = Period(name.strip(), date.fromisoformat(first), date.fromisoformat(last))
        if not (colon and slash and period.name) or period.last < period.first:
            raise ValueError(part)
        found.append(period)
    if len({each.name for each in found}) < len(found):
        raise ValueError(text)
    return found
