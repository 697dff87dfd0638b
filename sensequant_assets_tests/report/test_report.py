"""The report: its numbers by hand, and its page as a browser reads it."""

import math
from collections.abc import Sequence
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sensequant_assets.batch.rows import coverage_event, finding_event
from sensequant_assets.cli.main import main
from sensequant_assets.core.judging.noise import NO_BAND, Band, Noise
from sensequant_assets.core.quality.coverage import Coverage, Covered
from sensequant_assets.core.quality.rules import Finding
from sensequant_assets.errors import FailureKind, UsageError
from sensequant_assets.report.comparison import compare
from sensequant_assets.report.facts import (
    Growth,
    Report,
    cost_said,
    failures_by_cause,
    growth,
    headline,
    percentiles,
    read_report,
    skill,
    skips_by_reason,
)
from sensequant_assets.report.markdown import markdown
from sensequant_assets.report.page import default_path, page, write_page
from sensequant_assets.report.pictures import MAX_CELLS, coverage_map, outcome_map
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.records import CheckVerdict, Event, RunEnd, WindowRun
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import Home
from sensequant_assets_tests.telling import NOON, W1, W2, after, journal_of, window, write_run

EVIL = "<script>alert('x')</script> & \"quoted\" *stars*"
UNPRINTABLE = "\x1b[31m \u202e \x00 \n"


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "data" / "telemetry")


def trained(
    symbol: str, start: str, auc: float | None, *, rows: int = 28, base: float = 0.5, **fields: Any
) -> WindowRun:
    """A trained teacher; 28 rows, half of them positive, let its AUC stray by 0.1110 if labels overlap not."""
    metrics = {"test_auc": auc, "test_base_rate": base, "test_accuracy": 0.5, "test_majority": 0.75}
    metrics["test_design_effect"] = 1.0
    prints = {f"{name}_fingerprint": f"{name}0" for name in ("data", "parameters", "code")}
    own = {"metrics": metrics, "test_rows": rows, "trees_fingerprint": f"{symbol}{start}"}
    values: dict[str, Any] = {"outcome": "trained", **prints, **own, **fields}
    return window(symbol, start, **values)


def mixed(store: TelemetryStore, **fields: Any) -> Report:
    """Two symbols that trained and failed, and one that was skipped."""
    rows = [
        trained("AAA", W1, 0.9),
        trained("AAA", W2, 0.45),
        window("BBB", W1, "failed", failure_kind="single_class", error_message=EVIL, duration_s=3.0),
        window("BBB", W1, "failed", model="student", failure_kind="missing_teacher", error_message="no teacher"),
        window("CCC", W1, "skipped", reason="pre_listing", error_message="CCC lists later"),
    ]
    about: dict[str, Any] = {"settings": {"horizon": 7, "end": None}, "parameters": {"teacher": {"num_leaves": 31}}}
    write_run(store, rows, status="failed", **(about | {"versions": {"lightgbm": "4.7.0"}} | fields))
    return read_report(store, "b")


