"""Bars as a batch has read them: found again, by their digest, in the data directory or where they came from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from sensequant_assets.core.bars import PRICES, Bars
from sensequant_assets.core.provenance import arrays_fingerprint
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.market.tables import BARS
from sensequant_assets.sources.notes import Note

_COLUMNS = ("time", *PRICES, "volume")


@dataclass(frozen=True, slots=True)
class BarsDigest:
    """Which bars of a symbol were read.

    Attributes
    ----------
    bars
        How many.
    digest
        Of their times and numbers, adjusted as models read them.
    bad
        Rows that were put aside beside them.
    """

    bars: int
    digest: str
    bad: int = 0

    @classmethod
    def of(cls, bars: Bars) -> Self:
        """Of bars as they are."""
        return cls(len(bars), _digest(bars), len(bars.delivery.bad))

    def find_in(self, bars: Bars) -> Bars | None:
        """These bars among later ones of their symbol; None where they are others."""
        if len(bars) < self.bars:
            return None
        own = replace(bars, **{name: getattr(bars, name)[: self.bars] for name in _COLUMNS})
        return own if _digest(own) == self.digest else None


def _digest(bars: Bars) -> str:
    return arrays_fingerprint((np.ascontiguousarray(getattr(bars, name)) for name in _COLUMNS), _COLUMNS)


def bars_of_table(symbol: str, table: pa.Table) -> Bars:
    """Bars of a table with the columns of `BARS`; `OSError` where it has others."""
    if table.column_names != BARS.names:
        raise OSError(f"the table of {symbol} has the columns {', '.join(table.column_names)}")
    columns: dict[str, Any] = {name: table[name].to_numpy() for name in BARS.names}
    return Bars(symbol=symbol, **columns | {"time": columns["time"].astype("datetime64[s]")})


@dataclass
class RecordedBars:
    """Bars that a batch has read, of which each symbol's are found by their digest or not at all.

    Parameters
    ----------
    told
        Which bars the batch has read, by symbol; those of others it could not read either.
    places
        Where to look for them, in order: each gives the bars of a symbol, or None.

    Attributes
    ----------
    missing
        Symbols whose bars are nowhere any longer.
    """

    told: Mapping[str, BarsDigest]
    places: Sequence[Callable[[Listing], Bars | None]]
    missing: set[str] = field(default_factory=set)

    def bars(self, listing: Listing) -> Bars:
        """The bars of one symbol.

        Raises
        ------
        WindowError
            Of kind `corrupt_bars` where the batch could not read them, `source_unavailable` where they are gone.
        """
        symbol = listing.symbol
        if symbol not in self.told:
            raise WindowError(FailureKind.CORRUPT_BARS, f"The batch has read no bars of {symbol}.")
        for look in self.places:
            bars = look(listing)
            found = None if bars is None else self.told[symbol].find_in(bars)
            if found is not None and len(found.delivery.bad) == self.told[symbol].bad:
                return found
        self.missing.add(symbol)
        raise WindowError(FailureKind.SOURCE_UNAVAILABLE, f"The bars of {symbol} that the batch has read are gone.")

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nothing: no file is read here that could hold anybody's bars."""
        return ()

    @property
    def notes(self) -> Sequence[Note]:
        """Nothing that the batch has not said itself."""
        return ()
