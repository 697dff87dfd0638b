"""A point of a search for parameters, trained and judged on all windows but the last ones, which are locked away.

The market of a search ends where the locked windows begin: there is no bar of theirs in it, and so no label. Every
trial is trained window by window in the order of time by the code that trains batches, in a store of its own that is
removed afterwards, and stands in the table `trials` before the search learns what it came to.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from math import isfinite
from pathlib import Path

import numpy as np

from sensequant_assets.batch.evaluation import Gathered, Subject, gather
from sensequant_assets.batch.examination import Examination, examine, trial_of
from sensequant_assets.batch.made_with import code, judging
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Options, Run
from sensequant_assets.batch.space import Axis, Candidate, Value
from sensequant_assets.core.judging.selection import ratio
from sensequant_assets.core.judging.walk_forward import Judgement, judge_forecasts
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings, absolute_market
from sensequant_assets.telemetry.journal import Journal, new_name, utc_now
from sensequant_assets.telemetry.questions.trials import past_trials
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

FEWEST_WINDOWS = 3
"""Windows that a search needs beside the locked ones: the models of two of them are judged, each on the next."""

_STUDENT = "student"


@dataclass(frozen=True)
class Search:
    """What a search is asked for.

    Attributes
    ----------
    name
        Of the search, and of the preset that it ends with.
    base
        What is not tuned, and the first point that is tried where the space holds it.
    params
        What options say of teacher and student.
    axes
        What is tuned.
    locked
        How many of the last windows it never sees.
    trials
        How many points it tries, those of before included.
    """

    name: str
    base: Candidate
    params: tuple[Mapping[str, str], Mapping[str, str]]
    axes: Sequence[Axis]
    locked: int
    trials: int

    @property
    def settings(self) -> Settings:
        """Of the market."""
        return self.base.settings

    @cached_property
    def locked_from(self) -> date:
        """First day that the search never sees.

        Raises
        ------
        UsageError
            Too few windows are left.
        """
        windows = self.settings.windows
        left = len(windows) - self.locked
        if left < FEWEST_WINDOWS:
            raise UsageError(
                f"Of {counted(len(windows), 'window')} {self.locked} are locked away, and {max(left, 0)} are left; a "
                f"search needs {FEWEST_WINDOWS}. Lock fewer with --locked, or give more windows with --start and --end."
            )
        return windows[left].start


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one point.

    Attributes
    ----------
    number
        Of the trial.
    done, trials
        The how manieth it is that came to an end, and of how many.
    values
        What was tuned, by name.
    state
        `whole`, `pruned`, `failed`, or `again` of a point that was tried before.
    why
        Of a failure; empty otherwise.
    windows
        How many windows' models were judged, and of how many.
    rank_ic, low, high
        Of the student, by date, with its interval; NaN where there is none.
    rows, dates
        On how many.
    """

    number: int
    done: int
    trials: int
    values: Mapping[str, Value]
    state: str
    why: str = ""
    windows: tuple[int, int] = (0, 0)
    rank_ic: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    rows: int = 0
    dates: int = 0


