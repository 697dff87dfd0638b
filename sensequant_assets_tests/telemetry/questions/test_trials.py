"""Claims about what was tried before, and what was found."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.telemetry.questions.trials import latest_findings, past_trials
from sensequant_assets.telemetry.records import Evaluation, Trial
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, journal_of

MODELS = ("teacher", "student")


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def tried(evaluation: str, score: str = "teacher", **fields: Any) -> Trial:
    told: dict[str, Any] = {"universe": "five", "parameters_fingerprint": "p", "dates": 1}
    return Trial(evaluation=evaluation, score=score, **told | fields)


def test_a_trial_counts_once_with_the_series_of_its_longest_evaluation(store: TelemetryStore) -> None:
    series = {"date": ["2024-01-01", "2024-01-02"], "top_return_net": [0.5, -0.25]}
    with journal_of(store, run_id="") as told:
        told.append_many(
            [
                tried("1", dates=2, series=series),
                tried("2", dates=1, series={"date": ["2024-01-01"], "top_return_net": [0.5]}),
                tried("3", dates=9),
                tried("3", "student", parameters_fingerprint="q"),
                tried("3", "base_rate"),
                tried("4", universe="other"),
                tried("5", parameters_fingerprint=None),
            ]
        )
    one, other = past_trials(store, "five", MODELS)
    assert (one.parameters_fingerprint, one.score) == ("p", "teacher")
    assert one.series == {"2024-01-01": 0.5, "2024-01-02": -0.25}
    assert (other.parameters_fingerprint, other.score, other.series) == ("q", "student", {})


def test_the_last_findings_of_a_subject_are_those_of_its_batch(store: TelemetryStore) -> None:
    assert latest_findings(store, "b", "s") is None
    for number, batch in enumerate(("b", "b", "c")):
        with journal_of(store, batch, "", at=NOON + timedelta(hours=number)) as told:
            told.append(Evaluation(evaluation=str(number), subject_fingerprint="s", findings={"number": number}))
            told.append(Evaluation(evaluation=f"{number} of another", subject_fingerprint="t", findings={}))
    assert latest_findings(store, "b", "s") == {"number": 1}
    assert latest_findings(store, "c", "s") == {"number": 2}
    assert latest_findings(store, "b", "u") is None
