"""The two dimensions of the lattice as Dagster partitions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import intern
from urllib.parse import urlencode

import dagster as dg

from sensequant_assets.core.lattice import Key
from sensequant_assets.core.windows import Window
from sensequant_assets.defs.names import RANGE_END, RANGE_START, SYMBOL, WINDOW
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.text import file_name, markdown_text


def symbol_partitions(universe: str) -> dg.DynamicPartitionsDefinition:
    """The symbols of one universe; dynamic, so that a new listing needs no redeploy."""
    return dg.DynamicPartitionsDefinition(name=f"symbols_{file_name(universe)}")


def window_partitions(windows: Iterable[Window]) -> dg.StaticPartitionsDefinition:
    """The windows of a market."""
    return dg.StaticPartitionsDefinition([window.key for window in windows])


def lattice_partitions(
    symbols: dg.DynamicPartitionsDefinition, windows: dg.StaticPartitionsDefinition
) -> dg.MultiPartitionsDefinition:
    """The lattice symbol x window; its keys are `symbol|window`."""
    return dg.MultiPartitionsDefinition({SYMBOL: symbols, WINDOW: windows})


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


def keys_of(partitions: Iterable[str]) -> list[Key]:
    """(symbol, window key) of partition keys `symbol|window`."""
    keys = []
    for partition in partitions:
        symbol, separator, window = partition.partition("|")
        if not separator:
            raise UsageError(f"{partition!r} is no pair; write symbol|window, such as AAPL|2009-01-01.")
        # Thousands of pairs have the same few windows.
        keys.append((intern(symbol), intern(window)))
    return keys


def partition_order(instance: dg.DagsterInstance, settings: Settings) -> tuple[list[str], list[str]]:
    """All symbols and all window keys of a market, in the order of their partitions."""
    name = symbol_partitions(settings.universe_name).name
    return list(instance.get_dynamic_partitions(name or "")), [window.key for window in settings.windows]


@dataclass(frozen=True, slots=True)
class Choice:
    """How one run is asked for some pairs.

    Attributes
    ----------
    tags
        The range of partitions that Dagster plans for it.
    pairs
        The pairs for its config; empty if they are that range.
    """

    tags: dict[str, str]
    pairs: list[str]


def choose(keys: Sequence[Key], symbol_order: Sequence[str], window_order: Sequence[str]) -> Choice:
    """Ask one run for these pairs, in the order in which they are to be trained; parameters as for `rectangle`."""
    corners = rectangle(keys, symbol_order, window_order)
    pairs = []
    if corners is None:
        # Dagster has no run of scattered partitions, and none without a partition: the first one stands for all.
        corners = keys[0], keys[0]
        pairs = ["|".join(key) for key in keys]
    return Choice({RANGE_START: "|".join(corners[0]), RANGE_END: "|".join(corners[1])}, pairs)


def rectangle(keys: Sequence[Key], symbol_order: Sequence[str], window_order: Sequence[str]) -> tuple[Key, Key] | None:
    """First and last pair, if the pairs are all those between them.

    Parameters
    ----------
    keys
        Pairs, symbol by symbol, windows in order.
    symbol_order, window_order
        All symbols and all window keys in the order of their partitions.

    Returns
    -------
    tuple of two pairs, or None
        None for a scattered choice: Dagster's range would cover pairs that are not meant.
    """
    symbols = _run_of({symbol for symbol, _ in keys}, symbol_order)
    windows = _run_of({window for _, window in keys}, window_order)
    if symbols is None or windows is None or len(keys) != len(symbols) * len(windows):
        return None
    return (symbols[0], windows[0]), (symbols[-1], windows[-1])


def _run_of(chosen: set[str], order: Sequence[str]) -> Sequence[str] | None:
    """The chosen ones in order, if they stand side by side; else None."""
    found = [name for name in order if name in chosen]
    first = order.index(found[0])
    return found if list(order[first : first + len(found)]) == found else None


def partition_link(asset: str, key: str, text: str = "") -> str:
    """A Markdown link to the page of a partition, by its key unless other text is given."""
    return f"[{markdown_text(text or key)}](/assets/{asset}?{urlencode({'view': 'partitions', 'partition': key})})"
