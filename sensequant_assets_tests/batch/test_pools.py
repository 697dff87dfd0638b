"""Claims about runs whose teachers are pooled, without Dagster."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.batch import pools as pools_module
from sensequant_assets.batch.devices import Devices
from sensequant_assets.batch.engines.engine import Engine, Local
from sensequant_assets.batch.evaluation import Subject, gather
from sensequant_assets.batch.leaks import probe
from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.pools import PoolOutcome, Pools, PoolStatus
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Run, earlier_teachers
from sensequant_assets.batch.staleness import Cause, stale_pairs
from sensequant_assets.batch.trainer import key_of
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Outcome, Status
from sensequant_assets.core.parameters import MODELS, ModelKind, Scope, StudentParameters, TeacherParameters
from sensequant_assets.core.pool import Pooled, PoolRows
from sensequant_assets.errors import FailureKind, UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.pools import PoolKind
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import corrupt, how_it_runs, leave, sample_bars, write_universe

SYMBOLS = ("AAPL", "GOOG", "IBM")
WINDOWS = ("2009-01-01", "2009-06-30", "2009-12-27")
TEACHER = TeacherParameters(scope="pool", n_estimators=10, min_child_samples=20)
STUDENT = StudentParameters(scope="pool", n_estimators=5, min_child_samples=20)


@dataclass
class Told:
    """What a run told."""

    pools: list[PoolOutcome] = field(default_factory=list)
    outcomes: dict[tuple[str, Key], Outcome] = field(default_factory=dict)

    def pool_statuses(self, model: str = "pool") -> dict[str, PoolStatus]:
        return {one.pool.window: one.status for one in self.pools if one.model == model}

    def statuses(self, model: str) -> dict[Key, Status]:
        return {key: outcome.status for (kind, key), outcome in self.outcomes.items() if kind == model}

    def trees(self, model: str, window: str) -> set[str]:
        return {
            one.trees_fingerprint for (kind, key), one in self.outcomes.items() if (kind, key[1]) == (model, window)
        }


class PooledShop:
    """Runs of three symbols in three windows whose teachers are pooled, below one directory."""

    label: str = "threshold"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.universe = write_universe(directory / "three.csv", SYMBOLS)
        self.bars = sample_bars(directory / "bars", SYMBOLS)
        self.store = ModelStore(directory / "models", "three")
        self.telemetry = TelemetryStore(directory / "telemetry")

    @property
    def settings(self) -> Settings:
        asked = {"universe": self.universe, "bars": str(self.bars), "end": date(2010, 6, 25), "label": self.label}
        return read_settings(asked)

    def market(self, teacher: TeacherParameters = TEACHER, student: StudentParameters = STUDENT) -> Market:
        return Market.open(self.settings, teacher, student)

    def run(
        self,
        name: str = "one",
        keys: Sequence[Key] | None = None,
        teacher: TeacherParameters = TEACHER,
        student: StudentParameters = STUDENT,
        models: Sequence[ModelKind] = MODELS,
        engine: Engine | None = None,
        **options: Any,
    ) -> Told:
        market = self.market(teacher, student)
        run = Run(
            market=market,
            keys=market.keys() if keys is None else keys,
            models=models,
            store=self.store,
            journal=Journal(self.telemetry.shards, batch_id=name, run_id=name, clock=utc_now),
            identity=Identity(name, name),
            teacher=teacher,
            student=student,
            options=how_it_runs(**{"workers": 2, "max_failure_rate": 0.5, **options}),
            earlier_teachers=lambda: earlier_teachers(self.telemetry, market.keys(), "three"),
            engine=lambda slots: nullcontext(engine or Local(slots)),
        )
        told = Told()
        for _ in run.carry_out(
            lambda model, found: told.outcomes.update({(model, key_of(one.pair)): one for one in found}),
            told.pools.append,
        ):
            pass
        return told


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PooledShop:
    leave(monkeypatch, tmp_path)
    return PooledShop(tmp_path)


def test_all_pairs_of_a_window_have_the_trees_of_its_pool_and_records_of_their_own(shop: PooledShop) -> None:
    told = shop.run()

    assert told.pool_statuses() == dict.fromkeys(WINDOWS, PoolStatus.TRAINED)
    assert told.pool_statuses("shared_student") == dict.fromkeys(WINDOWS, PoolStatus.TRAINED)
    assert Counter(told.statuses("teacher").values()) == Counter(told.statuses("student").values()) == {"trained": 9}
    for window in WINDOWS:
        pool, shared = shop.store.pools.find("pool", window), shop.store.pools.find("shared_student", window)
        assert told.trees("teacher", window) == {pool.record.trees_fingerprint}
        assert told.trees("student", window) == {shared.record.trees_fingerprint}
        records = [shop.store.read("teacher", symbol, window).record for symbol in SYMBOLS]
        assert len({record.fingerprints.data for record in records}) == 3
        assert {len(record.soft_targets) for record in records} == {record.rows.train for record in records}
        assert {record.calibration for record in records} == {pool.record.calibration}


def test_each_pair_has_the_soft_targets_of_its_own_rows(shop: PooledShop) -> None:
    shop.run(keys=[("IBM", WINDOWS[1])])

    pool = shop.market().pools[WINDOWS[1]]
    kept = shop.store.pools.find("pool", WINDOWS[1]).soft_targets()
    record = shop.store.read("teacher", "IBM", WINDOWS[1]).record
    assert record.soft_targets == kept[pool.spans["IBM", WINDOWS[1]]].tolist()


def test_losses_are_of_what_is_served_and_ranks_of_what_is_said(shop: PooledShop) -> None:
    shop.run(keys=[("AAPL", WINDOWS[1])])

    record = shop.store.read("student", "AAPL", WINDOWS[1]).record
    lesson = shop.market().lesson(shop.market().pair("AAPL", WINDOWS[1]))
    label = lesson.samples.label[lesson.rows.test]
    served = record.calibration.serve(lesson.unseen(shop.store.read("student", "AAPL", WINDOWS[1]).booster()))
    assert record.metrics["test_brier"] == pytest.approx(((served - label) ** 2).mean())
    assert record.metrics["calibration_slope"] == record.calibration.slope


def test_one_pair_asked_alone_learns_from_the_whole_universe(shop: PooledShop) -> None:
    told = shop.run(keys=[("IBM", WINDOWS[2])])

    assert told.pool_statuses() == {WINDOWS[2]: PoolStatus.TRAINED}
    record = shop.store.pools.find("pool", WINDOWS[2]).record
    assert (record.symbols, record.span) == (3, list(WINDOWS))
    assert told.statuses("teacher") == {("IBM", WINDOWS[2]): Status.TRAINED}


def test_what_is_unchanged_is_reused_pools_and_pairs(shop: PooledShop) -> None:
    first, again = shop.run("one"), shop.run("two")

    assert {one.status for one in again.pools} == {PoolStatus.REUSED}
    assert {one.status for one in again.outcomes.values()} == {Status.REUSED}
    assert again.trees("student", WINDOWS[0]) == first.trees("student", WINDOWS[0])


@pytest.mark.parametrize("label", ["volatility_neutral", "cross_sectional"])
@pytest.mark.parametrize("scope", ["symbol", "pool"])
def test_every_label_trains_pools_and_pairs_is_in_their_records_and_is_reused(
    shop: PooledShop, label: str, scope: Scope
) -> None:
    teacher = TeacherParameters(scope=scope, n_estimators=10, min_child_samples=10)
    student = StudentParameters(scope=scope, n_estimators=5, min_child_samples=10)
    keys = [("AAPL", WINDOWS[1]), ("IBM", WINDOWS[2])]
    threshold = shop.run("threshold", keys, teacher, student)
    shop.label = label
    other = shop.run("other", keys, teacher, student)
    again = shop.run("again", keys, teacher, student)

    for told, status in ((threshold, Status.TRAINED), (other, Status.TRAINED), (again, Status.REUSED)):
        assert {one.status for one in told.outcomes.values()} == {status}
    asks = shop.settings.recipe.asks
    assert asks["label"] == label
    for model, (symbol, window) in product(MODELS, keys):
        assert shop.store.read(model, symbol, window).record.label == asks
        assert other.trees(model, window).isdisjoint(threshold.trees(model, window))
    if scope == "pool":
        assert shop.store.pools.find("pool", WINDOWS[2]).record.label == asks


def test_one_worker_and_two_make_the_same_pools(shop: PooledShop, tmp_path: Path) -> None:
    one = shop.run("one", workers=1)
    other = shop.run("two", workers=2, force=True)

    for window in WINDOWS:
        assert one.trees("teacher", window) == other.trees("teacher", window)
        assert one.trees("student", window) == other.trees("student", window)


def test_another_student_is_distilled_from_the_pool_that_is_there(shop: PooledShop) -> None:
    shop.run("one")

    told = shop.run("two", student=STUDENT.model_copy(update={"n_estimators": 7}))

    assert told.pool_statuses() == dict.fromkeys(WINDOWS, PoolStatus.REUSED)
    assert told.pool_statuses("shared_student") == dict.fromkeys(WINDOWS, PoolStatus.TRAINED)
    assert set(told.statuses("teacher").values()) == {Status.REUSED}
    assert set(told.statuses("student").values()) == {Status.TRAINED}


OWN = StudentParameters(scope="symbol", n_estimators=6, own_rounds=4)


def test_a_student_of_its_symbol_corrects_the_shared_one_by_its_rows_in_the_pool(shop: PooledShop) -> None:
    told = shop.run(student=OWN)

    assert told.pool_statuses("shared_student") == dict.fromkeys(WINDOWS, PoolStatus.TRAINED)
    assert set(told.statuses("student").values()) == {Status.TRAINED}
    shared = shop.store.pools.find("shared_student", WINDOWS[1]).grown(OWN.shared)
    for symbol in SYMBOLS:
        stored = shop.store.read("student", symbol, WINDOWS[1])
        assert stored.record.metrics["trees"] == 6 + 4
        assert stored.record.calibration == shop.store.pools.find("pool", WINDOWS[1]).record.calibration
        assert trees_in(stored.text())[:6] == trees_in(shared.text)
    assert len(told.trees("student", WINDOWS[1])) == 3


def trees_in(text: str) -> list[str]:
    """The trees of a model text, without their numbers."""
    return [tree.partition("\n")[2].strip() for tree in text.partition("end of trees")[0].split("\nTree=")[1:]]


def test_the_largest_pool_is_begun_first(shop: PooledShop) -> None:
    pools = Pools(shop.market(), shop.store.pools, TEACHER, STUDENT, False, Devices(TEACHER))

    begun = [outcome.pool.rows for outcome in pools.make(WINDOWS, 1, 60) if outcome.model == "pool"]

    assert begun == sorted(begun, reverse=True)
    assert len(set(begun)) == len(WINDOWS)


def test_a_correction_learns_what_the_pool_says_out_of_fold_of_all_rows_of_its_symbol(shop: PooledShop) -> None:
    shop.run(student=OWN)
    market = shop.market(student=OWN)
    pools = Pools(market, shop.store.pools, TEACHER, OWN, False, Devices(TEACHER))
    list(pools.make(WINDOWS, 1, 60))

    rows, soft_targets = pools.own_of(market.pair("IBM", WINDOWS[1]))

    kept = shop.store.pools.find("pool", WINDOWS[1]).soft_targets()
    spans = [market.pools[WINDOWS[1]].spans["IBM", window] for window in WINDOWS[:2]]
    whole = market.pool_rows(WINDOWS[1])
    assert soft_targets.tolist() == np.concatenate([kept[span] for span in spans]).tolist()
    assert rows.label.tolist() == np.concatenate([whole.label[span] for span in spans]).tolist()
    assert (rows.features == np.concatenate([whole.features[span] for span in spans])).all()


def test_corrections_are_reused_and_made_anew_with_other_rounds(shop: PooledShop) -> None:
    first = shop.run("one", student=OWN, workers=1)

    assert set(shop.run("two", student=OWN).statuses("student").values()) == {Status.REUSED}
    told = shop.run("three", student=OWN.model_copy(update={"own_rounds": 5}))
    assert set(told.statuses("student").values()) == {Status.TRAINED}
    again = shop.run("four", student=OWN, workers=2, force=True)
    assert again.trees("student", WINDOWS[2]) == first.trees("student", WINDOWS[2])


SEPARATE = TEACHER.model_copy(update={"early_life": "separate"})
YOUNG = {(symbol, window) for symbol in ("GOOG", "IBM") for window in WINDOWS[:2]}


def trade_from_spring(shop: PooledShop) -> None:
    """Let two symbols trade from 2009-03-02 on, so that they are young in their first two windows."""
    rows = ["symbol,trading_start_date", "AAPL,1990-01-01", "GOOG,2009-03-02", "IBM,2009-03-02"]
    shop.universe.write_text("\n".join(rows) + "\n")


@pytest.fixture
def young_shop(shop: PooledShop) -> PooledShop:
    """The shop with two young symbols."""
    trade_from_spring(shop)
    return shop


def test_pairs_of_young_symbols_learn_from_pools_of_their_own_where_that_is_asked_for(young_shop: PooledShop) -> None:
    told = young_shop.run(teacher=SEPARATE)

    apart = [f"{window}-early" for window in WINDOWS[:2]]
    assert {one.pool.name for one in told.pools if one.model == "pool"} == {*WINDOWS, *apart}
    assert set(told.statuses("student").values()) == {Status.TRAINED}
    for (model, key), outcome in told.outcomes.items():
        name = f"{key[1]}-early" if key in YOUNG else key[1]
        kind: PoolKind = "pool" if model == "teacher" else "shared_student"
        pool = young_shop.store.pools.find(kind, name)
        assert (outcome.pool, outcome.trees_fingerprint) == (name, pool.record.trees_fingerprint)
    assert young_shop.store.pools.find("pool", apart[0]).record.symbols == 2
    assert young_shop.store.pools.find("pool", WINDOWS[0]).record.symbols == 1
    market = young_shop.market(SEPARATE)
    assert not stale_pairs(market, young_shop.store, SEPARATE, STUDENT, code()).pairs
    assert {one.status for one in young_shop.run("two", teacher=SEPARATE).outcomes.values()} == {Status.REUSED}
    gathered = gather(Subject("", young_shop.settings, SEPARATE, STUDENT), market, young_shop.store)
    said = {one.name: one.raw.tolist() for one in gathered.forecasts}
    assert said["pool"] == said["teacher"]
    assert all(finding.passed for finding in probe(market, WINDOWS, 2) if finding.severity == "error")


def test_where_young_symbols_have_too_few_rows_for_a_pool_that_of_all_teaches_them_and_says_so(
    young_shop: PooledShop,
) -> None:
    fewer = SEPARATE.model_copy(update={"min_child_samples": 120})

    told = young_shop.run(teacher=fewer)

    why = {one.pool.name: one.pool.not_apart for one in told.pools if one.model == "pool"}
    assert why.keys() <= set(WINDOWS)
    assert why[WINDOWS[1]].startswith("The early-life pool of window 2009-06-30 has ")
    young = told.outcomes["teacher", ("IBM", WINDOWS[1])]
    assert (young.status, young.pool) == (Status.TRAINED, WINDOWS[1])
    rows = young_shop.telemetry.query(
        "SELECT data->>'early_life_not_separate' AS why FROM events WHERE kind = 'pool' AND window_start = '2009-06-30'"
    ).to_pylist()
    assert {row["why"] for row in rows} == {why[WINDOWS[1]]}


def changed_bar(file: Path, day: str) -> None:
    """Another close on a day and after it, within the day's high and low."""
    lines = file.read_text().splitlines()
    columns = lines[0].split(",")
    at = next(number for number, line in enumerate(lines) if line.startswith(day))
    cells = lines[at].split(",")
    cells[columns.index("close")] = cells[columns.index("high")]
    lines[at] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")


