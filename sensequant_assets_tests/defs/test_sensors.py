"""Claims about the sensors, on a real instance, real bars and real runs."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from sensequant_assets.defs.home import prepare_home
from sensequant_assets.defs.names import ATTEMPT_TAG, BATCH_TAG
from sensequant_assets.defs.partitions import symbol_partitions
from sensequant_assets.defs.runs import fail_dead_runs
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import BatchStart, CheckVerdict, Plan, RunEnd, WindowRun
from sensequant_assets.text import printable
from sensequant_assets_tests.operating import (
    STUDENT,
    SYMBOLS,
    TEACHER,
    WINDOWS,
    Office,
    history,
    new_days,
    office_settings,
)
from sensequant_assets_tests.running import corrupt, leave, write_universe
from sensequant_assets_tests.test_text import NASTY

CHECK_KEY = dg.AssetCheckKey(dg.AssetKey("teacher_models"), "max_failure_rate")
OPEN = WINDOWS[1]


@contextmanager
def opened(directory: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Iterator[Office]:
    leave(monkeypatch, directory)
    settings = read_settings(office_settings(directory, workers=1, **changed))
    prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        yield Office(settings, instance)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with opened(tmp_path, monkeypatch) as office:
        yield office


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str | None]:
    """A directory in which the sensor has trained the whole lattice, and its cursor then."""
    directory = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as monkeypatch, opened(directory, monkeypatch) as office:
        (request,) = office.tick("new_bars").run_requests
        assert len(office.outcomes(request.tags[BATCH_TAG])) == 8
        cursor = office.cursors["new_bars"]
    return directory, cursor


@pytest.fixture
def trained(template: tuple[Path, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A copy of that office."""
    directory, cursor = template
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    with opened(tmp_path, monkeypatch) as office:
        office.cursors["new_bars"] = cursor
        yield office


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on the loopback that keeps what is posted to it."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # its base class calls it so
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=s3cret", received
    finally:
        server.shutdown()
        server.server_close()


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-9])
    return path


def test_the_first_look_trains_what_was_never_trained_in_one_run(trained: Office) -> None:
    (run,) = trained.instance.get_runs()
    # The third window has no bars and is not asked for.
    assert trained.outcomes(run.tags[BATCH_TAG]) == {
        f"{symbol}|{window}": "trained" for symbol in SYMBOLS for window in WINDOWS[:2]
    }
    assert run.tags["sensequant/source"] == "sensor"
    assert trained.rows("SELECT source FROM batches") == [{"source": "sensor"}]


def test_bars_that_have_not_changed_ask_for_nothing(trained: Office) -> None:
    found = trained.tick("new_bars")
    assert not found.run_requests
    assert found.skip_message == "The bars are those that were taken last."


def test_new_days_of_three_symbols_retrain_their_open_windows_once_in_one_run(trained: Office) -> None:
    new_days(SYMBOLS[:3]).to_csv(trained.bars / "2009-11-23.csv", index=False)
    (request,) = trained.tick("new_bars").run_requests
    assert trained.outcomes(request.tags[BATCH_TAG]) == {f"{symbol}|{OPEN}": "trained" for symbol in SYMBOLS[:3]}
    assert trained.outcomes(request.tags[BATCH_TAG], "student").keys() == {f"{one}|{OPEN}" for one in SYMBOLS[:3]}
    assert not trained.tick("new_bars").run_requests


def test_the_same_days_in_another_file_ask_for_nothing(trained: Office) -> None:
    history("AAPL").query("date <= '2009-11-16'").tail(3).assign(symbol="AAPL").to_parquet(trained.bars / "n.parquet")
    found = trained.tick("new_bars")
    assert not found.run_requests
    assert found.skip_message == "The bars have changed, and every window is trained on what it needs of them."


def test_a_file_with_an_old_time_stamp_and_the_same_size_is_seen_by_its_content(trained: Office) -> None:
    file = trained.bars / "IBM.csv"
    stat, text = file.stat(), file.read_text()
    day = next(line for line in text.splitlines() if line.startswith("2009-08-03"))
    cells = day.split(",")
    cells[1] = cells[2]  # the day opens at its high
    changed = text.replace(day, ",".join(cells))
    file.write_text(changed)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (request,) = trained.tick("new_bars").run_requests
    assert set(trained.outcomes(request.tags[BATCH_TAG])) == {f"IBM|{OPEN}"}


