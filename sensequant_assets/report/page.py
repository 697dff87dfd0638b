"""The report as one HTML page that needs nothing but itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from sensequant_assets.core.outcome import COUNTED
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import replacing
from sensequant_assets.report.backtest import drawn
from sensequant_assets.report.comparison import Comparison, compare, flat
from sensequant_assets.report.facts import (
    METRICS,
    Report,
    alike,
    cost_said,
    failures_by_cause,
    growth,
    headline,
    noise_said,
    percentiles,
    skill,
    skips_by_reason,
    timestamp,
    values_of,
)
from sensequant_assets.report.pictures import (
    CONSTANT,
    LETTERS,
    auc_histogram,
    auc_map,
    coverage_map,
    duration_histogram,
    outcome_map,
    seconds,
)
from sensequant_assets.report.pooled import METRICS as SCORE_METRICS
from sensequant_assets.report.pooled import pooled
from sensequant_assets.report.profile import Profile, seconds_chart, tables, worth_chart
from sensequant_assets.text import file_name, printable, printable_lines

MAX_LINES = 100
"""Most lines of a list."""


def default_path(data_dir: Path, batch_id: str) -> Path:
    """Where a batch's page goes unless told otherwise."""
    return data_dir / "reports" / f"{file_name(batch_id)}.html"


def briefing_path(data_dir: Path, batch_id: str) -> Path:
    """Where the page of a batch's briefing goes."""
    return data_dir / "reports" / f"{file_name(batch_id)}.briefing.html"


def backtest_path(data_dir: Path, batch_id: str) -> Path:
    """Where the page of a batch's last backtest goes."""
    return data_dir / "reports" / f"{file_name(batch_id)}.backtest.html"


def write_page(report: Report, path: Path) -> Path:
    """Write the page whole or not at all; its directory is made.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    briefing = briefing_path(path.parent.parent, report.batch_id)
    beside = briefing.parent == path.parent and briefing.is_file()
    return write_text(page(report, briefing.name if beside else ""), path)


def write_backtest(found: Mapping[str, Any], path: Path) -> Path:
    """Write the page of a backtest, of what `batch.backtesting` finds; as `write_page`."""
    return write_text(_template("backtest_page.html.j2").render(batch=found["batch_id"], drawn=drawn(found)), path)


def profile_path(data_dir: Path, profile: str) -> Path:
    """Where the page of a profile goes unless told otherwise."""
    return data_dir / "reports" / f"profile-{file_name(profile)}.html"


def write_profile(profile: Profile, path: Path) -> Path:
    """Write the page of a profile; as `write_page`."""
    drawn = [(model, worth_chart(profile, model)) for model in MODELS]
    text = _template("profile.html.j2").render(
        profile=profile,
        seconds=seconds_chart(profile),
        worth=[(model, picture) for model, picture in drawn if picture],
        tables=tables(profile),
    )
    return write_text(text, path)


def write_text(text: str, path: Path) -> Path:
    """Write a page whole or not at all; as `write_page`."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The report cannot be written: {error}. Name another file with --out.") from error
    return path


def page(report: Report, briefing: str = "") -> str:
    """The report as HTML, with a link to the briefing beside it, if there is one; every text in it is escaped."""
    models = [model.model for model in report.models]
    return _template("page.html.j2").render(
        report=report,
        briefing=briefing,
        headline=headline(report),
        counts=report.models,
        outcomes=COUNTED,
        letters=LETTERS,
        constant_mark=CONSTANT,
        causes=failures_by_cause(report),
        skips=skips_by_reason(report),
        failed=report.failed(),
        max_lines=MAX_LINES,
        outcome_maps=[outcome_map(report, model) for model in models],
        coverage=None if report.coverage is None else coverage_map(report.coverage),
        auc_maps=[auc_map(report, model) for model in models],
        pooled=None if report.findings is None else pooled(report.findings),
        no_findings=report.no_findings,
        backtest=None if report.backtest is None else drawn(report.backtest),
        score_heads=("score", "rows", *(heading for heading, *_ in SCORE_METRICS)),
        noise_said=noise_said(report),
        skills=[(model, skill(report, model), auc_histogram(report, model)) for model in models],
        metrics=[entry for entry in _metric_table(report, models) if entry[1]],
        durations=[(model, duration_histogram(report, model)) for model in models],
        cost_said=cost_said(report),
        growth=growth(report),
        idle=report.batch["configuration"].get("idle_settings", []),
        settings=flat(report.batch["settings"]),
        parameters=flat(report.batch["parameters"]),
        versions=flat(report.batch["versions"]),
        codes=Counter(row.code_fingerprint for row in report.rows if row.code_fingerprint),
        comparison=None if report.against is None else compare(report.against, report),
        total_change=_total_change,
        timestamp=timestamp,
    )


def _total_change(comparison: Comparison) -> str:
    """The comparison in one sentence."""
    said = []
    for model, both in comparison.both.items():
        trees = sum(change.after.model == model for change in comparison.trees)
        inputs = ", ".join(f"{name} of {count:,}" for name, count in comparison.inputs[model].items())
        made = f"what changed: {inputs}" if inputs else "data, parameters and code are the same"
        said.append(f"{trees:,} of {both:,} {model}s have other trees ({made}).")
    return " ".join(said) or "The two batches have no model in common."


def rendered(template: str, **values: object) -> str:
    """A template of this package with values, each of which is escaped."""
    return _template(template).render(**values)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("sensequant_assets", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"number": _number, "percent": _percent, "seconds": seconds, "alike": alike}
    return environment.get_template(name)


def _shown(value: object) -> object:
    """What the template puts out: text shows what cannot be printed, and HTML of our macros keeps its lines."""
    if isinstance(value, Markup):
        # Filters give such too, of text that no other expression has put out.
        return Markup(printable_lines(value))  # noqa: S704  # it is escaped
    return printable(value) if isinstance(value, str) else value


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or isnan(value) else f"{value:,.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or isnan(value) else f"{value:.{digits}%}"


def _metric_table(
    report: Report, models: Sequence[str]
) -> list[tuple[str, list[tuple[str, int, tuple[float, float, float]]]]]:
    """By model: its metrics, how many windows have each, and their percentiles; metrics without windows left out."""
    return [
        (
            model,
            [
                (metric, len(values), percentiles(values))
                for metric in METRICS
                if (values := values_of(report, model, metric))
            ],
        )
        for model in models
    ]
