"""Claims about what failed: in a batch, last, and every time it was tried of late."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensequant_assets.cli.main import main
from sensequant_assets.errors import FailureKind, advice
from sensequant_assets.telemetry.questions.failures import (
    Failure,
    data_that_failed,
    failed_pairs,
    failed_windows,
    permanent_failures,
    transient_failures,
)
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, W2, after, window, write_run

DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "data" / "telemetry")


def write_history(store: TelemetryStore, histories: Mapping[str, str]) -> None:
    """One batch a day: each symbol's outcomes (F failed, T trained, R reused, S skipped, - not in the batch)."""
    outcomes = {"F": "failed", "T": "trained", "R": "reused", "S": "skipped"}
    for day in range(max(len(history) for history in histories.values())):
        rows = [
            window(
                symbol,
                W1,
                outcomes[history[day]],
                day * DAY + 1,
                failure_kind="corrupt_bars",
                error_type="WindowError",
                error_message=f"{symbol} on day {day}",
            )
            for symbol, history in histories.items()
            if day < len(history) and history[day] in outcomes
        ]
        write_run(store, rows, batch=f"day{day}", starts=day * DAY, ends=day * DAY + 2)


def test_only_rows_of_failures_that_reach_today_are_permanent(store: TelemetryStore) -> None:
    write_history(
        store,
        {"LONG": "TFFFF", "HEALED": "FFFFT", "REUSED": "FFFFR", "SHORT": "FFTFF", "EXACT": "TTFFF"},
    )
    assert [(entry.symbol, entry.batches) for entry in permanent_failures(store)] == [("LONG", 4), ("EXACT", 3)]


def test_batches_that_skip_or_leave_out_a_window_do_not_count(store: TelemetryStore) -> None:
    write_history(store, {"SKIPPED": "FFSF-", "TOO_FEW": "FSSF-", "LEFT_OUT": "F-F-F"})
    assert {entry.symbol: entry.batches for entry in permanent_failures(store)} == {"SKIPPED": 3, "LEFT_OUT": 3}


def test_an_entry_says_since_when_and_how_it_failed_last(store: TelemetryStore) -> None:
    write_history(store, {"A": "FTFFF"})
    (entry,) = permanent_failures(store)
    assert (entry.universe, entry.model, entry.symbol, entry.window_start) == ("five", "teacher", "A", date(2022, 1, 1))
    assert (entry.since, entry.last) == (after(2 * DAY + 1), after(4 * DAY + 1))
    assert (entry.last_batch, entry.error_message) == ("day4", "A on day 4")
    assert entry.advice == FailureKind.CORRUPT_BARS.advice


def test_the_last_attempt_of_a_batch_speaks_for_it(store: TelemetryStore) -> None:
    for day in range(3):
        rows = [
            window("RETRIED", W1, "failed", day * DAY + 1, attempt=1),
            window("RETRIED", W1, "trained" if day == 2 else "failed", day * DAY + 2, attempt=2),
            window("STUCK", W1, "failed", day * DAY + 1, attempt=1),
            window("STUCK", W1, "failed", day * DAY + 2, attempt=2),
        ]
        write_run(store, rows, batch=f"day{day}", starts=day * DAY)
    # Six failed attempts of STUCK are three failed batches.
    assert [(entry.symbol, entry.batches) for entry in permanent_failures(store)] == [("STUCK", 3)]


def test_models_windows_and_universes_are_counted_apart(store: TelemetryStore) -> None:
    for day in range(3):
        rows = [
            window("A", W1, "trained", day * DAY + 1),
            window("A", W1, "failed", day * DAY + 1, model="student"),
            window("A", W2, "failed", day * DAY + 1, universe="five" if day else "other"),
        ]
        write_run(store, rows, batch=f"day{day}", starts=day * DAY)
    assert [(entry.model, str(entry.window_start)) for entry in permanent_failures(store)] == [("student", W1)]
    assert [entry.batches for entry in permanent_failures(store, 1)] == [3, 2, 1]


