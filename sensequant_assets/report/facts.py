"""What a batch came to: read from telemetry, weighed against what noise would give."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from math import isnan, nan
from statistics import mean, median, quantiles
from typing import Any

from sensequant_assets.core.judging.canaries import Canaries
from sensequant_assets.core.judging.noise import NO_BAND, Band, Noise, Outside, WindowScore, noise_lines
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Verdict
from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.errors import FailedAlike, FailedWindow, FailureKind, advice, failed_alike
from sensequant_assets.telemetry.questions import batches, costs, events, windows
from sensequant_assets.telemetry.questions.verdicts import whole_verdicts
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

METRICS = (
    "test_auc", "test_brier", "test_log_loss", "test_ece", "test_rank_ic", "test_accuracy", "test_majority",
    "test_base_rate", "test_design_effect", "valid_auc", "oof_auc", "fidelity_mae", "fidelity_correlation",
    "fidelity_agreement", "trees", "largest_tree_leaves", "largest_tree_depth",
)  # fmt: skip
"""Metrics that the report reads; a model that lacks one has None."""

DEAREST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Row:
    """The latest attempt at one model of one pair; `outcome` may be `not_attempted`."""

    model: str
    symbol: str
    window: str
    outcome: str
    reason: str | None
    failure_kind: str | None
    error_type: str | None
    error_message: str | None
    duration_s: float | None
    test_rows: int | None
    data_fingerprint: str | None
    parameters_fingerprint: str | None
    code_fingerprint: str | None
    trees_fingerprint: str | None
    constant: bool | None
    metrics: Mapping[str, float | None]

    @property
    def key(self) -> Key:
        """The pair."""
        return self.symbol, self.window

    @property
    def score(self) -> WindowScore | None:
        """Its test AUC and rank IC, and how far chance reaches; None without a test AUC."""
        return WindowScore.of_metrics(self.metrics, self.test_rows)


@dataclass(frozen=True, slots=True)
class Skill:
    """Test AUC of the windows of one model against what noise gives, and its accuracy.

    Attributes
    ----------
    windows
        How many windows have a test AUC.
    unanswered
        How many models have none: no test rows, or a single class among them.
    mean, median
        Of the AUC; NaN without windows.
    band, outside
        The noise band, and the windows outside; None without a noise twin.
    accuracy, majority
        Shares of all test rows: named right, and named right by always naming the window's more frequent class. NaN
        without rows.
    beats_majority
        Windows whose accuracy is above their majority share.
    rows
        Test rows of all these windows.
    """

    windows: int
    unanswered: int
    mean: float
    median: float
    band: Band | None
    outside: Outside | None
    accuracy: float
    majority: float
    beats_majority: int
    rows: int


@dataclass(frozen=True)
class Report:
    """A batch as telemetry holds it.

    Attributes
    ----------
    batch
        Its row, as `questions.batches.batch` gives it.
    runs
        As `questions.batches.runs_of_batch` gives them.
    models
        Counts against the limit, teachers first.
    rows
        Every planned or attempted window, by model, symbol and window.
    judged
        Passed or not by model, where the whole batch's verdict is recorded.
    against
        The earlier batch that this one is compared with.
    findings
        What an evaluation of it found, as `pooled` takes it; None without one.
    no_findings
        Why there is none, and which command makes it.
    noise
        The noise band of its windows; None where nobody has trained the twin of its market.
    bars
        What the rules on bars found, as `questions.events.findings` gives it; nothing where they were not asked.
    coverage
        Which bars there were; None where no run of it has read those of the whole universe.
    canaries
        What became of its canaries, in a sentence; empty without any.
    costs, dearest
        What its models and runs cost, and the models that held a worker longest, as `questions.costs` gives them.
    devices
        What its runs told of their devices.
    backtest
        What its last backtest found, as `report.backtest` takes it; None where nobody has backtested it as it is.
    """

    batch: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    models: Sequence[Verdict]
    rows: Sequence[Row]
    judged: Mapping[str, bool]
    against: "Report | None" = None
    findings: Mapping[str, Any] | None = None
    no_findings: str = ""
    noise: Noise | None = None
    bars: Sequence[Mapping[str, Any]] = ()
    coverage: Coverage | None = None
    canaries: str = ""
    costs: Sequence[Mapping[str, Any]] = ()
    dearest: Sequence[Mapping[str, Any]] = ()
    devices: events.DevicesTold = events.NO_DEVICES
    backtest: Mapping[str, Any] | None = None

    @property
    def batch_id(self) -> str:
        """Its name."""
        return str(self.batch["batch_id"])

    @cached_property
    def symbols(self) -> list[str]:
        """Every symbol of the plan."""
        return sorted({row.symbol for row in self.rows})

    @cached_property
    def windows(self) -> list[str]:
        """Every window of the plan, in order."""
        return sorted({row.window for row in self.rows})

    def of(self, model: str) -> dict[Key, Row]:
        """Rows of one model by pair."""
        return {row.key: row for row in self.rows if row.model == model}

    def failed(self) -> list[Row]:
        """Failed windows."""
        return [row for row in self.rows if row.outcome == "failed"]

    def band(self, model: str) -> Band | None:
        """The noise band of a model's test AUC; None without a twin."""
        return None if self.noise is None else self.noise.band(model)


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a word and in sentences.

    The word is `passed`, `failed`, `running`, `interrupted`, `incomplete` (the rate is within the limit and planned
    windows have no outcome), `constant` (it is, and more than half of the models say the same of every row) or `empty`
    (nothing was attempted).
    """

    word: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Growth:
    """What a setting of trees asked for, and what the largest tree of the median window and of any came to."""

    model: str
    setting: str
    asked: int
    median: int
    largest: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Failed windows of one kind, or skipped ones of one reason."""

    name: str
    advice: str
    models: Mapping[str, int]
    example: str

    @property
    def count(self) -> int:
        """Of all models."""
        return sum(self.models.values())


