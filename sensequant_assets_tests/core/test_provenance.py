"""Claims about what changes a fingerprint."""

import numpy as np
import pytest

from sensequant_assets.core.provenance import arrays_fingerprint, code_fingerprint, parameters_fingerprint

VERSIONS = {"lightgbm": "4.7.0", "numpy": "2.4.6"}
PLAIN = """
LIMIT = 3

class Box:
    size: int

def half(value):
    return value / 2
"""


def of(source: str, versions: dict[str, str] = VERSIONS) -> str:
    return code_fingerprint({"core": source}, versions)


@pytest.mark.parametrize(
    ("found", "written"),
    [
        ("LIMIT = 3", "LIMIT = 3  # at most"),
        ("LIMIT = 3", "LIMIT = (\n    3\n)"),
        ("LIMIT = 3", '"""Of the module."""\nLIMIT = 3'),
        ("LIMIT = 3", 'LIMIT = 3\n"""What the limit is."""'),
        ("    size: int", '    """A box."""\n    size: int\n    """Its size."""'),
        ("    return value / 2", '    """Halve."""\n    return value / 2'),
        ("    return value / 2", "    # a reason\n\n    return (value / 2)"),
    ],
)
def test_comments_docstrings_and_layout_do_not_change_the_code(found, written):
    assert of(PLAIN.replace(found, written)) == of(PLAIN)


def test_a_docstring_may_change_and_go():
    with_docstring = PLAIN.replace("    size: int", '    """A box."""')
    assert of(with_docstring) == of(with_docstring.replace("A box", "Another box"))
    assert of(with_docstring) == of(with_docstring.replace('"""A box."""', "pass"))


@pytest.mark.parametrize(
    ("found", "written"),
    [("LIMIT = 3", "LIMIT = 4"), ("LIMIT = 3", 'LIMIT = "3"'), ("value / 2", "value * 2"), ("half", "halved"),
     ("    size: int", "    size: int = 0"), ("value / 2", "'value / 2'")],
)  # fmt: skip
def test_code_changes_the_fingerprint(found, written):
    assert of(PLAIN.replace(found, written)) != of(PLAIN)


def test_versions_and_names_of_modules_are_part_of_the_code():
    assert of(PLAIN, {**VERSIONS, "numpy": "2.4.7"}) != of(PLAIN)
    assert code_fingerprint({"other": PLAIN}, VERSIONS) != of(PLAIN)
    assert of(PLAIN, dict(reversed(VERSIONS.items()))) == of(PLAIN)


def test_parameters_count_whatever_their_order():
    assert parameters_fingerprint({"a": 1, "b": 2.5}) == parameters_fingerprint({"b": 2.5, "a": 1})
    assert parameters_fingerprint({"a": 1, "b": 2.5}) != parameters_fingerprint({"a": 1, "b": 2})


@pytest.mark.parametrize(
    "other",
    [[np.array([1.0, 2.5])], [np.array([1.0, 2.0], dtype=np.float32)], [np.array([[1.0], [2.0]])],
     [np.array([1.0]), np.array([2.0])], [np.array([1, 2])], []],
)  # fmt: skip
def test_values_types_and_shapes_of_arrays_count(other):
    assert arrays_fingerprint(other) != arrays_fingerprint([np.array([1.0, 2.0])])


def test_names_of_columns_count_and_missing_values_are_equal_to_themselves():
    table = [np.array([[1.0, np.nan]])]
    assert arrays_fingerprint(table, ["a", "b"]) == arrays_fingerprint([table[0].copy()], ["a", "b"])
    assert arrays_fingerprint(table, ["a", "b"]) != arrays_fingerprint(table, ["b", "a"])
