"""Draw what the rules on bars find, and what they leave alone, in real data: docs/data.svg.

    python bench/draw_findings.py [--market DIRECTORY] [--out FILE]

DIRECTORY holds `nse_daily_adjusted.parquet` and `nse_daily_unadjusted.parquet`.
"""

import argparse
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.universe import Listing
from sensequant_assets.sources.files import FileBars

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT, EDGE, ACROSS = 300, 150, 14, 3
AROUND = 60
"""Days of the calendar on either side that a panel shows."""


@dataclass(frozen=True)
class Panel:
    """A symbol around a stretch of days, in one of the files."""

    file: str
    symbol: str
    first: str
    last: str
    title: str
    found: bool = True


PANELS = (
    Panel("unadjusted", "NESTLEIND", "2024-01-05", "2024-01-05", "corporate_action: one share into ten"),
    Panel("unadjusted", "MAZDOCK", "2024-12-27", "2024-12-27", "corporate_action: one share into two"),
    Panel("adjusted", "PEL", "2022-08-30", "2022-08-30", "corporate_action: a demerger left in adjusted prices"),
    Panel("unadjusted", "JSWENERGY", "2021-07-29", "2022-04-22", "hole: 181 sessions that others have"),
    Panel(
        "adjusted", "PAYTM", "2024-02-01", "2024-02-01", "left alone: two nights of a fifth, and no end", found=False
    ),
    Panel("adjusted", "ADANIENT", "2023-02-01", "2023-02-01", "left alone: a day of 28 %, and no step", found=False),
)


def drawn(bars: Bars, panel: Panel, left: int, top: int) -> str:
    """Closes on a logarithmic axis, the range of each day behind them, and the stretch that is found."""
    margin = np.timedelta64(AROUND, "D")
    first, last = np.datetime64(panel.first), np.datetime64(panel.last)
    shown = np.flatnonzero((bars.time >= first - margin) & (bars.time <= last + margin))
    days = bars.time[shown].astype("datetime64[D]").astype(np.int64)
    low, high = np.log(bars.low[shown].min()), np.log(bars.high[shown].max())

    def across(day: Any) -> Any:
        return left + EDGE + (WIDTH - 2 * EDGE) * (day - days[0]) / (days[-1] - days[0])

    def down(price: Any) -> Any:
        return top + HEIGHT - EDGE - (HEIGHT - 3 * EDGE) * (np.log(price) - low) / (high - low)

    x, y, above, below = across(days), down(bars.close[shown]), down(bars.high[shown]), down(bars.low[shown])
    begin, end = (float(across(np.array(day.astype(np.int64)))) for day in (first, last))
    ranges = "".join(f"M{a:.0f} {b:.0f}V{c:.0f}" for a, b, c in zip(x, above, below, strict=True))
    # A line over a hole would show bars that are not there.
    steps = np.diff(days, prepend=days[0])
    closes = "".join(
        f"{'L' if step <= 7 and n else 'M'}{a:.0f} {b:.0f}"
        for n, (a, b, step) in enumerate(zip(x, y, steps, strict=True))
    )
    shade = "#d9534f" if panel.found else "#999"
    return (
        f'<rect x="{begin - 2:.0f}" y="{top + 2 * EDGE}" width="{max(4, end - begin + 4):.0f}" '
        f'height="{HEIGHT - 3 * EDGE}" fill="{shade}" opacity=".25"/>'
        f'<path d="{ranges}" stroke="#aaa" fill="none"/><path d="{closes}" stroke="#2563ad" fill="none"/>'
        f'<text x="{left + EDGE}" y="{top + EDGE}" font-weight="bold">{escape(panel.symbol)} {panel.first}</text>'
        f'<text x="{left + EDGE}" y="{top + EDGE + 11}">{escape(panel.title)} ({panel.file})</text>'
    )


def main() -> None:
    """Draw all panels into one file."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--market", type=Path, default=HERE.parent.parent / "shared" / "market")
    arguments.add_argument("--out", type=Path, default=HERE.parent / "docs" / "data.svg")
    given = arguments.parse_args()
    sources = {name: FileBars(given.market / f"nse_daily_{name}.parquet") for name in {each.file for each in PANELS}}
    panels = [
        drawn(
            sources[panel.file].bars(Listing(panel.symbol)),
            panel,
            WIDTH * (number % ACROSS),
            (HEIGHT + EDGE) * (number // ACROSS),
        )
        for number, panel in enumerate(PANELS)
    ]
    width, height = WIDTH * ACROSS, (HEIGHT + EDGE) * -(-len(PANELS) // ACROSS)
    given.out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-size="9" '
        f'font-family="sans-serif"><rect width="{width}" height="{height}" fill="#fff"/>{"".join(panels)}</svg>\n'
    )


if __name__ == "__main__":
    main()