def read_report(
    store: TelemetryStore,
    batch_id: str,
    *,
    against: str | None = None,
    findings: Mapping[str, Any] | None = None,
    no_findings: str = "",
    noise: Noise | None = None,
    backtest: Mapping[str, Any] | None = None,
) -> Report:
    """Read a batch, and the one to compare it with, from one state of the database.

    Parameters
    ----------
    store, batch_id, against
        Which batches.
    findings, no_findings
        As of `Report`; without the former the latter names the command unless it is given.
    noise, backtest
        As of `Report`.

    Raises
    ------
    UsageError
        Telemetry has no such batch.
    """
    with store.session():
        read = _read(store, batch_id, None if against is None else _read(store, against, None))
    why = no_findings or f"Nobody has evaluated this batch as it is: sensequant evaluate --batch {batch_id}"
    return replace(read, findings=findings, no_findings="" if findings else why, noise=noise, backtest=backtest)


def _read(store: TelemetryStore, batch_id: str, against: Report | None) -> Report:
    found = batches.batch(store, batch_id)
    counts, covered = batches.batch_summary(store, batch_id), events.coverage(store, batch_id)
    return Report(
        batch=found,
        runs=batches.runs_of_batch(store, batch_id),
        models=[
            Verdict.of(
                row["model"],
                row,
                found["max_failure_rate"],
                limit_by=found["limit_by"],
                stopped=found["stopped"].get(row["model"], ""),
            )
            for row in counts
        ],
        rows=[_row(row) for row in windows.attempts(store, batch_id, METRICS)],
        judged=whole_verdicts(store, batch_id),
        against=against,
        bars=events.findings(store, batch_id),
        coverage=None if covered is None else Coverage.read(covered),
        canaries=" ".join(str(Canaries(**row)) for row in events.latest_canaries(store, batch_id=batch_id)),
        costs=costs.batch_costs(store, batch_id),
        dearest=costs.dearest(store, batch_id, DEAREST_SHOWN),
        devices=events.devices_told(store, batch_id),
    )


