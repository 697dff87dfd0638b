"""Claims about a batch of 384 windows over 4 runs, through the real daemon: its verdicts, and what a kill leaves of it.

The market is made so that exactly the chosen windows fail: where a price hardly moves, no label is 1.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.telemetry.questions.verdicts import verdict_on
from sensequant_assets.telemetry.questions.windows import outcomes
from sensequant_assets_tests.running import Home, Ui, descendants, ui, until, write_universe

SYMBOLS = tuple(f"S{number:02d}" for number in range(96))
START, DAYS = date(2022, 1, 3), 60
WINDOWS = tuple(str(START + timedelta(days=DAYS * number)) for number in range(4))
END = START + timedelta(days=DAYS * len(WINDOWS))
BAD = WINDOWS[2]
FAILED = {(symbol, BAD) for symbol in SYMBOLS[::2][:38]} | {
    (SYMBOLS[(13 * number + 9 * at) % len(SYMBOLS)], window)
    for number, window in enumerate(WINDOWS)
    if window != BAD
    for at in range(5)
}
"""53 of 384 are 13.8 %: 38 of 96 in the bad window, which are 39.6 %, and 5 in each of the others."""

LAUNCH_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""
STATUS = """query($backfill: String!) { partitionBackfillOrError(backfillId: $backfill) {
    ... on PartitionBackfill { status }
} }"""
BACKFILL = """query($backfill: String!) { partitionBackfillOrError(backfillId: $backfill) { ... on PartitionBackfill {
    status
    runs(limit: 100) { runId status }
    assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
        assetKey { path } numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed
    } } }
} } }"""
CHECK = """query($asset: AssetKeyInput!) {
    assetCheckExecutions(assetKey: $asset, checkName: "max_failure_rate", limit: 100) {
        runId status evaluation { success severity description metadataEntries {
            label
            ... on TextMetadataEntry { text }
            ... on MarkdownMetadataEntry { mdStr }
            ... on IntMetadataEntry { intValue }
            ... on FloatMetadataEntry { floatValue }
            ... on TableMetadataEntry { table { records } }
        } }
    }
}"""


def write_market(path: Path) -> Path:
    """Bars of all weekdays from four months before the first window until two months after the last."""
    days = pd.bdate_range(START - timedelta(days=120), END + timedelta(days=60))
    number = np.arange(len(days))
    tables = []
    for order, symbol in enumerate(SYMBOLS):
        rng = np.random.default_rng(order)
        # Waves of ten days, of five percent: both labels, many times in every fold.
        swing = 0.05 * np.sin(2 * np.pi * (number + order) / 10)
        for window in (window for one, window in FAILED if one == symbol):
            inside = (days >= pd.Timestamp(window)) & (days < pd.Timestamp(window) + timedelta(days=DAYS))
            swing[inside] *= 0.01
        close = 100 * np.exp(swing + rng.normal(0, 0.0005, len(days)))
        table = {"symbol": symbol, "date": days, "open": close, "high": close * 1.01, "low": close * 0.99}
        tables.append(pd.DataFrame(table | {"close": close, "volume": rng.integers(1_000, 9_000, len(days))}))
    pd.concat(tables).to_parquet(path, index=False)
    return path


def home_of(directory: Path, **variables: str) -> Home:
    """A home of the synthetic market with sensors that look often; those that it needs are on from the start."""
    return Home(
        directory,
        {
            "SENSEQUANT_UNIVERSE": str(write_universe(directory / "made.csv", SYMBOLS)),
            "SENSEQUANT_BARS": str(write_market(directory / "bars.parquet")),
            "SENSEQUANT_START": str(START),
            "SENSEQUANT_END": str(END),
            "SENSEQUANT_WINDOW_DAYS": str(DAYS),
            "SENSEQUANT_HORIZON": "3",
            "SENSEQUANT_SENSOR_INTERVAL_S": "5",
            "SENSEQUANT_RETRY_BACKOFF_S": "1",
            "TEACHER_N_ESTIMATORS": "10",
            "TEACHER_FOLDS": "2",
            # Of the 40 rows of a window, half are a fold.
            "TEACHER_MIN_CHILD_SAMPLES": "5",
            "STUDENT_MIN_CHILD_SAMPLES": "5",
            "STUDENT_N_ESTIMATORS": "2",
            **variables,
        },
    )


@dataclass
class Office:
    """A running `sensequant dev` of a home, asked as the UI's pages ask."""

    home: Home
    running: Ui

    def launch(self) -> str:
        """Launch the whole lattice; the id of its backfill."""
        models = [{"path": ["teacher_models"]}, {"path": ["student_models"]}]
        asked = {"params": {"assetSelection": models, "allPartitions": True}}
        backfill: str = self.running.ask(LAUNCH_BACKFILL, asked)["launchPartitionBackfill"]["backfillId"]
        return backfill

    def state(self, backfill: str) -> dict[str, Any]:
        found: dict[str, Any] = self.running.ask(BACKFILL, {"backfill": backfill})["partitionBackfillOrError"]
        return found

    def checks(self, asset: str) -> list[dict[str, Any]]:
        """Executions of an asset's check, newest first, with their metadata by label."""
        found: list[dict[str, Any]] = self.running.ask(CHECK, {"asset": {"path": [asset]}})["assetCheckExecutions"]
        for execution in found:
            evaluation = execution["evaluation"] or {"metadataEntries": []}
            execution["metadata"] = {
                entry["label"]: next(value for name, value in entry.items() if name != "label")
                for entry in evaluation["metadataEntries"]
            }
        return found

    def judged(self, backfill: str) -> bool:
        """Whether all windows have a row, and the whole batch is judged on what its last run left."""
        # The whole state is much to count while runs want the cores.
        status = self.running.ask(STATUS, {"backfill": backfill})["partitionBackfillOrError"]["status"]
        if status in ("REQUESTED", "CANCELING"):
            return False
        (found,) = self.home.rows(
            """
            SELECT (SELECT count(*) FROM window_status WHERE batch_id = $batch AND outcome <> 'not_attempted'
                    AND model = 'teacher') AS windows,
                   (SELECT max(evaluated_at) FROM verdicts WHERE batch_id = $batch AND run_id = '') >
                   (SELECT max(ended_at) FROM runs WHERE batch_id = $batch) AS judged,
                   (SELECT bool_or(status = 'running') FROM runs WHERE batch_id = $batch) AS running
            """.replace("$batch", f"'{backfill}'")
        )
        return bool(found["windows"] == len(EXPECTED) and found["judged"] and not found["running"])


