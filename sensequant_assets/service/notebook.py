"""The champion in a notebook: `from sensequant_assets import load_champions`."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.batch.prediction import as_object, newest_bars, predict
from sensequant_assets.batch.remote import Remote
from sensequant_assets.batch.serving import Standing, of_champion
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.service.given import of_given
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.journal import utc_now

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("time", "p", "p_raw", "distance", "flags", "unproven", "champion", "window", "trees_fingerprint", "why")


class Champions:
    """The students that serve a universe, one a symbol; made by `load_champions`."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def __repr__(self) -> str:
        """What serves, in words."""
        return f"<{self._standing.title}: {len(self.symbols)} symbols of {self._standing.market.universe.name}>"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the universe."""
        return self._standing.market.universe.symbols

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that the students know, in order."""
        return self._standing.pack.feature_names

    def features(self, day: date | str | None = None) -> "pd.DataFrame":
        """Features of the newest bar of each symbol, on a day or before it; one row a symbol that has one."""
        import pandas as pd

        bars = newest_bars(self._standing.market, self.symbols, _day(day))
        return pd.DataFrame(
            bars.features, index=pd.Index(bars.symbols, name="symbol"), columns=list(bars.feature_names)
        )

    def predict(self, asked: "pd.DataFrame | date | str | None" = None) -> "pd.DataFrame":
        """What the students say; nothing is written down.

        Parameters
        ----------
        asked
            A day, whose newest bars answer; features, one row a symbol, which is the index, and columns of which those
            in `feature_names` count; or nothing, for the newest bars that there are.

        Returns
        -------
        DataFrame
            A row for each symbol asked for. `p` is to act on, `p_raw` to rank by; `flags` says what is to be known of
            it. A symbol without a prediction has NaN there, and `why` says why.

        Raises
        ------
        UsageError
            No symbol has a bar then, or the features lack a column.
        """
        import pandas as pd

        if isinstance(asked, pd.DataFrame):
            lacking = [name for name in self.feature_names if name not in asked.columns]
            if lacking:
                raise UsageError(f"The features lack {', '.join(lacking)}: the students were made with them.")
            symbols = [str(symbol) for symbol in asked.index]
            table = asked[list(self.feature_names)].to_numpy(dtype=np.float64)
            rows, missing = of_given(self._standing, symbols, table)
        else:
            bars = newest_bars(self._standing.market, self.symbols, _day(asked))
            forecasts = predict(self._standing, bars, utc_now())
            rows, missing = [as_object(row) for row in forecasts.rows], dict(forecasts.missing)
            symbols = list(self.symbols)
        return _frame(symbols, rows, missing)


def load_champions(universe: Path | str | None = None, data_dir: Path | str | None = None) -> Champions:
    """The champion of a universe, on the bars that the settings name.

    Parameters
    ----------
    universe
        Universe file, in place of that of the environment, `.env` and the last batch.
    data_dir
        Data directory, likewise. If it is at an address, what this disk lacks is taken from there first.

    Raises
    ------
    UsageError
        There is no champion; or its record, its pack, its market or that address cannot be read.

    Examples
    --------
    Where a champion was promoted::

        from sensequant_assets import load_champions

        champions = load_champions()
        champions.predict().sort_values("p_raw").tail(10)
        champions.predict("2025-12-11")
        champions.predict(champions.features() * 1.1)
    """
    given = {"universe": universe, "data_dir": data_dir}
    settings = read_settings({name: str(value) for name, value in given.items() if value is not None}, remembered=True)
    if remote := Remote.of(settings):
        remote.hydrate()
    champions = ChampionStore(settings.champions_dir, settings.universe_name)
    return Champions(of_champion(settings, champions, settings.features))


def _day(asked: date | str | None) -> date | None:
    if isinstance(asked, str):
        try:
            return date.fromisoformat(asked)
        except ValueError:
            raise UsageError(f"{asked!r} is no day; spell it as 2025-12-11.") from None
    return asked.date() if isinstance(asked, datetime) else asked


def _frame(symbols: list[str], rows: list[dict[str, Any]], missing: dict[str, str]) -> "pd.DataFrame":
    """One row a symbol asked for, in that order; a symbol may be asked for twice, of other features."""
    import pandas as pd

    told, ordered = iter(rows), []
    for symbol in symbols:
        row = {"symbol": symbol, "why": missing[symbol]} if symbol in missing else {**next(told), "why": ""}
        ordered.append(row)
    frame = pd.DataFrame(ordered, columns=["symbol", *_COLUMNS]).set_index("symbol")
    return frame.assign(time=pd.to_datetime(frame["time"]), p=frame["p"].astype(float))
