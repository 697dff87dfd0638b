"""Claims about where numbers come from: a question that can be asked again, and a digest of its answer."""

from pathlib import Path

from sensequant_assets.telemetry.questions.sources import kept_evaluations, source_of_findings, sources
from sensequant_assets.telemetry.records import Evaluation
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1, journal_of, window, write_run


def test_a_source_is_asked_again_by_anybody_and_another_answer_has_another_digest(tmp_path: Path) -> None:
    store, odd = TelemetryStore(tmp_path), "it's"
    write_run(store, [window("A", W1, "trained", 1), window("B", W1, "skipped", 2, reason="no_bars")], batch=odd)
    write_run(store, [window("A", W1, "trained", 3)], batch="other", starts=200)
    before = sources(store, odd)
    assert "'it''s'" in before["outcomes"].question
    assert [row["batch_id"] for row in store.rows(before["outcomes"].question)] == [odd]
    assert store.rows(before["skips"].question) == [{"model": "teacher", "reason": "no_bars", "windows": 1}]
    assert sources(store, odd) == before
    write_run(store, [window("B", W1, "failed", 400, attempt=2)], batch=odd, run="r2", starts=300)
    after = sources(store, odd)
    changed = {name for name, one in after.items() if one.digest != before[name].digest}
    assert changed == {"outcomes", "skips", "failures"}
    assert all(one.question == before[name].question for name, one in after.items())


def test_evaluations_and_backtests_are_told_apart_the_latest_first(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path)
    with journal_of(store) as journal:
        told: dict[str, dict[str, object]] = {"one": {"head": {}}, "two": {"portfolio": {}}, "three": {"head": {}}}
        for name, findings in told.items():
            journal.append(Evaluation(evaluation=name, subject_fingerprint=f"of {name}", findings=findings))
    found = [(one.evaluation, one.subject_fingerprint, one.of_portfolio) for one in kept_evaluations(store, "b")]
    assert found == [("three", "of three", False), ("two", "of two", True), ("one", "of one", False)]
    one, two = (source_of_findings(store, "b", name) for name in ("one", "two"))
    assert one.digest != two.digest
    assert store.rows(two.question) == [{"findings": '{"portfolio":{}}'}]
