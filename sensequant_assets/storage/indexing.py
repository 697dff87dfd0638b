"""What stored events change beyond their own rows: tags, asset keys, check executions."""

from collections.abc import Callable, Sequence
from typing import Any

from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetKeyTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy.engine import Connection


def index_events(
    storage: SqlEventLogStorage,
    connection: Connection,
    stored: Sequence[tuple[int, EventLogEntry]],
    *,
    dated: bool,
    insert: Callable[..., Any],
    bare_keys: bool = False,
) -> None:
    """Write the index rows of events, in the open transaction.

    Parameters
    ----------
    storage
        Gives the values; its `index_connection` must join the open transaction.
    connection
        Of the open transaction.
    stored
        Row ids and events, in the order of storing.
    dated
        Whether asset keys carry the time of their latest event.
    insert
        `insert` of the database's dialect, with `on_conflict_do_update`.
    bare_keys
        Whether an event that changes no column still makes its asset key known.
    """
    of_assets = [(i, e) for i, e in stored if e.dagster_event_type in ASSET_EVENTS]
    if of_assets:
        storage._store_asset_event_tags(connection, [e for _, e in of_assets], [i for i, _ in of_assets])

    # Of events of one type and asset key the last one wins every column, so the others are not even serialized.
    latest: dict[tuple[str, object], tuple[int, EventLogEntry]] = {}
    for event_id, event in of_assets:
        asset_key = event.dagster_event and event.dagster_event.asset_key
        if asset_key:
            place = asset_key.to_string(), event.dagster_event_type
            latest.pop(place, None)
            latest[place] = event_id, event
    columns: dict[str, dict[str, Any]] = {}
    for (asset_key_string, _), (event_id, event) in latest.items():
        columns.setdefault(asset_key_string, {}).update(storage._get_asset_entry_values(event, event_id, dated))
    # Sorted, so that two writers lock the rows of several asset keys in the same order.
    for asset_key_string, values in sorted(columns.items()):
        row = insert(AssetKeyTable).values(asset_key=asset_key_string, **values)
        if values:
            connection.execute(row.on_conflict_do_update(index_elements=[AssetKeyTable.c.asset_key], set_=values))
        elif bare_keys:
            connection.execute(row.on_conflict_do_nothing())

    for event_id, event in stored:
        if event.dagster_event_type in ASSET_CHECK_EVENTS:
            storage.store_asset_check_event(event, event_id)
