"""Claims about a briefing: what it recommends, where each number comes from, and what it does not cover."""

import re
from typing import Any

import pytest

from sensequant_assets.report.briefing import drawn, markdown, page
from sensequant_assets_tests.report.test_backtest import FOUND
from sensequant_assets_tests.report.test_pooled import findings, score

EVIL = "<script>alert(1)</script> **x** ](http://evil)"
SOURCES = ("settings", "outcomes", "verdicts", "skips", "failures", "findings", "coverage", "canaries", "trials",
           "evaluation", "rule", "backtest", "stress")  # fmt: skip


def condition(name: str, *, passed: bool, **fields: Any) -> dict[str, Any]:
    told = {"condition": name, "wanted": f"{name} surely above 0", "passed": passed, "value": 0.005, "low": -0.02,
            "high": 0.03, "baseline": 0.0, "rows": 1234, "dates": 100, "blocks": 4}  # fmt: skip
    return told | fields


def facts(**fields: Any) -> dict[str, Any]:
    """What a briefing about a batch that does not pass stands on, by hand."""
    told: dict[str, Any] = {
        "batch_id": "b1", "universe": "u", "made_at": "2026-01-02T03:04:05+00:00", "label": "threshold", "horizon": 7,
        "promotion": {
            "against": None, "serves": False, "passed": False, "trials": 3, "remarks": ["Two models are left out."],
            "conditions": [
                condition("dates", passed=True, baseline=500.0), condition("rank_ic", passed=False),
                condition("brier", passed=False, value=None, low=None, high=None, baseline=None),
            ],
        },
        "evaluation": "e1", "findings": findings(), "backtest": None,
        "stress": {"why": "Nothing to predict from.", "settings": {}},
        "training": {
            "word": "passed", "sentences": ["1 of 9 teachers failed: 11.1%, limit 15.0%."],
            "models": [{"model": "teacher", "planned": 10, "trained": 8, "reused": 0, "skipped": 1, "failed": 1,
                        "not_attempted": 0, "constant": 0}],
            "failures": [{"name": "timeout", "models": {"teacher": 1}, "example": EVIL, "advice": "Try again."}],
            "skips": [{"name": "pre_listing", "models": {"teacher": 1}, "example": "", "advice": ""}],
        },
        "noise": [], "canaries": "",
        "data": {"rules": [{"severity": "error", "rule": "ohlc", "findings": 2}], "errors": 2, "warnings": 0,
                 "examples": [EVIL],
                 "coverage": {"symbols": 5, "empty": ["E"], "first": "2022-01", "last": "2022-12", "missing": 3,
                              "sessions": 1000}},
        "sources": {name: {"question": f"FROM {name} -- {EVIL}", "batch": "b1", "digest": f"d{number:02d}"}
                    for number, name in enumerate(SOURCES)},
    }  # fmt: skip
    return told | fields


STRESS = {
    "passed": False, "said": "1 of 3 periods passed, 1 failed.", "remarks": ["8 predictions."], "settings": {},
    "tests": [{"name": name, "state": state, "said": f"{name}: 3 of 4 sessions."}
              for name, state in (("calm", "passed"), ("crash", "failed"), ("past", "not covered"))],
}  # fmt: skip


def passing(**fields: Any) -> dict[str, Any]:
    rule = facts()["promotion"] | {"passed": True, "conditions": [condition("rank_ic", passed=True)]}
    return facts(promotion=rule | fields)


def test_it_recommends_by_the_rule_of_promotion_and_names_what_fails() -> None:
    shown = drawn(facts())
    assert shown.word == "do not promote"
    assert shown.lead[0].text == (
        "Do not promote. 2 of 3 conditions of the rule of promotion fail: rank_ic surely above 0; brier surely above "
        "0. Nothing serves today."
    )
    assert "1,234 rows of 5 symbols and 100 dates" in shown.lead[1].text
    assert "3 sets of parameters were tried" in shown.lead[1].text
    assert drawn(passing(against=4)).lead[0].text == (
        "Promote. All 1 conditions of the rule of promotion pass; version 4 serves today."
    )
    assert drawn(passing(serves=True, against=4)).word == "serves already"


def test_every_condition_and_score_stands_with_interval_and_n() -> None:
    rule, evidence = drawn(facts()).sections[:2]
    assert rule.table is not None
    assert evidence.table is not None
    assert [list(row) for row in rule.table.rows] == [
        ["dates surely above 0", "passed", "100", "500", "1,234", "100", "4"],
        ["rank_ic surely above 0", "FAILED", "+0.0050 [-0.0200, +0.0300]", "0.0000", "1,234", "100", "4"],
        ["brier surely above 0", "FAILED", "the rows cannot answer", "-", "1,234", "100", "4"],
    ]
    assert rule.table.bold == [1, 2]
    assert [row[0] for row in evidence.table.rows] == ["teacher", "base_rate"]
    assert list(evidence.table.heads[:3]) == ["score", "rows", "AUC"]
    assert list(evidence.table.rows[0][1:3]) == ["1,234", "0.500 [0.400, 0.600]"]


