"""Values side by side as the pages draw them: a bar each, with the ends of what it may be."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, EDGE = 360.0, 160.0, 8.0
_TICKS = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A value, the ends of its interval if it has one, a short name below it, and all of it in words."""

    name: str
    value: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True, slots=True)
class ChartBar:
    """A bar between `zero` and its value, and the ends of its interval; None without one."""

    x: float
    top: float
    height: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Values side by side, 360 wide and 190 high.

    Attributes
    ----------
    title
        What it shows, for those who do not see it.
    bars, width
        Of the values, and how wide each is.
    zero
        Where nothing lies.
    ticks
        (x, label) below.
    reach, top
        Value at the upper edge, and the same in words.
    """

    title: str
    bars: Sequence[ChartBar]
    width: float
    zero: float
    ticks: Sequence[tuple[float, str]]
    reach: float
    top: str


def chart(
    title: str, points: Sequence[Point], *, reach: float, top: str, signed: bool = True, every: int | None = None
) -> Chart:
    """Lay out values about 0, which lies in the middle, or at the lower edge unless they are signed.

    Parameters
    ----------
    title, reach, top
        As of `Chart`; what lies beyond the reach is cut off at the edge.
    points
        From left to right; one at least.
    signed
        Whether some may be below 0.
    every
        Of so many points the first has its name below; about four names by default.
    """
    zero = EDGE + (HEIGHT - EDGE) / (2 if signed else 1)
    scale = (zero - EDGE) / reach
    step = (WIDTH - 2 * EDGE) / len(points)
    floor = -reach if signed else 0.0

    def y(value: float) -> float:
        return float(zero - max(floor, min(reach, value)) * scale)

    bars = [
        ChartBar(
            x=EDGE + (at + 0.5) * step,
            top=min(zero, y(each.value)),
            height=abs(zero - y(each.value)),
            low=None if each.low is None else y(each.low),
            high=None if each.high is None else y(each.high),
            title=each.title,
        )
        for at, each in enumerate(points)
    ]
    every = every or -(-len(points) // _TICKS)
    ticks = [(bars[at].x, points[at].name) for at in range(0, len(points), every)]
    return Chart(title, bars, max(step - 1, 0.5), zero, ticks, reach, top)
