"""What the catalog shows of every asset: who owns it, of which market it is, its columns, and where there is more."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from sensequant_assets.core.parameters import Scope
from sensequant_assets.defs.names import (
    ASSETS,
    BACKTEST,
    CHAMPIONS,
    MONITORING,
    OUTCOMES,
    POOLS,
    PREDICTIONS,
    SHARED_STUDENTS,
    WALK_FORWARD,
)
from sensequant_assets.market.tables import BARS
from sensequant_assets.report.page import default_path
from sensequant_assets.settings import PROJECT, Settings
from sensequant_assets.telemetry.records import BarOutcome, Prediction
from sensequant_assets.telemetry.schema import COLUMNS
from sensequant_assets.text import printable

COLUMN_SCHEMA = "dagster/column_schema"
"""Metadata by which Dagster knows the columns of a table."""

_READ_ON = {
    "universe": "docs/data.md",
    "bars": "docs/data.md",
    "features": "docs/extending.md",
    POOLS: "docs/decisions/the-teacher-sees-the-universe.md",
    SHARED_STUDENTS: "docs/decisions/the-teacher-sees-the-universe.md",
    **dict.fromkeys(ASSETS.values(), "docs/learning.md"),
    WALK_FORWARD: "docs/judging.md",
    BACKTEST: "docs/backtest.md",
    CHAMPIONS: "docs/using.md",
    PREDICTIONS: "docs/serving.md",
    OUTCOMES: "docs/using.md",
    MONITORING: "docs/using.md",
}
"""What to read of each asset, from the project's directory."""

_NO_TAG = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_TAG = 63


def catalogued(
    assets: Iterable[dg.AssetsDefinition], settings: Settings, scope: Scope
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets with owners, tags, columns and links.

    Parameters
    ----------
    assets
        All of a code location.
    settings
        Owners, the universe, and where reports lie.
    scope
        Of the teachers.

    Notes
    -----
    No asset has a code version: each window knows by its fingerprints whether it is to be trained again, and one
    version would speak for all partitions at once. Columns of `features` are told with each table that is written, for
    other providers, and bars of another kind, have others.
    """
    tags = {"universe": _NO_TAG.sub("_", settings.universe_name)[:_LONGEST_TAG], "scope": scope}
    columns = {
        "bars": column_schema(BARS),
        PREDICTIONS: _told(Prediction.record),
        OUTCOMES: _told(BarOutcome.record),
    }
    # A page of the UI may not open files, so that paths are what can be shown of them.
    reports = dg.MetadataValue.path(printable(default_path(settings.data_dir.resolve(), "").parent))

    def told(spec: dg.AssetSpec) -> dg.AssetSpec:
        name = spec.key.to_user_string()
        metadata: dict[str, Any] = {"universe": printable(settings.universe_name), "reports": reports}
        if (page := PROJECT / _READ_ON[name]).is_file():
            metadata["docs"] = dg.MetadataValue.path(printable(page))
        if name in columns:
            metadata[COLUMN_SCHEMA] = columns[name]
        return spec.merge_attributes(owners=settings.owner_names, tags=tags, metadata=metadata)

    return dg.map_asset_specs(told, assets)


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """The columns of a table on disk."""
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def _told(record: str) -> dg.TableSchema:
    """The columns of a kind of telemetry record."""
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, column.type, constraints=dg.TableColumnConstraints(nullable=not column.known))
            for column in COLUMNS[record]
        ]
    )
