"""How far a batch is, with numbers counted by hand."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from sensequant_assets.cli.main import main
from sensequant_assets.cli.options import NO_BATCH
from sensequant_assets.cli.progress import view
from sensequant_assets.defs.home import open_instance, prepare_home
from sensequant_assets.errors import FailedWindow
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.questions.events import DevicesTold
from sensequant_assets.telemetry.records import Plan, Record, RunEnd, WindowRun
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.progress import GAP_S, Progress, follow, progress, read_progress
from sensequant_assets_tests.running import Home, Process, finish, leave
from sensequant_assets_tests.telling import NOON, W1, W2, after, window, write_run

PAIRS = [(symbol, start) for symbol in "ABCDE" for start in (W1, W2)]
"""Ten windows of each model."""

BATCH: dict[str, Any] = {
    "batch_id": "b",
    "source": "cli",
    "universe": "five",
    "backfill_id": None,
    "status": "running",
    "started_at": NOON,
    "ended_at": None,
    "last_event_at": after(118),
    "max_failure_rate": 0.15,
    "runs": 1,
    "runs_ended": 0,
    "judged": False,
    "limit_by": "",
    "stopped": {},
}
TEACHERS = {"model": "teacher", "trained": 60, "reused": 5, "skipped": 15, "failed": 20, "not_attempted": 0}
STUDENTS = {"model": "student", "trained": 10, "reused": 0, "skipped": 10, "failed": 0, "not_attempted": 80}
SECONDS = [
    {"second": after(30), "windows": 90},
    {"second": after(60), "windows": 6},
    {"second": after(61), "windows": 20},
    {"second": after(118), "windows": 4},
]


def text(found: Progress, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(view(found), soft_wrap=True)
    return capture.get()


def now() -> datetime:
    return after(120)


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "data" / "telemetry")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", str(tmp_path / "data"))
    return lambda *arguments: CliRunner().invoke(main, ["progress", *arguments])


def test_percent_is_of_the_planned_lattice_of_both_models() -> None:
    found = progress(BATCH, [TEACHERS, STUDENTS], SECONDS, [], now=now())
    assert (found.done, found.planned, found.percent) == (120, 200, 60.0)
    assert [model.planned for model in found.models] == [100, 100]


def test_devices_stand_below_the_pace_and_their_warnings_too() -> None:
    told = DevicesTold(
        ({"device": "gpu 0:1", "said": "gpu 0:1 (Acme): 3 windows"},), ("It stood idle.",), "Not NVIDIA's."
    )
    found = progress(BATCH, [TEACHERS], SECONDS, [], now=now(), devices=told)
    assert text(found).splitlines()[-3:] == ["gpu 0:1 (Acme): 3 windows", "Not NVIDIA's.", "It stood idle."]
    assert found.as_json()["devices"] == [{"device": "gpu 0:1", "said": "gpu 0:1 (Acme): 3 windows"}]
    assert found.as_json()["device_warnings"] == ["It stood idle."]


def test_the_failure_rate_leaves_skips_out() -> None:
    teachers, students = progress(BATCH, [TEACHERS, STUDENTS], SECONDS, [], now=now()).models
    # 20 of 60 + 5 + 20, not of 100.
    assert teachers.failure_rate == 20 / 85
    assert teachers.exceeded
    assert students.failure_rate == 0
    assert not students.exceeded


def test_the_pace_is_of_the_last_minute_and_gives_the_rest() -> None:
    found = progress(BATCH, [TEACHERS, STUDENTS], SECONDS, [], now=now())
    assert found.elapsed_s == 120
    assert found.windows_per_s == 1.0
    # Second 60 is a minute old and out: 20 + 4 windows in 60 s, and 80 to go.
    assert found.recent_windows_per_s == 0.4
    assert found.eta_s == pytest.approx(200)
    assert found.idle_s == 2


def test_in_its_first_minute_the_recent_pace_is_that_since_the_start() -> None:
    found = progress(BATCH, [STUDENTS], [{"second": after(3), "windows": 20}], [], now=after(8))
    assert found.recent_windows_per_s == 2.5
    assert found.eta_s == 32


def test_a_stalled_batch_has_no_estimate() -> None:
    found = progress(BATCH, [STUDENTS], SECONDS, [], now=after(500))
    assert found.recent_windows_per_s == 0
    assert found.eta_s is None
    assert "no estimate of the rest" in text(found)
    assert "no record for 0:06:22" in text(found)


def test_an_ended_batch_is_measured_to_its_end() -> None:
    ended = BATCH | {"status": "succeeded", "ended_at": after(60), "runs_ended": 1}
    found = progress(ended, [TEACHERS, STUDENTS], SECONDS, [], now=after(9999))
    assert found.ended
    assert (found.elapsed_s, found.windows_per_s, found.recent_windows_per_s, found.eta_s) == (60, 2.0, None, None)


def test_an_interrupted_batch_is_measured_to_its_last_record() -> None:
    found = progress(BATCH | {"status": "interrupted"}, [STUDENTS], SECONDS, [], now=after(9999))
    assert found.ended
    assert found.elapsed_s == 118


def test_a_backfill_between_two_runs_has_not_ended() -> None:
    between = BATCH | {"status": "succeeded", "ended_at": after(118), "backfill_id": "b", "runs": 2, "runs_ended": 2}
    soon = progress(between, [TEACHERS], SECONDS, [], now=after(118 + GAP_S))
    assert not soon.ended
    late = progress(between, [TEACHERS], SECONDS, [], now=after(119 + GAP_S))
    assert late.ended
    assert progress(between | {"judged": True}, [TEACHERS], SECONDS, [], now=after(119)).ended


def test_a_batch_without_a_plan_has_no_percent() -> None:
    found = progress(BATCH | {"max_failure_rate": None}, [], [], [], now=NOON)
    assert found.percent is None
    assert found.windows_per_s is None
    assert "Nothing is planned yet." in text(found)
    assert found.as_json()["percent"] is None


def test_an_unknown_limit_is_said_and_never_exceeded() -> None:
    found = progress(BATCH | {"max_failure_rate": None}, [TEACHERS], [], [], now=now())
    assert not found.models[0].exceeded
    assert found.as_json()["models"]["teacher"]["max_failure_rate"] is None
    assert "23.5%      ?" in text(found)


def test_the_view_fits_eighty_columns_and_takes_errors_as_they_are() -> None:
    failures = [FailedWindow("teacher", "A", W1, "timeout", "[bold]x")]
    shown = text(progress(BATCH, [TEACHERS, STUDENTS], SECONDS, failures, now=now()))
    lines = shown.splitlines()
    assert lines[0] == "Batch b (cli five): running"
    assert "60.0 %  120 of 200 planned" in lines[1]
    assert "0.4 windows/s over the last 60 s, 1.0 windows/s overall, 0:02:00 so far, about 0:03:20 to go" in lines
    assert lines[-2:] == ["First 1 of 20 failures:", f"  teacher A {W1} timeout: [bold]x"]
    header = next(line for line in lines if line.startswith("model"))
    assert " ".join(header.split()) == "model planned trained reused skipped failed not attempted rate limit"
    assert len(header.rstrip()) <= 80


def test_models_that_know_nothing_are_counted_beside_the_trained() -> None:
    found = progress(BATCH, [TEACHERS | {"constant": 0}, STUDENTS | {"constant": 4}], SECONDS, [], now=now())
    assert [model["constant"] for model in found.as_json()["models"].values()] == [0, 4]
    lines = text(found).splitlines()
    assert "4 of 10 students say the same of every row." in lines
    assert not any("teachers say" in line for line in lines)


def test_telemetry_gives_the_same_numbers(store: TelemetryStore) -> None:
    rows = [window(*pair, outcome="trained", second=second) for second, pair in enumerate(PAIRS[:4], start=1)]
    rows += [window(*pair, outcome="failed", second=9, error_message=f"no {pair[0]}") for pair in PAIRS[4:6]]
    rows += [window(*PAIRS[6], outcome="skipped", second=10)]
    # The window that failed first passes on its second attempt.
    rows += [window(*PAIRS[4], outcome="trained", second=12, attempt=2)]
    journal = write_run(store, rows, plan={"teacher": PAIRS, "student": PAIRS}, status=None)
    found = read_progress(store, "b", after(20))
    teacher = found.models[0]
    assert (teacher.trained, teacher.failed, teacher.skipped, teacher.not_attempted) == (5, 1, 1, 3)
    assert (found.status, found.done, found.planned, found.percent) == ("running", 7, 20, 35.0)
    assert found.recent_windows_per_s == 7 / 20
    assert [(one.symbol, one.error) for one in found.failures] == [("C", "no C")]
    journal.close()
    assert read_progress(store, "b", after(20)).status == "interrupted"


def test_windows_of_a_symbol_that_failed_alike_are_one_line(store: TelemetryStore) -> None:
    write_run(store, [window("A", start, "failed", error_message="A.csv is broken") for start in (W1, W2)])
    found = read_progress(store, "b", after(200))
    lines = text(found).splitlines()
    assert lines[-2] == "2 failures:"
    assert f"teacher A {W1} and 1 more window" in lines[-1]
    assert [one["windows"] for one in found.as_json()["failures"]] == [[W1, W2]]


def test_only_the_first_five_failures_are_listed(store: TelemetryStore) -> None:
    rows = [window(*pair, outcome="failed", second=9 - n, error_message=f"bar {n}") for n, pair in enumerate(PAIRS[:8])]
    write_run(store, rows)
    found = read_progress(store, "b", after(200))
    assert [(one.symbol, *one.windows) for one in found.failures] == PAIRS[3:8][::-1]
    assert "First 5 of 8 failures:" in text(found)


def test_following_looks_until_the_batch_ends(store: TelemetryStore) -> None:
    journal = write_run(store, [window(*PAIRS[0], outcome="trained")], plan={"teacher": PAIRS[:2]}, status=None)
    late = window(*PAIRS[1], outcome="trained", second=5)
    steps: Iterator[Record] = iter([late, RunEnd(status="succeeded")])
    looks = list(follow(store, "b", clock=now, pause=lambda: journal.append(next(steps))))
    assert [(look.done, look.ended) for look in looks] == [(1, False), (2, False), (2, True)]


def test_the_command_speaks_of_the_latest_batch(store: TelemetryStore, command: Callable[..., Result]) -> None:
    write_run(store, [window("A", W1, "trained")], batch="early", starts=-500)
    write_run(store, [window("A", W1, "failed")], batch="late", status="failed")
    assert "Batch late (cli five): failed" in command().output
    assert "Batch early (cli five): succeeded" in command("--batch", "early").output


def test_the_command_as_json_is_one_object(store: TelemetryStore, command: Callable[..., Result]) -> None:
    write_run(store, [window("A", W1, "trained"), window("A", W2, "failed")])
    # Watching an ended batch is one look.
    for options in (["--json"], ["--json", "--watch"]):
        (line,) = command(*options).output.splitlines()
        found = json.loads(line)
        assert (found["batch_id"], found["percent"], found["status"]) == ("b", 100.0, "succeeded")
        assert found["models"]["teacher"]["failure_rate"] == 0.5


def test_an_unknown_batch_is_refused_with_the_known_ones(store: TelemetryStore, command: Callable[..., Result]) -> None:
    write_run(store, [window("A", W1, "trained")], batch="known")
    result = command("--batch", "unknown")
    assert result.exit_code == 2
    assert "has no batch unknown. There are: known." in result.output


def test_no_batch_yet_is_no_error(command: Callable[..., Result]) -> None:
    assert (command().exit_code, command().output.strip()) == (0, NO_BATCH)
    assert json.loads(command("--json").output) == {"batch_id": None}


def test_another_process_watches_a_running_batch_until_ctrl_c(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Journal(home.telemetry.shards, batch_id="b", run_id="r", clock=lambda: datetime.now(UTC)) as journal:
        journal.append(Plan(model="teacher", windows=[("A", W1), ("A", W2)]))
        journal.append(WindowRun(model="teacher", symbol="A", window_start=date(2022, 1, 1), outcome="trained"))
        process = home.start("progress", "--json", "--watch", "--interval", "0.1")
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        finished = finish(process)
    assert [(look["status"], look["percent"]) for look in looks] == [("running", 50.0)] * 2
    assert (finished.code, finished.err) == (0, "")


def finished_batch(home: Home, batch: str) -> None:
    write_run(home.telemetry, [window("A", W1, "trained")], batch=batch)


def watch_from(home: Home, *options: str) -> tuple[Process, str]:
    """Start to watch; the process, and the first line that it says."""
    process = home.start("progress", "--watch", "--interval", "0.1", *options)
    assert process.stderr is not None
    return process, process.stderr.readline()


def test_a_watch_before_the_first_batch_waits_for_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    process, said = watch_from(home)
    assert said == "No batch yet. Waits for the first; Ctrl-C ends that.\n"
    finished_batch(home, "first")
    finished = finish(process)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith("Batch first (cli five): succeeded")


@pytest.mark.parametrize("options", [(), ("--batch", "abcdefgh"), ("--json",)])
def test_a_watch_before_the_first_run_of_a_batch_waits_for_it_and_shows_none_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    home = Home(tmp_path)
    finished_batch(home, "earlier")
    request(home, monkeypatch, "abcdefgh")
    process, said = watch_from(home, *options)
    assert said == ("Batch abcdefgh is requested, and no run of it has begun. Waits for the first; Ctrl-C ends that.\n")
    write_run(home.telemetry, [window("A", W1, "trained", 9)], batch="abcdefgh", starts=8)
    finished = finish(process)
    assert (finished.code, finished.err) == (0, "")
    assert "abcdefgh" in finished.out
    assert "earlier" not in finished.out


def test_who_waits_for_a_batch_ends_that_by_ctrl_c(tmp_path: Path) -> None:
    process, said = watch_from(Home(tmp_path))
    assert said
    process.send_signal(signal.SIGINT)
    finished = finish(process)
    assert (finished.code, finished.out, finished.err.strip()) == (130, "", "sensequant: interrupted.")


def request(home: Home, monkeypatch: pytest.MonkeyPatch, batch: str) -> None:
    """Ask Dagster for a run of a backfill, which nobody starts."""
    leave(monkeypatch, home.directory)
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", str(home.data))
    with open_instance(prepare_home(read_settings())) as instance:
        tags = {"dagster/backfill": batch}
        instance.add_run(dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.NOT_STARTED, tags=tags))