def stale(shop: PooledShop) -> dict[Key, frozenset[Cause]]:
    return dict(stale_pairs(shop.market(), shop.store, TEACHER, STUDENT, code()).pairs)


def test_other_bars_of_one_symbol_make_every_pair_stale_whose_pool_has_them(shop: PooledShop) -> None:
    shop.run()
    assert stale(shop) == {}

    changed_bar(shop.bars / "IBM.csv", "2010-03-01")

    expected = {(symbol, WINDOWS[2]): frozenset({Cause.DATA}) for symbol in SYMBOLS}
    assert stale(shop) == expected
    told = shop.run("two")
    assert told.pool_statuses() == {
        WINDOWS[0]: PoolStatus.REUSED, WINDOWS[1]: PoolStatus.REUSED, WINDOWS[2]: PoolStatus.TRAINED,
    }  # fmt: skip
    assert {key for key, status in told.statuses("teacher").items() if status == Status.TRAINED} == set(expected)
    assert stale(shop) == {}


FEW_LABELS = "2010-01-11"
"""Last day of bars that give three rows to each symbol in the window that begins on 2009-12-27."""

NEWEST = {(symbol, WINDOWS[2]) for symbol in SYMBOLS}


def test_before_the_newest_window_has_rows_enough_the_model_of_the_window_before_serves_marked_so(
    shop: PooledShop,
) -> None:
    sample_bars(shop.bars, SYMBOLS, until=FEW_LABELS)

    told = shop.run()

    assert told.pool_statuses() == dict.fromkeys(WINDOWS[:2], PoolStatus.TRAINED)
    for model in MODELS:
        statuses = told.statuses(model)
        assert {key for key, status in statuses.items() if status == Status.REUSED} == NEWEST
        assert Counter(statuses.values()) == {"trained": 6, "reused": 3}
        assert told.trees(model, WINDOWS[2]) == told.trees(model, WINDOWS[1])
        for symbol in SYMBOLS:
            record = shop.store.read(model, symbol, WINDOWS[2]).record
            serving = shop.store.read(model, symbol, WINDOWS[1]).record
            assert (record.served_by, serving.served_by) == (date.fromisoformat(WINDOWS[1]), None)
            assert (record.rows.train, record.soft_targets) == (serving.rows.train, serving.soft_targets)
            # Rows of its own window have been seen by nobody, but they test the window before.
            assert (record.rows.test, serving.rows.test) == (0, 3)
    rows = shop.telemetry.query(
        "SELECT DISTINCT window_start, served_by FROM window_runs WHERE outcome = 'reused'"
    ).to_pylist()
    assert rows == [
        {"window_start": date.fromisoformat(WINDOWS[2]), "served_by": date.fromisoformat(WINDOWS[1])}
    ]  # fmt: skip
    assert stale(shop) == {}
    assert {one.status for one in shop.run("two").outcomes.values()} == {Status.REUSED}


