"""What failed in a way that can pass next time, and when it is tried again."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sensequant_assets.core.lattice import Key
from sensequant_assets.errors import FailureKind
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.verdicts import LOOK_BACK


@dataclass(frozen=True, slots=True)
class Failure:
    """A window whose last attempt failed in a way that can pass next time."""

    batch_id: str
    symbol: str
    window: str
    attempt: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """The next attempt at the transient failures of one batch, not before `due`."""

    batch_id: str
    keys: Sequence[Key]
    attempt: int
    due: datetime


@dataclass(frozen=True, slots=True)
class Basis:
    """What a batch was run with: settings of its market, parameters by model, and its limit."""

    market: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    max_failure_rate: float


def batch_basis(telemetry: TelemetryStore, batch_id: str) -> Basis | None:
    """What a batch was run with; None before its first record."""
    rows = telemetry.query(
        "SELECT settings, parameters, max_failure_rate FROM batches WHERE batch_id = ?", [batch_id]
    ).to_pylist()
    if not rows:
        return None
    (row,) = rows
    return Basis(json.loads(row["settings"] or "{}"), json.loads(row["parameters"] or "{}"), row["max_failure_rate"])


def transient_failures(telemetry: TelemetryStore, universe: str, now: datetime) -> list[Failure]:
    """Windows whose last attempt, in any batch, failed transiently within `LOOK_BACK`."""
    rows = telemetry.query(
        """
        SELECT batch_id, symbol, window_start::VARCHAR AS window, max(attempt) AS attempt, max(ended_at) AS ended_at
        FROM (
            SELECT * FROM window_runs WHERE universe = $universe
            QUALIFY row_number() OVER (PARTITION BY model, symbol, window_start ORDER BY ended_at DESC) = 1
        )
        WHERE outcome = 'failed' AND ended_at > $since AND failure_kind IN (SELECT unnest($kinds::VARCHAR[]))
        GROUP BY batch_id, symbol, window_start ORDER BY batch_id, symbol, window_start
        """,
        {
            "universe": universe,
            "since": now - LOOK_BACK,
            "kinds": [str(kind) for kind in FailureKind if kind.transient],
        },
    ).to_pylist()
    return [Failure(**row) for row in rows]


def evaluate_retries(
    failures: Sequence[Failure], tried: Mapping[str, int], *, limit: int, backoff_s: float
) -> list[Retry]:
    """Which batches are tried again, and when.

    Parameters
    ----------
    failures
        As `transient_failures` gives them.
    tried
        Attempts of each batch so far by its runs, which counts also those that died without a row.
    limit
        Most attempts, the first included.
    backoff_s
        Seconds after the first attempt; doubled for each further one.
    """
    by_batch: dict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        by_batch[failure.batch_id].append(failure)
    retries = []
    for batch, found in by_batch.items():
        made = max(tried.get(batch, 1), *(failure.attempt for failure in found))
        if made < limit:
            due = max(failure.ended_at for failure in found) + timedelta(seconds=backoff_s * 2 ** (made - 1))
            retries.append(Retry(batch, [(failure.symbol, failure.window) for failure in found], made + 1, due))
    return retries
