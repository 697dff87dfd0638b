"""What an evaluation found, as the page shows it: a table, sentences and plots, each with what it stands on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensequant_assets.report.charts import Chart, Point, chart
from sensequant_assets.text import counted

MODELS = ("teacher", "student", "pool")
METRICS = (
    ("AUC", "auc", 3, 1, ""),
    ("rank IC", "rank_ic", 3, 1, "+"),
    ("log loss", "log_loss", 4, 1, ""),
    ("over base rate", "log_loss_over_base_rate", 4, 1, "+"),
    ("ECE", "ece", 3, 1, ""),
    ("net top decile %", "top_return_net", 2, 100, "+"),
    ("fidelity", "fidelity_spearman", 3, 1, ""),
)
"""Heading, metric, digits, factor and sign of the columns of the table of scores."""

FEATURES_SHOWN = 15
SYMBOLS_SHOWN = 5

FEWEST_DATES = 5
"""Dates of a month from which the picture of months reaches as far as it does; one of fewer is cut off at its edge."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: its name, its cells, and whether it is of a model."""

    name: str
    cells: Sequence[str]
    model: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a plot, in the units of its picture.

    Attributes
    ----------
    x, y
        Where it is.
    label, label_y
        What stands above or below it, and where.
    title
        The same in full.
    """

    x: float
    y: float
    label: str
    label_y: float
    title: str


@dataclass(frozen=True, slots=True)
class Reliability:
    """What was said against what happened, 360 wide and 240 high; `title` is for those who do not see it."""

    title: str
    dots: Sequence[Dot]


@dataclass(frozen=True, slots=True)
class Symbols:
    """Best and worst symbols of a model, and whether such an AUC persists, in words."""

    model: str
    best: Sequence[Line]
    worst: Sequence[Line]
    warning: str


@dataclass(frozen=True, slots=True)
class Importance:
    """Features by share of what moves a model, and what that was measured on, in words."""

    lines: Sequence[tuple[str, float]]
    note: str


@dataclass(frozen=True, slots=True)
class Pooled:
    """An evaluation as the page shows it.

    Attributes
    ----------
    stands_on
        Rows, dates, blocks and span in a sentence.
    scores
        Models, then baselines.
    differences
        Of scores from each other.
    sentences
        What scores are among others: the best, symbols, trials.
    reliabilities, courses
        By model.
    importance
        Of features; None where nobody was asked.
    symbols
        By model.
    remarks
        What was left out.
    """

    stands_on: str
    scores: Sequence[Line]
    differences: Sequence[Line]
    sentences: Sequence[str]
    reliabilities: Sequence[tuple[str, Reliability]]
    courses: Sequence[tuple[str, Chart]]
    importance: Importance | None
    symbols: Sequence[Symbols]
    remarks: Sequence[str]


def pooled(findings: Mapping[str, Any]) -> Pooled:
    """Draw what was found.

    Parameters
    ----------
    findings
        As `batch.examination` writes it.
    """
    head, scores = findings["head"], findings["scores"]
    known = [score for score in scores if score["rows"]]
    models = [score for score in known if score["score"] in MODELS]
    return Pooled(
        stands_on=_stands_on(head),
        scores=[_score(score) for score in known],
        differences=[
            Line(f"{score['score']} less {each['less']}", _difference(each))
            for score in known
            for each in score["differences"]
        ],
        sentences=_sentences(findings),
        reliabilities=[
            (score["score"], reliability(score["score"], score["reliability"]))
            for score in models
            if score["score"] != "pool"
        ],
        courses=[(name, course(name, months)) for name, months in findings["months"].items() if months],
        importance=_importance(findings["importance"]),
        symbols=[_symbols(name, found) for name, found in findings["symbols"].items() if found["by_symbol"]],
        remarks=head["remarks"],
    )


def _stands_on(head: Mapping[str, Any]) -> str:
    interval = (
        f"brackets hold the {head['coverage']:.0%} interval over dates, drawn again in "
        f"{counted(head['blocks'], 'block')} of {counted(head['block_length'], 'date')}"
        if head["blocks"] > 1
        else "that is too few dates for an interval"
    )
    return (
        f"The models of {counted(len(head['windows']), 'window')} on the window after their own, together: "
        f"{counted(head['rows'], 'row')} of {counted(head['symbols'], 'symbol')} and {counted(head['dates'], 'date')}, "
        f"{head['first']} to {head['last']}; {interval}."
    )


def _score(score: Mapping[str, Any]) -> Line:
    cells = [f"{score['rows']:,}", *(_cell(score, *how[1:]) for how in METRICS)]
    return Line(score["score"], cells, score["score"] in MODELS)


def _cell(score: Mapping[str, Any], metric: str, digits: int, factor: float, sign: str) -> str:
    ends = (score[metric], score[f"{metric}_low"], score[f"{metric}_high"])
    return interval(*(None if end is None else factor * end for end in ends), digits=digits, sign=sign)


def interval(value: float | None, low: float | None, high: float | None, *, digits: int = 3, sign: str = "") -> str:
    """A number with the ends of its interval; a dash for none."""
    if value is None:
        return "-"
    shown = f"{value:{sign}.{digits}f}"
    return shown if low is None or high is None else f"{shown} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def _difference(each: Mapping[str, Any]) -> list[str]:
    value = interval(each["value"], each["low"], each["high"], digits=4, sign="+")
    p = "-" if each["p"] is None else f"{each['p']:.3f}"
    counts = [f"{each[name]:,}" for name in ("rows", "dates", "blocks")]
    return [each["metric"].replace("_", " "), value, p, *counts]


def _sentences(findings: Mapping[str, Any]) -> list[str]:
    said = []
    for best in findings["confidence_sets"]:
        among = [name for name, found in best["scores"].items() if found["stays"]]
        said.append(
            f"By {best['metric'].replace('_', ' ')} the best of {counted(len(best['scores']), 'score')} is among "
            f"{', '.join(among)} ({1 - best['size']:.0%} model confidence set, {counted(best['dates'], 'date')})."
        )
    for name, found in findings["symbols"].items():
        if found["judged"]:
            rate = f"{found['false_discovery_rate']:.0%}"
            said.append(
                f"{found['stay']:,} of {counted(found['judged'], 'symbol')} with a {name} whose order over time is no "
                f"luck, all considered together (Benjamini-Hochberg, {rate} of them false)."
            )
    said += [_sharpe(score) for score in findings["scores"] if score["sharpe"] is not None and score["trials"]]
    chosen = findings["overfitting"]
    if chosen is not None:
        said.append(
            f"Who takes the best of {counted(chosen['trials'], 'trial')} on half of "
            f"{counted(chosen['periods'], 'period')} gets one below the median on the other half in "
            f"{chosen['probability']:.0%} of {counted(chosen['splits'], 'split')} (probability of backtest "
            "overfitting)."
        )
    return said


def _sharpe(score: Mapping[str, Any]) -> str:
    ratio = interval(score["sharpe"], score["sharpe_low"], score["sharpe_high"], sign="+")
    said = f"{score['score'].capitalize()}s' net top decile has a Sharpe ratio of {ratio} a horizon"
    if score["probabilistic_sharpe"] is None:
        return f"{said} ({counted(score['periods'], 'period')})."
    deflated, trials = score["deflated_sharpe"], counted(score["trials"], "trial")
    best = "" if deflated is None else f", above the luckiest of {trials} with {deflated:.2f}"
    return (
        f"{said}: above 0 with probability {score['probabilistic_sharpe']:.2f}{best} "
        f"({counted(score['periods'], 'period')} that do not overlap)."
    )


_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 352.0, 10.0, 214.0


def reliability(model: str, bins: Sequence[Mapping[str, Any]]) -> Reliability:
    """Lay out what was said against what happened, both from 0 to 1."""
    dots = []
    for at, found in enumerate(bins):
        y = _BOTTOM - found["happened"] * (_BOTTOM - _TOP)
        dots.append(
            Dot(
                x=_LEFT + found["said"] * (_RIGHT - _LEFT),
                y=y,
                label=_short(found["rows"]),
                # Neighbours are near each other where a model says little: theirs stand on the other side.
                label_y=y - 9 if at % 2 else y + 17,
                title=f"said {found['low']:.1f} to {found['high']:.1f}, {found['said']:.3f} in the mean: happened "
                f"{found['happened']:.3f} of {counted(found['rows'], 'row')}",
            )
        )
    told = "; ".join(dot.title for dot in dots)
    return Reliability(f"Reliability of what {model}s serve: {told or 'no rows'}", dots)


def course(model: str, months: Sequence[Mapping[str, Any]]) -> Chart:
    """Lay out a rank IC month by month about 0."""
    whole = [each for each in months if each["dates"] >= FEWEST_DATES] or months
    ends = [abs(each[name]) for each in whole for name in ("rank_ic", "low", "high") if each[name] is not None]
    reach = max([*ends, 0.01])
    points = [
        Point(
            each["month"],
            each["rank_ic"],
            each["low"],
            each["high"],
            f"{each['month']}: {interval(each['rank_ic'], each['low'], each['high'], sign='+')} of "
            f"{counted(each['dates'], 'date')}",
        )
        for each in months
    ]
    above = sum(each["rank_ic"] > 0 for each in months)
    sure = sum(each["low"] is not None and (each["low"] > 0 or each["high"] < 0) for each in months)
    title = (
        f"Rank IC of {model}s by month, {months[0]['month']} to {months[-1]['month']}: above 0 in {above} of "
        f"{counted(len(months), 'month')}, surely other than 0 in {sure}"
    )
    return chart(title, points, reach=reach, top=f"{reach:+.2f}")


def _importance(found: Mapping[str, Any]) -> Importance | None:
    if not found["rows"]:
        return None
    features = found["features"]
    rest = features[FEATURES_SHOWN:]
    share = sum(each["share"] for each in rest)
    more = f" {counted(len(rest), 'more feature')} together have {share:.0%}." if rest else ""
    if not features:
        more = " No tree of theirs splits."
    asked = f"{counted(found['rows'], 'test row')}, every {found['every']}th, of {counted(found['models'], 'teacher')}"
    return Importance(
        [(each["feature"], each["share"]) for each in features[:FEATURES_SHOWN]],
        f"Mean absolute contribution to the log-odds (LightGBM's own, by SHAP) as a share of all features', on {asked}."
        f"{more}",
    )


def _symbols(model: str, found: Mapping[str, Any]) -> Symbols:
    ranked = sorted(
        (each for each in found["by_symbol"] if each["auc"]["value"] is not None),
        key=lambda each: -each["auc"]["value"],
    )
    half = min(SYMBOLS_SHOWN, len(ranked) // 2)
    stays = found["persistence"]
    value = interval(stays["value"], stays["low"], stays["high"], sign="+")
    warning = (
        "Some symbol is always the best. "
        + (
            f"The correlation of a symbol's AUC in a window with that in its next, each less the window's mean, is "
            f"{value} here ({counted(stays['pairs'], 'pair')} of neighbouring windows of "
            f"{counted(stays['symbols'], 'symbol')}): "
            if stays["value"] is not None
            else "Whether its AUC stays with it cannot be told of so few windows: "
        )
        + ("nothing shows that an AUC stays with its symbol. " if stays["low"] is None or stays["low"] <= 0 else "")
        + "Choose no symbol by this list."
    )
    return Symbols(
        model,
        [_symbol(each) for each in ranked[:half]],
        [_symbol(each) for each in ranked[len(ranked) - half :]],
        warning,
    )


def _symbol(each: Mapping[str, Any]) -> Line:
    auc, ic = (
        interval(*(each[name][end] for end in ("value", "low", "high")), sign=sign)
        for name, sign in (("auc", ""), ("ic", "+"))
    )
    return Line(each["symbol"], [f"{each['rows']:,}", auc, ic, "-" if each["p"] is None else f"{each['p']:.3f}"])


def _short(rows: int) -> str:
    return f"{rows:,}" if rows < 10_000 else f"{rows / 1000:.0f}k"