class Page(HTMLParser):
    """What a browser would find: texts, tags, and everything that points somewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pointers: list[str] = []
        self.heads: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.pointers += [f"{name}={value}" for name, value in attributes if name in ("src", "href", "srcset", "data")]
        self.pointers += [name for name, _ in attributes if name.startswith("on")]
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._open and self._open[-1] == "th":
            self.heads.append(data)

    @property
    def text(self) -> str:
        """All texts."""
        return " ".join(" ".join(self.texts).split())


NOISE = Noise({"teacher": {"auc": Band(-2.0, 1.5, 768)}}, 4)


def test_skill_counts_windows_outside_their_own_noise_band(store: TelemetryStore) -> None:
    rows = [
        # The band of 14 against 14 is 0.5 - 0.222 to 0.5 + 0.166.
        trained("A", W1, 0.67),
        trained("B", W1, 0.66),
        trained("C", W1, 0.27),
        # 400 rows, half of them positive: 0.442 to 0.543.
        trained("D", W1, 0.55, rows=400),
        trained("E", W1, 0.45, rows=400),
        trained("F", W1, None, base=0.0),
    ]
    write_run(store, rows, settings={"horizon": 7})
    found = skill(read_report(store, "b", noise=NOISE), "teacher")
    assert (found.windows, found.unanswered) == (5, 1)
    assert found.outside is not None
    assert (found.outside.windows, found.outside.above, found.outside.below) == (5, 2, 1)
    assert found.mean == pytest.approx(0.52)
    assert found.median == 0.55
    # Every window names half its rows right, so all of them do, whatever their sizes.
    assert (found.rows, found.accuracy, found.majority, found.beats_majority) == (912, 0.5, 0.75, 0)


def test_a_batch_most_of_whose_models_say_the_same_of_every_row_does_not_look_fine(store: TelemetryStore) -> None:
    write_run(store, [trained(symbol, W1, 0.5, constant=symbol != "C") for symbol in "ABC"])
    report = read_report(store, "b")
    assert headline(report).word == "constant"
    assert "2 of 3 say the same of every row." in Page(page(report)).text
    assert "constant" in markdown(report).splitlines()[0]


def test_without_a_noise_twin_no_band_is_claimed(store: TelemetryStore) -> None:
    report = mixed(store)
    assert skill(report, "teacher").outside is None
    text = page(report)
    assert text.count(NO_BAND) == 1
    assert "noise band 0." not in text
    assert "outside the noise band" not in markdown(report)


def test_a_page_says_how_many_windows_lie_outside_and_what_the_band_stands_on(store: TelemetryStore) -> None:
    mixed(store)
    report = read_report(store, "b", noise=NOISE)
    text = Page(page(report)).text
    assert "Noise band, AUC of a window: 1 of 2 teachers outside (50.0%; 1 above, 0 below)." in text
    assert "what holds 95% of 768 windows of the noise twin" in text
    assert NO_BAND not in text
    assert "1 of 2 (50%) outside the noise band" in markdown(report)


def test_accuracy_is_weighed_by_rows(store: TelemetryStore) -> None:
    def scored(symbol: str, rows: int, accuracy: float, majority: float) -> WindowRun:
        metrics = {"test_auc": 0.5, "test_base_rate": 0.5, "test_accuracy": accuracy, "test_majority": majority}
        return trained(symbol, W1, 0.5, rows=rows, metrics=metrics)

    write_run(store, [scored("A", 10, 1.0, 0.5), scored("B", 30, 0.2, 0.6)])
    found = skill(read_report(store, "b"), "teacher")
    # 10 + 6 of 40 against 5 + 18 of 40.
    assert found.accuracy == pytest.approx(0.4)
    assert found.majority == pytest.approx(0.575)
    assert found.beats_majority == 1


def test_percentiles_are_linear_between_ranks() -> None:
    assert percentiles([float(value) for value in range(11)]) == (1, 5, 9)
    assert percentiles([3.0]) == (3, 3, 3)
    assert all(math.isnan(value) for value in percentiles([]))


def test_causes_come_with_advice_and_consequences_last(store: TelemetryStore) -> None:
    causes = failures_by_cause(mixed(store))
    assert [(cause.name, cause.count) for cause in causes] == [("single_class", 1), ("missing_teacher", 1)]
    assert causes[0].advice == FailureKind.SINGLE_CLASS.advice
    assert causes[0].example == EVIL
    (skip,) = skips_by_reason(read_report(store, "b"))
    assert (skip.name, skip.models, skip.advice) == ("pre_listing", {"teacher": 1}, "")


def test_a_batch_says_what_it_cost_beside_its_models(store: TelemetryStore) -> None:
    assert cost_said(mixed(store)) == [
        "Its 1 run took 7.0 s of the processor, 0.0 s of them for 4 models and 7.0 s beside them: bars, features, "
        "judging what is reused, records and events.",
        "No model was trained on a device other than the CPU.",
    ]
    write_run(store, [trained("A", W1, 0.6, cpu_s=4.0, device_s=1.0)], batch="gpu")
    said = cost_said(read_report(store, "gpu"))
    assert "4.0 s of them for 1 model and 3.0 s beside them" in said[0]
    assert said[1] == "The device does not tell its energy."
    write_run(store, [trained("A", W1, 0.6)], batch="live", status=None).close()
    assert "No run of this batch has come to its end" in cost_said(read_report(store, "live"))[0]


def test_devices_and_their_warnings_stand_in_the_report_as_text_and_nothing_does_where_cpus_trained(
    store: TelemetryStore,
) -> None:
    assert "Devices" not in Page(page(mixed(store))).text
    state = {"device": "gpu 0:1", "said": f"gpu 0:1 ({EVIL}): 0 windows"}
    with journal_of(store, run_id="r1") as run:
        run.append(Event(kind="devices", data={"devices": [state], "idle": ["It stood idle."], "silent": "Mute."}))
    found = read_report(store, "b")
    text = Page(page(found)).text
    assert "Devices" in text
    assert f"gpu 0:1 ({EVIL}): 0 windows" in text
    assert "It stood idle." in text
    assert "Mute." in text
    assert "- It stood idle." in markdown(found)


def test_the_page_names_the_models_that_held_a_worker_longest_and_leaves_skips_out(store: TelemetryStore) -> None:
    text = Page(page(mixed(store))).text
    _, _, dearest = text.partition("Models that held a worker longest")
    listed = dearest.partition("Runs")[0].split()
    assert [word for word in listed if word in ("AAA", "BBB", "CCC")] == ["BBB", "AAA", "AAA", "BBB"]


def test_the_whole_batch_is_judged_and_not_its_runs(store: TelemetryStore) -> None:
    def verdict(run: str, *, passed: bool, failed: int) -> None:
        with Journal(store.shards, batch_id="b", run_id=run, clock=lambda: NOON) as journal:
            journal.append(CheckVerdict(model="teacher", passed=passed, failed=failed))

    symbols = [f"S{number:02}" for number in range(10)]
    # 4 of 10 fail in one window and none in two others: 13.3 % of 30 is within 15 %.
    for number, (start, failed) in enumerate([("2022-01-01", 4), ("2022-06-30", 0), ("2022-12-27", 0)]):
        rows = [window(name, start, "failed" if n < failed else "trained") for n, name in enumerate(symbols)]
        write_run(store, rows, run=f"r{number}", status="failed" if failed else "succeeded", starts=number)
        verdict(f"r{number}", passed=not failed, failed=failed)
    found = headline(read_report(store, "b"))
    assert found.word == "passed"
    assert found.sentences == (
        "4 of 30 teachers failed: 13.3%, limit 15.0%.",
        "1 of 3 runs failed by their own check; the batch is judged as a whole.",
    )
    verdict("", passed=False, failed=4)
    assert headline(read_report(store, "b")).word == "failed"


def test_headlines_of_batches_that_did_not_come_to_their_end(store: TelemetryStore) -> None:
    plan = {"teacher": [("A", W1), ("A", W2)]}
    write_run(store, [window("A", W1, "skipped")], batch="empty")
    write_run(store, [window("A", W1, "trained")], batch="short", plan=plan)
    write_run(store, [window("A", W1, "trained")], batch="gone", plan=plan, status=None).append(
        RunEnd(status="interrupted")
    )
    journal = write_run(store, [], batch="live", plan=plan, status=None)
    words = {batch: headline(read_report(store, batch)).word for batch in ("empty", "short", "gone", "live")}
    assert words == {"empty": "empty", "short": "incomplete", "gone": "interrupted", "live": "running"}
    assert headline(read_report(store, "empty")).sentences == ("None of 1 teachers was attempted; 1 skipped.",)
    assert headline(read_report(store, "short")).sentences == (
        "0 of 1 teachers failed: 0.0%, limit 15.0%. 1 was not attempted.",
    )
    journal.close()


def test_the_page_points_nowhere_and_runs_nothing(store: TelemetryStore) -> None:
    text = page(mixed(store))
    found = Page(text)
    assert found.pointers == []
    assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text


def test_the_page_shows_errors_as_text(store: TelemetryStore) -> None:
    found = Page(page(mixed(store, universe=EVIL, versions={EVIL: EVIL}, settings={"bars": EVIL})))
    assert found.text.count(EVIL) == 6
    assert "script" not in found.tags


def test_the_page_and_its_short_form_show_what_cannot_be_printed(store: TelemetryStore) -> None:
    nasty: dict[str, Any] = {"universe": UNPRINTABLE, "versions": {UNPRINTABLE: UNPRINTABLE}}
    rows = [window("BBB", W1, "failed", failure_kind=UNPRINTABLE, error_message=UNPRINTABLE, duration_s=3.0)]
    write_run(store, rows, batch=f"b{UNPRINTABLE}", **nasty)
    report = read_report(store, f"b{UNPRINTABLE}")
    for shown in (page(report), markdown(report)):
        assert all(line.isprintable() for line in shown.split("\n"))
        assert "x1b" in shown
        assert "u202e" in shown


def test_the_page_has_every_symbol_and_window_of_both_models(store: TelemetryStore) -> None:
    found = Page(page(mixed(store)))
    # Outcomes and AUC of teachers and students.
    assert [found.heads.count(symbol) for symbol in ("AAA", "BBB", "CCC")] == [4, 4, 4]
    text = found.text
    for word in ("failed", "1 of 3 teachers failed: 33.3%, limit 15.0%.", "pre_listing", "num_leaves", "4.7.0"):
        assert word in text
    assert 'title="AAA 2022-01-01: test AUC 0.900 on 28 rows">.90</td>' in page(mixed(store))
    banded = page(read_report(store, "b", noise=NOISE))
    assert (
        'class="hi5 out" title="AAA 2022-01-01: test AUC 0.900 on 28 rows, noise band 0.28 to 0.67">.90</td>' in banded
    )


def test_a_page_of_a_batch_without_any_window_opens(store: TelemetryStore) -> None:
    write_run(store, [], plan={})
    assert "Nothing is planned." in Page(page(read_report(store, "b"))).text


def test_a_thousand_symbols_are_cut_with_a_note_and_trouble_stays(store: TelemetryStore) -> None:
    symbols = [f"S{number:04}" for number in range(1000)]
    windows = [f"20{year}-01-01" for year in range(10, 18)]
    rows = [
        window(name, start, "failed" if name in ("S0999", "S0500") and start == windows[0] else "trained")
        for name in symbols
        for start in windows
    ]
    write_run(store, rows)
    found = Page(page(read_report(store, "b")))
    assert len([head for head in found.heads if head.startswith("S")]) == 2 * MAX_CELLS // 8
    assert {"S0000", "S0500", "S0999"} < set(found.heads)
    assert "S0800" not in found.heads
    assert "625 of 1,000 symbols are shown (every one with a failed or missing window)" in found.text
    assert found.tags.count("td") < 4 * MAX_CELLS


def test_long_lists_say_what_they_leave_out(store: TelemetryStore) -> None:
    write_run(store, [window(f"S{number:03}", W1, "failed", error_message="broken") for number in range(103)])
    assert "3 more such lines are not listed" in Page(page(read_report(store, "b"))).text


def test_windows_of_a_symbol_that_failed_alike_are_one_line_of_the_page(store: TelemetryStore) -> None:
    broken = [window("AAA", start, "failed", error_message="AAA.csv is broken") for start in (W1, W2)]
    write_run(store, [*broken, window("BBB", W1, "failed", error_message="BBB.csv is broken")])
    text = Page(page(read_report(store, "b"))).text
    assert "Failed windows: 3" in text
    assert f"{W1} and 1 more window" in text
    # Once as the example of the cause, once in the list.
    assert text.count("AAA.csv is broken") == 2


def test_a_comparison_tells_inputs_trees_outcomes_and_metrics(store: TelemetryStore) -> None:
    before = [
        trained("SAME", W1, 0.5),
        trained("DATA", W1, 0.5),
        trained("ODD", W1, 0.5),
        trained("BROKE", W1, 0.5),
        window("HEALED", W1, "failed"),
        trained("GONE", W1, 0.5),
    ]
    now = [
        trained("SAME", W1, 0.5, outcome="reused"),
        trained("DATA", W1, 0.8, data_fingerprint="data1", trees_fingerprint="other"),
        trained("ODD", W1, 0.4, trees_fingerprint="other"),
        window("BROKE", W1, "failed", failure_kind="timeout", error_message="too slow"),
        trained("HEALED", W1, 0.6),
        trained("NEW", W1, 0.6),
    ]
    write_run(
        store, before, batch="old", starts=-500, parameters={"teacher": {"num_leaves": 31}}, settings={"horizon": 7}
    )
    write_run(store, now, batch="new", parameters={"teacher": {"num_leaves": 63}}, settings={"horizon": 7})
    report = read_report(store, "new", against="old")
    assert report.against is not None
    found = compare(report.against, report)
    assert found.named == [("parameters.teacher.num_leaves", "31", "63")]
    assert (found.only_before, found.only_after, found.both) == (1, 1, {"teacher": 3})
    assert found.inputs["teacher"] == {"data": 1}
    assert [(change.after.symbol, change.inputs) for change in found.trees] == [("DATA", ("data",)), ("ODD", ())]
    assert [change.after.symbol for change in found.unexplained] == ["ODD"]
    assert found.outcomes == {
        ("teacher", "trained", "reused"): 1,
        ("teacher", "trained", "failed"): 1,
        ("teacher", "failed", "trained"): 1,
    }
    assert [change.after.symbol for change in found.newly_failed] == ["BROKE"]
    auc = next(moved for moved in found.moved if moved.metric == "test_auc")
    assert (auc.windows, auc.changed) == (3, 2)
    assert auc.before == 0.5
    assert auc.after == pytest.approx(1.7 / 3)
    assert auc.largest is not None
    assert auc.largest.after.symbol == "DATA"
    text = Page(page(report)).text
    assert "2 of 3 teachers have other trees (what changed: data of 1)." in text
    assert "1 trees differ although data, parameters and code are the same by fingerprint." in text


def test_models_that_know_nothing_are_flagged_wherever_the_report_shows_them(store: TelemetryStore) -> None:
    rows = [trained("AAA", W1, 0.5, constant=True), trained("AAA", W2, 0.6, constant=False), trained("BBB", W1, 0.5)]
    write_run(store, rows)
    report = read_report(store, "b")
    assert [row.constant for row in report.rows] == [True, False, None]
    assert "0 of 3 teachers failed: 0.0%, limit 15.0%. 1 of 3 say the same of every row." in headline(report).sentences
    assert "- teacher: 1 of 3 models say the same of every row" in markdown(report).splitlines()
    (cells,) = (cells for symbol, cells in outcome_map(report, "teacher").rows if symbol == "AAA")
    assert [(cell.text, cell.title) for cell in cells] == [
        ("Tc", f"AAA {W1}: trained, constant"), ("T", f"AAA {W2}: trained"),
    ]  # fmt: skip
    assert "1 of 3 say the same of every row." in Page(page(report)).text


def test_leaves_and_depth_stand_beside_what_was_asked_for(store: TelemetryStore) -> None:
    grown = [
        trained(symbol, W1, 0.5, metrics={"largest_tree_leaves": leaves, "largest_tree_depth": leaves - 2})
        for symbol, leaves in (("AAA", 3), ("BBB", 4), ("CCC", 7))
    ]
    idle = ["TEACHER_NUM_LEAVES=127 does nothing: 88 rows make about 4 leaves."]
    write_run(
        store,
        grown,
        parameters={"teacher": {"num_leaves": 127, "max_depth": 9}},
        configuration={"idle_settings": idle},
    )
    report = read_report(store, "b")
    assert growth(report) == [
        Growth("teacher", "num_leaves", 127, 4, 7), Growth("teacher", "max_depth", 9, 2, 5),
    ]  # fmt: skip
    shown = Page(page(report)).text
    assert "teacher num_leaves 127 4 7" in shown
    assert idle[0] in shown


def test_markdown_is_short_and_escapes(store: TelemetryStore) -> None:
    found = markdown(mixed(store))
    assert "| teacher | 4 | 2 | 0 | 1 | 1 | 0 |" in found
    assert "<script" not in found.replace("\\<", "")
    assert "\\*stars\\*" in found
    assert r"- skipped 1 pre\_listing" in found
    assert len(found.splitlines()) < 20


def test_a_page_is_written_whole_or_not_at_all(store: TelemetryStore, tmp_path: Path) -> None:
    report = mixed(store)
    path = write_page(report, tmp_path / "deep" / "page.html")
    assert path.read_text(encoding="utf-8") == page(report)
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
    with pytest.raises(UsageError, match="Name another file with --out"):
        write_page(report, path / "below-a-file.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="taken is a directory, and only a regular file can be replaced"):
        write_page(report, tmp_path / "taken")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "deep", "taken"]


def test_a_batch_name_cannot_leave_the_directory_of_reports(tmp_path: Path) -> None:
    assert default_path(tmp_path, "../../etc/x") == tmp_path / "reports" / "______etc_x-01bc0313.html"
    assert default_path(tmp_path, "a.b") != default_path(tmp_path, "a_b") == tmp_path / "reports" / "a_b.html"


def test_the_command_writes_the_page_and_prints_its_path(
    store: TelemetryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", "data")
    assert "No batch yet" in CliRunner().invoke(main, ["report"]).output
    mixed(store)
    write_run(store, [trained("AAA", W1, 0.4)], batch="later", starts=500, ends=600)
    assert CliRunner().invoke(main, ["report"]).output.strip() == "data/reports/later.html"
    asked = ["report", "--batch", "later", "--against", "b", "--out", "page.html"]
    assert CliRunner().invoke(main, asked).output.strip() == "page.html"
    assert "Since batch b" in Page((tmp_path / "page.html").read_text()).text
    refused = CliRunner().invoke(main, ["report", "--against", "nobody"])
    assert (refused.exit_code, "There are: later, b." in refused.output) == (2, True)


def test_reports_of_a_real_backfill_can_be_compared(tmp_path: Path) -> None:
    home = Home(tmp_path)
    chosen = ("--symbols", "AAPL,IBM", "--windows", "2009-01-01,2009-06-30")
    first = home.backfill(*chosen).json["batch_id"]
    second = home.backfill(*chosen, "--param", "TEACHER_LEARNING_RATE=0.5")
    written = home.run("report", "--against", first)
    assert written.code == 0, written.err
    text = Page((tmp_path / written.out.strip()).read_text()).text
    assert f"Batch {second.json['batch_id']}" in text
    assert "4 of 4 teachers have other trees (what changed: parameters of 4)." in text
    assert "parameters.teacher.learning_rate" in text
    assert home.run("progress", "--json").json["percent"] == 100.0


def test_the_report_tells_of_every_run(store: TelemetryStore) -> None:
    write_run(store, [window("A", W1, "trained")], run="first")
    write_run(store, [window("A", W2, "trained", 5)], run="second", starts=3)
    runs = read_report(store, "b").runs
    assert [(run["run_id"], run["windows"], run["started_at"]) for run in runs] == [
        ("first", 1, NOON),
        ("second", 1, after(3)),
    ]


def test_findings_on_bars_stand_in_the_report_once_and_their_text_is_text(store: TelemetryStore) -> None:
    write_run(store, [trained("AAA", W1, 0.5)], status="succeeded", settings={"horizon": 7})
    split = Finding("AAA", "corporate_action", "error", date(2024, 1, 5), date(2024, 1, 5), 1, EVIL, windows=(W1,))
    hole = Finding("*", "hole", "warning", date(2024, 2, 1), date(2024, 2, 20), 14, "no bar", windows=(W1, W2))
    for run in ("one", "two"):
        journal = Journal(store.shards, batch_id="b", run_id=run, clock=utc_now)
        journal.append_many(map(finding_event, (hole, split)))
        journal.close()
    report = read_report(store, "b")
    assert [one["rule"] for one in report.bars] == ["corporate_action", "hole"]
    shown = Page(page(report))
    assert "found 1 errors and 1 warnings" in shown.text
    assert "script" not in shown.tags
    assert "corporate_action error 2024-01-05 2024-01-05 1" in shown.text
    assert "bars: 1 errors and 1 warnings of the rules on bars" in markdown(report)


def test_a_batch_without_findings_on_bars_says_so(store: TelemetryStore) -> None:
    write_run(store, [trained("AAA", W1, 0.5)], status="succeeded", settings={"horizon": 7})
    assert "The rules on bars found nothing, or were not asked" in Page(page(read_report(store, "b"))).text


def test_which_bars_there_are_stands_in_the_report_month_by_month_and_names_who_has_none(store: TelemetryStore) -> None:
    write_run(store, [trained("AAA", W1, 0.5)], status="succeeded", settings={"horizon": 7})
    assert "sensequant coverage" in Page(page(read_report(store, "b"))).text
    own = {"AAA": Covered((21, 8), (21, 8), (21, 20)), "BBB": Covered((1500, 1425), (20, 19), (21, 20))}
    covered = Coverage(("2024-01", "2024-02"), (21, 20), own | {EVIL: Covered((0, 0), (0, 0), (0, 20))})
    journal = Journal(store.shards, batch_id="b", run_id="one", clock=utc_now)
    journal.append(coverage_event(covered))
    journal.close()
    report = read_report(store, "b")
    assert report.coverage == covered
    shown = Page(page(report))
    assert "script" not in shown.tags
    assert "(1 of 3 symbols)" in shown.text
    found = coverage_map(covered)
    assert [cell.title for cell in found.summary] == [
        "2024-01: 21 sessions; 2 of 3 symbols lack none", "2024-02: 20 sessions; 0 of 3 symbols lack none",
    ]  # fmt: skip
    rows = dict(found.rows)
    assert [(cell.css, cell.text, cell.title) for cell in rows["AAA"]] == [
        ("hi0", "21", "AAA 2024-01: bars on 21 of 21 sessions"), ("lo3", "8", "AAA 2024-02: bars on 8 of 20 sessions"),
    ]  # fmt: skip
    assert rows["BBB"][0].title == "BBB 2024-01: bars on 20 of 21 sessions, 1,500 bars"
    assert [cell.css for cell in rows[EVIL]] == ["none", "lo5"]


def test_where_not_all_symbols_fit_those_that_lack_most_sessions_are_shown() -> None:
    months = tuple(f"{year}-{month:02d}" for year in range(2000, 2030) for month in range(1, 13))
    ten = (10,) * len(months)
    own = {f"S{number:02d}": Covered(ten, ten, ten) for number in range(30)}
    own["S29"] = Covered(ten, (9, *ten[1:]), ten)
    found = coverage_map(Coverage(months, ten, own))
    assert [symbol for symbol, _ in found.rows] == [*(f"S{number:02d}" for number in range(19)), "S29"]
    assert found.note == "20 of 30 symbols are shown, those that lack most sessions."
