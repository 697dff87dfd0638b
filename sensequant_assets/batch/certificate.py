"""The certificate of a batch: every number of its report computed again from bars and models, and what differs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sensequant_assets.batch.backtesting import backtest_fingerprint, backtest_of
from sensequant_assets.batch.briefing import BriefingRecord, brief
from sensequant_assets.batch.comparing import Found, compare
from sensequant_assets.batch.evaluation import Subject, gather
from sensequant_assets.batch.examination import examine, fingerprint
from sensequant_assets.batch.inspection import Inspection
from sensequant_assets.batch.noise import noise_of_batch
from sensequant_assets.batch.promotion import Places
from sensequant_assets.batch.recorded import Shelf, told_of
from sensequant_assets.core.outcome import COUNTED, Verdict
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.sealed import digest, read_sealed
from sensequant_assets.models.store import ModelStore
from sensequant_assets.report.briefing import briefing_paths
from sensequant_assets.settings import CHAMPIONS_DIR, read_settings
from sensequant_assets.sources.regular import read_regular
from sensequant_assets.telemetry.auditing import audit
from sensequant_assets.telemetry.questions.batches import batch
from sensequant_assets.telemetry.questions.sources import kept_evaluations
from sensequant_assets.telemetry.questions.trials import Evaluated, evaluated
from sensequant_assets.telemetry.questions.verdicts import verdicts_to_check
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

NOT_COVERED = (
    "Models are not trained again: that their trees come of their rows, LightGBM's determinism says.",
    "Soft targets of TEACHER_SCOPE=symbol, noise twins, canaries and probes for leaks, which all are trained for, "
    "stand as they were told.",
    "Durations and the clock's times cannot be computed again; they are compared with the shards.",
    "Findings of the rules on bars and the coverage are compared with the shards.",
)
"""What a certificate does not say, in sentences."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What became of the verification of a batch.

    Attributes
    ----------
    batch_id
        The batch.
    differences
        What is not what it was, in sentences that name it.
    unverifiable
        What cannot be verified, and why.
    remarks
        What is to be said besides.
    checked
        How many of each kind of thing were compared.
    """

    batch_id: str
    differences: Sequence[str]
    unverifiable: Sequence[str]
    remarks: Sequence[str]
    checked: Mapping[str, int]

    @property
    def verified(self) -> bool:
        """Whether everything was verified, and nothing differs."""
        return not self.differences and not self.unverifiable

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "batch_id": self.batch_id,
            "verified": self.verified,
            "differences": list(self.differences),
            "unverifiable": list(self.unverifiable),
            "remarks": list(self.remarks),
            "checked": dict(self.checked),
            "not_covered": list(NOT_COVERED),
        }


def certify(telemetry: TelemetryStore, batch_id: str, models: ModelStore, features: str, tell: Tell) -> Certificate:
    """Verify a batch.

    Parameters
    ----------
    telemetry
        Of the data directory.
    batch_id
        The batch.
    models
        Models of its universe.
    features
        Providers of the features, as of `Settings`.
    tell
        Called with what is verified, how much of it is, and of how much.

    Raises
    ------
    UsageError
        The batch is running, or telemetry does not know it or what it was run with.
    """
    if batch(telemetry, batch_id)["status"] == "running":
        raise UsageError(f"Batch {batch_id} is running. Verify it when it is over.")
    found = Found()
    audited = audit(telemetry, batch_id, lambda done, total: tell("rows of telemetry", done, total))
    found.differences += audited.differences
    found.remarks += audited.remarks
    found.checked |= {f"rows of {table}": rows for table, rows in audited.rows.items() if rows}
    if audited.missing:
        found.unverifiable.append(
            f"{counted(len(audited.missing), 'shard')} of the batch are no longer kept, so that its rows in telemetry "
            f"can be compared with nothing: {audited.missing[0]}."
        )
    compare_verdicts(telemetry, batch_id, found)
    subject = Subject.of_batch(telemetry, batch_id)
    inspection = Inspection(telemetry, subject, models, found)
    inspection.files(lambda done, total: tell("models on disk", done, total))
    told = told_of(telemetry, subject)
    shelf = Shelf(telemetry, subject, features, found)
    tell("bars", 0, 1)
    market = shelf.market(told)
    shelf.tables(told, market, lambda done, total: tell("tables of bars and features", done, total))
    if market is not None:
        inspection.numbers(market, told, lambda done, total: tell("predictions and metrics", done, total))
    Judges(telemetry, subject, models, features, shelf, found, tell).again()
    return Certificate(
        batch_id,
        found.differences,
        list(dict.fromkeys(found.unverifiable)),
        list(dict.fromkeys(found.remarks)),
        found.checked,
    )


def compare_verdicts(telemetry: TelemetryStore, batch_id: str, found: Found) -> None:
    """Judge the rows of windows again by the very rule of the check."""
    for row in verdicts_to_check(telemetry, batch_id):
        whole, where = row["run_id"] == "", f"verdicts (run_id {row['run_id']}, model {row['model']})"
        if whole and row["later"]:
            found.remarks.append(f"{where} is older than some attempts at windows, and is not compared with these.")
            continue
        counts = {name: row[f"rows_{name}"] for name in COUNTED if name != "not_attempted"}
        verdict = Verdict.of(row["model"], counts | {"not_attempted": row["not_attempted"]}, row["max_failure_rate"])
        # What else forbade its windows is no number of theirs.
        blocked = not verdict.attempted and not row["passed"]
        again = counts | {"failure_rate": verdict.failure_rate} | ({} if blocked else {"passed": verdict.passed})
        compare(found, where, {name: row[name] for name in again}, again)
        found.count("verdicts")


@dataclass(frozen=True, slots=True)
class Judges:
    """Judges a batch again: its last evaluation, its last backtest and its briefing."""

    telemetry: TelemetryStore
    subject: Subject
    models: ModelStore
    features: str
    shelf: Shelf
    found: Found
    tell: Tell

    def again(self) -> None:
        """Compare every number of them."""
        self.evaluation()
        self.backtest()
        self.briefing()

    def evaluation(self) -> None:
        """Compare the last evaluation of the models that the batch has."""
        known = list(self._evaluations(of_portfolio=False))
        meant = [one for one in known if one.subject_fingerprint == self._fingerprint(one)]
        if meant:
            self._evaluation(meant[0])
        elif known:
            self.found.unverifiable.append(
                f"Evaluation {known[0].evaluation} is of other models, or was judged by other code, than there are: "
                f"sensequant evaluate --batch {self.subject.batch_id}"
            )
        else:
            self.found.remarks.append("Nobody has evaluated this batch: its report has no walk-forward numbers.")

    def _evaluations(self, *, of_portfolio: bool) -> Iterator[Evaluated]:
        for one in kept_evaluations(self.telemetry, self.subject.batch_id):
            if one.of_portfolio is of_portfolio:
                yield evaluated(self.telemetry, one.evaluation)

    def _fingerprint(self, one: Evaluated) -> str:
        return fingerprint(self.subject, one.findings["head"]["cost_bp"]) if "head" in one.findings else ""

    def _market(self, evaluation: str) -> Market | None:
        """The market as an evaluation has read it."""
        told = told_of(self.telemetry, self.subject, evaluation)
        return self.shelf.market(told if told.bars else told_of(self.telemetry, self.subject))

    def _evaluation(self, known: Evaluated) -> None:
        market, head = self._market(known.evaluation), known.findings["head"]
        if market is None:
            return
        reading = lambda done, total: self.tell("walk-forward rows", done, total)  # noqa: E731  # a line
        gathered = gather(self.subject, market, self.models, tell=reading)
        if gathered.remarks != head["remarks"]:
            self.found.unverifiable.append(
                f"Evaluation {known.evaluation} was of other models than can be relied on: {' '.join(gathered.remarks)}"
            )
            return
        self.tell("evaluation", 0, 1)
        noise = noise_of_batch(self.telemetry, self.subject.batch_id)
        examined = examine(self.subject, gathered, head["cost_bp"], self.telemetry, noise=noise, before=known.begun)
        _findings(known, examined.as_json(), self.found)

    def backtest(self) -> None:
        """Compare the last backtest."""
        known = next(self._evaluations(of_portfolio=True), None)
        if known is None:
            return
        if known.subject_fingerprint != backtest_fingerprint(self.subject):
            self.found.unverifiable.append(
                f"Backtest {known.evaluation} is of other models, or was judged by other code, than there are: "
                f"sensequant backtest {self.subject.batch_id}"
            )
            return
        market, told = self._market(known.evaluation), known.findings
        if market is None:
            return
        self.tell("backtest", 0, 1)
        again = backtest_of(
            self.subject, market, self.models, self.telemetry,
            model=told["model"], top=told["top"], cost_bp=told["cost_bp"], band=told["price_band"], before=known.begun,
        )  # fmt: skip
        compare(self.found, f"evaluations (evaluation {known.evaluation}), findings", told, again.as_json())
        for score, metrics in known.metrics.items():
            own = {name: value for name, value in again.as_json().items() if name in metrics}
            compare(self.found, f"trials (evaluation {known.evaluation}, score {score}), metrics", metrics, own)
        self.found.count("backtests")

    def briefing(self) -> None:
        """Compare the last briefing's files with its record, and what it stands on with what is found again."""
        *files, path = briefing_paths(self.shelf.directory, self.subject.batch_id)
        try:
            record = read_sealed(path, BriefingRecord, _BRIEF_AGAIN)
            if record is None:
                return
            for file, wanted in zip(files, (record.page, record.text), strict=True):
                if digest(read_regular(file)) != wanted:
                    self.found.differences.append(f"{file} is not what its record says. {_BRIEF_AGAIN}")
        except (WindowError, OSError) as error:
            self.found.differences.append(str(error))
            return
        self._facts(path, record.facts)

    def _facts(self, path: Path, facts: Mapping[str, Any]) -> None:
        market = self._market(facts["evaluation"])
        if market is None:
            return
        champions = ChampionStore(self.shelf.directory / CHAMPIONS_DIR, self.subject.settings.universe_name)
        at = datetime.fromisoformat(facts["made_at"])
        try:
            settings = read_settings().model_copy(update=facts["stress"]["settings"] | {"features": self.features})
            places = Places(self.models, champions, self.telemetry)
            again = brief(self.subject, market, places, settings=settings, at=at, before=at)
        except UsageError as error:
            self.found.unverifiable.append(f"{path}: {error}")
            return
        for name, now in (("evaluation", again), ("against", again["promotion"]), ("serves", again["promotion"])):
            then = facts if name == "evaluation" else facts["promotion"]
            if then[name] != now[name]:
                self.found.unverifiable.append(
                    f"{path} is of another day: its {name} was {then[name]}, and is {now[name]} by now. {_BRIEF_AGAIN}"
                )
                return
        # Who asks these again is told what there is by then.
        later: Sequence[str] = ("trials", "canaries", "bars")
        dropped: Sequence[str] = ()
        if facts["noise"] and not again["noise"]:
            self.found.unverifiable.append(f"{path}: its noise band stands as told, because its noise twin is gone.")
            dropped = ("noise",)
        told, computed = (
            _without({**one, "sources": _without(one["sources"], later)}, dropped) for one in (facts, again)
        )
        compare(self.found, str(path), told, computed)
        self.found.count("briefings")


