"""Claims about which rows a pool has, and when it is another one."""

from sensequant_assets.core.capacity import Floor
from sensequant_assets.core.lattice import Key
from sensequant_assets.market.pools import Member, pools_of

WINDOWS = ("2022-01-01", "2022-06-30", "2022-12-27")


def floor(symbols: int) -> Floor:
    return Floor(10 * symbols, f"{symbols} symbols ask for them", "Widen the window.")


def members(**data: str) -> list[Member]:
    """Two symbols in three windows, of 5 and 7 rows; `data` gives fingerprints by symbol and number of the window."""
    return [
        Member((symbol, window), rows, data.get(f"{symbol}{number}", "old"))
        for symbol, rows in (("AAA", 5), ("BBB", 7))
        for number, window in enumerate(WINDOWS)
    ]


def test_a_pool_has_the_rows_of_its_window_and_of_all_before_it() -> None:
    pools = pools_of(WINDOWS, "all", members(), floor)

    assert [pools[window].rows for window in WINDOWS] == [12, 24, 36]
    assert pools[WINDOWS[1]].span == WINDOWS[:2]
    assert pools[WINDOWS[1]].symbols == 2


def test_history_bounds_how_far_a_pool_reaches_back() -> None:
    assert [pool.rows for pool in pools_of(WINDOWS, "1", members(), floor).values()] == [12, 12, 12]
    assert pools_of(WINDOWS, "2", members(), floor)[WINDOWS[2]].span == WINDOWS[1:]


def test_each_pair_knows_where_its_rows_stand() -> None:
    spans = pools_of(WINDOWS, "2", members(), floor)[WINDOWS[2]].spans

    expected: dict[Key, slice] = {
        ("AAA", WINDOWS[1]): slice(0, 5),
        ("AAA", WINDOWS[2]): slice(5, 10),
        ("BBB", WINDOWS[1]): slice(10, 17),
        ("BBB", WINDOWS[2]): slice(17, 24),
    }
    assert spans == expected


def test_new_rows_of_one_symbol_make_other_pools_of_its_window_and_of_those_after_it_and_of_no_other() -> None:
    old = pools_of(WINDOWS, "all", members(), floor)
    new = pools_of(WINDOWS, "all", members(BBB1="new"), floor)

    changed = [window for window in WINDOWS if old[window].fingerprint != new[window].fingerprint]

    assert changed == [WINDOWS[1], WINDOWS[2]]


def test_a_pool_with_too_few_rows_says_how_many_it_has_and_needs() -> None:
    pools = pools_of(WINDOWS, "all", members(), floor)

    assert pools[WINDOWS[0]].lacks == (
        "The pool of window 2022-01-01 has 12 rows, needs 20: 2 symbols ask for them. Widen the window."
    )
    assert not pools[WINDOWS[1]].lacks
