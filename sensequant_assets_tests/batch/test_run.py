"""Claims about a run of windows, without Dagster."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch import devices, rows, trainer, windows
from sensequant_assets.batch import run as run_module
from sensequant_assets.batch.made_with import judging
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Run
from sensequant_assets.batch.trainer import Teachers, key_of
from sensequant_assets.core import training
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.judging import metrics
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Outcome, Status, Verdict
from sensequant_assets.core.parameters import CPU, MODELS, Device, ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.core.samples import Samples
from sensequant_assets.core.training import Lesson, TrainedModel
from sensequant_assets.errors import FailureKind, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.limits import LimitWatch, change_limit
from sensequant_assets.telemetry.questions.failures import failed_pairs
from sensequant_assets.telemetry.questions.windows import untried_windows
from sensequant_assets.telemetry.records import BatchStart, WindowRun
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import how_it_runs, leave, sample_bars, write_universe

STUDENT = StudentParameters(scope="symbol", n_estimators=5)
BAD = ("IBM", "2009-06-30")
Teach = Callable[[Lesson, TeacherParameters, str, Expired], TrainedModel]


class Workshop:
    """Runs of AAPL and IBM in three windows, below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.changed: dict[str, Any] = {}
        self.universe = write_universe(directory / "two.csv", ["AAPL", "IBM"])
        self.bars = sample_bars(directory / "bars", ["AAPL", "IBM"])
        self.telemetry = TelemetryStore(directory / "telemetry")
        self.models = ModelStore(directory / "models", "two")

    def run(
        self,
        name: str,
        learning_rate: float = 0.1,
        models: Sequence[ModelKind] = MODELS,
        earlier_teachers: Teachers | None = None,
        **options: Any,
    ) -> dict[str, list[Outcome]]:
        """Models of all pairs; outcomes as they were told, in the order of the plan."""
        run = self.prepared(name, learning_rate, models, earlier_teachers, **options)
        told: dict[str, list[Outcome]] = {model: [] for model in models}
        for judged in run.carry_out(lambda model, outcomes: told[model].extend(outcomes)):
            told[judged.model].sort(key=lambda outcome: run.keys.index(key_of(outcome.pair)))
            assert [status for status in judged.statuses.values() if status] == [
                one.status for one in told[judged.model]
            ]
            assert [one.pair for one in judged.noted] == [
                one.pair for one in told[judged.model] if one.failure or one.constant
            ]
        return told

    def prepared(
        self,
        name: str,
        learning_rate: float = 0.1,
        models: Sequence[ModelKind] = MODELS,
        earlier_teachers: Teachers | None = None,
        teacher: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        """Such a run, not yet carried out; students alone learn from earlier teachers as telemetry has them."""
        asked = TeacherParameters(scope="symbol", n_estimators=10, learning_rate=learning_rate, **(teacher or {}))
        market = Market.open(self.settings, asked, STUDENT)
        return Run(
            market=market,
            keys=market.keys(),
            models=models,
            store=self.models,
            journal=Journal(self.telemetry.shards, batch_id=name, run_id=f"{name}-run", clock=utc_now),
            identity=Identity(batch_id=name, run_id=f"{name}-run"),
            teacher=asked,
            student=STUDENT,
            options=how_it_runs(**{"max_failure_rate": 0.5, **options}),
            earlier_teachers=lambda: (
                earlier_teachers or run_module.earlier_teachers(self.telemetry, market.keys(), market.universe.name)
            ),
        )

    @property
    def market(self) -> Market:
        """The market as its files are now."""
        return Market.open(self.settings, TeacherParameters(scope="symbol"), STUDENT)

    @property
    def settings(self) -> Settings:
        """Of three windows."""
        market = {"universe": self.universe, "bars": str(self.bars), "end": date(2010, 6, 25)}
        return read_settings(market | self.changed)

    def samples(self, symbol: str) -> Samples:
        """Of a symbol whose bars are in order."""
        samples = self.market.plan(symbol).samples
        assert isinstance(samples, Samples)
        return samples

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.telemetry.query(sql, list(parameters)).to_pylist()]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    leave(monkeypatch, tmp_path)
    return Workshop(tmp_path)