def test_a_correction_taken_back_is_trained_again(trained: Office) -> None:
    file = trained.bars / "n.csv"
    runs = []
    for _ in range(2):
        new_days(["AAPL"]).to_csv(file, index=False)
        runs += trained.tick("new_bars").run_requests
        file.unlink()
        runs += trained.tick("new_bars").run_requests
    assert len({request.run_key for request in runs}) == 4
    assert {outcome for request in runs for outcome in trained.outcomes(request.tags[BATCH_TAG]).values()} == {
        "trained"
    }


def test_a_daemon_killed_after_the_look_asks_for_the_same_run_again(trained: Office) -> None:
    new_days(["AAPL"]).to_csv(trained.bars / "n.csv", index=False)
    first, second = trained.look("new_bars"), trained.look("new_bars")
    assert first.run_requests[0].run_key == second.run_requests[0].run_key
    assert first.cursor == second.cursor


def test_a_run_that_broke_off_is_asked_for_again_and_not_for_ever(trained: Office) -> None:
    new_days(["AAPL"]).to_csv(trained.bars / "n.csv", index=False)
    keys = []
    for _ in range(3):
        found = trained.look("new_bars")
        trained.cursors["new_bars"] = found.cursor
        (request,) = found.run_requests
        keys.append(request.run_key)
        # Its process dies before the first window.
        trained.instance.add_run(
            dg.DagsterRun(job_name="training", tags=request.tags, status=dg.DagsterRunStatus.FAILURE)
        )
    assert len(set(keys)) == 3
    with pytest.raises(Exception, match=r"Batch bars-\w+ broke off, as did the 2 before it"):
        trained.tick("new_bars")
    assert "broke off" in str(trained.tick("new_bars").skip_message)


def test_no_pair_is_asked_for_while_the_run_for_it_is_under_way(trained: Office) -> None:
    new_days(["AAPL"]).to_csv(trained.bars / "n.csv", index=False)
    found = trained.look("new_bars")
    trained.cursors["new_bars"] = found.cursor
    trained.instance.add_run(
        dg.DagsterRun(job_name="training", tags=found.run_requests[0].tags, status=dg.DagsterRunStatus.STARTED)
    )
    new_days(["AAPL"], 7).to_csv(trained.bars / "n.csv", index=False)
    waiting = trained.tick("new_bars")
    assert not waiting.run_requests
    assert "is under way" in str(waiting.skip_message)


def test_a_cut_file_fails_one_tick_that_names_it_and_the_others_are_taken(trained: Office) -> None:
    new_days(["AAPL", "IBM"]).to_csv(trained.bars / "good.csv", index=False)
    new_days(["MSFT"]).to_csv(trained.bars / "bad.csv", index=False)
    cut(trained.bars / "bad.csv")
    (request,) = trained.tick("new_bars").run_requests
    assert trained.outcomes(request.tags[BATCH_TAG]) == {f"AAPL|{OPEN}": "trained", f"IBM|{OPEN}": "trained"}
    with pytest.raises(Exception, match=r"Some bars were not taken, the others were: \S+bad\.csv cannot be read"):
        trained.tick("new_bars")
    for _ in range(2):
        found = trained.tick("new_bars")
        assert not found.run_requests
        assert f"Still not taken: {trained.bars / 'bad.csv'} cannot be read" in str(found.skip_message)
    new_days(["MSFT"]).to_csv(trained.bars / "bad.csv", index=False)
    (request,) = trained.tick("new_bars").run_requests
    assert trained.outcomes(request.tags[BATCH_TAG]) == {f"MSFT|{OPEN}": "trained"}


def test_the_same_cut_file_dropped_a_second_time_is_told_a_second_time(trained: Office) -> None:
    bad = trained.bars / "bad.csv"
    for _ in range(2):
        new_days(["MSFT"]).to_csv(bad, index=False)
        cut(bad)
        with pytest.raises(Exception, match=r"bad\.csv"):
            trained.tick("new_bars")
        trained.tick("new_bars")
        bad.unlink()
        trained.tick("new_bars")


