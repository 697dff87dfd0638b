"""Claims about models on disk."""

import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensequant_assets.core.training import TrainedModel, teach
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.models.store import ModelStore, StoredModel
from sensequant_assets_tests.making import QUICK_TEACHER, lesson_of, random_walk
from sensequant_assets_tests.running import within

LESSON = lesson_of(random_walk(360, 3))
TRAINED = teach(LESSON, QUICK_TEACHER, "code")
WINDOW = LESSON.pair.window.key


def saved(directory: Path, trained: TrainedModel = TRAINED) -> tuple[ModelStore, StoredModel]:
    store = ModelStore(directory, "u")
    return store, store.save(trained, LESSON.pair, "teacher")


def found(directory: Path) -> StoredModel | None:
    return ModelStore(directory, "u").find("teacher", "AAA", WINDOW)


def test_a_saved_model_is_found_with_what_it_was_made_from(tmp_path):
    store, stored = saved(tmp_path)
    assert stored.path == tmp_path / "u" / "teacher" / "AAA" / "2022-03-02.txt.gz"
    assert store.find("teacher", "AAA", WINDOW) == stored == found(tmp_path)
    assert stored.record.fingerprints == TRAINED.fingerprints
    assert stored.text() == TRAINED.text
    assert stored.record.rows.model_dump() == {"train": 84, "valid": 22, "test": 120}
    np.testing.assert_array_equal(LESSON.unseen(stored.booster()), TRAINED.unseen)


def test_soft_targets_come_back_to_the_last_bit(tmp_path):
    saved(tmp_path)
    taught = found(tmp_path).taught
    assert taught.soft_targets.tobytes() == TRAINED.soft_targets.tobytes()
    assert taught.unseen.tobytes() == TRAINED.unseen.tobytes()
    assert (taught.data, taught.asked) == (TRAINED.fingerprints.data, QUICK_TEACHER.model_dump())


def test_saving_twice_gives_the_same_bytes_and_no_other_file(tmp_path):
    _, stored = saved(tmp_path)
    files = {path.name: path.read_bytes() for path in stored.path.parent.iterdir()}
    saved(tmp_path)
    assert {path.name: path.read_bytes() for path in stored.path.parent.iterdir()} == files
    assert sorted(files) == ["2022-03-02.json", "2022-03-02.txt.gz"]


def test_there_is_no_model_of_another_kind_symbol_or_window(tmp_path):
    store, _ = saved(tmp_path)
    assert store.find("student", "AAA", WINDOW) is None
    assert store.find("teacher", "BBB", WINDOW) is None
    assert store.find("teacher", "AAA", "2022-03-03") is None
    assert ModelStore(tmp_path, "other").find("teacher", "AAA", WINDOW) is None


@pytest.mark.parametrize("suffix", [".txt.gz", ".json"])
@pytest.mark.parametrize("left", [0, 1, 500, -1])
def test_a_cut_text_or_record_is_no_model(tmp_path, suffix, left):
    _, stored = saved(tmp_path)
    file = stored.path.with_name(WINDOW + suffix)
    file.write_bytes(file.read_bytes()[:left])
    assert found(tmp_path) is None


@pytest.mark.parametrize("suffix", [".txt.gz", ".json"])
def test_half_of_a_pair_of_files_is_no_model(tmp_path, suffix):
    _, stored = saved(tmp_path)
    stored.path.with_name(WINDOW + suffix).unlink()
    assert found(tmp_path) is None


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "{}", '{"model_bytes": 1}', "\0" * 40])
def test_a_record_of_another_shape_is_no_model(tmp_path, content):
    _, stored = saved(tmp_path)
    stored.path.with_name(WINDOW + ".json").write_text(content)
    assert found(tmp_path) is None


def reseal(stored: StoredModel, **changed: Any) -> None:
    """Write a record with other entries, or without those that are `...`, under a digest that fits."""
    record = json.loads(stored.record.model_dump_json()) | changed
    body = json.dumps({name: value for name, value in record.items() if value is not ...}).encode()[:-1]
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    stored.path.with_name(WINDOW + ".json").write_bytes(body + b',"digest":"' + digest.encode() + b'"}')


def test_a_record_with_a_digest_that_fits_is_found(tmp_path):
    _, stored = saved(tmp_path)
    reseal(stored)
    assert found(tmp_path) == stored


SOFT, AHEAD = TRAINED.soft_targets.tolist(), TRAINED.unseen.tolist()


