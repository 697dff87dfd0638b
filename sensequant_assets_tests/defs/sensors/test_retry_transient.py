"""Claims about the sensor that tries again what can pass next time."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.defs.names import ATTEMPT_TAG, BATCH_TAG
from sensequant_assets_tests.operating import (
    SYMBOLS,
    WINDOWS,
    Office,
    evaluations,
    opened,
)
from sensequant_assets_tests.running import corrupt

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