def test_bars_that_contradict_each_other_cost_only_their_symbol(trained: Office) -> None:
    changed = history("GOOG").query("date == '2009-11-16'").assign(symbol="GOOG", volume=1)
    changed.to_csv(trained.bars / "wrong.csv", index=False)
    new_days(["IBM"]).to_csv(trained.bars / "good.csv", index=False)
    (request,) = trained.tick("new_bars").run_requests
    assert set(trained.outcomes(request.tags[BATCH_TAG])) == {f"IBM|{OPEN}"}
    with pytest.raises(Exception, match=r"wrong\.csv, row 2: GOOG: volume of 2009-11-16"):
        trained.tick("new_bars")


def test_a_window_that_cannot_be_trained_on_its_data_is_not_tried_again_for_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, monkeypatch, max_failure_rate=0.25) as office:
        flat = history("GOOG").query("date <= '2009-11-16'")
        flat.loc[flat["date"] >= "2009-01-01", ["open", "high", "low", "close", "adj_close"]] = 100.0
        flat.to_csv(office.bars / "GOOG.csv", index=False)
        (request,) = office.tick("new_bars").run_requests
        failed = {pair for pair, outcome in office.outcomes(request.tags[BATCH_TAG]).items() if outcome == "failed"}
        assert failed == {f"GOOG|{window}" for window in WINDOWS[:2]}
        new_days(["AAPL"]).to_csv(office.bars / "n.csv", index=False)
        (request,) = office.tick("new_bars").run_requests
        assert set(office.outcomes(request.tags[BATCH_TAG])) == {f"AAPL|{OPEN}"}


def test_a_symbol_that_the_universe_gains_gets_partitions_and_its_windows(trained: Office) -> None:
    history("FB").to_csv(trained.bars / "FB.csv", index=False)
    history("AAPL").query("date <= '2009-11-16'").to_csv(trained.bars / "ZZZ.csv", index=False)
    assert not trained.tick("new_bars").run_requests
    write_universe(trained.settings.universe, [*SYMBOLS, "ZZZ"])
    found = trained.tick("new_bars")
    assert [list(added.partition_keys) for added in found.dynamic_partitions_requests] == [["ZZZ"]]
    assert set(trained.outcomes(found.run_requests[0].tags[BATCH_TAG])) == {f"ZZZ|{window}" for window in WINDOWS[:2]}
    assert not trained.tick("new_bars").run_requests


def test_a_universe_that_breaks_a_rule_fails_one_tick(trained: Office) -> None:
    trained.settings.universe.write_text("symbol\nAAPL\nno symbol\n")
    with pytest.raises(Exception, match=r"four\.csv, row 3: 'no symbol' is not a symbol"):
        trained.tick("new_bars")
    assert "row 3" in str(trained.tick("new_bars").skip_message)


def test_the_embedded_sample_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, monkeypatch, bars="sample") as office:
        assert "never changes" in str(office.tick("new_bars").skip_message)


def test_one_file_of_all_symbols_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.parquet"
    everything = [history(symbol).query("date <= '2009-11-16'").assign(symbol=symbol) for symbol in SYMBOLS]
    pd.concat(everything).to_parquet(file)
    with opened(tmp_path, monkeypatch, bars=str(file)) as office:
        office.tick("new_bars")
        pd.concat([*everything, new_days(["IBM"])]).to_parquet(file)
        (request,) = office.tick("new_bars").run_requests
        assert set(office.outcomes(request.tags[BATCH_TAG])) == {f"IBM|{OPEN}"}


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
                else whole(symbol=symbol, outcome="trained")
                for place, symbol in enumerate(symbols)
            )
            within = failed / windows_by_run <= 0.15
            counts: dict[str, Any] = {"failed": failed, "trained": windows_by_run - failed, "reused": 0, "skipped": 0}
            journal.append(CheckVerdict(model="teacher", passed=within, not_attempted=0, **counts))
            journal.append(RunEnd(status="succeeded" if within else "failed"))


def evaluations(office: Office) -> list[Any]:
    records = office.instance.event_log_storage.get_asset_check_execution_history(CHECK_KEY, limit=10)
    return [record.event.dagster_event.asset_check_evaluation_data for record in records if record.event]


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
    verdict = office.telemetry.verdict("abcdefgh", "teacher")
    assert verdict is not None
    assert verdict["run_id"] == ""
    assert (verdict["passed"], verdict["failed"]) == (True, 107)
    by_run = office.rows("SELECT failed, passed FROM verdicts WHERE run_id <> '' ORDER BY failed DESC LIMIT 2")
    assert by_run == [{"failed": 39, "passed": False}, {"failed": 10, "passed": True}]


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
    assert office.telemetry.verdict("olderone", "teacher")["run_id"] == ""  # type: ignore[index]


