"""The rules on bars, and what a finding is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np

from sensequant_assets.core.bars import BadRow, day_of

Severity = Literal["error", "warning"]
Reaction = Literal["flag", "skip", "fail"]
"""What becomes of a window that reads what a rule has found: it is told, or the window is skipped, or fails."""

STEPS = ("corporate_action", "seam", "unit", "wrong_instrument")
"""Rules that find a step of the prices."""

NAMED_BY = "`sensequant check-bars` names each."

EVERYBODY = "*"
"""Symbol of a finding that is about all of a market's bars; no symbol is called so."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule on bars.

    Attributes
    ----------
    name
        As findings and settings call it.
    severity
        What a finding is at most: an error is wrong by itself, a warning may be so in the market.
    default
        From where on it finds something, in words.
    evidence
        What it looks at.
    """

    name: str
    severity: Severity
    default: str
    evidence: str


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("not_a_number", "error", "any cell", "a price, volume or adjusted close that is no finite number"),
        Rule("time", "error", "any cell", "a time that is none, before 1900 or in the future"),
        Rule("non_positive", "error", "any cell", "a price that is not above zero, a volume below it"),
        Rule("out_of_bounds", "error", "any cell", "a number beyond any share's"),
        Rule("ohlc", "error", "a millionth", "high below, or low above, open or close"),
        Rule("order", "error", "any row", "the fewest rows without which the others stand in order of time"),
        Rule("duplicate", "error", "any two rows", "two rows that tell one time differently"),
        Rule("unreadable", "error", "any symbol", "bars that cannot be taken at all"),
        Rule("partial_last_day", "warning", "half", "the newest bar: cells that are empty, or bars of half a session"),
        Rule(
            "flat", "warning", "any daily bar, half a session of intraday ones",
            "open, high, low and close are one price, and nothing is traded",
        ),
        Rule("repeated", "error", "5 bars", "one bar after the other in the same prices and the same volume"),
        Rule("constant", "error", "40 bars", "the same close throughout"),
        Rule(
            "mock", "error", "20 bars",
            "one volume, or one ratio of high or low to close, bar after bar: numbers that a formula made",
        ),
        Rule("stale", "warning", "10 sessions", "the newest bar against the newest of the universe"),
        Rule(
            "hole", "warning", "1 session",
            "days between a symbol's bars on which more than half of three symbols or more have one; for all bars "
            "together 10 days without one, and days of the exchange's calendar if one is named",
        ),
        Rule("unit", "error", "5 %", "a step of a power of ten that comes back, or of 100 or more that stays"),
        Rule(
            "corporate_action", "error", "1.3, weak 1.15",
            "a step over night that the market does not take, that stays, and within a day of an ordinary range and "
            "turnover",
        ),
        Rule("seam", "error", "1.15", "such a step where one file ends and the next one begins"),
        Rule(
            "wrong_instrument", "error", "2 and back, 50 for good",
            "bars at another level for a while or for good, or the last 60 closes of another symbol",
        ),
        Rule(
            "listing", "warning", "any bar, 20 sessions",
            "bars before the listing or after the delisting, and a first bar so many sessions after the listing",
        ),
        Rule("adjusted", "warning", "asked for", "bars that were adjusted by a factor that is given or detected"),
        Rule("same_fault", "error", "3 symbols and a tenth", "one rule finds the same day in many symbols"),
    )
}  # fmt: skip
"""By name, in the order of the documentation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found.

    Attributes
    ----------
    symbol
        Whose bars; `EVERYBODY` for all.
    rule
        Its name.
    severity
        Of this finding.
    first, last
        First and last day of what is wrong; None where a row has no day.
    rows
        How many bars or rows, or missing sessions, it is about.
    message
        A sentence that names file and row where there are any, with the numbers that it rests on.
    file
        Where it stands; empty where no file has it, such as a hole.
    row
        Of the first of them, as the file counts; None where no row has it.
    evidence
        Numbers by name.
    windows
        Keys of the windows whose features or labels read it.
    """

    symbol: str
    rule: str
    severity: Severity
    first: date | None
    last: date | None
    rows: int
    message: str
    file: str = ""
    row: int | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    windows: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON values, of the keys that `check-bars` prints."""
        return {
            "symbol": self.symbol,
            "rule": self.rule,
            "severity": self.severity,
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "rows": self.rows,
            "file": self.file or None,
            "message": self.message,
            "windows": list(self.windows),
        }


def summary(found: Sequence[Finding], symbols: int) -> str:
    """Findings of so many symbols in a sentence."""
    if not found:
        return f"The rules on bars found nothing in {symbols} symbols."
    errors = sum(one.severity == "error" for one in found)
    pairs = {(one.symbol, key) for one in found if one.symbol != EVERYBODY for key in one.windows}
    touched = (
        f"{len(pairs)} window{'s'[len(pairs) == 1 :]} of {len({symbol for symbol, _ in pairs})} symbols read them."
    )
    return (
        f"The rules on bars found {errors} error{'s'[errors == 1 :]} and {len(found) - errors} "
        f"warning{'s'[len(found) - errors == 1 :]} in {symbols} symbols; {touched}"
    )


def of_bad_rows(bad: Sequence[BadRow], newest: np.datetime64) -> list[tuple[Finding, list[BadRow]]]:
    """Findings of rows that are quarantined, by file and rule, and those rows; a newest row without numbers is not due.

    Parameters
    ----------
    bad
        Rows of one symbol.
    newest
        Time of its last bar; NaT without bars.
    """
    groups: dict[tuple[str, str], list[BadRow]] = {}
    for one in bad:
        unfilled = one.rule == "not_a_number" and one.time > newest
        groups.setdefault((one.origin, "partial_last_day" if unfilled else one.rule), []).append(one)
    return [(_of_rows(rule, rows), rows) for (_, rule), rows in groups.items()]


def _of_rows(rule: str, rows: Sequence[BadRow]) -> Finding:
    first = rows[0]
    days = sorted(day_of(one.time) for one in rows if not np.isnat(one.time))
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    left = " It is left out." if rule == "partial_last_day" else ""
    return Finding(
        first.symbol,
        rule,
        RULES[rule].severity,
        days[0] if days else None,
        days[-1] if days else None,
        len(rows),
        f"{first.origin}, row {first.row}{more}: {first.symbol}: {first.why}.{left}",
        first.origin,
        first.row,
    )


def same_fault(findings: Sequence[Finding], symbols: int) -> list[Finding]:
    """Faults that many symbols have on one day: those of a delivery, not of companies.

    Parameters
    ----------
    findings
        Of all symbols.
    symbols
        How many of them have bars.
    """
    days: dict[tuple[str, date], set[str]] = {}
    for one in findings:
        if one.first is not None and one.symbol != EVERYBODY:
            days.setdefault((one.rule, one.first), set()).add(one.symbol)
    found = []
    for (rule, day), whose in sorted(days.items()):
        if len(whose) >= max(3, symbols / 10):
            named = ", ".join(sorted(whose)[:3])
            found.append(
                Finding(
                    EVERYBODY, "same_fault", "error", day, day, len(whose),
                    f"{len(whose)} of {symbols} symbols have a finding of {rule} that begins on {day} ({named}, ...): "
                    "look at what was delivered for that day.",
                    evidence={"symbols": len(whose), "of": symbols},
                )
            )  # fmt: skip
    return found