def test_a_served_pair_asked_alone_trains_the_pool_that_serves_it(shop: PooledShop) -> None:
    sample_bars(shop.bars, SYMBOLS, until=FEW_LABELS)

    told = shop.run(keys=[("IBM", WINDOWS[2])])

    assert told.pool_statuses() == {WINDOWS[1]: PoolStatus.TRAINED}
    assert told.statuses("student") == {("IBM", WINDOWS[2]): Status.REUSED}


def test_new_bars_let_the_newest_window_train_once_its_symbols_have_rows_enough_together(shop: PooledShop) -> None:
    sample_bars(shop.bars, SYMBOLS, until=FEW_LABELS)
    shop.run()
    # Eight rows a symbol, and twenty are asked of all symbols together.
    sample_bars(shop.bars, SYMBOLS, until="2010-01-19")

    assert stale(shop) == dict.fromkeys(sorted(NEWEST), frozenset({Cause.DATA}))
    told = shop.run("two")

    assert told.pool_statuses() == {
        WINDOWS[0]: PoolStatus.REUSED, WINDOWS[1]: PoolStatus.REUSED, WINDOWS[2]: PoolStatus.TRAINED,
    }  # fmt: skip
    assert {key for key, status in told.statuses("teacher").items() if status == Status.TRAINED} == NEWEST
    record = shop.store.read("teacher", "IBM", WINDOWS[2]).record
    assert (record.served_by, record.rows.train) == (None, 8)
    assert stale(shop) == {}


