"""A batch in a few lines of Markdown, for its page in Dagster."""

from sensequant_assets.core.outcome import COUNTED
from sensequant_assets.report.facts import Report, failures_by_cause, headline, skill, skips_by_reason
from sensequant_assets.text import markdown_text


def markdown(report: Report) -> str:
    """A short summary for the batch's page in Dagster."""
    head = headline(report)
    lines = [f"**Batch {_md(report.batch_id)}: {head.word}.** {_md(' '.join(head.sentences))}", ""]
    lines += [f"| model | planned | {' | '.join(COUNTED)} |", f"|---|{'---:|' * (1 + len(COUNTED))}"]
    for model in report.models:
        numbers = [model.planned, *model.counts.values()]
        lines.append(f"| {_md(model.model)} | {' | '.join(str(number) for number in numbers)} |")
    lines.append("")
    for model in report.models:
        found = skill(report, model.model)
        if found.windows:
            told = f"median test AUC {found.median:.3f} over {found.windows} windows"
            if found.outside and found.outside.windows:
                of = f"{found.outside.count} of {found.outside.windows} ({found.outside.share:.0%})"
                told += f", {of} outside the noise band"
            lines.append(f"- {_md(model.model)}: {told}")
    lines += [
        f"- {model.model}: {model.constant} of {model.models} models say the same of every row"
        for model in report.models
        if model.constant
    ]
    lines += [f"- {_md(warning)}" for warning in report.devices.warnings]
    lines += [
        f"- failed {cause.count} {_md(cause.name)}: {_md(cause.example)} {_md(cause.advice)}"
        for cause in failures_by_cause(report)[:5]
    ]
    lines += [f"- skipped {cause.count} {_md(cause.name)}" for cause in skips_by_reason(report)[:5]]
    errors = sum(one["severity"] == "error" for one in report.bars)
    if report.bars:
        lines.append(f"- bars: {errors} errors and {len(report.bars) - errors} warnings of the rules on bars")
    return "\n".join(lines)


def _md(text: str) -> str:
    """Text that Markdown shows as it is, on one line, cut to what a table of metadata bears."""
    plain = " ".join(text.split())
    return markdown_text(plain if len(plain) <= 300 else f"{plain[:299]}…")
