"""What the page shows of an evaluation: every number with what it stands on, and where it comes from."""

import re
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.report.facts import read_report
from sensequant_assets.report.page import page
from sensequant_assets.report.pooled import course, interval, pooled, reliability
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.report.test_report import EVIL, Page, mixed
from sensequant_assets_tests.running import Home

METRICS = ("auc", "rank_ic", "log_loss", "log_loss_over_base_rate", "ece", "top_return_net", "fidelity_spearman")


def score(name: str, rows: int = 1234, **fields: Any) -> dict[str, Any]:
    """A score whose every metric is .5, from .4 to .6."""
    told: dict[str, Any] = {
        "score": name,
        "rows": rows,
        "reliability": [],
        "differences": [],
        "sharpe": None,
        "trials": None,
    }
    for metric in METRICS:
        told |= {metric: 0.5, f"{metric}_low": 0.4, f"{metric}_high": 0.6}
    return told | fields


def symbol(name: str, auc: float | None) -> dict[str, Any]:
    ends = {"value": auc, "low": None if auc is None else auc - 0.1, "high": None if auc is None else auc + 0.1}
    return {"symbol": name, "rows": 99, "dates": 99, "blocks": 4, "auc": ends, "ic": ends, "p": 0.25, "stays": False}


def findings(**fields: Any) -> dict[str, Any]:
    """What an evaluation of two models found, by hand."""
    gap = {
        "less": "base_rate",
        "metric": "log_loss",
        "value": -0.01,
        "low": -0.02,
        "high": 0.003,
        "p": 0.07,
        "rows": 1234,
    }
    bins = [{"low": 0.3, "high": 0.4, "rows": 1200, "said": 0.35, "happened": 0.5}]
    chosen: dict[str, Any] = {
        "sharpe": 0.1,
        "sharpe_low": -0.1,
        "sharpe_high": 0.3,
        "periods": 14,
        "probabilistic_sharpe": 0.8,
    }
    chosen |= {"deflated_sharpe": 0.6, "trials": 9}
    by_symbol = [symbol(name, auc) for name, auc in (("A", 0.45), ("B", 0.6), ("C", None), ("D", 0.55), ("E", 0.5))]
    told: dict[str, Any] = {
        "head": {
            "models": {"teacher": 8}, "windows": ["2022-01-01", "2022-06-30"], "rows": 1234, "symbols": 5, "dates": 100,
            "blocks": 4, "block_length": 21, "first": "2022-06-30", "last": "2023-01-02", "horizon": 7, "period": 7,
            "coverage": 0.95, "cost_bp": 25.0, "remarks": ["3 teachers are not on disk: left out."],
        },
        "scores": [
            score("teacher", differences=[gap | {"dates": 100, "blocks": 4}], reliability=bins, **chosen),
            score("base_rate", rank_ic=None),
            score("volatility_20", rows=0),
        ],
        "confidence_sets": [{
            "metric": "log_loss", "size": 0.1, "dates": 100, "block_length": 21,
            "scores": {"teacher": {"p": 1.0, "stays": True}, "base_rate": {"p": 0.02, "stays": False}},
        }],
        "symbols": {
            "teacher": {
                "judged": 4, "stay": 1, "false_discovery_rate": 0.05, "by_symbol": by_symbol,
                "persistence": {"value": -0.04, "low": -0.2, "high": 0.1, "pairs": 20, "symbols": 4},
            }
        },
        "months": {"teacher": [
            {"month": "2022-07", "dates": 21, "rank_ic": 0.1, "low": 0.02, "high": 0.18},
            {"month": "2022-08", "dates": 22, "rank_ic": -0.05, "low": -0.13, "high": 0.03},
        ]},
        "importance": {"every": 10, "rows": 123, "models": 8,
                       "features": [{"feature": f"f{n}", "log_odds": 0.1, "share": 0.05} for n in range(20)]},
        "trials": 9,
        "overfitting": {"probability": 0.25, "trials": 9, "periods": 43, "splits": 252},
    }  # fmt: skip
    return told | fields