def test_a_window_that_serves_another_and_changes_makes_that_stale_too(shop: PooledShop) -> None:
    sample_bars(shop.bars, SYMBOLS, until=FEW_LABELS)
    shop.run()

    changed_bar(shop.bars / "IBM.csv", "2009-11-02")

    assert {window for _, window in stale(shop)} == set(WINDOWS[1:])
    shop.run("two")
    assert stale(shop) == {}
    trees = {shop.store.read("student", "AAPL", window).record.trees_fingerprint for window in WINDOWS[1:]}
    assert len(trees) == 1


def test_an_evaluation_tells_which_models_serve_a_window_that_they_are_not_of(shop: PooledShop) -> None:
    sample_bars(shop.bars, SYMBOLS, until=FEW_LABELS)
    shop.run()
    # The batch is judged when bars of the window after the newest are there.
    sample_bars(shop.bars, SYMBOLS)

    gathered = gather(Subject("", shop.settings, TEACHER, STUDENT), shop.market(), shop.store)

    assert gathered.served == {"teacher": 3, "student": 3}
    assert (
        "3 teachers and 3 students are the model of an earlier window, served because their own had too few rows yet."
        in gathered.remarks
    )
    assert [window.key for window in gathered.windows] == list(WINDOWS)
    said = {one.name: one.raw[gathered.rows.window == 2] for one in gathered.forecasts}
    assert len(said["pool"]) > 300
    assert said["pool"].tolist() == said["teacher"].tolist()


