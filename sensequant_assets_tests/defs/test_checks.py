"""Claims about a verdict as Dagster shows it."""

import html
from dataclasses import replace
from datetime import date

import dagster as dg
import pytest
from markdown_it import MarkdownIt

from sensequant_assets.core.judging.canaries import Canaries, Watch
from sensequant_assets.core.judging.leaks import Finding, Severity
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.outcome import Outcome, Status, Verdict
from sensequant_assets.core.windows import Window
from sensequant_assets.defs.checks import (
    FAILURES_SHOWN,
    batch_result,
    canaries_result,
    check_result,
    constant_rows,
    describe,
    describe_batch,
    no_leak_result,
    not_constant_result,
)
from sensequant_assets.errors import FailedWindow, FailureKind
from sensequant_assets.text import printable
from sensequant_assets_tests.test_text import NASTY

WINDOW = Window(date(2022, 1, 1), date(2022, 6, 30))
# 3 of 19 attempted are 15.8 %, 3 of 20 are 15 %.
EXCEEDED = Verdict("teacher", trained=11, reused=5, skipped=4, failed=3, not_attempted=0, max_failure_rate=0.15)
EXACT = replace(EXCEEDED, trained=12)


def failed(symbol: str) -> Outcome:
    return Outcome(
        "teacher", Pair(symbol, WINDOW, WINDOW.start), Status.FAILED, failure=FailureKind.TIMEOUT, error_message="slow"
    )


@pytest.mark.parametrize(
    ("verdict", "passed", "severity", "description"),
    [
        (EXCEEDED, False, dg.AssetCheckSeverity.ERROR,
         "3 of 19 attempted teachers failed: 15.8% exceeds the limit of 15.0%. 4 skipped windows do not count."),
        (EXACT, True, dg.AssetCheckSeverity.WARN,
         "3 of 20 attempted teachers failed: 15.0% is within the limit of 15.0%. 4 skipped windows do not count."),
        # Nothing attempted is no pass, and stops nothing.
        (replace(EXACT, trained=0, reused=0, failed=0), False, dg.AssetCheckSeverity.WARN,
         "No teacher was attempted; 4 windows were skipped."),
        # What was planned and tried by nobody is in no rate, and no pass.
        (replace(EXACT, not_attempted=2), False, dg.AssetCheckSeverity.ERROR,
         "3 of 20 attempted teachers failed: 15.0% is within the limit of 15.0%. 4 skipped windows do not count. "
         "2 planned windows were not attempted."),
        (replace(EXACT, trained=0, reused=0, failed=0, not_attempted=2), False, dg.AssetCheckSeverity.ERROR,
         "No teacher was attempted; 4 windows were skipped. 2 planned windows were not attempted."),
        (replace(EXACT, blocked="Too many teachers failed."), False, dg.AssetCheckSeverity.ERROR,
         "Too many teachers failed."),
    ],
)  # fmt: skip
def test_a_verdict_passes_warns_or_stops(
    verdict: Verdict, passed: bool, severity: dg.AssetCheckSeverity, description: str
) -> None:
    result = check_result("teacher_models", verdict, [])
    assert result.passed is passed
    assert result.severity is severity
    assert result.description == describe(verdict) == description


def test_what_a_batch_and_an_error_are_called_is_no_markup_of_the_page() -> None:
    blocked = replace(EXACT, blocked=f"No student was trained: too many teachers failed in batch {NASTY}.")
    rows = [FailedWindow("teacher", "S", "2022-01-01", "timeout", NASTY)]
    found = batch_result("teacher_models", blocked, rows, [], NASTY)
    said = f"Batch {NASTY}, all runs: {blocked.blocked}"
    assert html.unescape(MarkdownIt().render(str(found.description))) == f"<p>{printable(said)}</p>\n"
    assert describe_batch(blocked, [], NASTY) == said
    assert found.metadata["batch"].value == printable(NASTY)
    table = found.metadata["failed_windows"]
    assert isinstance(table, dg.TableMetadataValue)
    failed_window = {"symbol": "S", "windows": "2022-01-01", "cause": "timeout", "error": printable(NASTY)}
    assert table.records[0].data == failed_window
    description = check_result("teacher_models", blocked, []).description
    assert html.unescape(MarkdownIt().render(str(description))) == f"<p>{printable(blocked.blocked)}</p>\n"


