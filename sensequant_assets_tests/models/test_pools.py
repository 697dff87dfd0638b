"""Claims about pools on disk: what is read is what was written, or nothing is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.core.pool import Pooled, train_pool
from sensequant_assets.core.training import Fingerprints, Grown
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.models.pools import PoolStore, StoredPool
from sensequant_assets_tests.core.test_pool import TEACHER, pool_of, walk

WINDOW = "2022-01-01"
MADE_FROM = Fingerprints("data", "parameters", "code")


@pytest.fixture
def stored(tmp_path: Path) -> StoredPool:
    rows = pool_of(*(walk(number) for number in range(4)))
    trained = train_pool(rows, TEACHER)
    grown = Grown.of(trained.booster, TEACHER, trained.calibration)
    return PoolStore(tmp_path).save(
        "pool", WINDOW, trained, grown, TEACHER, MADE_FROM,
        label=Recipe().asks, providers=["standard"], span=[WINDOW], symbols=4, rows=len(rows.label),
    )  # fmt: skip


def found(stored: StoredPool, made_from: Fingerprints | None = None) -> StoredPool | None:
    return PoolStore(stored.path.parent.parent).find("pool", WINDOW, made_from)


def test_a_pool_reads_back_as_it_was_written(stored: StoredPool) -> None:
    again = found(stored, MADE_FROM)

    assert again is not None
    assert again.record == stored.record
    grown = again.grown(TEACHER)
    assert grown.trees_fingerprint == stored.record.trees_fingerprint
    assert grown.calibration == stored.record.calibration
    assert again.soft_targets().shape == (stored.record.rows,)


def test_a_pool_made_from_something_else_is_not_found(stored: StoredPool) -> None:
    assert found(stored, Fingerprints("other data", "parameters", "code")) is None
    assert found(stored, MADE_FROM) is not None


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "gone", "cut"])
@pytest.mark.parametrize("name", ["2022-01-01.txt.gz", "2022-01-01.json", "2022-01-01.soft_targets.npy"])
def test_a_pool_of_which_a_file_is_damaged_is_not_found(
    stored: StoredPool, name: str, damage: Callable[[Path], None]
) -> None:
    damage(stored.path.with_name(name))

    assert found(stored) is None


def test_a_file_that_changes_after_it_was_found_is_not_used(stored: StoredPool) -> None:
    flip(stored.path)

    with pytest.raises(WindowError, match="is not what its record says") as caught:
        stored.grown(TEACHER)
    assert caught.value.kind is FailureKind.CORRUPT_MODEL


def test_soft_targets_of_other_rows_are_refused(stored: StoredPool) -> None:
    fewer = StoredPool(stored.path, stored.record.model_copy(update={"rows": 3}))

    with pytest.raises(WindowError, match="has not one probability for each of 3 rows"):
        fewer.soft_targets()


def test_soft_targets_are_read_without_pickle(stored: StoredPool) -> None:
    kept = stored.path.with_name("2022-01-01.soft_targets.npy").read_bytes()

    assert kept.startswith(b"\x93NUMPY")
    assert np.dtype("float64").str.encode() in kept[:128]


def test_a_model_that_is_not_what_was_asked_for_is_refused(stored: StoredPool) -> None:
    asked = TeacherParameters(**TEACHER.model_dump() | {"num_leaves": 3})

    with pytest.raises(WindowError) as caught:
        stored.grown(asked)
    assert caught.value.kind is FailureKind.PARAMETER_MISMATCH


def test_the_pool_of_young_symbols_stands_beside_that_of_its_window(stored: StoredPool) -> None:
    store = PoolStore(stored.path.parent.parent)
    grown = stored.grown(TEACHER)
    trained = Pooled(grown.booster, stored.soft_targets(), stored.record.calibration)

    early = store.save(
        "pool", f"{WINDOW}-early", trained, grown, TEACHER, MADE_FROM,
        label=Recipe().asks, providers=["standard"], span=[WINDOW], symbols=1, rows=stored.record.rows,
    )  # fmt: skip

    assert (early.record.pool, stored.record.pool) == ("2022-01-01-early", WINDOW)
    assert store.find("pool", f"{WINDOW}-early", MADE_FROM) == early
    assert store.find("pool", WINDOW, MADE_FROM) == stored
    early.path.rename(stored.path)
    early.path.with_name("2022-01-01-early.json").rename(stored.path.with_name("2022-01-01.json"))
    assert store.find("pool", WINDOW) is None
