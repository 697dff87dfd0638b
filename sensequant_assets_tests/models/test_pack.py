"""Claims about the students that serve, in one file."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from sensequant_assets.core.boosting import fit, trees_fingerprint
from sensequant_assets.core.calibration import Calibration
from sensequant_assets.core.scoring.distance import reference_of
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.models.arrays import map_arrays, write_arrays
from sensequant_assets.models.pack import Entry, Pack, Served, write_pack
from sensequant_assets_tests.making import QUICK_STUDENT

NAMES = ("first", "second", "third")
RNG = np.random.default_rng(0)
ROWS = {"2024-01-01": RNG.normal(size=(90, 3)), "AAA": RNG.normal(size=(40, 3)) * 5}
LINE = Calibration(0.6, -0.2)


def student(seed: int) -> str:
    rng = np.random.default_rng(seed)
    features, target = rng.normal(size=(80, 3)), rng.random(80)
    return fit(features, target, QUICK_STUDENT.lightgbm(), feature_names=NAMES).model_to_string()


def served(symbol: str, text: str, **changes: Any) -> Served:
    plain = Served(
        symbol=symbol,
        window="2024-01-01",
        trees_fingerprint=trees_fingerprint(text),
        text=text,
        calibration=None,
        constant=False,
        fallback="",
        reference="2024-01-01",
    )
    return replace(plain, **changes)


OWN, SHARED = student(1), student(2)
STUDENTS = (
    served("CCC", SHARED, calibration=LINE, fallback="the pool's shared student"),
    served("AAA", OWN, window="2023-07-01", reference="AAA", constant=True),
    served("BBB", SHARED, calibration=LINE),
    served("DDD", SHARED, reference=""),
)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    digest = write_pack(tmp_path / "pack", STUDENTS, ROWS, NAMES)
    return Pack.open(tmp_path / "pack", digest)


def test_a_pack_says_what_lightgbm_says_of_each_symbol_and_serves_the_calibrated(pack):
    features = np.random.default_rng(5).normal(size=(4, 3))
    features[1, 0] = np.nan
    symbols = [one.symbol for one in STUDENTS]
    answers = pack.predict(symbols, features)
    plain = [lgb.Booster(model_str=one.text).predict(row[None])[0] for one, row in zip(STUDENTS, features, strict=True)]
    np.testing.assert_allclose(answers.raw, plain, rtol=0, atol=1e-15)
    calibrated = LINE.serve(np.array(plain))
    np.testing.assert_allclose(answers.served, [calibrated[0], plain[1], calibrated[2], plain[3]], rtol=0, atol=1e-15)


def test_a_pack_tells_how_far_a_row_is_from_its_own_students_training_rows(pack):
    features = np.random.default_rng(5).normal(size=(4, 3)) * 3
    answers = pack.predict(["AAA", "BBB", "CCC", "DDD"], features)
    of = [
        reference_of(ROWS[name]).distance(features)[at] for at, name in enumerate(("AAA", "2024-01-01", "2024-01-01"))
    ]
    np.testing.assert_array_equal(answers.distance, [*of, np.nan])


def test_rows_come_in_any_order_repeated_and_with_the_same_answers(pack):
    features = np.random.default_rng(5).normal(size=(2, 3))
    once = pack.predict(["AAA", "BBB"], features)
    again = pack.predict(["BBB", "AAA", "BBB", "BBB"], features[[1, 0, 1, 0]])
    for one, other in ((once.raw, again.raw), (once.served, again.served), (once.distance, again.distance)):
        np.testing.assert_array_equal(other[:3], one[[1, 0, 1]])
    assert pack.predict([], np.empty((0, 3))).raw.shape == (0,)


def test_entries_and_texts_come_back_and_equal_texts_are_kept_once(pack, tmp_path):
    assert pack.symbols == ("AAA", "BBB", "CCC", "DDD")
    assert pack.feature_names == NAMES
    for one in STUDENTS:
        entry = pack.entry(one.symbol)
        assert type(entry) is Entry
        assert all(getattr(entry, name) == getattr(one, name) for name in Entry.__slots__)
        assert pack.text(one.symbol) == one.text
    twice = write_pack(tmp_path / "one", [*STUDENTS, served("EEE", SHARED)], ROWS, NAMES)
    assert Pack.open(tmp_path / "one", twice).text("EEE") == SHARED
    assert (tmp_path / "one").stat().st_size - (tmp_path / "pack").stat().st_size < 512


def test_equal_students_are_equal_bytes_whatever_their_order(tmp_path):
    one = write_pack(tmp_path / "a", STUDENTS, ROWS, NAMES)
    turned = {name: ROWS[name] for name in reversed(ROWS)}
    assert write_pack(tmp_path / "b", STUDENTS[::-1], turned, NAMES) == one
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert write_pack(tmp_path / "c", [replace(STUDENTS[0], constant=True), *STUDENTS[1:]], ROWS, NAMES) != one


def test_another_process_asks_a_pack_without_lightgbm_and_writes_the_same_bytes(tmp_path):
    given = [replace(one, reference="") for one in STUDENTS]
    written = write_pack(tmp_path / "a", given, {}, NAMES)
    script = """
