"""Windows: contiguous half-open training spans of a fixed number of calendar days."""

from dataclasses import dataclass
from datetime import date, timedelta

from sensequant_assets.errors import UsageError

MIN_LAST_WINDOW_DAYS = 7
"""A last piece shorter than this many days is dropped (design: Lattice); one of shorter windows, unless it is whole."""

MOST_WINDOWS = 10_000
"""Windows of a lattice, beyond which neither a person nor the UI can look at it."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Half-open training span [start, end).

    Attributes
    ----------
    start
        First day of the window.
    end
        First day after it, which is the first day of the next window.
    """

    start: date
    end: date

    @property
    def key(self) -> str:
        """The partition key: the start date, `YYYY-MM-DD`."""
        return self.start.isoformat()


def build_windows(start: date, end: date, window_days: int) -> tuple[Window, ...]:
    """Cut [start, end) into windows.

    Parameters
    ----------
    start, end
        First day, and first day after the last window.
    window_days
        Calendar days a window, at least 1.

    Returns
    -------
    tuple of Window
        Contiguous and in order; the last one ends at `end` and is dropped if shorter than 7 days and than the others.

    Raises
    ------
    UsageError
        No window fits, or too many do.

    Examples
    --------
    >>> [window.key for window in build_windows(date(2022, 1, 1), date(2023, 1, 3), 180)]
    ['2022-01-01', '2022-06-30', '2022-12-27']
    >>> len(build_windows(date(2022, 1, 1), date(2022, 12, 30), 180))
    2
    """
    if window_days < 1:
        raise UsageError(f"A window of {window_days} days is too short; use at least 1.")
    shortest = min(MIN_LAST_WINDOW_DAYS, window_days)
    number = -(-(end - start).days // window_days)
    if number > MOST_WINDOWS:
        raise UsageError(
            f"{start} to {end} is {number} windows of {window_days} days, and {MOST_WINDOWS} are the most; widen the "
            "windows or choose a shorter span."
        )
    windows = []
    at = start
    while at < end:
        window = Window(at, at + timedelta(days=min(window_days, (end - at).days)))
        if (window.end - window.start).days >= shortest:
            windows.append(window)
        at = window.end
    if not windows:
        raise UsageError(
            f"No window fits between {start} and {end}; set the end at least {shortest} days after the start."
        )
    return tuple(windows)