def test_the_check_of_a_run_that_may_be_one_of_several_says_who_judges_them_all() -> None:
    alone, part = check_result("teacher_models", EXACT, []), check_result("teacher_models", EXACT, [], "abcdefgh")
    assert str(part.description) == (
        f"{alone.description} That is one run of batch abcdefgh: where it has several, the sensor "
        r"batch\_failure\_rate gives the verdict on all of them together."
    )
    assert part.metadata["part_of_batch"].value == "abcdefgh"
    assert "part_of_batch" not in alone.metadata


def test_a_series_has_one_point_a_batch_for_numbers_of_a_part_of_it_are_text() -> None:
    def plotted(found: dg.AssetCheckResult | dg.AssetCheckEvaluation) -> set[str]:
        numbers = (dg.IntMetadataValue, dg.FloatMetadataValue)
        return {name for name, value in found.metadata.items() if isinstance(value, numbers)}

    numbers = {"trained", "reused", "skipped", "failed", "not_attempted", "failure_rate", "max_failure_rate"}
    part = check_result("teacher_models", EXCEEDED, [], "abcdefgh")
    assert plotted(part) == set()
    assert {name: part.metadata[name].value for name in ("failed", "failure_rate", "max_failure_rate")} == {
        "failed": "3", "failure_rate": "0.1579", "max_failure_rate": "0.15",
    }  # fmt: skip
    assert part.passed is False
    assert plotted(check_result("teacher_models", EXCEEDED, [])) == numbers
    assert plotted(batch_result("teacher_models", EXCEEDED, [], [], "abcdefgh")) == numbers | {"silent_runs"}
    assert plotted(batch_result("teacher_models", EXCEEDED, [], [], "abcdefgh", plotted=False)) == set()
    assert plotted(not_constant_result("teacher_models", EXCEEDED, [])) == {"models", "constant"}
    assert plotted(not_constant_result("teacher_models", EXCEEDED, [], plotted=False)) == set()


def test_windows_of_a_batch_that_nobody_tried_are_named_and_so_is_why() -> None:
    whys = ["killed run"] * 2 + ["no run came to it"] * FAILURES_SHOWN
    rows = [{"symbol": f"S{number}", "window": "2022-01-01", "why": why} for number, why in enumerate(whys)]
    found = batch_result("teacher_models", replace(EXACT, not_attempted=len(rows)), [], rows, "b1")
    assert not found.passed
    assert str(found.description).endswith(
        "22 planned windows were not attempted. Why: no run came to it (20), killed run (2)."
    )
    table = found.metadata["not_attempted_windows"]
    assert isinstance(table, dg.TableMetadataValue)
    assert table.records[0].data == rows[0]
    assert len(table.records) == FAILURES_SHOWN


@pytest.mark.parametrize(
    ("verdict", "passed", "description"),
    [
        (replace(EXACT, constant=3), False, "3 of 17 teachers say the same of every row: they know nothing."),
        (EXACT, True, "None of 17 teachers says the same of every row."),
        # Nothing trained is no pass.
        (replace(EXACT, trained=0, reused=0), False, "No teacher was trained or reused."),
    ],
)
def test_models_that_know_nothing_are_a_warning_while_others_know_something(
    verdict: Verdict, passed: bool, description: str
) -> None:
    result = not_constant_result("teacher_models", verdict, [])
    assert (result.check_name, result.passed, result.description) == ("not_constant", passed, description)
    assert result.severity is dg.AssetCheckSeverity.WARN
    # They count as trained: the limit knows nothing of them.
    assert check_result("teacher_models", verdict, []).passed is (verdict.attempted > 0 and not verdict.exceeded)
    whole = not_constant_result("teacher_models", verdict, [], "b1")
    assert whole.description == f"Batch b1, all runs: {description}"


@pytest.mark.parametrize(("constant", "severity"), [(8, "WARN"), (9, "ERROR"), (17, "ERROR")])
def test_a_batch_most_of_whose_models_know_nothing_is_an_error(constant: int, severity: str) -> None:
    result = not_constant_result("teacher_models", replace(EXACT, constant=constant), [])
    assert (result.passed, result.severity.value) == (False, severity)


def test_the_first_windows_whose_models_know_nothing_are_a_table() -> None:
    def trained(symbol: str, constant: bool) -> Outcome:
        pair = Pair(symbol, WINDOW, WINDOW.start)
        return Outcome("student", pair, Status.TRAINED, rows={"train": 80, "test": 9}, constant=constant)

    outcomes = [trained(f"S{number}", number != 1) for number in range(FAILURES_SHOWN + 3)] + [failed("F")]
    rows = constant_rows(outcomes)
    assert len(rows) == FAILURES_SHOWN + 2
    table = not_constant_result("student_models", EXACT, rows).metadata["constant_windows"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["symbol"] for record in table.records[:2]] == ["S0", "S2"]
    assert table.records[0].data == {"symbol": "S0", "window": "2022-01-01", "train_rows": 80}
    assert len(table.records) == FAILURES_SHOWN


