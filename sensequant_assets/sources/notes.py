"""What a person must know of how bars were read: what was left out, taken for something else, or not used."""

from collections.abc import Iterable
from dataclasses import dataclass

NOT_USED = "Columns that look like prices, dates or adjustments and are not used"
"""What is said of them, before their names."""

PLACES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Note:
    """One thing about the bars of a symbol or a file, in words.

    Attributes
    ----------
    text
        What is so, without its place and without a point at its end; notes of one text are told together.
    symbol
        Whose bars it is about; empty where it is about none alone.
    place
        Where it is so, mostly a file, as errors name it; empty where the symbol says enough.
    count
        Of how many rows it tells; 0 where it counts none.
    """

    text: str
    symbol: str = ""
    place: str = ""
    count: int = 0


def told(notes: Iterable[Note]) -> list[str]:
    """Notes as sentences, one for each text: what they count is summed, and of many places a few are named.

    Examples
    --------
    >>> told([Note("Rows that repeat another are taken once", "TCS", "a.csv", 2), Note("A b", "TCS"), Note("A b", "X")])
    ['Rows that repeat another are taken once: 2 in a.csv.', 'A b: TCS, X.']
    """
    by_text: dict[str, dict[str, int]] = {}
    for note in dict.fromkeys(notes):
        counts = by_text.setdefault(note.text, {})
        place = note.place or note.symbol
        counts[place] = counts.get(place, 0) + note.count
    return [_sentence(text, counts) for text, counts in by_text.items()]


def _sentence(text: str, counts: dict[str, int]) -> str:
    count = sum(counts.values())
    where = shortened([place for place in counts if place])
    said = f"{count:,} in {where}" if count and where else f"{count:,}" if count else where
    return f"{text}{' in' if ':' in text else ':'} {said}." if said else f"{text}."


def shortened(names: Iterable[str], most: int = PLACES_SHOWN) -> str:
    """The first of some names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
