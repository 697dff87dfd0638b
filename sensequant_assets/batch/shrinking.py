"""Whether a universe has lost symbols since the batch before it: a file that was cut would take their models away."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sensequant_assets.core.renames import Renames
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import BusyError, UsageError
from sensequant_assets.models.store import ModelStore
from sensequant_assets.sources.regular import reason
from sensequant_assets.telemetry.questions.events import UNIVERSE, latest_universe
from sensequant_assets.telemetry.records import Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

MOST_LOST = 0.1
"""Share of its symbols that a universe may lose. Twice a year an index of a hundred parts with about five; a download
or a query that is cut loses more."""

_NAMED = 12


@dataclass(frozen=True, slots=True)
class Shrink:
    """What a universe has lost since the batch before.

    Attributes
    ----------
    universe
        Its name.
    batch_id
        The batch before; empty where there is none.
    before
        How many symbols it had then.
    lost
        Those of them that it has no more, in alphabetical order.
    modelled
        Those of the lost that have models.
    """

    universe: str
    batch_id: str = ""
    before: int = 0
    lost: tuple[str, ...] = ()
    modelled: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether somebody must allow it."""
        return bool(self.modelled) or len(self.lost) > MOST_LOST * self.before

    def require(self, allowed: bool) -> None:
        """Refuse it unless it is allowed.

        Raises
        ------
        UsageError
            It is refused: names the lost symbols.
        """
        if self.refused and not allowed:
            raise UsageError(
                f"{self}: put them back, with a delisting_date where they trade no more, name new symbols in a file of "
                "--symbol-changes, or accept that with --allow-shrink or SENSEQUANT_ALLOW_SHRINK=true."
            )

    def __str__(self) -> str:
        models = len(self.modelled)
        have = f"; {models} {'has' if models == 1 else 'have'} models" if models else ""
        return (
            f"Universe {self.universe} has lost {len(self.lost)} of the {counted(self.before, 'symbol')} of batch "
            f"{self.batch_id} ({_shown(self.lost)}{have})"
        )


def shrink_of(
    telemetry: TelemetryStore,
    store: ModelStore,
    universe: Universe,
    renames: Renames = Renames(),  # noqa: B008  # nothing changes it
) -> Shrink:
    """Compare a universe with that of the batch before, as telemetry has it.

    Parameters
    ----------
    telemetry
        Where batches tell their universe.
    store
        Models of the universe.
    universe
        As it is now; what a universe of an earlier day leaves out is not lost.
    renames
        A symbol whose company has another one in the universe is not lost.

    Raises
    ------
    BusyError, UsageError
        Telemetry cannot say what the universe was, or the directory of models which symbols have some; neither is a
        word that there is nothing to lose.
    """
    try:
        found = latest_universe(telemetry, universe.name)
    except BusyError as error:
        raise BusyError(f"Nobody can tell whether universe {universe.name} has lost symbols: {error}") from error
    if found is None:
        return Shrink(universe.name)
    batch_id, before = found
    kept = {*universe.symbols, *universe.later}
    companies = set(map(renames.newest, kept))
    gone = set(before) - kept
    lost = tuple(sorted(symbol for symbol in gone if renames.newest(symbol) not in companies))
    try:
        modelled = tuple(filter(store.has_models, lost))
    except OSError as error:
        raise UsageError(
            f"Nobody can tell whether the lost symbols of universe {universe.name} have models: {reason(error)}."
        ) from error
    return Shrink(universe.name, batch_id, len(before), lost, modelled)


def universe_told(universe: Universe, shrink: Shrink | None) -> Event:
    """The universe of a run as the journal holds it, by which the next batch is compared, and what it has lost."""
    lost = shrink.lost if shrink else ()
    message = f"{shrink}." if lost else f"Universe {universe.name} has {counted(len(universe.symbols), 'symbol')}."
    return Event(
        level="warning" if lost else "info",
        kind=UNIVERSE,
        message=message,
        data={
            "universe": universe.name,
            "symbols": list(universe.symbols),
            "listings": {one.symbol: known for one in universe.listings if (known := _known(one))},
            "lost": list(lost),
            "allowed": bool(shrink and shrink.refused),
            "as_of": universe.as_of and universe.as_of.isoformat(),
        },
    )


def _known(listing: Listing) -> dict[str, str]:
    """What is known of a listing, as JSON values."""
    values = {name: getattr(listing, name) for name in Listing.__slots__ if name != "symbol"}
    return {name: str(value) for name, value in values.items() if value}


def universe_read(told: Mapping[str, Any]) -> Universe | None:
    """The universe that `universe_told` has told; None where it told the symbols alone."""
    if "listings" not in told:
        return None
    listings = []
    for symbol in told["symbols"]:
        known = told["listings"].get(symbol, {})
        days = {name: date.fromisoformat(text) for name, text in known.items() if name.endswith("_date")}
        listings.append(Listing(symbol, **known | days))
    as_of = told["as_of"] and date.fromisoformat(told["as_of"])
    return Universe(told["universe"], tuple(listings), as_of=as_of)


def _shown(symbols: Iterable[str]) -> str:
    names = list(symbols)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