@pytest.mark.parametrize(
    "changed",
    [
        *({name: ...} for name in ("fingerprints", "tested_on", "unseen", "metrics", "asked", "constant")),
        {"metrics": None}, {"metrics": {"test_auc": "high"}}, {"metrics": {"test_auc": math.nan}}, {"parameters": None},
        {"fingerprints": {"data": "d"}}, {"effective_end": "yesterday"}, {"invented": 1},
        {"rows": {"train": 84, "valid": 22}}, {"rows": {"train": 83, "valid": 22, "test": 120}},
        {"soft_targets": []}, {"soft_targets": SOFT[1:]}, {"soft_targets": [None] * 84}, {"soft_targets": None},
        *({"soft_targets": [value, *SOFT[1:]]} for value in (math.nan, math.inf, -0.01, 1.01, "0.5", None)),
        {"unseen": AHEAD[1:]}, {"unseen": [2.0, *AHEAD[1:]]},
    ],
    ids=lambda changed: str(changed)[:40],
)  # fmt: skip
def test_a_record_that_is_none_of_this_version_is_no_model_and_says_what_is_wrong(tmp_path, changed):
    store, stored = saved(tmp_path)
    reseal(stored, **changed)
    assert found(tmp_path) is None
    with pytest.raises(WindowError, match=rf"{WINDOW}\.json is no record of this version \(.*Train it again") as caught:
        store.read("teacher", "AAA", WINDOW)
    assert caught.value.kind is FailureKind.CORRUPT_MODEL


@pytest.mark.parametrize("changed", [{"symbol": "BBB"}, {"window_start": "2022-03-03"}])
def test_the_record_of_another_window_is_no_model(tmp_path, changed):
    store, stored = saved(tmp_path)
    reseal(stored, **changed)
    with pytest.raises(WindowError, match=r"is of the teacher of (BBB\|2022-03-02|AAA\|2022-03-03)\."):
        store.read("teacher", "AAA", WINDOW)


def test_inverted_soft_targets_are_not_what_was_written(tmp_path):
    store, stored = saved(tmp_path)
    file = stored.path.with_name(WINDOW + ".json")
    inverted = json.dumps([1 - value for value in SOFT], separators=(",", ":"))
    written = file.read_text()
    changed = written.replace(json.dumps(SOFT, separators=(",", ":")), inverted)
    assert changed != written
    file.write_text(changed)
    with pytest.raises(WindowError, match=r"is not what was written") as caught:
        store.read("teacher", "AAA", WINDOW)
    assert caught.value.kind is FailureKind.CORRUPT_MODEL


@pytest.mark.parametrize("suffix", [".txt.gz", ".json"])
def test_no_changed_byte_of_either_file_is_relied_on(tmp_path, suffix):
    store, stored = saved(tmp_path)
    file = stored.path.with_name(WINDOW + suffix)
    whole = file.read_bytes()
    for at in [*range(0, len(whole), 97), *range(-60, 0)]:
        changed = bytearray(whole)
        changed[at] ^= 1
        file.write_bytes(changed)
        assert found(tmp_path) is None, at
        with pytest.raises(WindowError) as caught:
            store.read("teacher", "AAA", WINDOW)
        assert caught.value.kind is FailureKind.CORRUPT_MODEL
    file.write_bytes(whole)
    assert found(tmp_path) == stored


@pytest.mark.parametrize("at", [0, 4, 200, -1])
def test_a_text_that_changes_after_it_was_found_is_refused_when_it_is_loaded(tmp_path, at):
    _, stored = saved(tmp_path)
    written = bytearray(stored.path.read_bytes())
    written[at] ^= 1
    stored.path.write_bytes(written)
    for load in (stored.text, stored.booster):
        with pytest.raises(WindowError, match=r"is not what its record says\. Train it again") as caught:
            load()
        assert caught.value.kind is FailureKind.CORRUPT_MODEL


def test_the_record_is_json_that_anything_reads(tmp_path):
    _, stored = saved(tmp_path)
    record = json.loads(stored.path.with_name(WINDOW + ".json").read_text())
    assert record["soft_targets"] == SOFT
    assert record["metrics"]["largest_tree_leaves"] == TRAINED.metrics["largest_tree_leaves"]
    assert list(record)[-1] == "digest"


def test_a_text_that_went_away_after_it_was_found_is_refused(tmp_path):
    _, stored = saved(tmp_path)
    stored.path.unlink()
    with pytest.raises(WindowError, match="cannot be read") as caught:
        stored.booster()
    assert caught.value.kind is FailureKind.CORRUPT_MODEL


