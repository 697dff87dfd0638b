"""What the pools of a market are made of: which pairs' rows, and who they are; and which pairs they teach."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

from sensequant_assets.core.capacity import Floor
from sensequant_assets.core.lattice import Key, Pair, SkipReason
from sensequant_assets.core.pool import EARLY
from sensequant_assets.core.provenance import arrays_fingerprint


@dataclass(frozen=True, slots=True)
class Member:
    """A pair whose rows are in pools.

    Attributes
    ----------
    key
        The pair.
    rows
        How many training rows it has.
    data
        Fingerprint of its training and validation rows.
    early_life
        Whether its symbol is young.
    """

    key: Key
    rows: int
    data: str
    early_life: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of a window.

    Attributes
    ----------
    name
        The window's key, with `core.pool.EARLY` after it for the pool of its young symbols.
    window
        Key of its window.
    span
        Keys of the windows whose rows it has, its own last.
    spans
        Pairs whose rows it has, symbol by symbol, and where these stand.
    rows
        How many rows it has.
    fingerprint
        Identity of the rows.
    floor
        Fewest rows of which it can learn.
    own_rows, least
        How many rows of its own window it has, and needs: without one it would be the pool before it again.
    filling
        Whether its window is not filled yet: the labels of no symbol reach its end.
    not_apart
        Why it has the rows of young symbols that were to have a pool of their own; empty where it has none of them.
    """

    name: str
    window: str
    span: Sequence[str]
    spans: Mapping[Key, slice]
    rows: int
    fingerprint: str
    floor: Floor
    own_rows: int
    least: int = 1
    filling: bool = False
    not_apart: str = ""

    @property
    def title(self) -> str:
        """What it is, in words."""
        return f"{'early-life pool' if self.name.endswith(EARLY) else 'pool'} of window {self.window}"

    @property
    def keys(self) -> list[Key]:
        """Pairs whose rows it has, symbol by symbol."""
        return list(self.spans)

    def of_symbol(self, symbol: str) -> slice:
        """Where the rows of a symbol stand, which lie side by side."""
        own = [span for (one, _), span in self.spans.items() if one == symbol]
        return slice(own[0].start, own[-1].stop) if own else slice(0, 0)

    @property
    def symbols(self) -> int:
        """How many symbols' rows it has."""
        return len({symbol for symbol, _ in self.spans})

    @property
    def lacks(self) -> str:
        """Why it has too few rows, in words; empty where it has enough."""
        if self.rows < self.floor.rows:
            return (
                f"The {self.title} has {self.rows} rows, needs {self.floor.rows}: {self.floor.why}. "
                f"{self.floor.way_out}"
            )
        if self.own_rows < self.least:
            return f"The {self.title} has {self.own_rows} rows of that window, needs {self.least}."
        return ""


def pools_of(
    windows: Sequence[str],
    history: str,
    members: Iterable[Member],
    floor: Callable[[int], Floor],
    least: int = 1,
    filling: Collection[str] = (),
    *,
    separate: bool = False,
) -> Mapping[str, Pool]:
    """The pools of a market by name, windows in order.

    Parameters
    ----------
    windows
        Keys of all windows, in order.
    history
        As of `TeacherParameters.pool_history`.
    members
        Pairs whose rows are in pools, symbol by symbol, windows in order.
    floor
        Gives the floor of a pool with rows of so many symbols.
    least
        Fewest rows of its own window that a pool needs.
    filling
        Keys of the windows that are not filled yet.
    separate
        Whether pairs of young symbols have a pool of their own, in windows in which that has rows enough.
    """
    members, reach = tuple(members), len(windows) if history == "all" else int(history)
    pools: dict[str, Pool] = {}
    for number, window in enumerate(windows):
        span = windows[max(0, number + 1 - reach) : number + 1]
        pool = partial(_pool, window, span, floor=floor, least=least, filling=window in filling)
        own = [member for member in members if member.key[1] in span]
        young = [member for member in own if separate and member.early_life]
        apart = pool(young, early_life=True)
        rest = pool([member for member in own if not (separate and member.early_life)])
        lacks = apart.lacks or rest.lacks
        if young and not lacks:
            pools |= {rest.name: rest, apart.name: apart}
        else:
            pools[window] = pool(own, not_apart=lacks) if young else rest
    return pools


def _pool(
    window: str,
    span: Sequence[str],
    members: Sequence[Member],
    *,
    floor: Callable[[int], Floor],
    least: int,
    filling: bool,
    early_life: bool = False,
    not_apart: str = "",
) -> Pool:
    name = window + EARLY if early_life else window
    rows_of = (f"{'|'.join(member.key)} {member.data}" for member in members)
    ends = list(accumulate(member.rows for member in members))
    spans = {member.key: slice(end - member.rows, end) for member, end in zip(members, ends, strict=True)}
    return Pool(
        name,
        window,
        span,
        spans,
        ends[-1] if ends else 0,
        arrays_fingerprint((), (name, *rows_of)),
        floor(len({symbol for symbol, _ in spans})),
        sum(member.rows for member in members if member.key[1] == window),
        least,
        filling,
        not_apart,
    )


def within_pools(
    pairs: Iterable[Pair], filling: Collection[str], lacks: Callable[[Pair], str] = lambda _pair: ""
) -> Iterator[Pair]:
    """What becomes of a symbol's pairs where pools teach them.

    In a window that is not filled yet, a pair of a symbol that had rows enough before joins the pool with the rows that
    it has, however few. Where it has none, or the pool has too few, the model of the latest window before serves it.
    One that reads bad rows joins none and fails.

    Parameters
    ----------
    pairs
        As their own rows have them, windows in order.
    filling
        Keys of the windows that are not filled yet. That a symbol's own labels do not fill one does not count: one that
        trades no longer waits for nothing.
    lacks
        Says why the pool of a pair has too few rows; empty where it has enough, as all have by default.
    """
    known, latest = False, None
    for pair in pairs:
        unfilled = pair.window.key in filling
        if not pair.eligible and not (known and unfilled and pair.waits):
            yield pair
            continue
        known = True
        if pair.spoiled:
            yield replace(pair, reason=None, detail="", waits=False)
            continue
        why = lacks(pair) if pair.rows else pair.detail
        if not why:
            latest = pair if pair.eligible else replace(pair, reason=None, detail="", waits=False)
            yield latest
        elif unfilled and latest:
            served = f"The model of window {latest.window.key} serves it: {why}"
            yield replace(pair, reason=None, detail=served, waits=False, served_by=latest)
        elif pair.eligible:
            yield replace(pair, reason=SkipReason.INSUFFICIENT_BARS, detail=why)
        else:
            yield pair
