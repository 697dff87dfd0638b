"""Claims about what is answered from, and when it is read again."""

from datetime import date
from pathlib import Path

import orjson
import pytest

from sensequant_assets.batch.serving import content_of
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.service.current import Current, Renewal
from sensequant_assets.settings import Settings
from sensequant_assets_tests.models.test_champions import challenger, forecasts
from sensequant_assets_tests.running import until
from sensequant_assets_tests.service.small import current_of, standing_in


class Shelf:
    """Something to be read that can change and break."""

    def __init__(self, directory: Path) -> None:
        self.standing = standing_in(directory)
        self.day = date(2026, 1, 30)
        self.broken: Exception | None = None
        self.read_times = 0
        self.told: list[str] = []

    def read(self) -> Current:
        self.read_times += 1
        if self.broken:
            raise self.broken
        return current_of(self.standing, self.day)

    def renewal(self) -> Renewal:
        return Renewal(self.read, lambda: str(self.day), self.told.append)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_what_has_not_changed_is_not_read_again(shelf: Shelf) -> None:
    renewal = shelf.renewal()
    for _ in range(3):
        renewal.look()
    assert (shelf.read_times, renewal.renewed, shelf.told) == (1, 0, [])


def test_what_has_changed_is_read_again_and_answered_from_then_on(shelf: Shelf) -> None:
    renewal = shelf.renewal()
    shelf.day = date(2026, 2, 2)
    renewal.look()
    assert orjson.loads(renewal.current.universe)["day"] == "2026-02-02"
    assert shelf.told == ["Read anew: champion 3, batch b1, bars of 2026-02-02."]
    assert renewal.renewed == 1


@pytest.mark.parametrize("broken", [UsageError("Bars are cut."), ValueError("Bars are cut.")])
def test_what_cannot_be_read_leaves_the_answers_as_they_were_and_is_told_once(shelf: Shelf, broken: Exception) -> None:
    renewal = shelf.renewal()
    before = renewal.current
    shelf.day, shelf.broken = date(2026, 2, 2), broken
    for _ in range(3):
        renewal.look()
    assert renewal.current is before
    assert "Bars are cut." in renewal.problem
    assert renewal.failed == 3
    assert len(shelf.told) == 1
    assert shelf.told[0].startswith("Answers stay those of 2026-01-30: ")
    # What was not read is not taken for seen.
    shelf.broken = None
    renewal.look()
    assert (renewal.problem, renewal.current.forecasts.day) == ("", date(2026, 2, 2))


def test_a_thread_looks_until_it_is_stopped(shelf: Shelf) -> None:
    renewal = shelf.renewal()
    renewal.start(0.01)
    shelf.day = date(2026, 2, 2)
    until(lambda: renewal.renewed == 1, "a look")
    renewal.stop()


def test_an_answer_about_the_universe_has_every_symbol_or_says_why_not(shelf: Shelf) -> None:
    answer = orjson.loads(shelf.read().universe)
    assert [row["symbol"] for row in answer["predictions"]] == ["AAA", "BBB"]
    assert [row["flags"] for row in answer["predictions"]] == [["fresh"], ["fallback", "out of range"]]
    assert answer["missing"] == {"CCC": "CCC has no bars."}
    assert (answer["champion"], answer["unproven"], answer["batch_id"]) == (3, False, "b1")


def test_other_bars_another_universe_and_another_champion_are_other_content(tmp_path: Path) -> None:
    bars, universe, actions = tmp_path / "bars.csv", tmp_path / "five.csv", tmp_path / "actions.csv"
    for file in (bars, universe, actions):
        file.write_text("symbol\n")
    settings = Settings(bars=str(bars), universe=universe, corporate_actions=str(actions))
    store = ChampionStore(tmp_path / "champions", "five")
    content = content_of(settings, store)
    seen = [content()]
    assert content() == seen[0]
    for file in (bars, universe, actions):
        file.write_text("symbol\nAAA\n")
        seen.append(content())

    def packed(path: Path) -> str:
        path.write_bytes(b"")
        return "0" * 32

    store.promote(challenger("b1"), packed, forecasts(), against=None)
    seen.append(content())
    assert len(set(seen)) == 5
    assert content_of(settings, None)() != content()


def test_the_embedded_sample_is_no_file_to_look_at(tmp_path: Path) -> None:
    universe = tmp_path / "five.csv"
    universe.write_text("symbol\nAAPL\n")
    content = content_of(Settings(universe=universe, bars="sample"), None)
    assert content() == content()