import sys
from pathlib import Path
from typing import Any
import numpy as np
from sensequant_assets.models.pack import Entry, Pack, Served, write_pack
one, other, digest = sys.argv[1:]
pack = Pack.open(Path(one), digest)
print(pack.predict(pack.symbols, np.arange(12.0).reshape(4, 3)).served.tobytes().hex())
entries = [(pack.entry(symbol), pack.text(symbol)) for symbol in reversed(pack.symbols)]
students = [Served(**{name: getattr(one, name) for name in Entry.__slots__}, text=text) for one, text in entries]
print(write_pack(Path(other), students, {}, pack.feature_names))
print(sorted({"lightgbm", "pandas"} & set(sys.modules)))
"""
    finished = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a", tmp_path / "b", written],
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "7"},
    )
    here = Pack.open(tmp_path / "a").predict(("AAA", "BBB", "CCC", "DDD"), np.arange(12.0).reshape(4, 3))
    assert finished.stdout.split() == [here.served.tobytes().hex(), written, "[]"], finished.stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("students", "why"),
    [
        ((), "needs a student"),
        ((STUDENTS[0], STUDENTS[0]), "are of CCC"),
        ((replace(STUDENTS[0], reference="gone"),), "'gone' of CCC are not given"),
        ((replace(STUDENTS[0], text="tree\n"),), r"^The model of CCC\|2024-01-01 is no text"),
    ],
)
def test_students_that_make_no_pack_are_refused_and_leave_no_file(tmp_path, students, why):
    with pytest.raises(UsageError, match=why):
        write_pack(tmp_path / "pack", students, ROWS, NAMES)
    assert not list(tmp_path.iterdir())


def test_a_student_of_other_features_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"AAA\|2023-07-01 asks for other features"):
        write_pack(tmp_path / "pack", STUDENTS, ROWS, ("first", "third", "second"))


def test_a_symbol_without_a_student_and_rows_of_another_shape_are_refused(pack):
    with pytest.raises(UsageError, match="no student of EEE; it has 4 others"):
        pack.predict(["AAA", "EEE"], np.zeros((2, 3)))
    with pytest.raises(UsageError, match=r"2 rows and 3 columns are asked for, and the table has the shape \(2, 2\)"):
        pack.predict(["AAA", "BBB"], np.zeros((2, 2)))


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_cut_pack_is_an_error_that_names_it(pack, tmp_path, left):
    path = tmp_path / "pack"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(WindowError, match=rf"^{path} .*Make it anew") as caught:
        Pack.open(path)
    assert caught.value.kind is FailureKind.CORRUPT_MODEL


def test_another_whole_pack_than_the_noted_one_is_an_error(tmp_path):
    noted = write_pack(tmp_path / "pack", STUDENTS, ROWS, NAMES)
    write_pack(tmp_path / "pack", STUDENTS[:2], ROWS, NAMES)
    with pytest.raises(WindowError, match="not the one that its record names"):
        Pack.open(tmp_path / "pack", noted)


@pytest.mark.parametrize(
    "changes",
    [
        {"forest.root": None},
        {"forest.value": np.zeros(3, dtype=np.float32)},
        {"invented": np.zeros(3)},
        {"record": np.frombuffer(b"{}", np.uint8)},
        {"forest.depth": np.zeros(1, dtype=np.int32)},
    ],
    ids=["lacks one", "of another type", "one too many", "no record", "too few models"],
)
def test_arrays_that_are_no_pack_of_this_version_are_an_error(pack, tmp_path, changes):
    arrays, _ = map_arrays(tmp_path / "pack")
    other = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    write_arrays(tmp_path / "other", other)
    with pytest.raises(WindowError, match="is no pack of this version"):
        Pack.open(tmp_path / "other")