def test_a_metric_that_the_rows_cannot_answer_is_null(tmp_path):
    metrics = {"test_auc": float("nan"), "test_brier": 0.25, "test_ece": float("inf")}
    saved(tmp_path, replace(TRAINED, metrics=metrics))
    assert found(tmp_path).record.metrics == {"test_auc": None, "test_brier": 0.25, "test_ece": None}


@pytest.mark.parametrize(
    ("symbol", "window"),
    [
        ("..", WINDOW),
        ("../A", WINDOW),
        ("A/B", WINDOW),
        ("", WINDOW),
        ("AAA", ".."),
        ("AAA", "../2022-03-02"),
        ("AAA", ""),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, symbol, window):
    with pytest.raises(UsageError, match=r"is not a (symbol|window)"):
        ModelStore(tmp_path, "u").find("teacher", symbol, window)


@pytest.mark.parametrize("universe", ["..", "", "a/b", ".x"])
def test_a_universe_that_leads_elsewhere_is_refused(tmp_path, universe):
    with pytest.raises(UsageError, match="cannot name a universe"):
        ModelStore(tmp_path, universe)


def test_a_pipe_in_the_place_of_a_model_costs_its_window_and_stays(tmp_path):
    _, stored = saved(tmp_path)
    stored.path.unlink()
    os.mkfifo(stored.path)
    with pytest.raises(WindowError, match="is a FIFO, and only a regular file can be replaced") as refused:
        saved(tmp_path)
    assert refused.value.kind is FailureKind.CORRUPT_MODEL
    assert stored.path.is_fifo()


@pytest.mark.parametrize("suffix", [".json", ".txt.gz"])
def test_a_pipe_is_not_read_and_costs_its_window(tmp_path, suffix):
    store, stored = saved(tmp_path)
    path = stored.path.with_name(stored.path.name.partition(".")[0] + suffix)
    path.unlink()
    os.mkfifo(path)
    with within(10), pytest.raises(WindowError, match=r"cannot be read \(.*it is no regular file") as refused:
        store.read("teacher", "AAA", WINDOW)
    assert refused.value.kind is FailureKind.CORRUPT_MODEL


def test_a_save_that_is_cut_short_leaves_the_old_model(tmp_path, monkeypatch):
    _, stored = saved(tmp_path)
    before = stored.path.read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            saved(tmp_path, replace(TRAINED, text=TRAINED.text + "\n"))
    assert stored.path.read_bytes() == before
    assert sorted(path.name for path in stored.path.parent.iterdir()) == ["2022-03-02.json", "2022-03-02.txt.gz"]
    assert found(tmp_path) == stored


def test_new_scores_of_an_unchanged_model_replace_its_metrics_and_keep_its_text(tmp_path):
    store, stored = saved(tmp_path)
    text = stored.path.read_bytes()
    unseen = np.full(30, 0.5)
    store.rescored(
        stored, {"test_auc": math.nan, "test_brier": 0.25}, unseen, {"train": 84, "valid": 22, "test": 8}, "new"
    )
    again = found(tmp_path)
    assert stored.path.read_bytes() == text
    assert again.record.metrics == {"test_auc": None, "test_brier": 0.25}
    assert (again.record.tested_on, again.record.unseen) == ("new", [0.5] * 30)
    assert again.record.fingerprints == stored.record.fingerprints


def test_models_of_another_symbol_of_the_company_are_found_under_one_that_has_none(tmp_path):
    store, stored = saved(tmp_path)
    assert store.adopt("BBB", WINDOW, ["CCC", "AAA"]) == 1
    copy = store.find("teacher", "BBB", WINDOW)
    assert copy.record == stored.record.model_copy(update={"symbol": "BBB"})
    assert copy.text() == stored.text()
    # What it was copied from stays, and what is there is not copied over.
    assert store.find("teacher", "AAA", WINDOW) == stored
    assert store.adopt("BBB", WINDOW, ["AAA"]) == 0


def test_a_model_that_cannot_be_relied_on_is_not_copied(tmp_path):
    store, stored = saved(tmp_path)
    stored.path.write_bytes(b"cut")
    assert store.adopt("BBB", WINDOW, ["AAA"]) == 0
    assert not store.path("teacher", "BBB", WINDOW).exists()


def test_a_symbol_has_models_where_a_window_of_either_kind_has_one(tmp_path):
    store, stored = saved(tmp_path)
    assert [store.has_models(symbol) for symbol in ("AAA", "BBB")] == [True, False]
    stored.path.unlink()
    assert not store.has_models("AAA")
