"""Days and times as files spell them: one spelling for all, and a proof of what stands first in 02-01-2024."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensequant_assets.core.bars import Times, corrupt

if TYPE_CHECKING:
    import pandas as pd

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "sept", "september", "october",
    "november", "december",
)  # fmt: skip
_MONTH = rf"(?P<name>{'|'.join(sorted((*_FULL_MONTHS, *_MONTHS), key=len, reverse=True))})"
_ZONE = r"(?P<zone>Z|UTC|GMT|(?:UTC|GMT)?[+-]\d{2}:?(?:\d{2})?(?:\s\([^)]*\))?)"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    rf"\s*(?P<half>[ap]\.?m\.?)?\s*{_ZONE}?"
)
_TAIL = rf"(?:(?:[\s,T]+|:){_CLOCK}|\s*{_ZONE.replace('zone', 'bare')})?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_YEAR = r"(?P<year>\d{4}|\d{2})"
_PART = r"[\s./,-]"

_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})([-/. ])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}}){_TAIL}", re.IGNORECASE)
_NAMED = (
    re.compile(rf"{_WEEKDAY}(?P<day>\d{{1,2}}){_PART}*{_MONTH}\.?{_PART}*{_YEAR}{_TAIL}", re.IGNORECASE),
    re.compile(rf"{_WEEKDAY}{_MONTH}\.?{_PART}*(?P<day>\d{{1,2}}){_PART}+{_YEAR}{_TAIL}", re.IGNORECASE),
    re.compile(rf"(?P<year>\d{{4}}){_PART}*{_MONTH}\.?{_PART}*(?P<day>\d{{1,2}}){_TAIL}", re.IGNORECASE),
)
_NUMERIC = re.compile(
    rf"{_WEEKDAY}(?P<first>\d{{1,2}})([-/. ])(?P<second_>\d{{1,2}})\2(?P<third>\d{{4}}|\d{{2}}){_TAIL}", re.IGNORECASE
)
_TOGETHER = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"[T\s]+(?P<hour>\d{2}):?(?P<minute>\d{2}):?(?P<second>\d{2})?(?:\.\d+)?(?P<zone>Z)?"
)
_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s?(?:Z|[+-]\d{2}:?\d{2})?)?"
"""What pandas reads as it is."""
_DIGITS = re.compile(r"\d{5,19}(?:\.\d*)?")
_CLOCK_ALONE = re.compile(_CLOCK, re.IGNORECASE)
_CLOCK_DIGITS = re.compile(r"\d{3,6}(?:\.0)?")

_PIVOT = 70
"""Years of two digits from it on are of 1900, and below it of 2000, as in spreadsheets and POSIX."""

_EPOCHS = (("s", 10**8, 10**10), ("ms", 10**11, 10**13), ("us", 10**14, 10**16), ("ns", 10**17, 2**63))
"""Ranges of times since 1970 in each unit, which do not touch: from 1973 on."""
_SERIALS = (20_000, 80_000)
"""Days that spreadsheets count from 1899-12-30: from 1954 to 2119."""
_MANY = 2
"""Dates of another order that are no slip of one row."""
_SPREADSHEET_ZERO = np.datetime64("1899-12-30", "s")


class Order(NamedTuple):
    """What stands where in a date of three numbers."""

    words: str
    day: int
    month: int
    year: int

    def reads(self, parts: tuple[int, int, int], wide: bool) -> date | None:
        """The day that three numbers are, None if they are none; the year has four digits if `wide`."""
        if wide and self.year != 2:  # the third of three
            return None
        year = parts[self.year]
        if not wide:
            year += 1900 if year >= _PIVOT else 2000
        try:
            return date(year, parts[self.month], parts[self.day])
        except ValueError:
            return None


ORDERS = (Order("day first", 0, 1, 2), Order("month first", 1, 0, 2), Order("year first", 2, 1, 0))
Example = tuple[str, str]
"""A date as it is spelled, and the file it stands in."""


class Proof:
    """What stands first in the dates of a place, proven by all of them together.

    Parameters
    ----------
    dates
        Gives each file of the place, and the different texts in its column of dates. It is asked once, and only if a
        date can be read in two ways.
    today
        The last day that a bar can be of.
    """

    def __init__(self, dates: Callable[[], Iterable[tuple[str, Iterable[str]]]], today: date) -> None:
        self._dates = dates
        self._today = today

    @cached_property
    def _found(self) -> tuple[Order, Example] | tuple[None, str]:
        left: dict[Order, Example | None] = dict.fromkeys(ORDERS)
        example: Example | None = None
        for file, texts in self._dates():
            for text in texts:
                found = _NUMERIC.fullmatch(text.strip())
                if not found:
                    continue
                example = example or (text, file)
                fit = [order for order in left if self._fits(order, found)]
                if fit and len(fit) < len(left):
                    left = dict.fromkeys(fit)
                    if len(left) == 1:
                        return fit[0], (text, file)
        text, file = example or ("", "")
        ways = " and ".join(self._reading(text, order) for order in left)
        return None, (
            f"{file}: date {text} is {ways}, and no date of these bars has a day above 12 that would say which. Write "
            "dates as 2024-01-31, or add a file with a later day of the month"
        )

    def _fits(self, order: Order, found: re.Match[str]) -> bool:
        parts, wide = _numbers(found)
        day = order.reads(parts, wide)
        # A day to come is a fault to be told, unless its year may be its day.
        return day is not None and (wide or day <= self._today)

    @staticmethod
    def _reading(text: str, order: Order) -> str:
        found = _NUMERIC.fullmatch(text.strip())
        day = order.reads(*_numbers(found)) if found else None
        return f"{day.day} {_MONTH_NAMES[day.month - 1]} {day.year} {order.words}" if day else f"no day {order.words}"

    @property
    def order(self) -> Order:
        """The order that is proven.

        Raises
        ------
        WindowError
            None is: every date can be read in two ways, which it shows.
        """
        order, why = self._found
        if order is None:
            raise corrupt(f"{why}.")
        return order

    def against(self, dates: Iterable[tuple[str, Iterable[str]]]) -> str:
        """That dates of some files are of another order than the one that is proven, in words; empty where one is not.

        One alone is a slip of its row. Nothing is looked at where no date of the place needs an order.
        """
        found = self.__dict__.get("_found", (None, ""))
        if found[0] is None:
            return ""
        others = [(file, text, other) for file, texts in dates for text in texts if (other := self._other(text))]
        if len({text for _, text, _ in others}) < _MANY:
            return ""
        (order, (proof, place)), (file, text, other) = found, others[0]
        return (
            f"{file}: date {text} and {len(others) - 1} more are {other.words}, and {proof} in {place} is "
            f"{order.words}. Give all dates of the bars one format"
        )

    def _other(self, text: str) -> Order | None:
        """The order in which a date is a day, where it is none in the proven one."""
        found = _NUMERIC.fullmatch(text.strip())
        if not found or self.order.reads(*_numbers(found)):
            return None
        return next((order for order in ORDERS if order.reads(*_numbers(found))), None)

    def both_readings(self, text: str) -> str:
        """How a date reads in the order that is proven and in the other one, and where the proof stands; else empty."""
        found = _NUMERIC.fullmatch(text.strip())
        if not found or self._found[0] is None:
            return ""
        order, (proof, file) = self._found
        other = ORDERS[1] if order is ORDERS[0] else ORDERS[0]
        return (
            f"{text} is {self._reading(text, order)} and {self._reading(text, other)}; {proof} in {file} is "
            f"{order.words}"
        )


_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def _numbers(found: re.Match[str]) -> tuple[tuple[int, int, int], bool]:
    third = found["third"]
    return (int(found["first"]), int(found["second_"]), int(third)), len(third) > 2  # digits of a year


def spelled_alike(texts: "pd.Series[Any]", order: Callable[[], Order]) -> "pd.Series[Any]":
    """Days and times, each as ISO 8601 spells it; missing where a text is none.

    Parameters
    ----------
    texts
        Different ones.
    order
        Asked where a date of three numbers can be read in two ways.
    """
    import pandas as pd

    if texts.str.fullmatch(_ISO).all():
        return texts
    return pd.Series([_iso(text.strip(), order) if isinstance(text, str) else None for text in texts], dtype=str)


def _iso(text: str, order: Callable[[], Order]) -> str | None:
    if re.fullmatch(_ISO, text):
        return text
    if _DIGITS.fullmatch(text):
        return _iso_of_number(text)
    for pattern in (_YEAR_FIRST, _TOGETHER, *_NAMED):
        if found := pattern.fullmatch(text):
            return _written(found.groupdict())
    if found := _NUMERIC.fullmatch(text):
        day = order().reads(*_numbers(found))
        return _written({**found.groupdict(), "on": day.isoformat()}) if day else None
    return None


def _written(parts: Mapping[str, str | None]) -> str | None:
    on = parts["on"] if "on" in parts else _day(parts)
    if parts.get("hour") is None:
        return f"{on}{_offset(' 00:00', parts.get('bare'))}"
    hour = int(parts["hour"] or 0)
    if half := parts.get("half"):
        if not 1 <= hour <= 12:  # hours of half a day
            return None
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    clock = f" {hour:02d}:{parts['minute']}:{parts.get('second') or '00'}"
    return f"{on}{_offset(clock, parts.get('zone'))}"


def _day(parts: Mapping[str, str | None]) -> str:
    month = int(parts["month"] or 0) if parts.get("month") else _MONTHS.index(str(parts["name"])[:3].lower()) + 1
    year = int(parts["year"] or 0)
    if len(str(parts["year"])) == 2:  # digits of a year
        year += 1900 if year >= _PIVOT else 2000
    return f"{year:04d}-{month:02d}-{int(parts['day'] or 0):02d}"


def _offset(clock: str, zone: str | None) -> str:
    if zone is None:
        return clock
    digits = re.sub(r"^(?:UTC|GMT)|\s.*|:", "", zone.upper())
    return f"{clock}Z" if digits in ("", "Z") else f"{clock}{digits[:3]}:{digits[3:] or '00'}"


def _iso_of_number(text: str) -> str | None:
    whole, _, fraction = text.partition(".")
    times, in_utc = times_of_numbers(np.array([float(text) if fraction.strip("0") else int(whole)]))
    return None if np.isnat(times[0]) else f"{times[0]}{'Z' if in_utc[0] else ''}"


def times_of_numbers(numbers: "NDArray[Any]") -> "tuple[Times, NDArray[np.bool_]]":
    """What numbers stand for as times, by their size.

    Parameters
    ----------
    numbers
        Whole or with a fraction.

    Returns
    -------
    times
        `datetime64[s]`; NaT where a number is no time. Eight digits are a day, 12 or 14 a day with a time; 10, 13, 16
        and 19 are seconds, milli-, micro- and nanoseconds since 1970; five are days as spreadsheets count them.
    in_utc
        Which are of UTC: those since 1970.
    """
    times = np.full(len(numbers), "NaT", dtype="datetime64[s]")
    in_utc = np.zeros(len(numbers), dtype=np.bool_)
    whole = numbers if numbers.dtype.kind in "iu" else np.where(np.isfinite(numbers), numbers, 0)
    for digits in (8, 12, 14):
        at = np.flatnonzero((whole >= 19 * 10 ** (digits - 2)) & (whole < 22 * 10 ** (digits - 2)))
        times[at] = _of_digits(whole[at].astype(np.int64), digits)
    for unit, first, end in _EPOCHS:
        there = np.isnat(times) & (whole >= first) & (whole < end)
        times[there] = whole[there].astype(np.int64).view(f"datetime64[{unit}]").astype("datetime64[s]")
        in_utc |= there
    there = (whole >= _SERIALS[0]) & (whole < _SERIALS[1])
    # A fraction of a day is a clock to the second, which a float keeps to some milliseconds.
    times[there] = _SPREADSHEET_ZERO + np.rint(whole[there] * 86400.0).astype("timedelta64[s]")
    return times, in_utc


def _of_digits(numbers: NDArray[np.int64], digits: int) -> Times:
    days, clock = numbers // 10 ** (digits - 8), numbers % 10 ** (digits - 8)
    clock = clock * 10 ** (14 - digits)
    year, month, day = days // 10_000, days // 100 % 100, days % 100
    hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    dates = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    valid &= dates.astype("datetime64[M]") == months.astype("datetime64[M]")
    times: Times = dates.astype("datetime64[s]") + (hour * 3600 + minute * 60 + second).astype("timedelta64[s]")
    times[~valid] = np.datetime64("NaT")
    return times


def clock_of(text: str) -> str | None:
    """A time of day as `09:15:00`, with its zone where it has one; None where a text is none."""
    text = text.strip()
    if _CLOCK_DIGITS.fullmatch(text):
        digits = text.partition(".")[0]
        digits = digits.zfill(4) if len(digits) <= 4 else digits.zfill(6)  # with seconds or without
        text = f"{digits[:2]}:{digits[2:4]}:{digits[4:] or '00'}"
    found = _CLOCK_ALONE.fullmatch(text)
    written = _written({**found.groupdict(), "on": ""}) if found else None
    return written.strip() if written and int(written.strip()[:2]) < 24 else None  # hours of a day


def is_day(text: str) -> bool:
    """Whether a text names a day and no time of it."""
    text = text.strip()
    return bool(re.fullmatch(r"\d{8}(?:\.0)?", text)) or bool(
        any((found := pattern.fullmatch(text)) and found.groupdict().get("hour") is None for pattern in _DAYS)
    )


_DAYS = (_YEAR_FIRST, *_NAMED, _NUMERIC)


def different(texts: "pd.Series[Any]") -> Iterator[str]:
    """The different texts of a column."""
    return (text for text in texts.dropna().unique() if isinstance(text, str))
