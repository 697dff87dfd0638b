"""What is kept of a batch beside what comes of computing it again, value by value."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sensequant_assets.text import brief

TOLERANCE = 1e-9
"""Relative difference up to which two numbers are the same: other processors add in another order."""


@dataclass
class Found:
    """What a certificate comes to while it is made.

    Attributes
    ----------
    differences
        What is not what it was, in sentences.
    unverifiable
        What cannot be verified, and why.
    remarks
        What is to be said besides.
    checked
        How many of each kind of thing were compared.
    """

    differences: list[str] = field(default_factory=list)
    unverifiable: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Count what was compared."""
        self.checked[what] = self.checked.get(what, 0) + number


def compare(found: Found, where: str, told: Any, again: Any) -> None:
    """Note where what is kept is not what comes of computing it again."""
    for place, kept, computed in _differing(told, again):
        path = f", {place.lstrip('.')}" if place else ""
        found.differences.append(f"{where}{path}: {_said(kept)} is kept, and {_said(computed)} comes of it again.")
    found.count("numbers", _numbers(told))


def _differing(told: Any, again: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(told, Mapping) and isinstance(again, Mapping):
        for name in [*told, *(name for name in again if name not in told)]:
            yield from _differing(told.get(name, _ABSENT), again.get(name, _ABSENT), f"{place}.{name}")
    elif _is_list(told) and _is_list(again) and len(told) == len(again):
        for number, (one, other) in enumerate(zip(told, again, strict=True)):
            yield from _differing(one, other, f"{place}[{number}]")
    elif not _same(told, again):
        yield place, told, again


_ABSENT = "no value"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(told: Any, again: Any) -> bool:
    if isinstance(told, float) or isinstance(again, float):
        both = isinstance(told, int | float) and isinstance(again, int | float)
        return both and math.isclose(told, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(told == again) or (told is not None and again is not None and str(told) == str(again))


def _numbers(told: Any) -> int:
    """How many numbers there are."""
    if isinstance(told, Mapping):
        return sum(map(_numbers, told.values()))
    if _is_list(told):
        return sum(map(_numbers, told))
    return isinstance(told, int | float) and not isinstance(told, bool)


def _said(value: Any) -> str:
    return brief("nothing" if value is None else value)
