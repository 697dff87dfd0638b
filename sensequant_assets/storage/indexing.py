"""Events in the index: their rows, and what they change beyond these: tags, asset keys, check executions."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from sqlalchemy import Insert
from sqlalchemy.engine import Connection

from sensequant_assets.storage import dagster_private as private

if TYPE_CHECKING:
    from sensequant_assets.storage.dagster_private import SqlEventLogStorage


@cache
def insert_events() -> Insert:
    """The statement that writes rows of events."""
    return private.SqlEventLogStorageTable.insert()


@cache
def _insert_for_ids() -> Any:
    return insert_events().returning(private.SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)


def store_indexed(
    storage: "SqlEventLogStorage",
    connection: Connection,
    events: Sequence[tuple[dg.EventLogEntry, Mapping[str, Any]]],
    *,
    dated: bool,
    insert: Callable[..., Any],
    bare_keys: bool = False,
) -> None:
    """Write rows of events and what they change in the index, in the open transaction.

    Parameters
    ----------
    storage
        Gives the values; its `index_connection` must join the open transaction.
    connection
        Of the open transaction.
    events
        With their rows, in the order of storing.
    dated
        Whether asset keys carry the time of their latest event.
    insert
        `insert` of the database's dialect, with `on_conflict_do_update`.
    bare_keys
        Whether an event that changes no column still makes its asset key known.
    """
    ids = connection.scalars(_insert_for_ids(), [row for _, row in events]).all()
    stored = [(event_id, event) for event_id, (event, _) in zip(ids, events, strict=True)]
    of_assets = [(i, e) for i, e in stored if e.dagster_event_type in private.ASSET_EVENTS]
    # Parts of the storage's own `store_event`, which must be as they were for the pooled storage to be made at all.
    store_tags, values_of = storage._store_asset_event_tags, storage._get_asset_entry_values  # noqa: SLF001
    if of_assets:
        store_tags(connection, [e for _, e in of_assets], [i for i, _ in of_assets])

    # Of events of one type and asset key the last one wins every column, so the others are not even serialized.
    latest: dict[tuple[str, object], tuple[int, dg.EventLogEntry]] = {}
    for event_id, event in of_assets:
        asset_key = event.dagster_event and event.dagster_event.asset_key
        if asset_key:
            place = asset_key.to_string(), event.dagster_event_type
            latest.pop(place, None)
            latest[place] = event_id, event
    columns: dict[str, dict[str, Any]] = {}
    for (asset_key_string, _), (event_id, event) in latest.items():
        columns.setdefault(asset_key_string, {}).update(values_of(event, event_id, dated))
    # Sorted, so that two writers lock the rows of several asset keys in the same order.
    for asset_key_string, values in sorted(columns.items()):
        row = insert(private.AssetKeyTable).values(asset_key=asset_key_string, **values)
        if values:
            connection.execute(
                row.on_conflict_do_update(index_elements=[private.AssetKeyTable.c.asset_key], set_=values)
            )
        elif bare_keys:
            connection.execute(row.on_conflict_do_nothing())

    for event_id, event in stored:
        if event.dagster_event_type in private.ASSET_CHECK_EVENTS:
            storage.store_asset_check_event(event, event_id)
