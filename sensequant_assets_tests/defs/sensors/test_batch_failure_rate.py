"""Claims about the sensor that judges batches of several runs."""

from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.verdicts import verdict_on
from sensequant_assets.telemetry.records import BatchStart, CheckVerdict, Plan, RunEnd, WindowRun
from sensequant_assets_tests.operating import (
    Office,
    evaluations,
    opened,
    webhook,
)


def several_runs(office: Office, batch: str, failed_by_run: list[int], windows_by_run: int) -> None:
    """A batch of several runs as they leave it: rows and verdicts in telemetry, finished runs in Dagster."""
    for number, failed in enumerate(failed_by_run):
        run = dg.DagsterRun(
            job_name="training",
            tags={"dagster/backfill": batch},
            status=dg.DagsterRunStatus.FAILURE if failed / windows_by_run > 0.15 else dg.DagsterRunStatus.SUCCESS,
        )
        office.instance.add_run(run)
        window = date(2022, 1, 1) + timedelta(days=180 * number)
        symbols = [f"S{one:03d}" for one in range(windows_by_run)]
        with Journal(office.telemetry.shards, batch_id=batch, run_id=run.run_id, clock=utc_now) as journal:
            journal.append(BatchStart(universe="four", backfill_id=batch, source="ui", max_failure_rate=0.15))
            journal.append(Plan(model="teacher", windows=[(one, str(window)) for one in symbols]))
            whole = partial(WindowRun, model="teacher", universe="four", window_start=window)
            journal.append_many(
                whole(symbol=symbol, outcome="failed", failure_kind="corrupt_bars", error_message=f"bars of {symbol}")
                if place < failed
                else whole(symbol=symbol, outcome="trained", train_rows=116, constant=place == windows_by_run - 1)
                for place, symbol in enumerate(symbols)
            )
            within = failed / windows_by_run <= 0.15
            counts: dict[str, Any] = {"failed": failed, "trained": windows_by_run - failed, "reused": 0, "skipped": 0}
            journal.append(CheckVerdict(model="teacher", passed=within, not_attempted=0, **counts))
            journal.append(RunEnd(status="succeeded" if within else "failed"))


def test_a_batch_of_768_over_8_runs_is_judged_as_a_whole(office: Office) -> None:
    # 39 of 96 is 40.6 %; 68 of the other 672 make 107 of 768, which is 13.9 %.
    several_runs(office, "abcdefgh", [39, 10, 10, 10, 10, 10, 9, 9], 96)
    assert "abcdefgh" in str(office.tick("batch_failure_rate").skip_message)
    (evaluation,) = evaluations(office)
    assert evaluation.passed
    assert evaluation.metadata["failure_rate"].value == pytest.approx(107 / 768)
    assert evaluation.metadata["batch"].value == "abcdefgh"
    assert evaluation.metadata["failed_windows"].records[0].data["error"] == "bars of S000"
    assert "107 of 768 attempted teachers failed: 13.9% is within the limit of 15.0%" in evaluation.description
    verdict = verdict_on(office.telemetry, "abcdefgh", "teacher")
    assert verdict is not None
    assert verdict["run_id"] == ""
    assert (verdict["passed"], verdict["failed"]) == (True, 107)
    by_run = office.rows("SELECT failed, passed FROM verdicts WHERE run_id <> '' ORDER BY failed DESC LIMIT 2")
    assert by_run == [{"failed": 39, "passed": False}, {"failed": 10, "passed": True}]


def test_models_that_know_nothing_are_told_of_the_whole_batch(office: Office) -> None:
    # The last window of every run; the run that ends last would speak of its own alone.
    several_runs(office, "abcdefgh", [9, 9, 9], 96)
    office.tick("batch_failure_rate")
    (evaluation,) = evaluations(office, "not_constant")
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluation.description == (
        "Batch abcdefgh, all runs: 3 of 261 teachers say the same of every row: they know nothing."
    )
    table = evaluation.metadata["constant_windows"]
    assert [record.data for record in table.records] == [
        {"symbol": "S095", "window": window, "train_rows": 116} for window in ("2022-01-01", "2022-06-30", "2022-12-27")
    ]
    (limit,) = evaluations(office)
    assert limit.passed


def test_a_batch_is_judged_once_and_one_of_a_single_run_not_at_all(office: Office) -> None:
    several_runs(office, "onerunly", [9], 96)
    several_runs(office, "abcdefgh", [9, 9], 96)
    office.tick("batch_failure_rate")
    assert "No batch" in str(office.tick("batch_failure_rate").skip_message)
    assert len(evaluations(office)) == 1


def test_a_batch_with_a_run_still_to_come_is_not_judged(office: Office) -> None:
    several_runs(office, "abcdefgh", [9, 9], 96)
    late = dg.DagsterRun(job_name="training", tags={"dagster/backfill": "abcdefgh"}, status=dg.DagsterRunStatus.STARTED)
    office.instance.add_run(late)
    assert "No batch" in str(office.tick("batch_failure_rate").skip_message)
    office.instance.report_run_failed(late)
    assert "abcdefgh" in str(office.tick("batch_failure_rate").skip_message)
    # It never said which windows it was to train, and the verdict says so.
    (evaluation,) = evaluations(office)
    assert evaluation.metadata["silent_runs"].value == 1
    assert "1 runs died before their first record" in evaluation.description


def test_an_older_batch_does_not_speak_after_a_newer_one(office: Office) -> None:
    several_runs(office, "olderone", [9, 9], 96)
    several_runs(office, "newerone", [9], 96)
    office.tick("batch_failure_rate")
    assert evaluations(office) == []
    assert verdict_on(office.telemetry, "olderone", "teacher")["run_id"] == ""  # type: ignore[index]


def test_a_batch_above_the_limit_is_posted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (url, received), opened(tmp_path, monkeypatch, webhook_url=url) as office:
        several_runs(office, "abcdefgh", [39, 39], 96)
        office.tick("batch_failure_rate")
        office.tick("batch_failure_rate")
        (message,) = received
        assert (message["sensor"], message["batch"]) == ("batch_failure_rate", "abcdefgh")
        assert "78 of 192 attempted teachers failed: 40.6% exceeds the limit" in message["message"]
        assert not evaluations(office)[0].passed
