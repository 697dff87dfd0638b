"""Claims about what is gathered of models on disk and of baselines, for walk-forward judgement."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sensequant_assets.batch.evaluation import BASELINES, Gathered, Subject, gather
from sensequant_assets.core.lattice import window_rows
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets_tests.running import Home
from sensequant_assets_tests.telling import window, write_run

SYMBOLS, WINDOWS = ("AAPL", "IBM"), ("2009-01-01", "2009-06-30", "2009-12-27")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("gathered"))
    finished = home.backfill("--symbols", ",".join(SYMBOLS), "--end", "2010-06-25")
    assert finished.code == 0, finished.err
    return home


@pytest.fixture(scope="module")
def subject(home: Home) -> Subject:
    (batch,) = home.rows("SELECT batch_id FROM batches")
    return Subject.of_batch(home.telemetry, batch["batch_id"])


@pytest.fixture(scope="module")
def market(subject: Subject) -> Market:
    return Market.open(subject.settings, subject.teacher, subject.student)


@pytest.fixture
def store(home: Home) -> ModelStore:
    return ModelStore(home.data / "models", "sample")


@pytest.fixture(scope="module")
def gathered(home: Home, subject: Subject, market: Market) -> Gathered:
    return gather(subject, market, ModelStore(home.data / "models", "sample"))


def said(gathered: Gathered, name: str) -> Any:
    (found,) = (one.raw for one in gathered.forecasts if one.name == name)
    return found


def of_window(gathered: Gathered, number: int) -> Any:
    return gathered.rows.window == number


def test_rows_are_those_of_the_window_after_that_of_their_model(gathered: Gathered, market: Market) -> None:
    assert [one.name for one in gathered.forecasts] == [*MODELS, *BASELINES]
    assert dict(gathered.models) == {"teacher": 6, "student": 6}
    for number, key in enumerate(WINDOWS):
        own = market.windows[number]
        days = gathered.rows.time[of_window(gathered, number)]
        assert own.key == key
        assert days.min() >= np.datetime64(own.end)
        assert days.max() < np.datetime64(own.end + (own.end - own.start))


def test_the_base_rate_is_that_of_the_training_rows_of_the_universe_in_the_window(
    gathered: Gathered, market: Market
) -> None:
    for number, key in enumerate(WINDOWS):
        labels = []
        # The universe has symbols that the batch has not.
        for symbol in market.universe.symbols:
            pair, samples = market.pair(symbol, key), market.plan(symbol).samples
            if pair.eligible and not isinstance(samples, Exception):
                rows = window_rows(samples, pair.window, pair.effective_start, market.recipe)
                labels.append(samples.label[np.concatenate([rows.train, rows.valid])])
        assert len(labels) > len(SYMBOLS)
        rate = float(np.concatenate(labels).mean())
        assert set(said(gathered, "base_rate")[of_window(gathered, number)]) == {rate}


def test_the_rate_of_a_symbol_knows_no_label_that_ends_after_its_window(gathered: Gathered, market: Market) -> None:
    for number, symbol in ((number, symbol) for number in range(len(WINDOWS)) for symbol in SYMBOLS):
        samples, end = market.plan(symbol).samples, np.datetime64(market.windows[number].end)
        assert not isinstance(samples, Exception)
        ends = [*samples.time[market.recipe.horizon :], *[end] * market.recipe.horizon]
        known = [label for label, when in zip(samples.label, ends, strict=True) if when < end and not np.isnan(label)]
        of_symbol = gathered.rows.symbol == market.universe.symbols.index(symbol)
        rates = said(gathered, "symbol_rate")[of_symbol & of_window(gathered, number)]
        assert rates == pytest.approx(np.mean(known))


def test_features_and_the_last_known_label_are_those_of_the_row(gathered: Gathered, market: Market) -> None:
    samples = market.plan("IBM").samples
    assert not isinstance(samples, Exception)
    own = gathered.rows.symbol == market.universe.symbols.index("IBM")
    at = np.searchsorted(samples.time, gathered.rows.time[own])
    features = dict(zip(samples.feature_names, samples.features.T, strict=True))
    assert np.array_equal(said(gathered, "minus_return_5")[own], -features["return_5"][at])
    assert np.array_equal(said(gathered, "volatility_20")[own], features["volatility_20"][at])
    assert np.array_equal(said(gathered, "persistence")[own], samples.label[at - market.recipe.horizon])


def test_what_the_record_does_not_vouch_for_is_predicted_anew_and_is_the_same(
    gathered: Gathered, subject: Subject, market: Market, store: ModelStore
) -> None:
    kept = {}
    for model, symbol in ((model, symbol) for model in MODELS for symbol in SYMBOLS):
        stored = store.find(model, symbol, WINDOWS[1])
        assert stored is not None
        record = stored.record
        kept[model, symbol] = stored
        # Probabilities of other rows, which no later reader may take for those of these.
        rows = record.rows.model_dump() | {"test": 3}
        store.rescored(stored, {}, np.full(record.rows.valid + 3, 0.125), rows, "other rows")
    again = gather(subject, market, store)
    for model in MODELS:
        assert np.array_equal(said(again, model), said(gathered, model))
    for stored in kept.values():
        store._write_record(stored.path, stored.record)


def test_one_window_is_gathered_alone(gathered: Gathered, subject: Subject, market: Market, store: ModelStore) -> None:
    alone = gather(subject, market, store, windows=[WINDOWS[1]])
    assert [one.key for one in alone.windows] == [WINDOWS[1]]
    assert np.array_equal(said(alone, "teacher"), said(gathered, "teacher")[of_window(gathered, 1)])
    assert sum(sum(counts.values()) for counts in (alone.missing, alone.replaced, alone.untested)) == 0
    # Whatever lies on disk is meant where no batch is.
    any_batch = gather(replace(subject, trees=None), market, store, windows=[WINDOWS[1]])
    assert np.array_equal(said(any_batch, "student"), said(alone, "student"))
    assert any_batch.remarks == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "does not know what batch b was run with"),
        ({"settings": {"end": "2010-06-25"}}, "Batch b has trained no model"),
    ],
)
def test_a_batch_that_cannot_be_judged_is_a_sentence(tmp_path: Any, fields: dict[str, Any], message: str) -> None:
    home = Home(tmp_path)
    write_run(home.telemetry, [window("A", WINDOWS[0], "failed")], **fields)
    with pytest.raises(UsageError, match=message):
        Subject.of_batch(home.telemetry, "b")


def test_parameters_of_another_version_are_named(tmp_path: Any) -> None:
    home = Home(tmp_path)
    rows = [window("A", WINDOWS[0], "trained", trees_fingerprint="f")]
    write_run(home.telemetry, rows, settings={"end": "2010-06-25"}, parameters={"teacher": {"bushes": 3}})
    with pytest.raises(UsageError, match=r"Batch b was run with parameters of another version: bushes"):
        Subject.of_batch(home.telemetry, "b")


def test_a_batch_that_tells_no_scope_is_judged_as_one_of_a_time_without_pools(tmp_path: Any) -> None:
    home = Home(tmp_path)
    rows = [window("A", WINDOWS[0], "trained", trees_fingerprint="f")]
    write_run(home.telemetry, rows, settings={"end": "2010-06-25"}, parameters={"teacher": {"num_leaves": 31}})

    subject = Subject.of_batch(home.telemetry, "b")

    assert (subject.teacher.scope, subject.teacher.num_leaves) == ("symbol", 31)
    assert (subject.student.scope, subject.student.num_leaves) == ("symbol", 7)