def test_every_mark_leads_to_a_question_a_batch_and_a_digest() -> None:
    for told in (facts(), facts(backtest=FOUND, noise=["A band."], canaries="Canaries.", stress=STRESS)):
        shown, html, text = drawn(told), page(told), markdown(told)
        assert [note.mark for note in shown.footnotes] == list(range(1, len(shown.footnotes) + 1))
        for note in shown.footnotes:
            assert (note.batch, note.digest) == ("b1", told["sources"][note.name]["digest"])
            assert f'id="source{note.mark}"' in html
            assert f'href="#source{note.mark}"' in html
            assert f" [{note.mark}]" in text
            assert note.digest in text
        assert {int(mark) for mark in re.findall(r"#source(\d+)", html)} == {note.mark for note in shown.footnotes}


def test_a_number_without_a_source_is_said_to_be_not_covered() -> None:
    """Whoever shows a number names where it comes from; sentences without a mark have none."""
    for told in (facts(), facts(backtest=FOUND, noise=["A band of 2 windows."], canaries="3 of 4.", stress=STRESS)):
        shown = drawn(told)
        lines = [*shown.lead, *(line for one in shown.sections for line in one.lines)]
        lines += [one.table.title for one in shown.sections if one.table]
        lines += [item.line for item in shown.checklist]
        bare = [line.text.replace("b1", "") for line in lines if not line.marks]
        assert not [text for text in bare if re.search(r"\d", text)]


def test_what_nobody_has_made_is_not_covered_and_never_passed() -> None:
    shown = drawn(facts())
    portfolio, stress = (next(one for one in shown.sections if one.title == title) for title in ("Portfolio", "Stress"))
    assert portfolio.lines[0].text == "Not covered: nobody has backtested this batch as it is. sensequant backtest b1"
    assert stress.lines[0].text.startswith("Not covered")
    states = {item.line.text: item.state for item in shown.checklist}
    assert states["No backtest: sensequant backtest b1"] == "not covered"
    assert states["No noise band: sensequant evaluate --batch b1"] == "not covered"
    assert states["The rules on bars find no error."] == "no"
    assert states["Every condition of the rule of promotion passes."] == "no"
    assert states["Students rank surely better than their baseline."] == "no"
    uncovered = " ".join(line.text for line in shown.sections[-1].lines)
    for what in (
        "Two models are left out.",
        "no backtest",
        "no stress test",
        "no noise band",
        "no canaries",
        "Days to",
    ):
        assert what in uncovered


def test_a_backtest_stands_with_its_curve_and_is_checked_by_its_interval() -> None:
    shown = drawn(facts(backtest=FOUND))
    (portfolio,) = (one for one in shown.sections if one.curves)
    assert "nothing shows that it beats its universe" in portfolio.lines[0].text
    assert "<polyline" in page(facts(backtest=FOUND))
    line = "The portfolio earned surely more than its universe, net of costs."
    for low, state in ((-0.0007, "no"), (0.0001, "yes"), (None, "no")):
        told = facts(backtest=FOUND | {"excess_low": low, "excess_high": None if low is None else 0.01})
        assert {item.line.text: item.state for item in drawn(told).checklist}[line] == state


def test_a_stress_test_stands_with_what_fails_and_what_it_does_not_cover() -> None:
    shown = drawn(facts(stress=STRESS))
    (stress,) = (one for one in shown.sections if one.title == "Stress")
    assert stress.table is not None
    assert [list(row[:2]) for row in stress.table.rows] == [
        ["calm", "passed"], ["crash", "failed"], ["past", "not covered"],
    ]  # fmt: skip
    assert stress.table.bold == [1]
    states = {item.line.text: item.state for item in shown.checklist}
    assert states["A stress test fails nowhere and passes a period."] == "no"
    assert "in part or wholly: past." in " ".join(line.text for line in shown.sections[-1].lines)


def test_students_beat_baselines_only_where_every_interval_says_so() -> None:
    def beats(*lows: float | None) -> str:
        gaps = [{"less": f"baseline {n}", "metric": "rank_ic", "value": 0.1, "low": low, "high": 0.2, "p": 0.01,
                 "rows": 1, "dates": 1, "blocks": 1} for n, low in enumerate(lows)]  # fmt: skip
        told = facts(findings=findings(scores=[score("student", differences=gaps)]))
        states = {item.line.text: item.state for item in drawn(told).checklist}
        return states["Students rank surely better than their baseline."]

    assert (beats(0.01, 0.02), beats(0.01, -0.01), beats(None), beats()) == ("yes", "no", "no", "no")


@pytest.mark.parametrize("draw", [page, markdown])
def test_text_of_data_is_no_markup(draw: Any) -> None:
    written = draw(facts(batch_id="b1", universe=EVIL))
    assert "<script>" not in written
    assert "**x**" not in written or draw is page
    assert "](http://evil)" not in written or draw is page
