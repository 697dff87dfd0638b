"""The two dimensions of the lattice as Dagster partitions."""

import re
from collections.abc import Iterable, Sequence

import dagster as dg

from sensequant_assets.core.windows import Window

SYMBOL, WINDOW = "symbol", "window"


def symbol_partitions(universe: str) -> dg.DynamicPartitionsDefinition:
    """The symbols of one universe; dynamic, so that a new listing needs no redeploy."""
    return dg.DynamicPartitionsDefinition(name=f"symbols_{re.sub(r'[^A-Za-z0-9_]', '_', universe)}")


def lattice_partitions(
    symbols: dg.DynamicPartitionsDefinition, windows: Iterable[Window]
) -> dg.MultiPartitionsDefinition:
    """The lattice symbol x window; its keys are `symbol|window`."""
    return dg.MultiPartitionsDefinition(
        {SYMBOL: symbols, WINDOW: dg.StaticPartitionsDefinition([window.key for window in windows])}
    )


def add_symbols(
    instance: dg.DagsterInstance, symbols: dg.DynamicPartitionsDefinition, names: Sequence[str]
) -> list[str]:
    """Make partitions of the symbols that have none yet, and return those."""
    name = symbols.name
    assert name is not None  # noqa: S101  # made with a name above
    known = set(instance.get_dynamic_partitions(name))
    new = [symbol for symbol in names if symbol not in known]
    if new:
        instance.add_dynamic_partitions(name, new)
    return new