def test_counts_rate_and_limit_are_metadata() -> None:
    result = check_result("teacher_models", EXACT, [])
    assert {name: value.value for name, value in result.metadata.items()} == {
        "trained": 12, "reused": 5, "skipped": 4, "failed": 3, "not_attempted": 0,
        "failure_rate": 0.15, "max_failure_rate": 0.15,
    }  # fmt: skip


def test_the_first_failed_windows_are_a_table_with_their_errors() -> None:
    outcomes = [failed(f"S{number}") for number in range(FAILURES_SHOWN + 3)]
    table = check_result("teacher_models", EXCEEDED, outcomes).metadata["failed_windows"]
    assert isinstance(table, dg.TableMetadataValue)
    assert len(table.records) == FAILURES_SHOWN
    assert table.records[0].data == {"symbol": "S0", "windows": "2022-01-01", "cause": "timeout", "error": "slow"}


def test_what_failed_says_what_to_do_by_cause_and_which_command_tells_of_the_first() -> None:
    found = check_result("teacher_models", EXCEEDED, [failed("M&M"), failed("TCS")]).metadata["what_to_do"]
    assert found.value == (
        f"timeout: {FailureKind.TIMEOUT.advice} "
        "`sensequant why 'M&M' 2022-01-01 --model teacher` tells of one window, "
        "`sensequant report` of all of its batch."
    )


@pytest.mark.parametrize(
    ("found", "passed", "severity", "said"),
    [
        ((), True, dg.AssetCheckSeverity.WARN, "2 leak probes found nothing."),
        (("warning",), False, dg.AssetCheckSeverity.WARN, "Leak probe of_warning, warning: Why."),
        (("error",), False, dg.AssetCheckSeverity.ERROR, "Leak probe of_error, error: Why."),
        (("error", "warning"), False, dg.AssetCheckSeverity.ERROR,
         "Leak probe of_error, error: Why. Leak probe of_warning, warning: Why."),
    ],
)  # fmt: skip
def test_a_certain_leak_is_an_error_and_a_suspicion_a_warning(found, passed, severity, said) -> None:
    kinds: tuple[Severity, ...] = ("warning", "error")
    findings = [Finding(f"of_{kind}", kind, kind not in found, {"rows": 12345.0}, "Why.") for kind in kinds]
    result = no_leak_result(findings, ["2009-06-30", "2009-01-01"])
    assert (result.passed, result.severity) == (passed, severity)
    assert html.unescape(MarkdownIt().render(result.description or "")).strip() == f"<p>{said}</p>"
    assert result.metadata["first_window"].value == "2009-01-01"
    rows = result.metadata["findings"].value.records
    assert [row.data["found"] for row in rows] == [kind if kind in found else "nothing" for kind in kinds]
    assert rows[0].data["evidence"] == "rows 12,345"


def test_no_leak_cannot_pass_where_nobody_looked() -> None:
    assert not no_leak_result([], []).passed


@pytest.mark.parametrize(("nights", "passed"), [([], False), ([0], True), ([16, 16], False)])
def test_canaries_warn_where_they_sing_or_were_never_kept(nights: list[int], passed: bool) -> None:
    kept = [Canaries(16, outside, 16, 9, 5.0, 1.0) for outside in nights]
    result = canaries_result(Watch.over(kept), kept[0] if kept else None)
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert result.metadata["batches"].value == len(nights)
    assert result.metadata["windows_outside_band"].value == sum(nights)
    assert ("latest" in result.metadata) == bool(nights)


def test_a_device_that_stood_idle_is_told_beside_the_verdict_and_changes_none() -> None:
    said = "Device gpu 0:1 (Acme) stood idle: it trained 0 windows in 0.0 s, and gpu 0:0 trained 40 in 10.0 s."
    alone, told = (check_result("teacher_models", EXACT, [], "", idle) for idle in ((), (said,)))
    assert told.passed is alone.passed
    assert "stood idle" in str(told.description)
    assert "idle_devices" not in alone.metadata
    assert told.metadata["idle_devices"].value == said
