"""A stress test of the students that serve, or of a batch: periods of the past, and shocks to the newest bars."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sensequant_assets.batch.backtesting import portfolio_of, prices_of
from sensequant_assets.batch.evaluation import Subject, gather
from sensequant_assets.batch.prediction import Flag, Predictions, newest_bars, predict
from sensequant_assets.batch.serving import Standing
from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.judging.backtest import Terms
from sensequant_assets.core.judging.periods import Period, read_periods
from sensequant_assets.core.judging.stress import Endured, Limits, Shock, State, bear_period, bear_shock
from sensequant_assets.core.judging.walk_forward import Forecast, Rows, judge_forecasts
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore, Forecasts
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.text import counted

_DOUBTS = (Flag.STALE, Flag.OUT_OF_RANGE, Flag.BAD_ROWS)
"""Flags that say that bars, and not models, are in doubt."""


@dataclass(frozen=True, slots=True)
class Stressed:
    """What a stress test found.

    Attributes
    ----------
    title
        Whose students, in words.
    tests
        Periods, then shocks.
    remarks
        What they stand on.
    """

    title: str
    tests: Sequence[Endured]
    remarks: Sequence[str]

    def count(self, state: State, kind: str = "") -> int:
        """How many tests came to a state."""
        return sum(each.state is state and kind in ("", each.kind) for each in self.tests)

    @property
    def failed(self) -> bool:
        """Whether any test failed."""
        return self.count(State.FAILED) > 0

    @property
    def passed(self) -> bool:
        """Whether none failed and a period passed: where none is covered, nothing is known of any."""
        return not self.failed and self.count(State.PASSED, "period") > 0

    def __str__(self) -> str:
        of = {kind: sum(each.kind == kind for each in self.tests) for kind in ("period", "shock")}
        passed = " and ".join(
            f"{self.count(State.PASSED, kind)} of {counted(number, kind)}" for kind, number in of.items()
        )
        partly, lacking = self.count(State.PARTLY), self.count(State.NOT_COVERED)
        unknown = ": nobody knows what would have been" if partly + lacking else ""
        return (
            f"{passed} passed, {self.count(State.FAILED)} failed; {partly} {'is' if partly == 1 else 'are'} covered in "
            f"part and {lacking} not at all{unknown}."
        )

    def as_json(self) -> dict[str, Any]:
        """The whole as one JSON object."""
        return {
            "standing": self.title, "passed": self.passed, "failed": self.count(State.FAILED),
            "not_covered": self.count(State.NOT_COVERED), "covered_in_part": self.count(State.PARTLY),
            "tests": [each.as_json() for each in self.tests], "remarks": list(self.remarks),
        }  # fmt: skip


Past = tuple[Rows, Floats]
"""Walk-forward rows, and what students said of them."""


def past_of_champion(standing: Standing, champions: ChampionStore) -> Past:
    """What the students of a champion said of rows before these came true, as it keeps them.

    Raises
    ------
    UsageError
        They cannot be read.
    """
    champion = next((each for each in champions.history() if each.version == standing.champion), None)
    if champion is None:
        raise UsageError(f"There is no version {standing.champion} of universe {champions.universe} any longer.")
    return _rows_of(standing, champions.forecasts(champion))


def past_of_batch(standing: Standing, subject: Subject, models: ModelStore) -> Past:
    """What the students of a batch say of the windows after theirs.

    Raises
    ------
    UsageError
        None of them has a test row.
    """
    gathered = gather(subject, standing.market, models)
    said = next((each.raw for each in gathered.forecasts if each.name == "student"), np.empty(0))
    known = ~np.isnan(said)
    if not known.any():
        raise UsageError(" ".join([f"Batch {subject.batch_id} has no student to test.", *gathered.remarks]))
    return gathered.rows.where(known), said[known]


def stress(
    standing: Standing,
    past: Past,
    settings: Settings,
    tell: Callable[[str], None] = lambda _name: None,
) -> Stressed:
    """Test students.

    Parameters
    ----------
    standing
        Whose predictions of the newest bars are asked under shocks.
    past
        What they said of rows of the past; one at least.
    settings
        Periods, limits, and how a portfolio is held; half of the symbols are its most.
    tell
        Called with what is tested next.

    Raises
    ------
    UsageError
        There is nothing to predict from, or nothing to choose from.
    """
    limits = Limits(settings.stress_max_drawdown, settings.stress_min_answered, settings.stress_max_change)
    tell("periods")
    top = max(1, min(settings.top, len(np.unique(past[0].symbol)) // 2))
    terms = Terms(top, standing.market.recipe.horizon, settings.cost_bp, settings.price_band)
    lived = _periods(standing, past, terms, read_periods(settings.stress_periods), limits)
    struck = list(_shocks(standing, limits, tell))
    rows = past[0]
    dates = np.unique(rows.time.astype("datetime64[D]"))
    remarks = [
        f"Periods: {counted(len(rows), 'prediction')} of {counted(len(dates), 'date')}, {dates[0]} to {dates[-1]}, "
        "each by the model of the window before. The portfolio holds "
        f"{counted(top, 'symbol')} net of {settings.cost_bp:g} bp a round trip; a fall is of one path, "
        "and has no interval. The interval of a rank IC is how far means of spans of so many dates "
        "lie from that of all.",
        "Shocks: the newest bar of each symbol, predicted again from bars that were changed; nothing of it is kept.",
    ]
    return Stressed(standing.title, [*lived, *struck], remarks)


def _periods(
    standing: Standing, past: Past, terms: Terms, periods: Iterable[Period], limits: Limits
) -> Sequence[Endured]:
    rows, said = past
    held = portfolio_of(standing.market, rows, said, terms)
    judged = judge_forecasts(rows, [Forecast("student", said)], cost_bp=terms.cost_bp)
    ics = judged.scores[0].daily["rank_ic"]
    sessions = np.unique(prices_of(standing.market, set(rows.symbol.tolist())).time.astype("datetime64[D]"))
    return [bear_period(each, judged.calendar, ics, held, sessions, limits) for each in periods]


def _shocks(standing: Standing, limits: Limits, tell: Callable[[str], None]) -> Iterable[Endured]:
    market, now = standing.market, utc_now()
    calm = predict(standing, newest_bars(market, market.universe.symbols), now)
    said = {row.symbol: float(row.p or 0.0) for row in calm.rows}
    if not said:
        raise UsageError(f"No symbol has a prediction to be shocked. {next(iter(calm.missing.values()), '')}".strip())
    # Not all of the symbols whose answer was calm have to be fresh: what is new under a shock counts.
    known = _doubted(calm)
    foremost = max(said, key=lambda symbol: said[symbol])
    for shock in Shock:
        tell(shock)
        struck = shock.strikes(list(said), foremost)
        other = market.changed(partial(_struck, shock=shock, symbols=frozenset(struck)))
        shaken = predict(standing, newest_bars(other, market.universe.symbols), now)
        after, doubted = {row.symbol: float(row.p or 0.0) for row in shaken.rows}, _doubted(shaken)
        yield bear_shock(
            shock,
            np.array([said[symbol] for symbol in struck]),
            np.array([after.get(symbol, np.nan) for symbol in struck]),
            np.array([bool(doubted.get(symbol, set()) - known[symbol]) for symbol in struck]),
            limits,
        )


def _struck(bars: Bars, shock: Shock, symbols: frozenset[str]) -> Bars:
    return shock.on(bars) if bars.symbol in symbols else bars


def _doubted(said: Predictions) -> dict[str, set[str]]:
    """Flags of doubtful bars by symbol."""
    return {row.symbol: {*str(row.flags).split(", ")} & {*_DOUBTS} for row in said.rows}


def _rows_of(standing: Standing, forecasts: Forecasts) -> Past:
    """Kept forecasts as rows; those of symbols that have left the universe, or whose bars are gone, are none."""
    market = standing.market
    number = {each.symbol: market.universe.symbols.index(each.symbol) for each in market.readable_samples()}
    known = np.isin(forecasts.symbol, list(number))
    if not known.any():
        raise UsageError(
            f"Of no symbol of {standing.title} that was judged at its promotion are there bars any longer."
        )
    rows = Rows(
        time=forecasts.time[known].astype("datetime64[s]"),
        symbol=np.array([number[symbol] for symbol in forecasts.symbol[known].tolist()], dtype=np.int64),
        window=np.unique(forecasts.window[known], return_inverse=True)[1].astype(np.int64),
        label=forecasts.label[known],
        forward_return=forecasts.forward_return[known],
        training_rate=forecasts.training_rate[known],
        horizon=market.recipe.horizon,
    )
    return rows, forecasts.raw[known]
