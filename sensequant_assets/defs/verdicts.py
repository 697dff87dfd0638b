"""The verdict on a batch whose check is executed alone."""

import dagster as dg

from sensequant_assets.batch.noise import noise_of_batch
from sensequant_assets.core.outcome import Verdict, judge
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.defs.checks import FAILURES_SHOWN, batch_result, check_result, not_constant_result
from sensequant_assets.defs.names import ASSETS, NOT_CONSTANT
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.report.facts import read_report
from sensequant_assets.report.markdown import markdown
from sensequant_assets.telemetry.questions.batches import batch as batch_row
from sensequant_assets.telemetry.questions.batches import batch_summary, latest_batch_of
from sensequant_assets.telemetry.questions.failures import failed_windows
from sensequant_assets.telemetry.questions.verdicts import is_judged
from sensequant_assets.telemetry.questions.windows import constant_windows, untried_windows


def latest_verdict(
    market: MarketResource, model: ModelKind, check: str, max_failure_rate: float
) -> dg.AssetCheckResult:
    """What a check says of the latest batch of the market's universe that planned a model."""
    telemetry, universe = market.telemetry, market.settings.universe_name
    batch = latest_batch_of(telemetry, universe, model)
    if batch is None:
        nothing = judge(model, (), planned=0, max_failure_rate=max_failure_rate)
        if check == NOT_CONSTANT:
            return not_constant_result(ASSETS[model], nothing, ())
        return check_result(ASSETS[model], nothing, ())
    # Its point is that of its own verdict, or of the run that it is.
    plotted = not is_judged(telemetry, batch, model)
    counts = next(row for row in batch_summary(telemetry, batch) if row["model"] == model)
    found = batch_row(telemetry, batch)
    limit = found["max_failure_rate"] if found["limit_by"] else max_failure_rate
    stopped = found["stopped"].get(model, "")
    verdict = Verdict.of(model, counts, limit, limit_by=found["limit_by"], stopped=stopped)
    if check == NOT_CONSTANT:
        constant = constant_windows(telemetry, batch, model, FAILURES_SHOWN)
        return not_constant_result(ASSETS[model], verdict, constant, batch, plotted=plotted)
    failed = failed_windows(telemetry, batch, model=model)
    untried = untried_windows(telemetry, batch, model)
    report = markdown(read_report(telemetry, batch, noise=noise_of_batch(telemetry, batch)))
    return batch_result(ASSETS[model], verdict, failed, untried, batch, report=report, plotted=plotted)
