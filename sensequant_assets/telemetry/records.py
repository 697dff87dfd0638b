"""What the journal tells, one class a kind of record.

A field is spelled here and nowhere else: it is a key of the journal's line, what ingest reads of it, and a column. Its
annotation is the column's type. A field without a default is one without which a line is broken; a default is what
ingest takes where a line lacks the field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, get_args

import numpy as np


@dataclass(frozen=True, slots=True)
class OneOf:
    """The values that a text may have; a line with another is broken."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ElseLineTime:
    """Where a record does not tell the time, it is that of its line."""


@dataclass(frozen=True, slots=True)
class OfRun:
    """Told with the batch, true of one run of it: a column of `runs`, not of `batches`."""


Model = Annotated[str, OneOf(("teacher", "student"))]
Time = Annotated[datetime | None, ElseLineTime()]
Json = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStart:
    """A run of a batch has started: what it works with. Runs of one batch tell it alike, or leave fields out.

    Attributes
    ----------
    backfill_id
        Dagster's backfill, if there is one.
    source
        `cli`, `ui`, `sensor` or `schedule`.
    universe
        Its name.
    started_at
        When; the earliest of the runs is that of the batch.
    settings, parameters, versions
        Settings of the market, parameters by model, versions of the code and its libraries.
    max_failure_rate
        The limit of the check.
    configuration
        What came of settings and parameters together: rows that a window needs, settings that do nothing.
    pid, workers, engine
        Of the run: its process, how many windows it trains at once, and who trains them: `local` or `ray`.
    """

    record: ClassVar = "batch"

    backfill_id: str | None = None
    source: str | None = None
    universe: str | None = None
    started_at: Time = None
    settings: Json = None
    parameters: Json = None
    versions: Json = None
    max_failure_rate: float | None = None
    configuration: Json = None
    pid: Annotated[int | None, OfRun()] = None
    workers: Annotated[int | None, OfRun()] = None
    engine: Annotated[str | None, OfRun()] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to attempt: (symbol, window key) of one model.

    Where the journal is of no run, it is what a whole backfill is to attempt, and the plan of a run has precedence.
    """

    record: ClassVar = "plan"

    model: Model
    windows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRun:
    """An attempt at one model of one pair, whatever became of it.

    Attributes
    ----------
    backfill_id, universe
        As of the batch.
    model, symbol, window_start, window_end
        Which model of which pair; `window_end` is the day after the window.
    effective_start, effective_end
        First and last day that the model may know, and does know; None without them.
    outcome
        `trained`, `reused`, `skipped` or `failed`.
    reason
        Of a skip.
    failure_kind, error_type, error_message
        Of a failure, by taxonomy, class and text; a skip has its details in the message.
    attempt
        1 for the first attempt of the batch at this window.
    started_at, ended_at, duration_s, cpu_s
        When, and seconds of the clock and of the processor.
    peak_mb
        Most memory (MB of 2^20 bytes, resident) that its process had until it ended.
    device_s, joules
        Seconds of the clock for which its training held a device other than the CPU, and what that device counted
        meanwhile; None where there is none, or it does not tell.
    train_rows, valid_rows, test_rows
        Rows of the model; None without a model.
    metrics, parameters
        Of the model; a null metric is one that its rows cannot answer. A student's parameters hold its teacher's, as
        `teacher_*`.
    constant
        Whether the model says the same of every row; None without a model.
    data_fingerprint, parameters_fingerprint, code_fingerprint
        What the model was made from, or would have been had it not failed; None where that is not known.
    trees_fingerprint
        Of the trees; None without a model.
    device
        What trained the model; None without a model.
    worker
        Machine and process of the worker that did; None where the process of the run did.
    early_life, open
        Flags of the pair; `early_life` is None where its listing is not known.
    model_path
        The model's file; None without a model.
    served_by
        Start of the earlier window whose model serves this one, which has none of its own yet; None otherwise.
    """

    record: ClassVar = "window_run"

    backfill_id: str | None = None
    model: Model
    universe: str | None = None
    symbol: str
    window_start: date
    window_end: date | None = None
    effective_start: date | None = None
    effective_end: date | None = None
    outcome: Annotated[str, OneOf(("trained", "reused", "skipped", "failed"))]
    reason: str | None = None
    failure_kind: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    attempt: int = 1
    started_at: datetime | None = None
    ended_at: Time = None
    duration_s: float | None = None
    cpu_s: float | None = None
    peak_mb: float | None = None
    device_s: float | None = None
    joules: float | None = None
    train_rows: int | None = None
    valid_rows: int | None = None
    test_rows: int | None = None
    metrics: Json = None
    parameters: Json = None
    constant: bool | None = None
    data_fingerprint: str | None = None
    parameters_fingerprint: str | None = None
    code_fingerprint: str | None = None
    trees_fingerprint: str | None = None
    device: str | None = None
    worker: str | None = None
    early_life: bool | None = None
    open: bool | None = None
    model_path: str | None = None
    served_by: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVerdict:
    """What a check said of one model of a run, or of a whole batch where the journal is of no run.

    Attributes
    ----------
    model, check_name, passed
        Of which model, by which check, and whether it is satisfied.
    failure_rate, max_failure_rate
        Failed over attempted windows, None if nothing was attempted; and the limit.
    trained, reused, skipped, failed, not_attempted
        How many windows.
    evaluated_at
        When.
    """

    record: ClassVar = "verdict"

    model: Model
    check_name: str = "max_failure_rate"
    passed: bool
    failure_rate: float | None = None
    max_failure_rate: float | None = None
    trained: int | None = None
    reused: int | None = None
    skipped: int | None = None
    failed: int | None = None
    not_attempted: int | None = None
    evaluated_at: Time = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything else worth keeping.

    Attributes
    ----------
    level, kind
        `info`, `warning` or `error`; and the sort of event.
    symbol, window_start
        What it is about; None where it is about neither.
    message, data
        In words, and whatever belongs to an event of this kind.
    """

    record: ClassVar = "event"

    level: str = "info"
    kind: str | None = None
    symbol: str | None = None
    window_start: date | None = None
    message: str | None = None
    data: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """A run is over.

    Attributes
    ----------
    status
        Whether it did what it was to do: `succeeded`, `failed` or `interrupted`.
    ended_at
        When.
    wall_s, cpu_s
        Seconds of the clock and of the processor.
    """

    record: ClassVar = "end"

    status: Annotated[str, OneOf(("succeeded", "failed", "interrupted"))]
    ended_at: Time = None
    wall_s: float | None = None
    cpu_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A score of a walk-forward evaluation: one of the many of which somebody will pick the best.

    Attributes
    ----------
    evaluation, score
        Which evaluation, and of which model or baseline the score is.
    universe
        Its name.
    first_window, last_window, first_date, last_date
        Windows whose models were judged, and dates of the rows that they were judged on.
    rows, dates, blocks, block_length
        How many of each, and dates in a block.
    auc, auc_low, auc_high, rank_ic, rank_ic_low, rank_ic_high
        With the ends of their intervals; None where the rows cannot answer.
    metrics
        All numbers of the score.
    series
        Of a model: `date` and, as many, `top_return_net`, the top decile's return net of costs by date.
    parameters_fingerprint
        Of the parameters of teacher and student, and of how bars become rows.
    evaluated_at
        When.
    """

    record: ClassVar = "trial"

    evaluation: str
    score: str
    universe: str | None = None
    first_window: date | None = None
    last_window: date | None = None
    first_date: date | None = None
    last_date: date | None = None
    rows: int | None = None
    dates: int | None = None
    blocks: int | None = None
    block_length: int | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    rank_ic: float | None = None
    rank_ic_low: float | None = None
    rank_ic_high: float | None = None
    metrics: Json = None
    series: Json = None
    parameters_fingerprint: str | None = None
    evaluated_at: Time = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that a walk-forward evaluation found, for those who show it again.

    Attributes
    ----------
    evaluation
        Its name; its scores are `trials`.
    universe
        Its name.
    subject_fingerprint
        Of the models that were meant, their parameters, the costs, and the code that judges: with the same one there
        is nothing new to find.
    findings
        What was found; docs/judging.md says what is what.
    evaluated_at
        When.
    """

    record: ClassVar = "evaluation"

    evaluation: str
    universe: str | None = None
    subject_fingerprint: str | None = None
    findings: Json = None
    evaluated_at: Time = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a student said of a bar whose label nobody knew: written once, whatever becomes of bars and models.

    Attributes
    ----------
    symbol, time
        Of which bar; exchange time, without a zone.
    model
        In whose name: `champion`, or `unproven` of a batch that nobody has promoted.
    trees_fingerprint
        Of the student.
    champion
        Version of the champion; None if unproven.
    universe
        Its name.
    window_start
        Of the window whose student this is.
    bars_fingerprint
        Of the symbol's bars up to this one.
    p_raw, p
        Probability of label 1 as the student says it, by which symbols are ranked, and as it is served.
    distance
        To the training rows, as of `core.distance`; None where it is not known.
    flags
        Words of `batch.prediction.Flag`, separated by commas.
    made_at
        When.
    """

    record: ClassVar = "prediction"

    symbol: str
    time: np.datetime64
    model: Annotated[str, OneOf(("champion", "unproven"))]
    trees_fingerprint: str
    champion: int | None = None
    universe: str | None = None
    window_start: date | None = None
    bars_fingerprint: str | None = None
    p_raw: float | None = None
    p: float | None = None
    distance: float | None = None
    flags: str | None = None
    made_at: Time = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarOutcome:
    """What came of a bar, told once, when the bars that its label reads are there.

    Attributes
    ----------
    universe, symbol, time
        Which bar; exchange time, without a zone.
    asks
        What the label asks of the return, as of `Recipe.asks`, in a line.
    ret, label
        Return over the horizon, and 1 above what is asked or 0; the label is None where nothing is asked of the date.
    bars_fingerprint
        Of the bars that it is made from.
    known_at
        When it was told.
    """

    record: ClassVar = "outcome"

    universe: str
    symbol: str
    time: np.datetime64
    asks: str
    ret: float
    label: int | None = None
    bars_fingerprint: str | None = None
    known_at: Time = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of a setting of a profile, in a process of its own; whatever is null is not known.

    Attributes
    ----------
    profile, setting, turn
        Which profile, which of its settings and which run of that, both from 1.
    universe, symbols, windows
        Its name, and how many of each the sample has.
    sample_fingerprint
        Of market, symbols, windows, features and workers: times of another sample are others.
    name, grid
        Of the setting: what sets it apart, and the values that the grid gives it.
    parameters, parameters_fingerprint
        All of its parameters by model, and their fingerprint with how bars become rows.
    data_fingerprint, code_fingerprint, trees_fingerprint
        Of all its models together: what they were made from, and which trees they have.
    device, workers
        What teachers were trained on, and how many windows at once.
    models, failed, failure
        Models that were trained, windows and pools that failed, and the first error; of a run that broke off, why.
    boosters
        How many boosters the models are: a pool's is that of many.
    rows
        Training rows of its teachers, once each.
    wall_s, cpu_s
        Seconds of the clock for the training of all models, and of the processor, of the whole process.
    cpu_by_model
        CPU seconds of the models by kind.
    read_mb, peak_mb
        Most memory of the process before the first model was trained, and until the last one was.
    others_cpu
        Processors that other processes kept busy meanwhile, in the mean.
    device_s, device_utilisation, joules
        Of a device other than the CPU: seconds for which trainings held it, its busy share, and what it counted.
    effective
        By model, values of LightGBM's parameters as its boosters' texts have them.
    largest_leaves, largest_depth
        Of the largest tree of a teacher.
    scores
        Of the first run: `scores` of models and baselines on the windows after theirs, and what they stand on.
    measured_at
        When it ended.
    """

    record: ClassVar = "measurement"

    profile: str
    setting: int
    turn: int
    universe: str | None = None
    symbols: int | None = None
    windows: int | None = None
    sample_fingerprint: str | None = None
    name: str | None = None
    grid: Json = None
    parameters: Json = None
    parameters_fingerprint: str | None = None
    data_fingerprint: str | None = None
    code_fingerprint: str | None = None
    trees_fingerprint: str | None = None
    device: str | None = None
    workers: int | None = None
    models: int | None = None
    failed: int | None = None
    failure: str | None = None
    boosters: int | None = None
    rows: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    cpu_by_model: Json = None
    read_mb: float | None = None
    peak_mb: float | None = None
    others_cpu: float | None = None
    device_s: float | None = None
    device_utilisation: float | None = None
    joules: float | None = None
    effective: Json = None
    largest_leaves: int | None = None
    largest_depth: int | None = None
    scores: Json = None
    measured_at: Time = None


Record = (
    BatchStart | Plan | WindowRun | CheckVerdict | Event | RunEnd | Trial | Evaluation | Prediction | BarOutcome
    | Measurement
)  # fmt: skip

RECORDS: tuple[type[Record], ...] = get_args(Record)