_BRIEF_AGAIN = "Write it again: sensequant briefing."


def _without(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _findings(known: Evaluated, again: Mapping[str, Any], found: Found) -> None:
    """Compare what an evaluation found, and its trials, with what is found again."""
    kept: Mapping[str, Any] = known.findings
    trials = {name: dict(metrics) for name, metrics in known.metrics.items()}
    if _bands(kept) != _bands(again):
        if any(_bands(kept).values()):
            found.unverifiable.append(
                f"The noise twin of evaluation {known.evaluation} is not the one on disk: its band stands as told."
            )
        kept, again = ({**one, "scores": list(map(_without_band, one["scores"]))} for one in (kept, again))
        trials = {name: _without_band(metrics) for name, metrics in trials.items()}
    compare(found, f"evaluations (evaluation {known.evaluation}), findings", kept, again)
    scores = {score["score"]: score for score in again["scores"]}
    for name, metrics in trials.items():
        compare(found, f"trials (evaluation {known.evaluation}, score {name}), metrics", metrics, scores.get(name))
    found.count("scores", len(scores))


def _bands(findings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The noise bands of scores, whatever lies outside of them."""
    ends = ("band_low_sd", "band_high_sd", "band_windows", "band_twins")
    return {
        score["score"]: {name: value for name, value in score.items() if name.endswith(ends)}
        for score in findings["scores"]
    }


def _without_band(score: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in score.items() if "band" not in name and not name.endswith("windows")}
