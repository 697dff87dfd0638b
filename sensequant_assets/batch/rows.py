"""What telemetry is told of a window and of a verdict."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sensequant_assets.batch.cost import Cost
from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.outcome import Outcome, Verdict
from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.core.quality.rules import Finding
from sensequant_assets.market.kept import BarsDigest
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.questions.events import BARS, COVERAGE, FINDING
from sensequant_assets.telemetry.records import CheckVerdict, Event, WindowRun
from sensequant_assets.text import counted


@dataclass(frozen=True, slots=True)
class Identity:
    """Which run of which batch this is, for telemetry.

    Attributes
    ----------
    batch_id, run_id
        Of the batch and of this run of it.
    source
        `cli`, `ui`, `sensor` or `schedule`.
    backfill_id
        Dagster's backfill, if there is one.
    attempt
        1 for a run that tries its pairs for the first time in this batch.
    """

    batch_id: str
    run_id: str
    source: str = "cli"
    backfill_id: str | None = None
    attempt: int = 1


def window_run(
    identity: Identity,
    universe: str,
    outcome: Outcome,
    started: datetime,
    cost: Cost,
) -> WindowRun:
    """What became of one model of one pair, as the journal holds it."""
    pair, made_from = outcome.pair, outcome.fingerprints
    return WindowRun(
        backfill_id=identity.backfill_id,
        model=outcome.model,
        universe=universe,
        symbol=pair.symbol,
        window_start=pair.window.start,
        window_end=pair.window.end,
        effective_start=pair.effective_start,
        effective_end=outcome.effective_end,
        outcome=outcome.status,
        reason=outcome.reason,
        failure_kind=outcome.failure,
        error_type=outcome.error_type or None,
        error_message=outcome.error_message or None,
        attempt=identity.attempt,
        started_at=started,
        ended_at=utc_now(),
        duration_s=cost.wall_s,
        cpu_s=cost.cpu_s,
        peak_mb=cost.peak_mb,
        device_s=cost.device_s,
        joules=cost.joules,
        worker=cost.worker,
        train_rows=outcome.rows.get("train"),
        valid_rows=outcome.rows.get("valid"),
        test_rows=outcome.rows.get("test"),
        metrics=outcome.metrics,
        parameters=outcome.parameters,
        constant=outcome.constant,
        data_fingerprint=made_from.data if made_from else None,
        parameters_fingerprint=made_from.parameters if made_from else None,
        code_fingerprint=made_from.code if made_from else None,
        trees_fingerprint=outcome.trees_fingerprint or None,
        device=outcome.device or None,
        early_life=pair.early_life,
        open=pair.open,
        served_by=pair.served_by.window.start if pair.served_by else None,
        model_path=outcome.path or None,
    )


def traceback_event(pair: Pair, error: BaseException) -> Event:
    """An error of the code with its traceback."""
    return Event(
        level="error",
        kind="traceback",
        symbol=pair.symbol,
        window_start=pair.window.start,
        message="".join(traceback.format_exception(error)),
    )


def pool_event(outcome: PoolOutcome) -> Event:
    """What became of a pool's model, as the journal holds it."""
    pool, stored = outcome.pool, outcome.stored
    of = pool.title if outcome.model == "pool" else f"shared student of the {pool.title}"
    cost = outcome.cost
    told: dict[str, Any] = {
        "model": outcome.model, "pool": pool.name, "status": str(outcome.status), "seconds": round(cost.wall_s, 3),
        "cpu_s": round(cost.cpu_s, 3), "peak_mb": cost.peak_mb, "device_s": cost.device_s, "joules": cost.joules,
        "worker": cost.worker,
    }  # fmt: skip
    if pool.not_apart:
        told["early_life_not_separate"] = pool.not_apart
    if stored is not None:
        record = stored.record
        told |= {
            "span": record.span,
            "symbols": record.symbols,
            "rows": record.rows,
            "device": str(record.device),
            "device_because": record.placed_because,
            "calibration_slope": record.calibration.slope,
            "calibration_intercept": record.calibration.intercept,
            "constant": record.constant,
            "trees_fingerprint": record.trees_fingerprint,
            "data_fingerprint": record.fingerprints.data,
            "parameters_fingerprint": record.fingerprints.parameters,
            "model_path": str(stored.path),
        }
    became = f"failed: {outcome.error}" if outcome.error else f"was {outcome.status}."
    return Event(
        level="error" if outcome.error else "info",
        kind="pool",
        window_start=date.fromisoformat(pool.window),
        message=f"The {of}, {pool.rows} rows of {pool.symbols} symbols, {became}",
        data=told,
    )


def finding_event(finding: Finding) -> Event:
    """What a rule on bars has found, as the journal holds it."""
    return Event(
        level=finding.severity,
        kind=FINDING,
        symbol=finding.symbol,
        message=finding.message,
        data=finding.as_json() | {"evidence": dict(finding.evidence)},
    )


def coverage_event(coverage: Coverage) -> Event:
    """Which bars there are, as the journal holds it."""
    empty = len(coverage.empty)
    of = f"{counted(len(coverage.symbols), 'symbol')} from {coverage.months[0]} to {coverage.months[-1]}"
    message = f"Bars of {of}; {empty} of them have none."
    return Event(level="warning" if empty else "info", kind=COVERAGE, message=message, data=coverage.as_json())


def bars_event(
    read: Mapping[str, BarsDigest], market: Mapping[str, Any], judged_with: str, evaluation: str = ""
) -> Event:
    """Which bars a run or an evaluation has read, from where, and with which code it judged, as the journal holds it.

    Parameters
    ----------
    read
        By symbol.
    market
        Settings of the market, with paths that mean the same in every directory.
    judged_with
        Fingerprint of the code that judges.
    evaluation
        Its name; empty for a run.
    """
    data = {
        "evaluation": evaluation,
        "from": {name: market.get(name) for name in ("universe", "bars", "corporate_actions", "symbol_changes")},
        "judging": judged_with,
        "symbols": {symbol: [one.bars, one.digest, one.bad] for symbol, one in sorted(read.items())},
    }
    bars = sum(one.bars for one in read.values())
    return Event(kind=BARS, message=f"Read {counted(bars, 'bar')} of {counted(len(read), 'symbol')}.", data=data)


def check_verdict(verdict: Verdict) -> CheckVerdict:
    """A verdict of the check `max_failure_rate` as the journal holds it."""
    return CheckVerdict(
        model=verdict.model,
        passed=verdict.passed,
        failure_rate=verdict.failure_rate,
        max_failure_rate=verdict.max_failure_rate,
        trained=verdict.trained,
        reused=verdict.reused,
        skipped=verdict.skipped,
        failed=verdict.failed,
        not_attempted=verdict.not_attempted,
        evaluated_at=utc_now(),
    )
