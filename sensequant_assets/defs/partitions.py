"""The lattice as Dagster partitions, and the way from partitions to pairs and back.

A partition of the models is a pair, `symbol|window`, or a window of a block of symbols, `first~last~count|window`. A
block is a run of symbols in the order in which they got partitions, which only grows: no other order of the universe's
file moves a symbol. A symbol that comes later joins the last block, or begins another; because a block's name has its
first and last symbol and their number, one that has grown is another partition, of which nothing is claimed yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from sys import intern
from urllib.parse import urlencode

import dagster as dg

from sensequant_assets.core.lattice import Key
from sensequant_assets.core.windows import Window
from sensequant_assets.defs.names import BLOCK, RANGE_END, RANGE_START, SYMBOL, WINDOW
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.text import file_name, markdown_text

_TO = "~"
"""Between the first symbol of a block, its last and their number; no symbol has it."""


def symbol_partitions(universe: str) -> dg.DynamicPartitionsDefinition:
    """The symbols of one universe; dynamic, so that a new listing needs no redeploy."""
    return dg.DynamicPartitionsDefinition(name=f"symbols_{file_name(universe)}")


def block_partitions(symbols: dg.DynamicPartitionsDefinition) -> dg.DynamicPartitionsDefinition:
    """The blocks of a universe's symbols."""
    return dg.DynamicPartitionsDefinition(name=f"blocks_of_{symbols.name}")


def window_partitions(windows: Iterable[Window]) -> dg.StaticPartitionsDefinition:
    """The windows of a market."""
    return dg.StaticPartitionsDefinition([window.key for window in windows])


def lattice_partitions(
    symbols: dg.DynamicPartitionsDefinition, windows: dg.StaticPartitionsDefinition, block_size: int = 0
) -> dg.MultiPartitionsDefinition:
    """The lattice symbol x window, or block x window where blocks have a size; keys are `symbol|window`."""
    if block_size:
        return dg.MultiPartitionsDefinition({BLOCK: block_partitions(symbols), WINDOW: windows})
    return dg.MultiPartitionsDefinition({SYMBOL: symbols, WINDOW: windows})


def add_symbols(
    instance: dg.DagsterInstance, symbols: dg.DynamicPartitionsDefinition, names: Sequence[str], block_size: int = 0
) -> list[str]:
    """Make partitions of the symbols that have none yet, and return those; where blocks have a size, renew these."""
    name = symbols.name
    assert name is not None  # noqa: S101  # made with a name above
    order = instance.get_dynamic_partitions(name)
    known = set(order)
    new = [symbol for symbol in names if symbol not in known]
    if new:
        instance.add_dynamic_partitions(name, new)
    if block_size:
        _renew_blocks(instance, block_partitions(symbols).name or "", blocks([*order, *new], block_size))
    return new