def test_scores_stand_with_intervals_rows_dates_and_blocks_and_baselines_after_models() -> None:
    found = pooled(findings())
    assert found.stands_on == (
        "The models of 2 windows on the window after their own, together: 1,234 rows of 5 symbols and 100 dates, "
        "2022-06-30 to 2023-01-02; brackets hold the 95% interval over dates, drawn again in 4 blocks of 21 dates."
    )
    teacher, base_rate = found.scores
    assert (teacher.name, teacher.model, base_rate.name, base_rate.model) == ("teacher", True, "base_rate", False)
    assert list(teacher.cells[:3]) == ["1,234", "0.500 [0.400, 0.600]", "+0.500 [+0.400, +0.600]"]
    assert base_rate.cells[2] == "-"
    (gap,) = found.differences
    assert (gap.name, *gap.cells) == (
        "teacher less base_rate", "log loss", "-0.0100 [-0.0200, +0.0030]", "0.070", "1,234", "100", "4",
    )  # fmt: skip


def test_what_is_known_only_beside_others_stands_in_sentences_with_its_numbers() -> None:
    assert pooled(findings()).sentences == [
        "By log loss the best of 2 scores is among teacher (90% model confidence set, 100 dates).",
        "1 of 4 symbols with a teacher whose order over time is no luck, all considered together (Benjamini-Hochberg, "
        "5% of them false).",
        "Teachers' net top decile has a Sharpe ratio of +0.100 [-0.100, +0.300] a horizon: above 0 with probability "
        "0.80, above the luckiest of 9 trials with 0.60 (14 periods that do not overlap).",
        "Who takes the best of 9 trials on half of 43 periods gets one below the median on the other half in 25% of "
        "252 splits (probability of backtest overfitting).",
    ]
    few = pooled(findings(overfitting=None, confidence_sets=[], symbols={}, scores=[score("teacher")]))
    assert few.sentences == []


def test_best_and_worst_symbols_come_with_the_warning_that_it_does_not_stay() -> None:
    (found,) = pooled(findings()).symbols
    assert [line.name for line in found.best] == ["B", "D"]
    assert [line.name for line in found.worst] == ["E", "A"]
    assert found.best[0].cells == ["99", "0.600 [0.500, 0.700]", "+0.600 [+0.500, +0.700]", "0.250"]
    assert "is -0.040 [-0.200, +0.100] here (20 pairs of neighbouring windows of 4 symbols)" in found.warning
    assert "nothing shows that an AUC stays with its symbol" in found.warning
    stays = findings()
    stays["symbols"]["teacher"]["persistence"] |= {"value": 0.4, "low": 0.2, "high": 0.6}
    assert "nothing shows" not in pooled(stays).symbols[0].warning


def test_features_say_on_what_they_were_measured_and_what_is_not_shown() -> None:
    found = pooled(findings()).importance
    assert found is not None
    assert len(found.lines) == 15
    assert "on 123 test rows, every 10th, of 8 teachers. 5 more features together have 25%." in found.note
    nothing: dict[str, Any] = {"every": 10, "rows": 0, "models": 0, "features": []}
    assert pooled(findings(importance=nothing)).importance is None
    constant = pooled(findings(importance=nothing | {"rows": 5, "models": 1})).importance
    assert constant is not None
    assert "No tree of theirs splits." in constant.note


def test_a_dot_lies_where_what_was_said_meets_what_happened() -> None:
    ends = [{"low": p, "high": p, "rows": 12_345, "said": p, "happened": p} for p in (0.0, 1.0)]
    first, last = reliability("teacher", ends).dots
    assert (first.x, first.y, last.x, last.y) == (34, 214, 352, 10)
    assert first.label == "12k"
    middle = reliability("teacher", [{"low": 0.3, "high": 0.4, "rows": 7, "said": 0.35, "happened": 0.5}])
    assert middle.dots[0].y == (214 + 10) / 2
    assert middle.title == (
        "Reliability of what teachers serve: said 0.3 to 0.4, 0.350 in the mean: happened 0.500 of 7 rows"
    )


