"""Claims about the sensor that judges batches of several runs."""

from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from sensequant_assets.defs.names import ATTEMPT_TAG, BACKFILL_TAG, RANGE_END, RANGE_START
from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.verdicts import verdict_on
from sensequant_assets.telemetry.records import BatchStart, CheckVerdict, Event, Plan, RunEnd, WindowRun
from sensequant_assets_tests.defs.test_plans import launch
from sensequant_assets_tests.operating import (
    CHECK_KEY,
    SYMBOLS,
    WINDOWS,
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
    assert evaluation.metadata["failure_rate"].value == round(107 / 768, 4)
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
    assert "1 runs ended before their first record" in evaluation.description


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


LIMITED = {"retry_limit": 1}
"""Settings under which nothing is tried again."""
ROW = [(symbol, WINDOWS[0]) for symbol in SYMBOLS]


def killed(office: Office, batch: str | None, *, attempt: int = 1, told: bool = True) -> str:
    """A run of a window over all symbols that was killed, before or after its first teacher; its id."""
    add_symbols(office.instance, symbol_partitions("four"), SYMBOLS)
    tags = {RANGE_START: "|".join(ROW[0]), RANGE_END: "|".join(ROW[-1]), ATTEMPT_TAG: str(attempt)}
    run = dg.DagsterRun(
        job_name="training",
        tags=tags | ({BACKFILL_TAG: batch} if batch else {}),
        status=dg.DagsterRunStatus.STARTED,
    )
    office.instance.add_run(run)
    office.instance.report_run_failed(run)
    if told:
        journal = Journal(office.telemetry.shards, batch_id=batch or run.run_id, run_id=run.run_id, clock=utc_now)
        journal.append(BatchStart(universe="four", backfill_id=batch, source="ui", max_failure_rate=0.15))
        journal.append_many(Plan(model=model, windows=ROW) for model in ("teacher", "student"))
        journal.append(
            WindowRun(
                model="teacher", universe="four", symbol=SYMBOLS[0], window_start=date(2009, 1, 1), outcome="trained"
            )
        )
        journal.close()
    return run.run_id


def untried(evaluation: Any) -> list[tuple[str, str]]:
    """Symbol and reason of the windows that a verdict names as not attempted."""
    records = evaluation.metadata["not_attempted_windows"].records
    return [(record.data["symbol"], record.data["why"]) for record in records]


def test_a_batch_is_not_judged_while_a_killed_run_of_it_is_to_be_repeated(office: Office) -> None:
    several_runs(office, "abcdefgh", [9, 9], 96)
    killed(office, "abcdefgh")
    assert "Waits for the repeat of a killed run of abcdefgh." in str(office.tick("batch_failure_rate").skip_message)
    assert evaluations(office) == []


def test_a_repeat_that_nobody_makes_is_not_waited_for_any_longer(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    several_runs(office, "abcdefgh", [9, 9], 96)
    killed(office, "abcdefgh")
    office.tick("batch_failure_rate")
    # The sensor that repeats is off: it was due a minute after the death, and looks every half minute.
    later = timedelta(seconds=60 + 3 * 30 + 1)
    monkeypatch.setattr("sensequant_assets.defs.sensors.batch_failure_rate.utc_now", lambda: utc_now() + later)
    assert "Judged abcdefgh." in str(office.tick("batch_failure_rate").skip_message)
    (evaluation,) = evaluations(office)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert untried(evaluation) == [(symbol, "killed run") for symbol in SYMBOLS[1:]]


@pytest.mark.parametrize("batch", ["abcdefgh", None])
def test_a_batch_of_one_run_that_was_killed_is_judged_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: str | None
) -> None:
    with webhook() as (url, received), opened(tmp_path, monkeypatch, webhook_url=url, **LIMITED) as office:
        run = killed(office, batch)
        office.tick("batch_failure_rate")
        (evaluation,) = evaluations(office)
        assert not evaluation.passed
        assert "0 of 1 attempted teachers failed: 0.0% is within the limit of 15.0%." in evaluation.description
        assert evaluation.description.endswith("3 planned windows were not attempted. Why: killed run (3).")
        assert [message["batch"] for message in received] == [batch or run]
        assert "No batch" in str(office.tick("batch_failure_rate").skip_message)


def test_a_batch_whose_runs_all_died_before_their_first_record_is_judged_by_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, monkeypatch, **LIMITED) as office:
        launch(office)
        killed(office, "abcdefgh", told=False)
        backfill = office.instance.get_backfill("abcdefgh")
        assert backfill is not None
        # The first look finds the dead run and tells for it; while the daemon starts runs, nothing is judged.
        for _ in range(2):
            assert "No batch" in str(office.tick("batch_failure_rate").skip_message)
        office.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_FAILED))
        assert "Judged abcdefgh." in str(office.tick("batch_failure_rate").skip_message)
        (evaluation,) = evaluations(office)
        assert (evaluation.passed, evaluation.metadata["not_attempted"].value) == (False, 12)
        assert "No teacher was attempted; 0 windows were skipped. 12 planned windows" in evaluation.description
        assert "Why: no run came to it (8), killed run (4)." in evaluation.description


def test_students_that_the_teachers_of_their_run_blocked_are_blamed_on_those_and_pass_with_no_batch(
    office: Office,
) -> None:
    several_runs(office, "abcdefgh", [39, 0, 0], 96)
    blocked, *others = office.rows("SELECT run_id, any_value(window_start)::VARCHAR AS first_day FROM window_runs "
                                   "GROUP BY run_id ORDER BY first_day")  # fmt: skip
    for run in (blocked, *others):
        with Journal(office.telemetry.shards, batch_id="abcdefgh", run_id=run["run_id"], clock=utc_now) as journal:
            journal.append(Plan(model="student", windows=[("S000", run["first_day"])]))
            if run is blocked:
                journal.append(Event(level="error", kind="blocked", message="Too many teachers failed."))
                continue
            day = date.fromisoformat(run["first_day"])
            journal.append(
                WindowRun(model="student", universe="four", symbol="S000", window_start=day, outcome="trained")
            )
    office.tick("batch_failure_rate")
    assert evaluations(office)[0].passed
    (students,) = evaluations(office, CHECK_KEY.name, "student_models")
    assert not students.passed
    assert untried(students) == [("S000", "too many failed teachers")]
    assert students.metadata["failed"].value == 0