def test_a_kind_that_is_not_in_the_taxonomy_still_has_an_entry(store: TelemetryStore) -> None:
    write_run(store, [window("A", W1, "failed")])
    (entry,) = permanent_failures(store, 1)
    assert entry.failure_kind == "unknown"
    assert entry.advice == advice("a_kind_of_tomorrow")


def test_the_command_lists_them_with_what_to_do(
    store: TelemetryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(store, {"A": "FFF", "B": "TFF"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", str(tmp_path / "data"))
    shown = CliRunner().invoke(main, ["failures"]).output
    assert "A on day 2" in shown
    assert "B on day 2" not in shown
    assert f"corrupt_bars: {FailureKind.CORRUPT_BARS.advice}" in shown
    lines = CliRunner().invoke(main, ["failures", "--batches", "2", "--json"]).output.splitlines()
    assert [(entry["symbol"], entry["batches"]) for entry in map(json.loads, lines)] == [("A", 3), ("B", 2)]
    assert "No window failed in each of its last 4" in CliRunner().invoke(main, ["failures", "--batches", "4"]).output


def test_the_first_to_fail_is_listed_first_by_its_last_attempt(store: TelemetryStore) -> None:
    rows = [window(symbol, W1, "failed", second) for symbol, second in (("LATE", 3), ("EARLY", 2), ("HEALED", 1))]
    rows += [window("HEALED", W1, "trained", 4, attempt=2), window("EARLY", W1, "failed", 1, model="student")]
    write_run(store, rows)
    found = [(one.model, one.symbol) for one in failed_windows(store, "b")]
    assert found == [("student", "EARLY"), ("teacher", "EARLY"), ("teacher", "LATE")]
    assert [one.symbol for one in failed_windows(store, "b", model="teacher")] == ["EARLY", "LATE"]


def test_the_last_attempt_in_any_batch_speaks_for_a_pair(store: TelemetryStore) -> None:
    histories = {"STILL": "TF", "HEALED": "FT", "SKIPPED": "FS", "LEFT_OUT": "F-"}
    write_history(store, histories)
    assert failed_pairs(store, "five", ["teacher"]) == {("STILL", W1), ("LEFT_OUT", W1)}
    assert failed_pairs(store, "five", ["student"]) == failed_pairs(store, "other", ["teacher"]) == set()


def test_a_later_batch_speaks_louder_than_more_attempts_of_an_earlier_one(store: TelemetryStore) -> None:
    with write_run(store, [window("A", W1, "failed", 1)], batch="retried", status=None) as retried:
        write_run(store, [window("A", W1, "failed", 1.5)], batch="between")
        retried.append(window("A", W1, "trained", 2, attempt=2))
    assert failed_pairs(store, "five", ["teacher"]) == set()
    write_run(store, [window("A", W1, "failed", 3)], batch="later")
    assert failed_pairs(store, "five", ["teacher"]) == {("A", W1)}


def test_only_what_failed_of_late_and_can_pass_next_time_is_transient(store: TelemetryStore) -> None:
    rows = [
        window("OLD", W1, "failed", 1, failure_kind="timeout"),
        window("SLOW", W1, "failed", 5, failure_kind="timeout"),
        window("SLOW", W1, "failed", 6, failure_kind="resource", model="student", attempt=2),
        window("BROKEN", W1, "failed", 5, failure_kind="corrupt_bars"),
    ]
    write_run(store, rows)
    assert transient_failures(store, "five", after(1)) == [Failure("b", "SLOW", W1, 2, after(6))]


def test_data_that_failed_fail_again_unless_time_alone_may_mend_it(store: TelemetryStore) -> None:
    rows = [
        window("FLAT", W1, "failed", failure_kind="single_class", data_fingerprint="flat"),
        window("SLOW", W1, "failed", failure_kind="timeout", data_fingerprint="slow"),
        window("UNREAD", W1, "failed", failure_kind="corrupt_bars"),
        window("HEALED", W1, "failed", 0, failure_kind="single_class", data_fingerprint="healed"),
        window("HEALED", W1, "trained", 1, attempt=2, data_fingerprint="healed"),
    ]
    write_run(store, rows)
    assert data_that_failed(store, "five") == {("teacher", "FLAT", W1): "flat"}
    assert data_that_failed(store, "other") == {}