def test_a_batch_is_judged_by_trees_that_a_later_one_has_asked_for_otherwise(shop: PooledShop) -> None:
    stumps = TEACHER.model_copy(update={"max_depth": 1})
    first = shop.run(teacher=stumps)
    # Trees of one split are the same, however many leaves they may have.
    later = shop.run("two", teacher=stumps.model_copy(update={"num_leaves": 31}))
    assert later.pool_statuses() == dict.fromkeys(WINDOWS, PoolStatus.TRAINED)
    trees = {(model, *key): one.trees_fingerprint for (model, key), one in first.outcomes.items()}

    gathered = gather(Subject("one", shop.settings, stumps, STUDENT, trees), shop.market(stumps), shop.store)

    assert gathered.models == {"teacher": 9, "student": 9, "pool": 3}
    assert not gathered.replaced


def test_a_symbol_whose_bars_fail_is_in_no_pool_and_fails_alone(shop: PooledShop) -> None:
    corrupt(shop.bars / "GOOG.csv")

    told = shop.run()

    assert set(told.pool_statuses().values()) == {PoolStatus.TRAINED}
    assert {one.pool.symbols for one in told.pools} == {2}
    statuses = told.statuses("teacher")
    assert {symbol for (symbol, _), status in statuses.items() if status == Status.FAILED} == {"GOOG"}
    assert Counter(statuses.values()) == {"trained": 6, "failed": 3}
    assert told.outcomes["teacher", ("GOOG", WINDOWS[0])].failure is FailureKind.CORRUPT_BARS


