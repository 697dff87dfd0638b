"""Claims about why a model is another one than before."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch.rows import coverage_event
from sensequant_assets.core.quality.coverage import Coverage, Covered
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.changes import Reason, why
from sensequant_assets_tests.running import Home, corrupt, sample_bars, write_universe
from sensequant_assets_tests.telling import W1, window, write_run

SAME = {"data_fingerprint": "d", "parameters_fingerprint": "p", "code_fingerprint": "c", "trees_fingerprint": "t"}
MONTHS = ("2022-01", "2022-02")


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def batch(store: TelemetryStore, name: str, at: float, outcome: str = "trained", **told: Any) -> None:
    """A batch with one teacher, and what its run was asked and read."""
    digests: dict[str, Sequence[str]] = told.pop("digests", {})
    row = window("A", W1, outcome, at + 1, **SAME | told.pop("row", {}))
    journal = write_run(store, [row], batch=name, starts=at, ends=at + 2, status=None, **told)
    if digests:
        ones = (1, 1)
        symbols = {symbol: Covered(ones, ones, ones, tuple(own)) for symbol, own in digests.items()}
        journal.append(coverage_event(Coverage(MONTHS, ones, symbols)))
    journal.close()


def reasons(store: TelemetryStore) -> list[Reason]:
    found = why(store, "five", "teacher", "A", W1)
    assert found is not None
    return list(found.reasons)


def test_a_model_that_never_was_has_no_reasons_and_the_first_has_none_before(store: TelemetryStore) -> None:
    assert why(store, "five", "teacher", "A", W1) is None
    batch(store, "one", 0)
    found = why(store, "five", "teacher", "A", W1)
    assert found is not None
    assert (found.batch, found.before, found.reasons) == ("one", "", ())


def test_parameters_labels_libraries_and_features_that_differ_are_named(store: TelemetryStore) -> None:
    batch(
        store, "one", 0, parameters={"teacher": {"num_leaves": 31, "seed": 7}}, settings={"horizon": 7, "end": "1"},
        versions={"lightgbm": "4.6.0"}, configuration={"features": ["standard"]},
    )  # fmt: skip
    batch(
        store, "two", 10, parameters={"teacher": {"num_leaves": 63, "seed": 7}}, settings={"horizon": 5, "end": "2"},
        versions={"lightgbm": "4.7.0"}, configuration={"features": ["standard", "mine 12"]},
        row={"parameters_fingerprint": "q", "code_fingerprint": "k", "trees_fingerprint": "u"},
    )  # fmt: skip
    batch(store, "three", 20, "reused", row={"trees_fingerprint": "u"})
    found = why(store, "five", "teacher", "A", W1)
    assert found is not None
    assert (found.batch, found.before, found.reused) == ("two", "one", 1)
    assert found.reasons == [
        Reason("parameters", "teacher num_leaves", "31", "63"),
        Reason("labels", "horizon", "7", "5"),
        Reason("libraries", "lightgbm", "4.6.0", "4.7.0"),
        Reason("features", "providers", "standard", "standard, mine 12"),
    ]


def test_bars_that_differ_are_named_month_by_month_and_those_of_others_where_pools_are_shared(
    store: TelemetryStore,
) -> None:
    pool = {"teacher": {"scope": "pool"}}
    other = {"data_fingerprint": "e", "trees_fingerprint": "u", "train_rows": 90, "effective_end": date(2022, 6, 1)}
    before, after = (
        {"A": ("a", "b"), "B": ("c", ""), "C": ("x", "y")},
        {"A": ("a", "z"), "B": ("c", "d"), "C": ("x", "y")},
    )
    batch(store, "one", 0, parameters=pool, digests=before, row={"train_rows": 89})
    batch(store, "two", 10, parameters=pool, digests=after, row=other)
    assert reasons(store) == [
        Reason("rows", "train_rows", "89", "90"),
        Reason("rows", "effective_end", "nothing", "2022-06-01"),
        Reason("bars", "A 2022-02", "1 bar (b)", "1 bar (z)"),
        Reason("bars", "1 other symbol of the universe, which shares pools", "", "B"),
    ]


def test_code_of_its_own_is_named_where_no_library_explains_it_and_what_is_not_known_is_said(
    store: TelemetryStore,
) -> None:
    batch(store, "one", 0)
    batch(store, "two", 10, row={"data_fingerprint": "e", "code_fingerprint": "k", "trees_fingerprint": "u"})
    found = why(store, "five", "teacher", "A", W1)
    assert found is not None
    assert found.reasons == [Reason("code", "sensequant-assets", "c", "k")]
    assert "Which bars differ is not known" in found.remarks[0]


def test_the_command_names_what_was_asked_otherwise(tmp_path: Path) -> None:
    home = Home(tmp_path)
    asked = ("--symbols", "AAPL", "--end", "2009-06-30")
    assert home.backfill(*asked).code == 0
    assert "There was none before" in home.run("why", "AAPL", "2009-01-01").out
    assert home.backfill(*asked, "--param", "STUDENT_LEARNING_RATE=0.3").code == 0
    found = home.run("why", "AAPL", "2009-01-01", "--json").json
    assert found["reasons"] == [
        {"what": "parameters", "name": "student learning_rate", "before": "0.1", "after": "0.3"}
    ]
    unknown = home.run("why", "NOBODY", "2009-01-01")
    assert unknown.code == 2
    assert "has tried a student of NOBODY" in unknown.err


def test_the_command_says_why_a_window_has_no_model(tmp_path: Path) -> None:
    home = Home(tmp_path)
    corrupt(sample_bars(tmp_path / "bars", ["AAPL", "FB"]) / "AAPL.csv")
    write_universe(tmp_path / "two.csv", ["AAPL", "FB"])
    assert home.backfill("--universe", "two.csv", "--bars", "bars", "--end", "2009-06-30").code == 1
    failed = home.run("why", "AAPL", "2009-01-01", "--model", "teacher")
    assert failed.code == 0, failed.err
    assert "failed in batch" in failed.out
    assert "AAPL.csv, row 100 and" in failed.out
    assert "Correct the named row of the named file" in failed.out
    skipped = home.run("why", "FB", "2009-01-01", "--model", "teacher")
    assert "was skipped in batch" in skipped.out
    assert "FB trades from 2012-05-18" in skipped.out
    told = home.run("why", "AAPL", "2009-01-01", "--model", "teacher", "--json").json
    assert (told["last"]["outcome"], told["last"]["failure_kind"]) == ("failed", "corrupt_bars")