def test_a_month_lies_above_or_below_nothing_by_its_rank_ic() -> None:
    found = course("teacher", findings()["months"]["teacher"])
    up, down = found.bars
    assert found.reach == 0.18
    assert up.top + up.height == pytest.approx(found.zero)
    assert down.top == found.zero
    assert up.height == pytest.approx(2 * down.height)
    assert up.high is not None
    assert up.high == pytest.approx(8)
    assert found.title == (
        "Rank IC of teachers by month, 2022-07 to 2022-08: above 0 in 1 of 2 months, surely other than 0 in 1"
    )
    # A month of few dates, which may have any IC, does not set the scale.
    one = {"month": "2022-06", "dates": 1, "rank_ic": -0.9, "low": -1.3, "high": -0.2}
    few, *rest = course("teacher", [one, *findings()["months"]["teacher"]]).bars
    assert (few.top, few.top + few.height, few.low) == (found.zero, 160, 160)
    assert [bar.height for bar in rest] == [up.height, down.height]
    assert up.title == "2022-07: +0.100 [+0.020, +0.180] of 21 dates"


def test_a_number_without_an_interval_and_no_number_are_shown_as_such() -> None:
    assert [interval(0.5, None, None), interval(None, None, None)] == ["0.500", "-"]


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "data" / "telemetry")


def test_the_page_shows_pooled_scores_first_and_windows_last(store: TelemetryStore) -> None:
    mixed(store)
    text = page(read_report(store, "b", findings=findings()))
    found = Page(text)
    order = [found.text.index(said) for said in (
        "The models of 2 windows", "teacher 1,234 0.500", "3 teachers are not on disk", "Which is better",
        "Noise band Inside a window", "No noise band: run", "Said and happened", "Rank IC by month",
        "What teachers look at", "Best and worst symbols", "Window by window", "Test AUC by symbol and window",
    )]  # fmt: skip
    assert order == sorted(order)
    # A picture says what it shows to who does not see it.
    pictures = re.findall(r'<svg [^>]*role="img" aria-label="([^"]+)"', text)
    assert sum(said.startswith(("Reliability of what teachers", "Rank IC of teachers")) for said in pictures) == 2
    assert found.pointers == []


def test_names_from_data_are_text_on_the_page(store: TelemetryStore) -> None:
    mixed(store, versions={})
    nasty = findings()
    nasty["symbols"]["teacher"]["by_symbol"][1]["symbol"] = EVIL
    nasty["importance"]["features"][0]["feature"] = EVIL
    nasty["head"]["remarks"] = [EVIL]
    found = Page(page(read_report(store, "b", findings=nasty)))
    assert found.text.count(EVIL) == 3 + Page(page(read_report(store, "b"))).text.count(EVIL)
    assert "script" not in found.tags


def test_a_batch_that_nobody_evaluated_names_the_command(store: TelemetryStore) -> None:
    mixed(store)
    said = "Nobody has evaluated this batch as it is: sensequant evaluate --batch b"
    assert said in Page(page(read_report(store, "b"))).text
    assert "It is running." in Page(page(read_report(store, "b", no_findings="It is running."))).text


def test_the_command_evaluates_a_batch_once_and_shows_that_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.backfill("--symbols", "AAPL,GOOG,IBM,MSFT", "--end", "2010-06-25").code == 0

    def shown() -> tuple[str, str]:
        written = home.run("report")
        assert written.code == 0, written.err
        return Page((tmp_path / written.out.strip()).read_text()).text, written.err

    text, err = shown()
    assert "judging teacher" in err
    (kept,) = home.rows("SELECT rows, auc FROM trials WHERE score = 'teacher'")
    assert f"teacher {kept['rows']:,} {kept['auc']:.3f} [" in text
    assert "Some symbol is always the best." in text
    again, err = shown()
    assert (again, err) == (text, "")
    # A setting that changes what is found makes it anew; models that are gone leave a sentence.
    anew = home.run("report", SENSEQUANT_COST_BP="50", SENSEQUANT_NOISE_WINDOWS="200").err
    assert anew.count("judging teacher") == 1
    assert "noise twin" not in anew
    for file in (home.data / "models").rglob("*.json"):
        file.unlink()
    gone, _ = shown()
    assert gone == text
    without = home.run("report", SENSEQUANT_COST_BP="60")
    assert without.code == 0, without.err
    page_now = Page((tmp_path / without.out.strip()).read_text()).text
    assert "This batch cannot be evaluated: No model is left to evaluate." in page_now
