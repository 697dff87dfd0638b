"""The assets before the models: the universe, and bars and features by symbol."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.universe import Universe
from sensequant_assets.defs.partitions import add_symbols
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.market.tables import bars_table, features_table, is_current, table_path, write_parquet
from sensequant_assets.sources.universes import read_universe
from sensequant_assets.text import printable

GROUP = "market"


def market_assets(symbols: dg.DynamicPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets `universe`, `bars` and `features`.

    Parameters
    ----------
    symbols
        Partitions of bars and features.
    """

    @dg.asset(group_name=GROUP, kinds={"csv"})
    def universe(
        context: dg.AssetExecutionContext, market: dg.ResourceParam[MarketResource]
    ) -> dg.MaterializeResult[None]:
        """Which symbols there are and since when each is listed. Materialize it to make partitions of new symbols."""
        listed = read_universe(market.settings.universe)
        new = add_symbols(context.instance, symbols, listed.symbols)
        found = universe_event(listed, market.settings.universe).metadata
        return dg.MaterializeResult(metadata={**found, "new_partitions": len(new)})

    @dg.multi_asset(
        name="symbol_data",
        partitions_def=symbols,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        specs=[
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
        ],
    )
    def symbol_data(
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[MarketResource],
        teacher: dg.ResourceParam[TeacherParameters],
        student: dg.ResourceParam[StudentParameters],
    ) -> Iterator[dg.AssetMaterialization]:
        """Write the tables of each symbol; one that breaks a rule is noted and costs no other."""
        opened = market.open(teacher, student)
        wanted = {key.to_user_string() for key in context.selected_asset_keys}
        for symbol in context.partition_keys:
            for event in symbol_events(opened, symbol, market.data_dir, wanted):
                context.log_event(event)
        # Only a generator is taken to yield nothing; anything else is taken for a value of every partition.
        yield from ()

    return [universe, symbol_data]


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
    for asset in sorted(assets):
        path = table_path(directory, asset, market.universe.name, symbol)
        if stale_only and is_current(path, fingerprint):
            continue
        write_parquet(
            bars_table(market.bars(symbol)) if asset == "bars" else features_table(samples), path, fingerprint
        )
        yield _materialized(asset, symbol, path, samples, market.warnings(symbol))


def _materialized(
    asset: str, symbol: str, path: Path, samples: Samples, warnings: list[str]
) -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {"rows": len(samples.time), "file": dg.MetadataValue.path(str(path))}
    if len(samples.time):
        metadata |= {"first": str(samples.time[0]), "last": str(samples.time[-1])}
    if asset == "features":
        metadata |= {"features": len(samples.feature_names), "usable_rows": int(samples.usable.sum())}
    if warnings:
        metadata["warning"] = printable(" ".join(warnings))
    return dg.AssetMaterialization(asset, partition=symbol, metadata=metadata)
