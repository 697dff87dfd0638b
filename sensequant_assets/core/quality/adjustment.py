"""Bars adjusted by factors that are given or detected, each of which is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from sensequant_assets.core.bars import PRICES, Bars, day_of
from sensequant_assets.core.quality.outline import Days
from sensequant_assets.core.quality.rules import Finding

DETECTED = ("corporate_action", "seam")
"""Rules whose errors are steps that a factor takes out."""


@dataclass(frozen=True, slots=True)
class Action:
    """A corporate action.

    Attributes
    ----------
    day
        First day of the new price.
    factor
        Price before over price after: 5 for a split of one share into five.
    origin
        Who says so, as a sentence names it.
    """

    day: date
    factor: float
    origin: str


def adjusted(bars: Bars, actions: Sequence[Action]) -> Bars:
    """Bars with the prices before each action divided by its factor, and their volume multiplied."""
    factors = np.ones(len(bars))
    for action in actions:
        factors[bars.time < np.datetime64(action.day)] *= action.factor
    if (factors == 1).all():
        return bars
    prices = {name: getattr(bars, name) / factors for name in PRICES}
    return replace(bars, **prices, volume=bars.volume * factors)


def detected(findings: Sequence[Finding]) -> dict[str, list[Action]]:
    """Actions by symbol that the errors among findings show; the market's move of that night is not taken out."""
    actions: dict[str, list[Action]] = {}
    for one in findings:
        if one.rule in DETECTED and one.severity == "error" and one.first is not None:
            actions.setdefault(one.symbol, []).append(Action(one.first, one.evidence["factor"], one.message))
    return actions


def record_of(symbol: str, days: Days, action: Action) -> Finding | None:
    """That bars of a symbol on these days were adjusted; None where none of them lies before the action."""
    rows = int(np.searchsorted(days, np.datetime64(action.day)))
    if not rows:
        return None
    first, last = day_of(days[0]), day_of(days[rows - 1])
    said = (
        f"{symbol}: prices of {rows} days before {action.day} are divided by {action.factor:.6g}, and their volume is "
        f"multiplied by it: {action.origin}"
    )
    return Finding(symbol, "adjusted", "warning", first, last, rows, said, evidence={"factor": action.factor})