def test_a_batch_above_the_limit_is_posted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (url, received), opened(tmp_path, monkeypatch, webhook_url=url) as office:
        several_runs(office, "abcdefgh", [39, 39], 96)
        office.tick("batch_failure_rate")
        office.tick("batch_failure_rate")
        (message,) = received
        assert (message["sensor"], message["batch"]) == ("batch_failure_rate", "abcdefgh")
        assert "78 of 192 attempted teachers failed: 40.6% exceeds the limit" in message["message"]
        assert not evaluations(office)[0].passed


PARAMETERS = {"resources": {"teacher": {"config": {"n_estimators": 13}}}}


def timed_out(office: Office, batch: str = "first", symbols: tuple[str, ...] = ("AAPL", "IBM")) -> None:
    """A batch in which everything that was to be trained ran into its time limit."""
    pairs = [f"{symbol}|{WINDOWS[0]}" for symbol in symbols]
    office.instance.add_dynamic_partitions("symbols_four", list(SYMBOLS))
    office.train(
        {"pairs": pairs, "window_timeout_s": 1e-9, "max_failure_rate": 0.4},
        PARAMETERS,
        tags={
            BATCH_TAG: batch,
            "dagster/asset_partition_range_start": pairs[0],
            "dagster/asset_partition_range_end": pairs[0],
        },
    )
    failed = office.rows(
        "SELECT DISTINCT failure_kind FROM window_runs WHERE batch_id = ? AND outcome = 'failed'", batch
    )
    assert failed == [{"failure_kind": "timeout"}]


def records(office: Office, model: str) -> list[dict[str, Any]]:
    """Records of the models on disk."""
    found = (office.settings.data_dir / "models" / "four" / model).rglob("*.json")
    return [json.loads(path.read_text()) for path in found]


def test_time_outs_are_tried_again_in_the_same_batch_with_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, monkeypatch, retry_backoff_s=0.001) as office:
        timed_out(office)
        (request,) = office.tick("retry_transient").run_requests
        assert request.tags[BATCH_TAG] == "first"
        assert office.outcomes("first") == {f"{symbol}|{WINDOWS[0]}": "trained" for symbol in ("AAPL", "IBM")}
        assert office.outcomes("first", "student") == office.outcomes("first")
        assert office.rows("SELECT DISTINCT attempt FROM window_runs ORDER BY attempt") == [
            {"attempt": 1}, {"attempt": 2}
        ]  # fmt: skip
        assert {record["parameters"]["num_iterations"] for record in records(office, "teacher")} == {"13"}
        assert office.rows("SELECT max_failure_rate FROM batches") == [{"max_failure_rate": 0.4}]
        assert not office.tick("retry_transient").run_requests
        # Several runs now: the batch is judged by the latest attempts.
        office.tick("batch_failure_rate")
        assert evaluations(office)[0].passed


def test_a_retry_takes_the_students_along_that_the_failures_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, monkeypatch, retry_backoff_s=0.001) as office:
        pair = f"GOOG|{WINDOWS[0]}"
        # One teacher of three is there already: its student is blocked by the two that run into their limit.
        office.train({"pairs": [pair]}, PARAMETERS, tags={
            "dagster/asset_partition_range_start": pair, "dagster/asset_partition_range_end": pair
        })  # fmt: skip
        timed_out(office, symbols=("AAPL", "GOOG", "IBM"))
        assert office.outcomes("first", "student")[pair] == "not_attempted"
        office.tick("retry_transient")
        assert set(office.outcomes("first", "student").values()) == {"trained", "reused"}


def test_a_retry_waits_and_waits_longer_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, monkeypatch, retry_backoff_s=3600) as office:
        timed_out(office)
        found = office.tick("retry_transient")
        assert not found.run_requests
        assert "Waits to try again: batch first at" in str(found.skip_message)


