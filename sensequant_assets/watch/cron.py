"""When a schedule is due, as people write it: a cron line."""

import re

_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
"""Least and greatest number of each field, in order; Sunday is 0 and 7."""
_ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LINE = re.compile(r"[\x20-\x7e]+")


def is_cron(line: str) -> bool:
    """Whether a line names times that come: five fields, or an alias such as `@daily`.

    A field is `*`, or numbers, names and ranges `a-b` separated by commas, each with a step `/n` if it is a range or
    `*`. Dagster takes more, such as `L` and `#`; what is taken here Dagster takes.

    Examples
    --------
    >>> is_cron("30 18 * * 1-5")
    True
    >>> is_cron("0 0 31 feb *")
    False
    """
    if not _LINE.fullmatch(line):
        return False
    if line in _ALIASES:
        return True
    cells = line.lower().split(" ")
    if len(cells) != len(_FIELDS):
        return False
    found = {name: _numbers(name, cell) for name, cell in zip(_FIELDS, cells, strict=True)}
    if not all(found.values()):
        return False
    # A day that no month of these has never comes.
    return min(found["day"]) <= max(_DAYS[month - 1] for month in found["month"])


def _numbers(field: str, cell: str) -> set[int]:
    """The numbers that a field means; none if it is no field."""
    numbers: set[int] = set()
    for part in cell.split(","):
        span, slash, step = part.partition("/")
        low, high = _FIELDS[field]
        if span != "*":
            first, dash, last = span.partition("-")
            low, high = (_number(field, end) for end in (first, last if dash else first))
            if low < 0 or high < low or (slash and not dash):
                return set()
        # A step beyond the field means its first number, which is better written so.
        if slash and not (re.fullmatch(r"\d{1,2}", step) and 0 < int(step) <= _FIELDS[field][1]):
            return set()
        numbers.update(range(low, high + 1, int(step) if slash else 1))
    return numbers


def _number(field: str, text: str) -> int:
    """The number of a text, -1 if it is none of the field."""
    if text in _NAMES.get(field, ()):
        return _NAMES[field].index(text) + _FIELDS[field][0]
    low, high = _FIELDS[field]
    return int(text) if re.fullmatch(r"\d{1,2}", text) and low <= int(text) <= high else -1