@dataclass
class Bench:
    """Trains and judges points of a search.

    Parameters
    ----------
    search, telemetry
        What is asked for, and where trials are kept.
    directory
        Where the search is kept.
    """

    search: Search
    telemetry: TelemetryStore
    directory: Path
    _first: Market | None = field(default=None, repr=False)

    @property
    def scratch(self) -> Path:
        """Where the models of one point lie while it is judged."""
        return self.directory / "scratch"

    @cached_property
    def identity(self) -> dict[str, str]:
        """What must be the same for points to be compared, each as text."""
        market = self.market(self.search.base)
        for symbol in market.universe.symbols:
            market.plan(symbol)
        read = {symbol: f"{each.bars} {each.digest}" for symbol, each in market.bars_read.items()}
        tuned = {axis.field for axis in self.search.axes if axis.owner == "settings"}
        fixed = absolute_market(self.search.settings.market) | {"end": str(self.search.locked_from)}
        base: dict[str, object] = {
            owner: {
                name: value
                for name, value in getattr(self.search.base, owner).model_dump().items()
                if (owner, name) not in {(axis.owner, axis.field) for axis in self.search.axes}
            }
            for owner in MODELS
        }
        return {
            "space": ", ".join(map(str, self.search.axes)),
            "locked windows": f"{self.search.locked} from {self.search.locked_from}",
            "market": parameters_fingerprint({name: value for name, value in fixed.items() if name not in tuned}),
            "features": "tuned" if "features" in tuned else ", ".join(market.features),
            "bars": parameters_fingerprint(read),
            "parameters that are not tuned": parameters_fingerprint(base),
            "code": parameters_fingerprint({"code": code(), "judging": judging()}),
        }

    def market(self, candidate: Candidate, *, whole: bool = False) -> Market:
        """The market of a point as the search sees it, or the whole one."""
        market = Market.open(candidate.settings, candidate.teacher, candidate.student, candidate.settings.features)
        return market if whole else market.until(self.search.locked_from)

    @property
    def windows(self) -> list[str]:
        """Keys of the windows whose models a search judges, each on the next window."""
        return [window.key for window in self.search.settings.windows if window.end <= self.search.locked_from][:-1]

    def judged(
        self, candidate: Candidate, number: int, go_on: Callable[[int, float], bool]
    ) -> tuple[Judgement, int, bool]:
        """Train and judge a point window by window, and write it down as a trial.

        Parameters
        ----------
        candidate
            The point.
        number
            Of the trial.
        go_on
            Called with how many windows are judged and the rank IC so far; False ends it.

        Returns
        -------
        tuple of Judgement, int and bool
            Of the windows that were judged, how many they were, and whether they are all.

        Raises
        ------
        UsageError
            A window has no student whose words could be judged.
        """
        market, subject = self.market(candidate), _subject(candidate)
        with self._store(market) as store:
            weighed = dates = done = 0.0
            for done, window in enumerate(self.windows, start=1):
                self._train(market, candidate, store, [window])
                found = _judged(gather(subject, market, store, windows=[window]), self.search.settings.cost_bp)
                score = next((one for one in found.scores if one.name == _STUDENT), None) if found else None
                if score is None or not isfinite(score["rank_ic"].value):
                    raise UsageError(f"Window {window} has no student whose ranks could be judged.")
                weighed, dates = weighed + score.dates * score["rank_ic"].value, dates + score.dates
                if not go_on(int(done), weighed / dates):
                    break
            gathered = gather(subject, market, store, windows=self.windows[: int(done)])
        judged = _judged(gathered, self.search.settings.cost_bp)
        if judged is None:
            raise UsageError("No row could be judged.")
        self._note(subject, market, gathered, judged, number)
        return judged, int(done), done == len(self.windows)

    def verdict(self, candidate: Candidate) -> tuple[Examination, Examination]:
        """The best point on the rows that chose it, and on the locked ones, which the search has not seen."""
        market, subject = self.market(candidate, whole=True), _subject(candidate)
        early, late = self.windows, [key for key in market.window_keys if key not in self.windows]
        cut = self.market(candidate)
        with self._store(market) as store:
            self._train(cut, candidate, store, early)
            chosen = gather(subject, cut, store, windows=early)
            self._train(market, candidate, store, late)
            kept = gather(subject, market, store, windows=late)
        cost = self.search.settings.cost_bp
        past = past_trials(self.telemetry, subject.settings.universe_name, MODELS)
        spread = [ratio(np.array([*trial.series.values()])) for trial in past if trial.series]
        return (
            examine(subject, chosen, cost, self.telemetry),
            examine(subject, kept, cost, self.telemetry, ratios=[one for one in spread if isfinite(one)]),
        )

    @contextmanager
    def _store(self, market: Market) -> Iterator[ModelStore]:
        # What a killed process has left is of another point.
        shutil.rmtree(self.scratch, ignore_errors=True)
        try:
            yield ModelStore(self.scratch, market.universe.name)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _train(self, market: Market, candidate: Candidate, store: ModelStore, windows: Sequence[str]) -> None:
        """Train windows as a batch does; what it tells is of no batch, and goes with the models."""
        settings = self.search.settings
        run = Run(
            market=market,
            keys=market.keys(windows=windows),
            models=MODELS,
            store=store,
            journal=Journal(self.scratch / "shards", batch_id="", run_id=windows[0], clock=utc_now),
            identity=Identity("", windows[0]),
            teacher=candidate.teacher,
            student=candidate.student,
            options=Options(settings.worker_count, settings.window_timeout_s, settings.max_failure_rate),
        )
        for judged in run.carry_out(_exhausted):
            if judged.verdict.exceeded:
                verdict = judged.verdict
                raise UsageError(f"{verdict.failed} of {verdict.attempted} {verdict.model}s failed.")

    def _note(self, subject: Subject, market: Market, gathered: Gathered, judged: Judgement, number: int) -> None:
        name = new_name()
        about = {"search": self.search.name, "trial": number, "locked_from": str(self.search.locked_from)}
        with Journal(self.telemetry.shards, batch_id="", run_id="", clock=utc_now) as journal:
            journal.append_many(
                trial_of(
                    name, subject, judged, gathered.windows, score, score.as_json() | about, features=market.features
                )
                for score in judged.scores
                if score.rows
            )


def _exhausted(_model: str, outcomes: Iterator[Outcome]) -> None:
    deque(outcomes, maxlen=0)


def _subject(candidate: Candidate) -> Subject:
    return Subject("", candidate.settings, candidate.teacher, candidate.student)


def _judged(gathered: Gathered, cost_bp: float) -> Judgement | None:
    """What teachers and students are worth; None where none has a row."""
    spoken = [each for each in gathered.forecasts if each.name in MODELS]
    return judge_forecasts(gathered.rows, spoken, cost_bp=cost_bp) if len(gathered.rows) and spoken else None
