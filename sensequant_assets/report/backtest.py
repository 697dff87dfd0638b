"""What a backtest found, in words, as a table and as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.backtest import fallen
from sensequant_assets.core.judging.bootstrap import ENOUGH_DATES
from sensequant_assets.report.pooled import interval
from sensequant_assets.text import counted

HEADS = ("", "return", "deepest fall", "from", "to", "as high again")

MOVES_SHOWN = 5
MOST_POINTS = 800
"""Dates of a curve that are drawn: a screen has no more columns for it."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Equity and its falls as a picture, 720 wide and 300 high.

    Attributes
    ----------
    title
        What it shows, for those who do not see it.
    portfolio, benchmark, falls
        Points as SVG has them; the falls are an area below their axis.
    start
        Where a value of 1 lies.
    levels
        (y, label) beside the curves.
    ticks
        (x, label) of dates.
    deepest
        The lower edge of the falls.
    """

    title: str
    portfolio: str
    benchmark: str
    falls: str
    start: float
    levels: Sequence[tuple[float, str]]
    ticks: Sequence[tuple[float, str]]
    deepest: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A backtest as it is shown.

    Attributes
    ----------
    head, verdict
        What was held, and what it came to, in a sentence or two each.
    heads, sides
        Table of portfolio and universe.
    sentences, remarks
        What else was found; what was left out, and what a backtest cannot say.
    picture
        The curves.
    """

    head: str
    verdict: str
    heads: Sequence[str]
    sides: Sequence[tuple[str, Sequence[str]]]
    sentences: Sequence[str]
    remarks: Sequence[str]
    picture: Curves


def drawn(found: Mapping[str, Any]) -> Drawn:
    """Draw what was found.

    Parameters
    ----------
    found
        As `batch.backtesting` writes it.
    """
    return Drawn(
        head=_head(found),
        verdict=verdict(found),
        heads=HEADS,
        sides=[
            (name, _side(found[side])) for name, side in (("portfolio, net", "portfolio"), ("universe", "benchmark"))
        ],
        sentences=[*_sentences(found)],
        remarks=[*_remarks(found)],
        picture=_picture(found),
    )


def verdict(found: Mapping[str, Any]) -> str:
    """What the portfolio came to beside its universe, with its interval, and no more than that shows."""
    low, high = found["excess_low"], found["excess_high"]
    if low is None:
        shows = "that is too few dates for an interval, and shows nothing"
    elif low > 0:
        shows = "on these dates surely more than the universe"
    elif high < 0:
        shows = "on these dates surely less than the universe"
    else:
        shows = "nothing shows that it beats its universe"
    return (
        f"Return of the portfolio less its universe's, after costs of {found['cost_bp']:g} bp a round trip: "
        f"{_bp(found, 'excess')} a date ({counted(found['dates'], 'date')}, {counted(found['blocks'], 'block')}): "
        f"{shows}."
    )


def _bp(found: Mapping[str, Any], name: str) -> str:
    ends = (found[name], found[f"{name}_low"], found[f"{name}_high"])
    return f"{interval(*(None if end is None else 10_000 * end for end in ends), digits=2, sign='+')} bp"


def _head(found: Mapping[str, Any]) -> str:
    bars = counted(found["horizon"], "bar")
    return (
        f"The {counted(found['top'], 'symbol')} of {found['symbols']:,} with the highest probability by the "
        f"{found['model']}, in equal parts: bought at the open after the prediction and sold at the open {bars} later, "
        f"one part in {found['horizon']} at each open. {counted(found['signals'], 'prediction')} of "
        f"{counted(found['signal_dates'], 'date')} and {counted(found['windows'], 'window')}, each by the model of the "
        f"window before; traded on {counted(found['dates'], 'date')}, {found['first']} to {found['last']}. Brackets "
        f"hold the {found['coverage']:.0%} interval, of blocks of {counted(found['block_length'], 'date')}."
    )


def _side(side: Mapping[str, Any]) -> list[str]:
    return [
        f"{side['total_return']:+.1%}", f"{side['max_drawdown']:.1%}", side["peak"], side["trough"],
        side["recovered"] or "not yet",
    ]  # fmt: skip


