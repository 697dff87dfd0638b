"""A verdict of the core as a Dagster asset check result."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from sensequant_assets.core.outcome import Outcome, Status, Verdict

CHECK = "max_failure_rate"
FAILURES_SHOWN = 20


class _BatchCheckResult(dg.AssetCheckResult):
    """A verdict on many partitions, so that no one materialization is its target.

    Dagster looks for one by the partitions of the run, and a run of a scattered choice has none of its own.
    """

    def _get_target_materialization_data(self, *_: object) -> None:
        return None


def check_result(asset: str, verdict: Verdict, outcomes: Sequence[Outcome]) -> dg.AssetCheckResult:
    """Adapt a verdict: counts, rate and limit, and the first failed windows as a table.

    Parameters
    ----------
    asset
        Key of the checked asset.
    verdict
        What the core found.
    outcomes
        Of the same windows, for the table of failures.
    """
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    metadata: dict[str, Any] = {
        "trained": verdict.trained,
        "reused": verdict.reused,
        "skipped": verdict.skipped,
        "failed": verdict.failed,
        "not_attempted": verdict.not_attempted,
        "max_failure_rate": verdict.max_failure_rate,
    }
    if verdict.failure_rate is not None:
        metadata["failure_rate"] = verdict.failure_rate
    if failed:
        metadata["failed_windows"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "symbol": outcome.pair.symbol,
                        "window": outcome.pair.window.key,
                        "cause": str(outcome.failure),
                        "error": outcome.error_message,
                    }
                )
                for outcome in failed[:FAILURES_SHOWN]
            ]
        )
    return _BatchCheckResult(
        asset_key=asset,
        check_name=CHECK,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.exceeded else dg.AssetCheckSeverity.WARN,
        description=describe(verdict),
        metadata=metadata,
    )


def describe(verdict: Verdict) -> str:
    """The verdict in one sentence."""
    if verdict.blocked:
        return verdict.blocked
    if verdict.failure_rate is None:
        return f"No {verdict.model} was attempted; {verdict.skipped} windows were skipped."
    relation = "exceeds" if verdict.exceeded else "is within"
    return (
        f"{verdict.failed} of {verdict.attempted} attempted {verdict.model}s failed: {verdict.failure_rate:.1%} "
        f"{relation} the limit of {verdict.max_failure_rate:.1%}. {verdict.skipped} skipped windows do not count."
    )
