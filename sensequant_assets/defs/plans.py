"""The plan of a whole backfill, told in telemetry with its first run."""

from collections.abc import Collection, Iterable

import dagster as dg

from sensequant_assets.defs.names import ASSETS
from sensequant_assets.defs.partitions import Order
from sensequant_assets.storage import dagster_private
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import Plan
from sensequant_assets.telemetry.store import TelemetryStore


def tell_backfill(
    instance: dg.DagsterInstance,
    telemetry: TelemetryStore,
    backfill_id: str,
    symbols: Collection[str],
    windows: Collection[str],
    order: Order,
) -> None:
    """Tell what a backfill is to attempt, unless something is told of it already.

    Dagster's daemon starts many runs for one backfill, and each knows its own windows alone. Those of a run that never
    comes to its first record would be missing nowhere.

    Parameters
    ----------
    instance
        Where the backfill is known.
    telemetry
        Where it is told.
    backfill_id
        Which one; of no record where Dagster has no such backfill.
    symbols, windows
        Those of the market: the partition of a symbol outlives its row in the universe.
    order
        Of all partitions.
    """
    if telemetry.tells_of(backfill_id) or (backfill := instance.get_backfill(backfill_id)) is None:
        return
    symbols, windows = set(symbols), set(windows)
    with Journal(telemetry.shards, batch_id=backfill_id, run_id="", clock=utc_now) as journal:
        plans = []
        for model, asset in ASSETS.items():
            keys = order.keys_of(dagster_private.targeted_partitions(backfill, asset))
            if known := [(symbol, window) for symbol, window in keys if symbol in symbols and window in windows]:
                plans.append(Plan(model=model, windows=known))
        journal.append_many(plans)


def is_whole(
    instance: dg.DagsterInstance, backfill_id: str, assets: Iterable[str], partitions: Collection[str]
) -> bool:
    """Whether a run of these partitions is all of a backfill; False where Dagster does not know it."""
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        return False
    targeted = [dagster_private.targeted_partitions(backfill, asset) for asset in assets]
    return any(targeted) and all(set(keys) <= set(partitions) for keys in targeted)
