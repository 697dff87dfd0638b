"""Claims about the taxonomy of failures."""

import pytest

from sensequant_assets.errors import (
    FailedWindow,
    FailureKind,
    UsageError,
    WindowError,
    advice,
    failed_alike,
    failure_kind,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (WindowError(FailureKind.SINGLE_CLASS, "All labels are 0."), FailureKind.SINGLE_CLASS),
        (TimeoutError("slow"), FailureKind.TIMEOUT),
        (ConnectionRefusedError("no vendor"), FailureKind.SOURCE_UNAVAILABLE),
        (BrokenPipeError("gone"), FailureKind.SOURCE_UNAVAILABLE),
        (MemoryError(), FailureKind.RESOURCE),
        (OSError(28, "No space left on device"), FailureKind.RESOURCE),
        (KeyError("close"), FailureKind.CODE_ERROR),
        (UsageError("No such symbol."), FailureKind.CODE_ERROR),
    ],
)
def test_every_exception_of_a_window_has_a_kind(error: Exception, kind: FailureKind) -> None:
    assert failure_kind(error) is kind


def test_only_what_can_pass_with_nothing_changed_is_transient() -> None:
    assert {kind for kind in FailureKind if kind.transient} == {
        "timeout",
        "resource",
        "lost_worker",
        "source_unavailable",
        "device_lost",
    }


def test_every_kind_has_advice_and_one_of_another_version_too() -> None:
    told = {advice(kind) for kind in FailureKind}
    assert len(told) == len(FailureKind)
    assert all(sentence.endswith(".") for sentence in told)
    other = advice("eaten_by_a_later_version")
    assert "no advice" in other
    assert advice(None) == advice("") == other


def test_windows_of_a_symbol_that_failed_for_one_reason_are_told_together_the_first_to_fail_first() -> None:
    told = [("B", "2010-01-01", "broken"), ("A", "2009-06-01", "slow"), ("B", "2009-01-01", "broken"),
            ("A", "2010-01-01", "broken")]  # fmt: skip
    found = failed_alike(FailedWindow("teacher", symbol, window, "timeout", error) for symbol, window, error in told)
    assert [(one.symbol, one.which, one.error) for one in found] == [
        ("B", "2009-01-01 and 1 more window", "broken"),
        ("A", "2009-06-01", "slow"),
        ("A", "2010-01-01", "broken"),
    ]