def _sentences(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"The same before costs: {_bp(found, 'excess_before_costs')} a date; the universe pays none on either."
    ratio = interval(found["sharpe"], found["sharpe_low"], found["sharpe_high"], sign="+")
    said = f"Sharpe ratio of the net return above the universe over {counted(found['period'], 'date')}: {ratio}"
    periods = f"({counted(found['periods'], 'period')} that do not overlap)"
    trials = counted(found["trials"], "trial")
    if found["probabilistic_sharpe"] is None:
        yield f"{said} {periods}; {trials}."
    else:
        luck = found["deflated_sharpe"]
        best = (
            "there is no other trial to deflate it by"
            if luck is None
            else f"above the luckiest of {trials} with {luck:.3f}"
        )
        yield f"{said}; above 0 with probability {found['probabilistic_sharpe']:.3f}, {best} {periods}."
    chosen = found["overfitting"]
    yield "Probability of backtest overfitting: " + (
        "unknown, for there are too few trials or periods."
        if chosen is None
        else f"{chosen:.3f} ({counted(found['overfitting_trials'], 'trial')}, "
        f"{counted(found['overfitting_periods'], 'period')})."
    )
    yield (
        f"{counted(found['buys'], 'purchase')} and {counted(found['sells'], 'sale')}; {found['turnover']:.0%} of the "
        f"portfolio is replaced over a horizon. Costs took {found['costs']:.1%} of the capital that it began with."
    )
    yield from _unfilled(found)


def _unfilled(found: Mapping[str, Any]) -> Iterator[str]:
    """Orders that were not filled, and prices that no order could have had."""
    told, band = found["unfilled"], found["price_band"]
    limits = (
        f"{counted(told['locked_buys'], 'purchase')} and {counted(told['locked_sells'], 'sale')} met a price at its "
        f"limit ({band:.0%} from the last close), {told['absent_buys']:,} and {told['absent_sells']:,} a symbol "
        "without a bar"
        if band
        else f"{counted(told['absent_buys'], 'purchase')} and {counted(told['absent_sells'], 'sale')} met a symbol "
        "without a bar; no price has a limit"
    )
    yield f"{limits}. Such a purchase is left out, and such a sale waits for the first open at which it can be."
    if moves := found["beyond_band"]:
        named = ", ".join(f"{each['symbol']} {each['date']}" for each in moves[:MOVES_SHOWN])
        more = f" and {len(moves) - MOVES_SHOWN:,} more" if len(moves) > MOVES_SHOWN else ""
        yield (
            f"{counted(len(moves), 'move')} of what was held {'is' if len(moves) == 1 else 'are'} larger than the band "
            f"({named}{more}): a split that nobody took out, or a symbol without a band. They count as they are."
        )
    for name, side in (("portfolio", "portfolio"), ("universe", "benchmark")):
        if left := found[side]["stranded"]:
            yield (
                f"The {name} could not sell {', '.join(left)} to the end, for want of a bar or of a buyer; the last "
                "close counts."
            )


def _remarks(found: Mapping[str, Any]) -> Iterator[str]:
    yield from found["remarks"]
    if found["passed_over"]:
        yield (
            f"{counted(found['passed_over'], 'time')} at which fewer than half of the symbols have a bar "
            f"{'is' if found['passed_over'] == 1 else 'are'} passed over."
        )
    if found["dates"] < ENOUGH_DATES:
        yield f"Fewer than {ENOUGH_DATES} dates: such an interval covers badly."
    yield (
        "A simulation of past bars: every order is filled whole at the open, its own effect on the price, taxes on "
        "gains and interest on cash are left out, and symbols that the universe's file does not have are on neither "
        "side. It says nothing of days to come."
    )


_LEFT, _RIGHT, _TOP, _BOTTOM, _ZERO, _DEEP = 48.0, 712.0, 10.0, 186.0, 206.0, 274.0


def _picture(found: Mapping[str, Any]) -> Curves:
    days = found["course"]["date"]
    portfolio, benchmark = (np.array(found["course"][name]) for name in ("portfolio", "benchmark"))
    falls = fallen(portfolio)
    shown = sorted({*range(0, len(days), ceil(len(days) / MOST_POINTS)), int(np.argmax(falls)), len(days) - 1})
    x = _LEFT + (_RIGHT - _LEFT) * np.array(shown) / max(len(days) - 1, 1)
    low, high = min(1.0, portfolio.min(), benchmark.min()), max(1.0, portfolio.max(), benchmark.max())
    # Equal shares are equally high: whoever doubles twice does not rise faster the second time.
    scale = (_BOTTOM - _TOP) / max(np.log(high / low), 1e-9)

    def y(values: Floats) -> Floats:
        placed: Floats = _BOTTOM - scale * np.log(values / low)
        return placed

    deepest = max(float(falls.max()), 1e-9)
    depth = _ZERO + (_DEEP - _ZERO) * falls[shown] / deepest
    every = range(0, len(days), max(ceil(len(days) / 5), 1))
    return Curves(
        title=f"Portfolio {portfolio[-1] - 1:+.1%}, universe {benchmark[-1] - 1:+.1%}, {days[0]} to {days[-1]}; "
        f"deepest fall {falls.max():.1%}",
        portfolio=_points(x, y(portfolio[shown])),
        benchmark=_points(x, y(benchmark[shown])),
        falls=_points(np.append(x, [x[-1], x[0]]), np.append(depth, [_ZERO, _ZERO])),
        start=float(y(np.array([1.0]))[0]),
        levels=[(float(y(np.array([level]))[0]), f"{level:.2f}") for level in dict.fromkeys((low, 1.0, high))],
        ticks=[
            (_LEFT + (_RIGHT - _LEFT) * at / max(len(days) - 1, 1), f"{date.fromisoformat(days[at]):%Y-%m}")
            for at in every
        ],
        deepest=f"-{falls.max():.0%}",
    )


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
