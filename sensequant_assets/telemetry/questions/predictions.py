"""Questions about what was predicted."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from sensequant_assets.telemetry.records import Prediction
from sensequant_assets.telemetry.store import TelemetryStore

_FIELDS = ", ".join(field.name for field in fields(Prediction))


def predictions_of(store: TelemetryStore, asked: Sequence[Prediction]) -> dict[tuple[Any, ...], Prediction]:
    """Predictions that are there already of the same bars by the same trees, by the table's key."""
    if not asked:
        return {}
    rows = store.rows(
        f"""
        SELECT {_FIELDS} FROM predictions
        WHERE time BETWEEN $first AND $last AND list_contains($trees, trees_fingerprint)
        """,  # noqa: S608 - constants of this package
        {
            "first": min(row.time for row in asked).item(),
            "last": max(row.time for row in asked).item(),
            "trees": sorted({row.trees_fingerprint for row in asked}),
        },
    )
    found = (Prediction(**row | {"time": np.datetime64(row["time"], "s")}) for row in rows)
    return {(row.symbol, row.time, row.model, row.trees_fingerprint): row for row in found}


def without_outcome(store: TelemetryStore, universe: str, asks: str) -> dict[str, Any]:
    """Times of the predicted bars of which no outcome is told, by symbol; each of shape (bars,), `datetime64[s]`."""
    rows = store.rows(
        """
        SELECT symbol, list(DISTINCT time ORDER BY time) AS times FROM predictions
        ANTI JOIN (FROM outcomes WHERE universe = $universe AND asks = $asks) USING (symbol, time)
        WHERE universe = $universe GROUP BY symbol ORDER BY symbol
        """,
        {"universe": universe, "asks": asks},
    )
    return {row["symbol"]: np.array(row["times"], dtype="datetime64[s]") for row in rows}


def with_outcome(store: TelemetryStore, universe: str, asks: str, model: str, trees: Sequence[str]) -> pa.Table:
    """Predictions by trees of which the outcome is known: `symbol, time, p_raw, p, flags, ret, label`, in order."""
    return store.query(
        """
        SELECT symbol, time, p_raw, p, flags, ret, label FROM predictions
        JOIN (FROM outcomes WHERE universe = $universe AND asks = $asks) USING (universe, symbol, time)
        WHERE model = $model AND list_contains($trees, trees_fingerprint) AND label IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY symbol, time ORDER BY predictions.ordered_at) = 1
        ORDER BY time, symbol
        """,
        {"universe": universe, "asks": asks, "model": model, "trees": sorted(set(trees))},
    )