@contextmanager
def office(home: Home) -> Iterator[Office]:
    with ui(home) as running:
        yield Office(home, running)


@dataclass
class Ended:
    """A batch that has ended and was judged."""

    home: Home
    batch: str
    state: dict[str, Any]
    checks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, office: Office, backfill: str) -> "Ended":
        until(lambda: office.judged(backfill), "the verdict on the whole batch", 900)
        checks = {asset: office.checks(asset) for asset in ("teacher_models", "student_models")}
        return cls(office.home, backfill, office.state(backfill), checks)

    def outcomes(self, model: str) -> dict[tuple[str, str], str]:
        return outcomes(self.home.telemetry, self.batch, model)

    def models(self) -> list[str]:
        return [str(path.relative_to(self.home.data)) for path in self.home.models()]

    def verdicts(self, model: str, *, whole: bool) -> list[dict[str, Any]]:
        return self.home.rows(
            "SELECT * FROM verdicts WHERE batch_id = ? AND model = ? AND (run_id = '') = ?", self.batch, model, whole
        )

    def run_of_the_bad_window(self) -> str:
        """Its last attempt, of this window alone."""
        (found,) = self.home.rows(
            "SELECT DISTINCT run_id FROM window_status WHERE batch_id = ? AND model = 'teacher' AND window_start = ?",
            self.batch,
            BAD,
        )
        run: str = found["run_id"]
        return run