def make_intraday(file: Path) -> None:
    """Ten bars a day in place of one, from the summer before the first window on."""
    daily = pd.read_csv(file)
    daily = daily[daily["date"] >= "2008-06-01"]
    times = [f"T{hour}:00:00" for hour in range(10, 20)]
    parts = [daily.assign(date=daily["date"].astype(str).str[:10] + time) for time in times]
    pd.concat(parts).sort_values("date").to_csv(file, index=False)


def test_a_symbol_with_bars_of_another_kind_is_in_no_pool_and_fails_alone(shop: PooledShop) -> None:
    make_intraday(shop.bars / "GOOG.csv")

    told = shop.run()

    assert {one.pool.symbols for one in told.pools} == {2}
    failed = {
        key: told.outcomes["teacher", key] for key, status in told.statuses("teacher").items() if status == "failed"
    }
    assert failed
    assert {symbol for symbol, _ in failed} == {"GOOG"}
    assert all("cannot be pooled with theirs" in one.error_message for one in failed.values())
    trained = {symbol for (symbol, _), status in told.statuses("teacher").items() if status == "trained"}
    assert trained == {"AAPL", "IBM"}


Make = Callable[..., Pooled]


def failing_in(monkeypatch: pytest.MonkeyPatch, name: str, rows: int, error: Exception) -> None:
    """Let the making of a pool of so many rows raise an error."""
    real: Make = getattr(pools_module, name)

    def make(pool: PoolRows, *arguments: Any, **placed: Any) -> Pooled:
        if len(pool.label) == rows:
            raise error
        return real(pool, *arguments, **placed)

    monkeypatch.setattr(pools_module, name, make)


