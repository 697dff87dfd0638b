"""A verdict of the core as a Dagster asset check result."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from shlex import quote
from typing import Any

import dagster as dg

from sensequant_assets.core.judging.canaries import Canaries, Watch
from sensequant_assets.core.judging.leaks import Finding, summary
from sensequant_assets.core.outcome import Outcome, Status, Verdict
from sensequant_assets.core.quality.rules import Finding as BarFinding
from sensequant_assets.core.quality.rules import summary as bars_summary
from sensequant_assets.defs.names import CANARIES, CHECK, NO_LEAK, NOT_CONSTANT, SOUND, WALK_FORWARD
from sensequant_assets.errors import FailedWindow, advice, failed_alike
from sensequant_assets.text import markdown_text, printable

FAILURES_SHOWN, FINDINGS_SHOWN = 20, 100

_PART = (
    " That is one run of batch {batch}: where it has several, the sensor batch_failure_rate gives the verdict on all "
    "of them together."
)


def check_result(
    asset: str, verdict: Verdict, outcomes: Sequence[Outcome], part_of: str = "", idle_devices: Sequence[str] = ()
) -> dg.AssetCheckResult:
    """Adapt a verdict: counts, rate and limit, and what failed first and why as a table.

    Parameters
    ----------
    asset
        Key of the checked asset.
    verdict
        What the core found.
    outcomes
        Of the same windows, for the table of failures.
    part_of
        The batch, where the run can be one of several of it: then its numbers are text, which Dagster does not plot, so
        that the series has one point a batch.
    idle_devices
        A sentence for each device that stood idle, which is told beside the verdict.
    """
    failed = [
        FailedWindow(one.model, one.pair.symbol, one.pair.window.key, str(one.failure), one.error_message)
        for one in outcomes
        if one.status is Status.FAILED
    ]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=CHECK,
        passed=verdict.passed,
        severity=severity(verdict),
        description=markdown_text(
            " ".join([describe(verdict) + (_PART.format(batch=part_of) if part_of else ""), *idle_devices])
        ),
        metadata=verdict_metadata(verdict, failed, plotted=not part_of)
        | ({"part_of_batch": printable(part_of)} if part_of else {})
        | ({"idle_devices": printable(" ".join(idle_devices))} if idle_devices else {}),
    )


def constant_rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """`symbol`, `window` and `train_rows` of the windows whose model says the same of every row."""
    return [
        {
            "symbol": outcome.pair.symbol,
            "window": outcome.pair.window.key,
            "train_rows": outcome.rows["train"],
        }
        for outcome in outcomes
        if outcome.constant
    ]


def not_constant_result(
    asset: str, verdict: Verdict, constant: Sequence[Mapping[str, Any]], batch_id: str = "", *, plotted: bool = True
) -> dg.AssetCheckResult:
    """Adapt a verdict: whether every model knows something, and the first that do not as a table.

    Where more than half know nothing it is an error, else a warning. Neither stops anything: a model whose calibration
    has a slope of 0 is no constant, and is flagged elsewhere.

    Parameters
    ----------
    asset
        Key of the checked asset.
    verdict
        What the core found.
    constant
        As `constant_rows` gives them.
    batch_id
        The batch, where it is judged as a whole.
    plotted
        Whether its numbers are those of a batch.
    """
    if not verdict.models:
        said = f"No {verdict.model} was trained or reused."
    elif verdict.constant:
        said = f"{verdict.constant} of {verdict.models} {verdict.model}s say the same of every row: they know nothing."
    else:
        said = f"None of {verdict.models} {verdict.model}s says the same of every row."
    metadata: dict[str, Any] = _numbers({"models": verdict.models, "constant": verdict.constant}, plotted)
    if batch_id:
        metadata["batch"] = printable(batch_id)
    if constant:
        shown = [dg.TableRecord(dict(row)) for row in constant[:FAILURES_SHOWN]]
        metadata["constant_windows"] = dg.MetadataValue.table(shown)
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=NOT_CONSTANT,
        passed=verdict.models > 0 and not verdict.constant,
        severity=dg.AssetCheckSeverity.ERROR if verdict.mostly_constant else dg.AssetCheckSeverity.WARN,
        description=markdown_text(f"Batch {batch_id}, all runs: {said}" if batch_id else said),
        metadata=metadata,
    )


def sound_result(findings: Sequence[BarFinding], symbols: int) -> dg.AssetCheckResult:
    """Adapt what the rules on bars find in some symbols, errors first: it stops nothing.

    Where the bars of a symbol cannot be taken at all it is an error, else a warning.

    Parameters
    ----------
    findings
        Of these symbols, and of all together.
    symbols
        How many.
    """
    errors = sum(one.severity == "error" for one in findings)
    by_rule = Counter(one.rule for one in findings)
    refused = dg.AssetCheckSeverity.ERROR if by_rule["unreadable"] else dg.AssetCheckSeverity.WARN
    metadata: dict[str, Any] = {"symbols": symbols, "errors": errors, "warnings": len(findings) - errors}
    if findings:
        shown = sorted(findings, key=lambda one: one.severity)[:FINDINGS_SHOWN]
        metadata["rules"] = dg.MetadataValue.table(
            [dg.TableRecord({"rule": rule, "findings": count}) for rule, count in by_rule.most_common()]
        )
        metadata["findings"] = dg.MetadataValue.table([dg.TableRecord(_finding_row(one)) for one in shown])
    return dg.AssetCheckResult(
        asset_key="bars",
        check_name=SOUND,
        passed=not errors,
        severity=refused,
        description=markdown_text(bars_summary(findings, symbols)),
        metadata=metadata,
    )


def _finding_row(one: BarFinding) -> dict[str, str | int]:
    return {
        "symbol": printable(one.symbol),
        "rule": one.rule,
        "severity": one.severity,
        "first": str(one.first or ""),
        "last": str(one.last or ""),
        "rows": one.rows,
        "windows": len(one.windows),
        "message": printable(one.message),
    }


def no_leak_result(findings: Sequence[Finding], windows: Sequence[str]) -> dg.AssetCheckResult:
    """Adapt what the leak probes found: an error is certain, a warning is suspicious, and neither stops anything.

    Parameters
    ----------
    findings
        Of every probe.
    windows
        Keys of the windows that were looked at.
    """
    certain = any(one.severity == "error" and not one.passed for one in findings)
    rows = [
        dg.TableRecord(
            {
                "probe": one.name,
                "found": "nothing" if one.passed else one.severity,
                "evidence": ", ".join(f"{name} {_number(value)}" for name, value in one.evidence.items()),
                "message": printable(one.message),
            }
        )
        for one in findings
    ]
    return dg.AssetCheckResult(
        asset_key=WALK_FORWARD,
        check_name=NO_LEAK,
        passed=bool(findings) and all(one.passed for one in findings),
        severity=dg.AssetCheckSeverity.ERROR if certain else dg.AssetCheckSeverity.WARN,
        description=markdown_text(" ".join(summary(findings))),
        metadata={
            "probes": len(findings),
            "found": sum(not one.passed for one in findings),
            "windows": len(windows),
            "first_window": min(windows, default=""),
            "last_window": max(windows, default=""),
            "findings": dg.MetadataValue.table(rows) if rows else "none",
        },
    )


def canaries_result(watch: Watch, latest: Canaries | None) -> dg.AssetCheckResult:
    """Adapt what the canaries of the last batches came to: a warning where they sing, which stops nothing.

    Parameters
    ----------
    watch
        Over the last batches.
    latest
        Of the last one; None where there is none.
    """
    metadata: dict[str, Any] = {
        "batches": watch.nights,
        "windows": watch.windows,
        "windows_outside_band": watch.outside,
        "edges_missed": watch.missed,
    }
    if latest is not None:
        metadata |= {"latest": str(latest), "cpu_s": round(latest.cpu_s, 2)}
    return dg.AssetCheckResult(
        asset_key=WALK_FORWARD,
        check_name=CANARIES,
        passed=watch.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=markdown_text(str(watch)),
        metadata=metadata,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:.4f}"


def evaluation_of(result: dg.AssetCheckResult, *, blocking: bool = False) -> dg.AssetCheckEvaluation:
    """A result as that of no run; `blocking` is whether the check stops what hangs on its asset."""
    assert result.asset_key is not None  # noqa: S101  # the adapters name it
    assert result.check_name is not None  # noqa: S101
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
        blocking=blocking,
    )


def batch_result(
    asset: str,
    verdict: Verdict,
    failed: Sequence[FailedWindow],
    untried: Sequence[Mapping[str, str]],
    batch_id: str,
    silent_runs: int = 0,
    report: str = "",
    *,
    plotted: bool = True,
) -> dg.AssetCheckResult:
    """Adapt the verdict on a whole batch.

    Parameters
    ----------
    asset
        Key of the checked asset.
    verdict
        On all runs of the batch together.
    failed
        Its failed windows, as `failed_windows` gives them.
    untried
        Its windows that nobody tried, as `untried_windows` gives them.
    batch_id
        The batch.
    silent_runs
        Runs that ended before they said what they were to do, and of which nobody else could say it.
    report
        The batch's report in short, as Markdown; none if empty.
    plotted
        Whether the series has no point of the batch yet.
    """
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=CHECK,
        passed=verdict.passed,
        severity=severity(verdict),
        description=markdown_text(describe_batch(verdict, untried, batch_id, silent_runs)),
        metadata=verdict_metadata(verdict, failed, untried, plotted=plotted)
        | {"batch": printable(batch_id), **_numbers({"silent_runs": silent_runs}, plotted)}
        | ({"report": dg.MetadataValue.md(report)} if report else {}),
    )


def severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    """An exceeded limit is an error, as are windows that nobody tried; anything else is at most a warning."""
    return dg.AssetCheckSeverity.ERROR if verdict.exceeded or verdict.not_attempted else dg.AssetCheckSeverity.WARN


def verdict_metadata(
    verdict: Verdict,
    failed: Sequence[FailedWindow],
    untried: Sequence[Mapping[str, str]] = (),
    *,
    plotted: bool = True,
) -> dict[str, Any]:
    """Counts, rate and limit, and what failed first and windows that nobody tried as tables."""
    numbers: dict[str, float] = {**verdict.counts, "max_failure_rate": verdict.max_failure_rate}
    if verdict.failure_rate is not None:
        numbers["failure_rate"] = round(verdict.failure_rate, 4)
    metadata = _numbers(numbers, plotted)
    alike = [
        {"symbol": one.symbol, "windows": one.which, "cause": one.cause, "error": one.error}
        for one in failed_alike(failed)
    ]
    for name, windows in (("failed_windows", alike), ("not_attempted_windows", untried)):
        if windows:
            shown = [
                dg.TableRecord({column: printable(cell) for column, cell in row.items()})
                for row in windows[:FAILURES_SHOWN]
            ]
            metadata[name] = dg.MetadataValue.table(shown)
    if failed:
        # As text, because the page of a check shows Markdown only to who asks for it.
        metadata["what_to_do"] = dg.MetadataValue.text(printable(_what_to_do(failed)))
    return metadata


def _what_to_do(failed: Sequence[FailedWindow]) -> str:
    """What a person does about each cause, the most frequent first, and which commands tell more."""
    first, causes = failed[0], Counter(one.cause for one in failed)
    lines = [f"{cause}: {advice(cause)}" for cause, _ in causes.most_common()]
    asked = f"{quote(first.symbol)} {first.window} --model {first.model}"
    lines.append(f"`sensequant why {asked}` tells of one window, `sensequant report` of all of its batch.")
    return " ".join(lines)


def _numbers(values: Mapping[str, float], plotted: bool) -> dict[str, Any]:
    """Numbers as Dagster plots them, or as text, which it does not."""
    return {name: value if plotted else f"{value:.4g}" for name, value in values.items()}


def describe_batch(verdict: Verdict, untried: Sequence[Mapping[str, str]], batch_id: str, silent_runs: int = 0) -> str:
    """The verdict on all runs of a batch; parameters as of `batch_result`."""
    reasons = Counter(row["why"] for row in untried)
    why = f" Why: {', '.join(f'{why} ({count})' for why, count in reasons.most_common())}." if untried else ""
    silent = f" {silent_runs} runs ended before their first record." if silent_runs else ""
    return f"Batch {batch_id}, all runs: {describe(verdict)}{why}{silent}"


def describe(verdict: Verdict) -> str:
    """The verdict in a sentence or two."""
    if verdict.blocked:
        return verdict.blocked
    rest = f" {verdict.not_attempted} planned windows were not attempted." if verdict.not_attempted else ""
    rest += f" {verdict.stopped}" if verdict.stopped else ""
    limit_by = f", {verdict.limit_by}" if verdict.limit_by else ""
    if verdict.failure_rate is None:
        return f"No {verdict.model} was attempted; {verdict.skipped} windows were skipped.{rest}"
    relation = "exceeds" if verdict.exceeded else "is within"
    return (
        f"{verdict.failed} of {verdict.attempted} attempted {verdict.model}s failed: {verdict.failure_rate:.1%} "
        f"{relation} the limit of {verdict.max_failure_rate:.1%}{limit_by}. "
        f"{verdict.skipped} skipped windows do not count.{rest}"
    )
