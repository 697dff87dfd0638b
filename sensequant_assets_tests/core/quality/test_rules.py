"""Claims about what a finding says, and about the rules as a whole."""

from sensequant_assets.core.quality.rules import RULES, Finding, summary
from sensequant_assets.settings import PROJECT
from sensequant_assets_tests.core.quality.market import found, market, scaled


def test_a_finding_is_json_of_these_keys():
    bars = market()
    bars[3] = scaled(bars[3], slice(250, None), 0.5)
    (one,) = found(bars)
    assert list(one.as_json()) == ["symbol", "rule", "severity", "first", "last", "rows", "file", "message", "windows"]
    assert one.as_json()["first"] == "2022-09-08"
    assert one.as_json()["file"] is None


def test_clean_bars_have_no_finding():
    assert found(market()) == []
    assert summary([], 12) == "The rules on bars found nothing in 12 symbols."


def test_one_fault_of_many_symbols_on_one_day_is_that_of_a_delivery():
    bars = market()
    several = [scaled(one, slice(250, 255), 100.0) for one in bars[:3]]
    *own, one = found([*several, *bars[3:]])
    assert [each.rule for each in own] == ["unit"] * 3
    assert (one.symbol, one.rule, one.rows) == ("*", "same_fault", 3)
    assert "3 of 12 symbols have a finding of unit that begins on 2022-09-08 (S00, S01, S02, ...)" in one.message
    assert [each.rule for each in found([*several[:2], *bars[2:]])] == ["unit"] * 2


def test_a_summary_counts_errors_warnings_and_the_windows_that_read_them():
    error = Finding("A", "unit", "error", None, None, 1, "", windows=("a", "b"))
    warning = Finding("A", "hole", "warning", None, None, 1, "", windows=("b",))
    assert summary([error, warning], 5) == (
        "The rules on bars found 1 error and 1 warning in 5 symbols; 2 windows of 1 symbols read them."
    )


def test_every_rule_is_documented_with_its_severity_and_default():
    page = (PROJECT / "docs" / "data.md").read_text()
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.severity} | {rule.default} | {rule.evidence} |" in page