def test_attempts_end_at_the_limit_even_if_their_processes_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, monkeypatch, retry_backoff_s=0.001, retry_limit=3) as office:
        timed_out(office)
        for attempt in ("2", "3"):
            (request,) = office.look("retry_transient").run_requests
            assert request.tags[ATTEMPT_TAG] == attempt
            office.instance.add_run(
                dg.DagsterRun(job_name="training", tags=request.tags, status=dg.DagsterRunStatus.FAILURE)
            )
        assert not office.look("retry_transient").run_requests


def test_bad_data_are_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, monkeypatch, retry_backoff_s=0.001) as office:
        corrupt(office.bars / "IBM.csv", line=50)
        pair = f"IBM|{WINDOWS[0]}"
        office.train({"pairs": [pair]}, tags={
            "dagster/asset_partition_range_start": pair, "dagster/asset_partition_range_end": pair
        })  # fmt: skip
        assert office.rows("SELECT DISTINCT failure_kind FROM window_runs WHERE model = 'teacher'") == [
            {"failure_kind": "corrupt_bars"}
        ]
        assert "No failure of a batch can pass" in str(office.tick("retry_transient").skip_message)


def test_a_batch_without_a_sign_of_life_is_told_once_a_stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (url, received), opened(tmp_path, monkeypatch, webhook_url=url, stalled_after_min=30) as office:
        then = datetime.now(UTC) - timedelta(minutes=31)
        with Journal(office.telemetry.shards, batch_id="slow", run_id="r1", clock=lambda: then) as journal:
            journal.append(BatchStart(universe="four"))
            for _ in range(2):
                assert "Stalled: slow" in str(office.tick("stalled_batch").skip_message)
            assert len(office.rows("SELECT * FROM events WHERE kind = 'stalled'")) == 1
            with Journal(office.telemetry.shards, batch_id="slow", run_id="r1", clock=utc_now) as again:
                first = date.fromisoformat(WINDOWS[0])
                again.append(WindowRun(model="teacher", symbol="AAPL", window_start=first, outcome="trained"))
            assert "No batch is stalled" in str(office.tick("stalled_batch").skip_message)
        assert [message["sensor"] for message in received] == ["stalled_batch"]


def test_a_run_whose_process_was_killed_is_failed_and_a_living_one_is_not(office: Office) -> None:
    dead, alive = (dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.STARTED) for _ in range(2))
    for run in (dead, alive):
        office.instance.add_run(run)
    with Journal(office.telemetry.shards, batch_id="b", run_id=alive.run_id, clock=utc_now) as living:
        living.append(BatchStart())
        # A shard without its last line and without a lock is what a killed process leaves.
        shard = office.telemetry.shards / "b.dead.1.jsonl"
        record = {"record": "batch", "batch_id": "b", "run_id": dead.run_id, "at": utc_now().isoformat()}
        shard.write_text(json.dumps(record) + "\n")
        assert fail_dead_runs(office.instance, office.telemetry, office.settings.run_start_limit_s) == [dead.run_id]
    assert office.instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.FAILURE
    assert office.instance.get_run_by_id(alive.run_id).status is dg.DagsterRunStatus.STARTED


def test_a_started_run_without_a_record_is_failed_after_the_limit_that_is_given(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSEQUANT_RUN_START_LIMIT_S", "0.000001")
    silent = dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.STARTED)
    office.instance.add_run(silent)
    assert fail_dead_runs(office.instance, office.telemetry, 180) == []
    assert fail_dead_runs(office.instance, office.telemetry, 0) == [silent.run_id]


def test_every_sensor_is_off_until_it_is_switched_on_and_says_what_it_does(office: Office) -> None:
    sensors = office.definitions.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {"new_bars", "batch_failure_rate", "retry_transient", "stalled_batch"}
    for sensor in sensors:
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
        assert sensor.minimum_interval_seconds == 30
        assert sensor.description


def test_what_a_sensor_logs_is_a_line_that_prints(office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    with dg.build_sensor_context(
        instance=office.instance, definitions=office.definitions, sensor_name="new_bars"
    ) as context:
        Desk(office.settings, TEACHER, STUDENT, symbol_partitions("four")).tell(context, "b", NASTY)
    logged = capfd.readouterr().err
    assert printable(NASTY) in logged
    assert all(line.isprintable() for line in logged.split("\n"))
