"""Claims about work on its way to another process, without one."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from sensequant_assets.batch.engines.parcels import OtherCodeError, carried_out, packed, worker_name
from sensequant_assets.batch.made_with import code
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.pool import PoolRows
from sensequant_assets.errors import FailureKind, WindowError

NONE = np.empty(0)


def rows_of(count: int) -> PoolRows:
    """So many rows of one column."""
    times = np.arange(count).astype("datetime64[s]")
    return PoolRows(np.ones((count, 1)), np.ones(count), ("one",), times, times, np.empty((0, 1)), NONE)


def told(rows: PoolRows, more: int, expired: Expired) -> int:
    return len(rows.label) + more + expired()


def refuse(expired: Expired) -> None:
    raise WindowError(FailureKind.SINGLE_CLASS, "All labels are 1.")


def fail_unspeakably(expired: Expired) -> None:
    class UnknownElsewhereError(Exception):
        pass

    raise UnknownElsewhereError("of this function alone")


class Shelf:
    """Keeps one thing that is shared, and counts how often it is fetched."""

    def __init__(self) -> None:
        self.thing: Any = None
        self.fetched: list[str] = []

    def share(self, thing: Any) -> int:
        self.thing = thing
        return 0

    def fetch(self, place: str) -> Any:
        self.fetched.append(place)
        return self.thing


def test_rows_travel_by_themselves_and_are_fetched_once_for_much_work() -> None:
    shelf, rows = Shelf(), rows_of(50_000)
    parcels = [packed(partial(told, rows, more), shelf.share) for more in range(3)]
    assert max(map(len, parcels)) < 1_000
    answers = [carried_out(parcel, ["the rows"], shelf.fetch, code()) for parcel in parcels]
    assert [answer.result for answer in answers] == [50_000, 50_001, 50_002]
    assert shelf.fetched == ["the rows"]
    assert {answer.worker for answer in answers} == {worker_name()}


def test_an_error_comes_back_as_it_is_with_its_traceback_and_in_words_where_nobody_knows_its_class() -> None:
    known = carried_out(packed(refuse, Shelf().share), [], Shelf().fetch, code()).error
    assert isinstance(known, WindowError)
    assert (known.kind, str(known)) == (FailureKind.SINGLE_CLASS, "All labels are 1.")
    assert "in refuse" in known.__notes__[0]
    unknown = carried_out(packed(fail_unspeakably, Shelf().share), [], Shelf().fetch, code()).error
    assert (type(unknown), str(unknown)) == (RuntimeError, "UnknownElsewhereError: of this function alone")


def test_a_worker_with_other_code_trains_nothing() -> None:
    with pytest.raises(OtherCodeError, match=str(worker_name())):
        carried_out(packed(refuse, Shelf().share), [], Shelf().fetch, "other code")
