"""Claims about which rows a pool has, when it is another one, and which pairs it teaches."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from sensequant_assets.core.capacity import Floor
from sensequant_assets.core.lattice import Key, Pair, SkipReason
from sensequant_assets.core.windows import Window
from sensequant_assets.market.pools import Member, pools_of, within_pools

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


def test_a_pool_needs_rows_of_its_own_window_besides_those_of_the_windows_before() -> None:
    old = [member for member in members() if member.key[1] != WINDOWS[2]]
    few = Member(("AAA", WINDOWS[2]), 3, "few")

    pools = pools_of(WINDOWS, "all", [*old, few], floor, least=4, filling=WINDOWS[2:])

    assert pools[WINDOWS[2]].lacks == "The pool of window 2022-12-27 has 3 rows of that window, needs 4."
    assert not pools[WINDOWS[1]].lacks
    assert [pool.filling for pool in pools.values()] == [False, False, True]


def with_young(rows: int) -> list[Member]:
    """The members, and a symbol that is young in the second window."""
    return [*members(), Member(("NEW", WINDOWS[1]), rows, "new", True), Member(("NEW", WINDOWS[2]), 9, "old", False)]


def test_pairs_of_young_symbols_have_a_pool_of_their_own_where_that_is_asked_for() -> None:
    pools = pools_of(WINDOWS, "all", with_young(15), floor, separate=True)

    apart = pools[f"{WINDOWS[1]}-early"]
    assert (apart.keys, apart.rows, apart.title) == ([("NEW", WINDOWS[1])], 15, "early-life pool of window 2022-06-30")
    assert ("NEW", WINDOWS[1]) not in pools[WINDOWS[1]].spans
    assert pools[WINDOWS[1]].rows == 24
    assert pools_of(WINDOWS, "all", with_young(15), floor).keys() == set(WINDOWS)


def test_young_symbols_too_few_for_a_pool_stay_in_that_of_all_which_says_so() -> None:
    few = pools_of(WINDOWS, "all", with_young(6), floor, separate=True)

    assert few.keys() == set(WINDOWS)
    assert ("NEW", WINDOWS[1]) in few[WINDOWS[1]].spans
    assert few[WINDOWS[1]].not_apart == (
        "The early-life pool of window 2022-06-30 has 6 rows, needs 10: 1 symbols ask for them. Widen the window."
    )
    # In the last window nobody is young any longer: it learns from the early life of all.
    assert pools_of(WINDOWS, "all", with_young(15), floor, separate=True)[WINDOWS[2]].not_apart == (
        "The early-life pool of window 2022-12-27 has 0 rows of that window, needs 1."
    )
    assert few[WINDOWS[0]].not_apart == ""


def test_young_symbols_stay_in_the_pool_that_would_be_too_small_without_them() -> None:
    own = [Member(("AAA", WINDOWS[0]), 9, "old"), Member(("NEW", WINDOWS[0]), 30, "new", True)]

    pools = pools_of(WINDOWS[:1], "all", own, floor, separate=True)

    assert pools[WINDOWS[0]].rows == 39
    assert pools[WINDOWS[0]].not_apart.startswith("The pool of window 2022-01-01 has 9 rows, needs 10")


SPANS = [Window(date.fromisoformat(key), date.fromisoformat(key) + timedelta(days=180)) for key in WINDOWS]


def pair(number: int, rows: int, reason: SkipReason | None = None, *, waits: bool = False) -> Pair:
    detail = f"{rows} rows are too few." if reason else ""
    return Pair("AAA", SPANS[number], SPANS[number].start, reason, detail, rows, number == 2, waits=waits)


FULL = [pair(0, 80), pair(1, 80)]
FEW = pair(2, 3, SkipReason.INSUFFICIENT_BARS, waits=True)
NONE = pair(2, 0, SkipReason.INSUFFICIENT_FUTURE, waits=True)


def lacking(*windows: str) -> Callable[[Pair], str]:
    return lambda pair: "The pool is too small." if pair.window.key in windows else ""


def test_a_pair_of_a_window_that_is_filling_joins_its_pool_with_the_rows_that_it_has() -> None:
    *_, newest = within_pools([*FULL, FEW], WINDOWS[2:])

    assert (newest.eligible, newest.served_by, newest.rows, newest.detail) == (True, None, 3, "")


@pytest.mark.parametrize(("own", "why"), [(NONE, "0 rows are too few."), (FEW, "The pool is too small.")])
def test_before_it_has_rows_enough_the_latest_window_before_serves_and_the_pair_says_so(own: Pair, why: str) -> None:
    *_, newest = within_pools([*FULL, own], WINDOWS[2:], lacking(WINDOWS[2]))

    assert newest.eligible
    assert newest.served_by == FULL[1]
    assert newest.detail == f"The model of window 2022-06-30 serves it: {why}"


def test_what_serves_is_a_window_whose_own_pool_has_rows_enough() -> None:
    _, second, newest = within_pools([*FULL, NONE], WINDOWS[2:], lacking(WINDOWS[1]))

    assert second.reason is SkipReason.INSUFFICIENT_BARS
    assert newest.served_by == FULL[0]


def test_a_symbol_listed_too_late_to_have_learned_before_is_skipped_as_ever() -> None:
    late = [pair(0, 0, SkipReason.PRE_LISTING), pair(1, 0, SkipReason.PRE_LISTING), FEW]

    assert list(within_pools(late, WINDOWS[2:])) == late


def test_a_window_that_others_have_filled_waits_for_no_symbol_that_trades_no_longer() -> None:
    assert list(within_pools([*FULL, FEW], ())) == [*FULL, FEW]


def test_a_window_that_has_not_begun_or_is_not_to_be_trained_is_skipped_as_ever() -> None:
    ended = pair(2, 0, SkipReason.INSUFFICIENT_FUTURE)

    assert list(within_pools([*FULL, ended], WINDOWS[2:])) == [*FULL, ended]