def headline(report: Report) -> Headline:
    """The batch's verdict, by the share of failed windows over all its runs."""
    status, said = str(report.batch["status"]), []
    failed = attempted = missing = False
    for model in report.models:
        said.append(_verdict_sentence(model))
        recorded = report.judged.get(model.model)
        if recorded is not None and recorded != model.passed:
            said.append(f"The recorded verdict of the {model.model}s is {'passed' if recorded else 'failed'}.")
        failed = failed or model.exceeded or recorded is False
        attempted = attempted or model.attempted > 0
        missing = missing or model.not_attempted > 0
    over = [run for run in report.runs if run["exceeded"]]
    if over and len(report.runs) > 1:
        said.append(
            f"{len(over)} of {len(report.runs)} runs failed by their own check; the batch is judged as a whole."
        )
    if status == "running":
        word = "running"
    elif status == "interrupted":
        word = "interrupted"
    elif failed:
        word = "failed"
    elif not attempted:
        word = "empty"
    elif any(model.mostly_constant for model in report.models):
        word = "constant"
    else:
        word = "incomplete" if missing else "passed"
    return Headline(word, tuple(said) or ("Nothing is planned.",))


def _verdict_sentence(model: Verdict) -> str:
    if model.failure_rate is None:
        skipped = f"; {model.skipped:,} skipped" if model.skipped else ""
        return f"None of {model.planned:,} {model.model}s was attempted{skipped}."
    were = "was" if model.not_attempted == 1 else "were"
    rest = f" {model.not_attempted:,} {were} not attempted." if model.not_attempted else ""
    limit = "unknown" if isnan(model.max_failure_rate) else f"{model.max_failure_rate:.1%}"
    limit += f" ({model.limit_by})" if model.limit_by else ""
    stopped = f" {model.stopped}" if model.stopped else ""
    constant = f" {model.constant:,} of {model.models:,} say the same of every row." if model.constant else ""
    return (
        f"{model.failed:,} of {model.attempted:,} {model.model}s failed: {model.failure_rate:.1%}, limit {limit}."
        f"{rest}{stopped}{constant}"
    )


def growth(report: Report) -> list[Growth]:
    """Leaves and depth that each model was asked for, and those of its largest trees."""
    found = []
    for model in report.models:
        asked = report.batch["parameters"].get(model.model, {})
        for setting, metric in (("num_leaves", "largest_tree_leaves"), ("max_depth", "largest_tree_depth")):
            values = values_of(report, model.model, metric)
            if values and setting in asked:
                found.append(Growth(model.model, setting, asked[setting], int(median(values)), int(max(values))))
    return found


def skill(report: Report, model: str) -> Skill:
    """Weigh a model's per-window test AUC against noise, and its accuracy against the majority."""
    trained = [row for row in report.of(model).values() if row.outcome in ("trained", "reused")]
    scores = [score for row in trained if (score := row.score) is not None]
    called = [
        (row.test_rows, accuracy, majority)
        for row in trained
        if row.test_rows
        and (accuracy := row.metrics["test_accuracy"]) is not None
        and (majority := row.metrics["test_majority"]) is not None
    ]
    rows = sum(count for count, _, _ in called)
    aucs, band = [score.auc for score in scores], report.band(model)
    return Skill(
        windows=len(scores),
        unanswered=len(trained) - len(scores),
        mean=mean(aucs) if aucs else nan,
        median=percentiles(aucs)[1],
        band=band,
        outside=None if band is None else band.outside(scores, "auc"),
        accuracy=sum(count * accuracy for count, accuracy, _ in called) / rows if rows else nan,
        majority=sum(count * majority for count, _, majority in called) / rows if rows else nan,
        beats_majority=sum(accuracy > majority for _, accuracy, majority in called),
        rows=rows,
    )


