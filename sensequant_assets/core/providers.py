"""Providers of features: functions from bars to named columns, of which that of this package is the first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.features import FEATURE_NAMES, causal_features
from sensequant_assets.core.sessions import INTRADAY_NAMES, intraday_features
from sensequant_assets.errors import FailureKind, WindowError


@dataclass(frozen=True, slots=True)
class Provider:
    """Where columns of features come from.

    Attributes
    ----------
    name
        As records and errors name it.
    columns
        From the whole history of a symbol, and the first day of its life on the exchange (None if it is not known), to
        columns by name, each of shape (bars,); NaN where a value is missing.
    digest
        Of its source; empty for this package, whose source has the code's fingerprint.
    """

    name: str
    columns: Callable[[Bars, date | None], Mapping[str, Floats]]
    digest: str = ""

    @property
    def identity(self) -> str:
        """Name and digest."""
        return f"{self.name} {self.digest}".strip()


@dataclass(frozen=True, slots=True)
class Features:
    """Columns of all providers.

    Attributes
    ----------
    names
        Of the columns, provider by provider.
    table
        Shape (bars, columns).
    """

    names: tuple[str, ...]
    table: Floats


def features_of(providers: Sequence[Provider], bars: Bars, listed_since: date | None) -> Features:
    """All features of a symbol.

    Parameters
    ----------
    providers
        In the order of their columns.
    bars
        Its whole history.
    listed_since
        First day of the symbol's life on the exchange; None if it is not known.

    Raises
    ------
    WindowError
        Of kind `code_error`: two providers have a column of one name, in whatever case; or what a provider raises.
    """
    columns: dict[str, Floats] = {}
    whose: dict[str, str] = {}
    for provider in providers:
        for name, values in provider.columns(bars, listed_since).items():
            if other := whose.get(name.lower()):
                raise WindowError(
                    FailureKind.CODE_ERROR,
                    f"The features {other} and {provider.name} both have a column {name}. Rename one.",
                )
            whose[name.lower()], columns[name] = provider.name, values
    table = np.column_stack(list(columns.values())) if columns else np.empty((len(bars), 0))
    return Features(tuple(columns), table)


def _standard(bars: Bars, listed_since: date | None) -> Mapping[str, Floats]:
    if bars.intraday:
        return dict(zip(INTRADAY_NAMES, intraday_features(bars).T, strict=True))
    return dict(zip(FEATURE_NAMES, causal_features(bars, listed_since).T, strict=True))


STANDARD = Provider("standard", _standard)
"""The features of this package: `core.features` of daily bars, `core.sessions` of intraday ones."""