def teach_but(monkeypatch: pytest.MonkeyPatch, bad: Callable[[Teach, Lesson, Expired], TrainedModel]) -> None:
    """Let the teacher of `BAD` be made by another function."""
    real: Teach = training.teach

    def teach(
        lesson: Lesson, parameters: TeacherParameters, code: str, expired: Expired, device: Device
    ) -> TrainedModel:
        assert device == CPU
        if key_of(lesson.pair) != BAD:
            return real(lesson, parameters, code, expired)
        return bad(lambda *_: real(lesson, parameters, code, expired), lesson, expired)

    monkeypatch.setattr(trainer, "teach", teach)


def divide(real: Teach, lesson: Lesson, expired: Expired) -> TrainedModel:
    raise ZeroDivisionError("nothing to share")


def statuses(outcomes: list[Outcome]) -> dict[Key, Status]:
    return {key_of(outcome.pair): outcome.status for outcome in outcomes}


def outcome_of(outcomes: list[Outcome], key: Key) -> Outcome:
    """The outcome of one pair."""
    (outcome,) = (outcome for outcome in outcomes if key_of(outcome.pair) == key)
    return outcome


def the_bad_one(outcomes: list[Outcome]) -> Outcome:
    """The outcome of `BAD`; all the others are trained."""
    found = statuses(outcomes)
    assert len(found) == 6
    assert {key for key, status in found.items() if status is not Status.TRAINED} == {BAD}
    (outcome,) = (outcome for outcome in outcomes if outcome.status is Status.FAILED)
    return outcome


