"""Claims about the lattice as Dagster partitions."""

from typing import Any

import pytest

from sensequant_assets.core.lattice import Key
from sensequant_assets.defs.partitions import choose, rectangle, symbol_partitions


@pytest.mark.parametrize(
    ("keys", "corners"),
    [
        ([("A", "1"), ("A", "2"), ("B", "1"), ("B", "2")], (("A", "1"), ("B", "2"))),
        ([("C", "3")], (("C", "3"), ("C", "3"))),
        # The symbols are side by side in the order of their partitions, not of the alphabet.
        ([("A", "1"), ("D", "1")], (("D", "1"), ("A", "1"))),
        ([("A", "1"), ("C", "1")], None),
        ([("A", "1"), ("A", "3")], None),
        ([("A", "1"), ("A", "2"), ("B", "1")], None),
    ],
)
def test_a_range_of_partitions_is_taken_only_for_a_full_rectangle(keys: list[Key], corners: Any) -> None:
    assert rectangle(keys, ["D", "A", "B", "C"], ["1", "2", "3"]) == corners


def test_a_scattered_choice_is_asked_for_by_name_under_its_first_pair() -> None:
    scattered = choose([("A", "1"), ("C", "1")], ["A", "B", "C"], ["1", "2"])
    assert scattered.pairs == ["A|1", "C|1"]
    assert set(scattered.tags.values()) == {"A|1"}
    whole = choose([("A", "1"), ("B", "1")], ["A", "B", "C"], ["1", "2"])
    assert whole.pairs == []
    assert list(whole.tags.values()) == ["A|1", "B|1"]


def test_two_universes_never_share_the_partitions_of_their_symbols() -> None:
    names = {symbol_partitions(universe).name for universe in ("a b", "a_b", "a-b", "a.b", "a&b")}
    assert len(names) == 5
    assert "symbols_a_b" in names