EXPECTED = {
    (symbol, window): "failed" if (symbol, window) in FAILED else "trained" for symbol in SYMBOLS for window in WINDOWS
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The whole lattice as a backfill that nothing disturbs."""
    with office(home_of(tmp_path_factory.mktemp("calm"))) as opened:
        return Ended.of(opened, opened.launch())


def test_exactly_the_run_of_the_bad_window_fails_and_its_check_says_why(calm: Ended) -> None:
    assert len(calm.state["runs"]) == 4
    bad = calm.run_of_the_bad_window()
    assert {run["runId"] for run in calm.state["runs"] if run["status"] == "FAILURE"} == {bad}
    assert Counter(run["status"] for run in calm.state["runs"]) == {"SUCCESS": 3, "FAILURE": 1}
    checks = {check["runId"]: check for check in calm.checks["teacher_models"]}
    evaluation, metadata = checks[bad]["evaluation"], checks[bad]["metadata"]
    assert (evaluation["success"], evaluation["severity"]) == (False, "ERROR")
    assert evaluation["description"].startswith("38 of 96 attempted teachers failed: 39.6% exceeds the limit of 15.0%.")
    assert metadata["failure_rate"] == "0.3958"
    shown = [json.loads(record) for record in metadata["failed_windows"]["records"]]
    assert len(shown) == 20
    assert {(row["symbol"], row["windows"]) for row in shown} <= {key for key in FAILED if key[1] == BAD}
    assert {row["cause"] for row in shown} == {"single_class"}
    (said,) = calm.home.rows("SELECT run_id, message FROM events WHERE kind = 'blocked'")
    assert said["run_id"] == bad
    for run in {run["runId"] for run in calm.state["runs"]} - {bad}:
        assert checks[run]["evaluation"]["success"], run


def test_no_student_of_the_bad_window_is_trained_and_all_others_are(calm: Ended) -> None:
    assert calm.outcomes("teacher") == EXPECTED
    students = calm.outcomes("student")
    assert {outcome for (_, window), outcome in students.items() if window == BAD} == {"not_attempted"}
    for key, outcome in students.items():
        assert key[1] == BAD or outcome == EXPECTED[key], key
    assert not [path for path in calm.models() if "/student/" in path and BAD in path]


def test_the_verdict_on_the_whole_batch_passes_with_13_8_percent_and_is_given_once(calm: Ended) -> None:
    last, *others = calm.checks["teacher_models"]
    assert last["evaluation"]["success"] is True
    assert last["evaluation"]["description"].startswith(
        f"Batch {calm.batch}, all runs: 53 of 384 attempted teachers failed: 13.8% is within the limit of 15.0%."
    )
    assert last["metadata"]["failure_rate"] == round(53 / 384, 4)
    assert (last["metadata"]["trained"], last["metadata"]["failed"], last["metadata"]["silent_runs"]) == (331, 53, 0)
    # The others are those of its runs, whose numbers are text and so no points of the series.
    assert all(isinstance(check["metadata"]["failure_rate"], str) for check in others)
    assert sorted(check["runId"] for check in others) == sorted(run["runId"] for run in calm.state["runs"])
    (verdict,) = calm.verdicts("teacher", whole=True)
    assert (verdict["passed"], verdict["trained"], verdict["failed"]) == (True, 331, 53)
    assert verdict["failure_rate"] == pytest.approx(53 / 384)
    assert len(calm.verdicts("student", whole=True)) == 1
    assert Counter(row["passed"] for row in calm.verdicts("teacher", whole=False)) == {True: 3, False: 1}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same with a kill of every process in the middle of two runs, and a second `sensequant dev` after it."""
    # A run takes seconds, so that two are in the middle at once. One that only starts is given up after minutes.
    home = home_of(tmp_path_factory.mktemp("killed"), TEACHER_N_ESTIMATORS="160", TEACHER_MIN_CHILD_SAMPLES="3")

    def in_the_middle() -> int:
        shards = [shard.read_text() for shard in (home.data / "telemetry" / "shards").glob("*.jsonl")]
        return sum('"record":"window_run"' in shard and '"record":"end"' not in shard for shard in shards)

    with office(home) as opened:
        backfill = opened.launch()
        until(lambda: in_the_middle() >= 2, "rows of two runs that go on")
        for pid in descendants(opened.running.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with office(home) as opened:
        return Ended.of(opened, backfill)


def test_a_daemon_killed_in_the_middle_of_the_backfill_ends_in_the_same_state(calm: Ended, killed: Ended) -> None:
    for model in ("teacher", "student"):
        assert set(killed.outcomes(model)) == set(calm.outcomes(model))
        became = {key: outcome.replace("reused", "trained") for key, outcome in killed.outcomes(model).items()}
        assert became == calm.outcomes(model)
    assert killed.models() == calm.models()


def test_each_killed_run_is_repeated_once_and_what_it_had_trained_is_trained_once(killed: Ended) -> None:
    runs = killed.home.rows("SELECT status FROM runs WHERE batch_id = ?", killed.batch)
    statuses = Counter(row["status"] for row in runs)
    assert statuses.pop("interrupted")
    assert statuses == {"succeeded": 3, "failed": 1}
    assert killed.home.rows("SELECT * FROM window_runs WHERE outcome = 'reused'")
    assert not killed.home.rows(
        "SELECT symbol FROM window_runs WHERE outcome = 'trained' GROUP BY model, symbol, window_start "
        "HAVING count(*) > 1"
    )


def test_after_a_kill_the_verdict_on_the_whole_batch_is_that_of_the_calm_one(killed: Ended) -> None:
    last = killed.checks["teacher_models"][0]
    assert last["evaluation"]["success"] is True
    assert "53 of 384 attempted teachers failed: 13.8% is within" in last["evaluation"]["description"]
    verdict = verdict_on(killed.home.telemetry, killed.batch, "teacher")
    assert verdict is not None
    assert (verdict["passed"], verdict["failed"], verdict["not_attempted"]) == (True, 53, 0)


def test_after_a_kill_the_run_of_the_bad_window_fails_its_check_too(killed: Ended) -> None:
    (bad,) = [check for check in killed.checks["teacher_models"] if check["runId"] == killed.run_of_the_bad_window()]
    assert bad["evaluation"]["description"].startswith("38 of 96 attempted teachers failed: 39.6% exceeds")
