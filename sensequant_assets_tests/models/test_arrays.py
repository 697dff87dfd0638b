"""Claims about arrays in one sealed file."""

import hashlib
import os

import numpy as np
import pytest

from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.models.arrays import map_arrays, write_arrays
from sensequant_assets.models.sealed import checked

ARRAYS = {
    "whole": np.arange(6, dtype=np.int32).reshape(2, 3),
    "real": np.array([np.nan, -0.0, np.inf, 1 / 3]),
    "flag": np.array([True, False]),
    "none": np.empty((0, 4)),
}


def test_arrays_come_back_to_the_last_bit_and_nobody_can_write_to_them(tmp_path):
    noted = write_arrays(tmp_path / "a", ARRAYS)
    assert checked(tmp_path / "a", noted) == (tmp_path / "a").read_bytes()
    arrays, found = map_arrays(tmp_path / "a", noted)
    assert found == noted
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert arrays[name].tobytes() == array.tobytes()
        assert not arrays[name].flags.writeable
        assert arrays[name].flags.aligned


def test_equal_arrays_are_equal_files_whatever_their_order_layout_and_byte_order(tmp_path):
    one = write_arrays(tmp_path / "a", ARRAYS)
    turned = {name: ARRAYS[name] for name in reversed(ARRAYS)}
    turned["whole"] = np.asfortranarray(turned["whole"]).astype(">i4")
    assert write_arrays(tmp_path / "b", turned) == one
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_mapped_arrays_outlive_the_file_that_replaces_theirs(tmp_path):
    write_arrays(tmp_path / "a", ARRAYS)
    arrays, _ = map_arrays(tmp_path / "a")
    write_arrays(tmp_path / "a", {"whole": np.zeros(3)})
    (tmp_path / "a").unlink()
    np.testing.assert_array_equal(arrays["whole"], ARRAYS["whole"])


def sealed(body: bytes) -> bytes:
    """A body under a digest that fits."""
    return body + hashlib.blake2b(body, digest_size=16).hexdigest().encode()


DAMAGES = {
    "empty": (lambda whole: b"", "cannot be read"),
    "short": (lambda whole: whole[:10], "does not begin"),
    "cut": (lambda whole: whole[:-1], "is not what was written"),
    "half": (lambda whole: whole[: len(whole) // 2], "is not what was written"),
    "longer": (lambda whole: whole + b"0", "is not what was written"),
    "flipped": (lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], "is not what was written"),
    "another": (lambda whole: b"PK" + whole, "does not begin as a file of arrays does"),
    "version": (lambda whole: sealed(whole[:-32].replace(b"arrays 1", b"arrays 2")), "is of another version"),
    "no numbers": (lambda whole: sealed(whole[:-32].replace(b'"<f8"', b'"|O8"')), "holds no arrays of this version"),
    "far away": (lambda whole: sealed(whole[:-32].replace(b"[2,3]", b"[9,9]")), "holds no arrays of this version"),
    "no list": (lambda whole: sealed(whole[:-32].replace(b"[2,3],", b'"2,3",')), "holds no arrays of this version"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_what_was_written_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "a"
    write_arrays(path, ARRAYS)
    spoil, why = DAMAGES[damage]
    spoiled = spoil(path.read_bytes())
    assert spoiled != path.read_bytes()
    path.write_bytes(spoiled)
    with pytest.raises(WindowError, match=why) as caught:
        map_arrays(path)
    assert caught.value.kind is FailureKind.CORRUPT_MODEL
    assert str(caught.value).startswith(f"{path} ")


def test_a_whole_file_that_is_not_the_noted_one_is_an_error(tmp_path):
    noted = write_arrays(tmp_path / "a", ARRAYS)
    write_arrays(tmp_path / "a", {**ARRAYS, "flag": np.array([True, True])})
    with pytest.raises(WindowError, match="is whole, and not the one that its record names"):
        map_arrays(tmp_path / "a", noted)


@pytest.mark.parametrize("place", ["missing", "pipe", "directory"])
def test_what_is_no_file_is_an_error_that_names_it(tmp_path, place):
    path = tmp_path / place
    if place == "pipe":
        os.mkfifo(path)
    if place == "directory":
        path.mkdir()
    with pytest.raises(WindowError, match=f"{path} cannot be read"):
        map_arrays(path)
