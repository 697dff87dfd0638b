"""Claims about the lattice as Dagster partitions."""

from typing import Any

import dagster as dg
import pytest

from sensequant_assets.core.lattice import Key
from sensequant_assets.core.universe import is_symbol
from sensequant_assets.defs.names import RANGE_END, RANGE_START
from sensequant_assets.defs.partitions import (
    Order,
    add_symbols,
    block_partitions,
    blocks,
    choose,
    keys_of,
    rectangle,
    symbol_partitions,
)
from sensequant_assets.errors import UsageError


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
    scattered = choose([("A", "1"), ("C", "1")], Order(["A", "B", "C"], ["1", "2"]))
    assert scattered.pairs == ["A|1", "C|1"]
    assert set(scattered.tags.values()) == {"A|1"}
    whole = choose([("A", "1"), ("B", "1")], Order(["A", "B", "C"], ["1", "2"]))
    assert whole.pairs == []
    assert list(whole.tags.values()) == ["A|1", "B|1"]


def test_two_universes_never_share_the_partitions_of_their_symbols() -> None:
    names = {symbol_partitions(universe).name for universe in ("a b", "a_b", "a-b", "a.b", "a&b")}
    assert len(names) == 5
    assert "symbols_a_b" in names


ORDER = Order(["D", "A", "C", "B", "E"], ["1", "2"], 2)
"""Blocks are made of the order of partitions, not of the alphabet."""


def test_a_block_is_named_by_its_first_and_last_symbol_and_their_number() -> None:
    assert ORDER.names == ["D~A~2", "C~B~2", "E~E~1"]
    assert [ORDER.name_of(symbol) for symbol in "DACBE"] == ["D~A~2", "D~A~2", "C~B~2", "C~B~2", "E~E~1"]
    assert [symbol for name in ORDER.names for symbol in ORDER.members(name)] == list(ORDER.symbols)


def test_the_partitions_of_pairs_are_those_that_give_the_pairs_back() -> None:
    partitions = ["C~B~2|2", "D~A~2|1", "C~B~2|1"]
    pairs = [("D", "1"), ("A", "1"), ("C", "1"), ("C", "2"), ("B", "1"), ("B", "2")]
    assert ORDER.keys_of(partitions) == pairs
    assert {f"{ORDER.name_of(symbol)}|{window}" for symbol, window in pairs} == set(partitions)
    # Pairs stay pairs, whatever the partitions are by now: of a run of earlier, or of a choice in a run's config.
    assert ORDER.keys_of(["A|1", "D|2"]) == keys_of(["A|1", "D|2"]) == [("A", "1"), ("D", "2")]


@pytest.mark.parametrize(
    ("keys", "first", "last", "listed"),
    [
        ("D1 D2 A1 A2 C1 C2 B1 B2", "D~A~2|1", "C~B~2|2", False),
        ("C2 B2 E2", "C~B~2|2", "E~E~1|2", False),
        # Not all of a block, in a rectangle of blocks.
        ("D1 A1 C1", "D~A~2|1", "C~B~2|1", True),
        # No rectangle: the first block stands for all.
        ("D1 A1 E1", "D~A~2|1", "D~A~2|1", True),
    ],
)
def test_a_choice_asks_for_blocks_by_a_range_and_names_pairs_where_these_are_not_all(
    keys: str, first: str, last: str, listed: bool
) -> None:
    wanted = [(key[0], key[1]) for key in keys.split()]
    choice = choose(wanted, ORDER)
    assert choice.tags == {RANGE_START: first, RANGE_END: last}
    assert choice.pairs == (["|".join(key) for key in wanted] if listed else [])
    if not listed:
        assert ORDER.between(*keys_of([first, last])) == wanted


def test_a_range_of_what_is_not_known_has_no_pairs() -> None:
    for corners in (["D~A~2|1", "D~Z~2|1"], ["D~A~2|1", "C~B~2|9"], ["D|1", "Z|1"]):
        assert ORDER.between(*keys_of(corners)) == []


def test_a_block_with_other_symbols_since_is_refused_and_one_of_another_size_is_known() -> None:
    assert ORDER.members("D~B~4") == ["D", "A", "C", "B"]
    with pytest.raises(UsageError, match=r"'D~C~2' is no block of these symbols any more; `sensequant prepare` renews"):
        ORDER.members("D~C~2")
    with pytest.raises(UsageError, match="NEW is in no block yet"):
        ORDER.name_of("NEW")


def test_a_new_symbol_changes_the_last_block_alone_and_no_other_order_of_the_universe_any() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        symbols = symbol_partitions("u")

        def renewed(names: str, size: int = 2) -> list[str]:
            add_symbols(instance, symbols, list(names), size)
            return list(instance.get_dynamic_partitions(block_partitions(symbols).name or ""))

        assert renewed("ABC") == ["A~B~2", "C~C~1"]
        assert renewed("CBA") == ["A~B~2", "C~C~1"]
        # One that has grown is another partition: nothing is claimed of the symbol that nobody has tried.
        assert renewed("0CBA") == ["A~B~2", "C~0~2"]
        assert renewed("0CBAZ") == ["A~B~2", "C~0~2", "Z~Z~1"]
        # The universe lost one, which keeps its place.
        assert renewed("0BA") == ["A~B~2", "C~0~2", "Z~Z~1"]
        assert renewed("0BA", 3) == ["A~C~3", "0~Z~2"]


def test_blocks_are_none_of_what_a_symbol_can_be_called() -> None:
    assert is_symbol("A-B&C._9")
    assert not any(map(is_symbol, blocks(["A", "B"], 2)))
