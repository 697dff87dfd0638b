"""A backtest of a batch: its walk-forward predictions as a portfolio, beside its universe and among all trials."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from sensequant_assets.batch.evaluation import Gathered, Subject, gather
from sensequant_assets.batch.examination import of_dates, series_of
from sensequant_assets.batch.made_with import judging
from sensequant_assets.batch.rows import bars_event
from sensequant_assets.core.bars import Bars, Floats, day_of
from sensequant_assets.core.judging.backtest import Backtest, Holding, Prices, Terms, backtest, drawdown
from sensequant_assets.core.judging.bootstrap import COVERAGE, or_null
from sensequant_assets.core.judging.selection import Overfitting, Sharpe, overfitting, ratio, sharpe
from sensequant_assets.core.judging.walk_forward import Forecast, Rows
from sensequant_assets.core.parameters import MODELS, ModelKind
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import absolute_market
from sensequant_assets.telemetry.journal import Journal, new_name, utc_now
from sensequant_assets.telemetry.questions.trials import PastTrial, latest_findings, past_trials
from sensequant_assets.telemetry.records import Evaluation, Trial
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

_TRIAL = "backtest "
"""How the names of backtests begin in the table `trials`."""

_FORM = 1
"""Of the findings: with another one those of before are not read."""


@dataclass(frozen=True, slots=True)
class Backtested:
    """What a backtest of a batch found.

    Attributes
    ----------
    subject, gathered, symbols, model
        Whose predictions of which rows, the names of the symbols, and which model's.
    found
        The portfolio beside its universe.
    sharpe
        Of its net return above the universe's, a horizon.
    trials
        How many portfolios there were to choose from on this universe, this one included.
    overfitting
        Of those that keep a series of its dates; None where they are too few.
    """

    subject: Subject
    gathered: Gathered
    symbols: Sequence[str]
    model: ModelKind
    found: Backtest
    sharpe: Sharpe
    trials: int
    overfitting: Overfitting | None

    def as_json(self) -> dict[str, Any]:
        """The whole as one JSON object; a null is a number that the bars cannot answer."""
        found, rows, chosen = self.found, self.gathered.rows, self.overfitting
        windows = np.unique(rows.window[~np.isnan(_of(self.gathered, self.model).raw)]).tolist()
        resampling, orders = found.resampling, found.portfolio.orders
        return {
            "batch_id": self.subject.batch_id, "universe": self.subject.settings.universe_name, "model": self.model,
            "top": found.terms.top, "horizon": found.terms.horizon, "cost_bp": found.terms.cost_bp,
            "price_band": found.terms.band, "label": self.subject.settings.label,
            "first": str(day_of(found.calendar[0])), "last": str(day_of(found.calendar[-1])),
            "dates": len(found.calendar), "blocks": resampling.blocks, "block_length": resampling.block,
            "period": resampling.horizon, "coverage": COVERAGE, "windows": len(windows), "symbols": len(self.symbols),
            "signals": found.signals, "signal_dates": found.signal_dates,
            **found.net.named("excess"), **found.gross.named("excess_before_costs"),
            "portfolio": self._side(found.portfolio, found.equity),
            "benchmark": self._side(found.universe, found.benchmark),
            "turnover": found.turnover, "buys": orders.buys, "sells": orders.sells, "costs": orders.costs,
            "unfilled": {
                name: getattr(orders, name) for name in ("locked_buys", "locked_sells", "absent_buys", "absent_sells")
            },
            "beyond_band": [
                {"symbol": self.symbols[symbol], "date": str(day_of(found.prices.time[at]))}
                for at, symbol in orders.beyond
            ],
            "passed_over": found.prices.passed_over,
            **self.sharpe.ratio.named("sharpe"), "periods": self.sharpe.periods,
            "probabilistic_sharpe": or_null(self.sharpe.probabilistic),
            "deflated_sharpe": or_null(self.sharpe.deflated), "trials": self.trials,
            "overfitting": None if chosen is None else chosen.probability,
            "overfitting_trials": None if chosen is None else chosen.trials,
            "overfitting_periods": None if chosen is None else chosen.periods,
            "course": {
                "date": found.calendar.astype(str).tolist(), "portfolio": found.equity.round(6).tolist(),
                "benchmark": found.benchmark.round(6).tolist(),
            },
            "remarks": list(self.gathered.remarks),
        }  # fmt: skip

    def _side(self, held: Holding, equity: Floats) -> dict[str, Any]:
        """What portfolio or universe came to."""
        fall, calendar = drawdown(equity), self.found.calendar
        return {
            "total_return": float(equity[-1] - 1), "max_drawdown": fall.depth, "peak": str(day_of(calendar[fall.peak])),
            "trough": str(day_of(calendar[fall.trough])),
            "recovered": None if fall.recovered is None else str(day_of(calendar[fall.recovered])),
            "stranded": [self.symbols[symbol] for symbol in held.stranded],
        }  # fmt: skip


def backtest_of(
    subject: Subject,
    market: Market,
    models: ModelStore,
    telemetry: TelemetryStore,
    *,
    model: ModelKind,
    top: int,
    cost_bp: float,
    band: float,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
    before: datetime | None = None,
) -> Backtested:
    """Hold what the models of a batch thought most of, each on the window after its own.

    Parameters
    ----------
    subject, market, models
        The batch, its market, open, and where its models lie.
    telemetry
        Knows what was tried before.
    model
        Whose predictions.
    top, cost_bp, band
        As of `Terms`.
    tell
        Called with how many symbols are read, and of how many.
    before
        Time from which on no trial is known; None for all.

    Raises
    ------
    UsageError
        No such model is left, or nothing is left to choose from.
    """
    gathered = gather(subject, market, models, tell=tell)
    said, rows = _of(gathered, model).raw, gathered.rows
    known = ~np.isnan(said)
    if not known.any():
        raise UsageError(" ".join([f"Batch {subject.batch_id} has no {model} to test.", *gathered.remarks]))
    found = portfolio_of(market, rows.where(known), said[known], Terms(top, market.recipe.horizon, cost_bp, band))
    past = past_trials(telemetry, subject.settings.universe_name, MODELS, beginning=_TRIAL, before=before)
    return _among_trials(subject, gathered, market.universe.symbols, model, found, past)


def portfolio_of(market: Market, rows: Rows, said: Floats, terms: Terms) -> Backtest:
    """Hold what was said of rows on the bars of their market.

    Raises
    ------
    UsageError
        All symbols together would be held.
    """
    present = set(rows.symbol.tolist())
    if terms.top >= len(present):
        raise UsageError(
            f"The {terms.top} best of {counted(len(present), 'symbol')} are all of them, and no choice. Give fewer "
            "with --top or SENSEQUANT_TOP."
        )
    return backtest(prices_of(market, present), rows.time, rows.symbol, said, terms)


def prices_of(market: Market, present: Collection[int]) -> Prices:
    """Prices of a market, without those of symbols of which nothing was said; `present` are the others' numbers."""
    symbols = market.universe.symbols
    return Prices.of([market.bars(name) if at in present else Bars.empty(name) for at, name in enumerate(symbols)])


