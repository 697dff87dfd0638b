"""The assets before the models: the universe, and bars and features by symbol."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.provenance import arrays_fingerprint
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.universe import Universe
from sensequant_assets.defs.catalog import COLUMN_SCHEMA, column_schema
from sensequant_assets.defs.checks import evaluation_of, sound_result
from sensequant_assets.defs.names import SOUND
from sensequant_assets.defs.partitions import add_symbols
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.market.tables import (
    bars_table,
    features_table,
    is_current,
    quarantine_table,
    table_path,
    write_parquet,
)
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.text import printable

GROUP = "market"


def market_assets(symbols: dg.DynamicPartitionsDefinition, block_size: int = 0) -> list[dg.AssetsDefinition]:
    """The assets `universe`, `bars` and `features`.

    Parameters
    ----------
    symbols
        Partitions of bars and features.
    block_size
        Symbols that share a partition of the models; 0 where each has its own.
    """

    @dg.asset(group_name=GROUP, kinds={"csv"})
    def universe(
        context: dg.AssetExecutionContext, market: dg.ResourceParam[MarketResource]
    ) -> dg.MaterializeResult[None]:
        """Which symbols there are and since when each is listed. Materialize it to make partitions of new symbols."""
        listed = read_universe(market.settings.universe)
        new = add_symbols(context.instance, symbols, listed.symbols, block_size)
        found = universe_event(listed, market.settings.universe).metadata
        return dg.MaterializeResult(metadata={**found, "new_partitions": len(new)})

    @dg.multi_asset(
        name="symbol_data",
        partitions_def=symbols,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        check_specs=[_check_spec()],
        specs=_specs(),
    )
    def symbol_data(
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[MarketResource],
        teacher: dg.ResourceParam[TeacherParameters],
        student: dg.ResourceParam[StudentParameters],
    ) -> Iterator[dg.AssetCheckResult]:
        """Write the tables of each symbol; one that breaks a rule is noted and costs no other."""
        opened = market.open(teacher, student)
        wanted = {key.to_user_string() for key in context.selected_asset_keys}
        if not wanted:
            # A check executed alone has no partitions of its own: it looks at the whole universe.
            yield sound_result(opened.findings, len(opened.universe.symbols))
            return
        for symbol in context.partition_keys:
            for event in symbol_events(opened, symbol, market.data_dir, wanted):
                context.log_event(event)
        if context.selected_asset_check_keys:
            yield sound_result(opened.findings_of(context.partition_keys), len(context.partition_keys))

    return [universe, symbol_data]


def _specs() -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            "bars",
            description="Validated, adjusted bars of one symbol, one row a bar.",
            group_name=GROUP,
            kinds={"parquet"},
            skippable=True,
            deps=["universe"],
        ),
        dg.AssetSpec(
            "features",
            description="Causal features and labels of one symbol over its whole history, one row a bar.",
            group_name=GROUP,
            kinds={"parquet", "numpy"},
            skippable=True,
            deps=["bars"],
        ),
    ]


def _check_spec() -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        SOUND,
        asset="bars",
        description="The rules on bars find no error: no row that is none, no split that nobody took out, no other "
        "unit or company. It is an error where the bars of a symbol cannot be taken at all, else a warning, and stops "
        "nothing; docs/data.md has the rules. Runs of the models look too.",
    )


def tell_sound(instance: dg.DagsterInstance, market: Market) -> None:
    """Record what the rules find in all bars of a market as the check's result, where all have been read anyway.

    A run that trains reads them itself, and materializes no bars that are known already: their check would stay as it
    was before a file went wrong.
    """
    if market.is_read:
        found = sound_result(market.findings, len(market.universe.symbols))
        instance.report_runless_asset_event(evaluation_of(found))


def universe_event(listed: Universe, file: Path) -> dg.AssetMaterialization:
    """The universe as it was read: how many symbols, and the listings as a table."""
    rows = [
        {"symbol": one.symbol, "name": printable(one.name), "listing_date": str(one.listing_date or "")}
        for one in listed.listings
    ]
    unused = {"unused_columns": printable(", ".join(listed.unused))} if listed.unused else {}
    return dg.AssetMaterialization(
        "universe",
        metadata={
            **unused,
            "symbols": len(rows),
            "file": dg.MetadataValue.path(printable(file)),
            "listings": dg.MetadataValue.table([dg.TableRecord(row) for row in rows]),
        },
    )


def symbol_events(
    market: Market, symbol: str, directory: Path, assets: Iterable[str], *, stale_only: bool = False
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """Write tables of one symbol, and tell of each.

    Parameters
    ----------
    market
        Where the symbol's bars and samples come from.
    symbol
        Which one.
    directory
        The data directory.
    assets
        `bars`, `features` or both.
    stale_only
        Pass over a table on disk that already shows these bars.

    Yields
    ------
    AssetMaterialization or AssetObservation
        An observation with the error where the bars break a rule; nothing is written then.
    """
    samples = market.plan(symbol).samples
    if isinstance(samples, WindowError):
        for asset in sorted(assets):
            yield dg.AssetObservation(asset, partition=symbol, metadata={"status": "failed", "error": str(samples)})
        return
    fingerprint = samples.fingerprint
    if samples.missed:
        # A row that is no bar changes what is told of them, and no bar.
        fingerprint = arrays_fingerprint((), (fingerprint, *(str(one.row) for one in samples.missed)))
    for asset in sorted(assets):
        path = table_path(directory, asset, market.universe.name, symbol)
        if stale_only and is_current(path, fingerprint):
            continue
        written = [str(path)]
        if asset == "bars":
            bars = market.bars(symbol)
            table = bars_table(bars)
            aside = table_path(directory, "quarantine", market.universe.name, symbol)
            written += _quarantined(bars, aside, fingerprint)
        else:
            table = features_table(samples)
        write_parquet(table, path, fingerprint)
        yield _materialized(asset, symbol, written, samples, table.schema, market.warnings(symbol))


def _quarantined(bars: Bars, path: Path, fingerprint: str) -> list[str]:
    """Write the rows that are none of a symbol's bars; the file, if there are any."""
    if not bars.delivery.bad:
        path.unlink(missing_ok=True)
        return []
    return [str(write_parquet(quarantine_table(bars.delivery.bad), path, fingerprint))]


def _materialized(
    asset: str, symbol: str, written: list[str], samples: Samples, columns: pa.Schema, warnings: list[str]
) -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {"rows": len(samples.time), "file": dg.MetadataValue.path(written[0])}
    if len(written) > 1:
        metadata["quarantine"] = dg.MetadataValue.path(written[-1])
    if len(samples.time):
        metadata |= {"first": str(samples.time[0]), "last": str(samples.time[-1])}
    if asset == "features":
        metadata |= {"features": len(samples.feature_names), "usable_rows": int(samples.usable.sum())}
        metadata[COLUMN_SCHEMA] = column_schema(columns)
    if warnings:
        metadata["warning"] = printable(" ".join(warnings))
    return dg.AssetMaterialization(asset, partition=symbol, metadata=metadata)