def _renew_blocks(instance: dg.DagsterInstance, name: str, wanted: Sequence[str]) -> None:
    """Make the blocks those that are wanted, in their order, on which ranges of partitions rest."""
    found = instance.get_dynamic_partitions(name)
    same = next((place for place, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
    same = min(len(found), len(wanted)) if same is None else same
    for gone in found[same:]:
        instance.delete_dynamic_partition(name, gone)
    if wanted[same:]:
        instance.add_dynamic_partitions(name, list(wanted[same:]))


def blocks(symbols: Sequence[str], size: int) -> list[str]:
    """Names of the blocks of so many symbols each, the last of which has the rest."""
    parts = (symbols[first : first + size] for first in range(0, len(symbols), size))
    return [_TO.join((part[0], part[-1], str(len(part)))) for part in parts]


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


@dataclass(frozen=True)
class Order:
    """All symbols and windows of a market in the order of their partitions.

    Attributes
    ----------
    symbols
        All that have partitions, also those that the universe no longer lists.
    windows
        All window keys.
    block_size
        Symbols that share a partition; 0 where each has its own.
    """

    symbols: Sequence[str]
    windows: Sequence[str]
    block_size: int = 0

    @cached_property
    def names(self) -> Sequence[str]:
        """The partitions of a window by name, without it: the symbols or their blocks."""
        return blocks(self.symbols, self.block_size) if self.block_size else self.symbols

    @cached_property
    def _places(self) -> dict[str, int]:
        return {symbol: place for place, symbol in enumerate(self.symbols)}

    def name_of(self, symbol: str) -> str:
        """Under which of `names` a symbol is; `UsageError` if it is to be in a block and has no partition yet."""
        if self.block_size and symbol not in self._places:
            raise UsageError(f"{symbol} is in no block yet; materialize `universe` or run `sensequant prepare`.")
        return self.names[self._places[symbol] // self.block_size] if self.block_size else symbol

    def members(self, name: str) -> Sequence[str]:
        """The symbols of a block, whatever size blocks have; of a symbol itself.

        Raises
        ------
        UsageError
            There is no such block, or it has other symbols since.
        """
        first, separator, rest = name.partition(_TO)
        if not separator:
            return (name,)
        last, _, count = rest.partition(_TO)
        found: Sequence[str] = ()
        if first in self._places and last in self._places:
            found = self.symbols[self._places[first] : self._places[last] + 1]
        if not found or str(len(found)) != count:
            raise UsageError(f"{name!r} is no block of these symbols any more; `sensequant prepare` renews the blocks.")
        return found

    def keys_of(self, partitions: Iterable[str]) -> list[Key]:
        """The pairs of partitions, symbol by symbol where these are blocks; `UsageError` as of `members`."""
        keys = keys_of(partitions)
        if not any(_TO in name for name, _ in keys):
            return keys
        found = {(symbol, window) for name, window in keys for symbol in self.members(name)}
        return sorted(found, key=lambda key: (self._places.get(key[0], len(self.symbols)), key[1]))

    def between(self, first: Key, last: Key) -> list[Key]:
        """The pairs of a range of partitions, symbol by symbol; none where these symbols and windows are not known."""
        try:
            begin, end = self.members(first[0])[0], self.members(last[0])[-1]
        except UsageError:
            return []
        if not {begin, end} <= self._places.keys() or not {first[1], last[1]} <= set(self.windows):
            return []
        return [
            (symbol, window)
            for symbol in self.symbols[self._places[begin] : self._places[end] + 1]
            for window in self.windows[self.windows.index(first[1]) : self.windows.index(last[1]) + 1]
        ]


def partition_order(instance: dg.DagsterInstance, settings: Settings) -> Order:
    """The order of a market's partitions as they are."""
    name = symbol_partitions(settings.universe_name).name
    symbols = list(instance.get_dynamic_partitions(name or ""))
    return Order(symbols, [window.key for window in settings.windows], settings.symbols_a_partition)


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


def choose(keys: Sequence[Key], order: Order) -> Choice:
    """Ask one run for these pairs, in the order in which they are to be trained."""
    cells = list(dict.fromkeys((order.name_of(symbol), window) for symbol, window in keys))
    corners = rectangle(cells, order.names, order.windows)
    pairs = []
    if corners is None or len(keys) != sum(len(order.members(name)) for name, _ in cells):
        # Dagster has no run of scattered partitions, and none without a partition: the first one stands for all.
        corners = corners or (cells[0], cells[0])
        pairs = ["|".join(key) for key in keys]
    return Choice({RANGE_START: "|".join(corners[0]), RANGE_END: "|".join(corners[1])}, pairs)


def rectangle(keys: Sequence[Key], symbol_order: Sequence[str], window_order: Sequence[str]) -> tuple[Key, Key] | None:
    """First and last pair, if the pairs are all those between them.

    Parameters
    ----------
    keys
        Pairs, symbol by symbol, windows in order; of blocks their names with windows, likewise.
    symbol_order, window_order
        All symbols, or blocks, and all window keys in the order of their partitions.

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
