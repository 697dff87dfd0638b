"""Heat maps and histograms as the page draws them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, isnan, log10, nan
from statistics import median

from sensequant_assets.core.outcome import COUNTED
from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.report.facts import Report
from sensequant_assets.sources.notes import shortened

MAX_CELLS = 5000
"""Most cells of one heat map; a page with more takes a phone seconds to open."""

CONSTANT = "c"
"""What stands beside the letter of a model that says the same of every row."""

LETTERS = {"trained": "T", "reused": "R", "skipped": "S", "failed": "F", "not_attempted": "-"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a heat map: CSS class, text and tooltip."""

    css: str
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Symbols by windows; `summary` is the row over all symbols, also of those that `note` says are not shown."""

    title: str
    windows: Sequence[str]
    summary_name: str
    summary: Sequence[Cell]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    note: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram, in the units of its picture."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram as the template draws it, 360 wide and 190 high.

    Attributes
    ----------
    title
        What it shows, for those who do not see it.
    bars, ticks, top
        Bars, (x, label) below them, and the count at the upper edge.
    """

    title: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    top: int


def seconds(value: float | None) -> str:
    """A duration in seconds, in words; a dash for none."""
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:,.1f} s"


def _shown(report: Report) -> tuple[list[str], str]:
    """Symbols of the heat maps, and a note where they are not all: those with trouble come first."""
    room = max(MAX_CELLS // max(len(report.windows), 1), 20)
    if len(report.symbols) <= room:
        return report.symbols, ""
    troubled = {row.symbol for row in report.rows if row.outcome in ("failed", "not_attempted")}
    chosen = sorted(report.symbols, key=lambda symbol: symbol not in troubled)[:room]
    missed = len(troubled.difference(chosen))
    which = "every one with a failed or missing window" if not missed else f"{missed:,} with trouble are left out"
    note = (
        f"{room:,} of {len(report.symbols):,} symbols are shown ({which}), so that the page opens on a phone. "
        "The first row and every number outside the grids are of all symbols."
    )
    return sorted(chosen), note


def outcome_map(report: Report, model: str) -> HeatMap:
    """What became of each pair."""
    rows, (symbols, note) = report.of(model), _shown(report)
    counts: dict[str, Counter[str]] = {window: Counter() for window in report.windows}
    for row in rows.values():
        counts[row.window][row.outcome] += 1

    def cell(symbol: str, window: str) -> Cell:
        row = rows.get((symbol, window))
        if row is None:
            return Cell("none", "", f"{symbol} {window}: not planned")
        why = "constant" if row.constant else row.reason or row.failure_kind
        return Cell(
            row.outcome,
            LETTERS[row.outcome] + (CONSTANT if row.constant else ""),
            f"{symbol} {window}: {_words(row.outcome)}{f', {why}' if why else ''}",
        )

    def total(window: str) -> Cell:
        found = counts[window]
        title = f"{window}: " + ", ".join(f"{found[name]:,} {_words(name)}" for name in COUNTED if found[name])
        return Cell("failed" if found["failed"] else "", f"{found['failed']}", title)

    return HeatMap(
        f"{model.capitalize()}s: outcome",
        report.windows,
        "failed",
        [total(window) for window in report.windows],
        [(symbol, [cell(symbol, window) for window in report.windows]) for symbol in symbols],
        note,
    )


def auc_map(report: Report, model: str) -> HeatMap:
    """Test AUC of each pair."""
    rows, (symbols, note) = report.of(model), _shown(report)
    noise = report.band(model)
    by_window: dict[str, list[float]] = {window: [] for window in report.windows}
    for row in rows.values():
        auc = row.metrics["test_auc"]
        if auc is not None:
            by_window[row.window].append(auc)

    def cell(symbol: str, window: str) -> Cell:
        row = rows.get((symbol, window))
        auc = None if row is None else row.metrics["test_auc"]
        if row is None or auc is None:
            return Cell("none", "", f"{symbol} {window}: no test AUC")
        low, high = (nan, nan) if noise is None or row.score is None else noise.of(row.score, "auc")
        outside = auc < low or auc > high
        band = "" if isnan(low) else f", noise band {low:.2f} to {high:.2f}"
        return Cell(
            f"{_shade(auc)}{' out' if outside else ''}",
            _short(auc),
            f"{symbol} {window}: test AUC {auc:.3f} on {row.test_rows} rows{band}",
        )

    def middle(window: str) -> Cell:
        found = by_window[window]
        if not found:
            return Cell("none", "", f"{window}: no test AUC")
        centre = median(found)
        return Cell(_shade(centre), _short(centre), f"{window}: median test AUC {centre:.3f} of {len(found):,} windows")

    return HeatMap(
        f"{model.capitalize()}s: test AUC",
        report.windows,
        "median",
        [middle(window) for window in report.windows],
        [(symbol, [cell(symbol, window) for window in report.windows]) for symbol in symbols],
        note,
    )


def coverage_map(coverage: Coverage) -> HeatMap:
    """Sessions with bars of each symbol and month; symbols that lack most come first where not all are shown."""
    months, symbols = coverage.months, coverage.symbols
    room = max(MAX_CELLS // max(len(months), 1), 20)
    chosen = sorted(sorted(symbols), key=lambda symbol: -symbols[symbol].missing)[:room]
    empty = coverage.empty
    note = f"No bar at all: {shortened(empty, 20)} ({len(empty):,} of {len(symbols):,} symbols). " if empty else ""
    if len(symbols) > room:
        note += f"{room:,} of {len(symbols):,} symbols are shown, those that lack most sessions."

    def cell(symbol: str, place: int) -> Cell:
        own = symbols[symbol]
        days, sessions = own.days[place], own.sessions[place]
        said = f"{symbol} {months[place]}: bars on {days:,} of {sessions:,} sessions"
        if own.bars[place] != days:
            said += f", {own.bars[place]:,} bars"
        return Cell(_lacking(days, sessions), f"{days:,}", said)

    def total(place: int) -> Cell:
        whole = sum(own.days[place] == own.sessions[place] for own in symbols.values())
        said = f"{coverage.sessions[place]:,} sessions; {whole:,} of {len(symbols):,} symbols lack none"
        return Cell("", f"{coverage.sessions[place]:,}", f"{months[place]}: {said}")

    places = range(len(months))
    return HeatMap(
        "Sessions with bars by symbol and month",
        months,
        "sessions",
        [total(place) for place in places],
        [(symbol, [cell(symbol, place) for place in places]) for symbol in sorted(chosen)],
        note.strip(),
    )


def _lacking(days: int, sessions: int) -> str:
    """CSS class of what share of the sessions is missing, in fifths."""
    if not sessions:
        return "none"
    return f"lo{ceil(5 * (1 - days / sessions))}" if days < sessions else "hi0"


def _shade(auc: float) -> str:
    """CSS class of a step of 0.05 from one half, five to either side."""
    step = max(-5, min(5, round((auc - 0.5) / 0.05)))
    return f"lo{-step}" if step < 0 else f"hi{step}"


def _short(auc: float) -> str:
    return f"{auc:.2f}".removeprefix("0") if auc < 0.995 else "1.0"


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")


_WIDTH, _HEIGHT, _LEFT, _TOP = 360.0, 160.0, 8.0, 14.0


def _histogram(
    title: str,
    counts: Sequence[int],
    names: Sequence[str],
    ticks: Sequence[tuple[float, str]],
) -> Histogram:
    """Lay out bars of equal width; ticks are shares of the width."""
    span = _WIDTH - 2 * _LEFT
    width = span / max(len(counts), 1)
    top = max([*counts, 1])

    def y(count: float) -> float:
        return _TOP + (_HEIGHT - _TOP) * (1 - count / top)

    return Histogram(
        title,
        [
            Bar(_LEFT + index * width + 0.5, y(count), width - 1, _HEIGHT - y(count), f"{name}: {count:,}")
            for index, (count, name) in enumerate(zip(counts, names, strict=True))
            if count
        ],
        [(_LEFT + share * span, label) for share, label in ticks],
        top,
    )


def auc_histogram(report: Report, model: str) -> Histogram:
    """Test AUC of all windows."""
    scores = [score for row in report.rows if row.model == model and (score := row.score) is not None]
    edges = [index / 20 for index in range(21)]
    counts = [0] * 20
    for score in scores:
        counts[min(int(score.auc * 20), 19)] += 1
    return _histogram(
        f"Test AUC of {len(scores):,} {model}s by window",
        counts,
        [f"{low:.2f} to {high:.2f}" for low, high in pairwise(edges)],
        [(index / 4, f"{index / 4:g}") for index in range(5)],
    )


def duration_histogram(report: Report, model: str) -> Histogram | None:
    """Attempted windows by duration, eight bins to the power of ten; None without any."""
    times = [
        max(row.duration_s, 1e-6)
        for row in report.rows
        if row.model == model and row.duration_s is not None and row.outcome != "skipped"
    ]
    if not times:
        return None
    first, last = floor(log10(min(times))), floor(log10(max(times))) + 1
    bins = 8 * (last - first)
    counts = [0] * bins
    for value in times:
        counts[min(max(int((log10(value) - first) * 8), 0), bins - 1)] += 1
    edges = [10 ** (first + index / 8) for index in range(bins + 1)]
    return _histogram(
        f"Durations of {len(times):,} {model}s",
        counts,
        [f"{seconds(low)} to {seconds(high)}" for low, high in pairwise(edges)],
        [((power - first) / (last - first), seconds(10.0**power)) for power in range(first, last + 1)],
    )
