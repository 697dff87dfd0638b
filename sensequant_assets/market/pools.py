"""What the pools of a market are made of: which pairs' rows, and who they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sensequant_assets.core.capacity import Floor
from sensequant_assets.core.lattice import Key
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
    """

    key: Key
    rows: int
    data: str


@dataclass(frozen=True, slots=True)
class Pool:
    """The pool of a window.

    Attributes
    ----------
    window
        Its key.
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
    """

    window: str
    span: Sequence[str]
    spans: Mapping[Key, slice]
    rows: int
    fingerprint: str
    floor: Floor

    @property
    def keys(self) -> list[Key]:
        """Pairs whose rows it has, symbol by symbol."""
        return list(self.spans)

    @property
    def symbols(self) -> int:
        """How many symbols' rows it has."""
        return len({symbol for symbol, _ in self.spans})

    @property
    def lacks(self) -> str:
        """Why it has too few rows, in words; empty where it has enough."""
        if self.rows >= self.floor.rows:
            return ""
        return (
            f"The pool of window {self.window} has {self.rows} rows, needs {self.floor.rows}: {self.floor.why}. "
            f"{self.floor.way_out}"
        )


def pools_of(
    windows: Sequence[str], history: str, members: Iterable[Member], floor: Callable[[int], Floor]
) -> Mapping[str, Pool]:
    """The pools of a market by window key.

    Parameters
    ----------
    windows
        Keys of all windows, in order.
    history
        As of `TeacherParameters.pool_history`.
    members
        Eligible pairs, symbol by symbol, windows in order.
    floor
        Gives the floor of a pool with rows of so many symbols.
    """
    members, reach = tuple(members), len(windows) if history == "all" else int(history)
    pools = {}
    for number, window in enumerate(windows):
        span = windows[max(0, number + 1 - reach) : number + 1]
        own = [member for member in members if member.key[1] in span]
        names = (f"{'|'.join(member.key)} {member.data}" for member in own)
        ends = list(accumulate(member.rows for member in own))
        spans = {member.key: slice(end - member.rows, end) for member, end in zip(own, ends, strict=True)}
        pools[window] = Pool(
            window,
            span,
            spans,
            ends[-1] if ends else 0,
            arrays_fingerprint((), (window, *names)),
            floor(len({symbol for symbol, _ in spans})),
        )
    return pools