def test_a_pool_that_fails_fails_its_pairs_with_its_cause_and_no_others(
    shop: PooledShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_in(monkeypatch, "train_pool", shop.market().pools[WINDOWS[1]].rows, MemoryError("no room"))

    told = shop.run()

    assert told.pool_statuses() == {
        WINDOWS[0]: PoolStatus.TRAINED, WINDOWS[1]: PoolStatus.FAILED, WINDOWS[2]: PoolStatus.TRAINED,
    }  # fmt: skip
    failed = {
        key: told.outcomes["teacher", key] for key, status in told.statuses("teacher").items() if status == "failed"
    }
    assert set(failed) == {(symbol, WINDOWS[1]) for symbol in SYMBOLS}
    for outcome in failed.values():
        assert outcome.failure is FailureKind.RESOURCE
        assert outcome.error_message.startswith("The pool of window 2009-06-30 failed: MemoryError: no room")
    (event,) = shop.telemetry.query("SELECT message FROM events WHERE kind = 'pool' AND level = 'error'").to_pylist()
    assert "was failed" not in event["message"]
    assert "MemoryError: no room" in event["message"]


def test_a_shared_student_that_fails_costs_the_students_and_no_teacher(
    shop: PooledShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_in(monkeypatch, "train_shared_student", shop.market().pools[WINDOWS[0]].rows, OSError(28, "No space left"))

    told = shop.run()

    assert set(told.statuses("teacher").values()) == {Status.TRAINED}
    failed = {key for key, status in told.statuses("student").items() if status == Status.FAILED}
    assert failed == {(symbol, WINDOWS[0]) for symbol in SYMBOLS}


def test_a_damaged_pool_is_trained_anew_to_the_same_trees(shop: PooledShop) -> None:
    first = shop.run("one")
    shop.store.pools.path("pool", WINDOWS[0]).write_bytes(b"")

    told = shop.run("two")

    assert told.pool_statuses()[WINDOWS[0]] is PoolStatus.TRAINED
    assert set(told.statuses("teacher").values()) == {Status.REUSED}
    assert told.trees("teacher", WINDOWS[0]) == first.trees("teacher", WINDOWS[0])


def test_a_window_whose_pool_has_too_few_rows_is_skipped_and_says_why(shop: PooledShop) -> None:
    told = shop.run(teacher=TEACHER.model_copy(update={"min_child_samples": 130}))

    assert told.statuses("teacher") == {
        (symbol, window): Status.SKIPPED if window == WINDOWS[0] else Status.TRAINED
        for symbol in SYMBOLS
        for window in WINDOWS
    }
    assert "The pool of window 2009-01-01 has" in told.outcomes["teacher", ("IBM", WINDOWS[0])].error_message


def test_students_alone_learn_from_the_teachers_of_the_pool(shop: PooledShop) -> None:
    shop.run("one", models=("teacher",))
    shop.telemetry.ingest()

    told = shop.run("two", models=("student",))

    assert told.pool_statuses() == dict.fromkeys(WINDOWS, PoolStatus.REUSED)
    assert set(told.statuses("student").values()) == {Status.TRAINED}


def test_students_alone_do_not_learn_from_a_pool_of_other_rows(shop: PooledShop) -> None:
    shop.run("one", models=("teacher",))
    shop.telemetry.ingest()
    changed_bar(shop.bars / "IBM.csv", "2010-03-01")

    told = shop.run("two", models=("student",))

    refused = {key for key, status in told.statuses("student").items() if status == Status.FAILED}
    assert refused == {(symbol, WINDOWS[2]) for symbol in SYMBOLS}
    assert told.outcomes["student", ("AAPL", WINDOWS[2])].failure is FailureKind.MISSING_TEACHER


def test_what_came_of_pools_is_in_telemetry(shop: PooledShop) -> None:
    shop.run("one")

    rows = shop.telemetry.query(
        "SELECT window_start, data->>'status' AS status, (data->>'rows')::INTEGER AS n, "
        "(data->>'cpu_s')::DOUBLE > 0 AND (data->>'peak_mb')::DOUBLE > 20 AS cost_is_told FROM events "
        "WHERE kind = 'pool' AND data->>'model' = 'pool' ORDER BY window_start"
    ).to_pylist()

    pools = shop.market().pools
    assert rows == [
        {
            "window_start": date.fromisoformat(window),
            "status": "trained",
            "n": pools[window].rows,
            "cost_is_told": True,
        }
        for window in WINDOWS
    ]


def test_a_shared_student_needs_a_pool(shop: PooledShop) -> None:
    with pytest.raises(UsageError, match="STUDENT_SCOPE=pool needs TEACHER_SCOPE=pool"):
        shop.market(TeacherParameters(scope="symbol"), STUDENT)
