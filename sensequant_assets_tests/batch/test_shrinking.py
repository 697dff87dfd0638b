"""Claims about universes that have lost symbols since the batch before."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from sensequant_assets.batch.shrinking import Shrink, shrink_of, universe_read, universe_told
from sensequant_assets.core.renames import Rename, Renames
from sensequant_assets.core.universe import Listing, Universe
from sensequant_assets.errors import BusyError, UsageError
from sensequant_assets.models.store import ModelStore
from sensequant_assets.telemetry.records import BatchStart, Event
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import as_nobody
from sensequant_assets_tests.telling import after, journal_of

TWENTY = [f"S{number:02d}" for number in range(20)]


class Shelf:
    """Telemetry and models of the universe `u`."""

    def __init__(self, directory: Path) -> None:
        self.telemetry = TelemetryStore(directory / "telemetry")
        self.models = ModelStore(directory / "models", "u")

    def ran(self, batch: str, *symbols: str, second: float = 0, universe: str = "u") -> Event:
        """A batch on these symbols, so many seconds after noon."""
        told = universe_told(universe_of(*symbols, name=universe), None)
        with journal_of(self.telemetry, batch, at=after(second)) as run:
            run.append(BatchStart(universe=universe, started_at=after(second)))
            run.append(told)
        return told

    def model_of(self, symbol: str) -> None:
        path = self.models.path("student", symbol, "2022-01-01")
        path.parent.mkdir(parents=True)
        path.touch()

    def shrink(self, *symbols: str) -> Shrink:
        return shrink_of(self.telemetry, self.models, universe_of(*symbols))


def universe_of(*symbols: str, name: str = "u") -> Universe:
    return Universe(name, tuple(map(Listing, symbols)))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_before_the_first_batch_of_a_universe_nothing_is_lost(shelf: Shelf) -> None:
    shelf.ran("other", "A", "B", universe="v")
    assert shelf.shrink("A") == Shrink("u")
    assert not shelf.shrink("A").refused


def test_a_universe_is_compared_with_that_of_the_batch_that_started_last(shelf: Shelf) -> None:
    shelf.ran("b", "A", "B", second=2)
    # The clock was put back meanwhile.
    shelf.ran("a", "A", "B", "C", second=1)
    assert shelf.shrink("A", "D") == Shrink("u", "a", 3, ("B", "C"))


@pytest.mark.parametrize(("lost", "refused"), [(2, False), (3, True)])
def test_more_than_a_tenth_is_refused_and_a_tenth_is_not(shelf: Shelf, lost: int, refused: bool) -> None:
    shelf.ran("b", *TWENTY)
    shrink = shelf.shrink(*TWENTY[lost:], "NEW1", "NEW2", "NEW3")
    assert (len(shrink.lost), shrink.refused) == (lost, refused)


def test_one_symbol_with_models_is_refused_by_name_with_the_way_out(shelf: Shelf) -> None:
    shelf.ran("b", *TWENTY)
    shelf.model_of("S07")
    shrink = shelf.shrink(*TWENTY[:7], *TWENTY[8:])
    with pytest.raises(UsageError) as caught:
        shrink.require(allowed=False)
    assert str(caught.value) == (
        "Universe u has lost 1 of the 20 symbols of batch b (S07; 1 has models): put them back, with a delisting_date "
        "where they trade no more, name new symbols in a file of --symbol-changes, or accept that with "
        "--allow-shrink or SENSEQUANT_ALLOW_SHRINK=true."
    )
    shrink.require(allowed=True)


def test_what_was_allowed_is_told_with_the_run_and_is_what_the_next_one_is_compared_with(shelf: Shelf) -> None:
    shelf.ran("b", *TWENTY)
    shrink = shelf.shrink(*TWENTY[:10])
    told = universe_told(universe_of(*TWENTY[:10]), shrink)
    assert (told.level, told.kind) == ("warning", "universe")
    assert told.message == (
        "Universe u has lost 10 of the 20 symbols of batch b (S10, S11, S12, S13, S14, S15, S16, S17, S18, S19)."
    )
    lost = {"lost": TWENTY[10:], "allowed": True}
    assert told.data == {"universe": "u", "symbols": TWENTY[:10], "listings": {}, "as_of": None} | lost
    assert shelf.ran("c", *TWENTY[:10], second=1).level == "info"
    assert not shelf.shrink(*TWENTY[:10]).lost


def test_telemetry_that_cannot_be_read_is_no_word_that_nothing_was_lost(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.ran("b", *TWENTY)
    shelf.telemetry.ingest()
    monkeypatch.setattr("sensequant_assets.telemetry.store._WAIT_S", 0.05)
    with TelemetryStore(shelf.telemetry.directory).connect():
        shelf.ran("c", "A", second=1)
        with pytest.raises(BusyError, match=r"Nobody can tell whether universe u has lost symbols: .* stayed in use"):
            shelf.shrink("A")
    shelf.telemetry.database.write_bytes(b"something else " * 10_000)
    with pytest.raises(UsageError, match="is no DuckDB database"):
        shelf.shrink("A")


def test_models_that_cannot_be_looked_for_are_no_word_that_there_are_none(shelf: Shelf, tmp_path: Path) -> None:
    shelf.ran("b", *TWENTY)
    shelf.telemetry.ingest()
    shelf.model_of("S07")
    directory = shelf.models.path("student", "S07", "2022-01-01").parent
    directory.chmod(0)
    try:
        tmp_path.chmod(0o755)
        with as_nobody(), pytest.raises(PermissionError):
            shelf.models.has_models("S07")
    finally:
        directory.chmod(0o755)
    assert shelf.models.has_models("S07")
    assert not shelf.models.has_models("S08")


def test_a_batch_of_an_earlier_day_loses_nothing_and_is_nothing_that_the_next_one_is_compared_with(
    shelf: Shelf,
) -> None:
    shelf.ran("b", "A", "B", "C")
    past = replace(universe_of("A", "B"), as_of=date(2024, 3, 1), later=("C",))
    assert shrink_of(shelf.telemetry, shelf.models, past).lost == ()
    with journal_of(shelf.telemetry, "past", at=after(1)) as run:
        run.append(BatchStart(universe="u", started_at=after(1)))
        run.append(universe_told(past, None))
    assert shelf.shrink("A", "B") == Shrink("u", "b", 3, ("C",))


def test_a_symbol_that_was_renamed_or_whose_renaming_was_undone_is_not_lost(shelf: Shelf) -> None:
    shelf.ran("b", "LTIM", "TCS")
    renames = Renames([Rename(date(2026, 2, 27), "LTIM", "LTM"), Rename(date(2022, 12, 5), "LTI", "LTIM")])
    for name in ("LTI", "LTM"):
        assert shrink_of(shelf.telemetry, shelf.models, universe_of(name, "TCS"), renames).lost == ()
        assert shrink_of(shelf.telemetry, shelf.models, universe_of(name, "TCS")).lost == ("LTIM",)
    assert shrink_of(shelf.telemetry, shelf.models, universe_of("LTM"), renames).lost == ("TCS",)


def test_a_universe_that_was_told_is_read_again_with_all_that_its_listings_know() -> None:
    listings = (
        Listing("A", "Alpha", date(2001, 2, 3), date(2001, 3, 4), "ALP", date(2020, 5, 6)),
        Listing("B"),
    )
    told = universe_told(Universe("u", listings, as_of=date(2022, 1, 1)), None)
    assert told.data is not None
    assert universe_read(json.loads(json.dumps(told.data))) == Universe("u", listings, as_of=date(2022, 1, 1))
    assert universe_read({"universe": "u", "symbols": ["A"], "as_of": None}) is None
