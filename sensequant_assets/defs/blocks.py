"""What Dagster is told of windows where blocks of symbols are the partitions: one event a block and window.

A block's window is materialized only if the last attempt at each of its pairs that the universe lists ended as trained,
reused or skipped; else it is an observation that names what failed, and the run fails, because Dagster takes a
partition's materialization back for nothing else: a green block has no failed window.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from sensequant_assets.core.lattice import Key, Pair
from sensequant_assets.core.outcome import COUNTED, Outcome, Status
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.defs.checks import FAILURES_SHOWN
from sensequant_assets.defs.names import ASSETS
from sensequant_assets.defs.partitions import Order
from sensequant_assets.errors import SenseQuantError
from sensequant_assets.text import counted, printable

Leaf = Mapping[str, str]
"""What became of a pair, as text: `outcome`, and `cause` and `error`, `why` or `test_auc` where there are any."""

Earlier = Callable[[ModelKind, Collection[str], Collection[str]], Mapping[Key, Leaf]]
"""Tells of pairs of these symbols and windows how the last attempt at each ended, of whatever batch."""

_GOOD = {str(status) for status in Status} - {str(Status.FAILED)}
_NAMED = 5


class IncompleteBlocks(dg.Failure):
    """Ends a run whose blocks have windows that failed, though few enough did, so that their partitions are red."""


class Blocks:
    """The blocks of a run, and what becomes of their pairs.

    Parameters
    ----------
    order
        Of all partitions.
    keys
        The pairs that the run attempts.
    symbols
        Those that the universe lists.
    batch_id
        The batch of the run.
    report
        Path of the batch's page.
    earlier
        Asked for pairs of the run's blocks that the run does not attempt.
    plan
        Gives the pair of a symbol and window, to tell whether one that nobody ever attempted is to be skipped.
    """

    def __init__(
        self,
        order: Order,
        keys: Sequence[Key],
        symbols: Collection[str],
        batch_id: str,
        report: str,
        earlier: Earlier,
        plan: Callable[[str, str], Pair],
    ) -> None:
        self._order, self._batch_id, self._report = order, batch_id, report
        self._earlier, self._plan = earlier, plan
        self._own: dict[Key, set[str]] = defaultdict(set)
        for symbol, window in keys:
            self._own[order.name_of(symbol), window].add(symbol)
        listed = set(symbols)
        names = {name for name, _ in self._own}
        self._leaves = {name: [symbol for symbol in order.members(name) if symbol in listed] for name in names}
        self._told: dict[tuple[str, Key], dict[str, Leaf]] = defaultdict(dict)
        self._closed: set[tuple[str, Key]] = set()
        self._incomplete: list[str] = []

    @property
    def partitions(self) -> list[str]:
        """Keys of the partitions that the run has pairs of."""
        return ["|".join(cell) for cell in self._own]

    def take(self, outcome: Outcome) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
        """The event of a block's window whose last pair this is, if the run attempts all of its pairs."""
        cell = self._order.name_of(outcome.pair.symbol), outcome.pair.window.key
        leaves = self._told[outcome.model, cell]
        leaves[outcome.pair.symbol] = _leaf(outcome)
        if len(leaves) == len(self._leaves[cell[0]]):
            yield self._event(outcome.model, cell, leaves)

    def rest(self, model: ModelKind) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
        """The events of all others of a model, whose further pairs earlier runs attempted, or none."""
        cells = [cell for cell in self._own if (model, cell) not in self._closed]
        symbols = {symbol for name, _ in cells for symbol in self._leaves[name]}
        why, earlier = "", dict[Key, Leaf]()
        if any(len(self._own[cell]) < len(self._leaves[cell[0]]) for cell in cells):
            try:
                earlier = dict(self._earlier(model, symbols, {window for _, window in cells}))
            except SenseQuantError as error:
                why = f"What became of its other windows could not be read: {error}"
        for cell in cells:
            name, window = cell
            others = {
                symbol: earlier[symbol, window]
                for symbol in self._leaves[name]
                if symbol not in self._own[cell] and (symbol, window) in earlier
            }
            leaves = others | self._told[model, cell]
            yield self._event(model, cell, leaves if why else leaves | self._skips(cell, leaves), why)

    def _skips(self, cell: Key, leaves: Mapping[str, Leaf]) -> dict[str, Leaf]:
        """Pairs of a block's window that were never attempted because there is nothing to attempt.

        Sensors and schedules do not ask for them. Their bars are read for it, and so none of a block that is not whole
        whatever they are.
        """
        name, window = cell
        found: dict[str, Leaf] = {}
        if any(leaf["outcome"] not in _GOOD for leaf in leaves.values()) or self._own[cell] - leaves.keys():
            return found
        for symbol in self._leaves[name]:
            if symbol in leaves:
                continue
            pair = self._plan(symbol, window)
            if pair.eligible:
                break
            found[symbol] = {"outcome": str(Status.SKIPPED), "why": f"{pair.reason}: {pair.detail}"}
        return found

    def require(self) -> None:
        """Fail the run if a block of it is not complete.

        Raises
        ------
        IncompleteBlocks
            Names the first of them.
        """
        if self._incomplete:
            more = len(self._incomplete) - _NAMED
            named = "; ".join(self._incomplete[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
            raise IncompleteBlocks(
                f"{counted(len(self._incomplete), 'block')} of this run with windows that failed or were not tried: "
                f"{named}. Few enough failed for the batch; the blocks stay red until all of their windows end well.",
                allow_retries=False,
            )

    def _event(
        self, model: str, cell: Key, leaves: Mapping[str, Leaf], why: str = ""
    ) -> dg.AssetMaterialization | dg.AssetObservation:
        self._closed.add((model, cell))
        self._told.pop((model, cell), None)
        name, window = cell
        rows = [(symbol, leaves.get(symbol, {"outcome": "not_attempted"})) for symbol in self._leaves[name]]
        counts = Counter(leaf["outcome"] for _, leaf in rows)
        complete = all(outcome in _GOOD for outcome in counts)
        asset, partition = ASSETS["teacher" if model == "teacher" else "student"], "|".join(cell)
        metadata: dict[str, Any] = {
            "status": "complete" if complete else "incomplete",
            "windows": len(rows),
            "planned": len(self._own[cell]),
            **{outcome: counts[outcome] for outcome in COUNTED},
            **({"why": printable(why)} if why else {}),
            **_tables(window, rows),
            "report": dg.MetadataValue.path(self._report),
            "query": _query(self._batch_id, model, window, [symbol for symbol, _ in rows]),
        }
        if complete:
            return dg.AssetMaterialization(asset, partition=partition, metadata=metadata)
        bad = {outcome: counts[outcome] for outcome in ("failed", "not_attempted") if counts[outcome]}
        said = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in bad.items())
        self._incomplete.append(f"{asset} {partition}: {said} of {len(rows)}")
        return dg.AssetObservation(asset, partition=partition, metadata=metadata)


def _leaf(outcome: Outcome) -> Leaf:
    told = {"outcome": str(outcome.status)}
    if outcome.status is Status.FAILED:
        return told | {"cause": str(outcome.failure), "error": outcome.error_message}
    if outcome.status is Status.SKIPPED:
        return told | {"why": f"{outcome.reason}: {outcome.error_message}"}
    auc = outcome.metrics.get("test_auc")
    return told | ({} if auc is None else {"test_auc": f"{auc:.4g}"})


def _tables(window: str, rows: Sequence[tuple[str, Leaf]]) -> dict[str, Any]:
    """The pairs of a block's window with what became of each, and the first of those that failed."""
    failed = [
        {"symbol": symbol, "window": window, "cause": leaf.get("cause", "unknown"), "error": leaf.get("error", "")}
        for symbol, leaf in rows
        if leaf["outcome"] == str(Status.FAILED)
    ]
    pairs = [
        {
            "symbol": symbol,
            "outcome": leaf["outcome"],
            "test_auc": leaf.get("test_auc", ""),
            "why": leaf.get("why") or leaf.get("error", ""),
        }
        for symbol, leaf in rows
    ]
    tables = {"pairs": pairs, **({"failed_windows": failed[:FAILURES_SHOWN]} if failed else {})}
    return {name: _table(table) for name, table in tables.items()}


def _table(rows: Iterable[Mapping[str, str]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [dg.TableRecord({column: printable(cell) for column, cell in row.items()}) for row in rows]
    )


def _query(batch_id: str, model: str, window: str, symbols: Iterable[str]) -> str:
    """The question of `sensequant query` that gives the rows of these pairs in a batch."""
    batch, listed = batch_id.replace("'", "''"), ", ".join(f"'{symbol}'" for symbol in symbols)
    # Shown to a person, and asked of nothing here.
    return printable(
        f"SELECT * FROM last_attempts WHERE batch_id = '{batch}' AND model = '{model}' "  # noqa: S608
        f"AND window_start = '{window}' AND symbol IN ({listed})"
    )