def _among_trials(
    subject: Subject,
    gathered: Gathered,
    symbols: Sequence[str],
    model: ModelKind,
    found: Backtest,
    past: Sequence[PastTrial],
) -> Backtested:
    """Hold a portfolio against all that somebody could have chosen in its place."""
    portfolios = _portfolios(subject, model, found, past)
    series = [daily for told in portfolios if (daily := of_dates(told, found.calendar)) is not None]
    ratios = [value for daily in series if np.isfinite(value := ratio(daily))]
    return Backtested(
        subject=subject,
        gathered=gathered,
        symbols=symbols,
        model=model,
        found=found,
        sharpe=sharpe(found.by_period, found.resampling, len(portfolios), ratios),
        trials=len(portfolios),
        overfitting=overfitting(series, found.resampling.horizon),
    )


def backtest_findings(telemetry: TelemetryStore, subject: Subject) -> dict[str, Any] | None:
    """What the last backtest of a batch as it is found; None where there is none."""
    return latest_findings(telemetry, subject.batch_id, backtest_fingerprint(subject))


def note(telemetry: TelemetryStore, tested: Backtested) -> dict[str, Any]:
    """Write what was found, and the portfolio as a trial; gives the findings.

    Parameters and model are tried once more with each number of symbols that is held; what orders cost is no choice.
    """
    subject, found, told, now = tested.subject, tested.found, tested.as_json(), utc_now()
    name, universe, windows = new_name(), subject.settings.universe_name, tested.gathered.windows
    with Journal(telemetry.shards, batch_id=subject.batch_id, run_id="", clock=utc_now) as journal:
        journal.append(
            Trial(
                evaluation=name,
                score=_trial(tested.model, found.terms.top),
                universe=universe,
                first_window=windows[0].start,
                last_window=windows[-1].start,
                first_date=day_of(found.calendar[0]),
                last_date=day_of(found.calendar[-1]),
                rows=found.signals,
                dates=len(found.calendar),
                blocks=found.resampling.blocks,
                block_length=found.resampling.block,
                metrics={key: value for key, value in told.items() if key != "course"},
                series=series_of(found.by_period, found.calendar),
                parameters_fingerprint=subject.parameters,
                evaluated_at=now,
            )
        )
        journal.append(
            Evaluation(
                evaluation=name,
                universe=universe,
                subject_fingerprint=backtest_fingerprint(subject),
                findings=told,
                evaluated_at=now,
            )
        )
        places = absolute_market(subject.settings.market)
        journal.append(bars_event(tested.gathered.bars_read, places, judging(), evaluation=name))
    return told


def _of(gathered: Gathered, model: ModelKind) -> Forecast:
    silent = Forecast(model, np.full(len(gathered.rows), np.nan))
    return next((each for each in gathered.forecasts if each.name == model), silent)


def backtest_fingerprint(subject: Subject) -> str:
    """Identity of what backtests of a batch are of: models, parameters and the code that judges."""
    trees = {" ".join(key): trees for key, trees in (subject.trees or {}).items()}
    return parameters_fingerprint(
        {"backtest": _FORM, "trees": trees, "parameters": subject.parameters, "judging": judging()}
    )


def _trial(model: str, top: int) -> str:
    return f"{_TRIAL}{model} top {top}"


def _portfolios(
    subject: Subject, model: ModelKind, found: Backtest, past: Sequence[PastTrial]
) -> list[Mapping[str, float]]:
    """Series of every portfolio that somebody has looked at, this one's included.

    Parameters and model whose top decile was evaluated count once; where they were backtested, once for each number of
    symbols, and the decile no more.
    """
    tried: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for each in past:
        kind = each.score.removeprefix(_TRIAL).split()[0]
        tried.setdefault((each.parameters_fingerprint, kind), {})[each.score] = each.series
    told = series_of(found.by_period, found.calendar)
    own = dict(zip(told["date"], told["top_return_net"], strict=True))
    tried.setdefault((subject.parameters, model), {})[_trial(model, found.terms.top)] = own
    # Sums depend on the order of what is summed.
    return [
        series
        for _, portfolios in sorted(tried.items())
        for score, series in sorted(portfolios.items())
        if score not in MODELS or len(portfolios) == 1
    ]
