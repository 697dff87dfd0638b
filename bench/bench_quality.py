"""What the rules on bars find in real data, judged where there is a judge, and what they cost.

    python bench/bench_quality.py [--market DIRECTORY] [--calendar XBOM]

DIRECTORY holds `nse_daily_adjusted.parquet`, `nse_daily_unadjusted.parquet` and `nifty100_universe.csv`. The adjusted
file judges steps of the unadjusted one: where the ratio of their closes changes by a tenth or more, somebody adjusted.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.quality.findings import findings_of
from sensequant_assets.core.quality.outline import outline
from sensequant_assets.core.quality.rules import Finding
from sensequant_assets.core.quality.sessions import Sessions
from sensequant_assets.core.universe import Listing
from sensequant_assets.core.windows import Window, build_windows
from sensequant_assets.market.quality import sessions_of
from sensequant_assets.sources.files import FileBars
from sensequant_assets.sources.universes import read_universe

HERE = Path(__file__).resolve().parent
HORIZON = 7
WINDOWS = build_windows(date(2022, 1, 1), date(2025, 12, 10), 180)
LEFT_IN = {("NMDC", "2022-10-27"), ("PEL", "2022-08-30"), ("SIEMENS", "2025-04-07")}
"""Steps that the adjusted file keeps, in part or whole: known dirt of the judge."""
STEPS = ("corporate_action", "seam", "unit", "wrong_instrument")

Step = tuple[str, str]


def histories(file: Path) -> dict[str, Bars]:
    """Bars of a file by symbol."""
    source = FileBars(file)
    symbols = sorted({str(name) for name in pq.read_table(file, columns=["symbol"])["symbol"].to_pylist()})
    return {symbol: source.bars(Listing(symbol)) for symbol in symbols}


def adjusted_steps(adjusted: Mapping[str, Bars], raw: Mapping[str, Bars]) -> tuple[dict[Step, float], set[Step]]:
    """Steps that somebody took out, with their factors, and all nights that both files know."""
    factors, judged = {}, set()
    for symbol in sorted(set(adjusted) & set(raw)):
        one, other = adjusted[symbol], raw[symbol]
        days, a, b = np.intersect1d(one.time, other.time, return_indices=True)
        change = -np.diff(np.log(other.close[b] / one.close[a]))
        for day, moved in zip(days[1:], change, strict=True):
            key = symbol, str(day)[:10]
            judged.add(key)
            if abs(moved) > np.log(1.10):
                factors[key] = float(np.exp(moved))
    return factors, judged


def looked_at(bars: Mapping[str, Bars], calendar: str | None) -> tuple[list[Finding], dict[str, float]]:
    """Findings of all symbols, and seconds by stage."""
    begun = time.perf_counter()
    outlines = [outline(one, HORIZON) for one in bars.values()]
    outlined = time.perf_counter()
    exchange = None
    if calendar is not None:
        days = [one.days for one in outlines]
        exchange = sessions_of(calendar, min(one[0] for one in days), max(one[-1] for one in days))
    named = time.perf_counter()
    sessions = Sessions.of(outlines, exchange)
    found = findings_of(outlines, sessions, WINDOWS)
    done = time.perf_counter()
    if exchange is not None:
        unknown = np.setdiff1d(sessions.days[sessions.days <= exchange[-1]], exchange)
        print(f"  {calendar} does not know {len(unknown)} days with bars: {', '.join(map(str, unknown))}")
    stages = {"outlines": outlined - begun, "calendar": named - outlined, "beside each other": done - named}
    return found, stages


def poisoned(factors: Mapping[Step, float], bars: Mapping[str, Bars], symbols: Sequence[str]) -> set[tuple[str, str]]:
    """Pairs of the lattice in whose training rows a label or a feature reads a step that was taken out."""
    pairs = set()
    for (symbol, day), _ in factors.items():
        if symbol in symbols:
            times = bars[symbol].time
            at = int(np.searchsorted(times, np.datetime64(day)))
            for position in range(max(50, at - HORIZON), min(len(times) - HORIZON, at + 50)):
                # A label that reaches the window's end is purged.
                window = _window_of(times[position])
                if window is not None and times[position + HORIZON] < np.datetime64(window.end):
                    pairs.add((symbol, window.key))
    return pairs


def _window_of(time: np.datetime64) -> Window | None:
    return next((one for one in WINDOWS if np.datetime64(one.start) <= time < np.datetime64(one.end)), None)


def main() -> None:
    """Print what is found of steps, holes and sessions, and the time it takes."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--market", type=Path, default=HERE.parent.parent / "shared" / "market")
    arguments.add_argument("--calendar", default="XBOM")
    given = arguments.parse_args()
    adjusted = histories(given.market / "nse_daily_adjusted.parquet")
    raw = histories(given.market / "nse_daily_unadjusted.parquet")
    factors, judged = adjusted_steps(adjusted, raw)
    events = set(factors) | (LEFT_IN & judged)
    found, _ = looked_at(raw, None)
    for title, severities in (("errors alone", ("error",)), ("with warnings", ("error", "warning"))):
        steps = {(one.symbol, str(one.first)) for one in found if one.rule in STEPS and one.severity in severities}
        hits, beside = steps & events, (steps & judged) - events
        print(
            f"corporate actions, {title}: {len(steps & judged)} flags that can be judged, {len(hits)} of {len(events)} "
            f"events: precision {len(hits) / len(steps & judged):.2f}, recall {len(hits) / len(events):.2f}; "
            f"{len(steps - judged)} flags beyond the judge's days"
        )
        print(f"  missed {sorted(events - steps)}; wrong {sorted(beside)}")
    symbols = read_universe(given.market / "nifty100_universe.csv").symbols
    pairs = poisoned(factors, raw, symbols)
    flagged = {(one.symbol, key) for one in found if one.rule in STEPS for key in one.windows}
    print(f"NIFTY 100, unadjusted: {len(pairs & flagged)} are flagged of {len(pairs)} pairs that read such a step")

    for name, bars in (("adjusted", adjusted), ("unadjusted", raw)):
        print(f"{name}: {len(bars)} symbols, {sum(map(len, bars.values())):,} bars")
        for calendar in (None, given.calendar):
            found, spent = looked_at(bars, calendar)
            holes = [one for one in found if one.rule == "hole"]
            everybody = [f"{one.first}..{one.last} ({one.rows})" for one in holes if one.symbol == "*"]
            others = [f"{one.symbol} {one.first} ({one.rows})" for one in holes if one.symbol != "*"]
            print(f"  calendar {calendar}: {len(others)} holes of symbols, of all: {', '.join(everybody) or 'none'}")
            if name == "adjusted":
                print(f"    {', '.join(others)}")
            print("    " + ", ".join(f"{what} {1000 * seconds:.0f} ms" for what, seconds in spent.items()))
        if name == "adjusted":
            left = sorted(f"{one.symbol} {one.first}" for one in found if one.rule in STEPS)
            print(f"  steps left in it: {', '.join(left)}")


if __name__ == "__main__":
    main()