def test_a_run_tells_all_that_can_be_told_at_its_start(workshop: Workshop) -> None:
    workshop.run("told")
    # A run of a backfill alone has one.
    columns = ", ".join(field.name for field in fields(BatchStart) if field.name != "backfill_id")
    columns = columns.replace("started_at", "runs.started_at")
    (start,) = workshop.rows(f"SELECT {columns} FROM runs JOIN batches USING (batch_id)")
    assert None not in start
    assert workshop.rows("SELECT pid, workers FROM runs") == [(os.getpid(), 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_code_fails_its_window_and_no_other(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    teach_but(monkeypatch, divide)
    outcomes = workshop.run("batch", workers=workers)
    teacher, student = the_bad_one(outcomes["teacher"]), the_bad_one(outcomes["student"])
    assert teacher.failure is FailureKind.CODE_ERROR
    assert (teacher.error_type, teacher.error_message) == ("ZeroDivisionError", "nothing to share")
    assert student.failure is FailureKind.MISSING_TEACHER
    assert student.error_message == "The teacher of IBM|2009-06-30 failed in this run."
    assert workshop.rows(
        "SELECT symbol, window_start, failure_kind, error_type, error_message FROM window_runs "
        "WHERE outcome = 'failed' AND model = 'teacher'"
    ) == [("IBM", date(2009, 6, 30), "code_error", "ZeroDivisionError", "nothing to share")]
    ((level, symbol, window, trace),) = workshop.rows(
        "SELECT level, symbol, window_start, message FROM events WHERE kind = 'traceback'"
    )
    assert (level, symbol, window) == ("error", "IBM", date(2009, 6, 30))
    assert "in divide" in trace
    assert trace.endswith("ZeroDivisionError: nothing to share\n")


def test_a_student_learns_from_no_teacher_but_that_of_its_batch(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run("first")
    assert workshop.models.find("teacher", *BAD) is not None

    teach_but(monkeypatch, divide)
    student = the_bad_one(workshop.run("second", force=True)["student"])
    assert student.failure is FailureKind.MISSING_TEACHER
    assert student.error_message == "The teacher of IBM|2009-06-30 failed in this run."


def test_a_model_whose_next_window_has_grown_is_judged_again_and_not_trained(workshop: Workshop) -> None:
    file = workshop.bars / "IBM.csv"
    whole = file.read_text().splitlines(keepends=True)
    column = whole[0].split(",").index("date")
    early = [line for line in whole[1:] if line.split(",")[column] < "2010-03-01"]
    file.write_text("".join([whole[0], *early]))
    first = workshop.run("first")
    file.write_text("".join(whole))
    second = workshop.run("second")
    for model in MODELS:
        before, after = (outcome_of(outcomes[model], BAD) for outcomes in (first, second))
        assert (before.status, after.status) == (Status.TRAINED, Status.REUSED)
        assert after.trees_fingerprint == before.trees_fingerprint
        assert after.rows["test"] > before.rows["test"] > 10
        assert after.metrics["test_brier"] != before.metrics["test_brier"]
        stored = workshop.models.find(model, *BAD)
        assert stored is not None
        booster, pair = stored.booster(), after.pair
        lesson = Lesson.of(pair, workshop.samples("IBM"), workshop.market.recipe, judging())
        assert lesson.scores(lesson.unseen(booster))["test_brier"] == after.metrics["test_brier"]


def test_what_trained_a_model_stands_in_its_row_and_nothing_stands_there_without_a_model(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach_but(monkeypatch, divide)
    workshop.run("batch")
    asked = "SELECT DISTINCT model, outcome, device FROM window_runs ORDER BY ALL"
    assert workshop.rows(asked) == [
        ("student", "failed", None),
        ("student", "trained", "cpu"),
        ("teacher", "failed", None),
        ("teacher", "trained", "cpu"),
    ]
    assert workshop.rows("SELECT count(*) FROM events WHERE kind LIKE 'device%'") == [(0,)]


@pytest.mark.parametrize("fallback", [False, True])
def test_a_device_that_is_not_there_ends_a_run_before_its_first_window_unless_the_cpu_may_stand_in(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, fallback: bool
) -> None:
    def refuse(_: TeacherParameters) -> tuple[()]:
        raise UsageError("There is no such device.")

    monkeypatch.setattr(devices, "require_devices", refuse)
    if not fallback:
        with pytest.raises(UsageError):
            workshop.run("batch")
        assert workshop.rows("SELECT status FROM runs") == [("failed",)]
        assert workshop.rows("SELECT count(*) FROM window_runs") == [(0,)]
        return
    workshop.run("batch", device_fallback=True)
    said = "Teachers are trained on the CPU, as --device-fallback says: There is no such device."
    assert workshop.rows("SELECT level, message FROM events WHERE kind = 'device'") == [("warning", said)]
    stored = workshop.models.find("teacher", *BAD)
    assert (str(stored.record.device), stored.record.placed_because) == (
        "cpu",
        "--device-fallback: There is no such device.",
    )
    assert workshop.models.find("student", *BAD).record.placed_because is None


def test_a_window_over_its_time_stops_itself(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def dawdle(real: Any, lesson: Lesson, expired: Expired) -> TrainedModel:
        while not expired():
            time.sleep(0.01)
        model: TrainedModel = real()
        return model

    teach_but(monkeypatch, dawdle)
    # Long enough that no other window runs out of it on a busy machine.
    teacher = the_bad_one(workshop.run("batch", workers=1, window_timeout_s=3.0)["teacher"])
    assert teacher.failure is FailureKind.TIMEOUT
    assert teacher.failure.transient
    assert workshop.models.find("teacher", *BAD) is None
    told = "SELECT failure_kind, error_message, data_fingerprint FROM window_runs WHERE failure_kind = 'timeout'"
    ((kind, message, made_from),) = workshop.rows(told)
    assert (kind, message) == ("timeout", teacher.error_message)
    # What it would have been made from is known.
    assert made_from


def test_a_window_that_never_comes_back_is_given_up_and_stays_so(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, ended = threading.Event(), threading.Event()

    def hang(real: Any, lesson: Lesson, expired: Expired) -> TrainedModel:
        released.wait()
        # By now its time is up; what is left of it is to come back with a model all the same.
        model: TrainedModel = hung(lesson, TeacherParameters(scope="symbol", n_estimators=10), "code")
        return model

    hung: Any = training.teach
    real_row = rows.window_run

    def row(*told: Any) -> WindowRun:
        made = real_row(*told)
        if released.is_set():
            ended.set()
        return made

    monkeypatch.setattr(windows, "window_run", row)
    teach_but(monkeypatch, hang)
    # Long enough that no other window runs out of it on a busy machine.
    teacher = the_bad_one(workshop.run("batch", workers=1, window_timeout_s=3.0)["teacher"])
    assert teacher.failure is FailureKind.TIMEOUT
    assert "did not come back within" in teacher.error_message
    released.set()
    assert ended.wait(60)
    for thread in threading.enumerate():
        if thread.name == "window":
            thread.join(60)
    assert workshop.rows(
        "SELECT outcome, failure_kind FROM window_runs WHERE model = 'teacher' AND symbol = ? AND window_start = ?",
        *BAD,
    ) == [("failed", "timeout")]
    assert workshop.rows("SELECT failed, trained FROM verdicts WHERE model = 'teacher'") == [(1, 5)]


def test_unchanged_windows_are_reused_and_other_parameters_are_another_model(workshop: Workshop) -> None:
    first = workshop.run("first")
    second = workshop.run("second")
    for model in MODELS:
        assert set(statuses(second[model]).values()) == {Status.REUSED}
        assert [one.trees_fingerprint for one in second[model]] == [one.trees_fingerprint for one in first[model]]
        assert [one.metrics for one in second[model]] == [one.metrics for one in first[model]]
    third = workshop.run("third", learning_rate=0.3)
    assert set(statuses(third["teacher"]).values()) == {Status.TRAINED}
    # Other teachers say other things, so that students learn anew as well.
    assert set(statuses(third["student"]).values()) == {Status.TRAINED}


def triple_volume(workshop: Workshop, day: str) -> None:
    """Change one bar of IBM."""
    file = workshop.bars / "IBM.csv"
    lines = file.read_text().splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith(day))
    cells = lines[at].split(",")
    volume = lines[0].split(",").index("volume")
    cells[volume] = str(3 * float(cells[volume]))
    lines[at] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")


def test_changed_bars_train_only_the_windows_that_see_them(workshop: Workshop) -> None:
    workshop.run("first")
    triple_volume(workshop, "2010-03-10")
    again = workshop.run("again")
    for model in MODELS:
        trained = {key for key, status in statuses(again[model]).items() if status is Status.TRAINED}
        assert trained == {("IBM", "2009-12-27")}


def test_another_judge_judges_every_model_again_and_trains_none(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workshop.run("first")
    monkeypatch.setattr(trainer, "judging", lambda: "a new metric")
    monkeypatch.setattr(metrics, "brier", lambda *_: 7.0)
    second = workshop.run("second")
    for model in MODELS:
        assert set(statuses(second[model]).values()) == {Status.REUSED}
        assert [one.trees_fingerprint for one in second[model]] == [one.trees_fingerprint for one in first[model]]
    told = "SELECT DISTINCT model, {0} FROM window_runs WHERE batch_id = ? ORDER BY ALL"
    found = "metrics->>'oof_brier', metrics->>'test_brier'"
    assert workshop.rows(told.format(found), "second") == [("student", None, "7.0"), ("teacher", "7.0", "7.0")]
    # Nothing else of what is told of a window has changed, and the same judge does not judge twice.
    kept = "symbol, window_start, test_rows, metrics->>'trees', metrics->>'fidelity_mae', metrics->>'test_auc'"
    assert workshop.rows(told.format(kept), "first") == workshop.rows(told.format(kept), "second")
    monkeypatch.setattr(Lesson, "scores", None)
    workshop.run("third")
    assert workshop.rows(told.format(found), "third") == workshop.rows(told.format(found), "second")


def test_a_model_that_was_cut_is_trained_again(workshop: Workshop) -> None:
    workshop.run("first")
    path = workshop.models.path("teacher", *BAD)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    again = the_only_trained(workshop.run("again")["teacher"])
    assert key_of(again.pair) == BAD
    assert path.read_bytes() == whole


def spoil(workshop: Workshop, model: ModelKind, changed: Callable[[bytes], bytes], suffix: str = ".json") -> Path:
    """Change a file of `BAD`."""
    path = workshop.models.path(model, *BAD)
    file = path.with_name(f"{BAD[1]}{suffix}")
    file.write_bytes(changed(file.read_bytes()))
    return file


def without_metrics(written: bytes) -> bytes:
    return json.dumps(json.loads(written) | {"metrics": None}).encode()


def one_bit(written: bytes) -> bytes:
    return written[:-30] + bytes([written[-30] ^ 1]) + written[-29:]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("changed", "suffix"), [(without_metrics, ".json"), (one_bit, ".json"), (one_bit, ".txt.gz")])
def test_a_bad_record_or_a_flipped_bit_costs_nothing_but_that_its_model_is_trained_anew(
    workshop: Workshop, model: ModelKind, changed: Callable[[bytes], bytes], suffix: str
) -> None:
    path = workshop.models.path(model, *BAD).with_name(f"{BAD[1]}{suffix}")
    workshop.run("first")
    whole = path.read_bytes()
    assert spoil(workshop, model, changed, suffix).read_bytes() != whole
    again = workshop.run("again")
    trained = the_only_trained(again[model])
    assert key_of(trained.pair) == BAD
    assert {status for kind in MODELS for status in statuses(again[kind]).values()} == {Status.TRAINED, Status.REUSED}
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("changed", "suffix"), [(without_metrics, ".json"), (one_bit, ".json"), (one_bit, ".txt.gz")])
def test_a_student_alone_does_not_learn_from_a_teacher_that_was_changed_on_disk(
    workshop: Workshop, changed: Callable[[bytes], bytes], suffix: str
) -> None:
    workshop.run("first")
    file = spoil(workshop, "teacher", changed, suffix)
    outcomes = workshop.run("students", models=["student"], force=True)["student"]
    student = the_bad_one(outcomes)
    assert student.failure is FailureKind.CORRUPT_MODEL
    assert student.error_message.startswith(str(file))
    assert student.error_message.endswith("Train it again.")


def test_a_student_alone_does_not_learn_from_a_teacher_of_other_data_of_as_many_rows(workshop: Workshop) -> None:
    workshop.run("first")
    triple_volume(workshop, "2009-10-08")
    outcomes = workshop.run("students", models=["student"], force=True)["student"]
    student = the_bad_one(outcomes)
    assert student.failure is FailureKind.MISSING_TEACHER
    assert student.error_message == (
        "The teacher of IBM|2009-06-30 was made from other data than the window has now. Train the teacher again."
    )


def test_a_student_alone_learns_from_a_teacher_whose_next_window_has_changed_since(workshop: Workshop) -> None:
    first = workshop.run("first")
    tested_on = [workshop.models.read(model, *BAD).record.tested_on for model in MODELS]
    triple_volume(workshop, "2010-03-10")
    # The bar is of the third window, whose teacher is then of other data, and among those the second is tested on.
    outcomes = workshop.run("students", models=["student"], force=True)["student"]
    assert statuses(outcomes)["IBM", "2009-12-27"] is Status.FAILED
    (before,), (after,) = ([one for one in found if key_of(one.pair) == BAD] for found in (first["student"], outcomes))
    assert after.status is Status.TRAINED
    assert after.trees_fingerprint == before.trees_fingerprint
    assert after.metrics["fidelity_mae"] is not None
    assert workshop.models.read("teacher", *BAD).record.tested_on == tested_on[0]
    assert workshop.models.read("student", *BAD).record.tested_on != tested_on[1]


def test_a_student_tells_the_parameters_that_its_teacher_has(workshop: Workshop) -> None:
    workshop.run("first", learning_rate=0.1)
    workshop.run("students", learning_rate=0.3, models=["student"], force=True)
    told = workshop.rows(
        "SELECT DISTINCT parameters->>'teacher_learning_rate', parameters->>'teacher_folds', parameters->>'max_depth' "
        "FROM window_runs WHERE batch_id = 'students'"
    )
    assert told == [("0.1", "5", "3")]


def test_a_student_is_another_when_its_teacher_was_made_with_other_parameters(workshop: Workshop) -> None:
    first = workshop.run("first")
    before = workshop.models.read("student", *BAD).record
    # More leaves than these rows can bear change no tree, and so no soft target; the record would name the old ones.
    again = workshop.run("again", teacher={"num_leaves": 126})
    assert [one.trees_fingerprint for one in again["teacher"]] == [one.trees_fingerprint for one in first["teacher"]]
    assert set(statuses(again["student"]).values()) == {Status.TRAINED}
    after = workshop.models.read("student", *BAD).record
    assert (before.taught_by["num_leaves"], after.taught_by["num_leaves"]) == (127, 126)


def test_new_rows_are_new_data_and_the_same_parameters(workshop: Workshop) -> None:
    first = workshop.run("first")["teacher"]
    kept = (workshop.bars / "IBM.csv").read_text().splitlines()
    (workshop.bars / "IBM.csv").write_text(
        "\n".join([kept[0], *(row for row in kept[1:] if row < "2010-05-20")]) + "\n"
    )
    again = workshop.run("again")["teacher"]
    (before,), (after,) = (
        [one for one in found if key_of(one.pair) == ("IBM", "2009-12-27")] for found in (first, again)
    )
    assert before.fingerprints is not None
    assert after.fingerprints is not None
    assert before.rows["train"] > after.rows["train"]
    assert before.fingerprints.data != after.fingerprints.data
    assert before.fingerprints.parameters == after.fingerprints.parameters


def the_only_trained(outcomes: list[Outcome]) -> Outcome:
    (outcome,) = (outcome for outcome in outcomes if outcome.status is Status.TRAINED)
    return outcome


def test_every_planned_window_has_one_row_with_its_figures(workshop: Workshop) -> None:
    workshop.run("batch", workers=2)
    rows = workshop.rows(
        "SELECT model, symbol, window_start, duration_s, cpu_s, train_rows, trees_fingerprint, model_path, device, "
        "peak_mb, device_s, joules "
        "FROM window_runs ORDER BY ALL"
    )
    planned = workshop.rows("SELECT model, symbol, window_start FROM planned_windows ORDER BY ALL")
    assert [row[:3] for row in rows] == planned
    assert len(planned) == 12
    for model, _, window, duration, cpu, train_rows, trees, path, device, peak_mb, *of_device in rows:
        assert duration > 0
        assert 0 < cpu < 60
        assert train_rows > 20
        assert trees
        assert Path(path).is_file()
        assert (model, str(window)) == (Path(path).parts[-3], Path(path).name.removesuffix(".txt.gz"))
        assert device == "cpu"
        assert 20 < peak_mb < 20_000
        assert of_device == [None, None]


def test_a_row_tells_since_when_a_window_is_trained_and_whether_its_symbol_was_new(workshop: Workshop) -> None:
    workshop.universe.write_text("symbol,listing_date,trading_start_date\nAAPL,1980-12-12,\nIBM,,2009-02-04\n")
    workshop.run("batch")
    told = "SELECT symbol, window_start, window_end, effective_start, effective_end, early_life, open FROM window_runs"
    rows = workshop.rows(f"{told} WHERE model = 'teacher' ORDER BY ALL")
    assert [
        (symbol, str(start), str(end), str(effective), new, grows)
        for symbol, start, end, effective, _, new, grows in rows
    ] == [
        ("AAPL", "2009-01-01", "2009-06-30", "2009-01-01", False, False),
        ("AAPL", "2009-06-30", "2009-12-27", "2009-06-30", False, False),
        ("AAPL", "2009-12-27", "2010-06-25", "2009-12-27", False, False),
        ("IBM", "2009-01-01", "2009-06-30", "2009-02-04", True, False),
        ("IBM", "2009-06-30", "2009-12-27", "2009-06-30", True, False),
        ("IBM", "2009-12-27", "2010-06-25", "2009-12-27", False, False),
    ]
    for _, _, end, effective, last, _, _ in rows:
        assert effective < last < end


def test_what_is_said_of_reading_is_kept_with_the_batch(workshop: Workshop) -> None:
    workshop.universe.write_text("symbol,sector\nAAPL,x\nIBM,y\nMSFT,z\n")
    workshop.run("batch")
    kept = workshop.rows("SELECT level, message FROM events WHERE kind = 'reading' ORDER BY ALL")
    assert ("warning", "Columns of the universe that are not used: sector.") in kept
    assert ("warning", "Symbols without bars: MSFT.") in kept


def test_a_run_that_is_broken_off_is_noted_as_failed_though_no_limit_was_exceeded(workshop: Workshop) -> None:
    def tell(model: str, outcomes: Iterator[Outcome]) -> None:
        assert len(list(outcomes)) == 6

    judged = workshop.prepared("batch").carry_out(tell)
    assert next(judged).verdict.passed
    judged.close()  # type: ignore[attr-defined]  # a generator
    assert workshop.rows("SELECT status FROM runs") == [("failed",)]
    assert workshop.rows("SELECT model, passed FROM verdicts") == [("teacher", True)]


def test_a_row_tells_the_time_that_its_window_took(workshop: Workshop) -> None:
    before = utc_now()
    workshop.run("batch")
    rows = workshop.rows("SELECT started_at, ended_at, duration_s, cpu_s FROM window_runs")
    assert len(rows) == 12
    for started, ended, duration, cpu in rows:
        assert before <= started <= ended <= utc_now()
        assert 0 < duration <= (ended - started).total_seconds() + 0.01
        # One window is trained by one thread.
        assert 0 < cpu <= duration + 0.01


@pytest.mark.parametrize(("limit", "blocked"), [(0.16, True), (0.17, False)])
def test_students_are_trained_if_few_enough_teachers_failed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, limit: float, blocked: bool
) -> None:
    teach_but(monkeypatch, divide)
    outcomes = workshop.run("batch", max_failure_rate=limit)
    the_bad_one(outcomes["teacher"])
    assert len(outcomes["student"]) == (0 if blocked else 6)
    why = "No student was trained: too many teachers failed in this run."
    assert workshop.rows("SELECT message FROM events WHERE kind = 'blocked'") == ([(why,)] if blocked else [])
    assert workshop.rows("SELECT model, passed, not_attempted FROM verdicts ORDER BY model DESC") == [
        ("teacher", not blocked, 0),
        ("student", not blocked, 6 if blocked else 0),
    ]
    assert workshop.rows("SELECT status FROM runs") == [("failed" if blocked else "succeeded",)]


def test_students_alone_learn_from_the_teachers_of_an_earlier_run(workshop: Workshop) -> None:
    first = workshop.run("first", models=("teacher",))
    earlier = dict[Key, str](statuses(first["teacher"]))
    del earlier[BAD]
    student = the_bad_one(
        workshop.run("second", models=("student",), earlier_teachers=Teachers(earlier, False, "batch first"))["student"]
    )
    assert student.error_message == "The teacher of IBM|2009-06-30 was not trained in batch first."
    blocked = workshop.run("third", models=("student",), earlier_teachers=Teachers(earlier, True, "batch first"))
    assert blocked == {"student": []}
    assert workshop.rows("SELECT message FROM events WHERE kind = 'blocked'") == [
        ("No student was trained: too many teachers failed in batch first.",)
    ]
    assert workshop.rows("SELECT batch_id, status FROM runs ORDER BY batch_id") == [
        ("first", "succeeded"),
        ("second", "succeeded"),
        ("third", "failed"),
    ]


def test_a_run_that_breaks_off_is_noted_as_failed_and_what_is_under_way_is_told_to_stop_and_tells_nothing(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, released = threading.Event(), threading.Event()

    def dawdle(real: Any, lesson: Lesson, expired: Expired) -> TrainedModel:
        while not expired():
            time.sleep(0.01)
        told.set()
        assert released.wait(60)
        # It has not listened, and comes back with a model when nobody waits any more.
        model: TrainedModel = training.teach(lesson, TeacherParameters(scope="symbol", n_estimators=10), "code")
        return model

    def tell(model: ModelKind, outcomes: Iterator[Outcome]) -> None:
        while key_of(next(outcomes).pair) != ("IBM", "2009-12-27"):
            pass
        raise BrokenPipeError("nobody listens")

    teach_but(monkeypatch, dawdle)
    with pytest.raises(BrokenPipeError):
        list(workshop.prepared("batch", workers=2).carry_out(tell))
    assert told.wait(60)
    released.set()
    for thread in threading.enumerate():
        if thread.name == "window":
            thread.join(60)
    assert workshop.models.find("teacher", *BAD) is not None
    assert workshop.rows("SELECT status FROM runs") == [("failed",)]
    assert workshop.rows("SELECT count(*), count(*) FILTER (outcome = 'failed') FROM window_runs") == [(5, 0)]
    # Its journal is closed, and nothing has opened it anew.
    assert not list(workshop.telemetry.shards.glob("*.jsonl"))


def test_models_of_a_renamed_symbol_are_found_under_its_new_one_and_its_old_files_are_its_bars(
    workshop: Workshop,
) -> None:
    workshop.run("before")
    write_universe(workshop.universe, ["AAPL", "BIGBLUE"])
    changes = workshop.directory / "changes.csv"
    changes.write_text("International Business Machines,IBM,BIGBLUE,2012-01-03\n")
    workshop.changed = {"symbol_changes": str(changes)}
    outcomes = workshop.run("after")
    for model in MODELS:
        assert set(statuses(outcomes[model]).values()) == {Status.REUSED}
        assert {outcome.pair.symbol for outcome in outcomes[model]} == {"AAPL", "BIGBLUE"}
    assert workshop.rows("SELECT symbol, message FROM events WHERE kind = 'renamed'") == [
        ("BIGBLUE", "6 models of IBM found as those of BIGBLUE.")
    ]
    assert workshop.models.find("student", "IBM", "2009-01-01") is not None


@pytest.mark.parametrize("stop_early", [True, False])
def test_a_run_that_cannot_pass_begins_no_further_window_and_blames_none(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, stop_early: bool
) -> None:
    real: Teach = training.teach

    def teach(lesson: Lesson, *told: Any, **placed: Any) -> TrainedModel:
        if lesson.pair.symbol == "AAPL":
            raise ZeroDivisionError("nothing to share")
        return real(lesson, *told, **placed)

    monkeypatch.setattr(trainer, "teach", teach)
    # One of six is too many.
    workshop.run("batch", max_failure_rate=0.15, stop_early=stop_early)
    counted = "SELECT passed, trained + failed + not_attempted, not_attempted > 0 FROM verdicts WHERE model = 'teacher'"
    assert workshop.rows(counted) == [(False, 6, stop_early)]
    assert workshop.rows("SELECT count(*) FROM events WHERE kind = 'stopped_early'") == [(int(stop_early),)]
    untried = untried_windows(workshop.telemetry, "batch", "teacher")
    assert {row["why"] for row in untried} == ({"stopped early"} if stop_early else set())
    of_aapl = {("AAPL", window) for window in workshop.market.window_keys}
    not_blamed = {(row["symbol"], row["window"]) for row in untried}
    assert failed_pairs(workshop.telemetry, "two", ["teacher"]) == of_aapl - not_blamed
    assert ("IBM", "2009-12-27") in not_blamed or not stop_early


@pytest.mark.parametrize("after", MODELS)
def test_a_limit_that_is_changed_while_a_run_goes_on_is_the_one_of_every_verdict(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, after: ModelKind
) -> None:
    teach_but(monkeypatch, divide)
    watch = LimitWatch(workshop.telemetry, "batch")
    run = replace(workshop.prepared("batch", max_failure_rate=0.9), changed_limit=watch.latest)
    told: list[Verdict] = []

    def tell(model: ModelKind, outcomes: Iterator[Outcome]) -> None:
        assert len(list(outcomes)) == (0 if after == "teacher" and model == "student" else 6)
        if model == after:
            change_limit(workshop.telemetry, "batch", 0.1, "ann")

    for _ in run.carry_out(tell, tell_verdict=told.append):
        pass
    assert [(one.model, one.max_failure_rate, one.exceeded) for one in told] == (
        [("teacher", 0.1, True), ("student", 0.1, True)]
        if after == "teacher"
        else [("teacher", 0.9, False), ("teacher", 0.1, True), ("student", 0.1, True)]
    )
    assert told[-1].limit_by.startswith("set by ann at ")
    assert workshop.rows("SELECT DISTINCT max_failure_rate, passed FROM verdicts") == [(0.1, False)]
    assert workshop.rows("SELECT status FROM runs") == [("failed",)]