def noise_said(report: Report) -> list[str]:
    """How many windows lie outside the noise band, by model, and what that stands on; which command makes one."""
    if report.noise is None:
        return [NO_BAND]
    scores: dict[str, list[WindowScore]] = {}
    for row in report.rows:
        if row.outcome in ("trained", "reused") and (score := row.score) is not None:
            scores.setdefault(row.model, []).append(score)
    return noise_lines(report.noise, report.noise.outside(scores))


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The 10th, 50th and 90th percentile, linear between ranks; NaN without values."""
    if not values:
        return (nan,) * 3
    if len(values) == 1:
        return (values[0],) * 3
    cuts = quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[4], cuts[8]


def values_of(report: Report, model: str, metric: str) -> list[float]:
    """A metric of all models of a kind that have it."""
    found = (row.metrics.get(metric) for row in report.rows if row.model == model)
    return [value for value in found if value is not None]


def failures_by_cause(report: Report) -> list[Cause]:
    """Failed windows by kind, with what to do, the most frequent first."""
    return _causes((row.failure_kind or "unknown", row) for row in report.failed())


def alike(rows: Iterable[Row]) -> list[FailedAlike]:
    """Failed windows, those of a symbol together that failed for one reason."""
    return failed_alike(
        FailedWindow(one.model, one.symbol, one.window, one.failure_kind or "unknown", one.error_message or "")
        for one in rows
    )


def skips_by_reason(report: Report) -> list[Cause]:
    """Skipped windows by reason, the most frequent first."""
    return _causes((row.reason or "unknown", row) for row in report.rows if row.outcome == "skipped")


def _causes(named: Iterable[tuple[str, Row]]) -> list[Cause]:
    groups: dict[str, list[Row]] = {}
    for name, row in named:
        groups.setdefault(name, []).append(row)
    causes = [
        Cause(
            name,
            advice(name) if rows[0].outcome == "failed" else "",
            Counter(row.model for row in rows),
            next((row.error_message for row in rows if row.error_message), ""),
        )
        for name, rows in groups.items()
    ]
    # A student without its teacher is a consequence, so it stands last.
    return sorted(causes, key=lambda cause: (cause.name == FailureKind.MISSING_TEACHER, -cause.count, cause.name))


def cost_said(report: Report) -> list[str]:
    """What a batch cost beside its models, and what of its costs nobody told, in words."""
    whole = next((line for line in report.costs if line["model"] == "all"), None)
    models = [line for line in report.costs if line["model"] != "all"]
    if whole is None or whole["cpu_s"] is None or not models:
        return ["No run of this batch has come to its end, so that what it cost beside its models is not known."]
    spent = sum(line["cpu_s"] or 0.0 for line in models)
    beside = max(whole["cpu_s"] - spent, 0.0)
    said = [
        f"Its {counted(len(report.runs), 'run')} took {whole['cpu_s']:,.1f} s of the processor, {spent:,.1f} s of them "
        f"for {counted(sum(line['models'] for line in models), 'model')} and {beside:,.1f} s beside them: bars, "
        "features, judging what is reused, records and events."
    ]
    if whole["device_s"] is None:
        said.append("No model was trained on a device other than the CPU.")
    elif whole["joules"] is None:
        said.append("The device does not tell its energy.")
    return said


def timestamp(value: datetime | None) -> str:
    """A time in UTC to the second; a dash for none."""
    return "-" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _row(found: Mapping[str, Any]) -> Row:
    window = found["window_start"]
    names = [name for name in Row.__slots__ if name not in ("window", "metrics")]
    return Row(
        **{name: found[name] for name in names},
        window=window.isoformat() if isinstance(window, date) else str(window),
        metrics={name: found[name] for name in METRICS},
    )
