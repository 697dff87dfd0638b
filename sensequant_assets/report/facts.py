"""What a batch came to: read from telemetry, weighed against what noise would give."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from math import isnan, sqrt
from statistics import mean, median
from typing import Any

from sensequant_assets.core.judging.skill import Z95, Skill, null_auc_sd, percentiles
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Verdict
from sensequant_assets.errors import FailureKind, advice
from sensequant_assets.telemetry.questions import batches, windows
from sensequant_assets.telemetry.questions.verdicts import whole_verdicts
from sensequant_assets.telemetry.store import TelemetryStore

METRICS = (
    "test_auc", "test_brier", "test_log_loss", "test_ece", "test_rank_ic", "test_accuracy", "test_majority",
    "test_base_rate", "valid_auc", "oof_auc", "fidelity_mae", "fidelity_correlation", "fidelity_agreement", "trees",
    "largest_tree_leaves", "largest_tree_depth",
)  # fmt: skip
"""Metrics that the report reads; a model that lacks one has None."""


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
    def auc_null_sd(self) -> float | None:
        """Standard deviation of the test AUC if the model knew nothing; None without both classes."""
        base_rate = self.metrics["test_base_rate"]
        if base_rate is None or not self.test_rows:
            return None
        positives = round(base_rate * self.test_rows)
        return null_auc_sd(positives, self.test_rows - positives)


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
    """

    batch: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    models: Sequence[Verdict]
    rows: Sequence[Row]
    judged: Mapping[str, bool]
    against: "Report | None" = None
    findings: Mapping[str, Any] | None = None
    no_findings: str = ""

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

    def tested(self, model: str) -> list[Row]:
        """Rows of one model that have a test AUC and a null to weigh it against."""
        return [
            row
            for row in self.rows
            if row.model == model and row.metrics["test_auc"] is not None and row.auc_null_sd is not None
        ]


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a word and in sentences.

    The word is `passed`, `failed`, `running`, `interrupted`, `incomplete` (the rate is within the limit and planned
    windows have no outcome) or `empty` (nothing was attempted).
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
) -> Report:
    """Read a batch, and the one to compare it with, from one state of the database.

    Parameters
    ----------
    store, batch_id, against
        Which batches.
    findings, no_findings
        As of `Report`; without the former the latter names the command unless it is given.

    Raises
    ------
    UsageError
        Telemetry has no such batch.
    """
    with store.session():
        read = _read(store, batch_id, None if against is None else _read(store, against, None))
    why = no_findings or f"Nobody has evaluated this batch as it is: sensequant evaluate --batch {batch_id}"
    return replace(read, findings=findings, no_findings="" if findings else why)


def _read(store: TelemetryStore, batch_id: str, against: Report | None) -> Report:
    found = batches.batch(store, batch_id)
    counts = batches.batch_summary(store, batch_id)
    return Report(
        batch=found,
        runs=batches.runs_of_batch(store, batch_id),
        models=[Verdict.of(row["model"], row, found["max_failure_rate"]) for row in counts],
        rows=[_row(row) for row in windows.attempts(store, batch_id, METRICS)],
        judged=whole_verdicts(store, batch_id),
        against=against,
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
    constant = f" {model.constant:,} of {model.models:,} say the same of every row." if model.constant else ""
    return (
        f"{model.failed:,} of {model.attempted:,} {model.model}s failed: {model.failure_rate:.1%}, limit {limit}."
        f"{rest}{constant}"
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
    horizon = int(report.batch["settings"].get("horizon") or 1)
    scores = [
        (auc, sd)
        for row in trained
        if (auc := row.metrics["test_auc"]) is not None and (sd := row.auc_null_sd) is not None
    ]
    called = [
        (row.test_rows, accuracy, majority)
        for row in trained
        if row.test_rows
        and (accuracy := row.metrics["test_accuracy"]) is not None
        and (majority := row.metrics["test_majority"]) is not None
    ]
    rows = sum(count for count, _, _ in called)
    aucs = [auc for auc, _ in scores]
    above = sum(auc - 0.5 > Z95 * sd for auc, sd in scores)
    below = sum(0.5 - auc > Z95 * sd for auc, sd in scores)
    return Skill(
        windows=len(scores),
        unanswered=len(trained) - len(scores),
        mean=mean(aucs) if aucs else float("nan"),
        median=percentiles(aucs)[1],
        outside=above + below,
        above=above,
        below=below,
        outside_overlap=sum(abs(auc - 0.5) > Z95 * sd * sqrt(horizon) for auc, sd in scores),
        horizon=horizon,
        accuracy=sum(count * accuracy for count, accuracy, _ in called) / rows if rows else float("nan"),
        majority=sum(count * majority for count, _, majority in called) / rows if rows else float("nan"),
        beats_majority=sum(accuracy > majority for _, accuracy, majority in called),
        rows=rows,
    )


def values_of(report: Report, model: str, metric: str) -> list[float]:
    """A metric of all models of a kind that have it."""
    found = (row.metrics.get(metric) for row in report.rows if row.model == model)
    return [value for value in found if value is not None]


def failures_by_cause(report: Report) -> list[Cause]:
    """Failed windows by kind, with what to do, the most frequent first."""
    return _causes((row.failure_kind or "unknown", row) for row in report.failed())


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


def slowest(report: Report, count: int = 10) -> list[Row]:
    """The attempted windows that took longest."""
    timed = [row for row in report.rows if row.duration_s is not None and row.outcome != "skipped"]
    return sorted(timed, key=lambda row: -(row.duration_s or 0.0))[:count]


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
