"""Claims about what an evaluation finds beside its scores, what it writes down, and when that is found again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.batch.evaluation import Gathered, Subject
from sensequant_assets.batch.examination import Examination, examine, findings_of, note
from sensequant_assets.core.judging.importance import Importance
from sensequant_assets.core.judging.walk_forward import Forecast, Rows
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.windows import Window
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import read_market
from sensequant_assets.telemetry.store import TelemetryStore

SYMBOLS, DAYS, COST = tuple("ABCDEFGHIJ"), 150, 25.0
WINDOW = Window(date(2023, 7, 1), date(2023, 12, 28))
SUBJECT = Subject(
    "b", read_market({"horizon": 3, "end": "2024-12-31"}), TeacherParameters(), StudentParameters(),
    {("teacher", "A", WINDOW.key): "trees"},
)  # fmt: skip


def gathered(models: Sequence[str] = ("teacher", "student"), *, skip: int = 0, seed: int = 1) -> Gathered:
    """Rows that nothing knows, without those of the first dates, and what models say of them."""
    rng, rows = np.random.default_rng(seed), DAYS * len(SYMBOLS)
    ahead = np.random.default_rng(0).normal(0, 0.03, rows)
    all_rows = Rows(
        time=np.repeat(np.datetime64("2024-01-01", "s") + np.arange(DAYS) * np.timedelta64(1, "D"), len(SYMBOLS)),
        symbol=np.tile(np.arange(len(SYMBOLS)), DAYS),
        window=np.zeros(rows, dtype=np.int64),
        label=(ahead > 0).astype(np.float64),
        forward_return=ahead,
        training_rate=np.full(rows, 0.5),
        horizon=3,
    )
    kept = np.arange(rows) >= skip * len(SYMBOLS)
    said = [Forecast(name, raw := rng.random(int(kept.sum())), raw) for name in models]
    chosen = all_rows.where(kept)
    forecasts = [*said, Forecast("base_rate", chosen.training_rate, chosen.training_rate)]
    counts = dict.fromkeys(models, 10)
    return Gathered(chosen, forecasts, [WINDOW], counts, {}, {}, {}, {}, SYMBOLS, Importance(), np.arange(len(chosen)))


@pytest.fixture
def telemetry(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def examined(telemetry: TelemetryStore, subject: Subject = SUBJECT, found: Gathered | None = None) -> Examination:
    return examine(subject, found or gathered(), COST, telemetry)


def of(seed: int) -> Subject:
    """The same models with other parameters."""
    return replace(SUBJECT, teacher=TeacherParameters(seed=seed))


def test_a_trial_is_parameters_and_a_model_however_often_they_are_evaluated(telemetry: TelemetryStore) -> None:
    first = examined(telemetry)
    assert (first.trials, first.sharpes["teacher"].trials) == (2, 2)
    for found in (first, examined(telemetry), examined(telemetry, of(2), gathered(seed=2))):
        note(telemetry, found)
    third = examined(telemetry, of(3), gathered(("teacher",), seed=3))
    assert third.trials == 5
    assert third.overfitting is not None
    assert (third.overfitting.trials, third.overfitting.splits, third.overfitting.periods) == (5, 252, 49)
    (teacher, base_rate) = third.scores
    assert (teacher["trials"], teacher["overfitting_trials"]) == (5, 5)
    assert teacher["overfitting"] == third.overfitting.probability
    assert 0 < teacher["deflated_sharpe"] < teacher["probabilistic_sharpe"] < 1
    assert teacher["sharpe_low"] < teacher["sharpe"] < teacher["sharpe_high"]
    # Nobody chooses a baseline for its luck.
    assert (base_rate["trials"], base_rate["deflated_sharpe"]) == (None, None)


def test_trials_of_other_dates_or_universes_are_not_weighed_with_these(telemetry: TelemetryStore) -> None:
    note(telemetry, examined(telemetry, of(2), gathered(skip=60, seed=2)))
    other = read_market({"universe": "data/universes/other.csv", "end": "2024-12-31"})
    note(telemetry, examined(telemetry, replace(of(3), settings=other), gathered(seed=3)))
    found = examined(telemetry)
    # Those of other dates were tried all the same.
    assert found.trials == 4
    assert found.overfitting is not None
    assert found.overfitting.trials == 2


def test_what_was_found_is_found_again_until_models_parameters_or_costs_are_others(telemetry: TelemetryStore) -> None:
    assert findings_of(telemetry, SUBJECT, COST) is None
    found = examined(telemetry)
    note(telemetry, found)
    told = findings_of(telemetry, SUBJECT, COST)
    assert told is not None
    assert told == found.as_json()
    assert findings_of(telemetry, SUBJECT, COST + 1) is None
    assert findings_of(telemetry, of(2), COST) is None
    retrained = replace(SUBJECT, trees={("teacher", "A", WINDOW.key): "others"})
    assert findings_of(telemetry, retrained, COST) is None
    assert findings_of(telemetry, replace(SUBJECT, batch_id="c"), COST) is None


def test_the_findings_name_rows_dates_blocks_symbols_and_months(telemetry: TelemetryStore) -> None:
    told = examined(telemetry).as_json()
    head = told["head"]
    assert (head["rows"], head["dates"], head["blocks"], head["symbols"]) == (1500, 150, 16, 10)
    assert [score["score"] for score in told["scores"]] == ["teacher", "student", "base_rate"]
    student = told["scores"][1]
    assert {(each["less"], each["metric"]) for each in student["differences"]} == {
        ("teacher", "log_loss"), ("teacher", "rank_ic"), ("base_rate", "log_loss"),
    }  # fmt: skip
    assert all((each["rows"], each["dates"], each["blocks"]) == (1500, 150, 16) for each in student["differences"])
    assert (student["symbols_judged"], student["symbols_stay"]) == (10, 0)
    assert student["confidence_sets"]["log_loss"]["dates"] == 150
    assert [row["symbol"] for row in told["symbols"]["teacher"]["by_symbol"]] == list(SYMBOLS)
    assert [each["month"] for each in told["months"]["student"]] == [f"2024-0{month}" for month in range(1, 6)]


def test_without_a_row_there_is_a_sentence(telemetry: TelemetryStore) -> None:
    nothing = gathered()
    nothing = replace(nothing, rows=nothing.rows.where(np.zeros(len(nothing.rows), dtype=bool)), missing={"teacher": 3})
    with pytest.raises(UsageError, match=r"No model is left to evaluate\. 3 teachers are not on disk"):
        examine(SUBJECT, nothing, COST, telemetry)
